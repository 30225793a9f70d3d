/*
 * A child's life: from the fork to its exit.  Signals and descriptors are dealt with here, so
 * that worker.c and control.c know nothing of them.
 *
 * It leaves by exit(), all freed before, so that LeakSanitizer has its say.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sysexits.h>
#include <unistd.h>

#include "admin/admin.h"
#include "bin/control.h"
#include "bin/master.h"
#include "bin/worker.h"
#include "sys/real.h"

struct process {
	struct master *master; /* as it was at the fork */
	const struct child *child;
	const struct conf *conf;
	struct sys *sys;
	int signal_fd;
	struct worker *worker; /* one of the two */
	struct control *control;
};

/* SIGTERM to us alone is a drain; the master's ways are the board's. */
static void signal_arrived(void *arg)
{
	struct process *process = arg;
	struct signalfd_siginfo info;
	if (read(process->signal_fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	if (process->worker)
		worker_drain(process->worker);
	if (process->control)
		control_leave(process->control);
}

static void signals_set(struct process *process)
{
	sigset_t set;
	signal(SIGHUP, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_SETMASK, &set, NULL);
	process->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (process->signal_fd < 0)
		die("no signalfd");
}

static void window_open(struct process *process, const int *listeners, int count)
{
	const struct master *master = process->master;
	process->sys = sys_real_new(&(struct sys_real_setup){
		.listeners = listeners,
		.listener_count = count,
		.wakes = master->wakes,
		.wake_count = BOARD_ROWS,
		.row = process->child->row,
	});
	sys_watch(process->sys, process->signal_fd, signal_arrived, process);
}

/* ---- worker ---- */

static int run_worker(struct process *process)
{
	const struct master *master = process->master;
	const struct child *child = process->child;
	const struct socket_set *set = &master->sockets;
	int *listeners = mem_new((set->count + 1) * sizeof(*listeners));
	struct worker_socket *sockets = mem_new((set->count + 1) * sizeof(*sockets));
	for (unsigned i = 0; i < set->count; i++) {
		listeners[i] = set->at[i].fd;
		sockets[i] = (struct worker_socket){
			.wanted = set->at[i].wanted,
			.lane = set->at[i].lane,
			.lanes = set->at[i].lanes,
			.number = set->at[i].number,
		};
	}
	window_open(process, listeners, (int)set->count);
	process->worker = worker_new(&(struct worker_setup){
		.sys = process->sys,
		.board = master->board,
		.row = child->row,
		.master_row = master->row,
		.conf = process->conf,
		.hostname = master_hostname(master, process->conf),
		.sockets = sockets,
		.socket_count = (int)set->count,
		.index = child->index,
		.workers = child->generation->workers,
		.generation = child->generation->number,
	});
	while (worker_turn(process->worker))
		;
	worker_free(&process->worker);
	free(listeners);
	free(sockets);
	return EX_OK;
}

/* ---- control ---- */

static bool is_admin(const struct socket_bound *bound, const struct conf_addrs *addrs)
{
	for (size_t i = 0; i < addrs->count; i++) {
		if (addr_eq(&addrs->at[i], &bound->wanted))
			return true;
	}
	return false;
}

/* On standard error for a first start, in the log for a reload: the elder control writes it. */
static void say_failure(struct process *process, const char *text)
{
	struct log_line line;
	struct buf buf = {0};
	fprintf(stderr, "mailweir: control: %s\n", text);
	log_begin(&line, &buf, sys_wall(process->sys), LOG_EVENT_alarm);
	log_string(&line, LOG_role, "control");
	log_int(&line, LOG_generation, process->child->generation->number);
	log_string(&line, LOG_text, text);
	log_end(&line, process->master->board, process->child->row);
	buf_clear(&buf);
}

static int run_control(struct process *process)
{
	const struct master *master = process->master;
	const struct socket_set *set = &master->sockets;
	const struct conf_addrs *addrs = admin_addrs_of(process->conf);
	struct err_text text;
	int count = 0, status = EX_OK;
	int *listeners = mem_new((set->count + 1) * sizeof(*listeners));
	bool *is_unix = mem_new((set->count + 1) * sizeof(*is_unix));
	for (unsigned i = 0; i < set->count; i++) {
		if (!is_admin(&set->at[i], addrs))
			continue;
		is_unix[count] = set->at[i].wanted.family == ADDR_UNIX;
		listeners[count++] = set->at[i].fd;
	}
	window_open(process, NULL, 0);
	process->control = control_new(
		&(struct control_setup){
			.sys = process->sys,
			.board = master->board,
			.row = process->child->row,
			.master_row = master->row,
			.conf = process->conf,
			.hostname = master_hostname(master, process->conf),
			.generation = process->child->generation->number,
			.admin_listeners = listeners,
			.admin_is_unix = is_unix,
			.admin_count = count,
		},
		&text);
	if (process->control) {
		while (control_turn(process->control))
			;
		control_free(&process->control);
	} else {
		say_failure(process, text.text);
		status = EX_UNAVAILABLE;
	}
	free(listeners);
	free(is_unix);
	return status;
}

/* ---- both ---- */

static void name_self(const struct child *child)
{
	char name[16];
	if (child->role == ROW_CONTROL)
		snprintf(name, sizeof(name), "mailweir-ctl");
	else
		snprintf(name, sizeof(name), "mailweir-w%u", child->index + 1);
	prctl(PR_SET_NAME, name);
}

/* Copies of the master's descriptors that a child has no use for. */
static void leave_master(struct master *master)
{
	sys_real_free(&master->sys);
	close(master->signal_fd);
	close(master->board_fd);
	if (master->reload.pipe >= 0)
		close(master->reload.pipe);
}

void process_run(struct master *master, struct child *child)
{
	struct process process = {
		.master = master,
		.child = child,
		.conf = child->generation->config->conf,
	};
	name_self(child);
	leave_master(master);
	signals_set(&process);
	board_pid(master->board, child->row, getpid());
	int status = child->role == ROW_CONTROL ? run_control(&process) : run_worker(&process);
	sys_unwatch(process.sys, process.signal_fd);
	close(process.signal_fd);
	sys_real_free(&process.sys);
	exit(status);
}
