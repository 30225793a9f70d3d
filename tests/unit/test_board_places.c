/*
 * Places, learned limits and tickets, among processes that are killed at any moment.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdatomic.h>
#include <stdlib.h>

#include "base/rng.h"
#include "test_board_help.h"

static void a_limit_holds_over_all_rows(void **state)
{
	struct shared_board shared;
	struct board *board;
	int a, b, server, other;

	(void)state;
	shared_board_open(&shared);
	board = shared.board;
	server = board_column(board, BOARD_SERVER, "p/s");
	other = board_column(board, BOARD_SERVER, "p/t");
	a = board_row_take(board, ROW_WORKER, 1, 0);
	b = board_row_take(board, ROW_WORKER, 1, 1);
	assert_true(board_claim(board, a, server, PLACE_OPEN, 3));
	assert_true(board_claim(board, b, server, PLACE_OPEN, 3));
	assert_true(board_claim(board, b, server, PLACE_OPEN, 3));
	assert_false(board_claim(board, a, server, PLACE_OPEN, 3));
	assert_false(board_claim(board, b, server, PLACE_OPEN, 2));
	assert_int_equal(board_places(board, server, PLACE_OPEN), 3);
	assert_int_equal(board_places_of(board, a, server, PLACE_OPEN), 1);
	assert_int_equal(board_places_of(board, b, server, PLACE_OPEN), 2);
	/* Neither another place nor another server has lost any. */
	assert_int_equal(board_places(board, server, PLACE_LIVE), 0);
	assert_true(board_claim(board, a, server, PLACE_LIVE, 1));
	assert_true(board_claim(board, a, other, PLACE_OPEN, 1));
	assert_true(board_claim(board, a, server, PLACE_OPEN, 0));
	board_release(board, a, server, PLACE_OPEN);
	board_release(board, b, server, PLACE_OPEN);
	assert_true(board_claim(board, a, server, PLACE_OPEN, 3));
	assert_false(board_claim(board, a, server, PLACE_OPEN, 3));
	shared_board_close(&shared);
}

static void the_row_with_most_idle_is_asked(void **state)
{
	struct shared_board shared;
	struct board *board;
	int server;

	(void)state;
	shared_board_open(&shared);
	board = shared.board;
	server = board_column(board, BOARD_SERVER, "p/s");
	for (unsigned i = 0; i < 4; i++)
		board_row_take(board, ROW_WORKER, 1, i);
	assert_int_equal(board_idle_row(board, server, 0), -1);
	board_claim(board, 0, server, PLACE_IDLE, 0);
	assert_int_equal(board_idle_row(board, server, 0), -1);
	assert_int_equal(board_idle_row(board, server, 1), 0);
	board_claim(board, 3, server, PLACE_IDLE, 0);
	board_claim(board, 3, server, PLACE_IDLE, 0);
	assert_int_equal(board_idle_row(board, server, 1), 3);
	assert_int_equal(board_idle_row(board, server, 3), 0);
	shared_board_close(&shared);
}

static void a_learned_limit_grows_back(void **state)
{
	struct shared_board shared;
	struct board *board;
	int server, a, b;
	int64_t start = 5 * DAY;

	(void)state;
	shared_board_open(&shared);
	board = shared.board;
	server = board_column(board, BOARD_SERVER, "p/s");
	a = board_row_take(board, ROW_WORKER, 1, 0);
	b = board_row_take(board, ROW_WORKER, 1, 1);
	assert_int_equal(board_learned_limit(board, server, start, MINUTE), 0);
	board_learn_limit(board, a, server, 20, start);
	assert_int_equal(board_learned_limit(board, server, start, MINUTE), 20);
	assert_int_equal(board_learned_limit(board, server, start + MINUTE - 1, MINUTE), 20);
	assert_int_equal(board_learned_limit(board, server, start + MINUTE, MINUTE), 21);
	assert_int_equal(board_learned_limit(board, server, start + DAY, 0), 20);
	/* A reader whose turn began before the word was written. */
	assert_int_equal(board_learned_limit(board, server, start - SECOND, MINUTE), 20);
	/* The least one holds, each grown by its own age: 20 + 4 against 22 + 1. */
	board_learn_limit(board, b, server, 22, start + 3 * MINUTE);
	assert_int_equal(board_learned_limit(board, server, start + 3 * MINUTE, MINUTE), 22);
	assert_int_equal(board_learned_limit(board, server, start + 4 * MINUTE, MINUTE), 23);
	/* The last lesson of a row replaces its former one. */
	board_learn_limit(board, a, server, 30, start + 4 * MINUTE);
	board_learn_limit(board, b, server, 0, start + 4 * MINUTE);
	assert_int_equal(board_learned_limit(board, server, start + 4 * MINUTE, MINUTE), 1);
	assert_int_equal(board_learned_limit(board, server, start + 1028 * MINUTE, MINUTE), 1025);
	assert_int_equal(board_learned_limit(board, server, start + 1029 * MINUTE, MINUTE), 0);
	board_learn_limit(board, a, server, UINT32_MAX, start);
	board_learn_limit(board, b, server, UINT32_MAX, start);
	assert_int_equal(board_learned_limit(board, server, start, MINUTE), (1 << 24) - 1);
	shared_board_close(&shared);
}

static void the_lowest_ticket_is_next(void **state)
{
	struct shared_board shared;
	struct board *board;
	uint64_t first, second, third, ticket = 99;
	int pool, other;

	(void)state;
	shared_board_open(&shared);
	board = shared.board;
	pool = board_column(board, BOARD_POOL, "p");
	other = board_column(board, BOARD_POOL, "q");
	for (unsigned i = 0; i < 3; i++)
		board_row_take(board, ROW_WORKER, 1, i);
	assert_int_equal(board_waiting(board, pool, &ticket), -1);
	first = board_ticket(board, pool);
	second = board_ticket(board, pool);
	third = board_ticket(board, pool);
	assert_true(0 < first && first < second && second < third);
	board_wait(board, 0, pool, third);
	assert_int_equal(board_waiting(board, pool, &ticket), 0);
	assert_true(ticket == third);
	board_wait(board, 2, pool, first);
	board_wait(board, 1, pool, second);
	assert_int_equal(board_waiting(board, pool, &ticket), 2);
	assert_true(ticket == first);
	assert_int_equal(board_waiting(board, other, NULL), -1);
	board_wait(board, 2, pool, 0);
	assert_int_equal(board_waiting(board, pool, NULL), 1);
	board_bury(board, 1, true);
	assert_int_equal(board_waiting(board, pool, NULL), 0);
	board_wait(board, 0, pool, 0);
	assert_int_equal(board_waiting(board, pool, &ticket), -1);
	shared_board_close(&shared);
}

#define TAKERS  4
#define TICKETS 20000

static void no_ticket_is_given_twice(void **state)
{
	uint64_t(*taken)[TICKETS] = shared_memory(sizeof(uint64_t[TAKERS][TICKETS]));
	bool *seen = calloc(TAKERS * TICKETS + 1, 1);
	struct shared_board shared;
	pid_t pid[TAKERS];
	int pool;

	(void)state;
	shared_board_open(&shared);
	pool = board_column(shared.board, BOARD_POOL, "p");
	for (int i = 0; i < TAKERS; i++) {
		if ((pid[i] = fork_bound()) > 0)
			continue;
		for (int j = 0; j < TICKETS; j++)
			taken[i][j] = board_ticket(shared.board, pool);
		_exit(0);
	}
	for (int i = 0; i < TAKERS; i++)
		await_child(pid[i]);
	for (int i = 0; i < TAKERS; i++) {
		for (int j = 0; j < TICKETS; j++) {
			assert_in_range(taken[i][j], 1, TAKERS * TICKETS);
			assert_false(seen[taken[i][j]]);
			seen[taken[i][j]] = true;
			assert_true(j == 0 || taken[i][j] > taken[i][j - 1]);
		}
	}
	free(seen);
	munmap(taken, sizeof(uint64_t[TAKERS][TICKETS]));
	shared_board_close(&shared);
}

/* ---- claims under fire ---- */

#define WORKERS 6
#define LIMIT   5
#define SLOTS   8 /* places that one worker may hold */

/*
 * The truth beside the board: a bit for each place of each worker, set after a claim and cleared
 * before the release, so that the bits never show more than the claims that are held.
 */
struct truth {
	_Atomic uint64_t held;
	_Atomic uint32_t over, full, claims, refusals;
};

static uint64_t bit_of(int row, int slot)
{
	return UINT64_C(1) << (row * SLOTS + slot);
}

static void claim_one(struct board *board, int row, int server, struct truth *truth, int slot)
{
	uint64_t held;
	int count;

	if (!board_claim(board, row, server, PLACE_OPEN, LIMIT)) {
		atomic_fetch_add(&truth->refusals, 1);
		return;
	}
	held = atomic_fetch_or(&truth->held, bit_of(row, slot)) | bit_of(row, slot);
	count = __builtin_popcountll(held);
	atomic_fetch_add(&truth->claims, 1);
	if (count > LIMIT)
		atomic_fetch_add(&truth->over, 1);
	if (count == LIMIT)
		atomic_fetch_add(&truth->full, 1);
}

static void release_one(struct board *board, int row, int server, struct truth *truth, int slot)
{
	atomic_fetch_and(&truth->held, ~bit_of(row, slot));
	board_release(board, row, server, PLACE_OPEN);
}

/* Until it is killed. */
static void work(
	struct board *board, int row, int server, int listener, struct truth *truth, uint64_t seed)
{
	struct rng rng;

	rng_seed(&rng, seed);
	for (;;) {
		int slot = (int)rng_below(&rng, SLOTS);

		if (atomic_load(&truth->held) & bit_of(row, slot))
			release_one(board, row, server, truth, slot);
		else
			claim_one(board, row, server, truth, slot);
		board_add(board, row, listener, M_LISTENER_in_gap, 1);
		board_add(board, row, listener, M_LISTENER_commands, 1);
		board_add(board, row, listener, M_LISTENER_in_gap, -1);
	}
}

static pid_t start_worker(
	struct board *board, int row, int server, int listener, struct truth *truth, uint64_t seed)
{
	pid_t pid = fork_bound();

	if (pid == 0)
		work(board, row, server, listener, truth, seed);
	return pid;
}

static unsigned end_worker(struct board *board, int row, struct truth *truth, pid_t pid)
{
	kill_child(pid);
	for (int slot = 0; slot < SLOTS; slot++)
		atomic_fetch_and(&truth->held, ~bit_of(row, slot));
	return board_bury(board, row, true);
}

static void killed_workers_neither_exceed_nor_leak(void **state)
{
	struct truth *truth = shared_memory(sizeof(*truth));
	struct shared_board shared;
	struct board *board;
	pid_t pid[WORKERS];
	unsigned deaths = 0, ambiguous = 0;
	int server, listener, process;
	struct rng rng;
	int64_t end;

	(void)state;
	rng_seed(&rng, 77);
	shared_board_open(&shared);
	board = shared.board;
	process = board_column(board, BOARD_PROCESS, "mailweir");
	server = board_column(board, BOARD_SERVER, "p/s");
	listener = board_column(board, BOARD_LISTENER, "in");
	for (int row = 0; row < WORKERS; row++) {
		assert_int_equal(board_row_take(board, ROW_WORKER, 1, (unsigned)row), row);
		pid[row] = start_worker(board, row, server, listener, truth, rng_next(&rng));
	}
	for (end = clock_usec() + 1500 * MSEC; clock_usec() < end || deaths < 60; deaths++) {
		int row = (int)rng_below(&rng, WORKERS);

		sleep_usec((long)rng_below(&rng, 3000));
		ambiguous += end_worker(board, row, truth, pid[row]);
		assert_int_equal(board_places_of(board, row, server, PLACE_OPEN), 0);
		assert_int_equal(board_cell(board, row, listener, M_LISTENER_in_gap), 0);
		pid[row] = start_worker(board, row, server, listener, truth, rng_next(&rng));
	}
	for (int row = 0; row < WORKERS; row++, deaths++)
		ambiguous += end_worker(board, row, truth, pid[row]);

	assert_int_equal(atomic_load(&truth->over), 0);
	/* It was a fight: the limit was reached and refused at, and a worker died every few ms. */
	assert_true(atomic_load(&truth->full) > 100);
	assert_true(atomic_load(&truth->refusals) > 100);
	assert_true(deaths > 50);
	assert_int_equal(board_places(board, server, PLACE_OPEN), 0);
	assert_int_equal(board_sum(board, process, M_PROCESS_deaths), deaths);
	assert_int_equal(board_sum(board, listener, M_LISTENER_in_gap), 0);
	assert_int_equal(board_sum(board, listener, M_LISTENER_ambiguous), ambiguous);
	assert_true(board_sum(board, listener, M_LISTENER_commands) > 1000);
	for (int i = 0; i < LIMIT; i++)
		assert_true(board_claim(board, 0, server, PLACE_OPEN, LIMIT));
	assert_false(board_claim(board, 0, server, PLACE_OPEN, LIMIT));
	munmap(truth, sizeof(*truth));
	shared_board_close(&shared);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_limit_holds_over_all_rows),
		cmocka_unit_test(the_row_with_most_idle_is_asked),
		cmocka_unit_test(a_learned_limit_grows_back),
		cmocka_unit_test(the_lowest_ticket_is_next),
		cmocka_unit_test(no_ticket_is_given_twice),
		cmocka_unit_test(killed_workers_neither_exceed_nor_leak),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
