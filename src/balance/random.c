/*
 * random: a draw by weight.  For comparison, and for very many workers of very many servers.
 */
#include "balance/draw.h"
#include "balance/policies.h"

static int random_pick(struct candidate *candidate, int n, uint64_t key, uint64_t random)
{
	return draw(candidate, n, -1, (uint32_t)random);
}

const struct balance_ops balance_random = {
	.name = "random",
	.help = "a draw by weight",
	.pick = random_pick,
};
