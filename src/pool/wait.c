/*
 * The queue for a free place, first come, first served across the workers.
 *
 *     row 1   waiting: 3 6     shows 3      place freed in row 1: serve 3
 *     row 2   waiting: 4 5     shows 4      place freed in row 1 later: 4 < 6, wake row 2
 *
 * Each row serves its own waiters by ticket and shows the lowest on the board.  Before a waiter
 * takes a place its own ticket is shown and compared with the others', so nobody overtakes, but:
 *
 * A connection can't move to another worker.  For an older waiter elsewhere it is closed and opened
 * again there.  So it stays for our own waiter if that one's ticket is less than the server's
 * number of places younger: so many are served at once, and in what order can't be seen.  Measured
 * with 2 workers, 16 places and 48 senders: strict order closes one connection in 9 messages and
 * serves a quarter less, this one in 65; with one place it is strict.
 *
 * An older waiter may need a server that offers more, or its process may hang.  It is woken for
 * each free place; one that it leaves alone for PASS_AFTER is not for it.
 */
#include "pool/private.h"

#include <assert.h>

#include "base/testing.h"

#define PASS_AFTER (50 * MSEC)
#define ASK_AGAIN  (15 * MSEC)

static struct board *board_of(const struct pool *pool)
{
	return pool->pools->world.board;
}

static int row_of(const struct pool *pool)
{
	return pool->pools->world.row;
}

bool pool_wait_anyone(const struct pool *pool)
{
	return board_waiting(board_of(pool), pool->column, NULL) >= 0;
}

/* ---- joining and leaving ---- */

static void show(const struct pool *pool)
{
	const struct lending *oldest = TAILQ_FIRST(&pool->waiting);

	board_wait(board_of(pool), row_of(pool), pool->column, oldest ? oldest->ticket : 0);
}

static void count_waiting(const struct pool *pool, int by)
{
	board_add(board_of(pool), row_of(pool), pool->column, M_POOL_waiting, by);
}

/* One that was served, but whose server failed, still has its ticket and comes in front. */
static void insert(struct pool *pool, struct lending *lending)
{
	struct lending *before = TAILQ_LAST(&pool->waiting, lendings);

	while (before && before->ticket > lending->ticket)
		before = TAILQ_PREV(before, lendings, next);
	if (before)
		TAILQ_INSERT_AFTER(&pool->waiting, before, lending, next);
	else
		TAILQ_INSERT_HEAD(&pool->waiting, lending, next);
}

/* All others are alike: what one of them can't have the next can't have either. */
static bool is_picky(const struct lending *lending)
{
	const struct pool_want *want = &lending->want;

	for (unsigned i = 0; i < sizeof(lending->failed) / sizeof(lending->failed[0]); i++) {
		if (lending->failed[i])
			return true;
	}
	return want->fresh || want->needs || want->size || (want->tried && want->tried->count > 0);
}

void pool_wait_join(struct lending *lending)
{
	struct pool *pool = lending->loan.pool;
	int64_t until = lending->want.deadline;

	assert(lending->state == LENDING_NEW);
	if (lending->ticket == 0) {
		lending->ticket = board_ticket(board_of(pool), pool->column);
		lending->queue_until = pools_now(pool->pools) + pool->settings->queue;
	}
	lending->state = LENDING_WAITING;
	lending->round = pool->round;
	lending->picky = is_picky(lending);
	pool->picky += lending->picky;
	insert(pool, lending);
	show(pool);
	count_waiting(pool, 1);
	if (lending->queue_until < until)
		until = lending->queue_until;
	net_timer_set(pool->pools->world.loop, &lending->timer, until);
	/* A place may have been given back between our pick and our ticket. */
	pool->stirred = true;
	pools_stir(pool->pools);
}

void pool_wait_leave(struct lending *lending)
{
	struct pool *pool = lending->loan.pool;

	assert(lending->state == LENDING_WAITING);
	lending->state = LENDING_NEW;
	TAILQ_REMOVE(&pool->waiting, lending, next);
	pool->picky -= lending->picky;
	show(pool);
	count_waiting(pool, -1);
	net_timer_clear(pool->pools->world.loop, &lending->timer);
}

/* ---- fairness ---- */

/* It came since the queue was last served: it overtakes nobody at all. */
static bool is_newcomer(const struct lending *lending)
{
	return lending->ticket == 0 || lending->round + 1 >= lending->loan.pool->round;
}

bool pool_wait_may_have(
	struct survey *survey, const struct lending *lending, struct pool_server *server, bool idle)
{
	int64_t now = pools_now(server->pool->pools);
	uint64_t foreign = survey->foreign;

	if (foreign == 0 || (lending->ticket > 0 && lending->ticket < foreign))
		return true;
	if (idle && !is_newcomer(lending) && lending->ticket - foreign < pool_server_limit(server))
		return true;
	survey->blocked = true;
	if (server->blocked_by != foreign) {
		server->blocked_by = foreign;
		server->blocked_since = now;
	}
	return now - server->blocked_since >= PASS_AFTER;
}

/* ---- making room for others ---- */

static struct pool_conn *spare_connection(struct pool *pool)
{
	for (unsigned i = 0; i < pool->servers; i++) {
		struct pool_server *server = &pool->server[i];

		/* Where there is room nobody needs our place. */
		if (!TAILQ_EMPTY(&server->idle) && pool_server_full(server))
			return TAILQ_LAST(&server->idle, pool_conns);
	}
	return NULL;
}

/* One at a time: each row shows one waiter only, and the next wake comes when this one is gone. */
static void yield(struct pool_conn *conn)
{
	struct pool *pool = conn->server->pool;

	if (pool->yielding > 0)
		return;
	conn->yielding = true;
	pool->yielding++;
	pool_conn_quit(conn);
}

static void yield_one(struct pool *pool)
{
	struct pool_conn *conn = spare_connection(pool);

	if (conn)
		yield(conn);
}

/* The process has no descriptor left: the connection of any pool that has been idle for longest. */
static void yield_descriptor(struct pools *pools)
{
	struct pool_conn *oldest = NULL;

	for (unsigned i = 0; i < pools->pools; i++) {
		for (unsigned j = 0; j < pools->pool[i].servers; j++) {
			struct pool_conn *conn =
				TAILQ_LAST(&pools->pool[i].server[j].idle, pool_conns);

			if (conn && (!oldest || conn->idle_until < oldest->idle_until))
				oldest = conn;
		}
	}
	if (oldest)
		yield(oldest);
}

static void wake_idle_rows(struct pool *pool)
{
	for (unsigned i = 0; i < pool->servers; i++) {
		int row = board_idle_row(board_of(pool), pool->server[i].column, row_of(pool));

		if (row >= 0) {
			sys_wake(net_sys(pool->pools->world.loop), row);
			return;
		}
	}
}

/* Once for each waiter, and again each ASK_AGAIN: two rows must not wake each other in turn as
 * fast as they can. */
static void ask_for_room(struct pool *pool, const struct lending *oldest)
{
	int64_t now = pools_now(pool->pools);

	if (pool->asked_for == oldest->ticket && now < pool->asked_at + ASK_AGAIN)
		return;
	pool->asked_for = oldest->ticket;
	pool->asked_at = now;
	wake_idle_rows(pool);
}

static bool has_room(const struct pool *pool)
{
	for (unsigned i = 0; i < pool->servers; i++) {
		if (!pool_server_full(&pool->server[i]))
			return true;
	}
	return false;
}

/* Those that are left wait for others, or others for us. */
static void look_around(struct pool *pool, bool served)
{
	int row = board_waiting(board_of(pool), pool->column, NULL);
	const struct lending *oldest = TAILQ_FIRST(&pool->waiting);

	if (oldest && !pools_have_room(pool->pools))
		yield_descriptor(pool->pools);
	if (row >= 0 && row != row_of(pool)) {
		/* It may have waited for nothing but our ticket. */
		if (served && has_room(pool))
			sys_wake(net_sys(pool->pools->world.loop), row);
		yield_one(pool);
	} else if (oldest) {
		/* One that can't use our idle connections gets a place instead. */
		if (oldest->picky)
			yield_one(pool);
		ask_for_room(pool, oldest);
	}
}

/* ---- serving ---- */

static bool serve_one(struct lending *lending)
{
	struct pool *pool = lending->loan.pool;
	const struct survey *survey = &pool->pools->survey;
	enum pick pick;

	board_wait(board_of(pool), row_of(pool), pool->column, lending->ticket);
	pick = pool_pick(lending);
	lending->nameless = survey->nameless && !survey->full && !survey->blocked;
	if (pick == PICK_WAIT)
		return false;
	KILL_POINT("wait: served, ticket shown");
	pool_wait_leave(lending);
	pool_lend_give(lending, pick);
	return true;
}

void pool_wait_serve(struct pool *pool)
{
	struct lending *lending, *after;
	bool plain_waits = false, served = false;

	pool->stirred = false;
	pool->round++;
	for (lending = TAILQ_FIRST(&pool->waiting); lending; lending = after) {
		bool picky = lending->picky;

		if (plain_waits && pool->picky == 0)
			break;
		after = TAILQ_NEXT(lending, next);
		if (plain_waits && !picky)
			continue;
		if (serve_one(lending))
			served = true;
		else if (!picky)
			plain_waits = true;
	}
	show(pool);
	look_around(pool, served);
}

void pool_wait_freed(struct pool *pool, bool for_all)
{
	int row = board_waiting(board_of(pool), pool->column, NULL);

	if (pool->pools->closing || (row < 0 && !pool->pools->draining))
		return;
	if (PLANTED(lost_place_wakeup))
		return;
	pool->stirred = true;
	pools_stir(pool->pools);
	if (for_all && row >= 0 && row != row_of(pool))
		sys_wake(net_sys(pool->pools->world.loop), row);
}
