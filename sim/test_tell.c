/*
 * What is told of a failure: those it names, and nobody else.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/trace.h"
#include "sim/world.h"

static int64_t now;

static void says(struct trace *trace, const char *who, bool heard, const char *text)
{
	now += MSEC;
	trace_bytes(trace, WORLD_EPOCH + now, who, heard, span_of(text));
}

static char *told(struct trace *trace, const char *words)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	trace_tell(trace, out, words);
	fclose(out);
	return text;
}

static struct trace *two_sessions(void)
{
	struct trace *trace = trace_new();
	for (int i = 0; i < 300; i++)
		says(trace, "client 4", false, "NOOP of client 4\r\n");
	says(trace, "client 3", false, "MAIL FROM:<m7.k1@a.sim>\r\n");
	says(trace, "server s1.2", true, "MAIL FROM:<m7.k1@a.sim>\r\n");
	says(trace, "server s2.0", true, "MAIL FROM:<m77.k1@a.sim>\r\n");
	says(trace, "server s1.2", false, "250 2.1.0 ok\r\n");
	says(trace, "client 3", false, "DATA\r\n");
	says(trace, "client 3", true, "354 go on\r\n");
	says(trace, "client 3", false, "first\r\nMAIL FROM:<trap@a.sim>\r\nRSET\r\n");
	says(trace, "client 3", false, ".\r\n");
	says(trace, "client 3", true, "250 2.0.0 at last\r\n");
	return trace;
}

static void test_whom_it_names(void **state)
{
	struct trace *trace = two_sessions();
	char *text = told(trace, "client 3, m7.k1 at s1: whatever");
	assert_non_null(strstr(text, "client 3         > MAIL FROM:<m7.k1"));
	assert_non_null(strstr(text, "server s1.2      < MAIL FROM:<m7.k1"));
	assert_non_null(strstr(text, "server s1.2      > 250 2.1.0 ok"));
	assert_non_null(strstr(text, "at last"));
	assert_null(strstr(text, "client 4"));
	assert_null(strstr(text, "m77"));
	free(text);
	trace_free(&trace);
}

static void test_body_is_folded(void **state)
{
	struct trace *trace = two_sessions();
	char *text = told(trace, "client 3, m7.k1 at s1: whatever");
	assert_non_null(strstr(text, "> first  ... and 2 more like this"));
	assert_null(strstr(text, "trap"));
	free(text);
	trace_free(&trace);
}

/* Words that name only who waits are about its last message, wherever that went. */
static void test_last_mail(void **state)
{
	struct trace *trace = two_sessions();
	char *text = told(trace, "client 3: waits since hours");
	assert_non_null(strstr(text, "server s1.2      < MAIL FROM:<m7.k1"));
	assert_null(strstr(text, "m77"));
	free(text);
	trace_free(&trace);
}

static void test_repetition_is_folded(void **state)
{
	struct trace *trace = two_sessions();
	char *text = told(trace, "client 4: whatever");
	unsigned lines = 0;
	for (const char *at = text; (at = strstr(at, "client 4")) != NULL; at++)
		lines += at[8] == ' ';
	assert_in_range(lines, 1, 20);
	free(text);
	trace_free(&trace);
}

static void test_nobody_named(void **state)
{
	struct trace *trace = two_sessions();
	char *text = told(trace, "a session without a client");
	assert_non_null(strstr(text, "at last"));
	free(text);
	trace_free(&trace);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whom_it_names),
		cmocka_unit_test(test_body_is_folded),
		cmocka_unit_test(test_last_mail),
		cmocka_unit_test(test_repetition_is_folded),
		cmocka_unit_test(test_nobody_named),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
