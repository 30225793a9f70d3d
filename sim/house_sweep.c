/*
 * The promises that show on the board and in the heaps.
 */
#include <inttypes.h>
#include <stdio.h>

#include "net/net.h"
#include "sim/house_inside.h"

/* The tick of 20 ms heals a wake that is lost: once or twice in a world a waiter may be overtaken,
 * a third time is a wake that never comes. */
#define WAIT_FOR_PLACE (15 * MSEC)
#define WAIT_FOR_TICK  (60 * MSEC)
enum { WAITS_FOR_TICK = 2 };
#define WAIT_FOR_ELSE (200 * MSEC)
/* As in pool/server.c. */
#define REGROW    (30 * SECOND)
#define FULL_REST SECOND
/* Octets that a process may hold beside what is on its way. */
#define HEAP_SLACK      (1024u * 1024)
#define HEAP_PER_SOCKET (32u * 1024)
/* Replies that wait for a client: as many as it asked in one write, each as long as a server may
 * make it (measured: 132 recipients and 100 lines each are 1.3 MB). */
#define HEAP_OF_REPLIES (4u * 1024 * 1024)

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

/* What a session may keep for a replay, and what waits in either direction: reading stops when
 * NET_HIGH is reached, and the last piece comes on top.  Pieces that are done with are kept for the
 * next, so it is the most sockets it ever had. */
void house_check_memory(struct house_child *child)
{
	const struct scene *scene = child->house->world->scene;
	size_t kept = scene->replay_limit < scene->max_size ? scene->replay_limit : scene->max_size;
	unsigned sockets = sys_sockets(child->sys);
	size_t bytes = sim_heap_bytes(child->heap);
	if (child->at_rest == 0)
		child->at_rest = bytes;
	if (sockets > child->sockets_most)
		child->sockets_most = sockets;
	bool many_long_replies = scene->rate[FAULT_client_many_recipients] > 0 &&
				 (scene->rate[FAULT_server_multiline] > 0 ||
					 scene->rate[FAULT_server_long_line] > 0);
	size_t bound = child->at_rest + HEAP_SLACK + (many_long_replies ? HEAP_OF_REPLIES : 0) +
		       child->sockets_most * (kept + NET_HIGH + HEAP_PER_SOCKET);
	if (bytes > bound)
		world_fail(child->house->world, "memory",
			"row %d holds %zu octets, it had at most %u sockets (at rest %zu, for each "
			"%zu)",
			child->row, bytes, child->sockets_most, child->at_rest,
			kept + NET_HIGH + HEAP_PER_SOCKET);
}

/* ---- waits ---- */

/* A child of this row that is there and has not just been stopped; NULL: none. */
static const struct house_child *able_child(const struct house *house, int row)
{
	HOUSE_EACH_GENERATION(generation, house)
	{
		for (unsigned i = 0; i < generation->children; i++) {
			const struct house_child *child = &generation->child[i];
			if (child->row == row && child->sys &&
				child->stopped_until <= house->world->now)
				return child;
		}
	}
	return NULL;
}

enum hindrance { NOTHING_HINDERS, PLACES_TAKEN, HINDERED };

/* "Too many" was said just now: the worker that heard it rests.  What grows so quickly is forgotten
 * after 1.024 s. */
static bool rests(const struct house *house, int column)
{
	return board_learned_limit(house->board, column, house->world->now, FULL_REST / 1000) > 0;
}

/* What is seen of the servers that an oldest waiter may wait for. */
struct view {
	enum hindrance worst;
	unsigned usable;
	uint64_t state; /* as in house_wait */
};

static void look_at(struct house *house, int column, struct view *view)
{
	const struct board *board = house->board;
	struct addr addr[BOARD_ADDRESSES];
	uint32_t limit = house->world->scene->max_connections;
	uint32_t learned = board_learned_limit(board, column, house->world->now, REGROW);
	struct verdict verdict = board_verdict(board, column);
	bool by_hand = board_out_by_hand(board, column);
	enum hindrance what = NOTHING_HINDERS;
	if (learned > 0 && learned < limit)
		limit = learned;
	view->state = (view->state * 31 + verdict.epoch) * 1024 + limit * 2 + by_hand;
	if (verdict.state == SERVER_DOWN || verdict.state == SERVER_UNUSABLE || by_hand)
		return; /* nobody waits for it */
	view->usable += verdict.state == SERVER_UP;
	if (board_addresses_of(board, column, addr) == 0 || rests(house, column))
		what = HINDERED;
	else if (board_places(board, column, PLACE_OPEN) >= limit)
		what = PLACES_TAKEN;
	if (what > view->worst)
		view->worst = what;
}

/*
 * Of all servers that the oldest waiter may be waiting for, each could take one more.  Which of
 * them it has tried before, and which are avoided or of a later tier, can't be seen; those that
 * are down or drained nobody waits for.
 */
static struct view look_around(struct house *house, int pool)
{
	char prefix[BOARD_NAME];
	struct view view = {.worst = NOTHING_HINDERS};
	snprintf(prefix, sizeof(prefix), "%s/", board_column_name(house->board, pool));
	for (int column = 0; column < board_columns(house->board); column++) {
		if (board_column_kind(house->board, column) == BOARD_SERVER &&
			span_starts_nocase(
				span_of(board_column_name(house->board, column)), prefix))
			look_at(house, column, &view);
	}
	if (view.usable == 0)
		view.worst = HINDERED;
	return view;
}

static bool is_able(const struct house *house, int row)
{
	const struct house_child *child = able_child(house, row);
	return child && sys_sockets(child->sys) < sys_sockets_limit(child->sys);
}

/*
 * Nothing waits that could run.  Who gives a place back serves the queue in the same turn, or wakes
 * the row whose turn it is; a tick each 20 ms would hide it if that were forgotten, so less than
 * that is allowed.  What else changes, a verdict, a name, is seen by the tick.
 */
static void check_wait(struct house *house, int pool)
{
	struct house_wait *wait = &house->wait[pool];
	int64_t now = house->world->now;
	uint64_t ticket = 0;
	int row = board_waiting(house->board, pool, &ticket);
	if (row < 0) {
		wait->ticket = 0;
		wait->since = 0;
		return;
	}
	struct view view = look_around(house, pool);
	if (!is_able(house, row))
		view.worst = HINDERED;
	house->waits_seen++;
	house->waits_excused += view.worst == HINDERED;
	if (ticket != wait->ticket || view.worst != NOTHING_HINDERS || view.state != wait->state) {
		wait->by_place =
			view.worst != HINDERED && (wait->ticket == 0 || view.state == wait->state);
		wait->ticket = ticket;
		wait->state = view.state;
		wait->since = view.worst == NOTHING_HINDERS ? now : 0;
		return;
	}
	if (wait->since == 0)
		wait->since = now;
	bool late = now - wait->since > (wait->by_place ? WAIT_FOR_PLACE : WAIT_FOR_ELSE);
	if (late && wait->by_place && wait->late_ticket != ticket) {
		wait->late_ticket = ticket;
		house->late_waits++;
	}
	if (late && (!wait->by_place || house->late_waits > WAITS_FOR_TICK ||
			    now - wait->since > WAIT_FOR_TICK))
		world_fail(house->world, "lost-wakeup",
			"row %d waits for a place in %s, and for %d ms there has been one", row,
			board_column_name(house->board, pool), (int)((now - wait->since) / MSEC));
}

static void check_waits(struct house *house)
{
	for (int column = 0; column < board_columns(house->board); column++) {
		if (board_column_kind(house->board, column) == BOARD_POOL)
			check_wait(house, column);
	}
}

void house_sweep(struct house *house)
{
	check_limits(house);
	house_check_verdicts(house);
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
		.waits_seen = house->waits_seen,
		.waits_excused = house->waits_excused,
	};
}
