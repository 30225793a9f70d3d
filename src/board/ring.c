/*
 * The log rings: bytes in a circle, each line behind its length.
 *
 *       drained                 committed
 *          v                        v
 *     .....[len|line][len|line]....[len|li             both only ever grow; a place in the ring
 *                                                      is the remainder by its size
 *
 * What was read stays until it is written out: a reader that is killed between leaves it to its
 * successor, who may write it once more.
 *
 * A line exists from the moment that `committed` passes it.  A process killed while it copies has
 * not moved it, and whoever takes over the row writes over the torn bytes.
 */
#include "board/board.h"

#include <string.h>

#include "base/testing.h"
#include "board/layout.h"

_Static_assert((BOARD_RING & (BOARD_RING - 1)) == 0, "places wrap by masking");

typedef uint32_t line_len;

static void copy_in(struct board_ring *ring, uint64_t place, const void *from, size_t len)
{
	size_t at = place & (BOARD_RING - 1);
	size_t first = len < BOARD_RING - at ? len : BOARD_RING - at;

	memcpy(ring->at + at, from, first);
	memcpy(ring->at, (const char *)from + first, len - first);
}

bool board_log(struct board *board, int row, struct span line)
{
	struct board_ring *ring = &board->rings[board_row_at(board, row) - board->rows];
	uint64_t committed = atomic_load_explicit(&ring->committed, memory_order_relaxed);
	uint64_t drained = atomic_load_explicit(&ring->drained, memory_order_acquire);
	uint64_t room = BOARD_RING - (committed - drained);
	line_len len = (line_len)line.len;
	int process;

	if (room < sizeof(len) || line.len > room - sizeof(len)) {
		process = board_process_column(board);
		if (process >= 0)
			board_add(board, row, process, M_PROCESS_log_dropped, 1);
		return false;
	}
	copy_in(ring, committed, &len, sizeof(len));
	if (PLANTED(log_line_torn))
		atomic_store(&ring->committed, committed + sizeof(len) + len);
	KILL_POINT("log: length copied");
	if (len > 0)
		copy_in(ring, committed + sizeof(len), line.at, len);
	KILL_POINT("log: line copied");
	atomic_store_explicit(
		&ring->committed, committed + sizeof(len) + len, memory_order_release);
	KILL_POINT("log: shown");
	return true;
}

static void copy_out(const struct board_ring *ring, uint64_t place, struct buf *into, size_t len)
{
	size_t at = place & (BOARD_RING - 1);
	size_t first = len < BOARD_RING - at ? len : BOARD_RING - at;

	buf_add(into, ring->at + at, first);
	buf_add(into, ring->at, len - first);
}

static line_len length_at(const struct board_ring *ring, uint64_t place)
{
	line_len len = 0;

	for (size_t i = 0; i < sizeof(len); i++)
		((char *)&len)[i] = ring->at[(place + i) & (BOARD_RING - 1)];
	return len;
}

size_t board_log_read(
	const struct board *board, int row, struct buf *into, size_t max, uint64_t *upto_r)
{
	const struct board_ring *ring = &board->rings[board_row_at(board, row) - board->rows];
	uint64_t committed = atomic_load_explicit(&ring->committed, memory_order_acquire);
	uint64_t place = atomic_load_explicit(&ring->drained, memory_order_relaxed);
	size_t before = into->len;

	while (place < committed && into->len - before < max) {
		line_len len = length_at(ring, place);

		/* Only a process that writes where it must not can have done this: give up its
		 * lines, not the reader. */
		if (committed - place < sizeof(len) || len > committed - place - sizeof(len)) {
			place = committed;
			break;
		}
		copy_out(ring, place + sizeof(len), into, len);
		buf_add(into, "\n", 1);
		place += sizeof(len) + len;
	}
	*upto_r = place;
	return into->len - before;
}

void board_log_written(struct board *board, int row, uint64_t upto)
{
	struct board_ring *ring = &board->rings[board_row_at(board, row) - board->rows];

	assert(upto <= atomic_load(&ring->committed));
	KILL_POINT("log: written, not told");
	atomic_store_explicit(&ring->drained, upto, memory_order_release);
}
