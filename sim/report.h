/*
 * What a person reads.
 */
#ifndef SIM_REPORT_H
#define SIM_REPORT_H

#include "sim/campaign.h"

void report_sums(const struct run_result *sums, uint64_t worlds);
/* The failure, the smallest world found that fails alike, its conversation, and the command that
 * repeats it. */
void report_failure(const struct campaign *campaign, uint64_t seed, const struct run_result *result,
	bool shrink);
/* Turn off all kinds of faults but those named, with commas between ("none": all off).  False, and
 * words on standard error: no such kind. */
bool report_keep_only(struct scene *scene, const char *names);

#endif
