/*
 * Reading a body: its exact end, its dots, its flaws (RFC 5321 4.1.1.4, 4.5.2; RFC 3030 2).
 *
 *     DATA            CRLF             '.'             CR LF
 *        --> START ---------> START --------> DOT ---------------> done
 *              \ other          ^               \ other: the dot is dropped
 *               `--> MID --CRLF-'                `--> MID
 *
 * CR and LF count only as a pair: a CR at the end of what was read is left unread until its
 * successor is known, and nothing else ever waits.  In a chunk there is nothing to wait for, since
 * all its octets are the body's, so there a CR is remembered (AFTER_CR) instead.
 *
 * The surprise: flaws are judged octet by octet in order, in whatever pieces they come; so the
 * first one is the same at every cut.
 */
#include "smtp/framing.h"

#include "base/testing.h"

enum where { START, MID, DOT, AFTER_CR };

#define LINE_OCTETS                                                                                \
	998 /* RFC 5322 2.1.1, without CRLF; a doubled dot counts once (RFC 5321 4.5.3.1.6) */

/* ---- octets that may pass; all of these are for a body without a flaw so far ---- */

/* `len` octets more; returns how many of them the size allows. */
static size_t take_octets(
	struct smtp_unframe *unframe, const struct smtp_server_rules *rules, size_t len)
{
	uint64_t room = rules->max_size == 0 ? UINT64_MAX : rules->max_size - unframe->octets;

	if (len > room) {
		unframe->flaw = FLAW_TOO_LARGE;
		len = (size_t)room;
	}
	unframe->octets += len;
	return len;
}

/* `len` octets within a line; returns how many of them stand in front of a flaw. */
static size_t take_text(
	struct smtp_unframe *unframe, const struct smtp_server_rules *rules, size_t len)
{
	size_t room = unframe->column < LINE_OCTETS ? LINE_OCTETS - unframe->column : 0;
	size_t fitting = rules->pass_long_lines || len <= room ? len : room;
	size_t taken = take_octets(unframe, rules, fitting);

	unframe->state = MID;
	if (taken == fitting && fitting < len)
		unframe->flaw = FLAW_LONG_LINE;
	/* Without the limit a line has no end either: the column must not wrap. */
	if (unframe->column < LINE_OCTETS)
		unframe->column += (uint32_t)(taken < LINE_OCTETS ? taken : LINE_OCTETS);
	return taken;
}

static void end_line(struct smtp_unframe *unframe)
{
	unframe->state = START;
	unframe->column = 0;
}

/* A CR, LF or NUL that stands alone.  Returns 1 if it passes. */
static size_t take_lone(struct smtp_unframe *unframe, const struct smtp_server_rules *rules, char c)
{
	size_t taken;

	if (c == '\0' || !rules->pass_bare_newlines) {
		unframe->flaw = c == '\0' ? FLAW_NUL : FLAW_BARE_NEWLINE;
		return 0;
	}
	taken = take_text(unframe, rules, 1);
	/* Who lets bare newlines pass means lines that end so: their length begins anew. */
	if (c == '\n')
		unframe->column = 0;
	return taken;
}

/* ---- DATA ---- */

/* One run of text, or what stands behind it.  Returns the octets that pass; 0: wait, or a flaw. */
static size_t take_some(
	struct smtp_unframe *unframe, const struct smtp_server_rules *rules, struct span in)
{
	size_t len = smtp_scan(in.at, in.len);

	if (len > 0)
		return take_text(unframe, rules, len);
	if (PLANTED(end_at_lf_dot_lf) && in.at[0] == '\n') {
		end_line(unframe);
		return take_octets(unframe, rules, 1);
	}
	if (in.at[0] != '\r')
		return take_lone(unframe, rules, in.at[0]);
	if (in.len == 1)
		return 0;
	if (in.at[1] != '\n')
		return take_lone(unframe, rules, '\r');
	if (take_octets(unframe, rules, 2) < 2)
		return 0;
	end_line(unframe);
	return 2;
}

/* After a flaw only the end matters.  Returns the octets eaten; 0: wait. */
static size_t skip_some(struct smtp_unframe *unframe, struct span in)
{
	size_t len = smtp_scan(in.at, in.len);

	if (len == 0 && in.at[0] == '\r' && in.len == 1)
		return 0;
	if (len == 0 && in.at[0] == '\r' && in.at[1] == '\n') {
		end_line(unframe);
		return 2;
	}
	unframe->state = MID;
	return len > 0 ? len : 1;
}

/* The dot that begins a line is eaten; is it the end?  Returns the octets eaten. */
static size_t judge_dot(struct smtp_unframe *unframe, struct span in)
{
	if (in.len == 0 || (in.at[0] == '\r' && in.len == 1))
		return 0;
	if (in.at[0] == '\r' && in.at[1] == '\n') {
		unframe->done = true;
		return 2;
	}
	if (PLANTED(end_at_lf_dot_lf) && in.at[0] == '\n') {
		unframe->done = true;
		return 1;
	}
	unframe->state = MID;
	return 0;
}

/* Up to the next dot that begins a line, to a flaw, or as far as it goes. */
static size_t take_lines(
	struct smtp_unframe *unframe, const struct smtp_server_rules *rules, struct span in)
{
	bool flawed = unframe->flaw != FLAW_NONE;
	size_t at = 0, len;

	while (at < in.len && (flawed || unframe->flaw == FLAW_NONE)) {
		struct span rest = span_from(in, at);

		if (unframe->state == START && rest.at[0] == '.')
			break;
		len = flawed ? skip_some(unframe, rest) : take_some(unframe, rules, rest);
		if (len == 0)
			break;
		at += len;
	}
	return at;
}

size_t smtp_unframe_data(struct smtp_unframe *unframe, const struct smtp_server_rules *rules,
	struct span in, struct span *body_r)
{
	bool flawed = unframe->flaw != FLAW_NONE;
	size_t at = 0, len;

	*body_r = (struct span){.at = NULL, .len = 0};
	if (unframe->done || in.len == 0)
		return 0;
	if (unframe->state == START && in.at[0] == '.') {
		unframe->state = DOT;
		at = 1;
	}
	if (unframe->state == DOT) {
		at += judge_dot(unframe, span_from(in, at));
		if (unframe->state == DOT)
			return at;
	}
	len = take_lines(unframe, rules, span_from(in, at));
	if (!flawed)
		*body_r = (struct span){.at = in.at + at, .len = len};
	return at + len;
}

/* ---- BDAT ---- */

/* One octet of a chunk that is no text; behind a CR it is an LF.  Returns 1 if it is passed on. */
static size_t take_chunk_octet(
	struct smtp_unframe *unframe, const struct smtp_server_rules *rules, char c)
{
	if (unframe->state == AFTER_CR) {
		end_line(unframe);
		return take_octets(unframe, rules, 1);
	}
	if (c != '\r')
		return take_lone(unframe, rules, c);
	unframe->state = AFTER_CR;
	return take_octets(unframe, rules, 1);
}

/* What follows shows whether the CR before it was bare. */
static bool settle_cr(
	struct smtp_unframe *unframe, const struct smtp_server_rules *rules, char next)
{
	if (unframe->state != AFTER_CR || next == '\n')
		return true;
	unframe->state = MID;
	if (rules->pass_bare_newlines)
		return true;
	unframe->flaw = FLAW_BARE_NEWLINE;
	return false;
}

size_t smtp_unframe_chunk(
	struct smtp_unframe *unframe, const struct smtp_server_rules *rules, struct span in)
{
	size_t at = 0;

	while (at < in.len && unframe->flaw == FLAW_NONE) {
		size_t len = smtp_scan(in.at + at, in.len - at);

		if (!settle_cr(unframe, rules, in.at[at]))
			break;
		at += len > 0 ? take_text(unframe, rules, len)
			      : take_chunk_octet(unframe, rules, in.at[at]);
	}
	return at;
}

void smtp_unframe_end(struct smtp_unframe *unframe, const struct smtp_server_rules *rules)
{
	if (unframe->flaw == FLAW_NONE && unframe->state == AFTER_CR && !rules->pass_bare_newlines)
		unframe->flaw = FLAW_BARE_NEWLINE;
}
