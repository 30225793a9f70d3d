/*
 * A simulated world: virtual time, chance from one seed, things that happen at their moments, and
 * the first promise that was seen broken.
 *
 * Everything in a world runs in one thread: clients and servers as callbacks, the product's
 * processes turn by turn.  The same scene gives the same world on any machine: nothing here may
 * depend on addresses of memory, on real time, or on anything outside.
 */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include "base/rng.h"
#include "base/when.h"
#include "sim/fault.h"

struct scene;
struct trace;
struct world;

typedef void world_fn(void *arg);

/* Something that happens once, at its moment.  Embedded in its owner; zeroed is "not set". */
struct world_timer {
	int64_t due;
	uint64_t order; /* among those of the same moment: random */
	size_t slot;    /* place in the heap, from 1; 0: not set */
	world_fn *fn;
	void *arg;
};

struct world {
	int64_t now; /* monotonic microseconds */
	uint64_t seed;
	struct rng rng; /* of the order of things; actors, lanes and processes have their own */
	const struct scene *scene;
	uint64_t steps; /* things that happened */
	uint64_t faults[FAULTS];
	struct trace *trace; /* NULL: nothing is recorded */
	bool failed;
	char check[40];          /* which invariant: "doubled", "not-committed" */
	char words[400];         /* what was seen */
	struct sim_heap *memory; /* in which the world itself lives, whoever acts in it */
	struct world_timer **heap;
	size_t timers, room;
};

#define WORLD_EPOCH (1000 * SECOND) /* `now` at the beginning */

void world_init(struct world *world, const struct scene *scene, struct trace *trace);
void world_clear(struct world *world);

/* fn(arg) once at `due` (now, if that is past).  Set again: moved. */
void world_set(
	struct world *world, struct world_timer *timer, int64_t due, world_fn *fn, void *arg);
void world_unset(struct world *world, struct world_timer *timer);
/* Let the next thing happen.  False: nothing is to come. */
bool world_step(struct world *world);

/* A rng for an actor, from the seed and who it is: the same whoever else is there. */
void world_rng(const struct world *world, struct rng *rng_r, const char *kind, uint64_t number);
/* The same for what is between actors, lanes and processes: it changes with the scene's shake. */
void world_luck(const struct world *world, struct rng *rng_r, const char *kind, uint64_t number);
/* Whether a fault of this kind happens now (by the scene's rate; always false in the calm at the
 * end unless the scene has none); counted when it does. */
bool world_fault(struct world *world, struct rng *rng, enum sim_fault fault);
/* The faults are over: whoever waits for calm may expect an honest world. */
bool world_is_calm(const struct world *world);

/* The invariant `check` does not hold.  Only the first one counts; the world then stops at the
 * end of the step, so the caller goes on as well as it can. */
void world_fail(struct world *world, const char *check, const char *format, ...) PRINTF_LIKE(3, 4);

/* Between low and high, both included. */
int64_t rng_between(struct rng *rng, int64_t low, int64_t high);
/* Mostly near `low`, seldom near `high` (low > 0). */
int64_t rng_skewed(struct rng *rng, int64_t low, int64_t high);
bool rng_one_in(struct rng *rng, uint64_t n);

#endif
