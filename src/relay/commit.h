/*
 * The commit rule: what a server's answer, or its silence, means for a message.
 *
 * Pure: the caller describes what happened, the first row of the table that fits tells what is
 * right.  "Ended" means that an octet of the end of data may have reached the server.
 */
#ifndef RELAY_COMMIT_H
#define RELAY_COMMIT_H

#include "pool/pool.h"
#include "smtp/client.h"

enum commit_event {
	COMMIT_REPLIED,
	COMMIT_LOST /* connection over, malformed reply */,
	COMMIT_TIMED_OUT
};

/* What happened. */
struct commit_case {
	enum commit_event event;
	enum smtp_phase phase; /* of the command that was answered, or was outstanding */
	enum smtp_fate fate;
	const struct smtp_reply *reply; /* REPLIED */
	bool poisoned;                  /* LOST: because of a malformed or unasked reply */
	bool greeted_before;            /* a reused connection that has not answered anything yet */
	bool parameters;                /* the client sent a parameter with this command */
	bool names_client_input;        /* the reply quotes the client's own address */
};

enum commit_action {
	COMMIT_ACCEPT,    /* 2yz, or 354: go on */
	COMMIT_PASS,      /* the reply goes to the client, word for word (421 as 451) */
	COMMIT_PASS_MAIL, /* it answers MAIL, so it answers every recipient */
	COMMIT_NEXT,      /* another server; the client sees nothing */
	COMMIT_REPLAY,    /* another server, with the body so far, if a copy was kept; else 451 */
	COMMIT_STALE, /* the server had closed an idle connection: the next one, nobody notices */
	COMMIT_AMBIGUOUS, /* nobody can know: 451 4.4.2, never sent again by us */
};

struct commit_row {
	const char *name; /* as in docs/architecture.md; each has a test of this name */
	enum commit_action action;
	enum pool_outcome outcome; /* what the server's health and counters hear */
	bool drop;                 /* the connection can't be used any more */
	bool alarm;                /* a person should look: the server complains about us */
};

const struct commit_row *commit_judge(const struct commit_case *what);

/* For the tests and docs: row `index`, NULL behind the last. */
const struct commit_row *commit_row(unsigned index);

#endif
