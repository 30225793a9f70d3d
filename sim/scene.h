/*
 * What a world is made of, drawn from its seed: how many of everything, which faults how often,
 * the config.  Shrinking a failure means taking things out of its scene.
 */
#ifndef SIM_SCENE_H
#define SIM_SCENE_H

#include "base/bytes.h"
#include "sim/fault.h"

enum { SCENE_CLIENTS = 64, SCENE_SERVERS = 8 };

struct scene {
	uint64_t seed;
	unsigned clients, servers, workers;
	unsigned mails;           /* of each client */
	uint64_t absent_clients;  /* bit i: client i was taken out */
	unsigned rate[FAULTS];    /* per 10,000 */
	unsigned max_connections; /* per server */
	bool named_servers;       /* by host name rather than address */
	bool resend_ambiguous;
	int64_t calm_after; /* microseconds from the beginning: no more faults */
	bool no_faults_at_all;
};

/* A scene of about so many messages. */
void scene_draw(struct scene *scene_r, uint64_t seed, unsigned mails);
/* The config of its `edition`-th generation (0: the first); reloads change weights, limits,
 * workers, policies. */
void scene_config(const struct scene *scene, unsigned edition, struct buf *into);

#endif
