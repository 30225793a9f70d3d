/*
 * `mailweir sink`: reads the options, binds, and becomes a sink (sink_run.c).  Fault options are
 * passed on as lines, so that the command line and a faults file have one grammar.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "bin/sink_cmd.h"
#include "sys/real.h"

static const char help[] =
	"Usage: mailweir sink [options]\n"
	"A throwaway SMTP server that takes every message, and misbehaves to order.\n"
	"\n"
	"  --listen ADDR:PORT      where (repeatable; 127.0.0.1:0, any free port, if none is "
	"given);\n"
	"                          each is printed: \"listening 127.0.0.1:40213\"\n"
	"  --name NAME             in the banner, EHLO and the ledger (sink)\n"
	"  --offer \"KEYWORD ...\"   extensions in EHLO, instead of the usual ones\n"
	"  --no-chunking, --no-pipelining\n"
	"  --max-size OCTETS       the limit that SIZE states\n"
	"  --lax                   take bare CR, bare LF and overlong lines as they come\n"
	"  --write DIR             each message becomes DIR/<n>.eml, byte for byte\n"
	"  --ledger FILE           a line of JSON for each message, before its 250\n"
	"  --count                 print totals at the end, and at SIGUSR1\n"
	"  --run-for DURATION      end by itself (also: SIGINT, SIGTERM)\n"
	"\n"
	"Faults (repeatable; the first that fits acts, delays add up):\n"
	"  --slow PHASE=DURATION   think so long on average\n"
	"  --slow-percent N        but only so often\n"
	"  --reply PHASE=\"451 4.3.0 busy\"\n"
	"  --drop PHASE            close; --reset PHASE: with RST\n"
	"  --stall PHASE           never answer\n"
	"  --garbage PHASE[=TEXT]  octets that are no reply (\\r \\n \\0 \\\\ as in C)\n"
	"  --extra-reply PHASE[=TEXT]  a reply that nobody asked for, behind the right one\n"
	"  --max-sessions N        421 above it, as Exchange says it\n"
	"  --latency-ms N          each reply so late\n"
	"  --faults FILE           more of these, one a line without \"--\"; read again at SIGHUP\n"
	"PHASE: connect banner ehlo mail rcpt data body:OCTETS end-before-reply end-after-commit\n"
	"rset quit idle:DURATION.  Behind a fault: ,count=N ,every=N ,after=N ,percent=N and\n"
	",match=TEXT (of the addresses).\n";

enum option_id {
	OPT_HELP = 1,
	OPT_LISTEN,
	OPT_NAME,
	OPT_OFFER,
	OPT_NO_CHUNKING,
	OPT_NO_PIPELINING,
	OPT_MAX_SIZE,
	OPT_LAX,
	OPT_WRITE,
	OPT_LEDGER,
	OPT_COUNT,
	OPT_RUN_FOR,
	OPT_FAULTS,
	OPT_FAULT,
};

static const struct option options[] = {
	{"help", no_argument, NULL, OPT_HELP},
	{"listen", required_argument, NULL, OPT_LISTEN},
	{"name", required_argument, NULL, OPT_NAME},
	{"offer", required_argument, NULL, OPT_OFFER},
	{"no-chunking", no_argument, NULL, OPT_NO_CHUNKING},
	{"no-pipelining", no_argument, NULL, OPT_NO_PIPELINING},
	{"max-size", required_argument, NULL, OPT_MAX_SIZE},
	{"lax", no_argument, NULL, OPT_LAX},
	{"write", required_argument, NULL, OPT_WRITE},
	{"ledger", required_argument, NULL, OPT_LEDGER},
	{"count", no_argument, NULL, OPT_COUNT},
	{"run-for", required_argument, NULL, OPT_RUN_FOR},
	{"faults", required_argument, NULL, OPT_FAULTS},
	{"slow", required_argument, NULL, OPT_FAULT},
	{"slow-percent", required_argument, NULL, OPT_FAULT},
	{"reply", required_argument, NULL, OPT_FAULT},
	{"drop", required_argument, NULL, OPT_FAULT},
	{"reset", required_argument, NULL, OPT_FAULT},
	{"stall", required_argument, NULL, OPT_FAULT},
	{"garbage", required_argument, NULL, OPT_FAULT},
	{"extra-reply", required_argument, NULL, OPT_FAULT},
	{"max-sessions", required_argument, NULL, OPT_FAULT},
	{"latency-ms", required_argument, NULL, OPT_FAULT},
	{NULL, 0, NULL, 0},
};

struct wishes {
	struct sink_run run;
	struct addr listen[SINK_LISTENERS];
	int listeners[SINK_LISTENERS];
	int listen_count;
	uint32_t without; /* extensions taken away */
	struct buf faults;
	bool help;
};

static enum err read_offer(struct span words, uint32_t *caps_r, struct err_text *why)
{
	*caps_r = 0;
	while ((words = span_trim(words)).len > 0) {
		struct span word = {.at = words.at, .len = span_find(words, ' ')};
		words = span_from(words, word.len);
		uint32_t cap = smtp_cap_of(word);
		if (!cap)
			return err_set(why, ERR_SYNTAX, "no such extension: %.*s", SPAN_ARG(word));
		*caps_r |= cap;
	}
	return ERR_OK;
}

static enum err read_listen(struct wishes *wishes, struct span value, struct err_text *why)
{
	if (wishes->listen_count == SINK_LISTENERS)
		return err_set(why, ERR_RANGE, "at most %d times --listen", SINK_LISTENERS);
	if (addr_parse_port(value, &wishes->listen[wishes->listen_count]))
		return err_set(why, ERR_SYNTAX, "\"%.*s\" is no ADDRESS:PORT", SPAN_ARG(value));
	wishes->listen_count++;
	return ERR_OK;
}

/* Checked here, one by one, so that a mistake is named with its option. */
static enum err read_fault(
	struct wishes *wishes, const char *name, struct span value, struct err_text *why)
{
	struct faults faults = {0};
	enum err err = faults_option(&faults, span_of(name), value, why);
	faults_clear(&faults);
	if (!err && span_find(value, '\n') < value.len)
		err = err_set(why, ERR_SYNTAX, "a line break is written \\n");
	buf_addf(&wishes->faults, "%s %.*s\n", name, SPAN_ARG(value));
	return err;
}

static enum err read_option(
	struct wishes *wishes, enum option_id id, const char *name, struct err_text *why)
{
	struct sink_run *run = &wishes->run;
	struct span value = span_of(optarg);
	switch (id) {
	case OPT_HELP:
		wishes->help = true;
		return ERR_OK;
	case OPT_LISTEN:
		return read_listen(wishes, value, why);
	case OPT_NAME:
		run->setup.name = optarg;
		return ERR_OK;
	case OPT_OFFER:
		return read_offer(value, &run->setup.offer.caps, why);
	case OPT_NO_CHUNKING:
		wishes->without |= SMTP_CAP_CHUNKING;
		return ERR_OK;
	case OPT_NO_PIPELINING:
		wishes->without |= SMTP_CAP_PIPELINING;
		return ERR_OK;
	case OPT_MAX_SIZE:
		return span_to_u64(value, INT64_MAX, &run->setup.offer.size)
			       ? ERR_OK
			       : err_set(why, ERR_SYNTAX, "\"%s\" is no number", optarg);
	case OPT_LAX:
		run->setup.lax = true;
		return ERR_OK;
	case OPT_WRITE:
		run->setup.write_dir = optarg;
		return ERR_OK;
	case OPT_LEDGER:
		run->setup.ledger = optarg;
		return ERR_OK;
	case OPT_COUNT:
		run->count = true;
		return ERR_OK;
	case OPT_RUN_FOR:
		return fault_duration(value, &run->run_for)
			       ? err_set(why, ERR_SYNTAX, "\"%s\" is no duration such as 30s",
					 optarg)
			       : ERR_OK;
	case OPT_FAULTS:
		run->faults_file = optarg;
		return ERR_OK;
	case OPT_FAULT:
		return read_fault(wishes, name, value, why);
	}
	return err_set(why, ERR_SYNTAX, "try --help");
}

static enum err read_options(struct wishes *wishes, int argc, char **argv)
{
	int id, index = 0;
	optind = 1;
	while ((id = getopt_long(argc, argv, "", options, &index)) != -1) {
		struct err_text why;
		if (id == '?')
			return ERR_SYNTAX;
		if (read_option(wishes, (enum option_id)id, options[index].name, &why)) {
			fprintf(stderr, "mailweir sink: --%s: %s\n", options[index].name, why.text);
			return ERR_SYNTAX;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "mailweir sink: what is \"%s\"?  Try --help\n", argv[optind]);
		return ERR_SYNTAX;
	}
	return ERR_OK;
}

static int bind_all(struct wishes *wishes)
{
	if (wishes->listen_count == 0)
		wishes->listen[wishes->listen_count++] =
			(struct addr){.family = ADDR_IP4, .ip4 = {127, 0, 0, 1}};
	for (int i = 0; i < wishes->listen_count; i++) {
		struct err_text why;
		char text[ADDR_TEXT];
		struct addr *addr = &wishes->listen[i];
		int fd = sys_real_listen(addr, false, &addr->port, &why);
		if (fd < 0) {
			fprintf(stderr, "mailweir sink: %s\n", why.text);
			return EX_UNAVAILABLE;
		}
		wishes->listeners[i] = fd;
		addr_text_port(addr, text);
		printf("listening %s\n", text);
	}
	fflush(stdout);
	return EX_OK;
}

static int sink_wished(struct wishes *wishes)
{
	wishes->run.setup.offer.caps &= ~wishes->without;
	wishes->run.faults = buf_span(&wishes->faults);
	sys_real_raise_descriptors();
	sink_signals_block();
	int status = bind_all(wishes);
	if (status != EX_OK)
		return status;
	wishes->run.listeners = wishes->listeners;
	wishes->run.listener_count = wishes->listen_count;
	return sink_run(&wishes->run);
}

int sink_command(int argc, char **argv)
{
	struct wishes wishes = {
		.run = {.setup = {.name = "sink", .offer = {.caps = SINK_OFFER}}, .run_for = NEVER},
	};
	int status = EX_USAGE;
	if (read_options(&wishes, argc, argv) == ERR_OK) {
		if (wishes.help)
			fputs(help, stdout);
		status = wishes.help ? EX_OK : sink_wished(&wishes);
	}
	buf_clear(&wishes.faults);
	return status;
}
