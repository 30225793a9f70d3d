/*
 * The map, its columns and its rows.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "board/layout.h"
#include "test_board_help.h"

static void a_second_process_finds_the_same_board(void **state)
{
	struct shared_board shared;
	struct board *again;
	int column, row;
	void *map;

	(void)state;
	shared_board_open(&shared);
	column = board_column(shared.board, BOARD_SERVER, "pool/one");
	row = board_row_take(shared.board, ROW_WORKER, 3, 1);
	board_add(shared.board, row, column, M_SERVER_attempts, 5);
	/* Elsewhere in memory: nothing inside may be a pointer. */
	map = mmap(NULL, board_size(), PROT_READ | PROT_WRITE, MAP_SHARED, shared.fd, 0);
	assert_true(map != MAP_FAILED && map != shared.map);
	assert_int_equal(board_attach(map, &again, NULL), ERR_OK);
	assert_int_equal(board_find(again, BOARD_SERVER, "pool/one"), column);
	assert_string_equal(board_column_name(again, column), "pool/one");
	assert_int_equal(board_sum(again, column, M_SERVER_attempts), 5);
	assert_int_equal(board_row_generation(again, row), 3);
	board_add(again, row, column, M_SERVER_attempts, 1);
	assert_int_equal(board_sum(shared.board, column, M_SERVER_attempts), 6);
	munmap(map, board_size());
	shared_board_close(&shared);
}

static void another_layout_is_refused(void **state)
{
	struct shared_board shared;
	struct err_text text = {""};
	struct board *board = NULL;

	(void)state;
	shared_board_open(&shared);
	atomic_fetch_add(&shared.board->head.layout, 2);
	assert_int_equal(board_attach(shared.map, &board, &text), ERR_RANGE);
	assert_null(board);
	assert_non_null(strstr(text.text, "restart"));
	atomic_fetch_sub(&shared.board->head.layout, 2);
	assert_int_equal(board_attach(shared.map, &board, &text), ERR_OK);
	shared_board_close(&shared);
}

static void columns_keep_their_names(void **state)
{
	struct shared_board shared;
	struct board *board;
	int a, b, c;

	(void)state;
	shared_board_open(&shared);
	board = shared.board;
	assert_int_equal(board_columns(board), 0);
	assert_int_equal(board_find(board, BOARD_POOL, "x"), -1);
	assert_string_equal(board_column_name(board, 0), "");
	a = board_column(board, BOARD_POOL, "x");
	b = board_column(board, BOARD_SERVER, "x");
	c = board_column(board, BOARD_SERVER, "x/y");
	assert_true(a != b && b != c && a != c);
	assert_int_equal(board_column(board, BOARD_POOL, "x"), a);
	assert_int_equal(board_column(board, BOARD_SERVER, "x"), b);
	assert_int_equal(board_find(board, BOARD_SERVER, "x/y"), c);
	assert_int_equal(board_find(board, BOARD_LISTENER, "x"), -1);
	assert_int_equal(board_column_kind(board, a), BOARD_POOL);
	assert_int_equal(board_column_kind(board, c), BOARD_SERVER);
	assert_int_equal(board_columns(board), 3);
	shared_board_close(&shared);
}

static void columns_run_out(void **state)
{
	struct shared_board shared;
	static bool known[BOARD_COLUMNS];
	char name[BOARD_NAME];

	(void)state;
	shared_board_open(&shared);
	for (int i = 0; i < BOARD_COLUMNS; i++) {
		/* As long as a name may be. */
		snprintf(name, sizeof(name), "%0*d", BOARD_NAME - 1, i);
		assert_int_equal(board_column(shared.board, BOARD_SERVER, name), i);
		known[i] = i != 500;
	}
	assert_int_equal(board_columns(shared.board), BOARD_COLUMNS);
	assert_int_equal(board_column(shared.board, BOARD_SERVER, "more"), -1);
	assert_int_equal(board_column(shared.board, BOARD_SERVER, name), BOARD_COLUMNS - 1);
	board_forget(shared.board, known);
	assert_int_equal(board_column(shared.board, BOARD_POOL, "more"), 500);
	assert_int_equal(board_column(shared.board, BOARD_POOL, "still more"), -1);
	shared_board_close(&shared);
}

static void set_everything(struct board *board, int row, int server)
{
	const struct addr addr = {.family = ADDR_IP4, .port = 25, .ip4 = {192, 0, 2, 1}};

	board_add(board, row, server, M_SERVER_attempts, 7);
	board_observe(board, row, server, M_SERVER_time_connect, 1000);
	assert_true(board_claim(board, row, server, PLACE_OPEN, 1));
	board_learn_limit(board, row, server, 3, 0);
	board_judge(board, server,
		&(struct verdict){
			.state = SERVER_DOWN, .reason = REASON_CHECK_CONNECT, .weight = 9});
	board_grant_probe(board, server);
	board_set_by_hand(board, server, (struct by_hand){.drained = true});
	board_offer(board, server, 5, 1000);
	board_addresses(board, server, &addr, 1);
}

static void assert_untouched(const struct board *board, int row, int server)
{
	uint64_t buckets[BOARD_BUCKETS], sum, size;
	struct addr addr[BOARD_ADDRESSES];
	struct verdict verdict = board_verdict(board, server);

	assert_int_equal(board_sum(board, server, M_SERVER_attempts), 0);
	assert_int_equal(board_histogram(board, server, M_SERVER_time_connect, buckets, &sum), 0);
	assert_int_equal(sum, 0);
	assert_int_equal(board_places(board, server, PLACE_OPEN), 0);
	assert_int_equal(board_places_of(board, row, server, PLACE_OPEN), 0);
	assert_int_equal(board_learned_limit(board, server, 0, 0), 0);
	assert_int_equal(verdict.state, SERVER_UP);
	assert_int_equal(verdict.weight, 256);
	assert_int_equal(verdict.epoch, 0);
	assert_false(board_by_hand(board, server).drained);
	assert_int_equal(board_offered(board, server, &size), 0);
	assert_int_equal(size, 0);
	assert_int_equal(board_addresses_of(board, server, addr), 0);
}

static void forgotten_columns_come_back_empty(void **state)
{
	bool known[BOARD_COLUMNS] = {false};
	struct shared_board shared;
	struct board *board;
	int kept, gone, row, last;

	(void)state;
	shared_board_open(&shared);
	board = shared.board;
	board_row_take(board, ROW_CONTROL, 1, 0);
	row = board_row_take(board, ROW_WORKER, 1, 0);
	gone = board_column(board, BOARD_SERVER, "p/gone");
	kept = board_column(board, BOARD_SERVER, "p/kept");
	last = board_column(board, BOARD_POOL, "p");
	assert_untouched(board, row, gone);
	set_everything(board, row, gone);
	set_everything(board, row, kept);
	board_wait(board, row, last, board_ticket(board, last));
	known[kept] = true;
	board_forget(board, known);
	assert_int_equal(board_find(board, BOARD_SERVER, "p/gone"), -1);
	assert_string_equal(board_column_name(board, gone), "");
	assert_int_equal(board_find(board, BOARD_SERVER, "p/kept"), kept);
	assert_int_equal(board_sum(board, kept, M_SERVER_attempts), 7);
	assert_int_equal(board_places(board, kept, PLACE_OPEN), 1);
	assert_true(board_by_hand(board, kept).drained);
	assert_int_equal(board_column(board, BOARD_SERVER, "q/new"), gone);
	assert_untouched(board, row, gone);
	assert_false(board_take_probe(board, gone));
	/* A column may come back as another kind. */
	assert_int_equal(board_column(board, BOARD_LISTENER, "in"), last);
	assert_int_equal(board_sum(board, last, M_LISTENER_sessions), 0);
	shared_board_close(&shared);
}

static void rows_are_taken_and_freed(void **state)
{
	struct shared_board shared;
	struct board *board;
	int rows[BOARD_ROWS];

	(void)state;
	shared_board_open(&shared);
	board = shared.board;
	assert_int_equal(board_rows(board), 0);
	for (int i = 0; i < BOARD_ROWS; i++) {
		rows[i] = board_row_take(board, ROW_WORKER, 1, (unsigned)i);
		assert_int_equal(rows[i], i);
		assert_int_equal(board_rows(board), i + 1);
	}
	assert_int_equal(board_row_take(board, ROW_WORKER, 1, 99), -1);
	board_row_order(board, 7, ORDER_STOP);
	board_bury(board, 7, true);
	board_row_free(board, 7);
	assert_int_equal(board_row_role(board, 7), ROW_FREE);
	assert_int_equal(board_row_take(board, ROW_CONTROL, 5, 2), 7);
	assert_int_equal(board_row_role(board, 7), ROW_CONTROL);
	assert_int_equal(board_row_generation(board, 7), 5);
	assert_int_equal(board_row_index(board, 7), 2);
	assert_int_equal(board_row_ordered(board, 7), ORDER_RUN);
	assert_int_equal(board_rows(board), BOARD_ROWS);
	shared_board_close(&shared);
}

static void a_rows_process_shows_itself(void **state)
{
	struct shared_board shared;
	struct board *board;
	int row;

	(void)state;
	shared_board_open(&shared);
	board = shared.board;
	row = board_row_take(board, ROW_WORKER, 1, 0);
	assert_int_equal(board_beat_of(board, row), 0);
	assert_false(board_is_ready(board, row));
	board_beat(board, row, 12345678901);
	board_ready(board, row, true);
	board_pid(board, row, 4242);
	board_row_order(board, row, ORDER_DRAIN);
	board_uncovered(board, UINT64_C(1) << 63 | 1);
	assert_true(board_beat_of(board, row) == 12345678901);
	assert_true(board_is_ready(board, row));
	assert_int_equal(board_pid_of(board, row), 4242);
	assert_int_equal(board_row_ordered(board, row), ORDER_DRAIN);
	assert_true(board_uncovered_mask(board) == (UINT64_C(1) << 63 | 1));
	board_bury(board, row, true);
	assert_int_equal(board_beat_of(board, row), 0);
	assert_false(board_is_ready(board, row));
	assert_int_equal(board_pid_of(board, row), 0);
	assert_int_equal(board_row_role(board, row), ROW_WORKER);
	assert_int_equal(board_row_ordered(board, row), ORDER_DRAIN);
	shared_board_close(&shared);
}

/* A board of 90 MB must cost what is used of it. */
static void what_is_not_used_costs_nothing(void **state)
{
	struct shared_board shared;
	struct board *board;
	struct buf lines = {0};
	struct stat stat;
	char name[BOARD_NAME];
	bool known[BOARD_COLUMNS] = {false};

	(void)state;
	shared_board_open(&shared);
	board = shared.board;
	board_column(board, BOARD_PROCESS, "mailweir");
	for (int i = 0; i < 10; i++) {
		snprintf(name, sizeof(name), "p/%d", i);
		known[board_column(board, BOARD_SERVER, name)] = i % 2 == 0;
	}
	for (int i = 0; i < 4; i++) {
		int row = board_row_take(board, ROW_WORKER, 1, (unsigned)i);

		for (int column = 1; column <= 10; column++)
			set_everything(board, row, column);
		board_log(board, row, SPAN("a line"));
		drain(board, row, &lines, 10000);
		board_release(board, row, 1, PLACE_OPEN);
		for (int column = 1; column <= 10; column++) {
			board_sum(board, column, M_SERVER_attempts);
			if (board_places_of(board, row, column, PLACE_OPEN) > 0)
				board_release(board, row, column, PLACE_OPEN);
		}
		board_bury(board, row, true);
	}
	board_forget(board, known);
	assert_int_equal(fstat(shared.fd, &stat), 0);
	assert_true((size_t)stat.st_size == board_size());
	assert_in_range(stat.st_blocks * 512, 1, 512 * 1024);
	buf_clear(&lines);
	shared_board_close(&shared);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_second_process_finds_the_same_board),
		cmocka_unit_test(another_layout_is_refused),
		cmocka_unit_test(columns_keep_their_names),
		cmocka_unit_test(columns_run_out),
		cmocka_unit_test(forgotten_columns_come_back_empty),
		cmocka_unit_test(rows_are_taken_and_freed),
		cmocka_unit_test(a_rows_process_shows_itself),
		cmocka_unit_test(what_is_not_used_costs_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
