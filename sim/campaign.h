/*
 * Many worlds, on several processors, until enough messages have been sent or a promise is broken.
 */
#ifndef SIM_CAMPAIGN_H
#define SIM_CAMPAIGN_H

#include "sim/run.h"

struct campaign {
	uint64_t seed;           /* of the first world; the next ones count up */
	uint64_t messages;       /* clients' messages in all */
	unsigned world_messages; /* in a world */
	unsigned jobs;           /* processes at a time */
	bool progress;           /* say how far it is, on a terminal */
	const char *plant;       /* planted; only for the command that repeats; NULL: none */
	/* What is changed in every scene; NULL: nothing. */
	void (*change)(struct scene *scene, const void *arg);
	const void *arg;
};

struct campaign_result {
	uint64_t worlds;
	struct run_result sums; /* added up; failed, check and words are the failure's */
	uint64_t failed_seed;   /* of a world that failed */
	uint64_t fingerprint;   /* of all worlds */
};

void campaign_run(const struct campaign *campaign, struct campaign_result *result_r);
/* The scene of one of its worlds. */
void campaign_scene(const struct campaign *campaign, uint64_t seed, struct scene *scene_r);

#endif
