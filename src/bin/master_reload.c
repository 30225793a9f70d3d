/*
 * A reload, up to the exec.
 *
 *     asked ──► read the file ──► preflight: the installed binary tries it in a process of its
 *                                 own, on a private copy of the board, without touching us
 *           ──► exec of that binary in our place; it reads the handover and begins the new
 *               generation while the old one serves (master.c)
 *
 * Whatever fails before the exec leaves everything as it was.  After the exec there is no way
 * back to the old binary, so the preflight does everything that could fail: it reads the
 * handover, checks the board's layout, parses both configs, compares their pools, allocates
 * columns, and tries the addresses.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "bin/handover.h"
#include "bin/master.h"
#include "bin/master_run.h"

#define PREFLIGHT_WITHIN (30 * SECOND)
enum { OUTPUT_MAX = 16 * 1024 };

void reload_clear(struct master *master)
{
	struct reload *reload = &master->reload;
	if (reload->pipe >= 0) {
		sys_unwatch(master->sys, reload->pipe);
		close(reload->pipe);
		reload->pipe = -1;
	}
	config_free(&reload->candidate);
	buf_clear(&reload->output);
}

/* The last line of a reload, good or not: for who asked, and for the log. */
static void conclude(struct master *master, unsigned number, bool good, const char *text)
{
	board_reload_done(master->board, number, good, text);
	master_log_reload(master, good ? "done" : "refused", text);
	reload_clear(master);
}

void reload_ended(struct master *master, unsigned number, bool good, const char *text)
{
	conclude(master, number, good, text);
	if (good || master_generation(master, CURRENT))
		return;
	/* The first start: there is nothing to fall back to. */
	fprintf(stderr, "mailweir: %s\n", text);
	master->status = EX_UNAVAILABLE;
	master->state = MASTER_STOPPING;
}

static void refuse(struct master *master, const char *text)
{
	const struct generation *current = master_generation(master, CURRENT);
	conclude(master, current ? current->number : 0, false, text);
}

/* ---- preflight ---- */

static void put_handover(int fd)
{
	char number[16];
	snprintf(number, sizeof(number), "%d", fd);
	setenv(MASTER_HANDOVER, number, 1);
}

/* In the new process. */
static _Noreturn void become_preflight(struct master *master, int handover, int out)
{
	char *argv[] = {master->binary, (char *)"run", (char *)"--preflight", NULL};
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	dup2(out, STDOUT_FILENO);
	dup2(out, STDERR_FILENO);
	fcntl(handover, F_SETFD, 0);
	fcntl(master->board_fd, F_SETFD, 0);
	put_handover(handover);
	execv(master->binary, argv);
	dprintf(STDERR_FILENO, "can't run %s: %s\n", master->binary, sys_errno_text(errno));
	_exit(127);
}

/* Its output goes on being read when it is too much, so that it can end. */
static void preflight_speaks(void *arg)
{
	struct master *master = arg;
	struct reload *reload = &master->reload;
	char bytes[4096];
	ssize_t len = read(reload->pipe, bytes, sizeof(bytes));
	if (len > 0 && reload->output.len < OUTPUT_MAX) {
		buf_add(&reload->output, bytes, (size_t)len);
	} else if (len == 0) {
		sys_unwatch(master->sys, reload->pipe);
		close(reload->pipe);
		reload->pipe = -1;
	}
}

static bool preflight_begin(struct master *master, struct err_text *text)
{
	struct reload *reload = &master->reload;
	int pipes[2];
	int handover = handover_write(master, reload->candidate, text);
	if (handover < 0)
		return false;
	if (pipe2(pipes, O_CLOEXEC | O_NONBLOCK) < 0) {
		(void)err_set(text, ERR_FULL, "no pipe: %s", sys_errno_text(errno));
		close(handover);
		return false;
	}
	fcntl(pipes[1], F_SETFL, 0); /* it may wait for us */
	reload->pid = fork();
	if (reload->pid == 0)
		become_preflight(master, handover, pipes[1]);
	close(pipes[1]);
	close(handover);
	reload->pipe = pipes[0];
	sys_watch(master->sys, reload->pipe, preflight_speaks, master);
	reload->deadline = sys_now(master->sys) + PREFLIGHT_WITHIN;
	if (reload->pid > 0)
		return true;
	reload->pid = 0;
	(void)err_set(text, ERR_FULL, "can't fork: %s", sys_errno_text(errno));
	return false;
}

static void begin(struct master *master)
{
	struct reload *reload = &master->reload;
	struct err_text text;
	struct buf read = {0};
	reload->force = reload->asked_force;
	reload->asked = reload->asked_force = false;
	reload_clear(master);
	master_log_reload(master, "begun", master->config_path);
	if (sys_file_read(master->config_path, CONF_TEXT_MAX, &read, &text) == ERR_OK) {
		/* Not parsed here: the binary that will live by it does that. */
		reload->candidate = mem_new(sizeof(*reload->candidate));
		reload->candidate->path = mem_string(span_of(master->config_path));
		reload->candidate->text = read;
		if (preflight_begin(master, &text))
			return;
	}
	refuse(master, text.text);
}

/* ---- the exec ---- */

static void execute(struct master *master)
{
	struct err_text text;
	int handover = handover_write(master, master->reload.candidate, &text);
	if (handover < 0) {
		refuse(master, text.text);
		return;
	}
	fflush(NULL);
	put_handover(handover);
	handover_keep_open(master, handover, true);
	execv(master->binary, master->argv);
	(void)err_set(
		&text, ERR_MISSING, "can't run %s: %s", master->binary, sys_errno_text(errno));
	handover_keep_open(master, handover, false);
	unsetenv(MASTER_HANDOVER);
	close(handover);
	refuse(master, text.text);
}

/* ---- the course ---- */

static void take_rest(struct master *master)
{
	struct reload *reload = &master->reload;
	char bytes[4096];
	ssize_t len;
	while (reload->pipe >= 0 && reload->output.len < OUTPUT_MAX &&
		(len = read(reload->pipe, bytes, sizeof(bytes))) > 0)
		buf_add(&reload->output, bytes, (size_t)len);
}

void reload_reaped(struct master *master, pid_t pid, int status)
{
	struct reload *reload = &master->reload;
	if (pid != reload->pid)
		return;
	reload->pid = 0;
	take_rest(master);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		if (master->state == MASTER_RUNNING)
			execute(master);
		return;
	}
	struct span said = buf_span(&reload->output);
	while (said.len && said.at[said.len - 1] == '\n')
		said.len--;
	struct buf words = {0};
	if (said.len)
		buf_add_span(&words, said);
	else
		buf_addf(&words, "%s failed at the preflight (status %d)", master->binary, status);
	refuse(master, buf_string(&words));
	buf_clear(&words);
}

void reload_ask(struct master *master, bool force)
{
	master->reload.asked_force |= force;
	master->reload.asked = true;
}

void reload_turn(struct master *master)
{
	struct reload *reload = &master->reload;
	bool force;
	if (board_reload_asked(master->board, &force))
		reload_ask(master, force);
	if (reload->pid && sys_now(master->sys) >= reload->deadline) {
		buf_addf(&reload->output, "the preflight took longer than 30 s\n");
		reload->deadline = NEVER;
		kill(reload->pid, SIGKILL);
	}
	if (reload->asked && !reload->pid && !master_generation(master, STARTING) &&
		master->state == MASTER_RUNNING)
		begin(master);
}
