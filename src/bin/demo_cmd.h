/*
 * `mailweir demo`: the balancer, three sinks and a sample load, needing no config and no other
 * program.
 *
 *     demo (load, display) --> master + workers --> sink1 sink2 sink3
 *       |  \__ forks and ends them all ___/            |
 *       `------ reads ledgers and totals --------------'
 *
 *     demo_cmd.c    options, and the course of a run
 *     demo_parts.c  the processes
 *     demo_proof.c  what the ledgers prove
 *     demo_show.c   what is printed
 */
#ifndef BIN_DEMO_CMD_H
#define BIN_DEMO_CMD_H

#include <sys/types.h>

#include "sink/load.h"
#include "sink/sink.h"

/* argv[0] is the command's name.  Returns an exit status (sysexits.h); 1: the run has failed. */
int demo_command(int argc, char **argv);

#define DEMO_SINKS 3
#define DEMO_RUN   "demo" /* first part of the messages' ids */

struct demo_wishes {
	uint64_t messages; /* 0: until told to end */
	bool kill_one;
	uint16_t port, admin_port;
	int64_t run_for;   /* NEVER: no limit */
	unsigned sessions; /* of the load, in parallel */
	unsigned rate;     /* without `messages` */
	size_t size;
	const char *log; /* of the balancer */
};

/* ---- processes: demo_parts.c ---- */

struct demo_sink {
	char name[16];
	uint16_t port;
	pid_t pid;                  /* 0: not running */
	bool killed;                /* by us, on purpose */
	int ledger;                 /* memfd; -1: none */
	struct sink_totals *totals; /* in memory shared with it */
};

struct demo_parts {
	struct demo_sink sinks[DEMO_SINKS];
	pid_t balancer; /* 0: not running */
	int config;     /* memfd; -1: none */
	struct sink_totals *totals;
};

/* All or nothing; says why on stderr and returns a status.  To be called before this process has
 * a loop, with the signals it wants blocked: children get the mask `inherited`. */
int demo_parts_start(
	struct demo_parts *parts, const struct demo_wishes *wishes, const sigset_t *inherited);
/* SIGKILL for one sink. */
void demo_parts_kill_one(struct demo_parts *parts);
/* After SIGCHLD.  False, and words, if somebody has ended whom we didn't end. */
bool demo_parts_reap(struct demo_parts *parts, struct err_text *text);
bool demo_parts_any(const struct demo_parts *parts);
/* Ask all that still run to end; `force`: kill them and theirs. */
void demo_parts_end(struct demo_parts *parts, bool force);
void demo_parts_clear(struct demo_parts *parts);

/* ---- proof: demo_proof.c ---- */

struct demo_proof {
	uint64_t sent;
	uint64_t accepted; /* the client heard 250 */
	uint64_t lost;     /* of those: in no ledger */
	uint64_t doubled;  /* more than once in the ledgers */
	uint64_t excused;  /* of those: a try had no definite reply */
	uint64_t per_sink[DEMO_SINKS];
};

struct demo_notes; /* what the client heard of each message */
struct demo_notes *demo_notes_new(uint64_t messages);
void demo_notes_free(struct demo_notes **notes);
void demo_notes_take(struct demo_notes *notes, const struct load_message *message);
enum err demo_prove(const struct demo_notes *notes, const struct demo_parts *parts,
	struct demo_proof *proof_r, struct err_text *text) MUST_USE;

/* ---- display: demo_show.c ---- */

struct demo_show {
	bool terminal;
	unsigned drawn; /* lines that the next drawing replaces */
};
void demo_show_begin(
	struct demo_show *show, const struct demo_wishes *wishes, const struct demo_parts *parts);
/* Called about ten times a second on a terminal, else every few seconds. */
void demo_show_progress(struct demo_show *show, const struct demo_wishes *wishes,
	const struct demo_parts *parts, const struct load_totals *load);
/* Returns the exit status. */
int demo_show_proof(
	struct demo_show *show, const struct demo_proof *proof, const struct demo_parts *parts);

#endif
