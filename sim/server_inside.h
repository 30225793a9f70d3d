/*
 * The inside of a server of the world, for server*.c only.
 *
 *      inbox --> hear: a line, a command    --> answer --> speak: a reply, in one of many forms
 *            --> take: octets of a body                      |
 *      <------------------------------------------------------'   then: go on, close, fall deaf
 *
 * One thing at a time: while `busy` nothing is read from the inbox, and the timer `work` says what
 * comes next.  What is legal is judged when it arrives (legal.h), not when it is read.
 */
#ifndef SIM_SERVER_INSIDE_H
#define SIM_SERVER_INSIDE_H

#include <limits.h>
#include <sys/queue.h>

#include "sim/actor.h"
#include "sim/legal.h"

#define SERVER_NONE UINT_MAX

enum stage {
	STAGE_BANNER, /* not greeted yet: nothing is read */
	STAGE_COMMANDS,
	STAGE_BODY,  /* behind 354 */
	STAGE_CHUNK, /* behind BDAT */
	STAGE_DEAF,  /* out of step: whatever comes is thrown away, and nothing is said */
};

/* What a reply answers; the faults that it can suffer differ. */
enum asked { TO_CONNECT, TO_EHLO, TO_MAIL, TO_RCPT, TO_DATA, TO_CHUNK, TO_END, TO_QUIT, TO_OTHER };

enum then { THEN_GO_ON, THEN_CLOSE, THEN_RESET, THEN_DEAF };

/* The reply that is being thought about or said. */
struct say {
	enum asked asked;
	unsigned code;
	struct buf text; /* all of it, as it goes out */
	size_t at;       /* how much of it is out */
	unsigned pieces; /* in how many writes the rest goes */
	enum then then;
	bool take;           /* commit when the time comes to speak, and say so */
	unsigned commit;     /* that the reply names; SERVER_NONE */
	bool cut;            /* not all of it is said */
	size_t end;          /* so much is; SIZE_MAX: all */
	struct buf surplus;  /* said behind it, though nobody asked */
	enum sim_fault form; /* how it is said; FAULTS: as one should */
};

/* A reply that was said, until the other side has it. */
struct said {
	uint64_t upto; /* octets that we had sent with it */
	unsigned code;
};

struct envelope {
	bool open; /* a MAIL was accepted */
	struct buf sender;
	struct buf *recipient; /* accepted ones */
	unsigned recipients, room;
	unsigned asked_for;    /* RCPTs so far */
	struct rng limit_lot;  /* whether the 101st RCPT is too many */
	bool limited;          /* it was */
	struct buf body;       /* DATA: as it came, with dots; BDAT: all chunks */
	bool chunked, spoiled; /* by BDAT; a chunk was refused */
	bool answered;         /* before its end: it gets no second reply */
	uint64_t chunk_left;   /* octets of this chunk that are to come */
	bool chunk_last;
	uint64_t trouble_at; /* at this octet something may happen; UINT64_MAX: nothing more */
	bool doomed;         /* and it is a close */
	unsigned match;      /* octets of CRLF.CRLF that have just come */
	uint64_t seen;       /* octets of the body so far */
};

struct conn {
	LIST_ENTRY(conn) all;
	struct sim_server *server;
	struct wire_end *end; /* NULL: gone */
	char who[64];
	struct rng rng;
	struct legal *legal;
	size_t judged; /* octets of the inbox that `legal` has seen */
	enum stage stage;
	bool busy, running;
	bool finished;  /* nothing more will come */
	bool forever;   /* nothing more will be said */
	bool greeted;   /* EHLO or HELO was answered well */
	bool unwelcome; /* a banner of 5yz: only QUIT is answered */
	bool fresh;     /* out of step while nothing was in flight: whoever goes on is wrong */
	uint64_t poison_upto;  /* octets of ours with a reply that nobody had asked for */
	bool poison_read;      /* the other side has read it ... */
	uint64_t poison_after; /* ... when it had sent so many of its own */
	int64_t watch_every;
	unsigned errors, mails;
	struct envelope tx;
	struct say say;
	void (*next)(struct conn *conn); /* what `work` is set for */
	struct world_timer work, idle, watch;
	bool idle_fault; /* `idle` is set for one, not for the time-out */
	uint64_t sent;
	struct said *said;
	unsigned saids, said_room;
	bool carrying; /* a recipient was accepted of ... */
	unsigned carried_mail, carried_attempt;
	uint64_t verdict_upto; /* our octets with the reply to its end; 0: none to trust */
	unsigned verdict;      /* the commit that it named; SERVER_NONE: a no */
};

struct sim_server {
	struct sim_server_setup setup;
	char name[32];
	struct rng rng;
	struct wire_listener *listener;
	LIST_HEAD(, conn) conns;
	uint64_t sessions, commands;
};

/* A refusal names whose message it is about, so that a crossed one is seen. */
#define SENDER_ARG(conn) SPAN_ARG(buf_span(&(conn)->tx.sender))

/* ---- server.c: the life ---- */
static inline struct world *conn_world(const struct conn *conn)
{
	return conn->server->setup.world;
}
/* By the scene's rate, from the connection's own chance. */
bool conn_fault(struct conn *conn, enum sim_fault fault);
/* Busy until `next` runs, after `delay`. */
void conn_later(struct conn *conn, int64_t delay, void (*next)(struct conn *conn));
/* No longer busy: go on with what is in the inbox. */
void conn_go_on(struct conn *conn);
void conn_close(struct conn *conn, bool reset);
/* No answer; after a while the server itself has had enough. */
#define SERVER_NEVER (30 * MINUTE)
void conn_never(struct conn *conn);
/* Take from the inbox. */
void conn_eat(struct conn *conn, size_t len);
void conn_hang_up(struct conn *conn); /* by FIN, or now and then a reset */
/* Out of step: nothing more is said here.  `fresh`: if nothing is in flight either, it is a broken
 * promise to go on. */
void conn_fall_deaf(struct conn *conn, bool fresh);
/* Quiet between two transactions: here a connection can be lent to the next client. */
bool conn_is_idle(const struct conn *conn);
/* Set the timer `idle`; `may_fail`: for a fault, if it is quiet. */
void conn_await(struct conn *conn, bool may_fail);

/* ---- server_speak.c: replies ---- */
/* Say "CODE text", in its time and form; the connection is busy until it is said. */
void conn_answer(struct conn *conn, enum asked asked, unsigned code, const char *format, ...)
	PRINTF_LIKE(4, 5);
/* The same at once, without any fault, and with what comes after it. */
void conn_plain(struct conn *conn, enum then then, unsigned code, const char *format, ...)
	PRINTF_LIKE(4, 5);
/* The verdict that is a yes: commit, now or when it is spoken, and say so. */
void conn_accept(struct conn *conn, int64_t delay, bool at_once);
/* Commit, not say anything. */
void conn_commit(struct conn *conn);
/* A reply to nothing, with CRLF. */
void conn_unasked(struct conn *conn, const char *line);
/* What was said last answers nothing; see whether the other side minds. */
void conn_poison(struct conn *conn);
/* Tell who wants to know which replies have arrived meanwhile. */
void conn_watch(struct conn *conn);
/* Tell the ledger if the verdict on what this connection carries has been read. */
void conn_note_read(struct conn *conn);
/* It carries nothing any more, and there is no doubt about that. */
void conn_went_on(struct conn *conn);
/* The timer `idle`: nothing came for a while. */
void conn_idle(void *arg);

/* ---- server_hear.c: commands ---- */
void conn_greet(struct conn *conn);
/* False: there is no whole line. */
bool conn_hear_line(struct conn *conn);
void envelope_reset(struct envelope *tx); /* empty */
void envelope_clear(struct envelope *tx); /* and freed */

/* ---- server_take.c: the body ---- */
/* 354 will be said. */
void conn_take_data(struct conn *conn);
/* BDAT was read. */
void conn_take_chunk(struct conn *conn, uint64_t size, bool last);
/* False: nothing to eat. */
bool conn_take(struct conn *conn);
#define SERVER_MATCHED 5
/* How much of CRLF.CRLF has come with one octet more. */
unsigned server_match(unsigned match, char c);

#endif
