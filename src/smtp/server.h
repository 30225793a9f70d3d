/*
 * The conversation with a client, as its server: bytes in, events out, replies in order.  No
 * socket, no clock, no policy.
 *
 *      bytes --> smtp_server_next() --> COMMAND ----> owner
 *                                       BODY piece -> owner          replies in any order
 *      bytes <-- smtp_server_out() <--- slot queue <- smtp_server_reply(slot)
 *
 * Every command takes a slot; replies leave in slot order, however late each is given.  What
 * needs no owner is answered here: bad syntax, bad order, unknown verbs, NOOP, HELP, VRFY.
 * The order of commands is a table (RFC 5321 4.1.4); a command is judged by what came before it,
 * unanswered commands counted as if they will succeed; the owner's reply then moves the state,
 * so a pipelined RCPT behind a refused MAIL is answered 503 here when its turn comes.
 *
 * After DATA, EHLO, HELO (and later STARTTLS, AUTH) nothing may follow until the reply has left
 * (RFC 2920 3.1): bytes that do are an early input: SRV_BROKEN.
 *
 * One transaction at a time: RSET, QUIT, EHLO and HELO come when all before them is answered, and
 * after a whole message nothing is read until its slot is.  Behind a refused MAIL or chunk the
 * slots of the same transaction get 503 from here, whatever the owner answers (it must answer).
 */
#ifndef SMTP_SERVER_H
#define SMTP_SERVER_H

#include "base/chunk.h"
#include "smtp/address.h"
#include "smtp/caps.h"
#include "smtp/reply.h"

#define SMTP_COMMAND_LINE 512 /* plus what the offered extensions allow, RFC 5321 4.5.3.1.4 */

enum smtp_verb {
	VERB_UNKNOWN,
	VERB_EHLO,
	VERB_HELO,
	VERB_MAIL,
	VERB_RCPT,
	VERB_DATA,
	VERB_BDAT,
	VERB_RSET,
	VERB_NOOP,
	VERB_QUIT,
	VERB_VRFY,
	VERB_EXPN,
	VERB_HELP,
	VERB_ETRN,
	VERB_TURN,
	SMTP_VERBS
};

/* MAIL's parameters, checked: RFC 1870, 6152, 6531, 3461. */
struct smtp_mail {
	struct smtp_path from;
	uint64_t size; /* SIZE=, 0 if none */
	enum { SMTP_BODY_UNSAID, SMTP_BODY_7BIT, SMTP_BODY_8BITMIME } body;
	bool smtputf8;
	struct span ret, envid; /* DSN, as written; at NULL when absent */
};
struct smtp_rcpt {
	struct smtp_path to;
	struct span notify, orcpt; /* DSN, as written; at NULL when absent */
};

struct smtp_command {
	enum smtp_verb verb;
	struct span line; /* the whole line without CRLF */
	union {
		struct span name; /* EHLO, HELO */
		struct smtp_mail mail;
		struct smtp_rcpt rcpt;
		struct {
			uint64_t size;
			bool last;
		} bdat;
	};
};

/* What is wrong with a body; the first one counts. */
enum smtp_flaw { FLAW_NONE, FLAW_BARE_NEWLINE, FLAW_NUL, FLAW_LONG_LINE, FLAW_TOO_LARGE };

enum smtp_server_kind {
	SRV_MORE,    /* needs more bytes, or waits for a reply before it may read on */
	SRV_COMMAND, /* answer its slot, now or later; that of a BDAT comes again in BODY_END and is
			answered then, not before */
	SRV_ANSWERED, /* a command that was answered here: `own` says with which reply */
	SRV_BODY,     /* a piece of the body: `body` points into `in`; unstuffed */
	SRV_FLAW,     /* the body has a flaw: forward no more of it; SRV_BODY_END follows in time */
	SRV_BODY_END, /* the end of data, or of a BDAT chunk (`last`); answer its slot */
	SRV_BROKEN,   /* the client broke the protocol beyond repair: `own` was queued as the last
			 reply; send it and close */
};

struct smtp_server_event {
	enum smtp_server_kind kind;
	unsigned slot;               /* COMMAND, BODY_END */
	struct smtp_command command; /* COMMAND; its spans point into `in` */
	struct span body;            /* BODY */
	enum smtp_flaw flaw;         /* FLAW; BODY_END: FLAW_NONE if the body is sound */
	bool last;                   /* BODY_END: the message is complete (DATA, BDAT LAST) */
	enum smtp_own own;           /* ANSWERED, BROKEN */
};

struct smtp_server_rules {
	uint64_t max_size;       /* body octets; 0: none */
	bool pass_bare_newlines; /* default false: refuse (hand the flaw to nobody) */
	bool pass_long_lines;    /* default false: lines over 998 octets are a flaw */
};

struct smtp_server;

/* `rules` is copied. Replies are queued into chunks of `pool`. */
struct smtp_server *smtp_server_new(struct chunk_pool *pool, const struct smtp_server_rules *rules);
void smtp_server_free(struct smtp_server **server);

/*
 * Look at the unread bytes `in` and give the next event.  Returns how many octets were eaten (the
 * event's spans point into them: use them before the bytes go).  SRV_MORE may have eaten some.
 * Call until SRV_MORE.  A command line is never longer than its limit allows, so a caller that
 * offers at least SMTP_SERVER_WINDOW bytes always makes progress; over-long lines are eaten
 * piecemeal.  A body never waits for more than 2 octets.
 */
#define SMTP_SERVER_WINDOW 2048
size_t smtp_server_next(
	struct smtp_server *server, struct span in, struct smtp_server_event *event_r);

/*
 * Answer a slot, once; the reply is copied.  Its effect on the order of commands: EHLO/MAIL/RCPT
 * 2yz opens the next step; DATA 354 opens the body, whose end takes a slot of its own; the reply
 * to a complete message ends the transaction.  A 421 is the last reply: nothing is read after it,
 * slots behind it are dropped, and answers to dropped slots are ignored.  A refused DATA leaves the
 * transaction open until RSET (RFC 5321 4.1.4).
 */
void smtp_server_reply(struct smtp_server *server, unsigned slot, const struct smtp_reply *reply);
void smtp_server_own(
	struct smtp_server *server, unsigned slot, enum smtp_own own, const char *argument);
/* An unasked last reply (banner at the start with SMTP_OWN_BANNER; 421 at a time-out). Goes out
 * behind the replies that are ready; for 421, slots not yet answered are dropped. */
void smtp_server_say(struct smtp_server *server, enum smtp_own own, const char *argument);
/* The EHLO reply: hostname and one line per offered extension. */
void smtp_server_reply_ehlo(struct smtp_server *server, unsigned slot, const char *hostname,
	const struct smtp_offer *offer);

/* Bytes ready to be sent, in order; take them with chain_move(). */
struct chain *smtp_server_out(struct smtp_server *server);
/* Slots that wait for the owner's reply. */
unsigned smtp_server_pending(const struct smtp_server *server);
/* At a message border: greeted or not, no transaction open, nothing pending, no part of a line
 * read. */
bool smtp_server_between(const struct smtp_server *server);
bool smtp_server_in_body(const struct smtp_server *server);
bool smtp_server_quitting(
	const struct smtp_server *server); /* QUIT, 421 or BROKEN: close after sending */

#endif
