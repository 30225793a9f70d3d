/*
 * One world from its beginning to its end.
 */
#ifndef SIM_RUN_H
#define SIM_RUN_H

#include "sim/ledger.h"
#include "sim/scene.h"
#include "sim/trace.h"

struct run_result {
	bool failed, crashed;
	char check[40];
	char words[400];
	char state[600]; /* who still waits for what, when it never ended */
	uint64_t steps, turns, deaths, reloads;
	uint64_t client_sessions, server_sessions, server_commands;
	uint64_t ambiguous, unheard, accepted, replays; /* as the product counted */
	uint64_t waits_seen, waits_excused;             /* looks at who waits for a place */
	uint64_t below; /* allocations or calls, if the scene counts them */
	struct ledger_sums ledger;
	uint64_t faults[FAULTS];
	int64_t simulated; /* microseconds */
	size_t memory_peak;
	uint64_t fingerprint; /* of all that happened: the same scene gives the same */
};

void run_world(const struct scene *scene, struct trace *trace, struct run_result *result_r);
/* The same in a process of its own: a crash is a result too.  `loud`: what it says on stderr is
 * to be read. */
void run_world_apart(const struct scene *scene, bool loud, struct run_result *result_r);
/* A world's process has ended by itself, or at the alarm after so many seconds: that is the
 * machine's doing rather than a defect's, and has a check of its own. */
#define RUN_TOO_SLOW "too-slow"
void run_note_crash(struct run_result *result, int status, unsigned seconds);

/* Take out of the scene what its failure doesn't need; runs at most `runs` worlds.  The scene
 * then still fails by the same check. */
void run_shrink(struct scene *scene, const char *check, unsigned runs);

#endif
