/*
 * Counters, gauges and histograms.
 *
 * A cell has one writer, so adding is a load and a store and no locked instruction; readers may
 * see a sum from between two steps, which the next scrape corrects.
 */
#include "board/board.h"

#include "base/testing.h"
#include "board/layout.h"

/* ---- writing ---- */

static _Atomic int64_t *own_cells(struct board *board, int row, int column, enum metric metric)
{
	const struct metric_row *its = metric_row(metric);

	assert(row >= 0 && row < board_rows(board));
	board_column_at(board, column, its->kind);
	return &board->numbers[row][column][its->cell];
}

static void add_to(_Atomic int64_t *cell, int64_t delta)
{
	int64_t value = atomic_load_explicit(cell, memory_order_relaxed);

	atomic_store_explicit(cell, value + delta, memory_order_relaxed);
}

void board_add(struct board *board, int row, int column, enum metric metric, int64_t delta)
{
	assert(metric_row(metric)->type != METRIC_HISTOGRAM);
	add_to(own_cells(board, row, column, metric), delta);
}

int64_t board_add_sum(struct board *board, int row, int column, enum metric metric, int64_t delta)
{
	board_add(board, row, column, metric, delta);
	KILL_POINT("number: added, not summed");
	atomic_thread_fence(memory_order_seq_cst);
	return board_sum(board, column, metric);
}

void board_set(struct board *board, int row, int column, enum metric metric, int64_t value)
{
	assert(metric_row(metric)->type != METRIC_HISTOGRAM);
	atomic_store_explicit(own_cells(board, row, column, metric), value, memory_order_relaxed);
}

/* Bucket i takes what is below 2^(i+6): the number of binary digits decides. */
static unsigned bucket_of(int64_t usec)
{
	unsigned digits = usec > 0 ? 64 - (unsigned)__builtin_clzll((uint64_t)usec) : 0;

	if (digits <= 6)
		return 0;
	return digits - 6 < BOARD_BUCKETS ? digits - 6 : BOARD_BUCKETS - 1;
}

void board_observe(struct board *board, int row, int column, enum metric metric, int64_t usec)
{
	_Atomic int64_t *cells = own_cells(board, row, column, metric);

	assert(metric_row(metric)->type == METRIC_HISTOGRAM);
	if (usec < 0)
		usec = 0;
	add_to(&cells[bucket_of(usec)], 1);
	KILL_POINT("observe: counted, not summed");
	add_to(&cells[BOARD_BUCKETS], usec);
}

/* ---- reading ---- */

static int64_t read_cell(const struct board *board, int row, int column, unsigned cell)
{
	return atomic_load_explicit(&board->numbers[row][column][cell], memory_order_relaxed);
}

int64_t board_cell(const struct board *board, int row, int column, enum metric metric)
{
	const struct metric_row *its = metric_row(metric);

	assert(its->type != METRIC_HISTOGRAM);
	board_column_at(board, column, its->kind);
	if (row >= board_rows(board))
		return 0;
	return read_cell(board, row, column, its->cell);
}

static int64_t sum_cells(const struct board *board, int column, unsigned cell)
{
	int64_t sum = 0;

	for (int row = 0; row < board_rows(board); row++)
		sum += read_cell(board, row, column, cell);
	return sum;
}

int64_t board_sum(const struct board *board, int column, enum metric metric)
{
	const struct metric_row *its = metric_row(metric);

	assert(its->type != METRIC_HISTOGRAM);
	board_column_at(board, column, its->kind);
	return sum_cells(board, column, its->cell);
}

uint64_t board_histogram(const struct board *board, int column, enum metric metric,
	uint64_t buckets_r[BOARD_BUCKETS], uint64_t *sum_usec_r)
{
	const struct metric_row *its = metric_row(metric);
	uint64_t count = 0;

	assert(its->type == METRIC_HISTOGRAM);
	board_column_at(board, column, its->kind);
	for (unsigned i = 0; i < BOARD_BUCKETS; i++) {
		buckets_r[i] = (uint64_t)sum_cells(board, column, its->cell + i);
		count += buckets_r[i];
	}
	*sum_usec_r = (uint64_t)sum_cells(board, column, its->cell + BOARD_BUCKETS);
	return count;
}

/* ---- the end of a column and of a process ---- */

void board_numbers_forget(struct board *board, int column, enum board_kind kind)
{
	for (int row = 0; row < board_rows(board); row++) {
		for (unsigned i = 0; i < metric_cells(kind); i++)
			atomic_store_explicit(
				&board->numbers[row][column][i], 0, memory_order_relaxed);
	}
}

/* A message whose end was sent and whose reply was not: nobody can tell any more. */
static unsigned book_gap(struct board *board, int row, int column)
{
	int64_t in_gap = board_cell(board, row, column, M_LISTENER_in_gap);

	if (in_gap <= 0)
		return 0;
	board_add(board, row, column, M_LISTENER_ambiguous, in_gap);
	KILL_POINT("bury: gap booked");
	return (unsigned)in_gap;
}

static void zero_gauges(struct board *board, int row, int column, enum board_kind kind)
{
	for (int i = 0; i < METRIC_COUNT; i++) {
		const struct metric_row *its = metric_row((enum metric)i);

		if (its->kind == kind && its->type == METRIC_GAUGE)
			board_set(board, row, column, (enum metric)i, 0);
	}
}

unsigned board_numbers_bury(struct board *board, int row)
{
	unsigned ambiguous = 0;

	for (int column = 0; column < board_columns(board); column++) {
		enum board_kind kind;

		if (atomic_load(&board->columns[column].kind) == 0)
			continue;
		kind = board_column_kind(board, column);
		if (kind == BOARD_LISTENER)
			ambiguous += book_gap(board, row, column);
		zero_gauges(board, row, column, kind);
	}
	return ambiguous;
}
