/*
 * The JSON writer: what it writes must be what a parser reads, on one line, whatever comes in.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/rng.h"

static void a_tree_is_written(void **state)
{
	struct buf out = {0};
	struct json json;

	(void)state;
	buf_add_text(&out, "> ");
	json_begin(&json, &out);
	json_open(&json, NULL, '{');
	json_put_text(&json, "a", SPAN("x"));
	json_put_string(&json, "b", "y\"");
	json_put_string(&json, "c", NULL);
	json_open(&json, "d", '[');
	json_put_int(&json, NULL, 1);
	json_put_int(&json, NULL, INT64_MIN);
	json_open(&json, NULL, '{');
	json_close(&json, '}');
	json_open(&json, NULL, '[');
	json_close(&json, ']');
	json_put_bool(&json, NULL, true);
	json_close(&json, ']');
	json_put_bool(&json, "e", false);
	json_put_real(&json, "f", 1.25, 1);
	json_put_real(&json, "g", -2.0, 0);
	json_put_real(&json, "h", (double)NAN, 2);
	json_put_real(&json, "i", (double)-INFINITY, 2);
	json_put_text(&json, "j", (struct span){0});
	json_close(&json, '}');
	assert_string_equal(buf_string(&out),
		"> "
		"{\"a\":\"x\",\"b\":\"y\\\"\",\"c\":null,\"d\":[1,-9223372036854775808,{},[],true],"
		"\"e\":false,\"f\":1.2,\"g\":-2,\"h\":null,\"i\":null,\"j\":\"\"}");
	buf_clear(&out);
}

static void durations_are_milliseconds(void **state)
{
	struct buf out = {0};
	struct json json;

	(void)state;
	json_begin(&json, &out);
	json_open(&json, NULL, '[');
	json_put_msec(&json, NULL, 0);
	json_put_msec(&json, NULL, 7);
	json_put_msec(&json, NULL, 1234567);
	json_put_msec(&json, NULL, -1500);
	json_put_msec(&json, NULL, INT64_MIN);
	json_close(&json, ']');
	assert_string_equal(
		buf_string(&out), "[0.000,0.007,1234.567,-1.500,-9223372036854775.808]");
	buf_clear(&out);
}

static void assert_text(const char *from, size_t len, const char *expected)
{
	struct buf out = {0};
	struct json json;

	json_begin(&json, &out);
	json_put_text(&json, NULL, (struct span){.at = from, .len = len});
	assert_string_equal(buf_string(&out), expected);
	buf_clear(&out);
}

#define BAD "\xef\xbf\xbd"

static void strings_are_escaped(void **state)
{
	(void)state;
	assert_text("a\\b\"c/d", 7, "\"a\\\\b\\\"c/d\"");
	assert_text("\r\n\t\b\x1b\x7f", 6, "\"\\r\\n\\t\\u0008\\u001b\\u007f\"");
	assert_text("a\0b", 3, "\"a\\u0000b\"");
	/* C1 controls (here CSI) and the line separators of Unicode. */
	assert_text("\xc2\x9b"
		    "31m",
		5, "\"\\u009b31m\"");
	assert_text("\xe2\x80\xa8\xe2\x80\xa9", 6, "\"\\u2028\\u2029\"");
	assert_text("\xc2\xa0", 2, "\"\xc2\xa0\"");
}

static void utf8_is_kept_and_the_rest_replaced(void **state)
{
	(void)state;
	assert_text("gr\xc3\xbc\xc3\x9f"
		    "e",
		7,
		"\"gr\xc3\xbc\xc3\x9f"
		"e\"");
	assert_text("\xf0\x9f\x93\xac", 4, "\"\xf0\x9f\x93\xac\"");
	assert_text("\xef\xbf\xbf\xf4\x8f\xbf\xbf", 7, "\"\xef\xbf\xbf\xf4\x8f\xbf\xbf\"");
	assert_text("\xff", 1, "\"" BAD "\"");
	assert_text("a\x80z", 3, "\"a" BAD "z\"");
	/* Overlong forms, a surrogate, beyond the last character. */
	assert_text("\xc0\xaf", 2, "\"" BAD BAD "\"");
	assert_text("\xc1\xbf", 2, "\"" BAD BAD "\"");
	assert_text("\xe0\x80\xaf", 3, "\"" BAD BAD BAD "\"");
	assert_text("\xf0\x80\x80\xaf", 4, "\"" BAD BAD BAD BAD "\"");
	assert_text("\xed\xa0\x80", 3, "\"" BAD BAD BAD "\"");
	assert_text("\xf4\x90\x80\x80", 4, "\"" BAD BAD BAD BAD "\"");
	assert_text("\xf5\x80\x80\x80", 4, "\"" BAD BAD BAD BAD "\"");
	/* Cut short at the end, and by a character that is fine. */
	assert_text("\xe2\x82", 2, "\"" BAD BAD "\"");
	assert_text("\xe2\x82\"", 3, "\"" BAD BAD "\\\"\"");
	assert_text("\xf0\x9f\x93"
		    "x",
		4, "\"" BAD BAD BAD "x\"");
}

/* Random bytes never leave a control, an unescaped quote or half a character. */
static void any_bytes_stay_one_string(void **state)
{
	struct buf out = {0};
	struct json json;
	struct rng rng;
	char from[40];

	(void)state;
	rng_seed(&rng, 11);
	for (int i = 0; i < 20000; i++) {
		size_t len = rng_below(&rng, sizeof(from) + 1);
		size_t in = 0;

		for (size_t j = 0; j < len; j++)
			from[j] = (char)rng_next(&rng);
		buf_reset(&out);
		json_begin(&json, &out);
		json_put_text(&json, NULL, (struct span){.at = from, .len = len});
		assert_int_equal(out.at[0], '"');
		for (in = 1; out.at[in] != '"'; in++) {
			assert_true((unsigned char)out.at[in] >= 0x20);
			if (out.at[in] == '\\')
				in++;
		}
		assert_int_equal(in, out.len - 1);
	}
	buf_clear(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_tree_is_written),
		cmocka_unit_test(durations_are_milliseconds),
		cmocka_unit_test(strings_are_escaped),
		cmocka_unit_test(utf8_is_kept_and_the_rest_replaced),
		cmocka_unit_test(any_bytes_stay_one_string),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
