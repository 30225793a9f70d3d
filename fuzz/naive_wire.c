/*
 * Replies as a state machine (RFC 5321 4.2), bodies looked at whole (4.1.1.4, 4.5.2).
 */
#include "naive_wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- replies ---- */

#define LINE_MOST  512
#define REPLY_MOST 65536

/* Whether `c` may be the octet at `column` of a line, CR and LF aside. */
static bool may_stand(const char *first, unsigned line, unsigned column, char c)
{
	if (column < 3 && line > 0)
		return c == first[column];
	if (column == 0)
		return c >= '2' && c <= '5';
	if (column < 3)
		return c >= '0' && c <= '9';
	if (column == 3)
		return c == ' ' || c == '-';
	return c != '\0' && c != '\n';
}

struct naive_reply naive_reply(const char *at, size_t len)
{
	struct naive_reply reply = {.verdict = NAIVE_BROKEN};
	unsigned line = 0, column = 0;
	bool more = false, after_cr = false;

	for (size_t i = 0; i < len; i++) {
		if (i == REPLY_MOST)
			return reply;
		if (after_cr && at[i] != '\n')
			return reply;
		if (after_cr && !more) {
			reply.verdict = NAIVE_WHOLE;
			reply.len = i + 1;
			for (unsigned digit = 0; digit < 3; digit++)
				reply.code = reply.code * 10 + (unsigned)(at[digit] - '0');
			return reply;
		}
		if (after_cr) {
			line++;
			column = 0;
			after_cr = more = false;
			continue;
		}
		if (at[i] == '\r' && column >= 3) {
			after_cr = true;
			continue;
		}
		if (!may_stand(at, line, column, at[i]))
			return reply;
		if (column == 3)
			more = at[i] == '-';
		column++;
		if (column + 2 > LINE_MOST)
			return reply;
	}
	if (len < REPLY_MOST)
		reply.verdict = NAIVE_MORE;
	return reply;
}

size_t naive_enhanced(const char *text, size_t len, unsigned code_r[3])
{
	char copy[16], class[2], subject[4], detail[4];
	int end = 0;

	snprintf(copy, sizeof(copy), "%.*s", (int)len, len > 0 ? text : "");
	if (sscanf(copy, "%1[245].%3[0-9].%3[0-9]%n", class, subject, detail, &end) < 3 || end == 0)
		return 0;
	if (copy[end] != '\0' && copy[end] != ' ')
		return 0;
	sscanf(copy, "%u.%u.%u", &code_r[0], &code_r[1], &code_r[2]);
	return (size_t)end;
}

/* ---- bodies ---- */

#define LINE_OCTETS 998

struct first {
	size_t at;
	enum naive_flaw flaw;
};

static void note(struct first *first, size_t at, enum naive_flaw flaw)
{
	if (at < first->at)
		*first = (struct first){at, flaw};
}

static bool pair_at(const char *at, size_t len, size_t i)
{
	return i + 1 < len && at[i] == '\r' && at[i + 1] == '\n';
}

static void look_for_lone(const char *at, size_t len, bool bare, bool chunks, struct first *first)
{
	for (size_t i = 0; i < len; i++) {
		if (at[i] == '\0')
			note(first, i, NAIVE_NUL);
		if (pair_at(at, len, i)) {
			i++;
			continue;
		}
		/* In a chunk a CR has been passed on before its successor shows what it is. */
		if (bare && (at[i] == '\r' || at[i] == '\n'))
			note(first, at[i] == '\r' && chunks ? i + 1 : i, NAIVE_BARE);
	}
}

static void look_for_long(const char *at, size_t len, bool chunks, struct first *first)
{
	size_t begin = 0;

	for (size_t i = 0; i < len; i++) {
		if (pair_at(at, len, i)) {
			begin = i + 2;
			i++;
		} else if (i - begin == LINE_OCTETS && !(chunks && at[i] == '\r')) {
			/* A CR there may begin the line's end, and else it is bare first. */
			note(first, i, NAIVE_LONG);
		}
	}
}

/* Up to the first flaw of the unstuffed octets.  On a tie the earlier call counts: what an octet
 * is, then where it stands, then how many came before. */
static void judge(const char *at, size_t len, bool chunks, const struct naive_rules *rules,
	struct naive_body *body)
{
	struct first first = {.at = SIZE_MAX};

	look_for_lone(at, len, !rules->pass_bare, chunks, &first);
	if (!rules->pass_long)
		look_for_long(at, len, chunks, &first);
	if (rules->max_size > 0 && len > rules->max_size) {
		size_t end = (size_t)rules->max_size;

		/* By DATA a CRLF is one thing: both octets or none. */
		note(&first, !chunks && pair_at(at, len, end - 1) ? end - 1 : end, NAIVE_LARGE);
	}
	body->flaw = first.at == SIZE_MAX ? NAIVE_SOUND : first.flaw;
	buf_add(&body->body, at, first.at < len ? first.at : len);
}

/* Index of the exact end of data, or `len`. */
static size_t find_end(const char *at, size_t len)
{
	const char *end;

	if (len >= 3 && memcmp(at, ".\r\n", 3) == 0)
		return 0;
	end = len > 0 ? memmem(at, len, "\r\n.\r\n", 5) : NULL;
	return end ? (size_t)(end - at) + 2 : len;
}

void naive_data(
	const char *at, size_t len, const struct naive_rules *rules, struct naive_body *body_r)
{
	size_t end = find_end(at, len);
	char *plain = malloc(end > 0 ? end : 1);
	size_t plain_len = 0;

	*body_r = (struct naive_body){.ended = end < len, .eaten = end < len ? end + 3 : len};
	for (size_t i = 0; i < end; i++) {
		bool begins = i == 0 || (i >= 2 && at[i - 1] == '\n' && at[i - 2] == '\r');

		if (!begins || at[i] != '.')
			plain[plain_len++] = at[i];
	}
	judge(plain, plain_len, false, rules, body_r);
	free(plain);
}

void naive_chunks(const char *at, size_t len, bool ended, const struct naive_rules *rules,
	struct naive_body *body_r)
{
	*body_r = (struct naive_body){.ended = ended, .eaten = len};
	judge(at, len, true, rules, body_r);
}

void naive_stuff(const char *at, size_t len, struct buf *wire_r, size_t *end_r)
{
	char *wire = malloc(2 * len + 1);
	size_t wire_len = 0;

	for (size_t i = 0; i < len; i++) {
		if (at[i] == '.' && (i == 0 || (i >= 2 && memcmp(at + i - 2, "\r\n", 2) == 0)))
			wire[wire_len++] = '.';
		wire[wire_len++] = at[i];
	}
	buf_add(wire_r, wire, wire_len);
	free(wire);
	*end_r = wire_r->len;
	if (len > 0 && (len < 2 || memcmp(at + len - 2, "\r\n", 2) != 0))
		buf_add_text(wire_r, "\r\n");
	buf_add_text(wire_r, ".\r\n");
}
