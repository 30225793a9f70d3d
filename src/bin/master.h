/*
 * The master: what its files share.  It holds the board, the listening sockets and the children,
 * keeps its pid for ever, and carries no mail.
 *
 *     master.c          the loop, signals, the first start, the end
 *     master_child.c    fork, waitpid, replacement, heartbeats
 *     master_start.c    a generation: columns, sockets, children; when it becomes the current one
 *     master_reload.c   preflight, and the exec of the new binary in our place
 *     handover.c        what the image before tells the image after that exec
 *
 * A generation is one config and the processes made from it:
 *
 *     STARTING ──all ready──► CURRENT ──a newer one is──► DRAINING ──its last process left──► gone
 *         └──fails──► DRAINING (told to stop: it never accepted a client)
 *
 * There is at most one STARTING and one CURRENT.
 */
#ifndef BIN_MASTER_H
#define BIN_MASTER_H

#include <sys/queue.h>
#include <sys/types.h>

#include "bin/config.h"
#include "bin/silence.h"
#include "bin/socket_set.h"
#include "board/board.h"
#include "board/logline.h"
#include "sys/sys.h"

struct generation;

struct child {
	struct generation *generation;
	enum board_role role;
	unsigned index;     /* of the generation's workers; 0 for control */
	int row;            /* -1: given back */
	pid_t pid;          /* 0: none runs */
	int64_t since;      /* when it was forked */
	int64_t restart_at; /* none runs: when the next will */
	unsigned failures;  /* short lives in a row */
	struct silence silence;
};

enum phase { STARTING, CURRENT, DRAINING };

struct generation {
	LIST_ENTRY(generation) next;
	unsigned number;
	enum phase phase;
	int64_t since;         /* of this phase */
	struct config *config; /* NULL: a draining one, taken over from the image before */
	unsigned workers;
	int64_t drain_timeout;
	int64_t stop_at, kill_at; /* NEVER: not leaving */
	unsigned early_deaths;    /* while STARTING */
	char last_end[64];        /* of one of its processes, in words: "worker by signal 9" */
	struct child *children;   /* control first */
	unsigned child_count;
	bool known[BOARD_COLUMNS]; /* columns its processes use */
};

enum master_state { MASTER_RUNNING, MASTER_STOPPING, MASTER_GONE };

/* A reload on its way to the exec; afterwards it is a STARTING generation. */
struct reload {
	bool asked, asked_force; /* the next one */
	bool force;              /* this one */
	struct config *candidate;
	pid_t pid; /* the preflight; 0: none runs */
	int pipe;  /* its output; -1: none */
	struct buf output;
	int64_t deadline;
};

struct master {
	struct sys *sys;
	struct board *board;
	int board_fd;
	int wakes[BOARD_ROWS];
	int signal_fd;
	int row;
	struct socket_set sockets;
	LIST_HEAD(generations, generation) generations;
	unsigned last_number; /* of a generation */
	struct reload reload;
	enum master_state state;
	unsigned terms; /* SIGTERM and SIGINT so far */
	uint64_t uncovered;
	int status;         /* to exit with */
	char *config_path;  /* read again at a reload */
	char *binary;       /* absolute; what a reload runs */
	char **argv;        /* and with which arguments */
	char hostname[256]; /* the machine's */
	struct buf line;    /* of the log */
};

#define FOREACH_CHILD(child, generation)                                                           \
	for (struct child *child = (generation)->children;                                         \
		child < (generation)->children + (generation)->child_count; child++)

/* ---- master.c ---- */
struct generation *master_generation(struct master *master, enum phase phase); /* NULL: none */
void master_wake_all(struct master *master);
/* A line about the process itself, into the master's ring. */
void master_log_reload(struct master *master, const char *state, const char *text);
const char *master_hostname(const struct master *master, const struct conf *conf);

/* ---- master_child.c ---- */
void child_init(struct child *child, struct generation *generation, enum board_role role,
	unsigned index, int row);
/* In the new process this does not return. */
void child_fork(struct master *master, struct child *child);
void child_reap(struct master *master);  /* all that have died */
void child_watch(struct master *master); /* kills the hung, replaces the dead */
bool child_any(const struct generation *generation, bool workers_only);
void child_order(struct master *master, struct generation *generation, enum board_role role,
	enum board_order order);

/* ---- master_start.c ---- */
/* Begin a generation of this config, which is taken over (also on failure). */
enum err generation_start(struct master *master, struct config *config, struct err_text *text);
/* Look after all generations: readiness, deadlines, those that are gone. */
void generation_turn(struct master *master);
void generation_drain(struct master *master, struct generation *generation, int64_t stop_after);
void generation_free(struct generation **generation);

/* ---- master_reload.c ---- */
void reload_ask(struct master *master, bool force);
void reload_turn(struct master *master);
/* The STARTING generation became the current one, or failed with these words. */
void reload_ended(struct master *master, unsigned number, bool good, const char *text);
/* If `pid` was the preflight, take its result; may exec, and then doesn't return. */
void reload_reaped(struct master *master, pid_t pid, int status);
void reload_clear(struct master *master);

/* ---- process.c ---- */
/* Be the child: does not return. */
_Noreturn void process_run(struct master *master, struct child *child);

#endif
