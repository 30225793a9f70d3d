/*
 * The master of the house.  It follows bin/master_start.c and bin/master.c line by line where
 * they speak to the board; what they do with fork, sockets and signals is the world's affair.
 */
#include "sim/house.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/testing.h"
#include "bin/process_numbers.h"
#include "bin/settings.h"
#include "bin/share.h"
#include "pool/pool.h"
#include "relay/relay.h"
#include "sim/house_inside.h"
#include "sim/trace.h"

#define TICK         (200 * MSEC)
#define LEAVE_WITHIN (2 * SECOND)

/* The one house whose processes run: the hooks of base/testing.h carry no argument. */
static struct house *current_house;

/* ---- kill points ---- */

static void cut(const char *where)
{
	struct house *house = current_house;
	struct house_child *child = house ? house->running : NULL;
	if (!child || child->kill_in == 0 || --child->kill_in > 0)
		return;
	trace_note(house->world->trace, house->world->now, "mailweir", "killed at %s", where);
	longjmp(house->death, 1);
}

/* die(): memory that ran out. */
static void died(void)
{
	if (current_house && current_house->running)
		longjmp(current_house->death, 1);
}

/* ---- the beginning of a generation ---- */

static void generation_columns(struct house *house, struct house_generation *generation)
{
	const struct conf *conf = generation->config->conf;
	struct err_text text;
	if (process_columns(house->board, generation->known, &text) ||
		pool_columns(house->board, conf, generation->known, &text) ||
		relay_columns(house->board, conf, generation->known, &text))
		die("sim: %s", text.text);
}

static struct config *config_of(const struct house *house, unsigned edition)
{
	struct buf text = {0}, words = {0};
	scene_config(house->world->scene, edition, &text);
	struct config *config = config_parse("/mailweir.conf", buf_span(&text));
	if (!config->conf) {
		conf_report_text(&config->report, &words);
		die("sim: the scene's config is wrong:\n%s", buf_string(&words));
	}
	buf_clear(&text);
	return config;
}

/* As many sockets per address as the first generation has workers. */
static void bind_sockets(struct house *house, unsigned lanes)
{
	for (unsigned i = 0; i < SCENE_LISTENERS; i++) {
		for (unsigned lane = 0; lane < lanes; lane++) {
			unsigned number = house->sockets++;
			struct worker_socket *socket = &house->socket[number];
			*socket = (struct worker_socket){
				.lane = lane, .lanes = lanes, .number = number};
			scene_listener(i, &socket->wanted);
			house->listener[number] =
				wire_listen(house->box.net, &socket->wanted, NULL, NULL);
		}
	}
	house->box.listeners = house->listener;
	house->box.listener_count = (int)house->sockets;
}

static void generation_start(struct house *house, unsigned edition)
{
	struct house_generation *generation = mem_new(sizeof(*generation));
	generation->number = ++house->last_number;
	generation->since = house->world->now;
	generation->config = config_of(house, edition);
	generation->workers = workers_of(generation->config->conf, HOUSE_LANES);
	generation->drain_timeout = bin_settings_of(generation->config->conf)->drain_timeout;
	generation->stop_at = generation->kill_at = NEVER;
	generation_columns(house, generation);
	if (house->sockets == 0)
		bind_sockets(house, generation->workers);
	for (unsigned i = 0; i <= generation->workers; i++) {
		struct house_child *child = &generation->child[i];
		child->house = house;
		child->generation = generation;
		child->role = i == 0 ? ROW_CONTROL : ROW_WORKER;
		child->index = i == 0 ? 0 : i - 1;
		child->row =
			board_row_take(house->board, child->role, generation->number, child->index);
		assert(child->row >= 0);
		generation->children++;
	}
	house->generation[house->generations++] = generation;
	for (unsigned i = 0; i < generation->children; i++)
		house_child_start(&generation->child[i]);
}

/* ---- how it becomes the current one, and ends ---- */

static void no_more_replacements(struct house_generation *generation, enum board_role role)
{
	for (unsigned i = 0; i < generation->children; i++) {
		struct house_child *child = &generation->child[i];
		if (child->role != role || child->sys || child->burial.slot || child->row < 0)
			continue;
		world_unset(child->house->world, &child->restart);
		board_row_free(child->house->board, child->row);
		child->row = -1;
	}
}

static void generation_drain(
	struct house *house, struct house_generation *generation, int64_t stop_after)
{
	generation->phase = HOUSE_DRAINING;
	generation->stop_at = house->world->now + stop_after;
	generation->kill_at = generation->stop_at + LEAVE_WITHIN;
	no_more_replacements(generation, ROW_WORKER);
	house_order(generation, ROW_WORKER, ORDER_DRAIN);
}

static struct house_generation *generation_in(struct house *house, enum house_phase phase)
{
	for (unsigned i = 0; i < house->generations; i++) {
		if (house->generation[i]->phase == phase)
			return house->generation[i];
	}
	return NULL;
}

static void become_current(struct house *house, struct house_generation *generation)
{
	struct house_generation *former = generation_in(house, HOUSE_CURRENT);
	generation->phase = HOUSE_CURRENT;
	generation->since = house->world->now;
	trace_note(house->world->trace, house->world->now, "mailweir",
		"generation %u is the current one", generation->number);
	board_reload_done(house->board, generation->number, true, "");
	if (former) {
		no_more_replacements(former, ROW_CONTROL);
		generation_drain(house, former, 2 * former->drain_timeout);
		house_order(former, ROW_CONTROL, ORDER_DRAIN);
	}
	house_wake_all(house);
}

static void start_turn(struct house *house, struct house_generation *generation)
{
	for (unsigned i = 0; i < generation->children; i++) {
		const struct house_child *child = &generation->child[i];
		if (!child->sys || !board_is_ready(house->board, child->row))
			return;
	}
	become_current(house, generation);
}

static void generation_free(struct house *house, struct house_generation *generation)
{
	for (unsigned i = 0; i < generation->children; i++)
		house_child_clear(&generation->child[i]);
	for (unsigned i = 0; i < house->generations; i++) {
		if (house->generation[i] == generation) {
			house->generation[i] = house->generation[--house->generations];
			break;
		}
	}
	config_free(&generation->config);
	free(generation);
}

static void forget_columns(struct house *house)
{
	bool known[BOARD_COLUMNS] = {0};
	HOUSE_EACH_GENERATION(generation, house)
	{
		for (int i = 0; i < BOARD_COLUMNS; i++)
			known[i] |= generation->known[i];
	}
	board_forget(house->board, known);
}

static bool any_worker(const struct house *house)
{
	HOUSE_EACH_GENERATION(generation, house)
	{
		if (house_any(generation, true))
			return true;
	}
	return false;
}

static bool drain_turn(struct house *house, struct house_generation *generation)
{
	int64_t now = house->world->now;
	no_more_replacements(generation, ROW_WORKER);
	if (now >= generation->stop_at)
		house_order(generation, ROW_WORKER, ORDER_STOP);
	if (!any_worker(house))
		house_order(generation, ROW_CONTROL, ORDER_DRAIN);
	for (unsigned i = 0; i < generation->children && now >= generation->kill_at; i++)
		house_child_kill(&generation->child[i], "the end of its drain-timeout");
	if (house_any(generation, false))
		return true;
	no_more_replacements(generation, ROW_CONTROL);
	if (house->generations > 1) { /* the last one's columns are looked at in the end */
		generation_free(house, generation);
		forget_columns(house);
	}
	return false;
}

static void generations_turn(struct house *house)
{
	for (unsigned i = 0; i < house->generations;) {
		struct house_generation *generation = house->generation[i];
		if (generation->phase == HOUSE_STARTING)
			start_turn(house, generation);
		if (generation->phase == HOUSE_DRAINING && !drain_turn(house, generation) &&
			house->generations > i && house->generation[i] != generation)
			continue; /* another one took its place */
		i++;
	}
}

/* ---- the living, and sockets that nobody serves ---- */

static void watch(struct house *house)
{
	HOUSE_EACH_GENERATION(generation, house)
	{
		for (unsigned i = 0; i < generation->children; i++) {
			struct house_child *child = &generation->child[i];
			if (!child->sys)
				continue;
			int64_t beat = board_beat_of(house->board, child->row);
			if (silence_of(&child->silence, beat, house->world->now) >= SILENCE_DEADLY)
				house_child_kill(child, "no heartbeat for 10 s");
		}
	}
}

static bool served(const struct house_generation *current, const struct worker_socket *socket)
{
	for (unsigned i = 0; i < current->children; i++) {
		const struct house_child *child = &current->child[i];
		if (child->role == ROW_WORKER && child->sys &&
			share_serves(child->index, current->workers, socket->lane, socket->lanes))
			return true;
	}
	return false;
}

static void cover(struct house *house)
{
	const struct house_generation *current = generation_in(house, HOUSE_CURRENT);
	uint64_t mask = 0;
	for (unsigned i = 0; current && i < house->sockets; i++) {
		if (!served(current, &house->socket[i]))
			mask |= UINT64_C(1) << house->socket[i].number % 64;
	}
	if (mask == house->uncovered)
		return;
	house->uncovered = mask;
	board_uncovered(house->board, mask);
	house_wake_all(house);
}

static void tick(void *arg)
{
	struct house *house = arg;
	board_beat(house->board, house->row, house->world->now);
	watch(house);
	generations_turn(house);
	cover(house);
	if (!house_is_gone(house))
		world_set(house->world, &house->tick, house->world->now + TICK, tick, house);
}

static void master_woken(void *arg)
{
	struct house *house = arg;
	world_set(house->world, &house->tick, house->world->now, tick, house);
}

/* ---- from outside ---- */

void house_reload(struct house *house)
{
	if (house->stopping || house->generations >= HOUSE_GENERATIONS ||
		generation_in(house, HOUSE_STARTING))
		return;
	house->reloads++;
	generation_start(house, ++house->edition);
}

void house_stop(struct house *house)
{
	house->stopping = true;
	world_unset(house->world, &house->mishap);
	HOUSE_EACH_GENERATION(generation, house)
	{
		if (generation->stop_at == NEVER)
			generation_drain(house, generation, generation->drain_timeout);
	}
	master_woken(house);
}

bool house_is_gone(const struct house *house)
{
	return house->stopping && house->generations == 1 &&
	       !house_any(house->generation[0], false);
}

struct house *house_new(const struct house_setup *setup)
{
	struct house *house = mem_new(sizeof(*house));
	struct err_text text;
	void *map = mmap(NULL, board_size(), PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (map == MAP_FAILED || board_attach(map, &house->board, &text))
		die("sim: no memory for a board");
	house->world = setup->world;
	world_rng(house->world, &house->rng, "house", 0);
	world_luck(house->world, &house->pace, "pace", 0);
	house->row = board_row_take(house->board, ROW_MASTER, 0, 0);
	board_beat(house->board, house->row, house->world->now);
	house->box = (struct sim_box){
		.world = setup->world,
		.net = setup->net,
		.master_woken = master_woken,
		.master_arg = house,
		.master_row = house->row,
		.descriptors = setup->world->scene->descriptors,
		.files = setup->files,
		.names = setup->names,
	};
	current_house = house;
	testing.kill_point = cut;
	testing.died = died;
	sim_sys_cut = cut;
	generation_start(house, 0);
	world_set(house->world, &house->tick, house->world->now, tick, house);
	house_mishaps_begin(house);
	return house;
}

void house_free(struct house **housep)
{
	struct house *house = *housep;
	*housep = NULL;
	testing.kill_point = NULL;
	testing.died = NULL;
	sim_sys_cut = NULL;
	current_house = NULL;
	while (house->generations > 0)
		generation_free(house, house->generation[0]);
	for (unsigned i = 0; i < house->sockets; i++)
		wire_unlisten(&house->listener[i]);
	world_unset(house->world, &house->tick);
	world_unset(house->world, &house->mishap);
	munmap(house->board, board_size());
	free(house);
}
