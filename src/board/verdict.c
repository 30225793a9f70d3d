/*
 * What is said about a server: control's verdict, the operator's will, the server's own offer.
 *
 * A verdict is one word, so that state, reason and weight belong together in every eye:
 *
 *     epoch 32 | weight 16, stored as its difference to 256 | reason 8 | state 8
 *
 * and a word that nobody has written yet says: up, no reason, full weight.
 */
#include "board/board.h"

#include "base/testing.h"
#include "board/layout.h"

#define FULL_WEIGHT 256

/* ---- names ---- */

const char *server_state_name(enum server_state state)
{
	static const char *const names[SERVER_STATES] = {
		[SERVER_UP] = "up",
		[SERVER_DOWN] = "down",
		[SERVER_EJECTED] = "ejected",
		[SERVER_PROBING] = "probing",
		[SERVER_UNUSABLE] = "unusable",
	};

	assert((unsigned)state < SERVER_STATES);
	return names[state];
}

const char *server_reason_name(enum server_reason reason)
{
	static const char *const names[SERVER_REASONS] = {
		[REASON_NONE] = "none",
		[REASON_CHECK_CONNECT] = "check-connect",
		[REASON_CHECK_TIMEOUT] = "check-timeout",
		[REASON_CHECK_REPLY] = "check-reply",
		[REASON_CHECK_PASSED] = "check-passed",
		[REASON_CONNECT_FAILURES] = "connect-failures",
		[REASON_TIMEOUTS] = "timeouts",
		[REASON_BROKEN] = "broken",
		[REASON_OWN_TROUBLE] = "own-trouble",
		[REASON_PROBE_PASSED] = "probe-passed",
		[REASON_PROBING] = "probing",
		[REASON_NO_ADDRESS] = "no-address",
		[REASON_ADDRESS_FOUND] = "address-found",
		[REASON_BY_HAND] = "by-hand",
		[REASON_LAST_OF_TIER] = "last-of-tier",
	};

	assert((unsigned)reason < SERVER_REASONS);
	return names[reason];
}

/* ---- the verdict ---- */

static uint64_t pack(const struct verdict *verdict)
{
	return (uint64_t)verdict->epoch << 32 | (uint64_t)(verdict->weight ^ FULL_WEIGHT) << 16 |
	       (uint64_t)verdict->reason << 8 | (uint64_t)verdict->state;
}

static struct verdict unpack(uint64_t word)
{
	return (struct verdict){
		.state = (enum server_state)(word & 0xff),
		.reason = (enum server_reason)(word >> 8 & 0xff),
		.weight = (unsigned)(word >> 16 & 0xffff) ^ FULL_WEIGHT,
		.epoch = (uint32_t)(word >> 32),
	};
}

struct verdict board_verdict(const struct board *board, int server)
{
	const struct board_column *column = board_column_at(board, server, BOARD_SERVER);

	return unpack(atomic_load_explicit(&column->verdict, memory_order_acquire));
}

void board_judge(struct board *board, int server, const struct verdict *verdict)
{
	struct board_column *column = board_own_column(board, server, BOARD_SERVER);
	struct verdict next = *verdict;

	assert((unsigned)next.state < SERVER_STATES && (unsigned)next.reason < SERVER_REASONS);
	assert(next.weight <= UINT16_MAX);
	next.epoch = board_verdict(board, server).epoch;
	if (pack(&next) == atomic_load(&column->verdict))
		return;
	next.epoch++;
	KILL_POINT("judge: not written");
	atomic_store(&column->verdict, pack(&next));
	KILL_POINT("judge: written, the probe's token left");
	/* A token that nobody took must not count in a later probing. */
	if (next.state != SERVER_PROBING)
		atomic_store(&column->probe, 0);
}

void board_grant_probe(struct board *board, int server)
{
	atomic_store(&board_own_column(board, server, BOARD_SERVER)->probe, 1);
	KILL_POINT("probe: granted");
}

bool board_take_probe(struct board *board, int server)
{
	bool taken = atomic_exchange(&board_own_column(board, server, BOARD_SERVER)->probe, 0) == 1;

	KILL_POINT("probe: looked for");
	return taken;
}

/* ---- by hand ---- */

#define DRAINED    1u
#define WEIGHT_SET 2u

struct by_hand board_by_hand(const struct board *board, int server)
{
	uint32_t word = atomic_load(&board_column_at(board, server, BOARD_SERVER)->by_hand);

	return (struct by_hand){
		.drained = (word & DRAINED) != 0,
		.weight_set = (word & WEIGHT_SET) != 0,
		.weight = (uint16_t)(word >> 16),
	};
}

bool board_out_by_hand(const struct board *board, int server)
{
	struct by_hand by_hand = board_by_hand(board, server);

	return by_hand.drained || (by_hand.weight_set && by_hand.weight == 0);
}

void board_set_by_hand(struct board *board, int server, struct by_hand by_hand)
{
	uint32_t word = (uint32_t)by_hand.weight << 16 | (by_hand.weight_set ? WEIGHT_SET : 0) |
			(by_hand.drained ? DRAINED : 0);

	atomic_store(&board_own_column(board, server, BOARD_SERVER)->by_hand, word);
}

/* ---- offers ---- */

void board_offer(struct board *board, int server, uint32_t caps, uint64_t size)
{
	struct board_column *column = board_own_column(board, server, BOARD_SERVER);

	/* The size first: who sees the first capabilities ever also sees their size. */
	atomic_store(&column->size, size);
	KILL_POINT("offer: size only");
	atomic_store(&column->caps, caps);
}

uint32_t board_offered(const struct board *board, int server, uint64_t *size_r)
{
	const struct board_column *column = board_column_at(board, server, BOARD_SERVER);
	uint32_t caps = atomic_load(&column->caps);

	if (size_r)
		*size_r = atomic_load(&column->size);
	return caps;
}
