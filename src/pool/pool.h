/*
 * Pools of servers: picks a server and claims a place on it in one step, keeps warm connections,
 * lends them, and queues those who must wait for a free one, first come first served across all
 * workers (through the board).
 *
 *     relay --- pool_lend(want) ---> pick (balance, board's verdicts, claims)
 *                                     |-- idle connection of ours --> ready
 *                                     |-- place free --> connect, greet --> ready
 *                                     |-- all full --> wait (ticket on the board)
 *           <-- ready(loan) ---------'
 *           --- pool_give_back(loan, how) --> idle, QUIT or closed; the longest waiter is woken
 *
 * A failure to connect or greet is not the borrower's business: the next server is tried until
 * the deadline.  One struct pools is one worker's view of all pools of its generation.
 */
#ifndef POOL_POOL_H
#define POOL_POOL_H

#include "balance/balance.h"
#include "board/board.h"
#include "conf/conf.h"
#include "net/net.h"
#include "talk/client.h"

/* What the pools need beside the config; everything outlives them. */
struct pool_world {
	struct net_loop *loop;
	struct board *board;
	int row;
	const char *hostname; /* for EHLO */
	uint64_t seed;
};

struct pools;
struct pool;
struct pool_server; /* one server of a pool, as this worker sees it */

/* Columns on the board must exist already (pool_columns(), called by the master). */
struct pools *pools_new(const struct pool_world *world, const struct conf *conf);
void pools_free(struct pools **pools); /* drops every connection */
struct pool *pools_find(struct pools *pools, const char *name);
/* To be called at every wake and every 20 ms: serves waiters, closes surplus idle connections,
 * expires waits. */
void pools_tick(struct pools *pools);
/* Draining: idle connections are closed with QUIT, new ones still made for what is in progress. */
void pools_drain(struct pools *pools);
/* Connections of ours that are open, lent or idle. */
unsigned pools_open(const struct pools *pools);

/* ---- what the master does before it forks ---- */
/* Allocate the columns of all pools and servers ("pool/server"), publish literal addresses.
 * ERR_FULL when the board has no column left.  known[column] is set for each. */
enum err pool_columns(
	struct board *board, const struct conf *conf, bool *known, struct err_text *text) MUST_USE;

/* ---- lending ---- */

#define POOL_TRIES 32
struct pool_tried { /* servers that a transaction must not be offered to again */
	unsigned count;
	int column[POOL_TRIES];
};

struct pool_want {
	uint32_t needs; /* SMTP_CAP_ bits the message needs */
	uint64_t size; /* declared size, 0 if unknown: a server whose SIZE is smaller is passed over
			*/
	uint64_t key;  /* for balance hash: hash of the field's value */
	const struct pool_tried *tried; /* looked at during the call and until ready() */
	bool fresh;                     /* a new connection only: reused ones were found dead */
	int64_t deadline;               /* ready(ERR_TIMEOUT) at this moment at the latest */
};

struct pool_loan {
	struct pool *pool;
	struct pool_server *server;
	int column;              /* on the board */
	const char *server_name; /* "mta1" */
	const char *pool_name;
	struct talk_client *talk; /* NULL until ready */
	bool reused;              /* the connection has carried a transaction before */
	bool must_reset;          /* begin with RSET: its last transaction was not finished */
	char why[96];   /* why this server, for the log: "least-transactions: live 3/100, of 3" */
	int64_t waited; /* microseconds from pool_lend() to ready */
};

/*
 * ERR_OK: the loan is ready; hand its talk over with talk_client_hand_over().
 * Otherwise there is no loan (it is gone): ERR_DOWN no server is usable or all that were failed
 * (those were added to no list: they are the pool's business); ERR_FULL all were full until the
 * pool's `queue` time had passed; ERR_TIMEOUT the deadline came; ERR_MISSING no server of the
 * pool has what is needed.  `text` says it in words.
 */
typedef void pool_ready_fn(void *arg, enum err err, struct pool_loan *loan, const char *text);

/* Never calls back inside the call.  The handle may be given back before ready() to cancel. */
struct pool_loan *pool_lend(
	struct pool *pool, const struct pool_want *want, pool_ready_fn *ready, void *arg);

enum pool_return {
	POOL_REUSE, /* clean, or to be cleaned by RSET (loan->must_reset set by the borrower) */
	POOL_QUIT,  /* done with it, politely */
	POOL_DROP,  /* close at once: poisoned, in the middle of a body, dead */
};
/* Takes the conversation back (its ops too) and sets *loan to NULL.  POOL_REUSE becomes QUIT or
 * DROP by itself when it is not clean, has carried messages-per-connection messages, or 5
 * refusals since the last accepted message. */
void pool_give_back(struct pool_loan **loan, enum pool_return how);

/* What became of a transaction on the loan, before giving it back: feeds the outlier detection,
 * `latency`, retirement and the counters of the server's column. */
enum pool_outcome {
	POOL_ACCEPTED,    /* 2yz at the end of data */
	POOL_REFUSED,     /* a 4yz or 5yz about message or recipient: not the server's fault */
	POOL_OWN_TROUBLE, /* a reply about the server itself */
	POOL_OUR_CONDUCT, /* a reply about our own conduct: alarm */
	POOL_TOO_MANY,    /* 421 too many connections from you */
	POOL_BROKE,       /* the connection broke */
	POOL_TIMED_OUT,
	POOL_POISONED,
	POOL_STALE,     /* a reused connection that had been closed meanwhile */
	POOL_ABANDONED, /* the client gave up */
};
void pool_note(struct pool_loan *loan, enum pool_outcome outcome, int64_t took);

/* ---- what others ask ---- */
/* Whether another server than `column` is left that was not tried and could serve now or soon: it
 * is not down, not drained. */
bool pool_has_another(const struct pool *pool, const struct pool_tried *tried, int column);
/* What EHLO may offer: the intersection over the lowest tier's servers as last seen, whatever
 * their health; caps 0 when nothing was seen of any. */
struct smtp_offer pool_offer(const struct pool *pool);
/* Whether any server of the pool, as last seen, has these. */
bool pool_could(const struct pool *pool, uint32_t needs, uint64_t size);
/* The field that `balance hash FIELD` wants, NULL if the policy has no key. */
const char *pool_hash_field(const struct pool *pool);
int pool_column(const struct pool *pool);

#endif
