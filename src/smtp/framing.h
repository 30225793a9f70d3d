/*
 * The body on the wire.  Reading: find the exact end of data (CRLF.CRLF and nothing else), take
 * dot-stuffing off, look for flaws, at any cut of the stream.  Writing: put dot-stuffing on.
 */
#ifndef SMTP_FRAMING_H
#define SMTP_FRAMING_H

#include "base/chunk.h"
#include "smtp/server.h"

/* State between reads; zero-initialised stands at the beginning of a body. */
struct smtp_unframe {
	uint64_t octets; /* of the body so far, unstuffed */
	uint32_t column; /* octets in the current line */
	uint8_t state;   /* private: where between CR, LF and dot we are */
	enum smtp_flaw flaw;
	bool done;
};

/*
 * One step over DATA: returns octets eaten; *body_r is the piece that belongs to the body (may be
 * empty); unframe->done at the end of data (the CRLF before the dot belongs to the body).  A flaw
 * is recorded once and reading goes on to the exact end.  Call until it eats nothing and records no
 * flaw.
 */
size_t smtp_unframe_data(struct smtp_unframe *unframe, const struct smtp_server_rules *rules,
	struct span in, struct span *body_r);
/* The same checks over the octets of a chunk (RFC 3030); no dots, no end inside.  Returns how many
 * octets stand in front of the first flaw. */
size_t smtp_unframe_chunk(
	struct smtp_unframe *unframe, const struct smtp_server_rules *rules, struct span in);
/* At the end of a BDAT message: a lone CR at the very end is a flaw too. */
void smtp_unframe_end(struct smtp_unframe *unframe, const struct smtp_server_rules *rules);

/* Index of the first CR, LF or NUL, or `len`. */
size_t smtp_scan(const char *at, size_t len);

/* Append a piece of an unstuffed body to `out`, stuffed: pieces of the same chunk, no copy.
 * Zero-initialised stands at the beginning of a body. */
struct smtp_stuff {
	bool mid_line; /* false: the next octet begins a line */
	bool after_cr;
};
void smtp_stuff(
	struct smtp_stuff *stuff, struct chunk *chunk, size_t at, size_t len, struct chain *out);
/* The final CRLF if the body lacks it, then the dot. */
void smtp_stuff_end(struct smtp_stuff *stuff, struct chain *out);

#endif
