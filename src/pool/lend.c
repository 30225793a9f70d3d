/*
 * A lending: from pool_lend() to pool_give_back().
 *
 * A server that can't be connected to is the pool's business: the lending goes on to the next one
 * from the top, and remembers for itself which have failed.  The borrower hears of it only when
 * nothing is left, or its time is over.
 */
#include "pool/private.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct pools *pools_of(const struct lending *lending)
{
	return lending->loan.pool->pools;
}

static void count(const struct lending *lending, enum metric metric)
{
	const struct pool_world *world = &pools_of(lending)->world;

	board_add(world->board, world->row, lending->loan.pool->column, metric, 1);
}

/* ---- making and freeing ---- */

static void on_timer(void *arg);

static struct lending *lending_new(struct pool *pool)
{
	struct pools *pools = pool->pools;
	struct lending *lending = SLIST_FIRST(&pools->free_lendings);

	if (lending) {
		SLIST_REMOVE_HEAD(&pools->free_lendings, free_next);
		memset(lending, 0, sizeof(*lending));
	} else {
		lending = mem_new(sizeof(*lending));
	}
	LIST_INSERT_HEAD(&pools->all_lendings, lending, all);
	net_timer_init(&lending->timer, on_timer, lending);
	lending->loan.pool = pool;
	lending->loan.pool_name = pool->name;
	lending->began = pools_now(pools);
	return lending;
}

/* The server it was to have; it has none then. */
static void let_go(struct lending *lending)
{
	const struct pool_world *world = &pools_of(lending)->world;

	if (!lending->loan.server)
		return;
	board_release(world->board, world->row, lending->loan.column, PLACE_LIVE);
	lending->loan.server = NULL;
	lending->conn = NULL;
}

void pool_lend_free(struct lending *lending)
{
	struct pools *pools = pools_of(lending);

	let_go(lending);
	net_timer_clear(pools->world.loop, &lending->timer);
	LIST_REMOVE(lending, all);
	SLIST_INSERT_HEAD(&pools->free_lendings, lending, free_next);
}

/* ---- on the way ---- */

static void make_due(struct lending *lending, enum err err)
{
	struct pools *pools = pools_of(lending);

	net_timer_clear(pools->world.loop, &lending->timer);
	lending->state = LENDING_DUE;
	lending->err = err;
	lending->serial = pools->serial;
	TAILQ_INSERT_TAIL(&pools->due, lending, next);
	pools_stir(pools);
}

/* Without being served: those behind it may go on. */
static void stop_waiting(struct lending *lending)
{
	if (lending->state != LENDING_WAITING)
		return;
	pool_wait_leave(lending);
	pool_wait_freed(lending->loan.pool, true);
}

void pool_lend_fail(struct lending *lending, enum err err, const char *text)
{
	char words[sizeof(lending->text)];

	snprintf(words, sizeof(words), "%s", text); /* may be a part of what it replaces */
	memcpy(lending->text, words, sizeof(words));
	stop_waiting(lending);
	let_go(lending);
	make_due(lending, err);
}

void pool_lend_give(struct lending *lending, enum pick pick)
{
	struct pools *pools = pools_of(lending);
	struct err_text text;
	enum err err;

	switch (pick) {
	case PICK_IDLE:
		make_due(lending, ERR_OK);
		break;
	case PICK_OPEN:
		lending->state = LENDING_OPENING;
		net_timer_set(pools->world.loop, &lending->timer, lending->want.deadline);
		lending->conn = pool_conn_open(lending->loan.server, lending);
		break;
	case PICK_WAIT:
		pool_wait_join(lending);
		break;
	case PICK_NONE:
		err = pool_pick_none(lending, &text);
		pool_lend_fail(lending, err, text.text);
		break;
	}
}

/* Who comes when somebody waits, in any row, goes to the queue's end. */
void pool_lend_try(struct lending *lending)
{
	bool must_queue = pool_wait_anyone(lending->loan.pool);

	pool_lend_give(lending, must_queue ? PICK_WAIT : pool_pick(lending));
}

void pool_lend_greeted(struct lending *lending)
{
	assert(lending->state == LENDING_OPENING);
	make_due(lending, ERR_OK);
}

void pool_lend_lost(struct lending *lending, bool elsewhere, const char *text)
{
	struct pools *pools = pools_of(lending);
	unsigned index = lending->loan.server->index;

	if (elsewhere)
		lending->failed[index / 64] |= UINT64_C(1) << index % 64;
	if (lending->state == LENDING_DUE)
		TAILQ_REMOVE(&pools->due, lending, next);
	snprintf(lending->text, sizeof(lending->text), "%s", text);
	let_go(lending);
	net_timer_clear(pools->world.loop, &lending->timer);
	lending->state = LENDING_NEW;
	pool_lend_try(lending);
}

/* The connection goes on without its lending: somebody will want it. */
static void leave_connection(struct lending *lending)
{
	struct pool_conn *conn = lending->conn;

	if (!conn)
		return;
	lending->conn = NULL;
	conn->lending = NULL;
	if (conn->state == CONN_LENT)
		pool_conn_turn(conn, CONN_IDLE);
}

static void waited_enough(struct lending *lending)
{
	struct pools *pools = pools_of(lending);
	bool late = pools_now(pools) >= lending->want.deadline;
	long long waited = (pools_now(pools) - lending->began) / MSEC;
	char text[sizeof(lending->text)];

	count(lending, M_POOL_queue_timeouts);
	snprintf(text, sizeof(text),
		lending->nameless ? "no address of a server of pool %s was known for %lld ms"
				  : "no connection was free in pool %s for %lld ms",
		lending->loan.pool_name, waited);
	pool_lend_fail(lending, late ? ERR_TIMEOUT : lending->nameless ? ERR_DOWN : ERR_FULL, text);
}

static void on_timer(void *arg)
{
	struct lending *lending = arg;
	char text[sizeof(lending->text)];

	if (lending->state == LENDING_WAITING) {
		waited_enough(lending);
		return;
	}
	assert(lending->state == LENDING_OPENING);
	snprintf(text, sizeof(text), "server %s had not answered in time",
		lending->loan.server_name);
	leave_connection(lending);
	pool_lend_fail(lending, ERR_TIMEOUT, text);
}

/* ---- the borrower's side ---- */

struct pool_loan *pool_lend(
	struct pool *pool, const struct pool_want *want, pool_ready_fn *ready, void *arg)
{
	struct lending *lending = lending_new(pool);

	lending->want = *want;
	lending->ready = ready;
	lending->arg = arg;
	pool_lend_try(lending);
	return &lending->loan;
}

static void count_ready(const struct lending *lending)
{
	const struct pool_world *world = &pools_of(lending)->world;

	count(lending, M_POOL_lent);
	board_observe(world->board, world->row, lending->loan.pool->column, M_POOL_time_waiting,
		lending->loan.waited);
	pool_server_count(lending->loan.server, M_SERVER_attempts);
	if (lending->loan.reused)
		pool_server_count(lending->loan.server, M_SERVER_reused);
}

static void hand_out(struct lending *lending)
{
	struct pool_conn *conn = lending->conn;
	struct pool_loan *loan = &lending->loan;

	lending->state = LENDING_OUT;
	loan->talk = conn->talk;
	loan->reused = conn->transactions > 0;
	loan->must_reset = conn->must_reset;
	loan->waited = pools_now(pools_of(lending)) - lending->began;
	conn->transactions++;
	count_ready(lending);
	lending->ready(lending->arg, ERR_OK, loan, "");
}

static void tell_failure(struct lending *lending)
{
	pool_ready_fn *ready = lending->ready;
	void *arg = lending->arg;
	enum err err = lending->err;
	char text[sizeof(lending->text)];

	memcpy(text, lending->text, sizeof(text));
	pool_lend_free(lending);
	ready(arg, err, NULL, text);
}

/* Those that become due meanwhile come with the next delivery: a borrower that asks again at once
 * must not hold the loop. */
void pool_lend_deliver(struct pools *pools)
{
	uint64_t serial = pools->serial++;
	struct lending *lending;

	while ((lending = TAILQ_FIRST(&pools->due)) && lending->serial <= serial) {
		TAILQ_REMOVE(&pools->due, lending, next);
		if (lending->err == ERR_OK)
			hand_out(lending);
		else
			tell_failure(lending);
	}
}

static void cancel(struct lending *lending)
{
	stop_waiting(lending);
	if (lending->state == LENDING_DUE)
		TAILQ_REMOVE(&pools_of(lending)->due, lending, next);
	leave_connection(lending);
}

void pool_give_back(struct pool_loan **loan, enum pool_return how)
{
	struct lending *lending = (struct lending *)*loan;
	struct pool_conn *conn = lending->conn;

	*loan = NULL;
	if (lending->state == LENDING_OUT) {
		conn->must_reset = lending->loan.must_reset;
		let_go(lending);
		pool_conn_return(conn, how);
	} else {
		cancel(lending);
	}
	pool_lend_free(lending);
}
