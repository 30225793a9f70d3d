/*
 * Faults to order: their grammar, and which acts when.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "sink/fault.h"

static struct faults faults;
static struct rng rng;

static int begin(void **state)
{
	(void)state;
	rng_seed(&rng, 1);
	return 0;
}

static int end(void **state)
{
	(void)state;
	faults_clear(&faults);
	return 0;
}

static void add(const char *name, const char *value)
{
	struct err_text why = {{0}};
	enum err err = faults_option(&faults, span_of(name), span_of(value), &why);
	if (err)
		fail_msg("%s %s: %s", name, value, why.text);
}

static void add_bad(const char *name, const char *value, enum err expected)
{
	struct err_text why = {{0}};
	unsigned before = faults.fault_count;
	assert_int_equal(faults_option(&faults, span_of(name), span_of(value), &why), expected);
	assert_true(why.text[0] != '\0');
	assert_int_equal(faults.fault_count, before);
}

static const struct fault *pick(enum fault_phase phase)
{
	return faults_pick(&faults, phase, SPAN("<a@x.org>"), &rng);
}

static void test_phases_and_kinds(void **state)
{
	(void)state;
	add("drop", "connect");
	add("reset", "end-after-commit");
	add("stall", "end-before-reply");
	add("drop", "body:1000");
	add("drop", "idle:250ms");
	assert_int_equal(faults.fault[0].kind, FAULT_DROP);
	assert_int_equal(faults.fault[0].phase, FAULT_AT_CONNECT);
	assert_int_equal(faults.fault[1].kind, FAULT_RESET);
	assert_int_equal(faults.fault[1].phase, FAULT_AT_COMMIT);
	assert_int_equal(faults.fault[2].phase, FAULT_AT_END);
	assert_int_equal(faults.fault[3].at, 1000);
	assert_int_equal(faults.fault[4].at, 250 * MSEC);
}

static void test_reply_becomes_wire(void **state)
{
	(void)state;
	add("reply", "rcpt=451 4.3.0 busy, sorry,count=2");
	add("reply", "mail=550-no\\n550 really");
	assert_int_equal(faults.fault[0].code, 451);
	assert_string_equal(faults.fault[0].text, "451 4.3.0 busy, sorry\r\n");
	assert_int_equal(faults.fault[0].count, 2);
	assert_string_equal(faults.fault[1].text, "550-no\r\n550 really\r\n");
}

static void test_garbage_is_raw(void **state)
{
	(void)state;
	add("garbage", "end=250-a\\r\\n550 \\0\\\\b\\r\\n");
	add("garbage", "rcpt");
	add("extra-reply", "ehlo");
	assert_int_equal(faults.fault[0].text_len, 16);
	assert_memory_equal(faults.fault[0].text, "250-a\r\n550 \0\\b\r\n", 16);
	assert_true(faults.fault[1].text_len > 0);
	assert_string_equal(faults.fault[2].text, "250 2.0.0 Nobody asked\r\n");
}

static void test_mistakes_are_named(void **state)
{
	(void)state;
	add_bad("explode", "rcpt", ERR_MISSING);
	add_bad("drop", "lunch", ERR_SYNTAX);
	add_bad("drop", "rcpt=451 x", ERR_SYNTAX);
	add_bad("drop", "rcpt:7", ERR_SYNTAX);
	add_bad("drop", "body:x", ERR_SYNTAX);
	add_bad("drop", "rcpt,often=2", ERR_SYNTAX);
	add_bad("drop", "rcpt,count=0", ERR_SYNTAX);
	add_bad("drop", "rcpt,percent=101", ERR_SYNTAX);
	add_bad("reply", "rcpt", ERR_SYNTAX);
	add_bad("reply", "rcpt=busy", ERR_SYNTAX);
	add_bad("reply", "rcpt=250-unfinished", ERR_SYNTAX);
	add_bad("reply", "body:5=451 no", ERR_RANGE);
	add_bad("reply", "connect=451 no", ERR_RANGE);
	add_bad("stall", "idle:1s", ERR_RANGE);
	add_bad("slow", "rcpt", ERR_SYNTAX);
	add_bad("slow", "rcpt=5", ERR_SYNTAX);
	add_bad("slow-percent", "200", ERR_RANGE);
	add_bad("max-sessions", "-1", ERR_RANGE);
}

static void test_count_and_after(void **state)
{
	(void)state;
	add("drop", "rcpt,after=2,count=3");
	for (int i = 1; i <= 8; i++)
		assert_int_equal(pick(FAULT_AT_RCPT) != NULL, i >= 3 && i <= 5);
	assert_null(pick(FAULT_AT_MAIL));
}

static void test_every(void **state)
{
	(void)state;
	add("drop", "end,every=3");
	for (int i = 1; i <= 9; i++)
		assert_int_equal(pick(FAULT_AT_END) != NULL, i % 3 == 0);
}

static void test_match_counts_only_what_matches(void **state)
{
	(void)state;
	add("reply", "rcpt=550 no,count=1,match=bad@");
	assert_null(faults_pick(&faults, FAULT_AT_RCPT, SPAN("<good@x>"), &rng));
	assert_non_null(faults_pick(&faults, FAULT_AT_RCPT, SPAN("<bad@x>"), &rng));
	assert_null(faults_pick(&faults, FAULT_AT_RCPT, SPAN("<bad@x>"), &rng));
	assert_null(faults_pick(&faults, FAULT_AT_RCPT, (struct span){0}, &rng));
}

static void test_percent(void **state)
{
	(void)state;
	int fired = 0;
	add("drop", "mail,percent=30");
	for (int i = 0; i < 10000; i++)
		fired += pick(FAULT_AT_MAIL) != NULL;
	assert_in_range(fired, 2700, 3300);
}

static void test_first_listed_acts(void **state)
{
	(void)state;
	add("reply", "rcpt=451 a,count=1");
	add("reply", "rcpt=550 b");
	assert_int_equal(pick(FAULT_AT_RCPT)->code, 451);
	assert_int_equal(pick(FAULT_AT_RCPT)->code, 550);
}

static void test_delay_averages(void **state)
{
	(void)state;
	int64_t sum = 0;
	add("slow", "rcpt=20ms");
	for (int i = 0; i < 10000; i++) {
		int64_t delay = faults_delay(&faults, FAULT_AT_RCPT, SPAN("<a>"), &rng);
		assert_in_range(delay, 10 * MSEC, 30 * MSEC);
		sum += delay;
	}
	assert_in_range(sum / 10000, 19 * MSEC, 21 * MSEC);
	assert_int_equal(faults_delay(&faults, FAULT_AT_MAIL, SPAN("<a>"), &rng), 0);
	assert_null(pick(FAULT_AT_RCPT));
}

static void test_slow_percent(void **state)
{
	(void)state;
	int slow = 0;
	add("slow", "end=1s");
	add("slow-percent", "25");
	for (int i = 0; i < 10000; i++)
		slow += faults_delay(&faults, FAULT_AT_END, SPAN("<a>"), &rng) > 0;
	assert_in_range(slow, 2200, 2800);
}

static void test_lines_of_a_file(void **state)
{
	(void)state;
	struct err_text why;
	static const char good[] = "# a comment\n\n"
				   "reply rcpt=451 4.3.0 busy\n"
				   "  --drop end,count=1\r\n"
				   "max-sessions 7\n"
				   "latency-ms=40";
	assert_int_equal(faults_lines(&faults, span_of(good), &why), ERR_OK);
	assert_int_equal(faults.fault_count, 2);
	assert_string_equal(faults.fault[0].text, "451 4.3.0 busy\r\n");
	assert_int_equal(faults.fault[1].count, 1);
	assert_int_equal(faults.max_sessions, 7);
	assert_int_equal(faults.latency, 40 * MSEC);
	assert_int_equal(
		faults_lines(&faults, SPAN("drop mail\nnonsense here\n"), &why), ERR_MISSING);
	assert_non_null(strstr(why.text, "line 2"));
}

static void test_durations(void **state)
{
	(void)state;
	int64_t usec;
	static const struct {
		const char *text;
		int64_t usec;
	} good[] = {{"250us", 250}, {"40ms", 40 * MSEC}, {"5s", 5 * SECOND}, {"2min", 2 * MINUTE},
		{"1h", HOUR}, {"0s", 0}};
	static const char *const bad[] = {"", "5", "ms", "-5s", "5 s", "5sec", "99999999999s"};
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		assert_int_equal(fault_duration(span_of(good[i].text), &usec), ERR_OK);
		assert_int_equal(usec, good[i].usec);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(fault_duration(span_of(bad[i]), &usec), ERR_SYNTAX);
}

int main(void)
{
#define CASE(test) cmocka_unit_test_setup_teardown(test, begin, end)
	const struct CMUnitTest tests[] = {
		CASE(test_phases_and_kinds),
		CASE(test_reply_becomes_wire),
		CASE(test_garbage_is_raw),
		CASE(test_mistakes_are_named),
		CASE(test_count_and_after),
		CASE(test_every),
		CASE(test_match_counts_only_what_matches),
		CASE(test_percent),
		CASE(test_first_listed_acts),
		CASE(test_delay_averages),
		CASE(test_slow_percent),
		CASE(test_lines_of_a_file),
		CASE(test_durations),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
