/*
 * `mailweir run`: reads the config and becomes the master.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "bin/command.h"
#include "bin/master_run.h"
#include "bin/preflight.h"

static const char help[] =
	"Usage: mailweir run [-c FILE]\n"
	"Balance mail as the config says, in the foreground.\n"
	"\n"
	"  -c FILE   the config (" COMMAND_CONFIG ")\n"
	"\n"
	"SIGHUP reloads the config, and the binary if it was replaced; SIGTERM and SIGINT let the\n"
	"sessions end (up to drain-timeout) and stop, a second one stops at once.\n";

struct run_wishes {
	const char *config;
	bool preflight, help;
};

static bool read_options(int argc, char **argv, struct run_wishes *wishes_r)
{
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'},
		{"help", no_argument, NULL, 'h'},
		{"preflight", no_argument, NULL, 'p'}, /* for our own use */
		{NULL, 0, NULL, 0},
	};
	int id;
	optind = 1;
	while ((id = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
		if (id == 'c')
			wishes_r->config = optarg;
		else if (id == 'h')
			wishes_r->help = true;
		else if (id == 'p')
			wishes_r->preflight = true;
		else
			return false;
	}
	if (optind < argc)
		fprintf(stderr, "mailweir run: what is \"%s\"?  Try --help\n", argv[optind]);
	return optind == argc;
}

/* ---- which binary a reload will run ---- */

static bool is_this_program(const char *path)
{
	struct stat there, here;
	return stat(path, &there) == 0 && stat("/proc/self/exe", &here) == 0 &&
	       there.st_dev == here.st_dev && there.st_ino == here.st_ino;
}

/* Where the kernel found us; if the file has been replaced since, its successor's place. */
static char *path_of_exe(void)
{
	static const char deleted[] = " (deleted)";
	char path[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - 1);
	if (len <= 0)
		return mem_string(SPAN("/usr/sbin/mailweir"));
	struct span span = {path, (size_t)len};
	if (span_ends_nocase(span, SPAN(" (deleted)")))
		span.len -= sizeof(deleted) - 1;
	return mem_string(span);
}

/*
 * As we were called, if that leads to us: a symbolic link on the way may lead to another version
 * at the time of the reload, and that is the one to run.
 */
static char *path_of_program(const char *name)
{
	struct buf path = {0};
	char here[PATH_MAX];
	if (name[0] == '/')
		buf_add_text(&path, name);
	else if (strchr(name, '/') && getcwd(here, sizeof(here)))
		buf_addf(&path, "%s/%s", here, name);
	if (path.len && is_this_program(buf_string(&path)))
		return path.at;
	buf_clear(&path);
	return path_of_exe();
}

/* The same for the config: a reload must find it from wherever. */
static char *path_absolute(const char *path)
{
	struct buf absolute = {0};
	char here[PATH_MAX];
	if (path[0] != '/' && getcwd(here, sizeof(here)))
		buf_addf(&absolute, "%s/", here);
	buf_add_text(&absolute, path);
	buf_string(&absolute);
	return absolute.at;
}

/* ---- the three ways to run ---- */

/* What a reload set for us; -1: nothing. */
static int handover_fd(void)
{
	uint64_t fd;
	const char *value = getenv(MASTER_HANDOVER);
	bool good = value && span_to_u64(span_of(value), INT_MAX, &fd);
	unsetenv(MASTER_HANDOVER);
	return good ? (int)fd : -1;
}

static int run(const char *path, char **argv, const char *program)
{
	struct err_text text;
	char *absolute = path_absolute(path);
	struct config *config = config_load(absolute, &text);
	free(absolute);
	if (!config) {
		fprintf(stderr, "mailweir run: %s\n", text.text);
		return EX_NOINPUT;
	}
	struct buf words = {0};
	conf_report_text(&config->report, &words);
	fputs(buf_string(&words), stderr);
	buf_clear(&words);
	if (!config->conf) {
		config_free(&config);
		return EX_CONFIG;
	}
	char *binary = path_of_program(program);
	int status = master_run(
		&(struct master_setup){.config = config, .binary = binary, .argv = argv});
	free(binary);
	return status;
}

/* The line that a reload executes: what was given, whatever main() has made of it. */
static char **line_of(const char *program, const char *config)
{
	char **line = mem_new(5 * sizeof(*line));
	line[0] = mem_string(span_of(program));
	line[1] = mem_string(SPAN("run"));
	line[2] = mem_string(SPAN("-c"));
	line[3] = mem_string(span_of(config));
	return line;
}

static void line_free(char **line)
{
	for (int i = 0; line[i]; i++)
		free(line[i]);
	free(line);
}

/* Three descriptors for input, output and errors, before any other takes their numbers. */
static void fill_standard_descriptors(void)
{
	int fd;
	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

int run_command(int argc, char **argv)
{
	struct run_wishes wishes = {.config = COMMAND_CONFIG};
	if (!read_options(argc, argv, &wishes))
		return EX_USAGE;
	if (wishes.help) {
		fputs(help, stdout);
		return EX_OK;
	}
	fill_standard_descriptors();
	int fd = handover_fd();
	if (wishes.preflight)
		return fd < 0 ? EX_USAGE : preflight_run(fd);
	const char *program = program_invocation_name;
	char **line = line_of(program, wishes.config);
	int status = fd >= 0 ? master_run(&(struct master_setup){.handover = fd, .argv = line})
			     : run(wishes.config, line, program);
	line_free(line);
	return status;
}
