/*
 * Generations: how one begins, becomes the current one, and ends.
 *
 * A STARTING generation is assembled but listens not: workers accept when the board says that
 * theirs is the current generation.  So its failure costs no client anything, and the change of
 * generations is one word on the board; connections wait in the kernel meanwhile.
 */
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "admin/admin.h"
#include "bin/master.h"
#include "bin/process_numbers.h"
#include "bin/settings.h"
#include "pool/pool.h"
#include "relay/relay.h"

#define START_WITHIN (30 * SECOND)
#define LEAVE_WITHIN (2 * SECOND) /* from ORDER_STOP to SIGKILL */
/* Connections that wait in a socket which is no longer wanted may still be taken meanwhile. */
#define RETIRE_AFTER SECOND
enum { EARLY_DEATHS_MAX = 3 };

static unsigned processors(void)
{
	cpu_set_t set;
	return sched_getaffinity(0, sizeof(set), &set) < 0 ? 1 : (unsigned)CPU_COUNT(&set);
}

static void dispose(struct generation *generation)
{
	config_free(&generation->config);
	free(generation->children);
	free(generation);
}

void generation_free(struct generation **generationp)
{
	struct generation *generation = *generationp;
	*generationp = NULL;
	LIST_REMOVE(generation, next);
	dispose(generation);
}

/* ---- sockets ---- */

static bool conf_binds(const struct conf *conf, const struct addr *addr)
{
	CONF_EACH(listener, conf_root(conf), "listener")
	{
		const struct conf_addrs *bind = bind_addrs_of(listener);
		for (size_t i = 0; i < bind->count; i++) {
			if (addr_eq(&bind->at[i], addr))
				return true;
		}
	}
	const struct conf_addrs *admin = admin_addrs_of(conf);
	for (size_t i = 0; i < admin->count; i++) {
		if (addr_eq(&admin->at[i], addr))
			return true;
	}
	return false;
}

static enum err bind_all(
	struct master *master, const struct generation *generation, struct err_text *text)
{
	const struct conf *conf = generation->config->conf;
	enum err err = ERR_OK;
	CONF_EACH(listener, conf_root(conf), "listener")
	{
		const struct conf_addrs *bind = bind_addrs_of(listener);
		for (size_t i = 0; i < bind->count && !err; i++)
			err = socket_set_bind(
				&master->sockets, &bind->at[i], generation->workers, false, text);
	}
	const struct conf_addrs *admin = admin_addrs_of(conf);
	for (size_t i = 0; i < admin->count && !err; i++)
		err = socket_set_bind(&master->sockets, &admin->at[i], 1, true, text);
	return err;
}

/* What no generation that takes clients wants. */
static void retire_unwanted(struct master *master)
{
	int64_t at = sys_now(master->sys) + RETIRE_AFTER;
	for (unsigned i = 0; i < master->sockets.count; i++) {
		struct socket_bound *bound = &master->sockets.at[i];
		struct generation *generation;
		bool wanted = false;
		LIST_FOREACH (generation, &master->generations, next)
			wanted |= generation->stop_at == NEVER && generation->config &&
				  generation->config->conf &&
				  conf_binds(generation->config->conf, &bound->wanted);
		if (!wanted && bound->retire_at == NEVER)
			bound->retire_at = at;
	}
}

/* ---- columns and rows ---- */

static enum err take_columns(
	struct master *master, struct generation *generation, struct err_text *text)
{
	const struct conf *conf = generation->config->conf;
	enum err err = process_columns(master->board, generation->known, text);
	if (!err)
		err = pool_columns(master->board, conf, generation->known, text);
	if (!err)
		err = relay_columns(master->board, conf, generation->known, text);
	return err;
}

static void forget_columns(struct master *master)
{
	bool known[BOARD_COLUMNS] = {0};
	struct generation *generation;
	LIST_FOREACH (generation, &master->generations, next) {
		for (int i = 0; i < BOARD_COLUMNS; i++)
			known[i] |= generation->known[i];
	}
	board_forget(master->board, known);
}

static enum err take_rows(
	struct master *master, struct generation *generation, struct err_text *text)
{
	for (unsigned i = 0; i < generation->workers + 1; i++) {
		enum board_role role = i == 0 ? ROW_CONTROL : ROW_WORKER;
		unsigned index = i == 0 ? 0 : i - 1;
		int row = board_row_take(master->board, role, generation->number, index);
		if (row < 0)
			return err_set(text, ERR_FULL,
				"too many processes of older generations are still draining");
		child_init(&generation->children[i], generation, role, index, row);
		generation->child_count = i + 1;
	}
	return ERR_OK;
}

/* Back to before take_rows(). */
static void give_rows(struct master *master, struct generation *generation)
{
	FOREACH_CHILD(child, generation)
	board_row_free(master->board, child->row);
	generation->child_count = 0;
}

/* ---- the beginning ---- */

enum err generation_start(struct master *master, struct config *config, struct err_text *text)
{
	struct generation *generation = mem_new(sizeof(*generation));
	generation->number = ++master->last_number;
	generation->phase = STARTING;
	generation->since = sys_now(master->sys);
	generation->config = config;
	generation->workers = workers_of(config->conf, processors());
	generation->drain_timeout = bin_settings_of(config->conf)->drain_timeout;
	generation->stop_at = generation->kill_at = NEVER;
	generation->children = mem_new((generation->workers + 1) * sizeof(struct child));
	LIST_INSERT_HEAD(&master->generations, generation, next);

	enum err err = take_columns(master, generation, text);
	if (!err)
		err = bind_all(master, generation, text);
	if (!err)
		err = take_rows(master, generation, text);
	if (err) {
		give_rows(master, generation);
		LIST_REMOVE(generation, next);
		forget_columns(master);
		retire_unwanted(master);
		dispose(generation);
		return err;
	}
	FOREACH_CHILD(child, generation)
	child_fork(master, child);
	return ERR_OK;
}

/* ---- from STARTING to CURRENT ---- */

/* Slots that wait for a replacement are given back: none will come. */
static void no_more_replacements(
	struct master *master, struct generation *generation, enum board_role role)
{
	FOREACH_CHILD(child, generation)
	{
		if (child->role != role || child->pid || child->row < 0)
			continue;
		child->restart_at = NEVER;
		board_row_free(master->board, child->row);
		child->row = -1;
	}
}

static bool all_ready(const struct master *master, const struct generation *generation)
{
	FOREACH_CHILD(child, generation)
	{
		if (!child->pid || !board_is_ready(master->board, child->row))
			return false;
	}
	return true;
}

static void become_current(struct master *master, struct generation *generation)
{
	struct generation *former = master_generation(master, CURRENT);
	struct err_text text;
	generation->phase = CURRENT;
	generation->since = sys_now(master->sys);
	(void)err_set(&text, ERR_OK, "generation %u runs with %u worker%s", generation->number,
		generation->workers, generation->workers == 1 ? "" : "s");
	/* The word that makes its workers listen. */
	reload_ended(master, generation->number, true, text.text);
	if (former) {
		no_more_replacements(master, former, ROW_CONTROL);
		generation_drain(master, former, 2 * former->drain_timeout);
		child_order(master, former, ROW_CONTROL, ORDER_DRAIN);
	}
	retire_unwanted(master);
	master_wake_all(master);
}

static void fail(
	struct master *master, struct generation *generation, const char *why, const char *detail)
{
	struct err_text text;
	int64_t now = sys_now(master->sys);
	generation->phase = DRAINING;
	generation->since = generation->stop_at = now;
	generation->kill_at = now + LEAVE_WITHIN;
	no_more_replacements(master, generation, ROW_WORKER);
	no_more_replacements(master, generation, ROW_CONTROL);
	child_order(master, generation, ROW_WORKER, ORDER_STOP);
	child_order(master, generation, ROW_CONTROL, ORDER_STOP);
	retire_unwanted(master);
	(void)err_set(&text, ERR_BROKEN, "generation %u did not start: %s%s%s", generation->number,
		why, *detail ? ": " : "", detail);
	reload_ended(master, generation->number, false, text.text);
}

static void start_turn(struct master *master, struct generation *generation)
{
	if (all_ready(master, generation))
		become_current(master, generation);
	else if (generation->early_deaths >= EARLY_DEATHS_MAX)
		fail(master, generation, "its processes end while starting", generation->last_end);
	else if (sys_now(master->sys) - generation->since >= START_WITHIN)
		fail(master, generation, "its processes were not ready within 30 s",
			generation->last_end);
}

/* ---- the end ---- */

void generation_drain(struct master *master, struct generation *generation, int64_t stop_after)
{
	int64_t now = sys_now(master->sys);
	generation->phase = DRAINING;
	generation->since = now;
	generation->stop_at = now + stop_after;
	generation->kill_at = generation->stop_at + LEAVE_WITHIN;
	no_more_replacements(master, generation, ROW_WORKER);
	child_order(master, generation, ROW_WORKER, ORDER_DRAIN);
}

static void kill_all(struct generation *generation)
{
	FOREACH_CHILD(child, generation)
	{
		if (child->pid)
			kill(child->pid, SIGKILL);
	}
}

static bool any_worker(const struct master *master)
{
	const struct generation *generation;
	LIST_FOREACH (generation, &master->generations, next) {
		if (child_any(generation, true))
			return true;
	}
	return false;
}

static void drain_turn(struct master *master, struct generation *generation)
{
	int64_t now = sys_now(master->sys);
	no_more_replacements(master, generation, ROW_WORKER);
	if (now >= generation->stop_at)
		child_order(master, generation, ROW_WORKER, ORDER_STOP);
	/* The last control writes the log until the last worker has left. */
	if (!any_worker(master))
		child_order(master, generation, ROW_CONTROL, ORDER_DRAIN);
	if (now >= generation->kill_at)
		kill_all(generation);
	if (child_any(generation, false))
		return;
	no_more_replacements(master, generation, ROW_CONTROL);
	LIST_REMOVE(generation, next);
	forget_columns(master);
	dispose(generation);
}

void generation_turn(struct master *master)
{
	struct generation *generation, *following;
	for (generation = LIST_FIRST(&master->generations); generation; generation = following) {
		following = LIST_NEXT(generation, next);
		if (generation->phase == STARTING)
			start_turn(master, generation);
		else if (generation->phase == DRAINING)
			drain_turn(master, generation);
	}
	socket_set_retire(&master->sockets, sys_now(master->sys));
}
