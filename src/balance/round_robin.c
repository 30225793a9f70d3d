/*
 * round-robin, smooth and weighted: weights 3 and 1 give a a b a, not a a a b.
 */
#include "balance/credit.h"
#include "balance/policies.h"

static int round_robin_pick(struct candidate *candidate, int n, uint64_t key, uint64_t random)
{
	int64_t total = credit_total(candidate, n);
	int best = 0;

	for (int i = 0; i < n; i++) {
		credit_gain(&candidate[i], total);
		if (i > 0 && *candidate[i].credit > *candidate[best].credit)
			best = i;
	}
	credit_pay(&candidate[best], total);
	return best;
}

const struct balance_ops balance_round_robin = {
	.name = "round-robin",
	.help = "in turn, by weight, whatever the servers' load",
	.pick = round_robin_pick,
};
