/*
 * Defects planted on purpose (base/testing.h), and whether the worlds catch them.
 */
#ifndef SIM_PLANTS_H
#define SIM_PLANTS_H

#include "sim/campaign.h"

bool plants_set(const char *name); /* false, and words on standard error: no such */
/* Each in turn, at most campaign->messages messages (0: 50,000) from campaign->seed on.  Prints a
 * table: by which check, after how many worlds.  Returns an exit code. */
int plants_run(const struct campaign *campaign);

#endif
