/*
 * Time as text, the random generator and the hash, each against figures from elsewhere.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <time.h>

#include "base/rng.h"
#include "base/when.h"

static void moments_have_known_texts(void **state)
{
	static const struct {
		int64_t at;
		const char *text;
	} known[] = {
		{0, "1970-01-01T00:00:00.000Z"},
		{-1, "1969-12-31T23:59:59.999Z"},
		{999, "1970-01-01T00:00:00.000Z"},
		{1000, "1970-01-01T00:00:00.001Z"},
		{951782399 * SECOND + 999999, "2000-02-28T23:59:59.999Z"},
		{951782400 * SECOND, "2000-02-29T00:00:00.000Z"},
		{951868800 * SECOND, "2000-03-01T00:00:00.000Z"},
		{1795233247 * SECOND + 123 * MSEC, "2026-11-21T03:54:07.123Z"},
		{4107542400 * SECOND, "2100-03-01T00:00:00.000Z"},
		{4107542399 * SECOND, "2100-02-28T23:59:59.000Z"},
		{253402300799 * SECOND, "9999-12-31T23:59:59.000Z"},
		{NEVER, "9999-12-31T23:59:59.999Z"},
		{INT64_MIN, "0000-01-01T00:00:00.000Z"},
	};
	char text[WHEN_TEXT];

	(void)state;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		when_text(known[i].at, text);
		assert_string_equal(text, known[i].text);
	}
}

static void the_calendar_agrees_with_libc(void **state)
{
	struct rng rng;

	(void)state;
	rng_seed(&rng, 3);
	for (int i = 0; i < 100000; i++) {
		int64_t second = (int64_t)rng_below(&rng, 315537897599) - 62135596800;
		time_t when = (time_t)second;
		char text[WHEN_TEXT], expected[64];
		struct tm tm;

		gmtime_r(&when, &tm);
		snprintf(expected, sizeof(expected), "%04d-%02d-%02dT%02d:%02d:%02d.500Z",
			tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
			tm.tm_sec);
		when_text(second * SECOND + 500 * MSEC, text);
		assert_string_equal(text, expected);
	}
}

/* The reference outputs of xoshiro256** for the state {1, 2, 3, 4}. */
static void the_generator_is_xoshiro(void **state)
{
	static const uint64_t expected[] = {11520, 0, 1509978240, 1215971899390074240,
		1216172134540287360, 607988272756665600, 16172922978634559625u, 8476171486693032832,
		10595114339597558777u, 2904607092377533576};
	struct rng rng = {{1, 2, 3, 4}};

	(void)state;
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
		assert_true(rng_next(&rng) == expected[i]);
}

static void the_seed_decides(void **state)
{
	struct rng a, b, c;

	(void)state;
	rng_seed(&a, 0);
	/* The first output of splitmix64 from seed 0. */
	assert_true(a.s[0] == 0xe220a8397b1dcdaf);
	rng_seed(&b, 0);
	rng_seed(&c, 1);
	for (int i = 0; i < 10; i++) {
		uint64_t value = rng_next(&a);

		assert_true(value == rng_next(&b));
		assert_false(value == rng_next(&c));
	}
}

static void choices_are_even(void **state)
{
	unsigned count[7] = {0};
	struct rng rng;

	(void)state;
	rng_seed(&rng, 5);
	for (int i = 0; i < 70000; i++)
		count[rng_below(&rng, 7)]++;
	/* 10000 each, give or take five standard deviations. */
	for (int i = 0; i < 7; i++)
		assert_in_range(count[i], 9500, 10500);
	for (int i = 0; i < 100; i++)
		assert_int_equal(rng_below(&rng, 1), 0);
	/* A bound near the top: plain multiplication would make the lower two thirds twice as
	 * likely to be even; here it only must stay below. */
	for (int i = 0; i < 100; i++)
		assert_true(rng_below(&rng, 0xc000000000000001) < 0xc000000000000001);
}

/* Vectors of the reference implementation: key 00 01 ... 0f, message 00 01 ... of each length. */
static void the_hash_is_siphash(void **state)
{
	static const struct {
		size_t len;
		uint64_t hash;
	} known[] = {
		{0, 0x726fdb47dd0e0e31},
		{1, 0x74f839c593dc67fd},
		{7, 0xab0200f58b01d137},
		{8, 0x93f5f5799a932462},
		{9, 0x9e0082df0ba9e4b0},
		{15, 0xa129ca6149be45e5},
		{16, 0x3f2acc7f57c29bdb},
		{63, 0x958a324ceb064572},
	};
	const struct hash_key key = {{0x0706050403020100, 0x0f0e0d0c0b0a0908}};
	const struct hash_key other = {{0x0706050403020100, 0x0f0e0d0c0b0a0909}};
	unsigned char message[64];

	(void)state;
	for (size_t i = 0; i < sizeof(message); i++)
		message[i] = (unsigned char)i;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		assert_true(hash_bytes(&key, message, known[i].len) == known[i].hash);
		assert_false(hash_bytes(&other, message, known[i].len) == known[i].hash);
	}
	assert_true(hash_bytes(&key, NULL, 0) == known[0].hash);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(moments_have_known_texts),
		cmocka_unit_test(the_calendar_agrees_with_libc),
		cmocka_unit_test(the_generator_is_xoshiro),
		cmocka_unit_test(the_seed_decides),
		cmocka_unit_test(choices_are_even),
		cmocka_unit_test(the_hash_is_siphash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
