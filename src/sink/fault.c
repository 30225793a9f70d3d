/*
 * Which fault acts when: counters and chance, no I/O.  The grammar is fault_parse.c.
 */
#include <stdlib.h>
#include <string.h>

#include "sink/fault.h"

void faults_clear(struct faults *faults)
{
	for (unsigned i = 0; i < faults->fault_count; i++) {
		free(faults->fault[i].text);
		free(faults->fault[i].match);
	}
	free(faults->fault);
	*faults = (struct faults){0};
}

static bool in_percent(uint64_t percent, struct rng *rng)
{
	return percent >= 100 || rng_below(rng, 100) < percent;
}

/* Counts the occasion, and says whether the fault acts on it. */
static bool fault_fires(struct fault *fault, struct span about, struct rng *rng)
{
	if (fault->match && (about.len == 0 || !memmem(about.at, about.len, fault->match,
						       strlen(fault->match))))
		return false;
	fault->seen++;
	if (fault->seen <= fault->after || (fault->count && fault->done >= fault->count))
		return false;
	if (fault->every && (fault->seen - fault->after) % fault->every != 0)
		return false;
	if (!in_percent(fault->percent, rng))
		return false;
	fault->done++;
	return true;
}

int64_t faults_delay(
	struct faults *faults, enum fault_phase phase, struct span about, struct rng *rng)
{
	int64_t delay = 0;
	for (unsigned i = 0; i < faults->fault_count; i++) {
		struct fault *fault = &faults->fault[i];
		if (fault->kind != FAULT_SLOW || fault->phase != phase)
			continue;
		if (faults->slow_percent && !in_percent(faults->slow_percent, rng))
			continue;
		if (fault_fires(fault, about, rng))
			delay += fault->delay / 2 +
				 (int64_t)rng_below(rng, (uint64_t)fault->delay + 1);
	}
	return delay;
}

const struct fault *faults_pick(
	struct faults *faults, enum fault_phase phase, struct span about, struct rng *rng)
{
	for (unsigned i = 0; i < faults->fault_count; i++) {
		struct fault *fault = &faults->fault[i];
		if (fault->kind != FAULT_SLOW && fault->phase == phase &&
			fault_fires(fault, about, rng))
			return fault;
	}
	return NULL;
}
