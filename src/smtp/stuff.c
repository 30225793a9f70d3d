/*
 * Writing a body: dot-stuffing (RFC 5321 4.5.2).
 *
 * The doubled dot is the same octet of the same chunk, sent twice: a piece ends behind the dot and
 * the next one begins at it.  So stuffing costs a piece per dotted line and never a buffer.
 */
#include "smtp/framing.h"

#include <string.h>

#include "base/testing.h"

/* Whether at[i] is the first octet of a line. */
static bool begins_line(const struct smtp_stuff *stuff, const char *at, size_t i)
{
	if (i == 0)
		return !stuff->mid_line && !PLANTED(dot_not_stuffed);
	if (at[i - 1] != '\n')
		return false;
	return i == 1 ? stuff->after_cr : at[i - 2] == '\r';
}

/* Index of the first dot from `from` on that begins a line, or len. */
static size_t find_dot(const struct smtp_stuff *stuff, const char *at, size_t from, size_t len)
{
	while (from < len) {
		const char *dot = memchr(at + from, '.', len - from);

		if (!dot)
			return len;
		if (begins_line(stuff, at, (size_t)(dot - at)))
			return (size_t)(dot - at);
		from = (size_t)(dot - at) + 1;
	}
	return len;
}

void smtp_stuff(
	struct smtp_stuff *stuff, struct chunk *chunk, size_t at, size_t len, struct chain *out)
{
	const char *bytes = chunk->at + at;
	size_t from = 0, dot;

	if (len == 0)
		return;
	for (dot = find_dot(stuff, bytes, 0, len); dot < len;
		dot = find_dot(stuff, bytes, dot + 1, len)) {
		chain_add(out, chunk, at + from, dot + 1 - from);
		from = dot;
	}
	chain_add(out, chunk, at + from, len - from);
	stuff->mid_line = !begins_line(stuff, bytes, len);
	stuff->after_cr = bytes[len - 1] == '\r';
}

void smtp_stuff_end(struct smtp_stuff *stuff, struct chain *out)
{
	if (stuff->mid_line)
		chain_add_copy(out, "\r\n", 2);
	chain_add_copy(out, ".\r\n", 3);
}
