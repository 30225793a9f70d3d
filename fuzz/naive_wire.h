/*
 * Replies, and bodies on the wire, once more: replies octet by octet as a state machine, bodies by
 * looking at the whole.  Shares nothing with src/smtp.
 */
#ifndef FUZZ_NAIVE_WIRE_H
#define FUZZ_NAIVE_WIRE_H

#include "base/bytes.h"

/* ---- replies ---- */

enum naive_verdict { NAIVE_MORE, NAIVE_WHOLE, NAIVE_BROKEN };

struct naive_reply {
	enum naive_verdict
		verdict; /* of the reply at the front; BROKEN: no octets to come mend it */
	size_t len;      /* WHOLE */
	unsigned code;
};
struct naive_reply naive_reply(const char *at, size_t len);

/* Octets of the enhanced code at the front of a line's text, 0: none. */
size_t naive_enhanced(const char *text, size_t len, unsigned code_r[3]);

/* ---- bodies ---- */

struct naive_rules {
	uint64_t max_size; /* 0: none */
	bool pass_bare, pass_long;
};

enum naive_flaw { NAIVE_SOUND, NAIVE_BARE, NAIVE_NUL, NAIVE_LONG, NAIVE_LARGE };

struct naive_body {
	bool ended;
	size_t eaten;    /* octets of the wire, end of data included; all if it hasn't ended */
	struct buf body; /* what may be passed on: up to the first flaw */
	enum naive_flaw flaw;
};

/* What stands behind 354.  If it has not ended, the last octets may be undecided. */
void naive_data(
	const char *at, size_t len, const struct naive_rules *rules, struct naive_body *body_r);
/* All chunks of a message, one behind the other; `ended`: the last one was there. */
void naive_chunks(const char *at, size_t len, bool ended, const struct naive_rules *rules,
	struct naive_body *body_r);
/* Stuffed, with its end of data; *end_r: where that begins, a CRLF that had to be added included.
 */
void naive_stuff(const char *at, size_t len, struct buf *wire_r, size_t *end_r);

#endif
