/*
 * The demo's processes.  Everything they need lies in memory: the config and the ledgers are
 * memfds, found by others as /proc/PID/fd/N, so that nothing is left behind however we end.
 *
 * What surprises: each child is a process group of its own.  Ctrl-C then reaches only the demo,
 * which ends the others in order; and killing the master's group takes its workers along.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "bin/demo_cmd.h"
#include "bin/sink_cmd.h"
#include "sys/real.h"

static struct addr loopback(uint16_t port)
{
	return (struct addr){.family = ADDR_IP4, .port = port, .ip4 = {127, 0, 0, 1}};
}

/* ---- before anything starts ---- */

static bool port_is_free(uint16_t port, const char *option)
{
	struct addr addr = loopback(port);
	struct err_text why;
	int fd = sys_real_listen(&addr, false, NULL, &why);
	if (fd < 0) {
		char text[ADDR_TEXT];
		addr_text_port(&addr, text);
		fprintf(stderr, "mailweir demo: %s is taken: %s chooses another (%s)\n", text,
			option, why.text);
		return false;
	}
	close(fd);
	return true;
}

/* ---- a child's beginning ---- */

/* Returns as fork() does. */
static pid_t fork_part(const sigset_t *mask)
{
	pid_t demo = getpid();
	fflush(NULL);
	pid_t pid = fork();
	if (pid < 0)
		perror("mailweir demo: fork");
	if (pid != 0)
		return pid;
	setpgid(0, 0);
	/* Should the demo be killed, nobody else would end them. */
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	sigprocmask(SIG_SETMASK, mask, NULL);
	if (getppid() != demo)
		exit(EX_UNAVAILABLE);
	return 0;
}

/* ---- sinks ---- */

static int be_sink(const struct demo_sink *sink, int listener)
{
	char ledger[64];
	snprintf(ledger, sizeof(ledger), "/proc/self/fd/%d", sink->ledger);
	struct sink_run run = {
		.setup =
			{
				.name = sink->name,
				.offer = {.caps = SINK_OFFER},
				.ledger = sink->ledger >= 0 ? ledger : NULL,
				.totals = sink->totals,
			},
		.listeners = &listener,
		.listener_count = 1,
		.run_for = NEVER,
	};
	sink_signals_block();
	return sink_run(&run);
}

static bool start_sink(struct demo_sink *sink, bool with_ledger, const sigset_t *mask)
{
	struct addr addr = loopback(0);
	struct err_text why;
	int listener = sys_real_listen(&addr, false, &sink->port, &why);
	if (listener < 0) {
		fprintf(stderr, "mailweir demo: %s\n", why.text);
		return false;
	}
	if (with_ledger)
		sink->ledger = memfd_create(sink->name, MFD_CLOEXEC);
	if (with_ledger && sink->ledger < 0)
		perror("mailweir demo: memfd_create");
	else
		sink->pid = fork_part(mask);
	if (sink->pid == 0 && (!with_ledger || sink->ledger >= 0))
		exit(be_sink(sink, listener));
	/* Ours as well would go on taking connections for a sink that was killed. */
	close(listener);
	if (sink->pid < 0)
		sink->pid = 0;
	return sink->pid > 0;
}

/* ---- the balancer ---- */

static void config_text(
	const struct demo_parts *parts, const struct demo_wishes *wishes, struct buf *into)
{
	buf_addf(into,
		"hostname demo.mailweir.localhost;\n"
		"log %s;\n"
		"admin { bind 127.0.0.1:%u; }\n"
		"listener demo { bind 127.0.0.1:%u; relay-from 127.0.0.0/8; send-to demo; }\n"
		"pool demo {\n\tpass-client none;\n",
		wishes->log, wishes->admin_port, wishes->port);
	for (int i = 0; i < DEMO_SINKS; i++)
		buf_addf(into, "\tserver %s 127.0.0.1:%u;\n", parts->sinks[i].name,
			parts->sinks[i].port);
	buf_addf(into, "}\n");
}

static bool write_config(struct demo_parts *parts, const struct demo_wishes *wishes)
{
	struct buf text = {0};
	config_text(parts, wishes, &text);
	parts->config = memfd_create("demo.conf", MFD_CLOEXEC);
	bool ok =
		parts->config >= 0 && write(parts->config, text.at, text.len) == (ssize_t)text.len;
	if (!ok)
		perror("mailweir demo: can't write the config");
	buf_clear(&text);
	return ok;
}

/* This very program, whatever has become of the file it was started from. */
static void be_balancer(const char *config)
{
	execl("/proc/self/exe", "mailweir", "-c", config, "run", (char *)NULL);
	perror("mailweir demo: can't start the balancer");
	exit(EX_OSERR);
}

static bool start_balancer(
	struct demo_parts *parts, const struct demo_wishes *wishes, const sigset_t *mask)
{
	if (!write_config(parts, wishes))
		return false;
	/* By our pid: also a new generation of the balancer finds it there. */
	char config[64];
	snprintf(config, sizeof(config), "/proc/%ld/fd/%d", (long)getpid(), parts->config);
	parts->balancer = fork_part(mask);
	if (parts->balancer == 0)
		be_balancer(config);
	if (parts->balancer < 0)
		parts->balancer = 0;
	return parts->balancer > 0;
}

/* ---- all ---- */

static bool share_totals(struct demo_parts *parts)
{
	void *map = mmap(NULL, DEMO_SINKS * sizeof(*parts->totals), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (map == MAP_FAILED) {
		perror("mailweir demo: mmap");
		return false;
	}
	parts->totals = map;
	return true;
}

int demo_parts_start(
	struct demo_parts *parts, const struct demo_wishes *wishes, const sigset_t *inherited)
{
	*parts = (struct demo_parts){.config = -1};
	for (int i = 0; i < DEMO_SINKS; i++) {
		parts->sinks[i].ledger = -1;
		snprintf(parts->sinks[i].name, sizeof(parts->sinks[i].name), "sink%d", i + 1);
	}
	if (!port_is_free(wishes->port, "--port") ||
		!port_is_free(wishes->admin_port, "--admin-port"))
		return EX_UNAVAILABLE;
	if (!share_totals(parts))
		return EX_OSERR;
	for (int i = 0; i < DEMO_SINKS; i++) {
		parts->sinks[i].totals = &parts->totals[i];
		if (!start_sink(&parts->sinks[i], wishes->messages > 0, inherited))
			return EX_OSERR;
	}
	return start_balancer(parts, wishes, inherited) ? EX_OK : EX_OSERR;
}

void demo_parts_kill_one(struct demo_parts *parts)
{
	struct demo_sink *sink = &parts->sinks[0];
	if (sink->pid == 0)
		return;
	sink->killed = true;
	kill(sink->pid, SIGKILL);
}

static void describe_end(const char *who, int status, struct err_text *text)
{
	if (WIFSIGNALED(status))
		(void)err_set(text, ERR_BROKEN, "%s was ended by signal %d (%s)", who,
			WTERMSIG(status), sigabbrev_np(WTERMSIG(status)));
	else
		(void)err_set(
			text, ERR_BROKEN, "%s has ended with status %d", who, WEXITSTATUS(status));
}

bool demo_parts_reap(struct demo_parts *parts, struct err_text *text)
{
	bool expected = true;
	int status;
	pid_t pid;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == parts->balancer) {
			parts->balancer = 0;
			describe_end("the balancer", status, text);
			expected = false;
		}
		for (int i = 0; i < DEMO_SINKS; i++) {
			struct demo_sink *sink = &parts->sinks[i];
			if (pid != sink->pid)
				continue;
			sink->pid = 0;
			if (sink->killed)
				continue;
			describe_end(sink->name, status, text);
			expected = false;
		}
	}
	return expected;
}

bool demo_parts_any(const struct demo_parts *parts)
{
	bool any = parts->balancer > 0;
	for (int i = 0; i < DEMO_SINKS; i++)
		any |= parts->sinks[i].pid > 0;
	return any;
}

void demo_parts_end(struct demo_parts *parts, bool force)
{
	if (parts->balancer > 0)
		kill(force ? -parts->balancer : parts->balancer, force ? SIGKILL : SIGTERM);
	/* They last: until then the balancer may have something under way. */
	for (int i = 0; i < DEMO_SINKS && (force || parts->balancer == 0); i++) {
		if (parts->sinks[i].pid > 0)
			kill(parts->sinks[i].pid, force ? SIGKILL : SIGTERM);
	}
}

void demo_parts_clear(struct demo_parts *parts)
{
	for (int i = 0; i < DEMO_SINKS; i++) {
		if (parts->sinks[i].ledger >= 0)
			close(parts->sinks[i].ledger);
	}
	if (parts->config >= 0)
		close(parts->config);
	if (parts->totals)
		munmap(parts->totals, DEMO_SINKS * sizeof(*parts->totals));
	*parts = (struct demo_parts){.config = -1};
}
