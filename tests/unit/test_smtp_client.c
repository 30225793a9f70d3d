/*
 * The conversation with a server, good and bad ones: which reply answers what, how far a message
 * can have got, and what goes over the wire.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "smtp/client.h"
#include "smtp/server.h"

/* A client, and what its kernel took of it. */
struct line {
	struct chunk_pool *pool;
	struct smtp_client *client;
	struct smtp_client_event event;
	struct buf wire;
};

static void line_open(struct line *line)
{
	*line = (struct line){.pool = chunk_pool_new()};
	line->client = smtp_client_new(line->pool);
}

static void line_close(struct line *line)
{
	smtp_client_free(&line->client);
	buf_clear(&line->wire);
	chunk_pool_free(&line->pool);
}

/* The kernel takes up to `len` octets; returns how many it got. */
static size_t take(struct line *line, size_t len)
{
	struct chain *out = smtp_client_out(line->client);

	len = len < out->len ? len : out->len;
	for (size_t i = 0; i < len; i++) {
		char octet;

		chain_copy(out, 0, &octet, 1);
		buf_add(&line->wire, &octet, 1);
		chain_eat(out, 1);
	}
	smtp_client_sent(line->client, len);
	return len;
}

static void take_all(struct line *line)
{
	take(line, SIZE_MAX);
}

/* All that was sent since is `expected`. */
static void sends(struct line *line, const char *expected)
{
	take_all(line);
	assert_string_equal(buf_string(&line->wire), expected);
	buf_reset(&line->wire);
}

static enum smtp_client_kind hears(struct line *line, const char *text)
{
	size_t len = strlen(text), eaten;
	char *exact = malloc(len > 0 ? len : 1);

	memcpy(exact, text, len);
	eaten = smtp_client_next(
		line->client, (struct span){.at = exact, .len = len}, &line->event);
	assert_int_equal(eaten, line->event.kind == CLI_REPLY ? len : 0);
	line->event.reply.wire.at = text;
	free(exact);
	return line->event.kind;
}

static void answers(struct line *line, const char *text, enum smtp_phase phase, unsigned tag)
{
	assert_int_equal(hears(line, text), CLI_REPLY);
	assert_int_equal(line->event.phase, phase);
	assert_int_equal(line->event.tag, tag);
	assert_int_equal(line->event.reply.code, strtoul(text, NULL, 10));
}

static void poisons(struct line *line, const char *text)
{
	assert_int_equal(hears(line, text), CLI_POISONED);
	/* For good. */
	assert_int_equal(hears(line, "250 Ok\r\n"), CLI_POISONED);
	assert_int_equal(hears(line, ""), CLI_POISONED);
}

static void greet(struct line *line)
{
	answers(line, "220 hi\r\n", PHASE_BANNER, 0);
	smtp_client_send(line->client, PHASE_EHLO, SPAN("EHLO us"), 1);
	sends(line, "EHLO us\r\n");
	answers(line, "250-hi\r\n250 CHUNKING\r\n", PHASE_EHLO, 1);
}

static void envelope(struct line *line)
{
	smtp_client_send(line->client, PHASE_MAIL, SPAN("MAIL FROM:<>"), 2);
	smtp_client_send(line->client, PHASE_RCPT, SPAN("RCPT TO:<a@b>"), 3);
	sends(line, "MAIL FROM:<>\r\nRCPT TO:<a@b>\r\n");
	answers(line, "250 Ok\r\n", PHASE_MAIL, 2);
	answers(line, "250 Ok\r\n", PHASE_RCPT, 3);
}

/* Give a body in pieces of `len`. */
static void body(struct line *line, struct span text, size_t len)
{
	struct chunk *chunk = NULL;

	for (size_t at = 0; at < text.len;) {
		size_t part = text.len - at < len ? text.len - at : len;

		if (chunk && chunk_tail(chunk) == 0)
			chunk_unref(&chunk);
		if (!chunk)
			chunk = chunk_new(line->pool, CHUNK_SMALL);
		part = part < chunk_tail(chunk) ? part : chunk_tail(chunk);
		memcpy(chunk->at + chunk->len, text.at + at, part);
		chunk->len += (uint32_t)part;
		smtp_client_body(line->client, chunk, chunk->len - part, part);
		at += part;
	}
	chunk_unref(&chunk);
}

static void data(struct line *line)
{
	smtp_client_body_begin(line->client, false, 4);
	sends(line, "DATA\r\n");
	answers(line, "354 go\r\n", PHASE_DATA, 4);
}

static void open_to_the_body(struct line *line)
{
	line_open(line);
	greet(line);
	envelope(line);
}

/* ---- who is answered ---- */

static void test_replies_pop_the_head(void **state)
{
	struct line line;

	(void)state;
	line_open(&line);
	assert_int_equal(smtp_client_outstanding(line.client), 1);
	assert_int_equal(smtp_client_waits_for(line.client), PHASE_BANNER);
	greet(&line);
	assert_int_equal(smtp_client_outstanding(line.client), 0);
	assert_int_equal(smtp_client_waits_for(line.client), PHASE_BODY);
	smtp_client_send(line.client, PHASE_RSET, SPAN("RSET"), 9);
	smtp_client_send(line.client, PHASE_MAIL, SPAN("MAIL FROM:<>"), 8);
	for (unsigned i = 0; i < 100; i++)
		smtp_client_send(line.client, PHASE_RCPT, SPAN("RCPT TO:<a@b>"), i);
	take_all(&line);
	assert_int_equal(smtp_client_outstanding(line.client), 102);
	answers(&line, "250 Ok\r\n", PHASE_RSET, 9);
	answers(&line, "250 2.1.0 Ok\r\n", PHASE_MAIL, 8);
	for (unsigned i = 0; i < 100; i++)
		answers(&line, i % 3 ? "250 Ok\r\n" : "550-5.1.1 No\r\n550 5.1.1 No\r\n",
			PHASE_RCPT, i);
	assert_int_equal(smtp_client_outstanding(line.client), 0);
	smtp_client_send(line.client, PHASE_QUIT, SPAN("QUIT"), 0);
	take_all(&line);
	answers(&line, "221 Bye\r\n", PHASE_QUIT, 0);
	line_close(&line);
}

/* Replies that come in any pieces are the same replies. */
static void test_replies_at_every_cut(void **state)
{
	static const char replies[] =
		"250 Ok\r\n250-a\r\n250-b\r\n250 c\r\n550 5.1.1 No\r\n451\r\n";
	static const uint16_t codes[] = {250, 250, 550, 451};
	size_t len = strlen(replies);

	(void)state;
	for (size_t cut = 0; cut <= len; cut++) {
		struct line line;
		size_t at = 0, seen = cut;
		unsigned count = 0;

		line_open(&line);
		greet(&line);
		for (unsigned i = 0; i < 4; i++)
			smtp_client_send(line.client, PHASE_RCPT, SPAN("RCPT TO:<a@b>"), i);
		take_all(&line);
		for (;;) {
			at += smtp_client_next(line.client,
				(struct span){.at = replies + at, .len = seen - at}, &line.event);
			if (line.event.kind == CLI_MORE && seen == len)
				break;
			if (line.event.kind == CLI_MORE) {
				seen = len;
				continue;
			}
			assert_int_equal(line.event.kind, CLI_REPLY);
			assert_int_equal(line.event.tag, count);
			assert_int_equal(line.event.reply.code, codes[count++]);
		}
		assert_int_equal(count, 4);
		assert_int_equal(at, len);
		line_close(&line);
	}
}

/* ---- bad servers ---- */

static void test_item_26_malformed_replies(void **state)
{
	static const char *const bad[] = {"250-a\r\n550 b\r\n", "hello\r\n", "\r\n", "250 a\n",
		"150 x\r\n", "250 a\rb\r\n", "999 x\r\n"};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct line line;

		line_open(&line);
		greet(&line);
		smtp_client_send(line.client, PHASE_MAIL, SPAN("MAIL FROM:<>"), 2);
		take_all(&line);
		poisons(&line, bad[i]);
		assert_int_equal(smtp_client_fate(line.client), FATE_UNSENT);
		line_close(&line);
	}
}

static void test_item_27_unasked_bytes(void **state)
{
	static const char *const words[] = {"250 Ok\r\n", "421 Bye\r\n", "2", "\n", " "};

	(void)state;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		struct line line;

		line_open(&line);
		greet(&line);
		assert_int_equal(hears(&line, ""), CLI_MORE);
		poisons(&line, words[i]);
		line_close(&line);
		/* Two replies to one command: the second would be the next client's. */
		line_open(&line);
		greet(&line);
		envelope(&line);
		poisons(&line, words[i]);
		line_close(&line);
	}
}

/* What was queued but has not left can't have been answered. */
static void test_item_27_reply_before_the_command_left(void **state)
{
	static const char *const replies[] = {"250 Ok\r\n", "550 No\r\n"};

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct line line;

		line_open(&line);
		greet(&line);
		smtp_client_send(line.client, PHASE_MAIL, SPAN("MAIL FROM:<>"), 2);
		smtp_client_send(line.client, PHASE_RCPT, SPAN("RCPT TO:<a@b>"), 3);
		take(&line, strlen("MAIL FROM:<>\r\nRCPT TO:<a@b>\r"));
		answers(&line, replies[i], PHASE_MAIL, 2);
		poisons(&line, replies[i]);
		line_close(&line);
	}
}

/* So can't DATA be that has not left, and no end of data whose body has not begun to leave. */
static void test_item_27_go_ahead_before_data_left(void **state)
{
	struct line line;

	(void)state;
	open_to_the_body(&line);
	smtp_client_body_begin(line.client, false, 4);
	take(&line, strlen("DATA\r"));
	poisons(&line, "354 go\r\n");
	line_close(&line);
	open_to_the_body(&line);
	smtp_client_body_begin(line.client, true, 4);
	body(&line, SPAN("x\r\n"), 9);
	smtp_client_body_end(line.client);
	take(&line, strlen("BDAT 3 LAST\r"));
	poisons(&line, "452 full\r\n");
	assert_int_equal(smtp_client_fate(line.client), FATE_UNSENT);
	line_close(&line);
}

static void test_item_31_codes_that_answer_nothing(void **state)
{
	struct {
		enum smtp_phase phase;
		const char *reply;
	} const cases[] = {
		{PHASE_MAIL, "354 go\r\n"},
		{PHASE_MAIL, "334 x\r\n"},
		{PHASE_RCPT, "300 x\r\n"},
		{PHASE_RSET, "354 go\r\n"},
		{PHASE_QUIT, "354 go\r\n"},
		{PHASE_EHLO, "354 go\r\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct line line;

		line_open(&line);
		greet(&line);
		smtp_client_send(line.client, cases[i].phase, SPAN("X"), 2);
		take_all(&line);
		poisons(&line, cases[i].reply);
		line_close(&line);
	}
	for (int i = 0; i < 3; i++) {
		static const char *const replies[] = {"250 Ok\r\n", "355 go\r\n", "334 x\r\n"};
		struct line line;

		open_to_the_body(&line);
		smtp_client_body_begin(line.client, false, 4);
		take_all(&line);
		poisons(&line, replies[i]);
		assert_int_equal(smtp_client_fate(line.client), FATE_UNSENT);
		line_close(&line);
	}
}

static void test_item_31_accepted_before_the_end(void **state)
{
	struct line line;

	(void)state;
	/* Nothing of the end was queued, or it was and has not left, or only its last octet hasn't.
	 */
	for (int i = 0; i < 2; i++) {
		open_to_the_body(&line);
		data(&line);
		body(&line, SPAN("x\r\n"), 9);
		take_all(&line);
		if (i > 0)
			smtp_client_body_end(line.client);
		poisons(&line, "250 Ok\r\n");
		assert_int_equal(smtp_client_fate(line.client), FATE_OPEN);
		line_close(&line);
	}
	open_to_the_body(&line);
	smtp_client_body_begin(line.client, true, 4);
	body(&line, SPAN("x\r\n"), 9);
	smtp_client_body_end(line.client);
	take(&line, strlen("BDAT 3 LAST\r\nx\r"));
	poisons(&line, "250 Ok\r\n");
	assert_int_equal(smtp_client_fate(line.client), FATE_OPEN);
	line_close(&line);
}

/* A 2xx that comes before the last octet has left: to a frame, and to the end of data. */
static void test_item_31_accepted_before_it_got_there(void **state)
{
	static const char end[] = "x\r\n.\r\n";
	struct buf large = {0};
	struct line line;

	(void)state;
	while (large.len < 65537)
		buf_add_text(&large, "x");
	for (size_t lacking = 0; lacking < 2; lacking++) {
		open_to_the_body(&line);
		smtp_client_body_begin(line.client, true, 4);
		body(&line, buf_span(&large), 5000);
		take(&line, strlen("BDAT 65536\r\n") + 65536 - lacking);
		if (lacking == 0)
			answers(&line, "250 Ok\r\n", PHASE_BODY, 4);
		else
			poisons(&line, "250 Ok\r\n");
		line_close(&line);
	}
	for (size_t left = 1; left <= strlen(end); left++) {
		open_to_the_body(&line);
		data(&line);
		body(&line, SPAN("x"), 1);
		smtp_client_body_end(line.client);
		take(&line, left);
		if (left == strlen(end))
			answers(&line, "250 Ok\r\n", PHASE_END, 4);
		else
			poisons(&line, "250 Ok\r\n");
		line_close(&line);
	}
	buf_clear(&large);
}

static void test_item_31_refused_inside_the_body(void **state)
{
	static const char *const replies[] = {"452 4.3.1 full\r\n", "550 no\r\n", "421 bye\r\n"};

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct line line;

		open_to_the_body(&line);
		data(&line);
		body(&line, SPAN("x\r\n"), 9);
		take(&line, 1);
		answers(&line, replies[i], PHASE_BODY, 4);
		assert_int_equal(smtp_client_fate(line.client), FATE_OPEN);
		/* What still comes goes nowhere, and no command can follow. */
		take_all(&line);
		buf_reset(&line.wire);
		body(&line, SPAN("y\r\n"), 9);
		smtp_client_body_end(line.client);
		sends(&line, "");
		assert_int_equal(smtp_client_fate(line.client), FATE_OPEN);
		assert_int_equal(smtp_client_outstanding(line.client), 0);
		poisons(&line, replies[i]);
		line_close(&line);
	}
}

/* The end is queued when the refusal comes: it is the answer, and the server can't have the end. */
static void test_item_31_refused_before_the_end_left(void **state)
{
	struct line line;

	(void)state;
	for (size_t left = 0; left <= 2; left++) {
		open_to_the_body(&line);
		data(&line);
		body(&line, SPAN("xy"), 9);
		smtp_client_body_end(line.client);
		take(&line, left);
		answers(&line, "452 full\r\n", PHASE_END, 4);
		assert_int_equal(smtp_client_fate(line.client), left > 0 ? FATE_OPEN : FATE_UNSENT);
		line_close(&line);
	}
}

/* ---- fate ---- */

/* Sends octet by octet; the fate is OPEN from `open` octets on and ENDED from `ended` on. */
static void fate_is(struct line *line, size_t open, size_t ended)
{
	size_t sent = 0;

	do {
		assert_int_equal(smtp_client_fate(line->client), sent >= ended  ? FATE_ENDED
								 : sent >= open ? FATE_OPEN
										: FATE_UNSENT);
		sent++;
	} while (take(line, 1) > 0);
	assert_true(sent > ended);
}

static void test_fate_by_data(void **state)
{
	struct {
		const char *body;
		size_t open, ended;
	} const cases[] = {
		{"x\r\n", 1, 4}, /* x CR LF | . */
		{"x", 1, 2},     /* x | CR LF . */
		{".\r\n", 1, 5}, /* . . CR LF | . */
		{"", 1, 1},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct line line;

		open_to_the_body(&line);
		data(&line);
		assert_int_equal(smtp_client_fate(line.client), FATE_UNSENT);
		body(&line, span_of(cases[i].body), 1);
		smtp_client_body_end(line.client);
		fate_is(&line, cases[i].open, cases[i].ended);
		answers(&line, "250 Ok\r\n", PHASE_END, 4);
		assert_int_equal(smtp_client_fate(line.client), FATE_ENDED);
		/* The next message has a fate of its own, from the RSET before it on. */
		buf_reset(&line.wire);
		if (i % 2)
			smtp_client_send(line.client, PHASE_RSET, SPAN("RSET"), 0);
		else
			envelope(&line);
		assert_int_equal(smtp_client_fate(line.client), FATE_UNSENT);
		line_close(&line);
	}
}

static void test_fate_by_chunks(void **state)
{
	struct line line;
	struct buf large = {0};
	size_t first;

	(void)state;
	open_to_the_body(&line);
	smtp_client_body_begin(line.client, true, 4);
	body(&line, SPAN("x\r\n"), 9);
	smtp_client_body_end(line.client);
	fate_is(&line, strlen("BDAT 3 LAST\r\n") + 1, strlen("BDAT 3 LAST\r\nx\r\n"));
	answers(&line, "250 Ok\r\n", PHASE_END, 4);
	line_close(&line);

	open_to_the_body(&line);
	smtp_client_body_begin(line.client, true, 4);
	smtp_client_body_end(line.client);
	fate_is(&line, SIZE_MAX, strlen("BDAT 0 LAST\r\n"));
	line_close(&line);

	while (large.len < 65537)
		buf_add_text(&large, "x");
	open_to_the_body(&line);
	smtp_client_body_begin(line.client, true, 4);
	body(&line, buf_span(&large), 5000);
	smtp_client_body_end(line.client);
	first = strlen("BDAT 65536\r\n");
	fate_is(&line, first + 1, first + 65536 + strlen("BDAT 1 LAST\r\n") + 1);
	line_close(&line);
	buf_clear(&large);
}

/* ---- the body on the wire ---- */

static void test_data_waits_for_354(void **state)
{
	struct line line;

	(void)state;
	open_to_the_body(&line);
	smtp_client_body_begin(line.client, false, 4);
	body(&line, SPAN("a\r\n.b\r\n"), 2);
	smtp_client_body_end(line.client);
	sends(&line, "DATA\r\n");
	assert_int_equal(smtp_client_held(line.client), 7);
	answers(&line, "354 go\r\n", PHASE_DATA, 4);
	assert_int_equal(smtp_client_held(line.client), 0);
	sends(&line, "a\r\n..b\r\n.\r\n");
	assert_int_equal(smtp_client_waits_for(line.client), PHASE_END);
	answers(&line, "250 Ok\r\n", PHASE_END, 4);
	line_close(&line);
}

static void test_data_refused(void **state)
{
	static const char *const replies[] = {"451 later\r\n", "554 no\r\n"};

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct line line;

		open_to_the_body(&line);
		smtp_client_body_begin(line.client, false, 4);
		body(&line, SPAN("a\r\n"), 9);
		if (i > 0)
			smtp_client_body_end(line.client);
		sends(&line, "DATA\r\n");
		answers(&line, replies[i], PHASE_DATA, 4);
		body(&line, SPAN("b\r\n"), 9);
		smtp_client_body_end(line.client);
		sends(&line, "");
		assert_int_equal(smtp_client_held(line.client), 0);
		assert_int_equal(chunk_pool_used(line.pool), 0);
		assert_int_equal(smtp_client_fate(line.client), FATE_UNSENT);
		assert_int_equal(smtp_client_outstanding(line.client), 0);
		/* At a command border, so the connection can be used again. */
		smtp_client_send(line.client, PHASE_RSET, SPAN("RSET"), 5);
		sends(&line, "RSET\r\n");
		answers(&line, "250 Ok\r\n", PHASE_RSET, 5);
		envelope(&line);
		line_close(&line);
	}
}

/* What came as chunks goes as DATA: stuffed, and with the CRLF that its last line lacked. */
static void test_item_10_chunks_become_data(void **state)
{
	struct line line;

	(void)state;
	open_to_the_body(&line);
	data(&line);
	body(&line, SPAN(".\r\n.\r\nQUIT\r\n.x"), 4);
	smtp_client_body_end(line.client);
	sends(&line, "..\r\n..\r\nQUIT\r\n..x\r\n.\r\n");
	line_close(&line);
}

static void test_names(void **state)
{
	(void)state;
	for (int phase = PHASE_CONNECT; phase < SMTP_PHASES; phase++)
		assert_true(strlen(smtp_phase_name((enum smtp_phase)phase)) > 0);
	assert_string_equal(smtp_phase_name(PHASE_END), "end of data");
}

static void test_frames(void **state)
{
	struct {
		size_t len;
		const char *lines;
	} const cases[] = {
		{0, "BDAT 0 LAST "},
		{1, "BDAT 1 LAST "},
		{65535, "BDAT 65535 LAST "},
		{65536, "BDAT 65536 LAST "},
		{65537, "BDAT 65536 BDAT 1 LAST "},
		{131072, "BDAT 65536 BDAT 65536 LAST "},
		{200000, "BDAT 65536 BDAT 65536 BDAT 65536 BDAT 3392 LAST "},
	};
	struct rng rng;

	(void)state;
	rng_seed(&rng, 3030);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf text = {0}, got = {0}, lines = {0};
		struct line line;
		size_t at = 0;

		while (text.len < cases[i].len) {
			char octet = (char)rng_below(&rng, 256);
			buf_add(&text, &octet, 1);
		}
		open_to_the_body(&line);
		smtp_client_body_begin(line.client, true, 4);
		body(&line, buf_span(&text), 1 + rng_below(&rng, 9000));
		assert_true(smtp_client_held(line.client) <= 65536);
		smtp_client_body_end(line.client);
		assert_int_equal(smtp_client_held(line.client), 0);
		take_all(&line);
		while (at < line.wire.len) {
			struct span rest = span_from(buf_span(&line.wire), at);
			size_t end = span_find(rest, '\n');
			size_t octets = strtoul(rest.at + 5, NULL, 10);

			buf_add(&lines, rest.at, end - 1);
			buf_add_text(&lines, " ");
			assert_true(end + 1 + octets <= rest.len);
			buf_add(&got, rest.at + end + 1, octets);
			at += end + 1 + octets;
		}
		assert_string_equal(buf_string(&lines), cases[i].lines);
		assert_true(span_eq(buf_span(&got), buf_span(&text)));
		for (unsigned frames = smtp_client_outstanding(line.client); frames > 1; frames--)
			answers(&line, "250 Ok\r\n", PHASE_BODY, 4);
		answers(&line, "250 Ok\r\n", PHASE_END, 4);
		line_close(&line);
		buf_clear(&text);
		buf_clear(&got);
		buf_clear(&lines);
	}
}

static void test_none_is_freed(void **state)
{
	struct smtp_client *client = NULL;

	(void)state;
	smtp_client_free(&client);
	assert_null(client);
}

static void test_idle_holds_no_chunk(void **state)
{
	struct line line;

	(void)state;
	open_to_the_body(&line);
	data(&line);
	body(&line, SPAN("x"), 1);
	smtp_client_body_end(line.client);
	take_all(&line);
	answers(&line, "250 Ok\r\n", PHASE_END, 4);
	assert_int_equal(chunk_pool_used(line.pool), 0);
	line_close(&line);
}

/* ---- both sides against each other ---- */

struct pair {
	struct line line;
	struct smtp_server *server;
	struct buf to_server, to_client, got;
	unsigned ends;
};

static void server_reply(struct pair *pair, const struct smtp_server_event *event)
{
	enum smtp_own own = event->kind == SRV_COMMAND && event->command.verb == VERB_DATA
				    ? SMTP_OWN_GO_AHEAD
				    : SMTP_OWN_OK;

	smtp_server_own(pair->server, event->slot, own, NULL);
}

/* The server looks at what arrived. */
static void server_side(struct pair *pair)
{
	struct smtp_server_event event;
	struct chain *out = smtp_server_out(pair->server);

	do {
		size_t eaten = smtp_server_next(pair->server, buf_span(&pair->to_server), &event);

		assert_int_not_equal(event.kind, SRV_BROKEN);
		assert_int_not_equal(event.kind, SRV_ANSWERED);
		assert_int_not_equal(event.kind, SRV_FLAW);
		if (event.kind == SRV_BODY)
			buf_add_span(&pair->got, event.body);
		if (event.kind == SRV_BODY_END)
			pair->ends += event.last;
		if (event.kind == SRV_BODY_END ||
			(event.kind == SRV_COMMAND && event.command.verb != VERB_BDAT))
			server_reply(pair, &event);
		buf_eat(&pair->to_server, eaten);
		while (out->len > 0) {
			char octet;

			chain_copy(out, 0, &octet, 1);
			chain_eat(out, 1);
			buf_add(&pair->to_client, &octet, 1);
		}
	} while (event.kind != SRV_MORE);
}

static void client_side(struct pair *pair)
{
	struct smtp_client_event event;

	do {
		buf_eat(&pair->to_client,
			smtp_client_next(pair->line.client, buf_span(&pair->to_client), &event));
		assert_int_not_equal(event.kind, CLI_POISONED);
	} while (event.kind != CLI_MORE);
}

/* Octets travel in random pieces until both sides are at rest. */
static void travel(struct pair *pair, struct rng *rng)
{
	do {
		pair->line.wire.len = 0;
		take(&pair->line, 1 + rng_below(rng, 200));
		buf_add(&pair->to_server, pair->line.wire.at, pair->line.wire.len);
		server_side(pair);
		client_side(pair);
	} while (smtp_client_out(pair->line.client)->len > 0 || pair->to_client.len > 0);
}

static void test_both_sides(void **state)
{
	static const char letters[] = {'\r', '\n', '.', 'a'};
	const struct smtp_server_rules rules = {.pass_bare_newlines = true};
	struct pair pair = {0};
	struct rng rng;

	(void)state;
	rng_seed(&rng, 5321);
	line_open(&pair.line);
	pair.server = smtp_server_new(pair.line.pool, &rules);
	smtp_server_say(pair.server, SMTP_OWN_BANNER, "mx");
	server_side(&pair);
	client_side(&pair);
	smtp_client_send(pair.line.client, PHASE_EHLO, SPAN("HELO c"), 0);
	travel(&pair, &rng);
	for (int round = 0; round < 600; round++) {
		struct buf text = {0};
		bool chunking = round % 2;

		for (size_t len = rng_below(&rng, 300); len > 0; len--)
			buf_add(&text, &letters[rng_below(&rng, 4)], 1);
		buf_reset(&pair.got);
		smtp_client_send(pair.line.client, PHASE_MAIL, SPAN("MAIL FROM:<>"), 0);
		smtp_client_send(pair.line.client, PHASE_RCPT, SPAN("RCPT TO:<a@b>"), 0);
		travel(&pair, &rng);
		smtp_client_body_begin(pair.line.client, chunking, 0);
		body(&pair.line, buf_span(&text), 1 + rng_below(&rng, 50));
		/* No bare CR at the end: there it would join the CRLF that DATA adds. */
		body(&pair.line, SPAN("z\r\n"), 9);
		smtp_client_body_end(pair.line.client);
		travel(&pair, &rng);
		buf_add_text(&text, "z\r\n");
		assert_int_equal(smtp_client_outstanding(pair.line.client), 0);
		assert_int_equal(smtp_client_fate(pair.line.client), FATE_ENDED);
		assert_int_equal(pair.ends, round + 1);
		assert_true(span_eq(buf_span(&pair.got), buf_span(&text)));
		buf_clear(&text);
	}
	assert_true(smtp_server_between(pair.server));
	smtp_server_free(&pair.server);
	buf_clear(&pair.to_server);
	buf_clear(&pair.to_client);
	buf_clear(&pair.got);
	line_close(&pair.line);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_replies_pop_the_head),
		cmocka_unit_test(test_replies_at_every_cut),
		cmocka_unit_test(test_item_26_malformed_replies),
		cmocka_unit_test(test_item_27_unasked_bytes),
		cmocka_unit_test(test_item_27_reply_before_the_command_left),
		cmocka_unit_test(test_item_27_go_ahead_before_data_left),
		cmocka_unit_test(test_item_31_codes_that_answer_nothing),
		cmocka_unit_test(test_none_is_freed),
		cmocka_unit_test(test_item_31_accepted_before_the_end),
		cmocka_unit_test(test_item_31_accepted_before_it_got_there),
		cmocka_unit_test(test_item_31_refused_inside_the_body),
		cmocka_unit_test(test_item_31_refused_before_the_end_left),
		cmocka_unit_test(test_fate_by_data),
		cmocka_unit_test(test_fate_by_chunks),
		cmocka_unit_test(test_data_waits_for_354),
		cmocka_unit_test(test_data_refused),
		cmocka_unit_test(test_item_10_chunks_become_data),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_frames),
		cmocka_unit_test(test_idle_holds_no_chunk),
		cmocka_unit_test(test_both_sides),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
