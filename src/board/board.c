/*
 * The board itself: recognising a map, and its columns.
 *
 * Only the master changes columns, and before it forks those who use them; so a column's name
 * needs no lock.  Control may walk over all columns at any time: a column shows its kind last
 * when it is made and first when it is forgotten.
 */
#include "board/board.h"

#include <string.h>

#include "base/rng.h"
#include "board/layout.h"

#define WHOLE_LINES(part) _Static_assert(sizeof(part) % 64 == 0, "whole lines of the cache")
WHOLE_LINES(struct board_head);
WHOLE_LINES(struct board_row);
WHOLE_LINES(struct board_column);
WHOLE_LINES(struct board_column_addresses);
WHOLE_LINES(struct board_ring);
WHOLE_LINES(int64_t[BOARD_CELLS]);
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "words of 64 bits need no lock between processes");

size_t board_size(void)
{
	return sizeof(struct board);
}

/* ---- attaching ---- */

/* What two binaries must agree about to share a map. */
static uint64_t fingerprint(void)
{
	const struct hash_key key = {{0x6d61696c77656972, LAYOUT_VERSION}};
	const uint64_t sizes[] = {sizeof(struct board), BOARD_ROWS, BOARD_COLUMNS, BOARD_CELLS,
		BOARD_PLACES, METRIC_COUNT, SERVER_STATES, SERVER_REASONS, sizeof(struct addr)};
	uint64_t print = hash_bytes(&key, sizes, sizeof(sizes));

	for (int i = 0; i < METRIC_COUNT; i++) {
		const struct metric_row *metric = metric_row((enum metric)i);
		struct hash_key next = {{print, (uint64_t)metric->kind << 8 | metric->type}};

		print = hash_bytes(&next, metric->id, strlen(metric->id));
	}
	return print | 1; /* never 0, which is the empty map's */
}

enum err board_attach(void *map, struct board **board_r, struct err_text *text)
{
	struct board *board = map;
	uint64_t ours = fingerprint();
	uint64_t found = atomic_load(&board->head.layout);

	if (found == 0)
		atomic_store(&board->head.layout, ours);
	else if (found != ours)
		return err_set(text, ERR_RANGE,
			"the running processes share memory in another layout than this version "
			"of mailweir: a restart is needed, a reload is not enough");
	*board_r = board;
	return ERR_OK;
}

/* ---- columns ---- */

static bool is_named(const struct board_column *column, enum board_kind kind, const char *name)
{
	return atomic_load_explicit(&column->kind, memory_order_acquire) == kind + 1 &&
	       strcmp(column->name, name) == 0;
}

int board_find(const struct board *board, enum board_kind kind, const char *name)
{
	for (int i = 0; i < board_columns(board); i++) {
		if (is_named(&board->columns[i], kind, name))
			return i;
	}
	return -1;
}

static int free_column(const struct board *board)
{
	for (int i = 0; i < board_columns(board); i++) {
		if (atomic_load(&board->columns[i].kind) == 0)
			return i;
	}
	return board_columns(board) < BOARD_COLUMNS ? board_columns(board) : -1;
}

int board_column(struct board *board, enum board_kind kind, const char *name)
{
	int found = board_find(board, kind, name);
	struct board_column *column;

	assert((unsigned)kind < BOARD_KINDS);
	assert(name[0] != '\0' && strlen(name) < BOARD_NAME);
	if (found >= 0)
		return found;
	found = free_column(board);
	if (found < 0)
		return -1;
	column = &board->columns[found];
	memcpy(column->name, name, strlen(name) + 1);
	atomic_store(&column->kind, kind + 1);
	if (found >= board_columns(board))
		atomic_store(&board->head.columns, (uint32_t)found + 1);
	return found;
}

enum board_kind board_column_kind(const struct board *board, int column)
{
	uint32_t kind;

	assert(column >= 0 && column < BOARD_COLUMNS);
	kind = atomic_load(&board->columns[column].kind);
	return kind > 0 ? (enum board_kind)(kind - 1) : BOARD_KINDS;
}

const char *board_column_name(const struct board *board, int column)
{
	assert(column >= 0 && column < BOARD_COLUMNS);
	if (column >= board_columns(board) || atomic_load(&board->columns[column].kind) == 0)
		return "";
	return board->columns[column].name;
}

int board_columns(const struct board *board)
{
	return (int)atomic_load_explicit(&board->head.columns, memory_order_acquire);
}

void board_forget(struct board *board, const bool *known)
{
	for (int i = 0; i < board_columns(board); i++) {
		struct board_column *column = &board->columns[i];
		uint32_t kind = atomic_load(&column->kind);

		if (known[i] || kind == 0)
			continue;
		atomic_store(&column->kind, 0);
		board_numbers_forget(board, i, (enum board_kind)(kind - 1));
		memset(column, 0, sizeof(*column));
		/* Only a server has addresses: the page of another kind was never touched. */
		if (kind == BOARD_SERVER + 1)
			memset(&board->addresses[i], 0, sizeof(board->addresses[i]));
	}
}

int board_process_column(const struct board *board)
{
	for (int i = 0; i < board_columns(board); i++) {
		if (atomic_load(&board->columns[i].kind) == BOARD_PROCESS + 1)
			return i;
	}
	return -1;
}
