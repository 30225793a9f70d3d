/*
 * The inside of struct smtp_server, for the files server*.c only.
 *
 *      server.c            the calls of server.h: next event, replies, questions
 *      server_line.c       a line out of the bytes: its limit, what may not be in it
 *      server_command.c    the table of verbs and a function for each
 *      server_mail.c       arguments of MAIL and RCPT
 *      server_body.c       DATA and BDAT
 *      server_slot.c       replies in order, and what each does to the order of commands
 */
#ifndef SMTP_SERVER_PRIVATE_H
#define SMTP_SERVER_PRIVATE_H

#include "smtp/framing.h"
#include "smtp/server.h"

/* What the next command is judged by; unanswered commands count as if they will succeed. */
enum smtp_order {
	ORDER_START, /* not greeted */
	ORDER_READY, /* greeted, no transaction */
	ORDER_MAIL,  /* a sender, no recipient */
	ORDER_RCPT,  /* a sender and at least one recipient that was not refused so far */
	ORDER_CHUNK, /* a BDAT that was not the last */
	ORDER_FAILED /* DATA or a chunk was refused: the transaction is open until RSET */
};

enum smtp_mode {
	MODE_COMMAND,
	MODE_DATA,
	MODE_CHUNK,  /* the octets of a BDAT */
	MODE_SWALLOW /* the octets of a BDAT that came out of order: read, never executed */
};

enum smtp_wait {
	WAIT_NONE,
	WAIT_REPLY, /* until the slot is answered: the next transaction begins when this one is over
		     */
	WAIT_LEFT,  /* until the reply was taken to be sent: input before is the client's error */
	WAIT_EARLY  /* such input was there at once */
};

/* A command's place in the order of replies. */
struct smtp_slot {
	struct buf wire; /* its reply, while an earlier one is missing */
	uint16_t code;   /* 0: unanswered */
	uint16_t round;
	uint8_t verb;
	bool is_end;  /* of a whole message */
	bool is_open; /* a chunk whose octets are still coming: the owner has not been asked */
	bool is_void; /* what it built on was refused: answered 503 whatever the owner says */
};

struct smtp_slots {
	struct smtp_slot *at; /* a ring */
	unsigned room, head, count;
	unsigned first; /* number of the slot at the head; numbers go on for ever */
	unsigned asked; /* slots that wait for the owner */
	bool dropped;   /* by a last word: owners may answer what is gone */
};

struct smtp_server {
	struct chain out;
	struct smtp_server_rules rules;
	struct smtp_slots slots;
	struct smtp_unframe unframe;
	uint64_t chunk_left;  /* octets of the BDAT in progress */
	const char *argument; /* of the own reply that a handler returned */
	char words[41];       /* where it points when it is the client's word */
	unsigned turn;        /* the slot that reading waits for */
	unsigned recipients;  /* of this round, refused ones not counted */
	uint16_t round;       /* counts transactions, so that a late reply finds only its own */
	uint8_t order, mode;  /* enum smtp_order, smtp_mode */
	uint8_t wait;         /* enum smtp_wait */
	bool greeted;
	bool smtputf8; /* said at MAIL */
	bool chunk_last;
	bool flaw_told;
	bool discarding; /* within an over-long line */
	bool discard_cr; /* whose last octet was a CR */
	bool partial;    /* the beginning of a line was seen */
	bool quitting;
};

/* Own "no reply of ours": the command goes to the owner. */
#define SMTP_OWN_NONE SMTP_OWN_COUNT

/* ---- verb.c ---- */
enum smtp_verb smtp_verb_of(struct span line);
/* Whether the line, or the beginning of one, speaks HTTP, TLS or PROXY. */
bool smtp_line_is_foreign(struct span line, bool whole);

/* ---- server_line.c ---- */
enum smtp_line_kind {
	SMTP_LINE_PARTIAL,
	SMTP_LINE_WHOLE,
	SMTP_LINE_LONG, /* an over-long one has ended */
	SMTP_LINE_BARE, /* a whole one with a bare CR, bare LF or NUL in it */
	SMTP_LINE_FOREIGN,
	SMTP_LINE_LOST /* BDAT with a flawed line: nobody knows how many octets follow */
};
/* Take a line from the front of `in`; returns the octets eaten. *line_r is without CRLF. */
size_t smtp_server_line(struct smtp_server *server, struct span in, enum smtp_line_kind *kind_r,
	struct span *line_r);

/* ---- server_command.c ---- */
/* Whether a line is read only when every command before it has its reply. */
bool smtp_server_must_wait(const struct smtp_server *server, struct span line);
void smtp_server_command(
	struct smtp_server *server, struct span line, struct smtp_server_event *event_r);
/* Answer a new slot with a reply of ours. */
void smtp_server_answer(
	struct smtp_server *server, enum smtp_own own, struct smtp_server_event *event_r);
/* Say the last word: SRV_BROKEN. */
void smtp_server_break(
	struct smtp_server *server, enum smtp_own own, struct smtp_server_event *event_r);

/* ---- server_mail.c: SMTP_OWN_NONE, or the refusal ---- */
enum smtp_own smtp_mail_parse(
	struct smtp_server *server, struct span rest, struct smtp_mail *mail_r);
enum smtp_own smtp_rcpt_parse(
	struct smtp_server *server, struct span rest, struct smtp_rcpt *rcpt_r);

/* ---- server_body.c ---- */
size_t smtp_server_body(
	struct smtp_server *server, struct span in, struct smtp_server_event *event_r);
/* A BDAT line; `rest` stands behind the verb.  Out of order unless `legal`. */
void smtp_server_bdat(struct smtp_server *server, struct span line, struct span rest, bool legal,
	struct smtp_server_event *event_r);

/* ---- server_slot.c ---- */
#define SMTP_SLOTS_MAX 1000 /* unanswered commands; at the bound nothing is read */
unsigned smtp_slot_take(struct smtp_server *server, enum smtp_verb verb);
struct smtp_slot *smtp_slot_find(struct smtp_server *server, unsigned number); /* NULL: it left */
void smtp_slot_answer(struct smtp_server *server, unsigned number, const struct smtp_reply *reply);
void smtp_slot_own(
	struct smtp_server *server, unsigned number, enum smtp_own own, const char *argument);
void smtp_slots_drop(struct smtp_server *server); /* all that have not left */
/* Queue the last word, for which the slots give way. */
void smtp_slots_last(struct smtp_server *server, enum smtp_own own, const char *argument);
/* The transaction is over, or gives way to `order`. */
void smtp_order_reset(struct smtp_server *server);

#endif
