/*
 * `mailweir demo`: the course of a run.
 *
 *     options -> parts start -> load and display turn in one loop -> end
 *                                  `- all settled, a signal, time is up, a part has died
 *     end: the balancer is asked, then the sinks; who doesn't follow in time is killed
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <sysexits.h>
#include <unistd.h>

#include "bin/demo_cmd.h"
#include "sys/real.h"

/* An MTA's patience in small: tries over about a minute. */
enum { TRIES = 40, PER_CONNECTION = 50 };

/* Messages a second of --messages.  Below what two processors carry: least-transactions gives more
 * to the server that happens to run while the others wait for a processor, and then the table
 * would show the machine's scheduler instead of the policy. */
#define PROOF_RATE    100 /* a few messages: the table shall be even */
#define PROOF_FAST    300 /* many: nobody wants to wait */
#define PROOF_FEW     1000
#define RETRY_AFTER   (100 * MSEC)
#define KILL_AFTER    (10 * SECOND) /* without --messages */
#define ENDING_MOST   (5 * SECOND)
#define DRAW_TERMINAL (100 * MSEC)
#define DRAW_LINE     (5 * SECOND)

static const char help[] =
	"Usage: mailweir demo [options]\n"
	"A balancer, three sinks behind it, and a sample load: see it work, touch nothing.\n"
	"\n"
	"  --messages N       send N messages, 100 to 300 a second; prove that all arrived once; "
	"end\n"
	"  --kill-one         kill one of the sinks on the way\n"
	"  --port N           of the balancer on 127.0.0.1 (2525)\n"
	"  --admin-port N     of the metrics on 127.0.0.1 (8025)\n"
	"  --rate N           messages a second, without --messages (20)\n"
	"  --sessions N       in parallel (10)\n"
	"  --size OCTETS      of a message (2000)\n"
	"  --run-for DURATION end by itself\n"
	"  --log FILE         keep the balancer's log (an absolute path, or stderr)\n";

static unsigned proof_rate(unsigned messages)
{
	return messages <= PROOF_FEW ? PROOF_RATE : PROOF_FAST;
}

struct demo {
	struct demo_wishes wishes;
	struct demo_parts parts;
	struct demo_show show;
	struct demo_notes *notes; /* NULL without --messages */
	struct sys *sys;
	struct net_loop *loop;
	struct load *load;
	struct net_timer draw, limit, kill;
	int signals;
	bool over, ending, late;
	int status;
};

/* ---- options ---- */

enum option_id {
	OPT_HELP = 1,
	OPT_MESSAGES,
	OPT_KILL_ONE,
	OPT_PORT,
	OPT_ADMIN_PORT,
	OPT_RATE,
	OPT_SESSIONS,
	OPT_SIZE,
	OPT_RUN_FOR,
	OPT_LOG,
};

static const struct option options[] = {
	{"help", no_argument, NULL, OPT_HELP},
	{"messages", required_argument, NULL, OPT_MESSAGES},
	{"kill-one", no_argument, NULL, OPT_KILL_ONE},
	{"port", required_argument, NULL, OPT_PORT},
	{"admin-port", required_argument, NULL, OPT_ADMIN_PORT},
	{"rate", required_argument, NULL, OPT_RATE},
	{"sessions", required_argument, NULL, OPT_SESSIONS},
	{"size", required_argument, NULL, OPT_SIZE},
	{"run-for", required_argument, NULL, OPT_RUN_FOR},
	{"log", required_argument, NULL, OPT_LOG},
	{NULL, 0, NULL, 0},
};

/* False for a value that makes no sense. */
static bool read_number(uint64_t most, uint64_t *number_r)
{
	return span_to_u64(span_of(optarg), most, number_r) && *number_r > 0;
}

static bool read_option(struct demo_wishes *wishes, enum option_id id)
{
	uint64_t number = 0;
	bool good = true;
	switch (id) {
	case OPT_HELP:
		break;
	case OPT_MESSAGES:
		good = read_number(10000000, &wishes->messages);
		break;
	case OPT_KILL_ONE:
		wishes->kill_one = true;
		break;
	case OPT_PORT:
		good = read_number(UINT16_MAX, &number);
		wishes->port = (uint16_t)number;
		break;
	case OPT_ADMIN_PORT:
		good = read_number(UINT16_MAX, &number);
		wishes->admin_port = (uint16_t)number;
		break;
	case OPT_RATE:
		good = read_number(100000, &number);
		wishes->rate = (unsigned)number;
		break;
	case OPT_SESSIONS:
		good = read_number(1000, &number);
		wishes->sessions = (unsigned)number;
		break;
	case OPT_SIZE:
		good = read_number(1u << 30, &number);
		wishes->size = (size_t)number;
		break;
	case OPT_RUN_FOR:
		good = fault_duration(span_of(optarg), &wishes->run_for) == ERR_OK;
		break;
	case OPT_LOG:
		wishes->log = optarg;
		break;
	}
	return good;
}

static bool read_options(struct demo_wishes *wishes, int argc, char **argv, bool *help_r)
{
	int id, index = 0;
	optind = 1;
	while ((id = getopt_long(argc, argv, "", options, &index)) != -1) {
		if (id == '?')
			return false;
		if (id == OPT_HELP)
			*help_r = true;
		if (!read_option(wishes, (enum option_id)id)) {
			fprintf(stderr, "mailweir demo: --%s: \"%s\" makes no sense\n",
				options[index].name, optarg);
			return false;
		}
	}
	if (optind < argc)
		fprintf(stderr, "mailweir demo: what is \"%s\"?  Try --help\n", argv[optind]);
	return optind == argc;
}

/* ---- what happens on the way ---- */

static void finish(struct demo *demo, int status)
{
	demo->over = true;
	demo->status = status;
}

static void on_signals(void *arg)
{
	struct demo *demo = arg;
	struct signalfd_siginfo info;
	while (read(demo->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		struct err_text why;
		if (info.ssi_signo != SIGCHLD) {
			/* A second Ctrl-C: somebody is in a hurry. */
			demo->late = demo->ending;
			finish(demo, demo->wishes.messages > 0 ? 1 : EX_OK);
		} else if (!demo_parts_reap(&demo->parts, &why) && !demo->ending) {
			fprintf(stderr, "mailweir demo: %s\n", why.text);
			finish(demo, EX_SOFTWARE);
		}
	}
}

static void on_settled(void *arg, const struct load_message *message)
{
	struct demo *demo = arg;
	if (!demo->notes)
		return;
	demo_notes_take(demo->notes, message);
	if (demo->wishes.kill_one && load_totals(demo->load)->accepted == demo->wishes.messages / 3)
		demo_parts_kill_one(&demo->parts);
}

static void on_done(void *arg)
{
	struct demo *demo = arg;
	struct demo_proof proof;
	struct err_text why;
	if (!demo->notes)
		return;
	if (demo_prove(demo->notes, &demo->parts, &proof, &why)) {
		fprintf(stderr, "mailweir demo: %s\n", why.text);
		finish(demo, EX_IOERR);
		return;
	}
	finish(demo, demo_show_proof(&demo->show, &proof, &demo->parts));
}

static const struct load_ops load_ops = {.settled = on_settled, .done = on_done};

static void on_draw(void *arg)
{
	struct demo *demo = arg;
	demo_show_progress(&demo->show, &demo->wishes, &demo->parts, load_totals(demo->load));
	net_timer_set(demo->loop, &demo->draw,
		net_now(demo->loop) + (demo->show.terminal ? DRAW_TERMINAL : DRAW_LINE));
}

static void on_limit(void *arg)
{
	struct demo *demo = arg;
	if (demo->ending) {
		demo->late = true;
		return;
	}
	if (demo->wishes.messages > 0)
		fprintf(stderr, "mailweir demo: time is up before all messages were settled\n");
	finish(demo, demo->wishes.messages > 0 ? 1 : EX_OK);
}

static void on_kill(void *arg)
{
	struct demo *demo = arg;
	demo_parts_kill_one(&demo->parts);
}

/* ---- the course ---- */

static void set_timers(struct demo *demo)
{
	int64_t now = net_now(demo->loop);
	net_timer_init(&demo->draw, on_draw, demo);
	net_timer_init(&demo->limit, on_limit, demo);
	net_timer_init(&demo->kill, on_kill, demo);
	net_timer_set(
		demo->loop, &demo->draw, now + (demo->show.terminal ? DRAW_TERMINAL : DRAW_LINE));
	if (demo->wishes.run_for != NEVER)
		net_timer_set(demo->loop, &demo->limit, now + demo->wishes.run_for);
	if (demo->wishes.kill_one && demo->wishes.messages == 0)
		net_timer_set(demo->loop, &demo->kill, now + KILL_AFTER);
}

static void begin_load(struct demo *demo)
{
	const struct demo_wishes *wishes = &demo->wishes;
	struct load_setup setup = {
		.to = {.family = ADDR_IP4, .port = wishes->port, .ip4 = {127, 0, 0, 1}},
		.run = DEMO_RUN,
		.hostname = "load.mailweir.localhost",
		.messages = wishes->messages,
		.sessions = wishes->sessions,
		.per_connection = PER_CONNECTION,
		.size = wishes->size,
		.rate = wishes->messages > 0 ? proof_rate(wishes->messages) : wishes->rate,
		.tries = TRIES,
		.retry_after = RETRY_AFTER,
	};
	demo->load = load_new(demo->loop, &setup, &load_ops, demo);
}

/* The balancer first, then the sinks; not longer than is decent. */
static void end_parts(struct demo *demo)
{
	struct err_text why;
	demo->ending = true;
	net_timer_set(demo->loop, &demo->limit, net_now(demo->loop) + ENDING_MOST);
	bool had_balancer = true;
	demo_parts_end(&demo->parts, false);
	while (demo_parts_any(&demo->parts) && !demo->late) {
		net_turn(demo->loop);
		if (had_balancer && demo->parts.balancer == 0) {
			had_balancer = false;
			demo_parts_end(&demo->parts, false);
		}
	}
	demo_parts_end(&demo->parts, true);
	while (demo_parts_any(&demo->parts)) {
		net_turn(demo->loop);
		(void)demo_parts_reap(&demo->parts, &why);
	}
}

static void run(struct demo *demo)
{
	demo_show_begin(&demo->show, &demo->wishes, &demo->parts);
	begin_load(demo);
	set_timers(demo);
	while (!demo->over)
		net_turn(demo->loop);
	if (demo->wishes.messages == 0)
		demo_show_progress(
			&demo->show, &demo->wishes, &demo->parts, load_totals(demo->load));
	net_timer_clear(demo->loop, &demo->draw);
	net_timer_clear(demo->loop, &demo->kill);
	load_free(&demo->load);
}

static void block_signals(sigset_t *wanted_r, sigset_t *before_r)
{
	sigemptyset(wanted_r);
	sigaddset(wanted_r, SIGINT);
	sigaddset(wanted_r, SIGTERM);
	sigaddset(wanted_r, SIGHUP);
	sigaddset(wanted_r, SIGCHLD);
	sigprocmask(SIG_BLOCK, wanted_r, before_r);
}

static int demo_wished(struct demo *demo)
{
	sigset_t wanted, before;
	block_signals(&wanted, &before);
	demo->status = demo_parts_start(&demo->parts, &demo->wishes, &before);
	struct sys_real_setup setup = {.row = -1};
	demo->sys = sys_real_new(&setup);
	demo->loop = net_loop_new(demo->sys);
	demo->signals = signalfd(-1, &wanted, SFD_NONBLOCK | SFD_CLOEXEC);
	sys_watch(demo->sys, demo->signals, on_signals, demo);
	if (demo->wishes.messages > 0)
		demo->notes = demo_notes_new(demo->wishes.messages);
	if (demo->status == EX_OK)
		run(demo);
	end_parts(demo);
	net_timer_clear(demo->loop, &demo->limit);
	if (demo->notes)
		demo_notes_free(&demo->notes);
	net_loop_free(&demo->loop);
	sys_unwatch(demo->sys, demo->signals);
	close(demo->signals);
	sys_real_free(&demo->sys);
	demo_parts_clear(&demo->parts);
	return demo->status;
}

int demo_command(int argc, char **argv)
{
	struct demo demo = {
		.wishes =
			{
				.port = 2525,
				.admin_port = 8025,
				.run_for = NEVER,
				.sessions = 10,
				.rate = 20,
				.size = 2000,
				.log = "/dev/null",
			},
	};
	bool help_wanted = false;
	if (!read_options(&demo.wishes, argc, argv, &help_wanted))
		return EX_USAGE;
	if (help_wanted) {
		fputs(help, stdout);
		return EX_OK;
	}
	return demo_wished(&demo);
}
