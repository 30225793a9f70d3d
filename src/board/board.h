/*
 * The board: one map of memory shared by the master, the workers and control, over all
 * generations.  Workers write what they do, control writes verdicts, everybody reads.
 *
 *            columns: named things (the process, listeners, pools, servers)
 *    rows    +----------+----------+----------+-----
 *    worker  |  cells   |  cells   |  cells   |         a cell has exactly one writer: its row
 *    worker  |          |          |          |         a figure is the sum of its column
 *    control |          |          |          |
 *
 * Places under a limit are claimed without locks: add to your own cell, sum the column, undo if
 * over.  No call here blocks, allocates or makes a system call.  The board knows no clock: times
 * are the caller's (monotonic microseconds, one clock for all processes of the machine).
 *
 * The map is `board_size()` bytes, zeroed, in shared memory; it is sparse (untouched columns
 * cost nothing).  Everything inside is position-independent.
 */
#ifndef BOARD_BOARD_H
#define BOARD_BOARD_H

#include "base/addr.h"
#include "base/bytes.h"
#include "base/when.h"
#include "board/metric.h"

#define BOARD_ROWS    64
#define BOARD_COLUMNS 1024
#define BOARD_NAME    96             /* with the NUL: "pool/server"; longer is a config error */
#define BOARD_RING    (1024u * 1024) /* bytes of log ring per row */

struct board;

size_t board_size(void);
/* Attach to a zeroed map (it is initialised) or to one made by this layout before.
 * ERR_RANGE: made by another layout; a restart, not a reload, is needed. */
enum err board_attach(void *map, struct board **board_r, struct err_text *text) MUST_USE;

/* ---- columns: allocated by the master only, before it forks ---- */

/* The column of this kind and name; a new one if there is none (zeroed).  -1 when all
 * BOARD_COLUMNS are taken. */
int board_column(struct board *board, enum board_kind kind, const char *name);
/* The column, or -1; for readers. */
int board_find(const struct board *board, enum board_kind kind, const char *name);
/* BOARD_KINDS when the column is free: the master may free one while others look. */
enum board_kind board_column_kind(const struct board *board, int column);
/* "" when the column is free */
const char *board_column_name(const struct board *board, int column);
int board_columns(const struct board *board); /* one above the highest column ever used */
/* Mark which columns the running generations know; columns of none are zeroed and reused later.
 * `known` has BOARD_COLUMNS entries. */
void board_forget(struct board *board, const bool *known);

/* ---- rows: allocated by the master only ---- */

enum board_role { ROW_FREE, ROW_WORKER, ROW_CONTROL, ROW_MASTER };
/* What the master asks of a process; it looks at every wake and every tick. */
enum board_order { ORDER_RUN, ORDER_DRAIN, ORDER_STOP };

/* A free row, or -1.  Its counters continue those of the row's former holder. */
int board_row_take(struct board *board, enum board_role role, unsigned generation, unsigned index);
/* After waitpid, or at an orderly leave: zeroes the row's gauges, claims and waiting tickets,
 * adds its in_gap gauges to the ambiguous counters, and counts a death if `died`.  Returns how
 * many transactions became ambiguous.  The log ring stays readable.  Pid, heartbeat and readiness
 * are zeroed; role, order, generation and index stay for who takes its place. */
unsigned board_bury(struct board *board, int row, bool died);
/* After board_bury, when nobody takes its place. */
void board_row_free(struct board *board, int row);
int board_rows(const struct board *board); /* one above the highest row ever used */
enum board_role board_row_role(const struct board *board, int row);
unsigned board_row_generation(const struct board *board, int row);
unsigned board_row_index(const struct board *board, int row);
void board_row_order(struct board *board, int row, enum board_order order);
enum board_order board_row_ordered(const struct board *board, int row);
/* Heartbeats: written by the row's process each tick; ready = it serves (set once). */
void board_beat(struct board *board, int row, int64_t now);
int64_t board_beat_of(const struct board *board, int row);
void board_ready(struct board *board, int row, bool ready);
bool board_is_ready(const struct board *board, int row);
void board_pid(struct board *board, int row, int32_t pid);
int32_t board_pid_of(const struct board *board, int row);

/* Listening sockets are numbered; bit i set = nobody serves socket i, so every worker of the
 * current generation polls it beside its own.  Written by the master. */
void board_uncovered(struct board *board, uint64_t mask);
uint64_t board_uncovered_mask(const struct board *board);

/* ---- numbers; the metric's kind must be the column's ---- */

/* The process's own numbers belong to one column of kind BOARD_PROCESS, shared by all rows: the
 * first of its kind.  log_dropped and deaths are counted there. */

void board_add(struct board *board, int row, int column, enum metric metric, int64_t delta);
/* Add, and return the sum over all rows, for a limit: of rows that add at the same time, at least
 * one sees what all of them added. */
int64_t board_add_sum(struct board *board, int row, int column, enum metric metric, int64_t delta);
void board_set(struct board *board, int row, int column, enum metric metric, int64_t value);
void board_observe(struct board *board, int row, int column, enum metric metric, int64_t usec);
int64_t board_sum(const struct board *board, int column, enum metric metric); /* over all rows */
int64_t board_cell(const struct board *board, int row, int column, enum metric metric);
/* Buckets and sum of a histogram over all rows; returns the number of observations. */
uint64_t board_histogram(const struct board *board, int column, enum metric metric,
	uint64_t buckets_r[BOARD_BUCKETS], uint64_t *sum_usec_r);

/* ---- places on a server ---- */

enum board_place {
	PLACE_OPEN, /* connections, idle ones included: under max-connections */
	PLACE_LIVE, /* transactions in progress: what least-transactions weighs */
	PLACE_IDLE, /* connections lent to nobody */
	BOARD_PLACES
};

/* Add one to the row's own cell if the column's sum stays within `limit` (0: no limit).
 * Two rows that race for the last place may both fail; neither goes over. */
bool board_claim(struct board *board, int row, int server, enum board_place place, uint32_t limit);
void board_release(struct board *board, int row, int server, enum board_place place);
uint32_t board_places(const struct board *board, int server, enum board_place place);
/* One row's part of it, by which a check sees whether the row was buried. */
uint32_t board_places_of(const struct board *board, int row, int server, enum board_place place);
/* Some other row that holds an idle connection to the server, or -1: whom to wake when a
 * connection is wanted and all places are taken by idle ones. */
int board_idle_row(const struct board *board, int server, int not_row);

/* The limit that a server taught us by "too many connections", in the row's own cell; 0 counts as
 * 1.  It grows back by one place per `regrow` microseconds (0: never), the least one of all rows
 * holds, and one that has grown by more than 1024 is forgotten.  Returns 0 when there is none. */
void board_learn_limit(struct board *board, int row, int server, uint32_t limit, int64_t now);
uint32_t board_learned_limit(const struct board *board, int server, int64_t now, int64_t regrow);

/* First come, first served across rows: a row that has waiters for a pool shows the ticket of
 * its oldest.  Tickets come from one counter per pool. */
uint64_t board_ticket(struct board *board, int pool); /* a new one, above all before; never 0 */
void board_wait(struct board *board, int row, int pool, uint64_t ticket); /* 0: waits no more */
/* The row that shows the lowest ticket, or -1; *ticket_r may be NULL. */
int board_waiting(const struct board *board, int pool, uint64_t *ticket_r);

/* ---- verdicts: written by control, one word each ---- */

enum server_state {
	SERVER_UP,       /* also at the start, until a check says otherwise */
	SERVER_DOWN,     /* its check failed `fall` times */
	SERVER_EJECTED,  /* passive signs; a probe that goes as far as the failure brings it back */
	SERVER_PROBING,  /* ejected, and one real transaction at a time may try it */
	SERVER_UNUSABLE, /* its name has no address, and had none since it is known */
	SERVER_STATES
};
const char *server_state_name(enum server_state state);

/* Why, in a word for logs and screens; the sentence is in the event's log line. */
enum server_reason {
	REASON_NONE,
	REASON_CHECK_CONNECT,
	REASON_CHECK_TIMEOUT,
	REASON_CHECK_REPLY,
	REASON_CHECK_PASSED,
	REASON_CONNECT_FAILURES,
	REASON_TIMEOUTS,
	REASON_BROKEN,
	REASON_OWN_TROUBLE,
	REASON_PROBE_PASSED,
	REASON_PROBING,
	REASON_NO_ADDRESS,
	REASON_ADDRESS_FOUND,
	REASON_BY_HAND,
	REASON_LAST_OF_TIER,
	SERVER_REASONS
};
const char *server_reason_name(enum server_reason reason);

struct verdict {
	enum server_state state;
	enum server_reason reason;
	unsigned weight; /* in 1/256 of the configured weight: below 256 in slow start */
	uint32_t epoch;  /* counts changes; wraps */
};
struct verdict board_verdict(const struct board *board, int server);
/* The epoch is set here: one more when anything differs. */
void board_judge(struct board *board, int server, const struct verdict *verdict);

/* The token of a probing server: control grants one, a worker takes it (true for one taker only).
 * A verdict of another state takes back a token that nobody took. */
void board_grant_probe(struct board *board, int server);
bool board_take_probe(struct board *board, int server);

/* By hand, at run time; kept over reloads because columns keep their names. */
struct by_hand {
	bool drained;
	bool weight_set;
	uint16_t weight; /* replaces the configured weight when weight_set */
};
struct by_hand board_by_hand(const struct board *board, int server);
/* Takes no new mail by hand: drained, or of weight 0. */
bool board_out_by_hand(const struct board *board, int server);
void board_set_by_hand(struct board *board, int server, struct by_hand by_hand);

/* What a server's EHLO offered when last seen (SMTP_CAP_ bits and SIZE); 0 caps: nothing seen yet.
 * Control writes it after a check, a worker after a greeting: the last one wins, they agree. */
void board_offer(struct board *board, int server, uint32_t caps, uint64_t size);
uint32_t board_offered(const struct board *board, int server, uint64_t *size_r);

/* Addresses of a server: control writes (after looking the name up), workers read. */
#define BOARD_ADDRESSES 16
void board_addresses(struct board *board, int server, const struct addr *addr, unsigned count);
unsigned board_addresses_of(
	const struct board *board, int server, struct addr addr_r[BOARD_ADDRESSES]);

/* ---- log rings: one writer (the row's process), one reader (control), also of a dead row ---- */

/* False when there is no room: the line is dropped and counted (log_dropped). */
bool board_log(struct board *board, int row, struct span line);
/* Append whole lines of this row's ring to `into` (each with its newline), at most about `max`
 * bytes; returns bytes appended.  Control only.  A line torn by a death is dropped.  They stay in
 * the ring until board_log_written() is called with *upto_r. */
size_t board_log_read(
	const struct board *board, int row, struct buf *into, size_t max, uint64_t *upto_r);
/* They are where they should be: their room is free for new ones. */
void board_log_written(struct board *board, int row, uint64_t upto);

/* ---- the reload desk: asked through control, done by the master, answered to everyone ---- */

void board_ask_reload(struct board *board, bool force);
bool board_reload_asked(struct board *board, bool *force_r); /* takes the request; master only */
void board_reload_done(struct board *board, unsigned generation, bool good, const char *message);
/* Sequence number of the last answer (0: none yet), its success and message. */
unsigned board_reload_answer(const struct board *board, bool *good_r, char message_r[512]);
unsigned board_generation(const struct board *board); /* of the last good answer; 0: none yet */
void board_ask_stop(struct board *board);             /* a drain of everything, as by SIGTERM */
bool board_stop_asked(const struct board *board);

#endif
