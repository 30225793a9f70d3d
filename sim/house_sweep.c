/*
 * The promises that show on the board and in the heaps.
 */
#include <inttypes.h>
#include <stdio.h>

#include "sim/house_inside.h"

#define WAIT_WITHOUT_CAUSE (2 * SECOND)
/* Of a worker at rest; a socket may cost it what the settings allow to be kept. */
#define HEAP_AT_REST    ((size_t)3 << 20)
#define HEAP_PER_SOCKET ((size_t)3 << 20)

static bool any_stopped_or_dead(const struct house *house)
{
	HOUSE_EACH_GENERATION(generation, house)
	{
		for (unsigned i = 0; i < generation->children; i++) {
			const struct house_child *child = &generation->child[i];
			if (!child->sys || child->stopped_until > house->world->now)
				return true;
		}
	}
	return false;
}

/* A process killed inside a claim is counted until its burial. */
static bool any_unburied(const struct house *house)
{
	HOUSE_EACH_GENERATION(generation, house)
	{
		for (unsigned i = 0; i < generation->children; i++) {
			if (generation->child[i].burial.slot > 0)
				return true;
		}
	}
	return false;
}

static void check_limits(struct house *house)
{
	unsigned limit = house->world->scene->max_connections;
	if (any_unburied(house))
		return;
	for (int column = 0; column < board_columns(house->board); column++) {
		if (board_column_kind(house->board, column) != BOARD_SERVER)
			continue;
		uint32_t live = board_places(house->board, column, PLACE_LIVE);
		uint32_t open = board_places(house->board, column, PLACE_OPEN);
		uint32_t idle = board_places(house->board, column, PLACE_IDLE);
		if (open > limit || idle > 100000 || live > 100000)
			world_fail(house->world, "over-limit",
				"%s: %u connections claimed, %u idle, %u live; the limit is %u",
				board_column_name(house->board, column), open, idle, live, limit);
	}
}

static void check_memory(struct house *house)
{
	HOUSE_EACH_GENERATION(generation, house)
	{
		for (unsigned i = 0; i < generation->children; i++) {
			const struct house_child *child = &generation->child[i];
			if (!child->sys)
				continue;
			size_t bytes = sim_heap_bytes(child->heap);
			size_t bound = HEAP_AT_REST + HEAP_PER_SOCKET * sys_sockets(child->sys);
			if (bytes > bound)
				world_fail(house->world, "memory",
					"row %d holds %zu octets for %u sockets", child->row, bytes,
					sys_sockets(child->sys));
		}
	}
}

static bool is_free(const struct house *house, int column)
{
	struct addr addr[BOARD_ADDRESSES];
	return board_addresses_of(house->board, column, addr) > 0 &&
	       board_verdict(house->board, column).state == SERVER_UP &&
	       !board_out_by_hand(house->board, column) &&
	       board_learned_limit(house->board, column, house->world->now, SECOND) == 0 &&
	       board_places(house->board, column, PLACE_OPEN) <
		       house->world->scene->max_connections;
}

/* Every server of the pool could take one more: one alone may lack what the message needs. */
static bool all_free(const struct house *house, const char *pool)
{
	char prefix[BOARD_NAME];
	snprintf(prefix, sizeof(prefix), "%s/", pool);
	for (int column = 0; column < board_columns(house->board); column++) {
		struct span name = span_of(board_column_name(house->board, column));
		if (board_column_kind(house->board, column) == BOARD_SERVER &&
			span_starts_nocase(name, prefix) && !is_free(house, column))
			return false;
	}
	return true;
}

/* Nothing waits that could run: a transaction waits for a place, and a place is free. */
static void check_waits(struct house *house)
{
	bool excused = any_stopped_or_dead(house) || house->generations > 1 || house->stopping;
	for (int column = 0; column < board_columns(house->board); column++) {
		int64_t *since = &house->waiting_since[column];
		int row;
		if (board_column_kind(house->board, column) != BOARD_POOL)
			continue;
		row = board_waiting(house->board, column, NULL);
		if (excused || row < 0 || !all_free(house, board_column_name(house->board, column)))
			*since = 0;
		else if (*since == 0)
			*since = house->world->now;
		else if (house->world->now - *since > WAIT_WITHOUT_CAUSE)
			world_fail(house->world, "lost-wakeup",
				"row %d waits for a place in %s, and all have been free for %d ms",
				row, board_column_name(house->board, column),
				(int)((house->world->now - *since) / MSEC));
	}
}

void house_sweep(struct house *house, bool whole)
{
	check_limits(house);
	house_check_verdicts(house);
	if (!whole)
		return;
	check_memory(house);
	check_waits(house);
}

/* ---- the end ---- */

static void check_gauges(struct house *house)
{
	for (int column = 0; column < board_columns(house->board); column++) {
		enum board_kind kind = board_column_kind(house->board, column);
		for (int m = 0; m < METRIC_COUNT; m++) {
			const struct metric_row *metric = metric_row((enum metric)m);
			if (metric->kind != kind || metric->type != METRIC_GAUGE)
				continue;
			int64_t sum = board_sum(house->board, column, (enum metric)m);
			if (sum != 0)
				world_fail(house->world, "gauge",
					"%s of %s is %" PRId64 " in the end", metric->id,
					board_column_name(house->board, column), sum);
		}
		for (int place = 0; kind == BOARD_SERVER && place < BOARD_PLACES; place++) {
			uint32_t held = board_places(house->board, column, (enum board_place)place);
			if (held > 0)
				world_fail(house->world, "gauge",
					"%u places of kind %d on %s in the end", held, place,
					board_column_name(house->board, column));
		}
		if (kind == BOARD_POOL && board_waiting(house->board, column, NULL) >= 0)
			world_fail(house->world, "gauge", "somebody waits for %s in the end",
				board_column_name(house->board, column));
	}
}

void house_check_end(struct house *house)
{
	check_gauges(house);
	house_check_log(house);
}

static uint64_t sum_of(const struct house *house, enum metric metric)
{
	uint64_t sum = 0;
	for (int column = 0; column < board_columns(house->board); column++) {
		if (board_column_kind(house->board, column) == metric_row(metric)->kind)
			sum += (uint64_t)board_sum(house->board, column, metric);
	}
	return sum;
}

struct house_sums house_sums(const struct house *house)
{
	return (struct house_sums){
		.ambiguous = sum_of(house, M_LISTENER_ambiguous),
		.unheard = sum_of(house, M_LISTENER_accepted_unheard),
		.accepted = sum_of(house, M_LISTENER_accepted),
		.sessions = sum_of(house, M_LISTENER_sessions_opened),
		.replays = sum_of(house, M_LISTENER_replays),
		.deaths = house->deaths,
		.reloads = house->reloads,
		.turns = house->turns,
		.memory_peak = house->memory_peak,
		.below = house->below_count,
	};
}
