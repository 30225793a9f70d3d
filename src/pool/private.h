/*
 * What the files of pool share: the objects, and who may do what to them.
 *
 *     pools ---- pool ---- pool_server ---- pool_conn ---- talk_client
 *                  |                            |
 *               waiting: lending, lending    lending  (the borrower holds its pool_loan)
 *
 *     lend.c     a lending from pool_lend() to pool_give_back()
 *     pick.c     which server, and the claim of a place on it
 *     wait.c     the queue, and fairness between rows
 *     conn.c     a connection's life
 *     server.c   one server as this worker sees it: limits, breaker, addresses
 *     note.c     what became of a transaction
 *     offer.c    what others ask
 *     pools.c    all of it: making, ticking, draining, freeing
 *
 * Nothing calls a borrower back but pool_lend_deliver(), which pools.c runs from a timer of the
 * loop; so no call of a borrower's can come back to it, and lists may change freely meanwhile.
 */
#ifndef POOL_PRIVATE_H
#define POOL_PRIVATE_H

#include <sys/queue.h>

#include "base/rng.h"
#include "pool/pool.h"
#include "pool/pool_conf.h"

struct pool_conn;
struct lending;
TAILQ_HEAD(pool_conns, pool_conn);
TAILQ_HEAD(lendings, lending);

struct pool_server {
	struct pool *pool;
	const char *name;
	const struct pool_server_settings *settings;
	struct talk_client_times times;
	int column;
	unsigned index; /* in the pool */
	uint64_t id;
	bool named;       /* its addresses are known; they never become unknown again */
	unsigned address; /* to begin with at the next connection */

	int64_t credit;
	bool out; /* was not usable when last looked at: its credit begins anew */
	int64_t latency, latency_at;

	unsigned failures; /* of connecting, in a row */
	int64_t avoid_until;
	int64_t full_until;
	int64_t line_at; /* the log's next line about a failed connection not before */

	/* An older waiter of another row leaves a free place alone: whose, and since when. */
	uint64_t blocked_by;
	int64_t blocked_since;

	struct pool_conns idle; /* the most recently used first */
};

struct pool {
	struct pools *pools;
	const char *name;
	const struct pool_settings *settings;
	int column;
	struct pool_server *server;
	unsigned servers;
	int64_t first_tier;      /* the lowest there is */
	struct lendings waiting; /* by ticket */
	unsigned picky;          /* of these, those that can't take just any place */
	unsigned yielding;       /* connections that are closing to make room for another row */
	bool stirred;            /* something was freed: its queue is to be served */
	uint64_t round;          /* counts how often it was */
	uint64_t asked_for;      /* the waiter for whom other rows were last asked to make room */
	int64_t asked_at;
};

/* What a survey of a pool's servers found for one lending. */
struct survey {
	int candidates;   /* that have a place for it; in pools->candidate and ->choice */
	bool usable;      /* there are servers for it, with or without a place */
	bool nameless;    /* the address of one isn't known yet */
	bool full;        /* one has no place free */
	int64_t rank;     /* of those */
	uint64_t foreign; /* the lowest ticket that another row shows; 0: none */
	bool blocked;     /* a place is free, and left to that one */
	unsigned tried, lacking, out, drained, failed; /* the others, by why */
};

struct choice {
	struct pool_server *server;
	struct pool_conn *idle; /* on it; NULL: a new connection */
};

struct pools {
	struct pool_world world;
	struct pool *pool;
	unsigned pools;
	struct rng rng;
	unsigned open; /* connections */
	bool draining, closing;

	/* As many as the largest pool has servers. */
	struct candidate *candidate;
	struct choice *choice;
	int64_t *rank;
	struct survey survey;
	struct buf line, reply; /* a log line is made here */

	struct net_timer soon;
	struct lendings due; /* their borrowers are to be told */
	uint64_t serial;     /* of deliveries */
	LIST_HEAD(, lending) all_lendings;
	LIST_HEAD(, pool_conn) all_conns;
	SLIST_HEAD(, lending) free_lendings;
	SLIST_HEAD(, pool_conn) free_conns;
};

enum conn_state { CONN_GONE, CONN_OPENING, CONN_LENT, CONN_IDLE, CONN_QUITTING, CONN_STATES };

struct pool_conn {
	enum conn_state state;
	struct pool_server *server;
	struct talk_client *talk;
	struct lending *lending; /* OPENING: who waits for it, or NULL; LENT: who has it */
	unsigned transactions;   /* that it was lent for */
	unsigned refusals;       /* since the last accepted message */
	bool must_reset;
	bool spoiled;  /* not to be used again */
	bool yielding; /* counted in pool->yielding */
	int64_t idle_until;
	struct net_timer timer;
	TAILQ_ENTRY(pool_conn) next; /* idle */
	LIST_ENTRY(pool_conn) all;
	SLIST_ENTRY(pool_conn) free_next;
};

/*
 *      pool_lend()
 *          |---- no place ---> WAITING --- place ---.
 *          |                                        v
 *          |---- new connection ---------------> OPENING --- failed: from the top, another server
 *          |                                        |
 *          '---- idle connection ---> DUE <---------'     DUE with an error: nothing to be had
 *                                      | deliver
 *                                      v
 *                                     OUT ---> pool_give_back()
 */
enum lending_state { LENDING_NEW, LENDING_WAITING, LENDING_OPENING, LENDING_DUE, LENDING_OUT };

struct lending {
	struct pool_loan loan; /* the borrower's handle; loan.server: we hold a live place on it */
	struct pool_want want;
	pool_ready_fn *ready;
	void *arg;
	enum lending_state state;
	enum err err; /* DUE: what the borrower will be told */
	struct pool_conn *conn;
	bool picky;      /* WAITING: not just any place will do */
	bool nameless;   /* WAITING: for addresses, not for places */
	uint64_t ticket; /* 0: none */
	uint64_t round;  /* WAITING: the queue's when it joined */
	int64_t began, queue_until;
	uint64_t serial; /* DUE: not before this delivery */
	struct net_timer timer;
	uint64_t failed[BOARD_COLUMNS /
			64];       /* servers, by index, that failed it or lack something */
	char text[200];            /* DUE: in words */
	TAILQ_ENTRY(lending) next; /* waiting, due */
	LIST_ENTRY(lending) all;
	SLIST_ENTRY(lending) free_next;
};

static inline int64_t pools_now(const struct pools *pools)
{
	return net_now(pools->world.loop);
}

static inline void pool_server_count(const struct pool_server *server, enum metric metric)
{
	const struct pool_world *world = &server->pool->pools->world;

	board_add(world->board, world->row, server->column, metric, 1);
}

/* ---- pools.c ---- */
/* Something changed: serve queues and tell borrowers, from the loop, still in this turn. */
void pools_stir(struct pools *pools);
/* The process may open one more socket. */
bool pools_have_room(const struct pools *pools);

/* ---- server.c ---- */
void pool_server_init(struct pool_server *server, struct pool *pool, unsigned index,
	const struct conf_block *block);
/* Over all workers; what the server taught us counts. */
uint32_t pool_server_limit(const struct pool_server *server);
/* All places are taken, or the server said so just now. */
bool pool_server_full(const struct pool_server *server);
bool pool_server_drained(const struct pool_server *server); /* by hand; weight 0 is the same */
bool pool_server_named(struct pool_server *server);
bool pool_server_lacks(const struct pool_server *server, uint32_t needs, uint64_t size);
bool pool_offer_lacks(const struct smtp_offer *offer, uint32_t needs, uint64_t size);
/* It refused a connection because there are too many of ours.  To be called while that still
 * holds its place. */
void pool_server_refused_more(struct pool_server *server);
/* The local breaker: a worker that can't connect doesn't wait for control to say so. */
void pool_server_failed(struct pool_server *server);
void pool_server_works(struct pool_server *server);
bool pool_server_avoided(const struct pool_server *server);
int64_t pool_server_latency(const struct pool_server *server); /* as of now */
void pool_server_took(struct pool_server *server, int64_t took);

/* ---- conn.c ---- */
/* Begin to connect; a place on the server has been claimed. */
struct pool_conn *pool_conn_open(struct pool_server *server, struct lending *lending);
/* The one function that moves a connection; to GONE it is closed and recycled. */
void pool_conn_turn(struct pool_conn *conn, enum conn_state to);
void pool_conn_quit(struct pool_conn *conn); /* idle or lent */
/* Back from its borrower. */
void pool_conn_return(struct pool_conn *conn, enum pool_return how);
/* Idle ones of the server, in this worker. */
struct pool_conn *pool_conn_idle(const struct pool_server *server, uint32_t needs, uint64_t size);
void pool_conn_quit_idle(struct pool_server *server);

/* ---- pick.c ---- */
enum pick { PICK_IDLE, PICK_OPEN, PICK_WAIT, PICK_NONE };
/*
 * Choose a server and claim what it takes: lending->loan.server, column, names, `why` are set and
 * a live place is held, with PICK_IDLE lending->conn is the connection, with PICK_OPEN a place is
 * claimed for a new one.  PICK_WAIT: none is free; PICK_NONE: none is usable.
 * pools->survey says more, until the next call.
 */
enum pick pool_pick(struct lending *lending);
/* The reason of PICK_NONE, from the survey. */
enum err pool_pick_none(const struct lending *lending, struct err_text *text);

/* ---- wait.c ---- */
bool pool_wait_anyone(const struct pool *pool); /* in any row */
void pool_wait_join(struct lending *lending);
void pool_wait_leave(struct lending *lending);
void pool_wait_serve(struct pool *pool);
/* Something was freed: our queue is served soon.  If it was a place that any row can have, who
 * waits longest is woken. */
void pool_wait_freed(struct pool *pool, bool for_all);
/* May the lending have a place now, although another row shows survey->foreign? */
bool pool_wait_may_have(struct survey *survey, const struct lending *lending,
	struct pool_server *server, bool idle);

/* ---- lend.c ---- */
/* From the top: pick, then a connection, the queue, or failure. */
void pool_lend_try(struct lending *lending);
/* What pool_pick() chose goes to the lending. */
void pool_lend_give(struct lending *lending, enum pick pick);
/* Its connection was greeted, or can't be had (`lacks`: it is fine, but not for this). */
void pool_lend_greeted(struct lending *lending);
void pool_lend_lost(struct lending *lending, bool elsewhere, const char *text);
void pool_lend_fail(struct lending *lending, enum err err, const char *text);
void pool_lend_deliver(struct pools *pools);
void pool_lend_free(struct lending *lending);

#endif
