/*
 * Passive signs out of the board's counters: when they trip, when they don't, and what they name.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "health/signs.h"

#define WINDOW   (10 * SECOND)
#define FAILURES 5
#define OVER     500000 /* 50 % */

struct world {
	void *map;
	struct board *board;
	int row, server;
	int64_t now;
	struct signs signs;
};

static int begin(void **state)
{
	struct world *world = calloc(1, sizeof *world);
	struct err_text text;
	world->map = calloc(1, board_size());
	assert_int_equal(board_attach(world->map, &world->board, &text), ERR_OK);
	world->row = board_row_take(world->board, ROW_WORKER, 1, 0);
	world->server = board_column(world->board, BOARD_SERVER, "p/s");
	world->now = 1000 * SECOND;
	signs_begin(&world->signs, world->board, world->server, world->now);
	*state = world;
	return 0;
}

static int end(void **state)
{
	struct world *world = *state;
	free(world->map);
	free(world);
	return 0;
}

static void happen(struct world *world, enum metric metric, int count)
{
	board_add(world->board, world->row, world->server, metric, count);
}

static bool look(struct world *world, int64_t later)
{
	world->now += later;
	signs_look(&world->signs, world->board, world->server, world->now, WINDOW);
	return signs_tripped(&world->signs, FAILURES, OVER);
}

static void too_few_do_not_trip(void **state)
{
	struct world *world = *state;
	happen(world, M_SERVER_own_trouble, FAILURES - 1);
	assert_false(look(world, 200 * MSEC));
	happen(world, M_SERVER_own_trouble, 1);
	assert_true(look(world, 200 * MSEC));
	assert_int_equal(world->signs.worst, REASON_OWN_TROUBLE);
}

static void a_small_share_does_not_trip(void **state)
{
	struct world *world = *state;
	happen(world, M_SERVER_accepted, 100);
	happen(world, M_SERVER_broken, 50);
	assert_false(look(world, 200 * MSEC));
	happen(world, M_SERVER_broken, 60);
	happen(world, M_SERVER_accepted, 1);
	assert_true(look(world, 200 * MSEC));
	assert_int_equal(world->signs.worst, REASON_BROKEN);
}

static void the_window_forgets(void **state)
{
	struct world *world = *state;
	happen(world, M_SERVER_timeouts, FAILURES - 1);
	happen(world, M_SERVER_accepted, 1);
	assert_false(look(world, 200 * MSEC));
	happen(world, M_SERVER_timeouts, FAILURES - 1);
	happen(world, M_SERVER_accepted, 1);
	assert_false(look(world, 2 * WINDOW));
}

static void a_row_of_failures_trips_however_slow(void **state)
{
	struct world *world = *state;
	bool tripped = false;
	for (int i = 0; i < FAILURES; i++) {
		assert_false(tripped);
		happen(world, M_SERVER_connects_failed, 1);
		tripped = look(world, 2 * WINDOW);
	}
	assert_true(tripped);
	assert_int_equal(world->signs.worst, REASON_CONNECT_FAILURES);
}

static void refusals_are_no_sign(void **state)
{
	struct world *world = *state;
	happen(world, M_SERVER_passed_5yz, 1000);
	happen(world, M_SERVER_passed_4yz, 1000);
	happen(world, M_SERVER_too_many, 1000);
	happen(world, M_SERVER_stale, 1000);
	assert_false(look(world, 200 * MSEC));
}

static void what_was_before_does_not_count(void **state)
{
	struct world *world = *state;
	happen(world, M_SERVER_broken, 1000);
	signs_begin(&world->signs, world->board, world->server, world->now);
	assert_false(look(world, 200 * MSEC));
	happen(world, M_SERVER_broken, 100);
	assert_true(look(world, 200 * MSEC));
	signs_forget(&world->signs);
	assert_false(look(world, 200 * MSEC));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(too_few_do_not_trip, begin, end),
		cmocka_unit_test_setup_teardown(a_small_share_does_not_trip, begin, end),
		cmocka_unit_test_setup_teardown(the_window_forgets, begin, end),
		cmocka_unit_test_setup_teardown(a_row_of_failures_trips_however_slow, begin, end),
		cmocka_unit_test_setup_teardown(refusals_are_no_sign, begin, end),
		cmocka_unit_test_setup_teardown(what_was_before_does_not_count, begin, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
