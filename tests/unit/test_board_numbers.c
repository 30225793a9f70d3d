/*
 * The table of metrics, and the numbers kept by it.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <sched.h>
#include <string.h>

#include "board/layout.h"
#include "test_board_help.h"

static void the_table_is_clean(void **state)
{
	static const char *const units[] = {"", "bytes", "seconds"};

	(void)state;
	for (int i = 0; i < METRIC_COUNT; i++) {
		const struct metric_row *a = metric_row((enum metric)i);
		size_t unit = 0;

		assert_true(strlen(a->id) > 0);
		assert_int_equal(
			strspn(a->id, "abcdefghijklmnopqrstuvwxyz_0123456789"), strlen(a->id));
		assert_true(strlen(a->help) > 0);
		/* A text that can stand in Prometheus' HELP line and in a table of Markdown. */
		assert_null(strpbrk(a->help, "\n\\|"));
		while (unit < 3 && strcmp(units[unit], a->unit) != 0)
			unit++;
		assert_true(unit < 3);
		assert_int_equal(a->type == METRIC_HISTOGRAM, strcmp(a->unit, "seconds") == 0);
		for (int j = 0; j < i; j++) {
			const struct metric_row *b = metric_row((enum metric)j);

			if (a->kind == b->kind && strcmp(a->id, b->id) == 0)
				fail_msg("%s is there twice", a->id);
		}
	}
}

static void cells_do_not_overlap(void **state)
{
	unsigned used[BOARD_KINDS] = {0};

	(void)state;
	for (int i = 0; i < METRIC_COUNT; i++) {
		const struct metric_row *metric = metric_row((enum metric)i);

		assert_int_equal(metric->cell, used[metric->kind]);
		used[metric->kind] += metric->type == METRIC_HISTOGRAM ? BOARD_BUCKETS + 1 : 1;
	}
	for (int kind = 0; kind < BOARD_KINDS; kind++) {
		assert_true(used[kind] > 0);
		assert_int_equal(metric_cells((enum board_kind)kind), used[kind]);
		assert_true(used[kind] <= BOARD_CELLS);
	}
}

/* Every cell of every metric written apart, in two rows and two columns of each kind. */
static void every_cell_is_its_own(void **state)
{
	struct shared_board shared;
	struct board *board;
	int columns[BOARD_KINDS][2], rows[2];

	(void)state;
	shared_board_open(&shared);
	board = shared.board;
	for (int kind = 0; kind < BOARD_KINDS; kind++) {
		columns[kind][0] = board_column(board, (enum board_kind)kind, "a");
		columns[kind][1] = board_column(board, (enum board_kind)kind, "b");
	}
	rows[0] = board_row_take(board, ROW_WORKER, 1, 0);
	rows[1] = board_row_take(board, ROW_WORKER, 1, 1);
	for (int i = 0; i < METRIC_COUNT * 4; i++) {
		const struct metric_row *metric = metric_row((enum metric)(i / 4));
		int column = columns[metric->kind][i / 2 % 2];

		if (metric->type == METRIC_HISTOGRAM) {
			for (int j = 0; j <= i; j++)
				board_observe(board, rows[i % 2], column, (enum metric)(i / 4), j);
		} else {
			board_add(board, rows[i % 2], column, (enum metric)(i / 4), i + 1);
		}
	}
	for (int i = 0; i < METRIC_COUNT * 4; i += 2) {
		const struct metric_row *metric = metric_row((enum metric)(i / 4));
		int column = columns[metric->kind][i / 2 % 2];
		uint64_t buckets[BOARD_BUCKETS], sum;

		if (metric->type == METRIC_HISTOGRAM) {
			assert_int_equal(
				board_histogram(board, column, (enum metric)(i / 4), buckets, &sum),
				i + 1 + i + 2);
			assert_int_equal(sum, i * (i + 1) / 2 + (i + 1) * (i + 2) / 2);
			continue;
		}
		assert_int_equal(board_cell(board, rows[0], column, (enum metric)(i / 4)), i + 1);
		assert_int_equal(board_cell(board, rows[1], column, (enum metric)(i / 4)), i + 2);
		assert_int_equal(board_sum(board, column, (enum metric)(i / 4)), i + 1 + i + 2);
	}
	shared_board_close(&shared);
}

static void observations_fall_into_their_buckets(void **state)
{
	static const struct {
		int64_t usec;
		unsigned bucket;
	} known[] = {{INT64_MIN, 0}, {-1, 0}, {0, 0}, {1, 0}, {63, 0}, {64, 1}, {127, 1}, {128, 2},
		{(1 << 28) - 1, 22}, {1 << 28, 23}, {INT64_C(1) << 29, 23}, {INT64_MAX / 2, 23}};
	struct shared_board shared;
	int pool, row;

	(void)state;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		uint64_t buckets[BOARD_BUCKETS], sum;

		shared_board_open(&shared);
		pool = board_column(shared.board, BOARD_POOL, "p");
		row = board_row_take(shared.board, ROW_WORKER, 1, 0);
		board_observe(shared.board, row, pool, M_POOL_time_waiting, known[i].usec);
		assert_int_equal(
			board_histogram(shared.board, pool, M_POOL_time_waiting, buckets, &sum), 1);
		assert_true(sum == (uint64_t)(known[i].usec < 0 ? 0 : known[i].usec));
		for (unsigned j = 0; j < BOARD_BUCKETS; j++)
			assert_int_equal(buckets[j], j == known[i].bucket);
		shared_board_close(&shared);
	}
}

static void a_burial_zeroes_gauges_and_keeps_counters(void **state)
{
	struct shared_board shared;
	struct board *board;
	int process, in, out, pool, server, dead, alive;

	(void)state;
	shared_board_open(&shared);
	board = shared.board;
	process = board_column(board, BOARD_PROCESS, "mailweir");
	in = board_column(board, BOARD_LISTENER, "in");
	out = board_column(board, BOARD_LISTENER, "out");
	pool = board_column(board, BOARD_POOL, "p");
	server = board_column(board, BOARD_SERVER, "p/s");
	alive = board_row_take(board, ROW_WORKER, 1, 0);
	dead = board_row_take(board, ROW_WORKER, 1, 1);
	for (int row = 0; row < 2; row++) {
		board_set(board, row, process, M_PROCESS_sockets, 10);
		board_add(board, row, process, M_PROCESS_loop_turns, 1000);
		board_add(board, row, in, M_LISTENER_sessions, 4);
		board_add(board, row, in, M_LISTENER_in_gap, 2);
		board_add(board, row, out, M_LISTENER_in_gap, 3);
		board_add(board, row, out, M_LISTENER_ambiguous, 1);
		board_add(board, row, pool, M_POOL_waiting, 6);
		board_observe(board, row, pool, M_POOL_time_waiting, 5);
		board_wait(board, row, pool, board_ticket(board, pool));
		board_claim(board, row, server, PLACE_OPEN, 0);
		board_claim(board, row, server, PLACE_LIVE, 0);
		board_claim(board, row, server, PLACE_IDLE, 0);
		board_learn_limit(board, row, server, 9, 0);
	}
	assert_int_equal(board_bury(board, dead, true), 5);
	assert_int_equal(board_sum(board, process, M_PROCESS_sockets), 10);
	assert_int_equal(board_sum(board, process, M_PROCESS_loop_turns), 2000);
	assert_int_equal(board_cell(board, dead, process, M_PROCESS_deaths), 1);
	assert_int_equal(board_sum(board, in, M_LISTENER_sessions), 4);
	assert_int_equal(board_sum(board, in, M_LISTENER_in_gap), 2);
	assert_int_equal(board_cell(board, dead, in, M_LISTENER_ambiguous), 2);
	assert_int_equal(board_cell(board, alive, in, M_LISTENER_ambiguous), 0);
	assert_int_equal(board_sum(board, out, M_LISTENER_in_gap), 3);
	assert_int_equal(board_sum(board, out, M_LISTENER_ambiguous), 5);
	assert_int_equal(board_sum(board, pool, M_POOL_waiting), 6);
	assert_int_equal(board_waiting(board, pool, NULL), alive);
	for (int place = 0; place < BOARD_PLACES; place++)
		assert_int_equal(board_places(board, server, (enum board_place)place), 1);
	/* A second burial finds nothing. */
	assert_int_equal(board_bury(board, dead, false), 0);
	assert_int_equal(board_sum(board, process, M_PROCESS_deaths), 1);
	/* Who takes the row goes on with its counters. */
	board_row_free(board, dead);
	assert_int_equal(board_row_take(board, ROW_WORKER, 2, 0), dead);
	board_add(board, dead, process, M_PROCESS_loop_turns, 1);
	assert_int_equal(board_cell(board, dead, process, M_PROCESS_loop_turns), 1001);
	shared_board_close(&shared);
}

static void a_row_never_taken_holds_nothing(void **state)
{
	struct shared_board shared;
	struct board *board;
	int process, row;

	(void)state;
	shared_board_open(&shared);
	board = shared.board;
	process = board_column(board, BOARD_PROCESS, "mailweir");
	row = board_row_take(board, ROW_WORKER, 1, 0);
	board_add(board, row, process, M_PROCESS_sockets, 3);
	assert_int_equal(board_cell(board, row, process, M_PROCESS_sockets), 3);
	assert_int_equal(board_cell(board, row + 1, process, M_PROCESS_sockets), 0);
	shared_board_close(&shared);
}

/* A dead worker is buried over what is left of the columns that it knew. */
static void a_burial_passes_forgotten_columns(void **state)
{
	bool known[BOARD_COLUMNS] = {false};
	struct shared_board shared;
	struct board *board;
	int gone, kept, row;

	(void)state;
	shared_board_open(&shared);
	board = shared.board;
	gone = board_column(board, BOARD_LISTENER, "gone");
	kept = board_column(board, BOARD_LISTENER, "kept");
	row = board_row_take(board, ROW_WORKER, 1, 0);
	board_add(board, row, gone, M_LISTENER_in_gap, 1);
	board_add(board, row, kept, M_LISTENER_in_gap, 1);
	known[kept] = true;
	board_forget(board, known);
	board_forget(board, known); /* nothing is left to be forgotten twice */
	assert_int_equal(board_column_kind(board, gone), BOARD_KINDS);
	assert_int_equal(board_column_kind(board, kept), BOARD_LISTENER);
	assert_int_equal(board_bury(board, row, true), 1);
	assert_int_equal(board_sum(board, kept, M_LISTENER_ambiguous), 1);
	assert_int_equal(board_sum(board, kept, M_LISTENER_in_gap), 0);
	shared_board_close(&shared);
}

/* ---- a limit over a gauge ---- */

#define RACES 3000

struct race {
	_Atomic unsigned stage[2];
	_Atomic int64_t sum[2];
};

/* Both have come as far when it returns. */
static void meet(struct race *its, int row, unsigned stage)
{
	atomic_store(&its->stage[row], stage);
	while (atomic_load(&its->stage[!row]) < stage)
		sched_yield();
}

static void race(struct board *board, struct race *its, int row, int column)
{
	for (unsigned turn = 1; turn <= RACES; turn++) {
		meet(its, row, 2 * turn);
		its->sum[row] = board_add_sum(board, row, column, M_LISTENER_sessions, 1);
		meet(its, row, 2 * turn + 1);
		if (row == 0)
			assert_true(its->sum[0] == 2 || its->sum[1] == 2);
		board_add(board, row, column, M_LISTENER_sessions, -1);
	}
}

static void of_two_who_add_at_once_one_sees_both(void **state)
{
	struct race *its = shared_memory(sizeof(*its));
	struct shared_board shared;
	int column;
	pid_t pid;

	(void)state;
	shared_board_open(&shared);
	column = board_column(shared.board, BOARD_LISTENER, "in");
	assert_int_equal(board_row_take(shared.board, ROW_WORKER, 1, 0), 0);
	assert_int_equal(board_row_take(shared.board, ROW_WORKER, 1, 1), 1);
	assert_int_equal(board_add_sum(shared.board, 0, column, M_LISTENER_sessions, 2), 2);
	assert_int_equal(board_add_sum(shared.board, 1, column, M_LISTENER_sessions, 1), 3);
	assert_int_equal(board_add_sum(shared.board, 0, column, M_LISTENER_sessions, -2), 1);
	assert_int_equal(board_add_sum(shared.board, 1, column, M_LISTENER_sessions, -1), 0);
	pid = fork_bound();
	if (pid == 0) {
		race(shared.board, its, 1, column);
		_exit(0);
	}
	race(shared.board, its, 0, column);
	await_child(pid);
	munmap(its, sizeof(*its));
	shared_board_close(&shared);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_table_is_clean),
		cmocka_unit_test(cells_do_not_overlap),
		cmocka_unit_test(every_cell_is_its_own),
		cmocka_unit_test(observations_fall_into_their_buckets),
		cmocka_unit_test(a_burial_zeroes_gauges_and_keeps_counters),
		cmocka_unit_test(a_row_never_taken_holds_nothing),
		cmocka_unit_test(a_burial_passes_forgotten_columns),
		cmocka_unit_test(of_two_who_add_at_once_one_sees_both),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
