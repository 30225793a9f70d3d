/*
 * The switches of a testing build; in any other build, that there is nothing to switch.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/err.h"
#include "base/testing.h"

#ifndef MAILWEIR_TESTING

#define X(name, text) _Static_assert(!PLANTED(name), "a defect is planted in what is shipped");
TESTING_PLANTS(X)
#undef X

static void nothing_is_called(void **state)
{
	int calls = 0;

	(void)state;
	KILL_POINT((calls++, "here"));
	DIED();
	assert_int_equal(calls, 0);
}

#else

static void one_plant_at_a_time(void **state)
{
	(void)state;
	for (int i = PLANT_NONE; i < PLANT_COUNT; i++) {
		int found = 0;

		testing.plant = (enum plant)i;
#define X(name, text) found += PLANTED(name) ? PLANT_##name : 0;
		TESTING_PLANTS(X)
#undef X
		assert_int_equal(found, i);
	}
	testing.plant = PLANT_NONE;
}

static jmp_buf death;
static const char *last_words;

static void kill_here(const char *where)
{
	last_words = where;
	longjmp(death, 1);
}

static void a_kill_point_can_be_left_for_good(void **state)
{
	(void)state;
	KILL_POINT("nobody asks");
	testing.kill_point = kill_here;
	if (setjmp(death) == 0) {
		KILL_POINT("here");
		fail();
	}
	testing.kill_point = NULL;
	assert_string_equal(last_words, "here");
}

static void die_here(void)
{
	longjmp(death, 1);
}

static void so_can_die(void **state)
{
	(void)state;
	testing.died = die_here;
	if (setjmp(death) == 0) {
		die("no memory");
	}
	testing.died = NULL;
}

#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
#ifndef MAILWEIR_TESTING
		cmocka_unit_test(nothing_is_called),
#else
		cmocka_unit_test(one_plant_at_a_time),
		cmocka_unit_test(a_kill_point_can_be_left_for_good),
		cmocka_unit_test(so_can_die),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
