/*
 * The log for people.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "bin/log_text.h"

static void shows(const char *line, const char *text)
{
	struct buf out = {0};
	log_text_line(span_of(line), &out);
	assert_string_equal(buf_string(&out), text);
	buf_clear(&out);
}

static void a_transaction_is_one_line(void **state)
{
	(void)state;
	shows("{\"time\":\"2026-11-21T03:54:07.123Z\",\"event\":\"transaction\","
	      "\"session\":\"7f3a\",\"transaction\":2,\"outcome\":\"accepted\","
	      "\"sender\":\"a.example\",\"recipients_to\":[\"b.example\",\"c.example\"],"
	      "\"recipients\":3,\"size\":4123,\"pool\":\"farm\",\"server\":\"mta1\","
	      "\"attempts\":2,\"reply\":\"250 2.0.0 Ok: queued\",\"t_total\":12.345}",
		"03:54:07  accepted   7f3a/2  a.example -> b.example, 3 recipients, 4.1 kB, "
		"farm/mta1, 2 attempts: 250 2.0.0 Ok: queued (12 ms)\n");
}

static void a_bounce_has_no_sender(void **state)
{
	(void)state;
	shows("{\"time\":\"2026-11-21T03:54:07.123Z\",\"event\":\"transaction\","
	      "\"session\":\"7f3a\",\"transaction\":1,\"outcome\":\"abandoned\","
	      "\"recipients_to\":[\"b.example\"],\"recipients\":1,\"size\":0}",
		"03:54:07  abandoned  7f3a/1  <> -> b.example, 0 B\n");
}

static void a_server_changes_its_state(void **state)
{
	(void)state;
	shows("{\"time\":\"2026-11-21T03:54:09.000Z\",\"event\":\"server-state\","
	      "\"pool\":\"farm\",\"server\":\"mta2\",\"was\":\"up\",\"state\":\"down\","
	      "\"reason\":\"check-connect\",\"text\":\"connect to 10.0.0.2:25: refused\"}",
		"03:54:09  farm/mta2  up -> down: connect to 10.0.0.2:25: refused\n");
}

static void a_process_dies(void **state)
{
	(void)state;
	shows("{\"time\":\"2026-11-21T03:54:09.000Z\",\"event\":\"process\",\"role\":\"worker\","
	      "\"state\":\"died\",\"pid\":4711,\"row\":3,\"generation\":2,\"signal\":9,"
	      "\"ambiguous\":1}",
		"03:54:09  worker     died (pid 4711, generation 2, by signal 9, "
		"1 transaction became ambiguous)\n");
}

static void other_events_tell_what_they_have(void **state)
{
	(void)state;
	shows("{\"time\":\"2026-11-21T03:54:09.000Z\",\"event\":\"reload\",\"state\":\"refused\","
	      "\"generation\":2,\"text\":\"a.conf:1:1: error\"}",
		"03:54:09  reload     refused: a.conf:1:1: error\n");
}

static void attempts_are_left_out(void **state)
{
	(void)state;
	shows("{\"time\":\"2026-11-21T03:54:09.000Z\",\"event\":\"attempt\",\"server\":\"x\"}", "");
}

/* Whatever it is, it is not swallowed. */
static void what_is_no_json_is_shown_as_it_is(void **state)
{
	(void)state;
	shows("{\"time\":\"2026", "{\"time\":\"2026\n");
	shows("", "\n");
	shows("[1]", "[1]\n");
}

/* Types that are not what they should be must not be looked into. */
static void odd_types_do_no_harm(void **state)
{
	(void)state;
	shows("{\"time\":1,\"event\":\"transaction\",\"recipients_to\":7,\"t_total\":\"x\","
	      "\"size\":\"y\",\"session\":[]}",
		"             /0  <> -> , 0 B (0 ms)\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_transaction_is_one_line),
		cmocka_unit_test(a_bounce_has_no_sender),
		cmocka_unit_test(a_server_changes_its_state),
		cmocka_unit_test(a_process_dies),
		cmocka_unit_test(other_events_tell_what_they_have),
		cmocka_unit_test(attempts_are_left_out),
		cmocka_unit_test(what_is_no_json_is_shown_as_it_is),
		cmocka_unit_test(odd_types_do_no_harm),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
