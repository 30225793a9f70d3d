/*
 * The world: a heap of things to come, one seed, and the first broken promise.
 */
#include "sim/world.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/process.h"
#include "sim/scene.h"

void world_init(struct world *world, const struct scene *scene, struct trace *trace)
{
	*world = (struct world){
		.now = WORLD_EPOCH,
		.seed = scene->seed,
		.scene = scene,
		.trace = trace,
		.memory = sim_heap_current(),
	};
	world_luck(world, &world->rng, "world", 0);
}

void world_clear(struct world *world)
{
	free(world->heap);
	world->heap = NULL;
	world->timers = world->room = 0;
}

/* ---- what is to come: a binary heap by moment, then by lot ---- */

static bool sooner(const struct world_timer *a, const struct world_timer *b)
{
	return a->due != b->due ? a->due < b->due : a->order < b->order;
}

static void put(struct world *world, size_t slot, struct world_timer *timer)
{
	world->heap[slot - 1] = timer;
	timer->slot = slot;
}

static void sift_up(struct world *world, struct world_timer *timer)
{
	size_t slot = timer->slot;
	while (slot > 1 && sooner(timer, world->heap[slot / 2 - 1])) {
		put(world, slot, world->heap[slot / 2 - 1]);
		slot /= 2;
	}
	put(world, slot, timer);
}

static void sift_down(struct world *world, struct world_timer *timer)
{
	size_t slot = timer->slot;
	for (;;) {
		size_t child = slot * 2;
		if (child > world->timers)
			break;
		if (child < world->timers && sooner(world->heap[child], world->heap[child - 1]))
			child++;
		if (!sooner(world->heap[child - 1], timer))
			break;
		put(world, slot, world->heap[child - 1]);
		slot = child;
	}
	put(world, slot, timer);
}

static void grow(struct world *world)
{
	struct sim_heap *outside = sim_heap_current();
	sim_heap_enter(world->memory);
	world->room = world->room ? world->room * 2 : 256;
	world->heap = mem_grow(world->heap, world->room, sizeof(*world->heap));
	sim_heap_enter(outside);
}

void world_set(struct world *world, struct world_timer *timer, int64_t due, world_fn *fn, void *arg)
{
	timer->due = due > world->now ? due : world->now;
	timer->order = rng_next(&world->rng);
	timer->fn = fn;
	timer->arg = arg;
	if (timer->slot == 0) {
		if (world->timers == world->room)
			grow(world);
		put(world, ++world->timers, timer);
	}
	sift_up(world, timer);
	sift_down(world, timer);
}

void world_unset(struct world *world, struct world_timer *timer)
{
	if (timer->slot == 0)
		return;
	struct world_timer *last = world->heap[world->timers - 1];
	size_t slot = timer->slot;
	world->timers--;
	timer->slot = 0;
	if (last == timer)
		return;
	put(world, slot, last);
	sift_up(world, last);
	sift_down(world, last);
}

bool world_step(struct world *world)
{
	if (world->timers == 0)
		return false;
	struct world_timer *timer = world->heap[0];
	assert(timer->due >= world->now);
	world_unset(world, timer);
	world->now = timer->due;
	world->steps++;
	timer->fn(timer->arg);
	return true;
}

/* ---- chance ---- */

void world_rng(const struct world *world, struct rng *rng_r, const char *kind, uint64_t number)
{
	const struct hash_key key = {{world->seed, number}};
	rng_seed(rng_r, hash_bytes(&key, kind, strlen(kind)));
}

void world_luck(const struct world *world, struct rng *rng_r, const char *kind, uint64_t number)
{
	const struct hash_key key = {{world->seed ^ (uint64_t)world->scene->shake << 48, number}};
	rng_seed(rng_r, hash_bytes(&key, kind, strlen(kind)));
}

int64_t rng_between(struct rng *rng, int64_t low, int64_t high)
{
	assert(high >= low);
	return low + (int64_t)rng_below(rng, (uint64_t)(high - low) + 1);
}

int64_t rng_skewed(struct rng *rng, int64_t low, int64_t high)
{
	/* A random number of doublings, then evenly within the last one. */
	unsigned doublings = 0;
	while (low << doublings < high && doublings < 40)
		doublings++;
	int64_t top = low << rng_below(rng, doublings + 1);
	return rng_between(rng, low, top < high ? top : high);
}

bool rng_one_in(struct rng *rng, uint64_t n)
{
	return rng_below(rng, n) == 0;
}

bool world_is_calm(const struct world *world)
{
	return world->now >= WORLD_EPOCH + world->scene->calm_after;
}

bool world_fault(struct world *world, struct rng *rng, enum sim_fault fault)
{
	/* Drawn whatever the rate is, so that turning one kind off changes the others little. */
	bool drawn = rng_below(rng, 10000) < world->scene->rate[fault];
	if (!drawn || world_is_calm(world))
		return false;
	world->faults[fault]++;
	return true;
}

/* ---- broken promises ---- */

void world_fail(struct world *world, const char *check, const char *format, ...)
{
	va_list args;
	if (world->failed)
		return;
	world->failed = true;
	snprintf(world->check, sizeof(world->check), "%s", check);
	va_start(args, format);
	vsnprintf(world->words, sizeof(world->words), format, args);
	va_end(args);
}

/* ---- faults by name ---- */

static const struct {
	const char *name, *text;
} fault_words[FAULTS] = {
#define X(name, text) {#name, text},
	SIM_FAULTS(X)
#undef X
};

const char *fault_name(enum sim_fault fault)
{
	return fault_words[fault].name;
}

const char *fault_text(enum sim_fault fault)
{
	return fault_words[fault].text;
}

enum sim_fault fault_by_name(const char *name)
{
	int fault = 0;
	while (fault < FAULTS && strcmp(fault_words[fault].name, name) != 0)
		fault++;
	return (enum sim_fault)fault;
}
