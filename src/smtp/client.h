/*
 * The conversation with a server, as its client: commands in a FIFO, each reply pops its head.
 * No socket, no clock.
 *
 *     owner: smtp_client_send(tag) ... --> out chain --> (stream) --> smtp_client_sent(n)
 *     bytes from the server --> smtp_client_next() --> REPLY{tag, phase}
 *
 * The client knows how far the message can have got: the *fate* (see "The commit rule" in
 * docs/architecture.md).  It never lets the end of data be queued while a MAIL or RCPT reply is
 * outstanding (asserted).
 */
#ifndef SMTP_CLIENT_H
#define SMTP_CLIENT_H

#include "base/chunk.h"
#include "smtp/caps.h"
#include "smtp/reply.h"

enum smtp_phase {
	PHASE_CONNECT,
	PHASE_BANNER,
	PHASE_EHLO,
	PHASE_MAIL,
	PHASE_RCPT,
	PHASE_DATA,
	PHASE_BODY,
	PHASE_END,
	PHASE_RSET,
	PHASE_QUIT,
	SMTP_PHASES
};
const char *smtp_phase_name(enum smtp_phase phase); /* "end of data" ... for logs */

enum smtp_fate {
	FATE_UNSENT, /* nothing of the body has left */
	FATE_OPEN,   /* some of the body has left, nothing of its end: certainly not accepted */
	FATE_ENDED,  /* an octet of the end of data may have reached the server: nobody knows */
};

enum smtp_client_kind {
	CLI_MORE,
	CLI_REPLY,    /* `reply` answers the command with `tag`; wire points into `in` */
	CLI_POISONED, /* malformed, or a reply that can't be to what was asked and has left: close,
			 never reuse.  Sticky. */
};

/*
 * A 4yz or 5yz inside a DATA body, whose end was not queued yet, comes as REPLY with phase BODY:
 * stop, for the message is refused (the fate stays OPEN).  Nothing can be sent on the connection
 * after it.
 */
struct smtp_client_event {
	enum smtp_client_kind kind;
	enum smtp_phase phase; /* REPLY: of the command that is answered */
	unsigned tag;
	struct smtp_reply reply;
};

struct smtp_client;

/* Begins by expecting a banner (phase BANNER, tag 0). */
struct smtp_client *smtp_client_new(struct chunk_pool *pool);
void smtp_client_free(struct smtp_client **client);

/* Queue one command; `line` without CRLF, which must hold no CR, LF, NUL (asserted). */
void smtp_client_send(
	struct smtp_client *client, enum smtp_phase phase, struct span line, unsigned tag);

/*
 * The body.  `chunking` decides its form for the message that begins now:
 *   BDAT: pieces are gathered into frames of 64 KiB, each with a reply (phase BODY; the last is
 *         phase END), so nothing is sent that was not announced;
 *   DATA: sends DATA (its reply has phase DATA); pieces wait inside until a 354 was read, then
 *         flow out stuffed.  After any other reply the pieces are dropped and the fate stays.
 * smtp_client_body_end() queues the end of data: assert: no MAIL or RCPT reply outstanding, all
 * earlier frames' replies may be.  With DATA its reply has phase END.
 */
void smtp_client_body_begin(struct smtp_client *client, bool chunking, unsigned tag);
void smtp_client_body(struct smtp_client *client, struct chunk *chunk, size_t at, size_t len);
void smtp_client_body_end(struct smtp_client *client);

/* Body octets that were given but not yet moved to the out chain. */
size_t smtp_client_held(const struct smtp_client *client);
struct chain *smtp_client_out(struct smtp_client *client);
/* Tell how many octets of the out chain the kernel has taken, in order. */
void smtp_client_sent(struct smtp_client *client, size_t taken);
/* Of the transaction whose MAIL, or the RSET before it, was queued last. */
enum smtp_fate smtp_client_fate(const struct smtp_client *client);

/* Next event out of the unread bytes; returns octets eaten. */
size_t smtp_client_next(
	struct smtp_client *client, struct span in, struct smtp_client_event *event_r);
/* Commands without a reply yet. */
unsigned smtp_client_outstanding(const struct smtp_client *client);
/* Phase of the oldest command without a reply: what a time-out is about.  PHASE_BODY if none. */
enum smtp_phase smtp_client_waits_for(const struct smtp_client *client);

#endif
