/*
 * Inside the relay: one client's session and its current transaction.
 *
 *   doorway.c      connections of proxies, until they have said who the client is
 *   session.c      the client's commands, one function a verb
 *   envelope.c     MAIL and RCPT of the message in progress
 *   body.c         its body, up to the end of data
 *   transaction.c  the way to a verdict over as many servers as it takes
 *   attempt*.c     its conversation with one server; asks commit.c at every turn
 *   account.c      what is counted and logged of it
 *
 * A session and its transaction are one piece of memory: a transaction begins and ends many times
 * in it, and outlives the client's connection if it had ended towards a server (then the verdict
 * is still awaited and logged).
 */
#ifndef RELAY_SESSION_H
#define RELAY_SESSION_H

#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "base/arena.h"
#include "base/rng.h"
#include "edge/edge.h"
#include "relay/commit.h"
#include "relay/relay.h"
#include "relay/relay_conf.h"
#include "talk/server.h"

#define RELAY_POOLS 8 /* pools of one send-to */

struct listener {
	const char *name;
	int column;
	const struct relay_settings *settings;
	const struct edge_settings *edge;
	struct smtp_server_rules rules;
	struct talk_server_times times;
	struct pool *pool[RELAY_POOLS];
	unsigned pools;
	int64_t turned_next; /* a line on clients turned away at most every TURNED_EVERY */
	unsigned turned;     /* not told of yet */
	int64_t flawed_next; /* likewise for what comes instead of a PROXY header */
	unsigned flawed;
};

struct relay {
	struct relay_world world;
	struct rng rng;
	struct edge *edge;
	struct listener *listener;
	unsigned listeners;
	LIST_HEAD(, session) sessions;
	unsigned session_count;
	LIST_HEAD(, doorway) doorways;
	unsigned doorway_count;
	struct net_timer sweep; /* ends idle sessions of a draining worker, frees what is over */
	bool draining;
	int64_t drain_until;
	struct buf line;    /* log lines are made here */
	struct buf reply;   /* our own replies are made here */
	int64_t alarm_next; /* one alarm about our conduct at most every ALARM_EVERY */
};

enum recipient_state {
	RECIPIENT_PENDING,
	RECIPIENT_ACCEPTED,
	RECIPIENT_REFUSED
}; /* as the client was told */
enum offer_state {
	OFFER_NOT,
	OFFER_SENT,
	OFFER_ACCEPTED,
	OFFER_REFUSED
}; /* to the present server */

struct recipient {
	struct span command; /* "RCPT TO:<u@d> NOTIFY=NEVER", as it goes to servers */
	struct span address; /* "u@d", for logs and keys */
	struct span domain;
	bool parameters;
	unsigned slot;
	enum recipient_state state;
	enum offer_state offer;
};

/* The message's conversation with one server. */
struct attempt {
	bool active;
	struct pool_loan *loan; /* asked for, or lent when `ready` */
	bool ready;
	bool reset_sent, mail_sent, mail_answered, body_begun, end_sent;
	unsigned unanswered;              /* RCPTs on their way */
	unsigned accepted;                /* RCPTs answered 2yz by this server */
	const struct commit_row *refusal; /* of the RCPT that it refused last */
	int64_t asked, began, envelope_done, body_begin, ended;
};

enum transaction_step {
	STEP_NONE,     /* no MAIL yet */
	STEP_ENVELOPE, /* MAIL was answered */
	STEP_BODY,     /* DATA was answered 354, or BDAT was begun */
	STEP_COMPLETE, /* the whole body is here; the client waits */
};

struct transaction {
	enum transaction_step step;
	struct arena arena;
	unsigned number; /* within the session, from 1 */
	int64_t began, settled, completed;

	/* the envelope */
	struct smtp_mail mail; /* spans in the arena */
	uint32_t needs;        /* SMTP_CAP_ bits a server must have */
	bool sender_parameters;
	struct recipient *recipient;
	unsigned recipients, recipients_room, told, pending, refused;
	unsigned for_good; /* of those refused: by 5yz */
	struct smtp_reply
		mail_reply; /* a server refused MAIL: answers every further RCPT; code 0: none */
	bool mail_refused;
	bool data_waits; /* a DATA whose answer waits for the recipients' verdicts */
	unsigned data_slot;
	unsigned *chunk_slot; /* non-last BDAT chunks that wait likewise */
	unsigned chunks, chunks_room;
	bool early_end; /* BDAT LAST was read while verdicts were pending */

	/* the body */
	struct chain body; /* the replay copy: all of it, unless `streaming` */
	uint64_t octets;
	bool streaming;   /* too large to keep: what was sent is gone, no replay */
	bool body_wanted; /* the client was told to go on, or sends chunks */
	enum smtp_flaw flaw;
	unsigned end_slot;

	/* the way to a verdict */
	unsigned pool; /* index into listener->pool */
	struct pool_tried tried;
	bool fresh; /* a reused connection was dead: ask for a new one */
	unsigned stale;
	bool unavailable; /* a pool failed us for another reason than lacking what is needed */
	unsigned attempts;
	bool differed;              /* a replay got other answers for the recipients */
	bool in_gap;                /* counted in the gauge */
	bool doubtful;              /* a former server may have it: resend-ambiguous */
	struct net_timer patience;  /* with the present server, while the recipients wait */
	struct net_timer answer_by; /* the recipients' */
	struct buf last_reply;      /* the last server's 4yz that made us go on */
	struct smtp_reply last;
	struct attempt attempt;

	/* the verdict, kept until the client may hear it; code 0: none yet */
	struct smtp_reply verdict;
	struct buf verdict_wire;
	const struct commit_row *row; /* decided by a server: concludes the attempt */
	const struct smtp_reply *decided;
	bool own;            /* the verdict is ours, not a server's */
	const char *phase;   /* how far the last attempt came */
	const char *outcome; /* word of the log */
	enum metric outcome_metric;
	const char *reason;
	const char *server, *server_pool; /* who decided */
	char queue_id[64];
	char message_id[256]; /* once looked for; the body may be gone by the time of the log */
	char why[96];
};

/* Somebody who was let in.  The connection is `sock`, or, where a PROXY header was read from it,
 * `stream` and what was read behind the header. */
struct arrival {
	struct addr client, local;
	struct addr proxy; /* ADDR_NONE: the client itself has connected */
	bool unnamed;      /* the proxy doesn't know the client either: in no relay-from */
	struct sys_sock *sock;
	struct net_stream *stream;
	struct chunk *unread;
	size_t unread_at;
};

struct session {
	LIST_ENTRY(session) next;
	struct relay *relay;
	struct listener *listener;
	struct talk_server *talk; /* NULL: the client is gone */
	struct addr peer, local; /* peer: the client, as a PROXY header names it if there was one */
	char id[14];
	char peer_text[ADDR_TEXT], local_text[ADDR_TEXT];
	char proxy_text[ADDR_TEXT]; /* empty: none */
	char name[256];             /* of EHLO */
	bool trusted;               /* in relay-from */
	bool over;                  /* to be freed by the sweep */
	bool closing;
	uint32_t offered;
	unsigned errors, idle_commands;
	unsigned transactions;
	int64_t last_active;
	bool slowed;
	struct net_timer slow;
	struct transaction tx;
};

/* ---- session.c ---- */
/* The caller has counted it in the gauge of open sessions. */
void session_open(struct relay *relay, struct listener *listener, struct arrival *arrival);
void session_reply(struct session *session, unsigned slot, const struct smtp_reply *reply);
void session_own(struct session *session, unsigned slot, enum smtp_own own, const char *argument);
void session_flow(struct session *session); /* pause or resume reading, as the body's way demands */
void session_finish(struct session *session); /* its transaction is over and the client has gone */
void session_drain(struct session *session);  /* at a message border: 421 and close */
void session_free(struct session *session);
void session_cut(struct session *session); /* the process ends: a last word, then free */
bool session_gone(const struct session *session);

static inline struct net_loop *session_loop(const struct session *session)
{
	return session->relay->world.loop;
}

/* ---- relay.c ---- */
/* The client is known, and counted in the gauge: a session, or the word that there is none. */
void relay_enter(struct relay *relay, struct listener *listener, struct arrival *arrival);

/* ---- doorway.c ---- */
/* Likewise counted. */
void doorway_open(struct relay *relay, struct listener *listener, struct sys_sock *sock,
	const struct addr *peer, const struct addr *local);
void doorway_sweep(struct relay *relay);   /* frees what is over, ends what has drained too long */
void doorway_cut_all(struct relay *relay); /* the process ends: 421 */

/* ---- envelope.c ---- */
void transaction_mail(struct session *session, const struct smtp_mail *mail);
void transaction_rcpt(struct session *session, const struct smtp_rcpt *rcpt, unsigned slot);
void transaction_recipient_answered(
	struct session *session, struct recipient *recipient, const struct smtp_reply *reply);
void transaction_mail_refused(struct session *session, const struct smtp_reply *reply);
void transaction_tell_pending(struct session *session, const struct smtp_reply *reply);
void transaction_timers(struct session *session); /* init them */

/* ---- body.c ---- */
void transaction_data(struct session *session, unsigned slot);
void transaction_bdat(struct session *session); /* a chunk is about to come */
void transaction_body(struct session *session, struct chunk *chunk, size_t at, size_t len);
void transaction_flaw(struct session *session, enum smtp_flaw flaw);
void transaction_body_end(struct session *session, unsigned slot, bool last, enum smtp_flaw flaw);
void transaction_settle(struct session *session); /* a recipient's verdict is in */

/* ---- transaction.c ---- */
void transaction_init(struct session *session);
bool transaction_open(const struct session *session);
/* An octet of the end of data has gone to a server: only its verdict counts now. */
bool transaction_ended(const struct session *session);
/* Start an attempt if there is none.  False: every way is exhausted. */
bool transaction_ensure_attempt(struct session *session);
/* This server is out: another one, as the row says. */
void transaction_next(
	struct session *session, const struct commit_row *row, const struct smtp_reply *reply);
/* The pool has no server for us. */
void transaction_no_server(struct session *session, enum err err, const char *text);
/* A server has decided; `reply` is NULL if the row is ambiguous. */
void transaction_verdict(
	struct session *session, const struct commit_row *row, const struct smtp_reply *reply);
/* The client hears the verdict (`own`, or with SMTP_OWN_COUNT the one kept), and that was it. */
void transaction_finish(struct session *session, enum smtp_own own, const char *reason);
/* The client gave it up (RSET, EHLO, QUIT, gone): `reason` for the log. */
void transaction_abandon(struct session *session, const char *reason);
/* A copy of a reply in `wire`, 421 as 451. */
void transaction_hold_reply(
	const struct smtp_reply *reply, struct buf *wire, struct smtp_reply *held_r);
/* One of our replies; its text is valid until the next is made. */
void transaction_own_reply(struct session *session, enum smtp_own own, const char *argument,
	struct smtp_reply *reply_r);

/* ---- attempt.c ---- */
/* Ask the current pool for a server; the attempt goes on by itself. */
void attempt_begin(struct session *session, int64_t deadline);
/* End it without a verdict; notes `outcome`, gives the connection back as well as it can. */
void attempt_cancel(struct session *session, enum pool_outcome outcome);
/* End it with the verdict that the client has just heard. */
void attempt_conclude(
	struct session *session, const struct commit_row *row, const struct smtp_reply *reply);
/* This server is out; another one, if there is any.  `end`: how its connection ended, or NULL. */
void attempt_elsewhere(struct session *session, const struct commit_row *row,
	const struct talk_end *end, const struct smtp_reply *reply);
/* MAIL was refused: once the replies to what was pipelined behind it are in, it is over. */
void attempt_dregs(struct session *session);
/* The process ends while the server's verdict is awaited. */
void attempt_leave_unheard(struct session *session);
/* The server has taken half of the time that the client may be made to wait. */
void attempt_lose_patience(struct session *session);
static inline struct smtp_client *attempt_smtp(const struct attempt *attempt)
{
	return talk_client_smtp(attempt->loan->talk);
}

/* ---- attempt_send.c ---- */
void attempt_pump(struct session *session); /* send what may be sent now */
/* A further piece of the body, while body_begun. */
void attempt_body(struct session *session, struct chunk *chunk, size_t at, size_t len);
size_t attempt_backlog(const struct session *session); /* body octets not yet with the kernel */

/* ---- attempt_reply.c ---- */
void attempt_reply(void *session, const struct smtp_client_event *event);

/* ---- account.c ---- */
void account_count(struct session *session, enum metric metric, int64_t delta);
void account_passed(
	struct session *session, const struct smtp_reply *reply); /* a 4yz or 5yz of the server */
void account_ambiguous(struct session *session);
void account_message_id(struct session *session); /* before the body is dropped */
void account_gap(struct session *session, bool in_gap);
void account_attempt(struct session *session, const struct commit_row *row,
	const struct talk_end *end, const struct smtp_reply *reply);
void account_transaction(struct session *session);
void account_session(struct session *session, const char *reason);
/* No session was made: a line now and then.  `proxy` may be of no family. */
void account_turned_away(struct relay *relay, struct listener *listener, const struct addr *peer,
	const struct addr *proxy, const char *reason);
void account_no_header(
	struct relay *relay, struct listener *listener, const struct addr *proxy, const char *text);
void account_alarm(
	struct session *session, const struct commit_row *row, const struct smtp_reply *reply);

#endif
