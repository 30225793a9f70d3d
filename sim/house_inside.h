/*
 * What the files of the house share.
 */
#ifndef SIM_HOUSE_INSIDE_H
#define SIM_HOUSE_INSIDE_H

#include <setjmp.h>

#include "bin/config.h"
#include "bin/control.h"
#include "bin/silence.h"
#include "bin/worker.h"
#include "sim/house.h"
#include "sim/scene.h"

enum { HOUSE_LANES = 4, HOUSE_SOCKETS = SCENE_LISTENERS * HOUSE_LANES, HOUSE_GENERATIONS = 16 };

struct house;
struct house_generation;

struct house_child {
	struct house *house;
	struct house_generation *generation;
	enum board_role role;
	unsigned index;
	int row; /* -1: given back */

	struct sys *sys; /* NULL: none runs */
	struct sim_heap *heap;
	struct worker *worker;
	struct control *control;
	struct world_timer run, burial, restart;
	bool leaves;           /* its burial is that of an orderly end */
	int64_t since;         /* it was started */
	int64_t stopped_until; /* stands still */
	unsigned kill_in;      /* so many kill points from now it dies; 0: it doesn't */
	unsigned failures;
	struct silence silence;
	size_t at_rest; /* octets that it holds when it begins */
	unsigned sockets_most;
};

struct house_verdict {
	enum server_state state;
	int64_t transitions;
};

/* A pool's oldest waiter. */
struct house_wait {
	uint64_t ticket;      /* 0: nobody waits */
	int64_t since;        /* nothing is in its way; 0: something is */
	bool by_place;        /* what was in its way was that places were taken */
	uint64_t state;       /* of its servers, but for their places: any change makes another */
	uint64_t late_ticket; /* was late already */
};

enum house_phase { HOUSE_STARTING, HOUSE_CURRENT, HOUSE_DRAINING };

struct house_generation {
	unsigned number, workers;
	enum house_phase phase;
	struct config *config;
	int64_t since, drain_timeout, stop_at, kill_at;
	struct house_child child[HOUSE_LANES + 1]; /* control first */
	unsigned children;
	bool known[BOARD_COLUMNS];
};

struct house {
	struct world *world;
	struct sim_box box;
	struct board *board;
	int row;         /* the master's */
	struct rng rng;  /* of mishaps */
	struct rng pace; /* of turns */
	struct house_generation *generation[HOUSE_GENERATIONS];
	unsigned generations, last_number, edition;
	struct worker_socket socket[HOUSE_SOCKETS];
	struct wire_listener *listener[HOUSE_SOCKETS];
	unsigned sockets;
	uint64_t uncovered;
	bool stopping;
	struct world_timer tick, mishap;
	struct house_child *running; /* whose turn it is */
	jmp_buf death;               /* where a process that dies in its turn goes */
	uint64_t deaths, reloads, turns;
	size_t memory_peak;
	struct house_child *below; /* where a fault from below is due, or calls are counted */
	bool below_done;
	uint64_t below_count;
	struct house_wait wait[BOARD_COLUMNS];
	unsigned late_waits;                         /* until the tick */
	uint64_t waits_seen, waits_excused;          /* looks at the queues */
	struct house_verdict verdict[BOARD_COLUMNS]; /* as seen last */
};

#define HOUSE_EACH_GENERATION(g, house)                                                            \
	for (unsigned g##_i = 0; g##_i < (house)->generations; g##_i++)                            \
		for (struct house_generation *g = (house)->generation[g##_i]; g; g = NULL)

/* ---- house_child.c ---- */
void house_child_start(struct house_child *child);
void house_child_kill(struct house_child *child, const char *where);
void house_child_clear(struct house_child *child);
bool house_any(const struct house_generation *generation, bool workers_only);
void house_wake_all(struct house *house);
void house_order(struct house_generation *generation, enum board_role role, enum board_order order);

/* ---- house_sweep.c ---- */
/* After each turn. */
void house_check_memory(struct house_child *child);

/* ---- house_truth.c ---- */
void house_check_verdicts(struct house *house);
void house_check_log(struct house *house);

/* ---- house_mishap.c ---- */
void house_mishaps_begin(struct house *house);

/* ---- house.c ---- */
void house_reload(struct house *house);

#endif
