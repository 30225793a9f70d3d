/*
 * What lies where on the board.  Private to this room.
 *
 *     head | rows | columns | addresses | numbers[row][column][cell] | rings[row]
 *
 * The map is large (about 90 MB) and nearly empty: memory is taken page by page at the first
 * touch, reading included.  So loops run to board_rows() and board_columns(), never over all.
 *
 * Lines of the cache: numbers and rings lie by row, since one process writes them; places,
 * learned limits and tickets lie by column, since every choice sums one server over all rows.
 * Nothing is declared with an alignment of its own, so that a test may put a board anywhere; the
 * sizes are whole lines of 64 bytes, and a map starts on a page.
 *
 * Whatever changes the meaning of a byte here raises LAYOUT_VERSION; sizes and the table of
 * metrics are compared by themselves.
 */
#ifndef BOARD_LAYOUT_H
#define BOARD_LAYOUT_H

#include <assert.h>
#include <stdatomic.h>

#include "board/board.h"
#include "board/twin.h"

#define LAYOUT_VERSION 1

/* One struct for each kind, a byte for each cell: the compiler places the metrics. */
#define CELLS_COUNTER   1
#define CELLS_GAUGE     1
#define CELLS_HISTOGRAM (BOARD_BUCKETS + 1)
#define METRIC_CELLS(of, type, id, unit, help)                                                     \
	char of##_##id[BOARD_##of == CELLS_OF ? CELLS_##type : 0];
#define CELLS_OF BOARD_PROCESS
struct PROCESS_cells {
	METRICS(METRIC_CELLS)
};
#undef CELLS_OF
#define CELLS_OF BOARD_LISTENER
struct LISTENER_cells {
	METRICS(METRIC_CELLS)
};
#undef CELLS_OF
#define CELLS_OF BOARD_POOL
struct POOL_cells {
	METRICS(METRIC_CELLS)
};
#undef CELLS_OF
#define CELLS_OF BOARD_SERVER
struct SERVER_cells {
	METRICS(METRIC_CELLS)
};
#undef CELLS_OF
#undef METRIC_CELLS

union any_cells {
	struct PROCESS_cells process;
	struct LISTENER_cells listener;
	struct POOL_cells pool;
	struct SERVER_cells server;
};

#define BOARD_CELLS ((sizeof(union any_cells) + 7) / 8 * 8)

struct board_head {
	_Atomic uint64_t layout; /* fingerprint of all this; 0 in a map that is still empty */
	_Atomic uint64_t uncovered;
	_Atomic uint32_t rows, columns; /* one above the highest ever used */
	_Atomic uint32_t generation, reload_asked, stop_asked;
	char pad[28];
	TWIN(65) answer; /* struct answer of desk.c */
	char pad_2[40];
};

/* A line of the cache each: its process beats in it. */
struct board_row {
	_Atomic int64_t beat;
	_Atomic int32_t pid;
	_Atomic uint32_t role, order, ready, generation, index;
	char pad[32];
};

struct board_column {
	_Atomic uint32_t kind; /* enum board_kind + 1; 0: free.  Stored last. */
	_Atomic uint32_t by_hand;
	_Atomic uint64_t verdict;
	_Atomic uint32_t probe, caps;
	_Atomic uint64_t size;
	char name[BOARD_NAME];
	_Atomic uint64_t ticket; /* the last one handed out */
	char pad[56];
	_Atomic uint32_t places[BOARD_PLACES][BOARD_ROWS];
	_Atomic uint64_t learned[BOARD_ROWS]; /* limit << 40 | milliseconds; 0: none */
	_Atomic uint64_t waiting[BOARD_ROWS]; /* the oldest waiter's ticket; 0: nobody waits */
};

struct board_column_addresses {
	TWIN(1 + BOARD_ADDRESSES * 14) list; /* struct address_list of address.c */
	char pad[40];
};

struct board_ring {
	_Atomic uint64_t committed; /* bytes ever written, whole records only; the row's process */
	char pad[56];
	_Atomic uint64_t drained; /* bytes ever read and written out; control */
	char pad_2[56];
	char at[BOARD_RING];
};

struct board {
	struct board_head head;
	struct board_row rows[BOARD_ROWS];
	struct board_column columns[BOARD_COLUMNS];
	struct board_column_addresses addresses[BOARD_COLUMNS];
	_Atomic int64_t numbers[BOARD_ROWS][BOARD_COLUMNS][BOARD_CELLS];
	struct board_ring rings[BOARD_ROWS];
};

/* The row; a number that can't be one is a bug. */
static inline const struct board_row *board_row_at(const struct board *board, int row)
{
	assert(row >= 0 && row < BOARD_ROWS);
	return &board->rows[row];
}

/* The column, which must be of that kind. */
static inline const struct board_column *board_column_at(
	const struct board *board, int column, enum board_kind kind)
{
	assert(column >= 0 && column < BOARD_COLUMNS);
	assert(atomic_load_explicit(&board->columns[column].kind, memory_order_relaxed) ==
		kind + 1);
	return &board->columns[column];
}

/* The same for one who writes. */
static inline struct board_row *board_own_row(struct board *board, int row)
{
	return &board->rows[board_row_at(board, row) - board->rows];
}

static inline struct board_column *board_own_column(
	struct board *board, int column, enum board_kind kind)
{
	return &board->columns[board_column_at(board, column, kind) - board->columns];
}

/* ---- between the files of this room ---- */

/* The column that the process's own numbers belong to, -1 when the master made none. */
int board_process_column(const struct board *board);
/* Empty a column's cells in all rows. */
void board_numbers_forget(struct board *board, int column, enum board_kind kind);
/* Zero the row's gauges; returns how many in_gap transactions it held, now booked as ambiguous. */
unsigned board_numbers_bury(struct board *board, int row);
/* Zero what the row holds of this column's places, and its ticket. */
void board_places_bury(struct board_column *column, int row);

#endif
