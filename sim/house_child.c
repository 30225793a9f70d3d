/*
 * The life of one process of the house: started, given turns when it has something to do, killed
 * anywhere, buried by the master a little later, replaced.
 *
 * The surprise: a kill inside a turn is a longjmp out of the product's code.  What it held is
 * given back by its heap and by the wire, as the kernel would; the board stays as it was at that
 * instruction.
 */
#include <assert.h>
#include <stdlib.h>

#include "base/testing.h"
#include "sim/house_inside.h"
#include "sim/trace.h"

#define LIFE_LONG    (10 * SECOND) /* as in bin/master_child.c */
#define BACK_OFF     (100 * MSEC)
#define BACK_OFF_MAX (5 * SECOND)
#define BURIED_AFTER (3 * MSEC)

static const char *role_name(const struct house_child *child)
{
	return child->role == ROW_CONTROL ? "control" : "worker";
}

static void note(const struct house_child *child, const char *what, const char *where)
{
	struct world *world = child->house->world;
	trace_note(world->trace, world->now, "mailweir", "%s %u of generation %u (row %d) %s%s%s",
		role_name(child), child->index, child->generation->number, child->row, what,
		*where ? " at " : "", where);
}

void house_wake_all(struct house *house)
{
	for (int row = 0; row < BOARD_ROWS; row++) {
		if (house->box.rows[row])
			sys_wake(house->box.rows[row], row);
	}
}

/* ---- dying ---- */

static void back_off(struct house_child *child)
{
	struct world *world = child->house->world;
	int64_t delay = 0;
	if (world->now - child->since >= LIFE_LONG)
		child->failures = 0;
	if (child->failures > 0)
		delay = child->failures > 6 ? BACK_OFF_MAX : BACK_OFF << (child->failures - 1);
	child->failures++;
	world_set(world, &child->restart, world->now + delay, (world_fn *)house_child_start, child);
}

static bool is_replaced(const struct house_child *child)
{
	const struct house_generation *generation = child->generation;
	return generation->stop_at == NEVER ||
	       (child->role == ROW_CONTROL && child->house->stopping &&
		       house_any(generation, true) &&
		       child->house->world->now < generation->stop_at);
}

static void bury(void *arg)
{
	struct house_child *child = arg;
	struct house *house = child->house;
	board_bury(house->board, child->row, !child->leaves);
	if (is_replaced(child)) {
		back_off(child);
	} else {
		board_row_free(house->board, child->row);
		child->row = -1;
	}
	house_wake_all(house);
	world_set(house->world, &house->tick, house->world->now, house->tick.fn, house);
}

/* ---- faults from below: in the first process of the role, and only once ---- */

static void below_begin(struct house_child *child)
{
	struct house *house = child->house;
	const struct scene *scene = house->world->scene;
	unsigned who = child->role == ROW_CONTROL ? 0 : child->index + 1;
	if (scene->below == BELOW_NOTHING || house->below_done || who != scene->below_worker)
		return;
	house->below = child;
	house->below_done = true;
	if (scene->below == BELOW_ALLOCATION)
		sim_heap_fail(child->heap, scene->below_n);
	else
		sim_sys_fail_call(child->sys, scene->below_n);
}

static void below_end(struct house_child *child)
{
	struct house *house = child->house;
	if (house->below != child)
		return;
	house->below = NULL;
	house->below_count = house->world->scene->below == BELOW_ALLOCATION
				     ? sim_heap_calls(child->heap)
				     : sim_sys_calls(child->sys);
}

static void end(struct house_child *child, bool leaves)
{
	struct house *house = child->house;
	struct world *world = house->world;
	size_t peak = sim_heap_peak(child->heap);
	if (peak > house->memory_peak)
		house->memory_peak = peak;
	sim_heap_free(&child->heap);
	child->sys = NULL;
	child->worker = NULL;
	child->control = NULL;
	child->leaves = leaves;
	world_unset(world, &child->run);
	world_set(world, &child->burial, world->now + rng_between(&house->rng, 0, BURIED_AFTER),
		bury, child);
}

void house_child_kill(struct house_child *child, const char *where)
{
	if (!child->sys)
		return;
	note(child, "dies", where);
	child->house->deaths++;
	below_end(child);
	sim_sys_kill(&child->sys);
	end(child, false);
}

void house_child_clear(struct house_child *child)
{
	struct world *world = child->house->world;
	if (child->sys) {
		sim_sys_kill(&child->sys);
		sim_heap_free(&child->heap);
	}
	world_unset(world, &child->run);
	world_unset(world, &child->burial);
	world_unset(world, &child->restart);
}

/* ---- a turn, and what may happen in it ---- */

enum turn { TURN_ON, TURN_LEAVES, TURN_DIED };

/* Run `step` as the process; a death in it ends here. */
static enum turn guarded(struct house_child *child, bool (*step)(struct house_child *))
{
	struct house *house = child->house;
	struct sim_heap *outside = sim_heap_current();
	volatile enum turn turn = TURN_DIED;
	assert(!house->running);
	house->running = child;
	sim_heap_enter(child->heap);
	if (setjmp(house->death) == 0)
		turn = step(child) ? TURN_ON : TURN_LEAVES;
	sim_heap_enter(outside);
	house->running = NULL;
	house->turns++;
	return turn;
}

static bool leave(struct house_child *child)
{
	if (child->worker)
		worker_free(&child->worker);
	if (child->control)
		control_free(&child->control);
	return true;
}

static void left(struct house_child *child)
{
	struct world *world = child->house->world;
	note(child, "leaves", "");
	below_end(child);
	sim_sys_free(&child->sys);
	if (sim_heap_blocks(child->heap) > 0)
		world_fail(world, "left-behind",
			"%s %u of generation %u left %zu blocks (%zu octets)", role_name(child),
			child->index, child->generation->number, sim_heap_blocks(child->heap),
			sim_heap_bytes(child->heap));
	end(child, true);
}

static bool turn_once(struct house_child *child)
{
	return child->worker ? worker_turn(child->worker) : control_turn(child->control);
}

static void turn(void *arg);

static void schedule(struct house_child *child)
{
	struct house *house = child->house;
	struct world *world = house->world;
	int64_t at = sim_sys_due(child->sys);
	if (sim_sys_runnable(child->sys))
		at = world->now + rng_between(&house->pace, 0, 30 * USEC);
	if (at < child->stopped_until)
		at = child->stopped_until;
	if (at == NEVER)
		world_unset(world, &child->run);
	else
		world_set(world, &child->run, at, turn, child);
}

static void runnable(void *arg)
{
	struct house_child *child = arg;
	if (child->sys && child != child->house->running)
		schedule(child);
}

static void after(struct house_child *child, enum turn result)
{
	if (result == TURN_LEAVES)
		result = guarded(child, leave) == TURN_DIED ? TURN_DIED : TURN_LEAVES;
	switch (result) {
	case TURN_ON:
		house_check_memory(child);
		schedule(child);
		break;
	case TURN_LEAVES:
		left(child);
		break;
	case TURN_DIED:
		house_child_kill(child, "in its turn");
		break;
	}
}

static void turn(void *arg)
{
	struct house_child *child = arg;
	struct world *world = child->house->world;
	if (world->now < child->stopped_until) {
		schedule(child);
		return;
	}
	after(child, guarded(child, turn_once));
}

/* ---- birth ---- */

static bool assemble_worker(struct house_child *child)
{
	struct house *house = child->house;
	child->worker = worker_new(&(struct worker_setup){
		.sys = child->sys,
		.board = house->board,
		.row = child->row,
		.master_row = house->row,
		.conf = child->generation->config->conf,
		.hostname = "weir.sim",
		.sockets = house->socket,
		.socket_count = (int)house->sockets,
		.index = child->index,
		.workers = child->generation->workers,
		.generation = child->generation->number,
	});
	return true;
}

static bool assemble_control(struct house_child *child)
{
	struct house *house = child->house;
	struct err_text text;
	child->control = control_new(
		&(struct control_setup){
			.sys = child->sys,
			.board = house->board,
			.row = child->row,
			.master_row = house->row,
			.conf = child->generation->config->conf,
			.hostname = "weir.sim",
			.generation = child->generation->number,
		},
		&text);
	if (!child->control)
		longjmp(house->death, 1); /* EX_UNAVAILABLE: the master tries again */
	return true;
}

void house_child_start(struct house_child *child)
{
	struct house *house = child->house;
	child->since = house->world->now;
	child->silence = (struct silence){0};
	child->kill_in = 0;
	child->stopped_until = 0;
	child->at_rest = 0;
	child->sockets_most = 0;
	board_row_order(house->board, child->row, ORDER_RUN);
	child->heap = sim_heap_new();
	child->sys = sim_sys_new(&house->box, child->row);
	below_begin(child);
	sim_sys_on_runnable(child->sys, runnable, child);
	board_pid(house->board, child->row, child->row + 1);
	note(child, "starts", "");
	after(child,
		guarded(child, child->role == ROW_CONTROL ? assemble_control : assemble_worker));
}

bool house_any(const struct house_generation *generation, bool workers_only)
{
	for (unsigned i = 0; i < generation->children; i++) {
		const struct house_child *child = &generation->child[i];
		bool lives = child->sys || child->burial.slot > 0;
		if (lives && !(workers_only && child->role == ROW_CONTROL))
			return true;
	}
	return false;
}

void house_order(struct house_generation *generation, enum board_role role, enum board_order order)
{
	for (unsigned i = 0; i < generation->children; i++) {
		struct house_child *child = &generation->child[i];
		if (child->role == role && child->row >= 0)
			board_row_order(child->house->board, child->row, order);
	}
	house_wake_all(generation->child[0].house);
}
