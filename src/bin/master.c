/*
 * The master's loop: signals, the first start or the continuation after an exec, and the end.
 *
 * It turns five times a second and at every signal and wake; each turn looks at everything, so
 * that nothing depends on an event that could be missed.
 */
#include "bin/master.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sysexits.h>
#include <unistd.h>

#include "bin/handover.h"
#include "bin/master_run.h"
#include "bin/settings.h"
#include "bin/share.h"
#include "sys/real.h"

#define TICK         (200 * MSEC)
#define RETIRE_AFTER SECOND /* connections that wait in the sockets may still be taken */
/* Beyond drain-timeout, from which on sessions end at a message border. */
#define STOP_GRACE (2 * SECOND)
#define KILL_GRACE (4 * SECOND)
/* About 75 for ourselves and 128 kept back, for files and for servers; the rest is for clients. */
enum { DESCRIPTORS_LEAST = 256 };

struct generation *master_generation(struct master *master, enum phase phase)
{
	struct generation *generation;
	LIST_FOREACH (generation, &master->generations, next) {
		if (generation->phase == phase)
			return generation;
	}
	return NULL;
}

void master_wake_all(struct master *master)
{
	for (int row = 0; row < board_rows(master->board); row++) {
		if (row != master->row && board_row_role(master->board, row) != ROW_FREE)
			sys_wake(master->sys, row);
	}
}

const char *master_hostname(const struct master *master, const struct conf *conf)
{
	const char *hostname = bin_settings_of(conf)->hostname;
	return hostname ? hostname : master->hostname;
}

void master_log_reload(struct master *master, const char *state, const char *text)
{
	struct log_line line;
	log_begin(&line, &master->line, sys_wall(master->sys), LOG_EVENT_reload);
	log_string(&line, LOG_state, state);
	log_int(&line, LOG_generation, board_generation(master->board));
	log_string(&line, LOG_text, text);
	log_end(&line, master->board, master->row);
}

static void log_self(struct master *master, const char *state)
{
	struct log_line line;
	log_begin(&line, &master->line, sys_wall(master->sys), LOG_EVENT_process);
	log_string(&line, LOG_role, "master");
	log_string(&line, LOG_state, state);
	log_int(&line, LOG_pid, getpid());
	log_end(&line, master->board, master->row);
}

/* ---- signals ---- */

static void signal_arrived(void *arg)
{
	struct master *master = arg;
	struct signalfd_siginfo info;
	while (read(master->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGHUP)
			reload_ask(master, false);
		else if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT)
			master->terms++;
	}
}

static enum err signals_open(struct master *master, struct err_text *text)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	master->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (master->signal_fd < 0)
		return err_set(text, ERR_FULL, "no signalfd: %s", sys_errno_text(errno));
	sys_watch(master->sys, master->signal_fd, signal_arrived, master);
	return ERR_OK;
}

/* ---- beginning ---- */

static enum err board_make(struct master *master, struct err_text *text)
{
	master->board_fd = memfd_create("mailweir-board", MFD_CLOEXEC);
	if (master->board_fd < 0 || ftruncate(master->board_fd, (off_t)board_size()) < 0)
		return err_set(
			text, ERR_FULL, "no memory for the board: %s", sys_errno_text(errno));
	enum err err = board_map(master->board_fd, true, &master->board, text);
	if (!err)
		master->row = board_row_take(master->board, ROW_MASTER, 0, 0);
	return err;
}

static enum err wakes_make(struct master *master, struct err_text *text)
{
	for (int i = 0; i < BOARD_ROWS; i++) {
		master->wakes[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		if (master->wakes[i] < 0)
			return err_set(text, ERR_FULL, "no eventfd: %s", sys_errno_text(errno));
	}
	return ERR_OK;
}

static enum err window_open(struct master *master, struct err_text *text)
{
	master->sys = sys_real_new(&(struct sys_real_setup){
		.wakes = master->wakes,
		.wake_count = BOARD_ROWS,
		.row = master->row,
	});
	if (gethostname(master->hostname, sizeof(master->hostname) - 1) < 0 ||
		master->hostname[0] == '\0')
		snprintf(master->hostname, sizeof(master->hostname), "localhost");
	board_pid(master->board, master->row, getpid());
	board_beat(master->board, master->row, sys_now(master->sys));
	board_ready(master->board, master->row, true);
	return signals_open(master, text);
}

static enum err descriptors_raise(struct err_text *text)
{
	unsigned limit = sys_real_raise_descriptors();
	if (limit >= DESCRIPTORS_LEAST)
		return ERR_OK;
	return err_set(text, ERR_FULL,
		"a process may have only %u descriptors (RLIMIT_NOFILE), at least %d are needed",
		limit, DESCRIPTORS_LEAST);
}

static enum err start(
	struct master *master, const struct master_setup *setup, struct err_text *text)
{
	master->config_path = mem_string(span_of(setup->config->path));
	master->binary = mem_string(span_of(setup->binary));
	enum err err = descriptors_raise(text);
	if (!err)
		err = board_make(master, text);
	if (!err)
		err = wakes_make(master, text);
	if (!err)
		err = window_open(master, text);
	struct config *config = setup->config;
	if (err) {
		config_free(&config);
		return err;
	}
	log_self(master, "started");
	return generation_start(master, config, text);
}

/* ---- continuing after an exec ---- */

static void begin_candidate(struct master *master, struct span candidate)
{
	struct err_text text;
	struct config *config = config_parse(master->config_path, candidate);
	if (!config->conf) {
		struct buf words = {0};
		conf_report_text(&config->report, &words);
		reload_ended(master, 0, false, buf_string(&words));
		buf_clear(&words);
		config_free(&config);
	} else if (generation_start(master, config, &text)) {
		reload_ended(master, 0, false, text.text);
	}
}

/* What the former image knew, and this one as well now.  The old generation goes on meanwhile. */
static enum err resume(struct master *master, int fd, struct err_text *text)
{
	struct handover handover;
	enum err err = handover_read(fd, master, &handover, text);
	if (!err)
		err = board_map(master->board_fd, true, &master->board, text);
	if (!err)
		err = window_open(master, text);
	if (!err) {
		master->config_path = mem_string(span_of(handover.path));
		handover_keep_open(master, fd, false);
		struct generation *current = master_generation(master, CURRENT);
		if (current)
			current->config = config_parse(handover.path, buf_span(&handover.running));
		begin_candidate(master, buf_span(&handover.candidate));
	}
	handover_clear(&handover);
	return err;
}

/* ---- the end ---- */

static void stop_begin(struct master *master)
{
	struct generation *generation;
	int64_t now = sys_now(master->sys);
	master->state = MASTER_STOPPING;
	log_self(master, "stopping");
	if (master->reload.pid)
		kill(master->reload.pid, SIGKILL);
	LIST_FOREACH (generation, &master->generations, next) {
		if (generation->stop_at == NEVER)
			generation_drain(
				master, generation, generation->drain_timeout + STOP_GRACE);
	}
	for (unsigned i = 0; i < master->sockets.count; i++) {
		if (master->sockets.at[i].retire_at == NEVER)
			master->sockets.at[i].retire_at = now + RETIRE_AFTER;
	}
}

static void stop_now(struct master *master)
{
	struct generation *generation;
	int64_t now = sys_now(master->sys);
	LIST_FOREACH (generation, &master->generations, next) {
		if (generation->stop_at > now) {
			generation->stop_at = now;
			generation->kill_at = now + KILL_GRACE;
		}
	}
}

static void stop_turn(struct master *master)
{
	if (board_stop_asked(master->board) && master->terms == 0)
		master->terms = 1;
	if (master->terms > 0 && master->state == MASTER_RUNNING)
		stop_begin(master);
	if (master->terms > 1)
		stop_now(master);
	if (master->state == MASTER_STOPPING && LIST_EMPTY(&master->generations))
		master->state = MASTER_GONE;
}

/* ---- sockets that nobody serves ---- */

static bool served(const struct generation *current, const struct socket_bound *bound)
{
	FOREACH_CHILD(child, current)
	{
		if (child->role == ROW_WORKER && child->pid &&
			share_serves(child->index, current->workers, bound->lane, bound->lanes))
			return true;
	}
	return false;
}

/* While a dead worker's replacement is backing off, the others take its sockets. */
static void cover(struct master *master)
{
	const struct generation *current = master_generation(master, CURRENT);
	uint64_t mask = 0;
	for (unsigned i = 0; current && i < master->sockets.count; i++) {
		if (!served(current, &master->sockets.at[i]))
			mask |= UINT64_C(1) << master->sockets.at[i].number % 64;
	}
	if (mask == master->uncovered)
		return;
	master->uncovered = mask;
	board_uncovered(master->board, mask);
	master_wake_all(master);
}

/* ---- the loop ---- */

static void turn(struct master *master)
{
	struct sys_event none[1];
	bool woken;
	sys_wait(master->sys, none, 1, sys_now(master->sys) + TICK, &woken);
	board_beat(master->board, master->row, sys_now(master->sys));
	child_reap(master);
	child_watch(master);
	generation_turn(master);
	reload_turn(master);
	stop_turn(master);
	cover(master);
}

static void clear(struct master *master)
{
	struct generation *generation;
	while ((generation = LIST_FIRST(&master->generations)))
		generation_free(&generation);
	if (master->sys) {
		reload_clear(master);
		socket_set_retire(&master->sockets, NEVER - 1);
		sys_real_free(&master->sys);
	}
	socket_set_clear(&master->sockets);
	buf_clear(&master->line);
	free(master->config_path);
	free(master->binary);
}

int master_run(const struct master_setup *setup)
{
	struct err_text text;
	struct master master = {
		.board_fd = -1,
		.signal_fd = -1,
		.reload = {.pipe = -1},
		.argv = setup->argv,
		.status = EX_OK,
	};
	LIST_INIT(&master.generations);
	enum err err = setup->config ? start(&master, setup, &text)
				     : resume(&master, setup->handover, &text);
	if (err) {
		fprintf(stderr, "mailweir: %s\n", text.text);
		master.status = EX_UNAVAILABLE;
		master.state = MASTER_GONE;
	}
	while (master.state != MASTER_GONE)
		turn(&master);
	clear(&master);
	return master.status;
}
