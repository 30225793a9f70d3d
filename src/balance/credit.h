/*
 * Credit: how a policy without memory spreads picks evenly.  At each pick every eligible server
 * gains its weight and the chosen pays the total, so the credits' sum stays the same and a server
 * that was passed over rises until it is chosen.
 *
 *     weights 1 2     credit  0  0 -> gain  1 2 -> second pays 3 ->  1 -1
 *                             1 -1 -> gain  2 1 -> first pays 3  -> -1  1
 *
 * Credit is clamped to CREDIT_TURNS rounds either way: a server that was busy for an hour must not
 * get a burst afterwards, as if it were owed all that it missed.
 */
#ifndef BALANCE_CREDIT_H
#define BALANCE_CREDIT_H

#include "balance/balance.h"

#define CREDIT_TURNS 32

static inline int64_t credit_total(const struct candidate *candidate, int n)
{
	int64_t total = 0;

	for (int i = 0; i < n; i++)
		total += candidate[i].weight;
	return total;
}

static inline void credit_gain(struct candidate *candidate, int64_t total)
{
	int64_t most = CREDIT_TURNS * total;

	*candidate->credit += candidate->weight;
	if (*candidate->credit > most)
		*candidate->credit = most;
}

static inline void credit_pay(struct candidate *candidate, int64_t total)
{
	int64_t least = -CREDIT_TURNS * total;

	*candidate->credit -= total;
	if (*candidate->credit < least)
		*candidate->credit = least;
}

#endif
