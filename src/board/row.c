/*
 * Rows: who holds them, what the master asks of them, and their burial.
 *
 * Everything of a living row is written by its process, except role, order, generation and index,
 * which are the master's.  A dead row is the master's altogether.
 */
#include "board/board.h"

#include "base/testing.h"
#include "board/layout.h"

static int free_row(const struct board *board)
{
	for (int i = 0; i < BOARD_ROWS; i++) {
		if (i >= board_rows(board) || atomic_load(&board->rows[i].role) == ROW_FREE)
			return i;
	}
	return -1;
}

int board_row_take(struct board *board, enum board_role role, unsigned generation, unsigned index)
{
	int row = free_row(board);
	struct board_row *taken;

	assert(role != ROW_FREE);
	if (row < 0)
		return -1;
	taken = &board->rows[row];
	atomic_store(&taken->generation, generation);
	atomic_store(&taken->index, index);
	atomic_store(&taken->order, ORDER_RUN);
	KILL_POINT("row: half taken");
	atomic_store(&taken->role, role);
	/* Before the row's first claim: whoever claims after it sums over this row too. */
	if (row >= board_rows(board))
		atomic_store(&board->head.rows, (uint32_t)row + 1);
	return row;
}

unsigned board_bury(struct board *board, int row, bool died)
{
	struct board_row *buried = board_own_row(board, row);
	int process = board_process_column(board);
	unsigned ambiguous;

	if (PLANTED(row_not_buried) && died)
		return 0;
	ambiguous = board_numbers_bury(board, row);
	KILL_POINT("bury: numbers");
	for (int i = 0; i < board_columns(board); i++)
		board_places_bury(&board->columns[i], row);
	KILL_POINT("bury: places");
	if (died && process >= 0)
		board_add(board, row, process, M_PROCESS_deaths, 1);
	atomic_store(&buried->ready, false);
	atomic_store(&buried->pid, 0);
	atomic_store(&buried->beat, 0);
	return ambiguous;
}

void board_row_free(struct board *board, int row)
{
	atomic_store(&board_own_row(board, row)->role, ROW_FREE);
}

int board_rows(const struct board *board)
{
	/* In one order with the claims of places: see board_row_take. */
	return (int)atomic_load(&board->head.rows);
}

enum board_role board_row_role(const struct board *board, int row)
{
	return (enum board_role)atomic_load(&board_row_at(board, row)->role);
}

unsigned board_row_generation(const struct board *board, int row)
{
	return atomic_load(&board_row_at(board, row)->generation);
}

unsigned board_row_index(const struct board *board, int row)
{
	return atomic_load(&board_row_at(board, row)->index);
}

void board_row_order(struct board *board, int row, enum board_order order)
{
	atomic_store(&board_own_row(board, row)->order, order);
}

enum board_order board_row_ordered(const struct board *board, int row)
{
	return (enum board_order)atomic_load(&board_row_at(board, row)->order);
}

void board_beat(struct board *board, int row, int64_t now)
{
	atomic_store_explicit(&board_own_row(board, row)->beat, now, memory_order_relaxed);
}

int64_t board_beat_of(const struct board *board, int row)
{
	return atomic_load_explicit(&board_row_at(board, row)->beat, memory_order_relaxed);
}

void board_ready(struct board *board, int row, bool ready)
{
	atomic_store(&board_own_row(board, row)->ready, ready);
}

bool board_is_ready(const struct board *board, int row)
{
	return atomic_load(&board_row_at(board, row)->ready) != 0;
}

void board_pid(struct board *board, int row, int32_t pid)
{
	atomic_store(&board_own_row(board, row)->pid, pid);
}

int32_t board_pid_of(const struct board *board, int row)
{
	return atomic_load(&board_row_at(board, row)->pid);
}

void board_uncovered(struct board *board, uint64_t mask)
{
	atomic_store(&board->head.uncovered, mask);
}

uint64_t board_uncovered_mask(const struct board *board)
{
	return atomic_load_explicit(&board->head.uncovered, memory_order_relaxed);
}
