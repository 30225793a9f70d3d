/*
 * The one writer of the log: drains the rings of all rows, also of dead ones, and appends to the
 * target in a job, so that a slow disk holds up nobody.
 */
#ifndef BIN_LOG_WRITER_H
#define BIN_LOG_WRITER_H

#include "bin/settings.h"
#include "board/board.h"
#include "sys/sys.h"

struct log_writer;

/* NULL and words when the target can't be opened.  Blocks: at the start only.  Its own lines go
 * through the ring of `row`. */
struct log_writer *log_writer_new(struct sys *sys, struct board *board, int row,
	const struct log_settings *settings, struct err_text *text);
/* Take what is in the rings, if nothing is being written and nothing has failed just now.  Returns
 * whether there was anything. */
bool log_writer_turn(struct log_writer *writer);
/* The next turn tries, even if writing has failed just now. */
void log_writer_hurry(struct log_writer *writer);
/* Nothing is being written now; asked together with an empty turn: all is out. */
bool log_writer_idle(const struct log_writer *writer);
/* Only when idle, or when the process ends anyway. */
void log_writer_free(struct log_writer **writer);

#endif
