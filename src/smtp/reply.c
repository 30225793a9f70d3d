/*
 * Reading replies (RFC 5321 4.2): strict, bounded, and decided as early as the octets allow.
 *
 * The surprise: a broken line is broken before its end is seen, so that a server which never ends
 * a line, or talks another protocol, costs 512 octets and not a time-out.
 */
#include "smtp/reply.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum line_state { LINE_MORE, LINE_WHOLE, LINE_LAST, LINE_BROKEN };

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* The first four octets of a line, as far as they are there. */
static bool head_is_sound(struct span line)
{
	for (size_t i = 0; i < line.len && i < 3; i++) {
		if (!is_digit(line.at[i]))
			return false;
	}
	if (line.len > 0 && (line.at[0] < '2' || line.at[0] > '5'))
		return false;
	/* RFC 5321 4.2.1: a code alone, without the blank, is tolerated. */
	return line.len < 4 || line.at[3] == ' ' || line.at[3] == '-' || line.at[3] == '\r';
}

/* Length of the front of `in` that has no CR, LF, NUL in it. */
static size_t text_len(struct span in)
{
	size_t len = span_find(in, '\n');

	len = span_find((struct span){.at = in.at, .len = len}, '\r');
	return span_find((struct span){.at = in.at, .len = len}, '\0');
}

/* The line at the front of `in`; *len_r counts its CRLF. */
static enum line_state read_line(struct span in, size_t *len_r)
{
	size_t text = text_len(in);

	if (!head_is_sound(in) || text + 2 > SMTP_REPLY_LINE)
		return LINE_BROKEN;
	if (text == in.len)
		return LINE_MORE;
	if (in.at[text] != '\r')
		return LINE_BROKEN;
	if (text + 1 == in.len)
		return LINE_MORE;
	if (in.at[text + 1] != '\n')
		return LINE_BROKEN;
	*len_r = text + 2;
	return in.at[3] == '-' ? LINE_WHOLE : LINE_LAST;
}

static uint16_t code_of(const char *at)
{
	return (uint16_t)((at[0] - '0') * 100 + (at[1] - '0') * 10 + (at[2] - '0'));
}

/* ---- enhanced codes (RFC 3463 2) ---- */

/* One to three digits at the front of *rest. */
static bool eat_number(struct span *rest, uint16_t *value_r)
{
	size_t len = 0;
	uint16_t value = 0;

	while (len < rest->len && len < 3 && is_digit(rest->at[len]))
		value = (uint16_t)(value * 10 + (rest->at[len++] - '0'));
	*rest = span_from(*rest, len);
	*value_r = value;
	return len > 0;
}

static bool eat_dot(struct span *rest)
{
	if (rest->len == 0 || rest->at[0] != '.')
		return false;
	*rest = span_from(*rest, 1);
	return true;
}

/* An enhanced code at the front of a line's text; returns its length, 0 if there is none. */
static size_t read_enhanced(struct span text, struct smtp_enhanced *enhanced_r)
{
	struct smtp_enhanced enhanced;
	struct span rest = text;

	if (rest.len == 0 || (rest.at[0] != '2' && rest.at[0] != '4' && rest.at[0] != '5'))
		return 0;
	enhanced.class = (uint8_t)(rest.at[0] - '0');
	rest = span_from(rest, 1);
	if (!eat_dot(&rest) || !eat_number(&rest, &enhanced.subject) || !eat_dot(&rest) ||
		!eat_number(&rest, &enhanced.detail))
		return 0;
	if (rest.len > 0 && rest.at[0] != ' ')
		return 0;
	*enhanced_r = enhanced;
	return text.len - rest.len;
}

/* ---- the whole reply ---- */

/* Where the reply at the front of `in` ends. */
static enum line_state read_lines(struct span in, size_t *end_r)
{
	enum line_state state = LINE_WHOLE;
	size_t len = 0;

	for (*end_r = 0; state == LINE_WHOLE; *end_r += len) {
		struct span rest = span_from(in, *end_r);

		len = 0;
		state = read_line(rest, &len);
		/* RFC 5321 4.2.1: each line has the same code; judged as far as it is there. */
		if (rest.len > 0 && memcmp(rest.at, in.at, rest.len < 3 ? rest.len : 3) != 0)
			return LINE_BROKEN;
	}
	return state;
}

size_t smtp_reply_parse(struct span in, struct smtp_reply *reply_r, bool *broken_r)
{
	struct span text, rest;
	enum line_state state;
	size_t end;

	if (in.len > SMTP_REPLY_MAX)
		in.len = SMTP_REPLY_MAX;
	state = read_lines(in, &end);
	*broken_r = state == LINE_BROKEN || (state == LINE_MORE && in.len == SMTP_REPLY_MAX);
	if (state != LINE_LAST)
		return 0;
	*reply_r = (struct smtp_reply){.code = code_of(in.at), .wire = {.at = in.at, .len = end}};
	rest = reply_r->wire;
	smtp_reply_next_line(&rest, &text);
	read_enhanced(text, &reply_r->enhanced);
	return end;
}

bool smtp_reply_next_line(struct span *rest, struct span *text_r)
{
	size_t end = span_find(*rest, '\n');
	struct span line;

	if (rest->len == 0)
		return false;
	assert(end >= 4 && end < rest->len); /* a code and CRLF: nothing else is kept */
	line = (struct span){.at = rest->at, .len = end - 1};
	*rest = span_from(*rest, end + 1);
	*text_r = span_from(line, line.len < 4 ? line.len : 4);
	return true;
}

static void add_printable(struct buf *into, struct span text)
{
	for (size_t i = 0; i < text.len; i++) {
		char c = (unsigned char)text.at[i] < 0x20 || text.at[i] == 0x7f ? '?' : text.at[i];
		buf_add(into, &c, 1);
	}
}

void smtp_reply_text(const struct smtp_reply *reply, struct buf *into)
{
	struct span rest = reply->wire, text;
	bool first = true;

	while (smtp_reply_next_line(&rest, &text)) {
		struct smtp_enhanced enhanced;
		size_t code = read_enhanced(text, &enhanced);

		/* RFC 2034 4 repeats the enhanced code on each line: once is enough to read. */
		if (!first)
			text = span_trim(span_from(text, code));
		if (!first && text.len > 0)
			buf_add_text(into, " / ");
		add_printable(into, text);
		first = false;
	}
}

void smtp_reply_recode(
	const struct smtp_reply *reply, uint16_t code, struct buf *into, struct smtp_reply *reply_r)
{
	struct span rest = reply->wire;
	size_t begin = into->len;
	char digits[8];

	assert(code >= 200 && code <= 599);
	snprintf(digits, sizeof(digits), "%u", code);
	while (rest.len > 0) {
		struct span line = rest, text;
		struct smtp_enhanced enhanced;
		size_t at = into->len;

		smtp_reply_next_line(&rest, &text);
		buf_add(into, line.at, line.len - rest.len);
		memcpy(into->at + at, digits, 3);
		/* RFC 2034 4: both codes must be of one class. */
		if (read_enhanced(text, &enhanced) > 0)
			into->at[at + 4] = digits[0];
	}
	*reply_r = *reply;
	reply_r->code = code;
	if (reply_r->enhanced.class != 0)
		reply_r->enhanced.class = (uint8_t)(digits[0] - '0');
	reply_r->wire = (struct span){.at = into->at + begin, .len = into->len - begin};
}

static bool says(struct span text, const char *part)
{
	for (size_t i = 0; i < text.len; i++) {
		if (span_starts_nocase(span_from(text, i), part))
			return true;
	}
	return false;
}

bool smtp_reply_too_many(const struct smtp_reply *reply)
{
	struct span text = reply->wire;

	if (smtp_reply_class(reply) != 4 || !says(text, "connection"))
		return false;
	return says(text, "too many") || says(text, "exceed") || says(text, "limit") ||
	       says(text, "maximum") || says(text, "concurrent");
}
