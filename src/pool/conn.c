/*
 * A connection's life.
 *
 *                  .--------------- lent, the borrower's ops on its talk --------.
 *                  |                                                             |
 *     OPENING --greeted--> LENT --clean--> IDLE --picked--> LENT ...             |
 *        |                  |               |                                    |
 *        |                  |  `--retired---+--idle too long, yielded, drained--> QUITTING
 *        |                  |               |                                      |
 *        '----failed--------+-----dropped---+----closed by the server--------------+--> GONE
 *
 * A connection holds an open place on the server's column from before OPENING until GONE, QUIT's
 * round trip included, since the server counts it as long; an idle place while IDLE.
 */
#include "pool/private.h"

#include <assert.h>
#include <string.h>

#include "base/testing.h"
#include "board/logline.h"

/* Postfix slows a connection down from the 10th error on, counted over messages. */
#define REFUSALS_MOST 5
#define LINE_EVERY    SECOND

#define MAY(state) (1u << CONN_##state)

static const unsigned legal[CONN_STATES] = {
	[CONN_GONE] = MAY(OPENING),
	[CONN_OPENING] = MAY(LENT) | MAY(IDLE) | MAY(QUITTING) | MAY(GONE),
	[CONN_LENT] = MAY(IDLE) | MAY(QUITTING) | MAY(GONE),
	[CONN_IDLE] = MAY(LENT) | MAY(QUITTING) | MAY(GONE),
	[CONN_QUITTING] = MAY(GONE),
};

static struct pools *pools_of(const struct pool_conn *conn)
{
	return conn->server->pool->pools;
}

/* ---- moving ---- */

static void enter_idle(struct pool_conn *conn)
{
	struct pools *pools = pools_of(conn);

	TAILQ_INSERT_HEAD(&conn->server->idle, conn, next);
	board_claim(pools->world.board, pools->world.row, conn->server->column, PLACE_IDLE, 0);
	/* The timer is not cleared when the connection is lent: moving it later costs nothing. */
	conn->idle_until = pools_now(pools) + conn->server->settings->idle_timeout;
	net_timer_set(pools->world.loop, &conn->timer, conn->idle_until);
	pool_wait_freed(conn->server->pool, false);
}

static void leave_idle(struct pool_conn *conn)
{
	struct pools *pools = pools_of(conn);

	TAILQ_REMOVE(&conn->server->idle, conn, next);
	board_release(pools->world.board, pools->world.row, conn->server->column, PLACE_IDLE);
}

static void bury(struct pool_conn *conn)
{
	struct pools *pools = pools_of(conn);

	talk_client_free(&conn->talk);
	net_timer_clear(pools->world.loop, &conn->timer);
	if (conn->yielding)
		conn->server->pool->yielding--;
	if (conn->transactions > 0 || !PLANTED(claim_not_returned))
		board_release(
			pools->world.board, pools->world.row, conn->server->column, PLACE_OPEN);
	pools->open--;
	LIST_REMOVE(conn, all);
	SLIST_INSERT_HEAD(&pools->free_conns, conn, free_next);
	pool_wait_freed(conn->server->pool, true);
}

void pool_conn_turn(struct pool_conn *conn, enum conn_state to)
{
	enum conn_state from = conn->state;

	assert(legal[from] & (1u << to));
	conn->state = to;
	if (to != CONN_LENT && to != CONN_OPENING)
		conn->lending = NULL;
	if (from == CONN_IDLE)
		leave_idle(conn);
	if (to == CONN_IDLE)
		enter_idle(conn);
	if (to == CONN_GONE)
		bury(conn);
}

/* ---- what the conversation tells ---- */

static void observe(const struct pool_conn *conn, enum metric metric, int64_t took)
{
	const struct pool_world *world = &pools_of(conn)->world;

	board_observe(world->board, world->row, conn->server->column, metric, took);
}

static void on_greeted(void *arg)
{
	struct pool_conn *conn = arg;
	struct lending *lending = conn->lending;
	const struct smtp_offer *offer = talk_client_offer(conn->talk);

	assert(conn->state == CONN_OPENING);
	observe(conn, M_SERVER_time_connect, talk_client_time_connect(conn->talk));
	observe(conn, M_SERVER_time_greeting, talk_client_time_greeting(conn->talk));
	board_offer(pools_of(conn)->world.board, conn->server->column, offer->caps, offer->size);
	pool_server_works(conn->server);
	if (lending && !pool_offer_lacks(offer, lending->want.needs, lending->want.size)) {
		pool_conn_turn(conn, CONN_LENT);
		pool_lend_greeted(lending);
		return;
	}
	/* It is good for somebody else. */
	pool_conn_turn(conn, CONN_IDLE);
	if (lending)
		pool_lend_lost(lending, true, "it lacks an extension that the message needs");
}

/* A dead server fails as often as it is tried: a line a second says as much as all. */
static void log_failure(const struct pool_conn *conn, const struct talk_end *end)
{
	struct pools *pools = pools_of(conn);
	struct pool_server *server = conn->server;
	struct log_line line;

	if (pools_now(pools) < server->line_at)
		return;
	server->line_at = pools_now(pools) + LINE_EVERY;
	log_begin(&line, &pools->line, sys_wall(net_sys(pools->world.loop)), LOG_EVENT_connection);
	log_string(&line, LOG_pool, server->pool->name);
	log_string(&line, LOG_server, server->name);
	log_string(&line, LOG_phase, smtp_phase_name(end->phase));
	log_string(&line, LOG_reason, talk_close_text(end->why));
	log_string(&line, LOG_text, end->text);
	if (end->reply.code != 0) {
		buf_reset(&pools->reply);
		buf_addf(&pools->reply, "%d ", end->reply.code);
		smtp_reply_text(&end->reply, &pools->reply);
		log_text(&line, LOG_reply, buf_span(&pools->reply));
	}
	log_end(&line, pools->world.board, pools->world.row);
}

static void opening_failed(struct pool_conn *conn, const struct talk_end *end)
{
	struct pool_server *server = conn->server;
	struct lending *lending = conn->lending;
	bool full = end->why == CLOSE_GREETING_REFUSED && smtp_reply_too_many(&end->reply);

	log_failure(conn, end);
	if (full) {
		pool_server_refused_more(server);
	} else {
		pool_server_count(server, end->phase == PHASE_CONNECT ? M_SERVER_connects_failed
								      : M_SERVER_greetings_failed);
		pool_server_failed(server);
	}
	pool_conn_turn(conn, CONN_GONE);
	if (lending)
		pool_lend_lost(lending, !full, end->text);
}

static void on_ended(void *arg, const struct talk_end *end)
{
	struct pool_conn *conn = arg;
	struct lending *lending = conn->lending;

	switch (conn->state) {
	case CONN_OPENING:
		opening_failed(conn, end);
		return;
	case CONN_LENT: /* picked, and its borrower not told yet */
	case CONN_IDLE:
		pool_server_count(conn->server,
			end->why == CLOSE_POISONED ? M_SERVER_poisoned : M_SERVER_stale);
		pool_conn_turn(conn, CONN_GONE);
		if (lending)
			pool_lend_lost(lending, false, end->text);
		return;
	case CONN_QUITTING:
		pool_conn_turn(conn, CONN_GONE);
		return;
	case CONN_GONE:   /* unreachable: its conversation is over */
	case CONN_STATES: /* unreachable: no state */
		break;
	}
	assert(!"a connection that is gone has ended");
}

/* Nothing of ours is ever outstanding on it, beside what talk answers itself. */
static void on_reply(void *arg, const struct smtp_client_event *event)
{
	assert(!"a reply on a connection that nobody uses");
}

static const struct talk_client_ops ops = {
	.greeted = on_greeted,
	.reply = on_reply,
	.ended = on_ended,
};

/* ---- its time ---- */

static void on_timer(void *arg)
{
	struct pool_conn *conn = arg;

	/* Lent since it was set: enter_idle() will set it again. */
	if (conn->state == CONN_IDLE)
		pool_conn_quit(conn);
}

/* ---- opening ---- */

static struct pool_conn *conn_new(struct pools *pools)
{
	struct pool_conn *conn = SLIST_FIRST(&pools->free_conns);

	if (conn) {
		SLIST_REMOVE_HEAD(&pools->free_conns, free_next);
		memset(conn, 0, sizeof(*conn));
	} else {
		conn = mem_new(sizeof(*conn));
	}
	LIST_INSERT_HEAD(&pools->all_conns, conn, all);
	net_timer_init(&conn->timer, on_timer, conn);
	return conn;
}

/* All of its addresses, beginning with the next one each time. */
static unsigned addresses(struct pool_server *server, struct addr addr_r[BOARD_ADDRESSES])
{
	struct addr known[BOARD_ADDRESSES];
	unsigned count =
		board_addresses_of(server->pool->pools->world.board, server->column, known);

	for (unsigned i = 0; i < count; i++)
		addr_r[i] = known[(server->address + i) % count];
	server->address++;
	return count;
}

struct pool_conn *pool_conn_open(struct pool_server *server, struct lending *lending)
{
	struct pools *pools = server->pool->pools;
	struct pool_conn *conn = conn_new(pools);
	struct addr addr[BOARD_ADDRESSES];
	struct talk_client_setup setup = {
		.addr = addr,
		.addr_count = addresses(server, addr),
		.hostname = pools->world.hostname,
		.times = &server->times,
	};

	conn->server = server;
	conn->lending = lending;
	pools->open++;
	pool_server_count(server, M_SERVER_connects);
	pool_conn_turn(conn, CONN_OPENING);
	conn->talk = talk_client_new(pools->world.loop, &setup, &ops, conn);
	return conn;
}

/* ---- the way back ---- */

void pool_conn_quit(struct pool_conn *conn)
{
	pool_conn_turn(conn, CONN_QUITTING);
	talk_client_quit(conn->talk);
}

static bool is_worn(const struct pool_conn *conn)
{
	const struct pool_server *server = conn->server;
	int64_t most = server->settings->messages_per_connection;

	if (PLANTED(connection_overused))
		most = 0;
	return (most > 0 && conn->transactions >= most) || conn->refusals >= REFUSALS_MOST ||
	       pool_server_drained(server);
}

/* A word that came with the last reply is no other than one that comes a moment later. */
static void count_unasked(const struct pool_conn *conn)
{
	enum talk_close why;

	if (talk_client_unasked(conn->talk, &why))
		pool_server_count(
			conn->server, why == CLOSE_POISONED ? M_SERVER_poisoned : M_SERVER_stale);
}

void pool_conn_return(struct pool_conn *conn, enum pool_return how)
{
	assert(conn->state == CONN_LENT);
	talk_client_hand_over(conn->talk, &ops, conn);
	if (how != POOL_DROP && !conn->spoiled)
		count_unasked(conn);
	if (how == POOL_DROP || conn->spoiled || !talk_client_clean(conn->talk))
		pool_conn_turn(conn, CONN_GONE);
	else if (how == POOL_QUIT || is_worn(conn))
		pool_conn_quit(conn);
	else
		pool_conn_turn(conn, CONN_IDLE);
}

/* ---- idle ones ---- */

struct pool_conn *pool_conn_idle(const struct pool_server *server, uint32_t needs, uint64_t size)
{
	struct pool_conn *conn;

	/* Those that a server offered less or more in former days are rare: the first will do. */
	TAILQ_FOREACH (conn, &server->idle, next) {
		if (!pool_offer_lacks(talk_client_offer(conn->talk), needs, size))
			return conn;
	}
	return NULL;
}

void pool_conn_quit_idle(struct pool_server *server)
{
	struct pool_conn *conn;

	while ((conn = TAILQ_FIRST(&server->idle)))
		pool_conn_quit(conn);
}
