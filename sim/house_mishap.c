/*
 * What befalls a house: deaths, standstills, reloads, hands, full disks.  Rolled every few
 * seconds until the calm.
 */
#include "sim/house_inside.h"
#include "sim/trace.h"

static struct house_child *pick_child(struct house *house, enum board_role role)
{
	struct house_child *found = NULL;
	uint64_t seen = 0;
	HOUSE_EACH_GENERATION(generation, house)
	{
		for (unsigned i = 0; i < generation->children; i++) {
			struct house_child *child = &generation->child[i];
			if (child->sys && (role == ROW_FREE || child->role == role) &&
				rng_one_in(&house->rng, ++seen))
				found = child;
		}
	}
	return found;
}

static void kill_one(struct house *house, enum board_role role)
{
	struct house_child *child = pick_child(house, role);
	if (child)
		house_child_kill(child, "random");
}

static void kill_soon(struct house *house)
{
	struct house_child *child = pick_child(house, ROW_FREE);
	if (child)
		child->kill_in = (unsigned)rng_skewed(&house->rng, 1, 400);
}

/* Who was to die soon and has not yet, lives on. */
static void let_live(struct house *house)
{
	HOUSE_EACH_GENERATION(generation, house)
	{
		for (unsigned i = 0; i < generation->children; i++)
			generation->child[i].kill_in = 0;
	}
}

static void stop_one(struct house *house)
{
	struct house_child *child = pick_child(house, ROW_FREE);
	struct world *world = house->world;
	if (!child)
		return;
	int64_t until = world->now + rng_skewed(&house->rng, 10 * MSEC, 30 * SECOND);
	/* One that stands still already is not let go earlier. */
	if (until > child->stopped_until)
		child->stopped_until = until;
	trace_note(world->trace, world->now, "mailweir", "row %d stands still for %d ms",
		child->row, (int)((child->stopped_until - world->now) / MSEC));
}

static int any_server(struct house *house)
{
	int found = -1;
	uint64_t seen = 0;
	for (int column = 0; column < board_columns(house->board); column++) {
		if (board_column_kind(house->board, column) == BOARD_SERVER &&
			rng_one_in(&house->rng, ++seen))
			found = column;
	}
	return found;
}

static void undrain(struct house *house)
{
	for (int column = 0; column < board_columns(house->board); column++) {
		if (board_column_kind(house->board, column) == BOARD_SERVER)
			board_set_by_hand(house->board, column, (struct by_hand){0});
	}
	house_wake_all(house);
}

static void by_hand(struct house *house)
{
	undrain(house);
	int column = any_server(house);
	if (column < 0)
		return;
	board_set_by_hand(house->board, column, (struct by_hand){.drained = true});
	trace_note(house->world->trace, house->world->now, "mailweir", "%s is drained by hand",
		board_column_name(house->board, column));
	house_wake_all(house);
}

/* Sometimes to an address where nobody listens; the calm puts it right. */
static void move_name(struct house *house, bool right)
{
	const struct scene *scene = house->world->scene;
	struct addr addr[2];
	unsigned count = 1;
	if (!scene->named_servers || !house->box.names)
		return;
	unsigned server = (unsigned)rng_below(&house->rng, scene->servers);
	scene_server(server, &addr[0]);
	if (!right) {
		addr[1] = addr[0];
		addr[0].ip4[3] = 99;
		count = rng_one_in(&house->rng, 2) ? 1 : 2;
	}
	addr[0].port = addr[1].port = 0;
	sim_names_put(house->box.names, scene_host_name(server), addr, count);
}

static void all_names_right(struct house *house)
{
	for (unsigned i = 0; i < house->world->scene->servers && house->box.names; i++) {
		struct addr addr;
		scene_server(i, &addr);
		addr.port = 0;
		sim_names_put(house->box.names, scene_host_name(i), &addr, 1);
	}
}

static void disk(struct house *house, const char *path, bool full)
{
	if (house->box.files)
		sim_files_full(house->box.files, path, full);
}

static void mishap(void *arg)
{
	struct house *house = arg;
	struct world *world = house->world;
	struct rng *rng = &house->rng;
	if (world_is_calm(world)) {
		let_live(house);
		undrain(house);
		all_names_right(house);
		disk(house, "/log", false);
		disk(house, "/state", false);
		return;
	}
	int64_t next = world->now + rng_skewed(rng, 200 * MSEC, 30 * SECOND);
	int64_t calm = WORLD_EPOCH + world->scene->calm_after;
	world_set(world, &house->mishap, next < calm ? next : calm, mishap, house);
	if (world_fault(world, rng, FAULT_kill_worker))
		kill_one(house, ROW_WORKER);
	if (world_fault(world, rng, FAULT_kill_control))
		kill_one(house, ROW_CONTROL);
	if (world_fault(world, rng, FAULT_kill_at_point))
		kill_soon(house);
	if (world_fault(world, rng, FAULT_stop_process))
		stop_one(house);
	if (world_fault(world, rng, FAULT_reload))
		house_reload(house);
	if (world_fault(world, rng, FAULT_drain_by_hand))
		by_hand(house);
	else if (rng_one_in(rng, 3))
		undrain(house);
	disk(house, "/log", world_fault(world, rng, FAULT_log_full));
	disk(house, "/state", world_fault(world, rng, FAULT_state_full));
	if (world_fault(world, rng, FAULT_name_moves))
		move_name(house, false);
	else
		move_name(house, true);
}

void house_mishaps_begin(struct house *house)
{
	all_names_right(house);
	world_set(house->world, &house->mishap, house->world->now + SECOND, mishap, house);
}
