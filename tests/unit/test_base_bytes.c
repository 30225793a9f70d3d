/*
 * Spans, buffers, arenas and errors.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/bytes.h"

static void spans_compare(void **state)
{
	(void)state;
	assert_true(span_eq(SPAN("abc"), SPAN("abc")));
	assert_false(span_eq(SPAN("abc"), SPAN("abC")));
	assert_false(span_eq(SPAN("abc"), SPAN("ab")));
	assert_true(span_eq((struct span){0}, SPAN("")));
	assert_true(span_eq(span_of(NULL), SPAN("")));
	assert_true(span_eq_nocase(SPAN("EHLO x"), SPAN("ehlo X")));
	/* Only letters fold: '[' and '{', '@' and '`' differ by the same bit. */
	assert_false(span_eq_nocase(SPAN("["), SPAN("{")));
	assert_false(span_eq_nocase(SPAN("@"), SPAN("`")));
	assert_false(span_eq_nocase(SPAN("\xc4"), SPAN("\xe4")));
	assert_true(span_is(SPAN("MAIL"), "MAIL"));
	assert_false(span_is(SPAN("MAIL"), "mail"));
	assert_true(span_is_nocase(SPAN("MAIL"), "mail"));
	assert_true(span_starts_nocase(SPAN("size=10"), "SIZE="));
	assert_true(span_starts_nocase(SPAN("size"), ""));
	assert_false(span_starts_nocase(SPAN("siz"), "SIZE"));
	assert_true(span_ends_nocase(SPAN("a.EXAMPLE.com"), SPAN(".example.COM")));
	assert_false(span_ends_nocase(SPAN("com"), SPAN("example.com")));
	assert_true(span_ends_nocase(SPAN("com"), (struct span){0}));
}

static void spans_are_cut(void **state)
{
	(void)state;
	assert_true(span_is(span_from(SPAN("abc"), 1), "bc"));
	assert_int_equal(span_from(SPAN("abc"), 3).len, 0);
	assert_int_equal(span_from((struct span){0}, 0).len, 0);
	assert_true(span_is(span_trim(SPAN(" \t a b\t ")), "a b"));
	assert_int_equal(span_trim(SPAN(" \t ")).len, 0);
	assert_true(span_is(span_trim(SPAN("\na\r")), "\na\r"));
	assert_int_equal(span_find(SPAN("a:b:c"), ':'), 1);
	assert_int_equal(span_find(SPAN("abc"), ':'), 3);
	assert_int_equal(span_find((struct span){0}, ':'), 0);
}

static void numbers_are_strict(void **state)
{
	static const char *const bad[] = {"", " 1", "1 ", "+1", "-1", "0x1", "1a",
		"18446744073709551616", "99999999999999999999999", "18446744073709551620"};
	uint64_t value = 7;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(span_to_u64(span_of(bad[i]), UINT64_MAX, &value));
	assert_int_equal(value, 7);
	assert_true(span_to_u64(SPAN("18446744073709551615"), UINT64_MAX, &value));
	assert_true(value == UINT64_MAX);
	assert_true(span_to_u64(SPAN("0"), 0, &value));
	assert_int_equal(value, 0);
	assert_true(span_to_u64(SPAN("0025"), 25, &value));
	assert_int_equal(value, 25);
	assert_false(span_to_u64(SPAN("26"), 25, &value));
	assert_false(span_to_u64((struct span){.at = "1\0"
						     "2",
					 .len = 3},
		100000, &value));
}

static void a_buffer_grows(void **state)
{
	struct buf buf = {0};
	char expected[5000];

	(void)state;
	for (int i = 0; i < 5000; i++) {
		char c = (char)('a' + i % 26);

		expected[i] = c;
		buf_add(&buf, &c, 1);
	}
	assert_int_equal(buf.len, 5000);
	assert_memory_equal(buf.at, expected, 5000);
	assert_true(buf.room >= 5000 && buf.room < 3 * 5000);
	buf_eat(&buf, 4990);
	assert_true(span_eq(buf_span(&buf), (struct span){.at = expected + 4990, .len = 10}));
	buf_eat(&buf, 10);
	buf_eat(&buf, 0);
	assert_int_equal(buf.len, 0);
	buf_add_text(&buf, "x");
	buf_add_text(&buf, NULL);
	buf_add_span(&buf, (struct span){0});
	buf_add(&buf, NULL, 0);
	assert_string_equal(buf_string(&buf), "x");
	assert_int_equal(buf.len, 1);
	buf_clear(&buf);
	assert_null(buf.at);
	assert_string_equal(buf_string(&buf), "");
	buf_clear(&buf);
	buf_clear(&buf);
}

/* Around every size at which the buffer must grow, so that the NUL of vsnprintf never counts. */
static void a_buffer_takes_formats_of_every_length(void **state)
{
	(void)state;
	for (int before = 0; before < 70; before++) {
		for (int len = 0; len < 200; len++) {
			struct buf buf = {0};

			buf_addf(&buf, "%*s", before, "");
			buf_addf(&buf, "%0*d", len + 1, 7);
			buf_addf(&buf, "|");
			assert_int_equal(buf.len, before + len + 2);
			assert_int_equal(buf.at[buf.len - 2], '7');
			assert_int_equal(buf.at[buf.len - 1], '|');
			buf_clear(&buf);
		}
	}
}

/* buf_string() must find room for its NUL when the buffer is exactly full. */
static void a_full_buffer_ends_in_nul(void **state)
{
	(void)state;
	for (size_t len = 1; len < 300; len++) {
		struct buf buf = {0};

		for (size_t i = 0; i < len; i++)
			buf_add(&buf, "x", 1);
		assert_int_equal(strlen(buf_string(&buf)), len);
		buf_clear(&buf);
	}
}

static void memory_is_zeroed(void **state)
{
	unsigned char *memory = mem_new(100);
	char *string = mem_string(SPAN("abc"));
	char *empty = mem_string((struct span){0});

	(void)state;
	for (int i = 0; i < 100; i++)
		assert_int_equal(memory[i], 0);
	memory = mem_grow(memory, 10, 100);
	assert_int_equal(memory[99], 0);
	memory = mem_grow(memory, 0, 100);
	assert_string_equal(string, "abc");
	assert_string_equal(empty, "");
	free(memory);
	free(string);
	free(empty);
	free(mem_new(0));
}

static void an_arena_hands_out_apart_and_aligned(void **state)
{
	struct arena arena = {0};
	unsigned char *at[400];
	size_t sum = 0;

	(void)state;
	for (size_t i = 0; i < 400; i++) {
		size_t size = i % 5 == 4 ? i * 10 : i % 40;

		at[i] = arena_new(&arena, size);
		assert_int_equal((uintptr_t)at[i] % alignof(max_align_t), 0);
		for (size_t j = 0; j < size; j++)
			assert_int_equal(at[i][j], 0);
		memset(at[i], (int)(i & 0xff), size);
		sum += size;
	}
	assert_true(arena.used >= sum);
	for (size_t i = 0; i < 400; i++) {
		size_t size = i % 5 == 4 ? i * 10 : i % 40;

		for (size_t j = 0; j < size; j++)
			assert_int_equal(at[i][j], i & 0xff);
	}
	arena_clear(&arena);
	assert_int_equal(arena.used, 0);
	assert_null(arena.blocks);
	assert_string_equal(arena_string(&arena, SPAN("again")), "again");
	arena_clear(&arena);
	arena_clear(&arena);
}

static void an_arena_copies(void **state)
{
	struct arena arena = {0};
	char from[] = "abc";
	struct span copy = arena_span(&arena, span_of(from));
	char *string = arena_string(&arena, span_of(from));

	(void)state;
	from[0] = 'X';
	assert_true(span_is(copy, "abc"));
	assert_string_equal(string, "abc");
	assert_int_equal(arena_span(&arena, (struct span){0}).len, 0);
	assert_string_equal(arena_string(&arena, (struct span){0}), "");
	assert_ptr_not_equal(arena_new(&arena, 0), arena_new(&arena, 0));
	arena_clear(&arena);
}

static void an_error_has_words(void **state)
{
	struct err_text text;
	char longer[1000];

	(void)state;
	assert_int_equal(err_set(&text, ERR_DOWN, "%s is %d", "x", 5), ERR_DOWN);
	assert_string_equal(text.text, "x is 5");
	assert_int_equal(err_set(NULL, ERR_FULL, "nobody listens"), ERR_FULL);
	memset(longer, 'y', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(err_set(&text, ERR_RANGE, "%s", longer), ERR_RANGE);
	assert_int_equal(strlen(text.text), sizeof(text.text) - 1);
	for (int i = ERR_OK; i <= ERR_TIMEOUT; i++) {
		assert_string_not_equal(err_name((enum err)i), "unknown");
		for (int j = ERR_OK; j < i; j++)
			assert_string_not_equal(err_name((enum err)i), err_name((enum err)j));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(spans_compare),
		cmocka_unit_test(spans_are_cut),
		cmocka_unit_test(numbers_are_strict),
		cmocka_unit_test(a_buffer_grows),
		cmocka_unit_test(a_buffer_takes_formats_of_every_length),
		cmocka_unit_test(a_full_buffer_ends_in_nul),
		cmocka_unit_test(memory_is_zeroed),
		cmocka_unit_test(an_arena_hands_out_apart_and_aligned),
		cmocka_unit_test(an_arena_copies),
		cmocka_unit_test(an_error_has_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
