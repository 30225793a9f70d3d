/*
 * Replies of others and of ours, and what EHLO offers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "smtp/caps.h"
#include "smtp/reply.h"

#define BYTES(literal) ((struct span){.at = (literal), .len = sizeof(literal) - 1})

/* Parse from memory of exactly that size. */
static size_t parse(struct span in, struct smtp_reply *reply_r, bool *broken_r)
{
	char *exact = malloc(in.len > 0 ? in.len : 1);
	size_t eaten;

	assert_non_null(exact);
	if (in.len > 0)
		memcpy(exact, in.at, in.len);
	eaten = smtp_reply_parse((struct span){.at = exact, .len = in.len}, reply_r, broken_r);
	if (eaten > 0)
		reply_r->wire.at = in.at + (reply_r->wire.at - exact);
	free(exact);
	return eaten;
}

static void test_whole_replies(void **state)
{
	struct {
		const char *wire;
		unsigned code, class, subject, detail;
	} const cases[] = {
		{"250 Ok\r\n", 250, 0, 0, 0},
		{"250 \r\n", 250, 0, 0, 0},
		{"250\r\n", 250, 0, 0, 0},
		{"599 5.999.999 x\r\n", 599, 5, 999, 999},
		{"250 2.1.5 Ok\r\n", 250, 2, 1, 5},
		{"421 4.3.2\r\n", 421, 4, 3, 2},
		{"550-5.1.1 No such user\r\n550 5.1.1 here\r\n", 550, 5, 1, 1},
		{"250-a\r\n250-b\r\n250 c\r\n", 250, 0, 0, 0},
		{"250-\r\n250\r\n", 250, 0, 0, 0},
		{"354 go \xc3\xa4\r\n", 354, 0, 0, 0},
		{"250 3.1.5 no class\r\n", 250, 0, 0, 0},
		{"250 2.1 short\r\n", 250, 0, 0, 0},
		{"250 2.1.5x\r\n", 250, 0, 0, 0},
		{"250 2.1000.5 x\r\n", 250, 0, 0, 0},
		{"250 2\r\n", 250, 0, 0, 0},
		{"250 2..5 no subject\r\n", 250, 0, 0, 0},
		{"250 2.1. no detail\r\n", 250, 0, 0, 0},
		{"250 .1.5 x\r\n", 250, 0, 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct span in = span_of(cases[i].wire);
		struct smtp_reply reply;
		char behind[200];
		bool broken;

		for (size_t len = 0; len < in.len; len++) {
			assert_int_equal(
				parse((struct span){.at = in.at, .len = len}, &reply, &broken), 0);
			assert_false(broken);
		}
		assert_int_equal(parse(in, &reply, &broken), in.len);
		assert_false(broken);
		assert_int_equal(reply.code, cases[i].code);
		assert_int_equal(reply.enhanced.class, cases[i].class);
		assert_int_equal(reply.enhanced.subject, cases[i].subject);
		assert_int_equal(reply.enhanced.detail, cases[i].detail);
		assert_true(span_eq(reply.wire, in));
		/* What follows is another reply's. */
		snprintf(behind, sizeof(behind), "%s999 x", cases[i].wire);
		assert_int_equal(parse(span_of(behind), &reply, &broken), in.len);
	}
}

/* Broken where the reader may know it, and never taken for a reply. */
static void test_item_26_malformed_replies(void **state)
{
	struct {
		struct span wire;
		size_t known; /* octets after which it must be known */
	} const cases[] = {
		{BYTES("250-a\r\n550 b\r\n"), 8},
		{BYTES("250-a\r\n251 b\r\n"), 10},
		{BYTES("no digits\r\n"), 1},
		{BYTES("25\r\n"), 3},
		{BYTES("\r\n"), 1},
		{BYTES("25x ok\r\n"), 3},
		{BYTES("2500 ok\r\n"), 4},
		{BYTES("250_ok\r\n"), 4},
		{BYTES("150 ok\r\n"), 1},
		{BYTES("050 ok\r\n"), 1},
		{BYTES("650 ok\r\n"), 1},
		{BYTES(" 250 ok\r\n"), 1},
		{BYTES("250 a\nb\r\n"), 6},
		{BYTES("250 a\n"), 6},
		{BYTES("250 a\rb\r\n"), 7},
		{BYTES("250 a\r\r\n"), 7},
		{BYTES("250 a\0\r\n"), 6},
		{BYTES("250-a\r\n\r\n"), 8},
		{BYTES("250-a\r\nb\r\n"), 8},
		{BYTES("250-a\r\n250\tb\r\n"), 11},
		{BYTES("HTTP/1.1 400 Bad Request\r\n"), 1},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (size_t len = 0; len <= cases[i].wire.len; len++) {
			struct smtp_reply reply;
			bool broken;

			assert_int_equal(parse((struct span){.at = cases[i].wire.at, .len = len},
						 &reply, &broken),
				0);
			if (broken != (len >= cases[i].known))
				fail_msg("case %zu, %zu octets: broken %d", i, len, broken);
		}
	}
}

static void test_item_26_long_lines(void **state)
{
	char line[SMTP_REPLY_LINE + 2] = "250 ";
	struct smtp_reply reply;
	bool broken;

	(void)state;
	memset(line + 4, 'x', sizeof(line) - 4);
	/* 512 with CRLF are a reply, 513 are none, and a megabyte isn't waited for. */
	memcpy(line + SMTP_REPLY_LINE - 2, "\r\n", 2);
	assert_int_equal(
		parse((struct span){.at = line, .len = 512}, &reply, &broken), SMTP_REPLY_LINE);
	memcpy(line + SMTP_REPLY_LINE - 2, "xx", 2);
	for (size_t len = 0; len <= SMTP_REPLY_LINE; len++) {
		assert_int_equal(parse((struct span){.at = line, .len = len}, &reply, &broken), 0);
		assert_int_equal(broken, len > SMTP_REPLY_LINE - 2);
	}
}

static void test_item_26_endless_reply(void **state)
{
	struct buf wire = {0};
	struct smtp_reply reply;
	size_t fits = 0;
	bool broken;

	(void)state;
	while (wire.len < 2 * SMTP_REPLY_MAX) {
		assert_int_equal(smtp_reply_parse(buf_span(&wire), &reply, &broken), 0);
		assert_int_equal(broken, wire.len >= SMTP_REPLY_MAX);
		if (wire.len + 7 <= SMTP_REPLY_MAX)
			fits = wire.len;
		buf_add_text(&wire, "250-and so on and so forth\r\n");
	}
	/* The longest that is allowed. */
	wire.len = fits;
	buf_add_text(&wire, "250 x\r\n");
	assert_int_equal(smtp_reply_parse(buf_span(&wire), &reply, &broken), fits + 7);
	buf_clear(&wire);
}

static void test_text(void **state)
{
	struct {
		const char *wire, *text;
	} const cases[] = {
		{"250 Ok\r\n", "Ok"},
		{"250\r\n", ""},
		{"451 4.3.0 Temporary failure\r\n", "4.3.0 Temporary failure"},
		{"451-4.3.0 Temporary failure\r\n451 4.3.0 try later\r\n",
			"4.3.0 Temporary failure / try later"},
		{"550-a\r\n550-\r\n550 b\r\n", "a / b"},
		{"550 a\tb\x1b[31mc\x7f\r\n", "a?b?[31mc?"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct smtp_reply reply;
		struct buf text = {0};
		bool broken;

		assert_true(parse(span_of(cases[i].wire), &reply, &broken) > 0);
		buf_add_text(&text, "> ");
		smtp_reply_text(&reply, &text);
		assert_string_equal(buf_string(&text) + 2, cases[i].text);
		buf_clear(&text);
	}
}

static void test_recode(void **state)
{
	struct {
		const char *wire;
		uint16_t code;
		const char *recoded;
	} const cases[] = {
		{"421 4.3.2 Bye\r\n", 451, "451 4.3.2 Bye\r\n"},
		{"421-a\r\n421 b\r\n", 451, "451-a\r\n451 b\r\n"},
		{"421\r\n", 451, "451\r\n"},
		{"550-5.1.1 a\r\n550 5.1.1 b\r\n", 451, "451-4.1.1 a\r\n451 4.1.1 b\r\n"},
		{"550 5.1.1\r\n", 450, "450 4.1.1\r\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct smtp_reply reply, other;
		struct buf into = {0};
		bool broken;

		assert_true(parse(span_of(cases[i].wire), &reply, &broken) > 0);
		buf_add_text(&into, "before");
		smtp_reply_recode(&reply, cases[i].code, &into, &other);
		assert_true(span_is(other.wire, cases[i].recoded));
		assert_int_equal(other.code, cases[i].code);
		assert_true(
			other.enhanced.class == 0 || other.enhanced.class == cases[i].code / 100);
		assert_int_equal(into.len, 6 + other.wire.len);
		buf_clear(&into);
	}
}

/* What servers say when they are full, and what only sounds like it. */
static void test_too_many_connections(void **state)
{
	struct {
		const char *wire;
		bool full;
	} const cases[] = {
		{"421 4.7.0 mx.example Error: too many connections from 192.0.2.1\r\n", true},
		{"421 4.3.2 The maximum number of concurrent connections has exceeded a limit\r\n",
			true},
		{"421 Connections from you exceed what is allowed\r\n", true},
		{"421-4.7.0 Your CONNECTION\r\n421 4.7.0 rate LIMIT\r\n", true},
		{"452 Maximum of connections\r\n", true},
		{"451 Concurrent connections\r\n", true},
		{"421 Closing connection, time-out\r\n", false},
		{"421 Too many messages\r\n", false},
		{"550 Too many connections\r\n", false},
		{"421\r\n", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct smtp_reply reply;
		bool broken;

		assert_true(parse(span_of(cases[i].wire), &reply, &broken) > 0);
		if (smtp_reply_too_many(&reply) != cases[i].full)
			fail_msg("%s: %d", cases[i].wire, !cases[i].full);
	}
}

static void test_lines(void **state)
{
	struct span rest = SPAN("250-a\r\n250\r\n"), text;

	(void)state;
	assert_true(smtp_reply_next_line(&rest, &text));
	assert_true(span_is(text, "a"));
	assert_true(smtp_reply_next_line(&rest, &text));
	assert_true(span_is(text, ""));
	assert_false(smtp_reply_next_line(&rest, &text));
}

/* ---- ours ---- */

/* Every row is a legal reply, whose enhanced code agrees with its class. */
static void test_own_replies(void **state)
{
	static const char *const texts[] = {
#define TEXT(id, code, enhanced, text) text,
		SMTP_OWN_REPLIES(TEXT)
#undef TEXT
	};
	char longest[2000];

	(void)state;
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	for (int own = 0; own < SMTP_OWN_COUNT; own++) {
		struct buf wire = {0};
		struct smtp_reply reply, again;
		bool broken;

		buf_add_text(&wire, "220 first\r\n");
		smtp_own_reply((enum smtp_own)own, strstr(texts[own], "%s") ? longest : NULL, &wire,
			&reply);
		assert_int_equal(parse(reply.wire, &again, &broken), reply.wire.len);
		assert_int_equal(again.code, smtp_own_code((enum smtp_own)own));
		assert_int_equal(reply.code, again.code);
		if (reply.enhanced.class != 0)
			assert_int_equal(reply.enhanced.class, reply.code / 100);
		assert_int_equal(wire.len, 11 + reply.wire.len);
		buf_clear(&wire);
	}
}

static void test_own_reply_words(void **state)
{
	struct buf wire = {0};
	struct smtp_reply reply;

	(void)state;
	smtp_own_reply(SMTP_OWN_OK, NULL, &wire, &reply);
	assert_true(span_is(reply.wire, "250 2.0.0 Ok\r\n"));
	assert_int_equal(reply.enhanced.class, 2);
	buf_reset(&wire);
	smtp_own_reply(SMTP_OWN_TOO_LARGE, "12", &wire, &reply);
	assert_true(span_is(reply.wire, "552 5.3.4 Message larger than 12 bytes\r\n"));
	/* A client's word can't break the line. */
	buf_reset(&wire);
	smtp_own_reply(SMTP_OWN_UNKNOWN_PARAMETER, "a\r\n250 b%s\x7f", &wire, &reply);
	assert_true(span_is(reply.wire, "555 5.5.4 Unsupported parameter: a??250 b%s?\r\n"));
	buf_clear(&wire);
}

static void test_reference_has_every_row(void **state)
{
	struct buf text = {0};
	int lines = 0;

	(void)state;
	smtp_own_reference(&text);
	for (size_t i = 0; i < text.len; i++)
		lines += text.at[i] == '\n';
	assert_int_equal(lines, SMTP_OWN_COUNT + 2);
	assert_non_null(strstr(buf_string(&text),
		"| 451 | 4.4.2 | `The server was lost before it confirmed the message` |\n"));
	buf_clear(&text);
}

/* ---- EHLO ---- */

static void test_offers(void **state)
{
	static const char *const lines[] = {"PIPELINING", "size 10240000", "8bitmime", "SMTPUTF8",
		"DSN", "CHUNKING", "ENHANCEDSTATUSCODES", "STARTTLS", "AUTH PLAIN LOGIN",
		"XCLIENT NAME ADDR", "HELP", "VRFY", "X-NEW thing", "PIPELININGS", ""};
	struct smtp_offer offer = {0};
	struct buf text = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		smtp_offer_line(&offer, span_of(lines[i]));
	assert_int_equal(offer.size, 10240000);
	smtp_caps_text(offer.caps | SMTP_CAP_SEEN, &text);
	assert_string_equal(buf_string(&text),
		"PIPELINING SIZE 8BITMIME SMTPUTF8 DSN CHUNKING ENHANCEDSTATUSCODES STARTTLS AUTH "
		"XCLIENT HELP");
	buf_clear(&text);
}

static void test_size_offers(void **state)
{
	struct {
		const char *line;
		uint64_t size;
	} const cases[] = {
		{"SIZE", 0},
		{"SIZE 0", 0},
		{"SIZE 1", 1},
		{"SIZE\t1", 1},
		{"SIZE 18446744073709551615", UINT64_MAX},
		{"SIZE 18446744073709551616", 0},
		{"SIZE many", 0},
		{"SIZE -1", 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct smtp_offer offer = {0};

		smtp_offer_line(&offer, span_of(cases[i].line));
		assert_int_equal(offer.caps, SMTP_CAP_SIZE);
		assert_true(offer.size == cases[i].size);
	}
}

static void test_keywords(void **state)
{
	struct smtp_offer offer = {0};

	(void)state;
	assert_int_equal(smtp_cap_of(SPAN("Chunking")), SMTP_CAP_CHUNKING);
	assert_int_equal(smtp_cap_of(SPAN("CHUNK")), 0);
	assert_int_equal(smtp_cap_of(SPAN("")), 0);
	smtp_offer_line(&offer, SPAN("AUTH=LOGIN PLAIN"));
	assert_int_equal(offer.caps, SMTP_CAP_AUTH);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole_replies),
		cmocka_unit_test(test_item_26_malformed_replies),
		cmocka_unit_test(test_item_26_long_lines),
		cmocka_unit_test(test_item_26_endless_reply),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_recode),
		cmocka_unit_test(test_too_many_connections),
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_own_replies),
		cmocka_unit_test(test_own_reply_words),
		cmocka_unit_test(test_reference_has_every_row),
		cmocka_unit_test(test_offers),
		cmocka_unit_test(test_size_offers),
		cmocka_unit_test(test_keywords),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
