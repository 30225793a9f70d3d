/*
 * The demo's proof must see planted faults: a message that was lost, one that was doubled without
 * excuse, a ledger's torn line.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bin/demo_cmd.h"

static struct demo_parts parts;
static struct demo_notes *notes;

static int begin(void **state)
{
	(void)state;
	notes = demo_notes_new(4);
	for (int i = 0; i < DEMO_SINKS; i++) {
		parts.sinks[i].ledger = memfd_create("ledger", MFD_CLOEXEC);
		assert_true(parts.sinks[i].ledger >= 0);
	}
	return 0;
}

static int end(void **state)
{
	(void)state;
	demo_notes_free(&notes);
	for (int i = 0; i < DEMO_SINKS; i++)
		close(parts.sinks[i].ledger);
	return 0;
}

static void hear(uint64_t number, enum load_outcome outcome, bool unsure)
{
	struct load_message message = {.number = number, .outcome = outcome, .unsure = unsure};
	demo_notes_take(notes, &message);
}

static void write_down(int sink, const char *line)
{
	assert_int_equal(
		write(parts.sinks[sink].ledger, line, strlen(line)), (ssize_t)strlen(line));
}

static struct demo_proof prove(void)
{
	struct demo_proof proof;
	assert_int_equal(demo_prove(notes, &parts, &proof, NULL), ERR_OK);
	assert_int_equal(proof.sent, 4);
	return proof;
}

static void hear_all(void)
{
	for (uint64_t number = 1; number <= 4; number++)
		hear(number, LOAD_ACCEPTED, false);
}

static void test_all_once(void **state)
{
	(void)state;
	hear_all();
	write_down(0, "{\"id\":\"demo.1\"}\n{\"id\":\"demo.4\"}\n");
	write_down(1, "{\"id\":\"demo.2\"}\n");
	write_down(2, "{\"id\":\"demo.3\"}\n");
	struct demo_proof proof = prove();
	assert_int_equal(proof.accepted, 4);
	assert_int_equal(proof.lost + proof.doubled, 0);
	assert_int_equal(proof.per_sink[0], 2);
}

static void test_lost(void **state)
{
	(void)state;
	hear_all();
	/* Of another run, out of range, without an id, and torn: none of them is number 3 or 4. */
	write_down(0, "{\"id\":\"demo.1\"}\n{\"id\":\"other.3\"}\n{\"id\":\"demo.5\"}\n{}\n");
	write_down(1, "{\"id\":\"demo.2\"}\n{\"id\":\"demo.3\"}");
	struct demo_proof proof = prove();
	assert_int_equal(proof.lost, 2);
	assert_int_equal(proof.per_sink[1], 1);
}

static void test_doubled(void **state)
{
	(void)state;
	hear_all();
	hear(2, LOAD_ACCEPTED, true);
	write_down(0, "{\"id\":\"demo.1\"}\n{\"id\":\"demo.2\"}\n{\"id\":\"demo.3\"}\n");
	write_down(1, "{\"id\":\"demo.2\"}\n{\"id\":\"demo.3\"}\n{\"id\":\"demo.4\"}\n");
	struct demo_proof proof = prove();
	assert_int_equal(proof.lost, 0);
	assert_int_equal(proof.doubled, 2);
	assert_int_equal(proof.excused, 1);
}

static void test_not_accepted_is_not_lost(void **state)
{
	(void)state;
	hear(1, LOAD_ACCEPTED, false);
	hear(2, LOAD_FAILED, false);
	hear(3, LOAD_GIVEN_UP, true);
	write_down(0, "{\"id\":\"demo.1\"}\n{\"id\":\"demo.3\"}\n");
	struct demo_proof proof = prove();
	assert_int_equal(proof.accepted, 1);
	assert_int_equal(proof.lost + proof.doubled, 0);
}

int main(void)
{
#define CASE(test) cmocka_unit_test_setup_teardown(test, begin, end)
	const struct CMUnitTest tests[] = {
		CASE(test_all_once),
		CASE(test_lost),
		CASE(test_doubled),
		CASE(test_not_accepted_is_not_lost),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
