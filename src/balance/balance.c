/*
 * The list of policies; each has a file of its own.
 */
#include "balance/balance.h"

#include "balance/policies.h"

static const struct balance_ops *const policies[] = {
	&balance_least_transactions,
	&balance_round_robin,
	&balance_by_latency,
	&balance_hash,
	&balance_random,
};
#define POLICIES ((int)(sizeof(policies) / sizeof(policies[0])))

const struct balance_ops *balance_at(int index)
{
	return index >= 0 && index < POLICIES ? policies[index] : NULL;
}

const struct balance_ops *balance_find(struct span name)
{
	for (int i = 0; i < POLICIES; i++) {
		if (span_is(name, policies[i]->name))
			return policies[i];
	}
	return NULL;
}
