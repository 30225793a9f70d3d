/*
 * Passive signs: how real mail fares on a server, read from the board's counters in a sliding
 * window.  Pure: the caller brings the totals and the time.
 */
#ifndef HEALTH_SIGNS_H
#define HEALTH_SIGNS_H

#include "board/board.h"

#define SIGNS_SLOTS 20 /* the window is counted in so many parts */

struct signs {
	struct {
		int64_t bad, good;
	} slot[SIGNS_SLOTS];
	unsigned current;
	int64_t slot_ends;
	int64_t bad_total, good_total; /* of the board, when last looked at */
	int64_t bad_in_a_row;          /* since the last good one */
	int64_t connect_total, timeout_total, broken_total, trouble_total;
	enum server_reason worst; /* what most of the latest failures were */
	bool fresh_bad;           /* something failed since the last look */
};

void signs_begin(struct signs *signs, const struct board *board, int server, int64_t now);
/* Read the counters and move the window on. */
void signs_look(
	struct signs *signs, const struct board *board, int server, int64_t now, int64_t window);
void signs_forget(struct signs *signs); /* a new start: what was seen no longer counts */
/* At least `failures`, and more than `over` millionths of what was tried: in the window, or all
 * of the latest in a row. */
bool signs_tripped(const struct signs *signs, int64_t failures, int64_t over);

#endif
