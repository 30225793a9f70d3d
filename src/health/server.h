/*
 * Inside health: one server, and the one place where its state is decided.
 *
 *            fall failed checks                         eject-for is over
 *      UP ----------------------> DOWN        EJECTED -------------------> PROBING
 *      ^  \                        |            ^                            |   |
 *      |   '--- bad signs ---------|------------'<------ it failed ----------'   |
 *      '---------- rise checks ----'                                             |
 *      '<---------------------- one message was accepted -----------------------'
 *
 * A server whose name has no address, and never had one, is UNUSABLE until it has: then UP.
 *
 * Checkers and signs only report; this machine alone writes verdicts, so that nothing flaps.
 */
#ifndef HEALTH_SERVER_H
#define HEALTH_SERVER_H

#include "base/rng.h"
#include "health/check.h"
#include "health/health.h"
#include "health/signs.h"

struct health_server {
	struct health *health;
	int column;
	const char *pool_name, *name, *host; /* host NULL: a literal address */
	uint16_t port;
	int64_t tier;
	const struct health_check_settings *check_settings;
	const struct health_outlier_settings *outlier;
	int64_t slow_start;

	struct check *check;
	struct net_timer check_timer, name_timer;
	bool resolving;
	int64_t name_alarm;     /* not before then again */
	int64_t passed, failed; /* checks in a row */
	struct signs signs;

	int64_t ejected_until, eject_for; /* eject_for: the latest one */
	enum server_reason ejected_for;
	int64_t probe_attempts, probe_accepted, probe_bad; /* counters when the probe was granted */
	int64_t probe_granted;
	int64_t up_since; /* of the slow start; 0: full weight */
	bool warned_last;
	uint32_t caps; /* last seen by a check */
};

struct health {
	struct health_world world;
	struct rng rng;
	struct health_server *server;
	unsigned servers;
	struct net_timer tick, save;
	struct health_saving *saving; /* a job that runs */
	bool unsaved;                 /* the last one failed */
	struct buf line;
};

/* ---- verdict.c ---- */
void verdict_begin(struct health_server *server);
void verdict_checked(struct health_server *server, const struct health_finding *finding);
/* No address is known for its name; one is. */
void verdict_nameless(struct health_server *server, const char *text);
void verdict_named(struct health_server *server);
void verdict_tick(struct health_server *server); /* signs, ejections, probes, slow start */

/* ---- remember.c ---- */
void remember_end(struct health *health);
void remember_begin(struct health *health); /* after the servers are made */
/* A check has read this in EHLO: it goes to the board, and to the state directory. */
void remember_offer(struct health_server *server, uint32_t caps, uint64_t size);

/* ---- names.c ---- */
void names_begin(struct health_server *server);
void names_end(struct health_server *server);

#endif
