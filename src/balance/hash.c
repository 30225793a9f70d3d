/*
 * hash FIELD: the same value of the field goes to the same server, on every worker and machine.
 * Weighted rendezvous hashing: each server draws a number from (its id, the key), the highest
 * wins.  When a server goes only its own keys move; when one comes it takes only its share.
 *
 * Bounded load: a server that has more than 1.25 times its share of the transactions in progress
 * is passed over, and the key's next choice serves, so one busy key can't drown a server.
 *
 *     score = weight / -ln(u), u uniform in (0, 1)
 *
 * in fixed point, since the last bit of a machine's log() must not decide where mail goes.
 */
#include <assert.h>

#include "balance/policies.h"

#define LOG_BITS   24
#define BOUND_OVER 5 /* 5/4 */
#define BOUND_PART 4

/* The finalizer of splitmix64: every bit of the input reaches every bit of the output. */
static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
	return x ^ (x >> 31);
}

/* -log2(x / 2^64) with LOG_BITS binary places; at least 1. */
static uint64_t minus_log2(uint64_t x)
{
	unsigned whole;
	uint64_t fraction = 0;

	x |= 1;
	whole = 63 - (unsigned)__builtin_clzll(x);
	x <<= 63 - whole; /* 1.xxx in 1.63 */
	for (int bit = LOG_BITS - 1; bit >= 0; bit--) {
		unsigned __int128 square = (unsigned __int128)x * x >> 63; /* 2.63: below 4 */

		if (square >> 64) {
			fraction |= (uint64_t)1 << bit;
			square >>= 1;
		}
		x = (uint64_t)square;
	}
	return (((uint64_t)64 - whole) << LOG_BITS) - fraction;
}

/* a scores higher than b: weight_a / cost_a > weight_b / cost_b; 24 + 31 bits at most. */
static bool scores_higher(uint32_t weight_a, uint64_t cost_a, uint32_t weight_b, uint64_t cost_b)
{
	return weight_a * cost_b > weight_b * cost_a;
}

static int hash_pick(struct candidate *candidate, int n, uint64_t key, uint64_t random)
{
	uint64_t weight = 0, live = 1, best_cost = 0; /* live: with this transaction */
	int best = -1;

	for (int i = 0; i < n; i++) {
		assert(candidate[i].weight < 1u << 24);
		weight += candidate[i].weight;
		live += candidate[i].live;
	}
	for (int i = 0; i < n; i++) {
		const struct candidate *one = &candidate[i];
		uint64_t bound = live * BOUND_OVER * one->weight;
		uint64_t cost;

		/* live + 1 > ceil(bound), so live >= bound: at least one server is always below. */
		if (one->live * BOUND_PART * weight >= bound)
			continue;
		cost = minus_log2(mix(one->id ^ mix(key)));
		if (best < 0 ||
			scores_higher(one->weight, cost, candidate[best].weight, best_cost)) {
			best = i;
			best_cost = cost;
		}
	}
	assert(best >= 0);
	return best;
}

const struct balance_ops balance_hash = {
	.name = "hash",
	.help = "the same value of FIELD to the same server (consistent, with bounded load)",
	.pick = hash_pick,
	.keyed = true,
};
