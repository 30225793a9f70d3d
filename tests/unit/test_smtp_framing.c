/*
 * Reading and writing bodies, against a reference that was written apart: it sees the whole input
 * at once, octet by octet, and shares no code with what it checks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "smtp/framing.h"

/* What came out of a body. */
struct result {
	struct buf body; /* up to the first flaw */
	size_t eaten;    /* with the end of data; 0: no end was found */
	enum smtp_flaw flaw;
};

static const struct smtp_server_rules strict = {0};
static const struct smtp_server_rules lax = {.pass_bare_newlines = true, .pass_long_lines = true};
static const struct smtp_server_rules small = {.max_size = 20};

/* ---- the reference ---- */

static bool is_at(struct span in, size_t at, const char *text)
{
	size_t len = strlen(text);

	return at + len <= in.len && memcmp(in.at + at, text, len) == 0;
}

/* Take the dots off and find the end, by the letter of RFC 5321 4.5.2. */
static void naive_lines(struct span in, struct buf *body_r, size_t *eaten_r)
{
	size_t at = 0;

	*eaten_r = 0;
	while (at < in.len) {
		if (at == 0 || (at >= 2 && is_at(in, at - 2, "\r\n"))) {
			if (is_at(in, at, ".\r\n")) {
				*eaten_r = at + 3;
				return;
			}
			if (in.at[at] == '.')
				at++;
			if (at == in.len)
				return;
		}
		buf_add(body_r, &in.at[at++], 1);
	}
}

static enum smtp_flaw naive_lone(struct span body, size_t i, const struct smtp_server_rules *rules)
{
	bool cr = body.at[i] == '\r' && !is_at(body, i, "\r\n");
	bool lf = body.at[i] == '\n' && !(i > 0 && body.at[i - 1] == '\r');

	if (body.at[i] == '\0')
		return FLAW_NUL;
	return (cr || lf) && !rules->pass_bare_newlines ? FLAW_BARE_NEWLINE : FLAW_NONE;
}

/* The first flaw of an unstuffed body, and where it is. */
static enum smtp_flaw naive_flaw(
	struct span body, const struct smtp_server_rules *rules, size_t *at_r)
{
	size_t column = 0;

	for (size_t i = 0; i < body.len; i++) {
		bool pair = is_at(body, i, "\r\n");

		*at_r = i;
		if (naive_lone(body, i, rules) != FLAW_NONE)
			return naive_lone(body, i, rules);
		if (!pair && ++column > 998 && !rules->pass_long_lines)
			return FLAW_LONG_LINE;
		if (rules->max_size && i + (pair ? 2 : 1) > rules->max_size)
			return FLAW_TOO_LARGE;
		if (body.at[i] == '\n')
			column = 0;
		if (pair) {
			column = 0;
			i++;
		}
	}
	return FLAW_NONE;
}

static struct result naive(struct span in, const struct smtp_server_rules *rules)
{
	struct result result = {0};
	size_t at = 0;

	naive_lines(in, &result.body, &result.eaten);
	result.flaw = naive_flaw(buf_span(&result.body), rules, &at);
	if (result.flaw != FLAW_NONE)
		result.body.len = at;
	return result;
}

/* ---- the reader under test ---- */

/* Offer the bytes as they "arrive": a piece more each time, unread ones again. */
static struct result unframe(struct span in, const struct smtp_server_rules *rules,
	size_t (*next)(size_t, void *), void *arg)
{
	struct smtp_unframe state = {0};
	struct result result = {0};
	size_t at = 0, seen = 0;

	while (!state.done && seen < in.len) {
		size_t step = next(in.len - seen, arg), len;
		enum smtp_flaw before;

		seen += step;
		do {
			struct span body;
			char *exact = malloc(seen - at + 1);

			before = state.flaw;
			memcpy(exact, in.at + at, seen - at);
			len = smtp_unframe_data(
				&state, rules, (struct span){.at = exact, .len = seen - at}, &body);
			assert_true(len <= seen - at);
			buf_add_span(&result.body, body);
			at += len;
			free(exact);
		} while (len > 0 || state.flaw != before);
		/* Never more than one octet waits for its successor. */
		assert_true(state.done || seen - at <= 1);
	}
	result.eaten = state.done ? at : 0;
	result.flaw = state.flaw;
	if (state.flaw == FLAW_NONE)
		assert_int_equal(state.octets, result.body.len);
	return result;
}

static size_t all_of_it(size_t left, void *arg)
{
	(void)arg;
	return left;
}

static size_t one_octet(size_t left, void *arg)
{
	(void)left, (void)arg;
	return 1;
}

/* Up to the cut, then the rest. */
static size_t at_cut(size_t left, void *arg)
{
	size_t cut = *(size_t *)arg;

	*(size_t *)arg = left;
	return cut < left ? cut : left;
}

static size_t at_random(size_t left, void *arg)
{
	return 1 + rng_below(arg, left < 9 ? left : 9);
}

static void assert_result(const char *how, struct span in, struct result got, struct result wanted)
{
	bool same = got.eaten == wanted.eaten && got.flaw == wanted.flaw;

	/* Without an end the last octets may be waiting. */
	if (wanted.eaten == 0 && wanted.flaw == FLAW_NONE)
		same = got.eaten == 0 && got.body.len <= wanted.body.len &&
		       wanted.body.len - got.body.len <= 1 &&
		       memcmp(got.body.at ? got.body.at : "", wanted.body.at ? wanted.body.at : "",
			       got.body.len) == 0;
	else if (same)
		same = span_eq(buf_span(&got.body), buf_span(&wanted.body));
	if (!same) {
		for (size_t i = 0; i < in.len; i++)
			print_error("%02x ", (unsigned char)in.at[i]);
		fail_msg("%s: eaten %zu flaw %d len %zu, wanted %zu %d %zu", how, got.eaten,
			got.flaw, got.body.len, wanted.eaten, wanted.flaw, wanted.body.len);
	}
	buf_clear(&got.body);
}

static void agree(struct span in, const struct smtp_server_rules *rules, bool every_cut)
{
	struct result wanted = naive(in, rules);
	struct rng rng;

	/* A CR at the very end waits for what follows, so it is no flaw yet. */
	if (wanted.eaten == 0 && wanted.flaw == FLAW_BARE_NEWLINE && in.at[in.len - 1] == '\r' &&
		wanted.body.len + 1 >= in.len - 1) {
		buf_clear(&wanted.body);
		return;
	}
	rng_seed(&rng, in.len);
	assert_result("whole", in, unframe(in, rules, all_of_it, NULL), wanted);
	assert_result("each", in, unframe(in, rules, one_octet, NULL), wanted);
	assert_result("random", in, unframe(in, rules, at_random, &rng), wanted);
	for (size_t i = 1; every_cut && i < in.len; i++) {
		size_t cut = i;

		assert_result("cut", in, unframe(in, rules, at_cut, &cut), wanted);
	}
	buf_clear(&wanted.body);
}

static void agree_by_all_rules(struct span in)
{
	agree(in, &strict, true);
	agree(in, &lax, true);
	agree(in, &small, true);
}

/* ---- tests ---- */

static void test_item_06_dots_at_every_cut(void **state)
{
	static const char *const bodies[] = {
		".\r\n",
		"\r\n.\r\n",
		"x\r\n.\r\n",
		"..\r\n.\r\n",
		"...\r\n.\r\n",
		".x\r\n..y\r\n.\r\n",
		"a\r\n..\r\nb\r\n.\r\n",
		"\r\n\r\n..\r\n\r\n.\r\nQUIT\r\n",
		".\r\r\n.\r\n",
		".\rx\r\n.\r\n",
		"a.b\r\n.c.\r\n.\r\n",
		"a\r\n.",
		"a\r\n.\r",
		"a\r",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++)
		agree_by_all_rules(span_of(bodies[i]));
}

/* All words over the letters that matter, up to seven of them: nothing is left out. */
static void test_all_short_bodies(void **state)
{
	static const char letters[] = {'\r', '\n', '.', 'a'};

	(void)state;
	for (size_t len = 1; len <= 7; len++) {
		for (size_t word = 0; word < (size_t)1 << (2 * len); word++) {
			char text[16];

			for (size_t i = 0; i < len; i++)
				text[i] = letters[word >> (2 * i) & 3];
			memcpy(text + len, "\r\n.\r\n", 5);
			agree((struct span){.at = text, .len = len + 5}, &strict, len <= 4);
			agree((struct span){.at = text, .len = len + 5}, &lax, len <= 4);
		}
	}
}

static void test_random_bodies(void **state)
{
	static const char letters[] = "\r\n\r\n\r\n..aab\0";
	struct rng rng;

	(void)state;
	rng_seed(&rng, 6);
	for (int round = 0; round < 3000; round++) {
		char text[80];
		size_t len = 1 + rng_below(&rng, sizeof(text));

		for (size_t i = 0; i < len; i++) {
			text[i] = letters[rng_below(&rng, sizeof(letters) - 1)];
			/* Mostly whole CRLFs, or nothing would get far. */
			if (text[i] == '\r' && i + 1 < len && rng_below(&rng, 8) > 0)
				text[++i] = '\n';
			else if (text[i] == '\n' && rng_below(&rng, 8) > 0)
				text[i] = 'c';
		}
		agree((struct span){.at = text, .len = len},
			round % 3 == 0   ? &strict
			: round % 3 == 1 ? &lax
					 : &small,
			round % 10 == 0);
	}
}

static void line_of(struct buf *buf, char letter, size_t len)
{
	for (size_t i = 0; i < len; i++)
		buf_add(buf, &letter, 1);
	buf_add_text(buf, "\r\n");
}

static void test_item_05_long_lines(void **state)
{
	static const size_t lens[] = {997, 998, 999, 1000, 5000};

	(void)state;
	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		struct buf body = {0};
		struct result result;

		line_of(&body, 'a', 5);
		line_of(&body, 'x', lens[i]);
		buf_add_text(&body, ".");
		line_of(&body, '.', 998); /* one dot of it is for transparency */
		buf_add_text(&body, ".\r\n");
		agree(buf_span(&body), &strict, false);
		agree(buf_span(&body), &lax, false);
		result = unframe(buf_span(&body), &strict, all_of_it, NULL);
		assert_int_equal(result.flaw, lens[i] > 998 ? FLAW_LONG_LINE : FLAW_NONE);
		assert_int_equal(result.eaten, body.len);
		buf_clear(&result.body);
		/* Passed, it is passed as it was: never split. */
		result = unframe(buf_span(&body), &lax, one_octet, NULL);
		assert_int_equal(result.flaw, FLAW_NONE);
		assert_int_equal(result.body.len, body.len - 4);
		buf_clear(&result.body);
		buf_clear(&body);
	}
}

static void test_item_25_size_at_the_border(void **state)
{
	struct {
		const char *body;
		enum smtp_flaw flaw;
	} const cases[] = {
		{"0123456789abcdefgh\r\n.\r\n", FLAW_NONE}, /* 20 octets */
		{"0123456789abcdefghi\r\n.\r\n", FLAW_TOO_LARGE},
		{"0123456789abcdefg\r\n..\r\n.\r\n", FLAW_TOO_LARGE},
		{"0123456789abcd\r\n..a\r\n.\r\n", FLAW_NONE}, /* stuffing does not count */
		{"0123456789abcdefghij\nk\r\n.\r\n", FLAW_BARE_NEWLINE},
		{"0123456789abcdefghijk\nk\r\n.\r\n", FLAW_TOO_LARGE},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct span in = span_of(cases[i].body);
		struct result result = unframe(in, &small, all_of_it, NULL);

		assert_int_equal(result.flaw, cases[i].flaw);
		assert_int_equal(result.eaten, in.len);
		buf_clear(&result.body);
		agree(in, &small, true);
	}
}

static void test_item_03_nul(void **state)
{
	static const char body[] = "a\r\nb\0c\r\n.\r\n";
	struct span in = {.at = body, .len = sizeof(body) - 1};
	struct result result = unframe(in, &lax, all_of_it, NULL);

	(void)state;
	assert_int_equal(result.flaw, FLAW_NUL);
	assert_int_equal(result.body.len, 4);
	assert_int_equal(result.eaten, in.len);
	buf_clear(&result.body);
	agree_by_all_rules(in);
}

/* ---- chunks ---- */

/* The flaw of a chunked body that comes in pieces of `len`, and what was sound of it. */
static enum smtp_flaw unframe_chunks(
	struct span in, const struct smtp_server_rules *rules, size_t len, size_t *sound_r)
{
	struct smtp_unframe state = {0};

	*sound_r = 0;
	for (size_t at = 0; at < in.len && state.flaw == FLAW_NONE; at += len) {
		size_t part = in.len - at < len ? in.len - at : len;

		*sound_r += smtp_unframe_chunk(
			&state, rules, (struct span){.at = in.at + at, .len = part});
	}
	smtp_unframe_end(&state, rules);
	return state.flaw;
}

static void test_chunks_at_every_cut(void **state)
{
	struct {
		const char *body;
		enum smtp_flaw flaw;
	} const cases[] = {
		{"", FLAW_NONE},
		{"a", FLAW_NONE},
		{"a\r\nb\r\n", FLAW_NONE},
		{"a\r\n.\r\nQUIT\r\n", FLAW_NONE}, /* item 9: dots and commands are data */
		{"..\r\n", FLAW_NONE},
		{"a\rb", FLAW_BARE_NEWLINE},
		{"a\nb", FLAW_BARE_NEWLINE},
		{"a\r\r\nb", FLAW_BARE_NEWLINE},
		{"a\r\n\nb", FLAW_BARE_NEWLINE},
		{"a\r", FLAW_BARE_NEWLINE},
		{"\n", FLAW_BARE_NEWLINE},
		{"\r", FLAW_BARE_NEWLINE},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct span in = span_of(cases[i].body);
		size_t sound;

		for (size_t len = 1; len <= in.len + 1; len++) {
			assert_int_equal(unframe_chunks(in, &strict, len, &sound), cases[i].flaw);
			assert_true(cases[i].flaw != FLAW_NONE || sound == in.len);
			assert_int_equal(unframe_chunks(in, &lax, len, &sound), FLAW_NONE);
			assert_int_equal(sound, in.len);
		}
	}
}

static void test_chunks_random(void **state)
{
	struct rng rng;

	(void)state;
	rng_seed(&rng, 9);
	for (int round = 0; round < 2000; round++) {
		static const char letters[] = "\r\n\r\n.ab\0";
		char text[64];
		size_t len = rng_below(&rng, sizeof(text)), at = 0, whole, part;
		enum smtp_flaw wanted;
		struct span in;

		for (size_t i = 0; i < len; i++)
			text[i] = letters[rng_below(&rng, sizeof(letters) - (round % 2 ? 1 : 2))];
		in = (struct span){.at = text, .len = len};
		wanted = naive_flaw(in, &strict, &at);
		assert_int_equal(unframe_chunks(in, &strict, len + 1, &whole), wanted);
		for (size_t size = 1; size <= len; size++) {
			assert_int_equal(unframe_chunks(in, &strict, size, &part), wanted);
			assert_int_equal(part, whole);
		}
	}
}

/* ---- scan ---- */

static void test_scan_finds_each_at_each_place(void **state)
{
	static const char found[] = {'\r', '\n', '\0'};
	/* Neighbours of what is looked for, and the same with the high bit. */
	static const char others[] = {1, 9, 0x0b, 0x0c, 0x0e, ' ', 'a', (char)0x80, (char)0x8d,
		(char)0x8a, (char)0xff, 0x7f};

	(void)state;
	for (size_t len = 0; len < 40; len++) {
		for (size_t o = 0; o < sizeof(others); o++) {
			char *text = malloc(len + 1);

			memset(text, others[o], len);
			assert_int_equal(smtp_scan(text, len), len);
			for (size_t i = 0; i < len; i++) {
				for (size_t f = 0; f < 3; f++) {
					text[i] = found[f];
					assert_int_equal(smtp_scan(text, len), i);
				}
				text[i] = others[o];
			}
			free(text);
		}
	}
}

/* ---- stuffing ---- */

static void stuff_in_pieces(struct chunk_pool *pool, struct span body, size_t len, struct buf *into)
{
	struct smtp_stuff stuff = {0};
	struct chunk *chunk = chunk_new(pool, CHUNK_SMALL);
	struct chain out;

	chain_init(&out, pool);
	memcpy(chunk->at, body.at, body.len);
	chunk->len = (uint32_t)body.len;
	for (size_t at = 0; at < body.len; at += len)
		smtp_stuff(&stuff, chunk, at, body.len - at < len ? body.len - at : len, &out);
	smtp_stuff_end(&stuff, &out);
	for (size_t at = 0; at < out.len; at++) {
		char octet;

		chain_copy(&out, at, &octet, 1);
		buf_add(into, &octet, 1);
	}
	chain_clear(&out);
	chunk_unref(&chunk);
}

/* Whether a dot begins a line is settled by octets, not by pieces. */
static void test_empty_pieces_stuff_nothing(void **state)
{
	struct chunk_pool *pool = chunk_pool_new();
	struct chunk *chunk = chunk_new(pool, CHUNK_SMALL);
	struct smtp_stuff stuff = {0};
	char wire[16] = "";
	struct chain out;

	(void)state;
	chain_init(&out, pool);
	memcpy(chunk->at, "a\r\n.b", 5);
	chunk->len = 5;
	for (size_t at = 0; at < 5; at++) {
		smtp_stuff(&stuff, chunk, at, 0, &out);
		smtp_stuff(&stuff, chunk, at, 1, &out);
	}
	smtp_stuff(&stuff, chunk, 5, 0, &out);
	smtp_stuff_end(&stuff, &out);
	wire[chain_copy(&out, 0, wire, sizeof(wire) - 1)] = '\0';
	assert_string_equal(wire, "a\r\n..b\r\n.\r\n");
	chain_clear(&out);
	chunk_unref(&chunk);
	chunk_pool_free(&pool);
}

static void test_stuff_examples(void **state)
{
	struct {
		const char *body, *wire;
	} const cases[] = {
		{"", ".\r\n"},
		{"a", "a\r\n.\r\n"},
		{"a\r\n", "a\r\n.\r\n"},
		{".", "..\r\n.\r\n"},
		{"..", "...\r\n.\r\n"},
		{".\r\n", "..\r\n.\r\n"},
		{"a\r\n.\r\nb\r\n", "a\r\n..\r\nb\r\n.\r\n"},
		{"a\r\n..b", "a\r\n...b\r\n.\r\n"},
		{"a\n.b", "a\n.b\r\n.\r\n"},
		{"a\r.b\r", "a\r.b\r\r\n.\r\n"},
	};
	struct chunk_pool *pool = chunk_pool_new();

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct span body = span_of(cases[i].body);

		for (size_t len = 1; len <= body.len + 1; len++) {
			struct buf wire = {0};

			stuff_in_pieces(pool, body, len, &wire);
			assert_string_equal(buf_string(&wire), cases[i].wire);
			buf_clear(&wire);
		}
	}
	chunk_pool_free(&pool);
}

/* Stuffed and read again it is the same body, with the CRLF that a last line lacked. */
static void test_stuff_then_unframe_is_identity(void **state)
{
	static const char letters[] = {'\r', '\n', '.', 'a'};
	struct chunk_pool *pool = chunk_pool_new();
	struct rng rng;

	(void)state;
	rng_seed(&rng, 31);
	for (int round = 0; round < 6000; round++) {
		char text[48];
		size_t len = rng_below(&rng, sizeof(text) - 2);
		struct buf wire = {0};
		struct result result;

		for (size_t i = 0; i < len; i++)
			text[i] = letters[rng_below(&rng, 4)];
		stuff_in_pieces(pool, (struct span){.at = text, .len = len},
			1 + rng_below(&rng, 12), &wire);
		result = unframe(buf_span(&wire), &lax, at_random, &rng);
		if (len > 0 && !(len >= 2 && text[len - 1] == '\n' && text[len - 2] == '\r')) {
			memcpy(text + len, "\r\n", 2);
			len += 2;
		}
		assert_int_equal(result.eaten, wire.len);
		assert_int_equal(result.body.len, len);
		if (len > 0)
			assert_memory_equal(result.body.at, text, len);
		buf_clear(&result.body);
		buf_clear(&wire);
	}
	chunk_pool_free(&pool);
}

/* A body of nothing but dots costs pieces, not buffers. */
static void test_stuff_takes_no_chunk(void **state)
{
	struct chunk_pool *pool = chunk_pool_new();
	struct chunk *chunk = chunk_new(pool, CHUNK_LARGE);
	struct smtp_stuff stuff = {0};
	size_t used = chunk_pool_used(pool);
	struct chain out;

	(void)state;
	chain_init(&out, pool);
	while (chunk_tail(chunk) >= 3) {
		memcpy(chunk->at + chunk->len, ".\r\n", 3);
		chunk->len += 3;
	}
	smtp_stuff(&stuff, chunk, 0, chunk->len, &out);
	assert_int_equal(out.len, chunk->len / 3 * 4);
	assert_int_equal(chunk_pool_used(pool), used);
	chain_clear(&out);
	chunk_unref(&chunk);
	chunk_pool_free(&pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_item_03_nul),
		cmocka_unit_test(test_item_05_long_lines),
		cmocka_unit_test(test_item_06_dots_at_every_cut),
		cmocka_unit_test(test_item_25_size_at_the_border),
		cmocka_unit_test(test_all_short_bodies),
		cmocka_unit_test(test_random_bodies),
		cmocka_unit_test(test_chunks_at_every_cut),
		cmocka_unit_test(test_chunks_random),
		cmocka_unit_test(test_scan_finds_each_at_each_place),
		cmocka_unit_test(test_empty_pieces_stuff_nothing),
		cmocka_unit_test(test_stuff_examples),
		cmocka_unit_test(test_stuff_then_unframe_is_identity),
		cmocka_unit_test(test_stuff_takes_no_chunk),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
