/*
 * latency: of two servers drawn by weight, the one that is expected to be done sooner: its average
 * time x the transactions it would then have / its weight.  Two draws instead of the best of all,
 * so that many workers with the same figures don't all run to the same server.
 *
 * The average is sensitive to peaks: one slow transaction raises it at once, quick ones lower it
 * over AVERAGE_TIME.  A server never measured is taken to be as quick as its rival.
 */
#include "balance/draw.h"
#include "balance/policies.h"
#include "base/when.h"

#define AVERAGE_TIME (10 * SECOND) /* after so long without a sample 1/e of the old remains */

static bool is_sooner(const struct candidate *a, const struct candidate *b)
{
	double cost_a = (a->live + 1.0) * b->weight;
	double cost_b = (b->live + 1.0) * a->weight;

	if (a->latency > 0 && b->latency > 0) {
		cost_a *= (double)a->latency;
		cost_b *= (double)b->latency;
	}
	return cost_a < cost_b;
}

static int latency_pick(struct candidate *candidate, int n, uint64_t key, uint64_t random)
{
	int first, second;

	if (n == 1)
		return 0;
	first = draw(candidate, n, -1, (uint32_t)random);
	second = draw(candidate, n, first, (uint32_t)(random >> 32));
	return is_sooner(&candidate[second], &candidate[first]) ? second : first;
}

int64_t balance_latency(int64_t average, int64_t sample, int64_t since_last)
{
	double age = (double)since_last / AVERAGE_TIME;
	double keep;

	if (average <= 0 || sample >= average)
		return sample;
	if (since_last <= 0)
		return average;
	/* e^-age by the reciprocal of its series: exact enough, monotonic, and the same on every
	 * machine. */
	keep = 1 / (1 + age + age * age / 2 + age * age * age / 6);
	return sample + (int64_t)((double)(average - sample) * keep);
}

const struct balance_ops balance_by_latency = {
	.name = "latency",
	.help = "of two drawn by weight, the one whose recent times and load promise to be done "
		"sooner",
	.pick = latency_pick,
};
