/*
 * Faults from below: in each of twenty dialogues, every allocation and every call into sys, of a
 * worker and of control, fails once, each in a world of its own.
 */
#ifndef SIM_BELOW_H
#define SIM_BELOW_H

#include <stdint.h>

/* `stride`: only every so many-th of them (1: all).  Prints a table; returns an exit code. */
int below_run(uint64_t seed, unsigned stride, unsigned jobs);

#endif
