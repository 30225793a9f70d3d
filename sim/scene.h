/*
 * What a world is made of, drawn from its seed: how many of everything, which faults how often,
 * the config.  Shrinking a failure means taking things out of its scene.
 */
#ifndef SIM_SCENE_H
#define SIM_SCENE_H

#include "base/addr.h"
#include "base/when.h"
#include "sim/fault.h"

enum { SCENE_CLIENTS = 64, SCENE_SERVERS = 6, SCENE_LISTENERS = 2 };

/* Of a message, octets: what is usually taken, and what in a world of large ones. */
#define SCENE_SIZE       (256 * 1024)
#define SCENE_LARGE_SIZE (4 * 1024 * 1024)

struct scene {
	uint64_t seed;
	unsigned shake; /* another luck for the network and the processes; 0: as drawn */
	unsigned clients, servers, workers;
	unsigned mails;        /* of each client */
	uint64_t absent;       /* bit i: client i was taken out */
	unsigned rate[FAULTS]; /* per 10,000 */
	/* The same in every edition of the config. */
	unsigned max_connections, messages_per_connection; /* of servers */
	unsigned max_recipients;                           /* of listeners */
	unsigned descriptors;                              /* that a process may have */
	unsigned max_size, replay_limit;                   /* of listeners, octets */
	unsigned spare;     /* so many of the servers, the last ones, are in a pool of their own */
	bool named_servers; /* by host name rather than address */
	bool resend_ambiguous;
	bool checks; /* health checks, of some kind */
	/* A fault from below: the `below_n`-th of its kind in the `below_worker`-th worker of the
	 * first generation, from 1; 0: in control. */
	enum scene_below { BELOW_NOTHING, BELOW_ALLOCATION, BELOW_CALL } below;
	unsigned below_worker;
	uint64_t below_n;   /* 0: none fails, they are counted */
	int64_t calm_after; /* from the beginning: no more faults */
};

/* A scene of about so many messages. */
void scene_draw(struct scene *scene_r, uint64_t seed, unsigned mails);
/* The config of its `edition`-th generation (0: the first): reloads change workers, servers,
 * weights, policies and time-outs. */
void scene_config(const struct scene *scene, unsigned edition, struct buf *into);

void scene_listener(unsigned index, struct addr *addr_r);
void scene_server(unsigned index, struct addr *addr_r);
const char *scene_server_name(unsigned index); /* "s1" */
const char *scene_host_name(unsigned index);   /* "s1.sim" */
/* What the server's EHLO offers. */
struct scene_offers {
	bool pipelining, chunking, eightbit, size;
};
struct scene_offers scene_offers(const struct scene *scene, unsigned server);

#endif
