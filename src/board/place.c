/*
 * Places on a server, what a server taught us about their number, and the queue for them.
 *
 * The cells of one server's places lie side by side, a line of the cache for sixteen rows, so a
 * choice between servers reads little.  Claims and sums are sequentially consistent: of two rows
 * that race for the last place at least one sees the other's claim, and gives its own up.
 *
 *     claim:  own cell + 1 ---> sum of the column ---> over the limit? own cell - 1
 *     killed anywhere in between: the claim stays until the row is buried, too many are counted
 *     for a moment, never too few
 *
 * The same order makes waiting safe: who shows his ticket and then claims, and who gives a place
 * back and then looks for tickets, can't miss each other.
 */
#include "board/board.h"

#include "base/testing.h"
#include "board/layout.h"

/* ---- places ---- */

bool board_claim(struct board *board, int row, int server, enum board_place place, uint32_t limit)
{
	struct board_column *column = board_own_column(board, server, BOARD_SERVER);

	assert(row >= 0 && row < board_rows(board));
	atomic_fetch_add(&column->places[place][row], 1);
	KILL_POINT("claim: counted");
	if (limit == 0 || board_places(board, server, place) <= limit)
		return true;
	KILL_POINT("claim: over the limit");
	atomic_fetch_sub(&column->places[place][row], 1);
	return false;
}

void board_release(struct board *board, int row, int server, enum board_place place)
{
	struct board_column *column = board_own_column(board, server, BOARD_SERVER);
	uint32_t held;

	KILL_POINT("release: begun");
	held = atomic_fetch_sub(&column->places[place][row], 1);
	KILL_POINT("release: given back");
	assert(held > 0);
	(void)held;
}

uint32_t board_places(const struct board *board, int server, enum board_place place)
{
	const struct board_column *column = board_column_at(board, server, BOARD_SERVER);
	int rows = board_rows(board);
	uint32_t sum = 0;

	assert((unsigned)place < BOARD_PLACES);
	for (int row = 0; row < rows; row++)
		sum += atomic_load(&column->places[place][row]);
	return sum;
}

uint32_t board_places_of(const struct board *board, int row, int server, enum board_place place)
{
	const struct board_column *column = board_column_at(board, server, BOARD_SERVER);

	assert(row >= 0 && row < BOARD_ROWS && (unsigned)place < BOARD_PLACES);
	return atomic_load(&column->places[place][row]);
}

int board_idle_row(const struct board *board, int server, int not_row)
{
	const struct board_column *column = board_column_at(board, server, BOARD_SERVER);
	uint32_t most = 0;
	int found = -1;

	/* The row with the most idle ones misses one the least. */
	for (int row = 0; row < board_rows(board); row++) {
		uint32_t idle = atomic_load(&column->places[PLACE_IDLE][row]);

		if (row != not_row && idle > most) {
			most = idle;
			found = row;
		}
	}
	return found;
}

void board_places_bury(struct board_column *column, int row)
{
	for (int place = 0; place < BOARD_PLACES; place++) {
		atomic_store(&column->places[place][row], 0);
		KILL_POINT("bury: a kind of place");
	}
	atomic_store(&column->waiting[row], 0);
}

/* ---- learned limits: limit and time in one word, so that they belong together ---- */

#define LEARNED_TIME    40 /* bits for milliseconds: 34 years since the machine started */
#define LEARNED_HIGHEST ((1u << 24) - 1)
#define LEARNED_GROWTH  1024 /* places by which it has grown when nothing is left of it */

void board_learn_limit(struct board *board, int row, int server, uint32_t limit, int64_t now)
{
	struct board_column *column = board_own_column(board, server, BOARD_SERVER);
	uint64_t when = (uint64_t)(now / MSEC) & ((UINT64_C(1) << LEARNED_TIME) - 1);

	assert(row >= 0 && row < board_rows(board) && now >= 0);
	if (limit < 1)
		limit = 1;
	if (limit > LEARNED_HIGHEST)
		limit = LEARNED_HIGHEST;
	KILL_POINT("learn: not written");
	atomic_store(&column->learned[row], (uint64_t)limit << LEARNED_TIME | when);
	KILL_POINT("learn: written");
}

/* What has become of a learned limit; 0 when it is forgotten. */
static uint32_t grown(uint64_t word, int64_t now, int64_t regrow)
{
	int64_t when = (int64_t)(word & ((UINT64_C(1) << LEARNED_TIME) - 1)) * MSEC;
	int64_t growth = regrow > 0 && now > when ? (now - when) / regrow : 0;

	if (word == 0 || growth > LEARNED_GROWTH)
		return 0;
	return (uint32_t)(word >> LEARNED_TIME) + (uint32_t)growth;
}

uint32_t board_learned_limit(const struct board *board, int server, int64_t now, int64_t regrow)
{
	const struct board_column *column = board_column_at(board, server, BOARD_SERVER);
	uint32_t least = 0;

	for (int row = 0; row < board_rows(board); row++) {
		uint32_t limit = grown(atomic_load(&column->learned[row]), now, regrow);

		if (limit > 0 && (least == 0 || limit < least))
			least = limit;
	}
	return least;
}

/* ---- waiting ---- */

uint64_t board_ticket(struct board *board, int pool)
{
	uint64_t drawn = atomic_fetch_add(&board_own_column(board, pool, BOARD_POOL)->ticket, 1);

	KILL_POINT("ticket: drawn");
	return drawn + 1;
}

void board_wait(struct board *board, int row, int pool, uint64_t ticket)
{
	assert(row >= 0 && row < board_rows(board));
	atomic_store(&board_own_column(board, pool, BOARD_POOL)->waiting[row], ticket);
	KILL_POINT("wait: shown");
}

int board_waiting(const struct board *board, int pool, uint64_t *ticket_r)
{
	const struct board_column *column = board_column_at(board, pool, BOARD_POOL);
	uint64_t lowest = 0;
	int found = -1;

	for (int row = 0; row < board_rows(board); row++) {
		uint64_t ticket = atomic_load(&column->waiting[row]);

		if (ticket > 0 && (found < 0 || ticket < lowest)) {
			lowest = ticket;
			found = row;
		}
	}
	if (found >= 0 && ticket_r)
		*ticket_r = lowest;
	return found;
}
