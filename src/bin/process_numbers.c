/*
 * A process's own numbers on the board.
 */
#include "bin/process_numbers.h"

static const char column_name[] = "process";

enum err process_columns(struct board *board, bool *known, struct err_text *text)
{
	int column = board_column(board, BOARD_PROCESS, column_name);
	if (column < 0)
		return err_set(text, ERR_FULL, "no column is left on the board");
	known[column] = true;
	return ERR_OK;
}

void process_numbers_put(struct board *board, int row, struct net_loop *loop, uint64_t *turns)
{
	int column = board_find(board, BOARD_PROCESS, column_name);
	board_add(board, row, column, M_PROCESS_loop_turns, (int64_t)*turns);
	board_set(board, row, column, M_PROCESS_memory_chunks,
		(int64_t)chunk_pool_used(net_chunks(loop)));
	board_set(board, row, column, M_PROCESS_sockets, sys_sockets(net_sys(loop)));
	*turns = 0;
}

int64_t process_numbers_log_dropped(const struct board *board)
{
	int column = board_find(board, BOARD_PROCESS, column_name);
	return column < 0 ? 0 : board_sum(board, column, M_PROCESS_log_dropped);
}
