/*
 * A weighted draw, for the policies that leave something to chance.
 */
#ifndef BALANCE_DRAW_H
#define BALANCE_DRAW_H

#include "balance/balance.h"

/* Index of a candidate, drawn by weight; `skip` (or -1) is never drawn, and is not the only one. */
static inline int draw(const struct candidate *candidate, int n, int skip, uint32_t random)
{
	uint64_t total = 0, at;
	int last = -1;

	for (int i = 0; i < n; i++)
		total += i == skip ? 0 : candidate[i].weight;
	at = random * total >> 32;
	for (int i = 0; i < n; i++) {
		if (i == skip)
			continue;
		last = i;
		if (at < candidate[i].weight)
			return i;
		at -= candidate[i].weight;
	}
	return last;
}

#endif
