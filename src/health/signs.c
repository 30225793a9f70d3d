/*
 * Signs from the board.  A server that answers 451 to every RCPT has a green check and a growing
 * count of own_trouble; one that was stopped has time-outs; one that died has failed connects.
 */
#include "health/signs.h"

static int64_t sum(const struct board *board, int server, enum metric metric)
{
	return board_sum(board, server, metric);
}

static int64_t good(const struct board *board, int server)
{
	return sum(board, server, M_SERVER_accepted) + sum(board, server, M_SERVER_passed_4yz) +
	       sum(board, server, M_SERVER_passed_5yz);
}

/* Read one kind of failure; the one that grew most since the last look names the reason. */
static int64_t grew(
	int64_t *total, int64_t now, int64_t *most, enum server_reason reason, struct signs *signs)
{
	int64_t by = now - *total;
	*total = now;
	if (by > *most) {
		*most = by;
		signs->worst = reason;
	}
	return by;
}

static int64_t read_bad(struct signs *signs, const struct board *board, int server)
{
	int64_t most = 0, bad = 0;
	bad += grew(&signs->connect_total,
		sum(board, server, M_SERVER_connects_failed) +
			sum(board, server, M_SERVER_greetings_failed),
		&most, REASON_CONNECT_FAILURES, signs);
	bad += grew(&signs->timeout_total, sum(board, server, M_SERVER_timeouts), &most,
		REASON_TIMEOUTS, signs);
	bad += grew(&signs->broken_total,
		sum(board, server, M_SERVER_broken) + sum(board, server, M_SERVER_poisoned), &most,
		REASON_BROKEN, signs);
	bad += grew(&signs->trouble_total,
		sum(board, server, M_SERVER_own_trouble) + sum(board, server, M_SERVER_our_conduct),
		&most, REASON_OWN_TROUBLE, signs);
	return bad;
}

void signs_begin(struct signs *signs, const struct board *board, int server, int64_t now)
{
	*signs = (struct signs){.slot_ends = now};
	read_bad(signs, board, server);
	signs->good_total = good(board, server);
	signs->worst = REASON_NONE;
}

void signs_forget(struct signs *signs)
{
	for (unsigned i = 0; i < SIGNS_SLOTS; i++)
		signs->slot[i].bad = signs->slot[i].good = 0;
	signs->bad_in_a_row = 0;
	signs->fresh_bad = false;
}

void signs_look(
	struct signs *signs, const struct board *board, int server, int64_t now, int64_t window)
{
	for (unsigned moved = 0; now >= signs->slot_ends && moved < SIGNS_SLOTS; moved++) {
		signs->current = (signs->current + 1) % SIGNS_SLOTS;
		signs->slot[signs->current].bad = signs->slot[signs->current].good = 0;
		signs->slot_ends += window / SIGNS_SLOTS;
	}
	if (now >= signs->slot_ends)
		signs->slot_ends = now + window / SIGNS_SLOTS;

	int64_t good_now = good(board, server);
	int64_t good_by = good_now - signs->good_total;
	int64_t bad_by = read_bad(signs, board, server);
	signs->good_total = good_now;
	signs->slot[signs->current].good += good_by;
	signs->slot[signs->current].bad += bad_by;
	/* Within one look the order is unknown: a good one among them breaks the row. */
	signs->bad_in_a_row = good_by > 0 ? 0 : signs->bad_in_a_row + bad_by;
	signs->fresh_bad = bad_by > 0;
}

bool signs_tripped(const struct signs *signs, int64_t failures, int64_t over)
{
	int64_t bad = 0, tried = 0;
	for (unsigned i = 0; i < SIGNS_SLOTS; i++) {
		bad += signs->slot[i].bad;
		tried += signs->slot[i].bad + signs->slot[i].good;
	}
	if (signs->bad_in_a_row >= failures)
		return true;
	return bad >= failures && bad * 1000000 > tried * over;
}
