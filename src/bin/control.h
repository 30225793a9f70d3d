/*
 * Control: the assembly of health, admin and the log's writer.  Like a worker it knows nothing of
 * signals, fork or (but for the admin sockets it passes on) descriptors.
 *
 * Of two controls, an old generation's and its successor's, only the old one writes verdicts and
 * drains the log rings, until its row is free: a cell, and the end of a ring, have one owner.
 */
#ifndef BIN_CONTROL_H
#define BIN_CONTROL_H

#include "board/board.h"
#include "conf/conf.h"
#include "sys/sys.h"

/* Everything outlives control. */
struct control_setup {
	struct sys *sys;
	struct board *board;
	int row, master_row;
	const struct conf *conf;
	const char *hostname;
	unsigned generation;
	const int *admin_listeners; /* bound descriptors */
	const bool *admin_is_unix;
	int admin_count;
};

struct control;

/* NULL and words when its log can't be opened or admin can't start. */
struct control *control_new(const struct control_setup *setup, struct err_text *text);
/* One turn.  False: it was told to leave, and the log is written out; free it. */
bool control_turn(struct control *control);
void control_leave(struct control *control);
void control_free(struct control **control);

#endif
