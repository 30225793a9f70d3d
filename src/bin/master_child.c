/*
 * The master's children: forked, watched, buried and replaced.
 *
 * A child that dies is buried at once: what it held on the board goes back, and those who wait
 * for it are woken.  Its successor takes over the row, at once the first time, later and later if
 * short lives follow each other.
 */
#include <errno.h>
#include <stdio.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bin/master.h"

#define LIFE_LONG      (10 * SECOND) /* who lived so long died of something new */
#define BACK_OFF       (100 * MSEC)
#define BACK_OFF_MAX   (5 * SECOND)
#define BACK_OFF_STEPS 6 /* 100 ms ... 3.2 s, then the maximum */

void child_init(struct child *child, struct generation *generation, enum board_role role,
	unsigned index, int row)
{
	*child = (struct child){
		.generation = generation,
		.role = role,
		.index = index,
		.row = row,
		.restart_at = NEVER,
	};
}

static const char *role_name(enum board_role role)
{
	return role == ROW_CONTROL ? "control" : "worker";
}

static void log_child(struct master *master, const struct child *child, struct log_line *line,
	const char *state, pid_t pid)
{
	log_begin(line, &master->line, sys_wall(master->sys), LOG_EVENT_process);
	log_string(line, LOG_role, role_name(child->role));
	log_string(line, LOG_state, state);
	log_int(line, LOG_pid, pid);
	log_int(line, LOG_row, child->row);
	log_int(line, LOG_generation, child->generation->number);
}

static void log_started(struct master *master, const struct child *child)
{
	struct log_line line;
	log_child(master, child, &line, "started", child->pid);
	log_end(&line, master->board, master->row);
}

static void back_off(struct child *child, int64_t now)
{
	int64_t delay = 0;
	if (now - child->since >= LIFE_LONG)
		child->failures = 0;
	if (child->failures > BACK_OFF_STEPS)
		delay = BACK_OFF_MAX;
	else if (child->failures > 0)
		delay = BACK_OFF << (child->failures - 1);
	child->failures++;
	child->restart_at = now + delay;
}

void child_fork(struct master *master, struct child *child)
{
	const struct config *config = child->generation->config;
	child->restart_at = NEVER;
	if (!config || !config->conf) {
		/* The preflight has seen that this binary reads the running config; a list file
		 * that it names may have changed since. */
		master_log_reload(master, "no-config", "a process can't be replaced");
		return;
	}
	child->since = sys_now(master->sys);
	child->silence = (struct silence){0};
	board_row_order(master->board, child->row, ORDER_RUN);
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0)
		process_run(master, child);
	if (pid < 0) {
		master_log_reload(master, "no-process", sys_errno_text(errno));
		back_off(child, child->since);
		return;
	}
	child->pid = pid;
	log_started(master, child);
}

/* ---- the end of one ---- */

static bool died(int status)
{
	return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

static void log_end_of(
	struct master *master, const struct child *child, pid_t pid, int status, unsigned ambiguous)
{
	struct log_line line;
	log_child(master, child, &line, died(status) ? "died" : "left", pid);
	if (WIFSIGNALED(status))
		log_int(&line, LOG_signal, WTERMSIG(status));
	else
		log_int(&line, LOG_status, WEXITSTATUS(status));
	log_int(&line, LOG_ambiguous, ambiguous);
	log_end(&line, master->board, master->row);
}

static void note_end(struct child *child, int status)
{
	struct generation *generation = child->generation;
	bool killed = WIFSIGNALED(status);
	if (generation->phase != STARTING)
		return;
	generation->early_deaths++;
	snprintf(generation->last_end, sizeof(generation->last_end), "%s %s %d",
		role_name(child->role), killed ? "by signal" : "with status",
		killed ? WTERMSIG(status) : WEXITSTATUS(status));
}

static struct child *child_of(struct master *master, pid_t pid)
{
	struct generation *generation;
	LIST_FOREACH (generation, &master->generations, next) {
		FOREACH_CHILD(child, generation)
		{
			if (child->pid == pid)
				return child;
		}
	}
	return NULL;
}

/* A generation that leaves loses no more than it must: but its log needs control to the end. */
static bool is_replaced(const struct master *master, const struct child *child)
{
	const struct generation *generation = child->generation;
	return generation->stop_at == NEVER ||
	       (child->role == ROW_CONTROL && master->state == MASTER_STOPPING &&
		       child_any(generation, true) && sys_now(master->sys) < generation->stop_at);
}

static void bury(struct master *master, struct child *child, int status)
{
	pid_t pid = child->pid;
	child->pid = 0;
	unsigned ambiguous = board_bury(master->board, child->row, died(status));
	log_end_of(master, child, pid, status, ambiguous);
	note_end(child, status);
	if (is_replaced(master, child)) {
		back_off(child, sys_now(master->sys));
	} else {
		board_row_free(master->board, child->row);
		child->row = -1;
	}
	/* What it held is free now, and a successor in office may have waited for its end. */
	master_wake_all(master);
}

void child_reap(struct master *master)
{
	int status;
	pid_t pid;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		struct child *child = child_of(master, pid);
		if (child)
			bury(master, child, status);
		else
			reload_reaped(master, pid, status);
	}
}

/* ---- the living ---- */

static void log_hung(struct master *master, const struct child *child)
{
	struct log_line line;
	log_child(master, child, &line, "hung", child->pid);
	log_string(&line, LOG_text, "no heartbeat for 10 s: killed");
	log_end(&line, master->board, master->row);
}

static void watch(struct master *master, struct child *child, int64_t now)
{
	if (child->pid == 0) {
		if (child->restart_at <= now)
			child_fork(master, child);
		return;
	}
	int64_t beat = board_beat_of(master->board, child->row);
	if (silence_of(&child->silence, beat, now) < SILENCE_DEADLY)
		return;
	log_hung(master, child);
	child->silence = (struct silence){0}; /* once is enough for a while */
	kill(child->pid, SIGKILL);
}

void child_watch(struct master *master)
{
	struct generation *generation;
	int64_t now = sys_now(master->sys);
	LIST_FOREACH (generation, &master->generations, next) {
		FOREACH_CHILD(child, generation)
		watch(master, child, now);
	}
}

bool child_any(const struct generation *generation, bool workers_only)
{
	FOREACH_CHILD(child, generation)
	{
		if (child->pid && !(workers_only && child->role == ROW_CONTROL))
			return true;
	}
	return false;
}

void child_order(struct master *master, struct generation *generation, enum board_role role,
	enum board_order order)
{
	FOREACH_CHILD(child, generation)
	{
		if (child->role == role && child->row >= 0)
			board_row_order(master->board, child->row, order);
	}
	master_wake_all(master);
}
