/*
 * A server of the world: it follows SMTP until a fault of the scene says otherwise, judges what it
 * is told, and enters in the ledger what it takes.  This file has the connections' life; see
 * server_inside.h for the others.
 *
 * A connection outlives its end for a moment where a message was received in whole and not yet
 * taken: a real server takes it, though nobody is there any more to hear so.
 */
#include "sim/server_inside.h"

#include <stdio.h>
#include <stdlib.h>

#include "sim/wire_inside.h"

#define IDLE_MOST (5 * MINUTE)

bool conn_fault(struct conn *conn, enum sim_fault fault)
{
	return world_fault(conn_world(conn), &conn->rng, fault);
}

/* ---- ends ---- */

static void free_conn(struct conn *conn)
{
	struct world *world = conn_world(conn);

	world_unset(world, &conn->work);
	world_unset(world, &conn->idle);
	world_unset(world, &conn->watch);
	LIST_REMOVE(conn, all);
	legal_free(&conn->legal);
	envelope_clear(&conn->tx);
	buf_clear(&conn->say.text);
	buf_clear(&conn->say.surplus);
	free(conn->said);
	free(conn);
}

/* The end is gone.  Whoever calls may still look at the connection, so it is freed later. */
static void gone(struct conn *conn)
{
	struct world *world = conn_world(conn);

	conn->end = NULL;
	world_unset(world, &conn->idle);
	world_unset(world, &conn->watch);
	if (!conn->say.take)
		world_unset(world, &conn->work);
}

static void reap(struct sim_server *server)
{
	struct conn *conn = LIST_FIRST(&server->conns);

	while (conn) {
		struct conn *next = LIST_NEXT(conn, all);

		if (!conn->end && conn->work.slot == 0)
			free_conn(conn);
		conn = next;
	}
}

void conn_close(struct conn *conn, bool reset)
{
	conn->say.take = false;
	conn_note_read(conn);
	if (conn->end)
		wire_close(&conn->end, reset);
	gone(conn);
}

void conn_hang_up(struct conn *conn)
{
	conn_close(conn, rng_one_in(&conn->rng, 4));
}

/* ---- one thing at a time ---- */

static void work_done(void *arg)
{
	struct conn *conn = arg;

	conn->busy = false;
	conn->next(conn);
}

void conn_later(struct conn *conn, int64_t delay, void (*next)(struct conn *conn))
{
	conn->busy = true;
	conn->next = next;
	world_set(conn_world(conn), &conn->work, conn_world(conn)->now + delay, work_done, conn);
}

void conn_never(struct conn *conn)
{
	conn->forever = true;
	conn_later(conn, SERVER_NEVER, conn_hang_up);
}

void conn_fall_deaf(struct conn *conn, bool fresh)
{
	int64_t stay = rng_between(&conn->rng, SECOND, MINUTE);

	conn->stage = STAGE_DEAF;
	conn->fresh = fresh && wire_heard(conn->end).len == 0;
	world_unset(conn_world(conn), &conn->idle);
	conn_later(conn, stay, conn_hang_up);
	conn_eat(conn, wire_heard(conn->end).len);
}

static bool step(struct conn *conn)
{
	switch (conn->stage) {
	case STAGE_BANNER:
		return false;
	case STAGE_COMMANDS:
		return conn_hear_line(conn);
	case STAGE_BODY:
	case STAGE_CHUNK:
		return conn_take(conn);
	case STAGE_DEAF:
		return false; /* see on_heard() */
	}
	return false;
}

/* Quiet between two transactions: here a connection can be lent to the next client. */
bool conn_is_idle(const struct conn *conn)
{
	return conn->stage == STAGE_COMMANDS && conn->greeted && !conn->tx.open && !conn->busy &&
	       wire_heard(conn->end).len == 0;
}

void conn_await(struct conn *conn, bool may_fail)
{
	int64_t wait = IDLE_MOST;

	conn->idle_fault = may_fail && conn_is_idle(conn);
	if (conn->idle_fault)
		wait = rng_skewed(&conn->rng, 20 * MSEC, MINUTE);
	world_set(conn_world(conn), &conn->idle, conn_world(conn)->now + wait, conn_idle, conn);
}

void conn_go_on(struct conn *conn)
{
	if (conn->running)
		return;
	conn->running = true;
	while (conn->end && !conn->busy && step(conn))
		;
	conn->running = false;
	if (!conn->end || conn->busy)
		return;
	if (conn->finished)
		conn_close(conn, false);
	else if (conn->stage != STAGE_BANNER)
		conn_await(conn, true);
}

void conn_eat(struct conn *conn, size_t len)
{
	conn->judged -= len;
	if (len > 0)
		wire_eat(conn->end, len);
}

/* ---- what the wire tells ---- */

/* A reply came that nobody had asked for, and all was quiet.  Whoever had read it, and then goes on
 * as if nothing had been, will take it for the answer to what he sends now. */
static void judge_poisoned(struct conn *conn, struct span heard)
{
	const struct wire_lane *lane = &wire_peer(conn->end)->lane;

	if (!conn->fresh)
		return;
	conn->fresh = false;
	if (conn->poison_read && heard.at[0] != 'Q' &&
		lane->arrived - heard.len >= conn->poison_after)
		world_fail(conn_world(conn), "poisoned",
			"%s: used after it had read a reply that nobody had asked for", conn->who);
	conn_later(conn, rng_between(&conn->rng, 0, 20 * MSEC), conn_hang_up);
}

static void judge(struct conn *conn)
{
	struct span heard = wire_heard(conn->end);
	const char *words;

	conn_watch(conn);
	conn_note_read(conn);
	words = legal_heard(conn->legal, span_from(heard, conn->judged));
	conn->judged = heard.len;
	if (words)
		world_fail(conn_world(conn), "illegal", "%s: %s", conn->who, words);
}

static void on_heard(void *arg)
{
	struct conn *conn = arg;
	struct span heard;

	if (conn->stage != STAGE_DEAF) {
		judge(conn);
		conn_go_on(conn);
		return;
	}
	heard = wire_heard(conn->end);
	if (heard.len > 0)
		judge_poisoned(conn, heard);
	conn->judged = heard.len;
	conn_eat(conn, heard.len);
}

static void on_finished(void *arg)
{
	struct conn *conn = arg;

	conn->finished = true;
	if (conn->forever || conn->stage == STAGE_BANNER || conn->stage == STAGE_DEAF)
		conn_close(conn, false);
	else
		conn_go_on(conn);
}

static void on_reset(void *arg)
{
	conn_note_read(arg);
	gone(arg);
}

static const struct wire_ops conn_ops = {
	.heard = on_heard,
	.finished = on_finished,
	.reset = on_reset,
};

/* ---- connections come ---- */

static enum wire_answer on_asked(void *arg)
{
	struct sim_server *server = arg;
	struct world *world = server->setup.world;

	if (world_fault(world, &server->rng, FAULT_server_refuses_connection))
		return WIRE_REFUSES;
	if (world_fault(world, &server->rng, FAULT_server_silent_connect))
		return WIRE_SILENT;
	return WIRE_ACCEPTS;
}

/* The limit is of what lends connections; a health check has one of its own at a time. */
static void judge_limit(const struct sim_server *server)
{
	unsigned limit = server->setup.max_connections, open;

	open = wire_open_to(server->setup.net, &server->setup.at);
	if (limit > 0 && open > limit + server->setup.checks)
		world_fail(server->setup.world, "over-limit",
			"server %s: %u connections, and max-connections is %u", server->name, open,
			limit);
}

static void on_accepted(void *arg, struct wire_end *end, const struct addr *peer)
{
	struct sim_server *server = arg;
	const struct sim_server_setup *setup = &server->setup;
	struct legal_offers offers = {.pipelining = setup->pipelining,
		.chunking = setup->chunking,
		.eightbit = setup->eightbit,
		.size = setup->size};
	struct conn *conn;

	reap(server);
	judge_limit(server);
	conn = mem_new(sizeof(*conn));
	LIST_INSERT_HEAD(&server->conns, conn, all);
	conn->server = server;
	conn->end = end;
	snprintf(conn->who, sizeof(conn->who), "server %s.%llu", server->name,
		(unsigned long long)server->sessions);
	world_rng(setup->world, &conn->rng, "server",
		(uint64_t)setup->number * 100000 + server->sessions++);
	conn->legal = legal_new(&offers);
	wire_own(end, conn->who, &conn_ops, conn);
	conn_greet(conn);
}

static const struct wire_server_ops server_ops = {.asked = on_asked, .accepted = on_accepted};

/* ---- servers ---- */

struct sim_server *sim_server_new(const struct sim_server_setup *setup)
{
	struct sim_server *server = mem_new(sizeof(*server));

	server->setup = *setup;
	snprintf(server->name, sizeof(server->name), "%s", setup->name);
	LIST_INIT(&server->conns);
	world_rng(setup->world, &server->rng, "server", (uint64_t)setup->number * 100000 + 99999);
	server->listener = wire_listen(setup->net, &setup->at, &server_ops, server);
	return server;
}

void sim_server_free(struct sim_server **server)
{
	struct conn *conn;

	if (!*server)
		return;
	wire_unlisten(&(*server)->listener);
	while ((conn = LIST_FIRST(&(*server)->conns))) {
		conn_close(conn, true);
		free_conn(conn);
	}
	free(*server);
	*server = NULL;
}

uint64_t sim_server_sessions(const struct sim_server *server)
{
	return server->sessions;
}

uint64_t sim_server_commands(const struct sim_server *server)
{
	return server->commands;
}
