/*
 * The program: finds the command, and is out of its way.
 */
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "base/bytes.h"
#include "bin/admin_cli.h"
#include "bin/check_cmd.h"
#include "bin/command.h"
#include "bin/demo_cmd.h"
#include "bin/sink_cmd.h"

static command_fn help_command;

static const struct command {
	const char *name, *help;
	command_fn *run;
} commands[] = {
	{"run", "balance mail as the config says", run_command},
	{"check", "show what is wrong with a config, or what it will do", check_command},
	{"status", "show listeners, pools and servers of a running one", status_command},
	{"drain", "give a server no more mail", drain_command},
	{"undrain", "give it mail again", undrain_command},
	{"weight", "change a server's weight", weight_command},
	{"reload", "start a new generation with the config as it is now", reload_command},
	{"demo", "a balancer, three servers and a sample load, here and now", demo_command},
	{"sink", "a throwaway server that takes every message, or misbehaves to order",
		sink_command},
	{"reference", "print the reference of all settings", reference_command},
	{"version", "print the version", version_command},
	{"help", "print this", help_command},
	{0},
};

static void print_help(FILE *to)
{
	fputs("Usage: mailweir COMMAND [options]\n"
	      "A load balancer that speaks SMTP.\n\n",
		to);
	for (const struct command *command = commands; command->name; command++)
		fprintf(to, "  %-10s %s\n", command->name, command->help);
	fputs("\nmailweir COMMAND --help tells more.\n", to);
}

static int help_command(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	print_help(stdout);
	return EX_OK;
}

int version_command(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	puts("mailweir " MAILWEIR_VERSION);
	return EX_OK;
}

static const struct command *command_find(const char *name)
{
	for (const struct command *command = commands; command->name; command++) {
		if (strcmp(command->name, name) == 0)
			return command;
	}
	return NULL;
}

/* Options before the command go behind it; -c and --config take a value along. */
static int command_at(int argc, char **argv)
{
	int at = 1;
	while (at < argc && argv[at][0] == '-') {
		bool takes_value = strcmp(argv[at], "-c") == 0 || strcmp(argv[at], "--config") == 0;
		at += takes_value ? 2 : 1;
	}
	return at;
}

int main(int argc, char **argv)
{
	int at = command_at(argc, argv);
	if (at >= argc) {
		if (argc > 1 && strcmp(argv[1], "--version") == 0)
			return version_command(argc, argv);
		bool asked = argc > 1 && strcmp(argv[1], "--help") == 0;
		print_help(asked ? stdout : stderr);
		return asked ? EX_OK : EX_USAGE;
	}
	const struct command *command = command_find(argv[at]);
	if (!command) {
		fprintf(stderr, "mailweir: there is no command \"%s\"\n\n", argv[at]);
		print_help(stderr);
		return EX_USAGE;
	}
	char *name = argv[at];
	memmove(argv + 2, argv + 1, (size_t)(at - 1) * sizeof(*argv));
	argv[1] = name;
	return command->run(argc - 1, argv + 1);
}
