/*
 * The log rings: cut sizes, the wrap, a full ring, and writers that are killed.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "board/layout.h"
#include "test_board_help.h"

static struct shared_board shared;
static struct board *board;
static int process;

static int open_board(void **state)
{
	(void)state;
	shared_board_open(&shared);
	board = shared.board;
	process = board_column(board, BOARD_PROCESS, "mailweir");
	for (unsigned i = 0; i < 3; i++)
		board_row_take(board, ROW_WORKER, 1, i);
	return 0;
}

static int close_board(void **state)
{
	(void)state;
	shared_board_close(&shared);
	return 0;
}

/* As if so many bytes had gone through before. */
static void wind_to(int row, uint64_t place)
{
	atomic_store(&board->rings[row].committed, place);
	atomic_store(&board->rings[row].drained, place);
}

static void lines_come_out_in_order(void **state)
{
	struct buf lines = {0};

	(void)state;
	buf_add_text(&lines, "before|");
	assert_int_equal(drain(board, 1, &lines, 1000), 0);
	assert_true(board_log(board, 1, SPAN("one")));
	assert_true(board_log(board, 1, (struct span){0}));
	assert_true(board_log(board, 2, SPAN("other row")));
	assert_true(board_log(board, 1, SPAN("three")));
	assert_int_equal(drain(board, 1, &lines, 1000), 11);
	assert_string_equal(buf_string(&lines), "before|one\n\nthree\n");
	assert_int_equal(drain(board, 1, &lines, 1000), 0);
	buf_reset(&lines);
	assert_int_equal(drain(board, 2, &lines, 1000), 10);
	assert_string_equal(buf_string(&lines), "other row\n");
	buf_clear(&lines);
}

static void a_drain_stops_near_its_limit(void **state)
{
	struct buf lines = {0};

	(void)state;
	for (int i = 0; i < 10; i++)
		assert_true(board_log(board, 0, SPAN("123456789")));
	assert_int_equal(drain(board, 0, &lines, 0), 0);
	assert_int_equal(drain(board, 0, &lines, 1), 10);
	assert_int_equal(drain(board, 0, &lines, 25), 30);
	assert_int_equal(drain(board, 0, &lines, 30), 30);
	assert_int_equal(drain(board, 0, &lines, 1000), 30);
	assert_int_equal(lines.len, 100);
	buf_clear(&lines);
}

/* A reader that is killed before it has written takes nothing with it. */
static void what_was_read_stays_until_it_is_written(void **state)
{
	struct buf lines = {0};
	uint64_t upto;

	(void)state;
	assert_true(board_log(board, 0, SPAN("one")));
	assert_true(board_log(board, 0, SPAN("two")));
	assert_int_equal(board_log_read(board, 0, &lines, 1, &upto), 4);
	assert_int_equal(board_log_read(board, 0, &lines, 1000, &upto), 8);
	assert_string_equal(buf_string(&lines), "one\none\ntwo\n");
	assert_true(board_log(board, 0, SPAN("later")));
	board_log_written(board, 0, upto);
	buf_reset(&lines);
	assert_int_equal(board_log_read(board, 0, &lines, 1000, &upto), 6);
	assert_string_equal(buf_string(&lines), "later\n");
	buf_clear(&lines);
}

/* Every way a record can lie across the end of the ring, its length included. */
static void records_wrap_anywhere(void **state)
{
	struct buf lines = {0};

	(void)state;
	for (uint64_t before = 0; before < 20; before++) {
		for (size_t len = 0; len < 20; len++) {
			char text[32] = "abcdefghijklmnopqrstuvwxyz";

			wind_to(0, 7 * (uint64_t)BOARD_RING - before);
			assert_true(board_log(board, 0, (struct span){.at = text, .len = len}));
			assert_true(board_log(board, 0, SPAN("next")));
			buf_reset(&lines);
			assert_int_equal(drain(board, 0, &lines, 1000), len + 1 + 5);
			assert_memory_equal(lines.at, text, len);
			assert_memory_equal(lines.at + len, "\nnext\n", 6);
		}
	}
	buf_clear(&lines);
}

static void a_full_ring_drops_and_counts(void **state)
{
	struct buf lines = {0};
	char *text = mem_new(BOARD_RING);
	struct span whole = {.at = text, .len = BOARD_RING - 4};

	(void)state;
	memset(text, 'x', BOARD_RING);
	for (uint64_t place = 0; place < 3; place++) {
		wind_to(0, place * 1000);
		assert_false(board_log(board, 0, (struct span){.at = text, .len = BOARD_RING - 3}));
		assert_false(board_log(board, 0, (struct span){.at = text, .len = BOARD_RING}));
		assert_int_equal(drain(board, 0, &lines, BOARD_RING), 0);
		assert_true(board_log(board, 0, whole));
		assert_false(board_log(board, 0, (struct span){0}));
		assert_int_equal(drain(board, 0, &lines, 1), whole.len + 1);
		assert_memory_equal(lines.at, text, whole.len);
		buf_reset(&lines);
	}
	assert_int_equal(board_cell(board, 0, process, M_PROCESS_log_dropped), 9);
	/* With room for one small record left, exactly that goes in. */
	assert_true(board_log(board, 0, (struct span){.at = text, .len = BOARD_RING - 4 - 10}));
	assert_false(board_log(board, 0, SPAN("1234567")));
	assert_true(board_log(board, 0, SPAN("123456")));
	assert_false(board_log(board, 0, (struct span){0}));
	assert_int_equal(board_sum(board, process, M_PROCESS_log_dropped), 11);
	free(text);
	buf_clear(&lines);
}

/* Random lines and drains against a buffer as the model, several times around. */
static void the_ring_agrees_with_a_model(void **state)
{
	struct buf lines = {0}, model = {0};
	size_t waiting = 0, through = 0;
	struct rng rng;
	char text[3000];

	(void)state;
	rng_seed(&rng, 9);
	while (through < 8u * BOARD_RING) {
		size_t len = rng_below(&rng, sizeof(text));

		for (size_t i = 0; i < len; i++)
			text[i] = (char)('a' + rng_below(&rng, 26));
		if (waiting + len + 4 <= BOARD_RING) {
			assert_true(board_log(board, 0, (struct span){.at = text, .len = len}));
			buf_add(&model, text, len);
			buf_add(&model, "\n", 1);
			waiting += len + 4;
			through += len + 4;
		} else {
			assert_false(board_log(board, 0, (struct span){.at = text, .len = len}));
		}
		if (rng_below(&rng, 80) > 0)
			continue;
		drain(board, 0, &lines, SIZE_MAX);
		assert_int_equal(lines.len, model.len);
		assert_memory_equal(lines.at, model.at, model.len);
		buf_reset(&lines);
		buf_reset(&model);
		waiting = 0;
	}
	buf_clear(&lines);
	buf_clear(&model);
}

/* What a killed writer leaves behind its last whole line is never seen, and written over. */
static void a_torn_line_is_never_seen(void **state)
{
	struct board_ring *ring = &board->rings[0];
	struct buf lines = {0};
	uint32_t len = 1000;

	(void)state;
	assert_true(board_log(board, 0, SPAN("whole")));
	memcpy(ring->at + 9, &len, sizeof(len));
	memset(ring->at + 13, 'T', 500);
	board_bury(board, 0, true);
	assert_int_equal(drain(board, 0, &lines, 10000), 6);
	board_row_free(board, 0);
	assert_int_equal(board_row_take(board, ROW_WORKER, 2, 0), 0);
	assert_true(board_log(board, 0, SPAN("successor")));
	assert_int_equal(drain(board, 0, &lines, 10000), 10);
	assert_string_equal(buf_string(&lines), "whole\nsuccessor\n");
	buf_clear(&lines);
}

/* Wild writes of a broken process must not take the reader with it. */
static void a_broken_ring_is_given_up(void **state)
{
	static const uint32_t lengths[] = {6, 1000, BOARD_RING, UINT32_MAX};
	struct buf lines = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		wind_to(0, 0);
		assert_true(board_log(board, 0, SPAN("12345")));
		memcpy(board->rings[0].at, &lengths[i], sizeof(lengths[i]));
		assert_int_equal(drain(board, 0, &lines, 10000), 0);
		assert_true(board_log(board, 0, SPAN("later")));
		assert_int_equal(drain(board, 0, &lines, 10000), 6);
		assert_memory_equal(lines.at, "later\n", 6);
		buf_reset(&lines);
	}
	/* Nor one that left less than a length. */
	for (uint64_t left = 1; left < sizeof(uint32_t); left++) {
		wind_to(0, 0);
		atomic_store(&board->rings[0].committed, left);
		assert_int_equal(drain(board, 0, &lines, 10000), 0);
		assert_true(board_log(board, 0, SPAN("later")));
		assert_int_equal(drain(board, 0, &lines, 10000), 6);
		buf_reset(&lines);
	}
	buf_clear(&lines);
}

/* The tests of other rooms do without the process's column; then nobody counts. */
static void a_full_ring_without_a_column_only_drops(void **state)
{
	bool known[BOARD_COLUMNS] = {false};
	char *text = mem_new(BOARD_RING);

	(void)state;
	board_forget(board, known);
	assert_false(board_log(board, 0, (struct span){.at = text, .len = BOARD_RING}));
	assert_int_equal(board_column(board, BOARD_PROCESS, "mailweir"), process);
	assert_int_equal(board_sum(board, process, M_PROCESS_log_dropped), 0);
	free(text);
}

/* ---- under fire ---- */

/* Line n: its number, then as many letters as the number says. */
static size_t make_line(char *text, size_t size, unsigned number)
{
	size_t len = (size_t)snprintf(text, size, "%u:", number);
	size_t letters = number * 37 % 900;

	memset(text + len, 'a' + (int)(number % 26), letters);
	return len + letters;
}

static void write_lines(unsigned number)
{
	char text[1000];

	for (;;) {
		size_t len = make_line(text, sizeof(text), number);

		if (board_log(board, 1, (struct span){.at = text, .len = len}))
			number++;
	}
}

/* Every line whole, in order, none missing; returns the number of the next. */
static unsigned check_lines(struct buf *lines, unsigned number)
{
	char text[1000];
	size_t at = 0;

	while (at < lines->len) {
		size_t len = make_line(text, sizeof(text), number++);

		assert_true(lines->len - at > len);
		assert_memory_equal(lines->at + at, text, len);
		assert_int_equal(lines->at[at + len], '\n');
		at += len + 1;
	}
	buf_reset(lines);
	return number;
}

static void killed_writers_leave_whole_lines(void **state)
{
	int64_t end = clock_usec() + 1000 * MSEC;
	struct buf lines = {0};
	unsigned number = 0, deaths = 0;
	struct rng rng;

	(void)state;
	rng_seed(&rng, 21);
	wind_to(1, BOARD_RING - 3);
	for (; clock_usec() < end || deaths < 30 || number < 10000; deaths++) {
		int64_t until = clock_usec() + (int64_t)rng_below(&rng, 6000);
		pid_t pid = fork_bound();

		if (pid == 0)
			write_lines(number);
		while (clock_usec() < until) {
			drain(board, 1, &lines, 1 + rng_below(&rng, 100000));
			number = check_lines(&lines, number);
		}
		kill_child(pid);
		board_bury(board, 1, true);
		while (drain(board, 1, &lines, 100000) > 0)
			number = check_lines(&lines, number);
	}
	assert_true(deaths > 20);
	assert_true(number > 5000);
	buf_clear(&lines);
}

#define RING_TEST(name) cmocka_unit_test_setup_teardown(name, open_board, close_board)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RING_TEST(lines_come_out_in_order),
		RING_TEST(a_drain_stops_near_its_limit),
		RING_TEST(what_was_read_stays_until_it_is_written),
		RING_TEST(records_wrap_anywhere),
		RING_TEST(a_full_ring_drops_and_counts),
		RING_TEST(the_ring_agrees_with_a_model),
		RING_TEST(a_torn_line_is_never_seen),
		RING_TEST(a_broken_ring_is_given_up),
		RING_TEST(a_full_ring_without_a_column_only_drops),
		RING_TEST(killed_writers_leave_whole_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
