/*
 * least-transactions, the default: the server with the least transactions in progress for its
 * weight, counted over all workers.  Short messages leave most servers tied at nothing; plain
 * turns among the tied favour whoever ties oftenest, so credit decides, which remembers all picks.
 */
#include "balance/credit.h"
#include "balance/policies.h"

/* live / weight compared without dividing: both fit 32 bits. */
static bool is_better(const struct candidate *a, const struct candidate *b)
{
	uint64_t load_a = (uint64_t)a->live * b->weight;
	uint64_t load_b = (uint64_t)b->live * a->weight;

	if (load_a != load_b)
		return load_a < load_b;
	return *a->credit > *b->credit;
}

static int least_pick(struct candidate *candidate, int n, uint64_t key, uint64_t random)
{
	int64_t total = credit_total(candidate, n);
	int best = 0;

	for (int i = 0; i < n; i++) {
		credit_gain(&candidate[i], total);
		if (i > 0 && is_better(&candidate[i], &candidate[best]))
			best = i;
	}
	credit_pay(&candidate[best], total);
	return best;
}

const struct balance_ops balance_least_transactions = {
	.name = "least-transactions",
	.help = "the server with the fewest transactions in progress for its weight, evened out "
		"over time",
	.pick = least_pick,
};
