/*
 * A sink's process: one loop, and the signals that end it (INT, TERM), turn its faults (HUP) or
 * ask for its totals (USR1).
 */
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <sysexits.h>
#include <unistd.h>

#include "bin/sink_cmd.h"
#include "sys/real.h"

#define FAULTS_FILE_MAX (1024 * 1024)

struct process {
	const struct sink_run *run;
	struct sys *sys;
	struct net_loop *loop;
	struct sink *sink;
	struct net_timer end;
	int signals;
	bool over;
};

static void print_totals(const struct process *process)
{
	struct buf text = {0};
	sink_totals_text(sink_totals(process->sink), &text);
	fwrite(text.at, 1, text.len, stdout);
	fflush(stdout);
	buf_clear(&text);
}

/* A bad file changes nothing: the faults in force stay. */
static bool read_faults(struct process *process)
{
	const struct sink_run *run = process->run;
	struct faults faults = {0};
	struct buf file = {0};
	struct err_text why;
	enum err err = faults_lines(&faults, run->faults, &why);
	if (!err && run->faults_file)
		err = sys_file_read(run->faults_file, FAULTS_FILE_MAX, &file, &why);
	if (!err)
		err = faults_lines(&faults, buf_span(&file), &why);
	buf_clear(&file);
	if (err) {
		fprintf(stderr, "mailweir sink: %s\n", why.text);
		faults_clear(&faults);
		return false;
	}
	sink_set_faults(process->sink, &faults);
	return true;
}

static void on_signals(void *arg)
{
	struct process *process = arg;
	struct signalfd_siginfo info;
	while (read(process->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		switch (info.ssi_signo) {
		case SIGHUP:
			/* Whoever turned the faults waits for this line. */
			if (read_faults(process))
				puts("faults read");
			fflush(stdout);
			break;
		case SIGUSR1:
			print_totals(process);
			break;
		default:
			process->over = true;
			break;
		}
	}
}

static void on_time(void *arg)
{
	struct process *process = arg;
	process->over = true;
}

static void wanted_signals(sigset_t *set_r)
{
	sigemptyset(set_r);
	sigaddset(set_r, SIGINT);
	sigaddset(set_r, SIGTERM);
	sigaddset(set_r, SIGHUP);
	sigaddset(set_r, SIGUSR1);
}

void sink_signals_block(void)
{
	sigset_t wanted;
	wanted_signals(&wanted);
	sigprocmask(SIG_SETMASK, &wanted, NULL);
}

static bool watch_signals(struct process *process)
{
	sigset_t wanted;
	wanted_signals(&wanted);
	process->signals = signalfd(-1, &wanted, SFD_NONBLOCK | SFD_CLOEXEC);
	if (process->signals < 0)
		return false;
	sys_watch(process->sys, process->signals, on_signals, process);
	return true;
}

static int serve(struct process *process)
{
	struct err_text why;
	struct sink_setup setup = process->run->setup;
	setup.listen_first = 0;
	setup.listen_count = process->run->listener_count;
	sys_random(process->sys, &setup.seed, sizeof(setup.seed));
	process->sink = sink_new(process->loop, &setup, &why);
	if (!process->sink) {
		fprintf(stderr, "mailweir sink: %s\n", why.text);
		return EX_CANTCREAT;
	}
	int status = read_faults(process) ? EX_OK : EX_CONFIG;
	net_timer_init(&process->end, on_time, process);
	if (process->run->run_for != NEVER)
		net_timer_set(process->loop, &process->end,
			net_now(process->loop) + process->run->run_for);
	while (status == EX_OK && !process->over)
		net_turn(process->loop);
	if (process->run->count)
		print_totals(process);
	net_timer_clear(process->loop, &process->end);
	sink_free(&process->sink);
	return status;
}

int sink_run(const struct sink_run *run)
{
	struct sys_real_setup setup = {
		.listeners = run->listeners,
		.listener_count = run->listener_count,
		.row = -1,
	};
	struct process process = {.run = run, .sys = sys_real_new(&setup)};
	if (!watch_signals(&process)) {
		perror("mailweir sink: signalfd");
		sys_real_free(&process.sys);
		return EX_OSERR;
	}
	process.loop = net_loop_new(process.sys);
	int status = serve(&process);
	net_loop_free(&process.loop);
	sys_unwatch(process.sys, process.signals);
	close(process.signals);
	sys_real_free(&process.sys);
	return status;
}
