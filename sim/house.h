/*
 * The house: a Mailweir in a world.  Workers and control are the product's own; the master is
 * this one, which does what bin/master does without fork and signals: generations, burial,
 * replacement, the hung killed, sockets that nobody serves.
 */
#ifndef SIM_HOUSE_H
#define SIM_HOUSE_H

#include "sim/process.h"

struct house;

struct house_setup {
	struct world *world;
	struct wire_net *net;
	struct sim_files *files;
	struct sim_names *names;
};

/* The first generation starts at once. */
struct house *house_new(const struct house_setup *setup);
void house_free(struct house **house);
/* As by SIGTERM: everything drains. */
void house_stop(struct house *house);
/* The clients have gone, and no session, transaction or lent connection is left of them. */
bool house_is_at_rest(const struct house *house);
bool house_is_gone(const struct house *house); /* the last process has left */

/* The promises that can be looked at from outside, after each step: limits, verdicts, waits without
 * cause. */
void house_sweep(struct house *house);
/* When it is gone: gauges at zero, nothing left behind. */
void house_check_end(struct house *house);

struct house_sums {
	uint64_t ambiguous, unheard, accepted; /* as the product counted */
	uint64_t sessions, replays, deaths, reloads, turns;
	size_t memory_peak;                 /* of one worker */
	uint64_t waits_seen, waits_excused; /* looks at who waits for a place */
	uint64_t below;                     /* allocations or calls counted, see scene.h */
};
struct house_sums house_sums(const struct house *house);

#endif
