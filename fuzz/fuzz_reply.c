/*
 * Replies of a server, in random cuts: at each number of octets the parser must say what a state
 * machine says; and what it takes is passed on, shown and recoded without a change that wasn't
 * meant.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "input.h"
#include "naive_wire.h"
#include "smtp/caps.h"
#include "smtp/reply.h"

#define TEXT_MOST    90000
#define REPLIES_MOST 20

static const char *verdict_name(enum naive_verdict verdict)
{
	static const char *const names[] = {"more", "whole", "broken"};

	return names[verdict];
}

/* Both look at the first `fed` octets. */
static enum naive_verdict compare(
	const struct input *input, size_t at, size_t fed, struct smtp_reply *reply_r)
{
	struct naive_reply naive = naive_reply(input->text + at, fed - at);
	struct span in = {.at = input->text + at, .len = fed - at};
	enum naive_verdict verdict;
	bool broken;
	size_t eaten;

	input_hide(input, fed);
	eaten = smtp_reply_parse(in, reply_r, &broken);
	input_hide(input, input->len);
	MUST(!(broken && eaten > 0), "a broken reply is eaten");
	verdict = eaten > 0 ? NAIVE_WHOLE : broken ? NAIVE_BROKEN : NAIVE_MORE;
	MUST(verdict == naive.verdict, "of %zu octets at %zu: %s, expected %s", fed - at, at,
		verdict_name(verdict), verdict_name(naive.verdict));
	if (eaten == 0)
		return verdict;
	MUST(eaten == naive.len, "%zu octets eaten, expected %zu", eaten, naive.len);
	MUST(reply_r->code == naive.code, "code %u, expected %u", reply_r->code, naive.code);
	MUST(reply_r->wire.at == in.at && reply_r->wire.len == eaten, "the wire is elsewhere");
	return verdict;
}

/* ---- what can be done with a whole one ---- */

/* The text behind the code of the line at `at`; *next_r: where the next line begins. */
static struct span text_of(struct span wire, size_t at, size_t *next_r)
{
	const char *line = wire.at + at;
	const char *end = memmem(line, wire.len - at, "\r\n", 2);
	size_t len = (size_t)(end - line);

	*next_r = at + len + 2;
	return (struct span){.at = line + (len < 4 ? len : 4), .len = len < 4 ? 0 : len - 4};
}

static void check_enhanced(const struct smtp_reply *reply)
{
	unsigned code[3] = {0};
	size_t next;
	struct span text = text_of(reply->wire, 0, &next);
	bool is = naive_enhanced(text.at, text.len, code) > 0;

	MUST((reply->enhanced.class != 0) == is, "enhanced code: class %u", reply->enhanced.class);
	if (is)
		MUST(reply->enhanced.class == code[0] && reply->enhanced.subject == code[1] &&
				reply->enhanced.detail == code[2],
			"enhanced code is not %u.%u.%u", code[0], code[1], code[2]);
}

/* The lines as they should be shown: joined, the code said once. */
static void naive_text(struct span wire, struct buf *into)
{
	for (size_t at = 0, next; at < wire.len; at = next) {
		struct span text = text_of(wire, at, &next);
		unsigned code[3];
		size_t skip = at > 0 ? naive_enhanced(text.at, text.len, code) : 0;

		text.at += skip;
		text.len -= skip;
		while (at > 0 && text.len > 0 && strchr(" \t", text.at[0])) {
			text.at++;
			text.len--;
		}
		while (at > 0 && text.len > 0 && strchr(" \t", text.at[text.len - 1]))
			text.len--;
		if (at > 0 && text.len > 0)
			buf_add_text(into, " / ");
		for (size_t i = 0; i < text.len; i++)
			buf_add(into, iscntrl((unsigned char)text.at[i]) ? "?" : text.at + i, 1);
	}
}

static void check_text(const struct smtp_reply *reply)
{
	struct buf got = {0}, expected = {0};

	smtp_reply_text(reply, &got);
	naive_text(reply->wire, &expected);
	MUST(strcmp(buf_string(&got), buf_string(&expected)) == 0,
		"shown as \"%s\", expected \"%s\"", got.at, expected.at);
	buf_clear(&got);
	buf_clear(&expected);
}

static void check_recode(const struct smtp_reply *reply, uint16_t code)
{
	struct buf into = {0};
	struct smtp_reply recoded, again;
	bool broken;
	size_t next;

	buf_add_text(&into, "in front");
	smtp_reply_recode(reply, code, &into, &recoded);
	MUST(recoded.wire.len == reply->wire.len, "recoded: %zu octets", recoded.wire.len);
	MUST(smtp_reply_parse(recoded.wire, &again, &broken) == recoded.wire.len &&
			again.code == code && recoded.code == code,
		"recoded: no reply any more, or another code");
	MUST(again.enhanced.class == recoded.enhanced.class &&
			(again.enhanced.class == 0 ||
				(again.enhanced.subject == recoded.enhanced.subject &&
					again.enhanced.detail == recoded.enhanced.detail)),
		"recoded: another enhanced code");
	for (size_t at = 0; at < reply->wire.len; at = next) {
		struct span was = text_of(reply->wire, at, &next);
		struct span is = text_of(recoded.wire, at, &next);
		unsigned enhanced[3];
		size_t skip = naive_enhanced(was.at, was.len, enhanced) > 0;

		MUST(is.len == was.len && memcmp(is.at + skip, was.at + skip, is.len - skip) == 0,
			"recoded: another text");
		MUST(!skip || is.at[0] == (char)('0' + code / 100), "recoded: classes differ");
	}
	buf_clear(&into);
}

static void check_too_many(const struct smtp_reply *reply)
{
	char *text = mem_string(reply->wire);
	bool expected = text[0] == '4' && strcasestr(text, "connection") &&
			(strcasestr(text, "too many") || strcasestr(text, "exceed") ||
				strcasestr(text, "limit") || strcasestr(text, "maximum") ||
				strcasestr(text, "concurrent"));

	MUST(smtp_reply_too_many(reply) == expected, "too many connections: %d", !expected);
	free(text);
}

static void check_offer(const struct smtp_reply *reply)
{
	struct span rest = reply->wire, text;
	struct smtp_offer offer = {0};
	size_t at = 0, lines = 0;

	while (smtp_reply_next_line(&rest, &text)) {
		struct span naive = text_of(reply->wire, at, &at);

		MUST(text.len == naive.len && (text.len == 0 || text.at == naive.at),
			"line %zu is \"%.*s\"", lines, SPAN_ARG(text));
		smtp_offer_line(&offer, text);
		lines++;
	}
	MUST(at == reply->wire.len, "%zu lines, and not all", lines);
}

static void check_whole(const struct smtp_reply *reply, unsigned choice)
{
	static const uint16_t codes[] = {451, 250, 550, 421, 599, 200};

	check_enhanced(reply);
	check_text(reply);
	check_recode(reply, codes[choice]);
	check_too_many(reply);
	check_offer(reply);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	enum naive_verdict verdict = NAIVE_WHOLE;
	struct input input;
	struct smtp_reply reply;
	size_t at = 0, fed = 0;

	input_take(bytes, len, TEXT_MOST, &input);
	for (unsigned i = 0; i < REPLIES_MOST && verdict == NAIVE_WHOLE; i++) {
		do {
			verdict = compare(&input, at, fed, &reply);
			if (verdict != NAIVE_MORE || fed == input.len)
				break;
			fed += pattern_cut(&input.cuts, input.len - fed);
		} while (true);
		/* What it says does not change with what comes behind. */
		MUST(compare(&input, at, input.len, &reply) == verdict || verdict == NAIVE_MORE,
			"another verdict when more is there");
		if (verdict != NAIVE_WHOLE)
			break;
		check_whole(&reply, pattern_choose(&input.choices, 6));
		at += reply.wire.len;
		fed = at > fed ? at : fed;
	}
	input_clear(&input);
	return 0;
}
