/*
 * Who sent what, who was told what, and who has it.  The oracle of the world: it knows nothing of
 * the product, only what clients and servers saw.
 *
 *     message     what a client wants delivered; tried again until it is accepted or refused
 *     attempt     one try: a MAIL command of the client and what followed
 *     commit      a server has taken a whole message for some attempt
 *
 * The sender's address carries the attempt ("m12.k3@a.sim"), so a server's commit names it; each
 * recipient's address carries message and index ("r0.m12@b.sim").
 *
 * Messages are numbered from 0 in the order they were made, attempts of a message from 1.
 */
#ifndef SIM_LEDGER_H
#define SIM_LEDGER_H

#include <limits.h>

#include "sim/world.h"

struct ledger;

struct ledger *ledger_new(struct world *world);
void ledger_free(struct ledger **ledger);

struct mail {
	unsigned number;
	unsigned recipients;
	struct span body; /* as the servers must get it, CRLF lines, not stuffed; owned by ledger */
};

/* Make a message: random text with all that is hard about it (dots at line starts, lines of 998
 * octets, empty bodies, missing last CRLF only with `may_lack_crlf`), from the actor's rng. */
enum mail_shape { MAIL_PLAIN = 0, MAIL_LARGE = 1, MAIL_MANY_RECIPIENTS = 2, MAIL_FEW_WORDS = 4 };
const struct mail *ledger_mail(
	struct ledger *ledger, struct rng *rng, unsigned shape, bool may_lack_crlf);

/* A new attempt; returns its number (k), from 1.  `whole` false: the client will deliberately send
 * something else or not all of it; then nobody may commit it. */
unsigned ledger_attempt(struct ledger *ledger, unsigned mail, unsigned client, bool whole);
/* It goes by BDAT, which needs no final CRLF; by DATA each body gets one. */
void ledger_attempt_chunked(struct ledger *ledger, unsigned mail, unsigned attempt);
/* The attempt's end of data may have left the client from now on: a lost reply is in doubt only
 * after it.  To be said before the octet is given to the wire. */
void ledger_attempt_ended(struct ledger *ledger, unsigned mail, unsigned attempt);
/* What the client was told about a recipient (the code; text for messages). */
void ledger_recipient(struct ledger *ledger, unsigned mail, unsigned attempt, unsigned index,
	unsigned code, struct span text);
/* The last word: code 0: the connection was lost or given up by the client.  2xx: acknowledged,
 * checked at once: exactly one server has it, for exactly the recipients told 2xx.  "451 4.4.2
 * The server was lost before ...": doubt, which needs a cause.  Any other 4xx or 5xx: no server may
 * have it, now or later. */
void ledger_verdict(
	struct ledger *ledger, unsigned mail, unsigned attempt, unsigned code, struct span text);
/* The client gives the message up: refused for good, or it has tried often enough. */
void ledger_settled(struct ledger *ledger, unsigned mail);

/* A server commits.  `sender`, `recipients` as in the commands (without <>), `body` unstuffed;
 * `chunked`: it came by BDAT.  Only where one of the two sides was DATA a final CRLF is added.
 * Returns a number for the reply's text ("queued as C17"). */
unsigned ledger_commit(struct ledger *ledger, const char *server, struct span sender,
	const struct span *recipients, unsigned count, struct span body, bool chunked);
/* The reply that names this commit was sent in whole by the server: said when its last octet is
 * given to the wire.  Until then nobody may be told that the message is accepted. */
void ledger_commit_said(struct ledger *ledger, unsigned commit);
/* A client was told "queued as Cn" for this attempt: it must be its own. */
void ledger_told_commit(struct ledger *ledger, unsigned mail, unsigned attempt, unsigned commit);

/* A server has accepted a recipient of this attempt: its connection may come to have the message,
 * once for each connection and transaction. */
void ledger_carried(struct ledger *ledger, unsigned mail, unsigned attempt);
/* That connection left nothing in doubt: the house has read the whole verdict (`commit`: a yes,
 * and which; LEDGER_NO_COMMIT: a no), or it went on to another transaction there. */
#define LEDGER_NO_COMMIT UINT_MAX
void ledger_answered(struct ledger *ledger, unsigned mail, unsigned attempt, unsigned commit);

/* What the product has counted. */
struct ledger_books {
	uint64_t ambiguous; /* lost after their end of data, the in-gap ones of the dead too */
	uint64_t accepted;  /* heard by the client or not */
	uint64_t deaths;    /* of processes: each may leave one message counted twice, or wrongly */
	bool resending;     /* resend-ambiguous: an attempt may be at several servers */
};
/* At the end of the world, when every process has ended or died: nothing doubled without cause,
 * nothing acknowledged and missing, and the product's own books agree, from both sides. */
void ledger_close(struct ledger *ledger, const struct ledger_books *books);

struct ledger_sums {
	uint64_t mails, attempts, acknowledged, refused, commits, doubled, in_doubt;
};
struct ledger_sums ledger_sums(const struct ledger *ledger);

/* "m12.k3@a.sim" and "r0.m12@b.sim": into text (no NUL needed beyond), and back. */
enum { LEDGER_ADDRESS = 48 };
void ledger_sender(char text_r[LEDGER_ADDRESS], unsigned mail, unsigned attempt);
void ledger_recipient_address(char text_r[LEDGER_ADDRESS], unsigned mail, unsigned index);
bool ledger_parse_sender(struct span text, unsigned *mail_r, unsigned *attempt_r);
bool ledger_parse_recipient(struct span text, unsigned *mail_r, unsigned *index_r);

#endif
