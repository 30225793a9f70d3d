/*
 * A process's own numbers on the board: turns, memory, sockets.
 */
#ifndef BIN_PROCESS_NUMBERS_H
#define BIN_PROCESS_NUMBERS_H

#include "board/board.h"
#include "net/net.h"

/* Before the master forks; known[column] is set. */
enum err process_columns(struct board *board, bool *known, struct err_text *text) MUST_USE;
/* Each tick; `turns` since the last one, which is set to 0. */
void process_numbers_put(struct board *board, int row, struct net_loop *loop, uint64_t *turns);
/* Lines that no ring had room for, over all processes. */
int64_t process_numbers_log_dropped(const struct board *board);

#endif
