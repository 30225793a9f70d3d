/*
 * How long somebody has been silent, measured by the listener's own waking hours: a machine that
 * slept, a debugger or Ctrl-Z stops both sides, and then nobody may be called dead for it.
 */
#ifndef BIN_SILENCE_H
#define BIN_SILENCE_H

#include "base/when.h"

#define SILENCE_DEADLY (10 * SECOND)

/* Zero-initialised: nothing heard, nothing counted. */
struct silence {
	int64_t beat;   /* the last one heard */
	int64_t looked; /* when we looked last */
	int64_t sum;
};

/* To be called regularly with the other's heartbeat as the board shows it; returns how long it
 * hasn't changed.  A gap between two looks counts as one second at most. */
static inline int64_t silence_of(struct silence *silence, int64_t beat, int64_t now)
{
	int64_t gap = now - silence->looked;
	if (beat != silence->beat || silence->looked == 0)
		silence->sum = 0;
	else
		silence->sum += gap < SECOND ? gap : SECOND;
	silence->beat = beat;
	silence->looked = now;
	return silence->sum;
}

#endif
