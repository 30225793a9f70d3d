/*
 * Lanes: what one end sends on its way to the other.
 *
 *     waits ──(window)──► cut into segments ──► flights, each with its moment ──► the other's inbox
 *           ◄──────────────── acked: the window opens, some time after the inbox was eaten
 *
 * Flights never overtake each other.  Hardships are drawn when the connection is made and end
 * after some octets, so that a large body over a bad line takes minutes and not days.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "sim/trace.h"
#include "sim/wire_inside.h"

enum { MSS = 1460 };

/* ---- octets in a queue ---- */

void wire_octets_add(struct wire_octets *octets, struct span bytes)
{
	/* The eaten front goes when it is the larger part: each octet is moved once on average. */
	if (octets->at > octets->buf.len / 2) {
		buf_eat(&octets->buf, octets->at);
		octets->at = 0;
	}
	buf_add_span(&octets->buf, bytes);
}

void wire_octets_eat(struct wire_octets *octets, size_t len)
{
	assert(len <= wire_octets_len(octets));
	octets->at += len;
	if (octets->at == octets->buf.len) {
		octets->at = 0;
		buf_reset(&octets->buf);
	}
}

void wire_octets_clear(struct wire_octets *octets)
{
	buf_clear(&octets->buf);
	octets->at = 0;
}

/* ---- a line's character ---- */

int64_t wire_latency(struct wire_lane *lane)
{
	return rng_skewed(&lane->rng, 20, 2 * MSEC);
}

void wire_lane_init(
	struct wire_lane *lane, struct wire_end *from, struct wire_end *to, uint64_t number)
{
	struct world *world = from->pair->net->world;
	struct rng *rng = &lane->rng;
	world_luck(world, rng, from == &from->pair->end[0] ? "lane there" : "lane back", number);
	lane->from = from;
	lane->to = to;
	lane->window = (size_t)rng_skewed(rng, 2000, 200 * 1000);
	lane->low = rng_one_in(rng, 2) ? 1 : lane->window / 3;
	lane->reset_at = UINT64_MAX;
	lane->delays = world_fault(world, rng, FAULT_delays);
	lane->segments = world_fault(world, rng, FAULT_segments);
	if (world_fault(world, rng, FAULT_octets))
		lane->octets_before = (uint64_t)rng_skewed(rng, 50, 4000);
	if (world_fault(world, rng, FAULT_small_window)) {
		lane->narrow = (size_t)rng_between(rng, 1, 50);
		lane->narrow_before = lane->narrow * (uint64_t)rng_skewed(rng, 10, 400);
	}
	if (world_fault(world, rng, FAULT_network_reset))
		lane->reset_at = (uint64_t)rng_skewed(rng, 1, 100 * 1000) - 1;
}

void wire_lane_clear(struct wire_lane *lane)
{
	struct world *world = lane->from->pair->net->world;
	world_unset(world, &lane->arrival);
	world_unset(world, &lane->ack);
	wire_octets_clear(&lane->waits);
	wire_octets_clear(&lane->flying);
	free(lane->flights);
	lane->flights = NULL;
	lane->first = lane->count = lane->room = 0;
}

static size_t window_of(const struct wire_lane *lane)
{
	return lane->sent < lane->narrow_before ? lane->narrow : lane->window;
}

static size_t lane_room(const struct wire_lane *lane)
{
	uint64_t out = lane->sent - lane->acked;
	size_t window = window_of(lane);
	return out < window ? window - (size_t)out : 0;
}

/* ---- flights ---- */

static void lane_arrives(void *arg);

static struct wire_flight *flight_new(struct wire_lane *lane)
{
	if (lane->first > 0 && lane->first == lane->count)
		lane->first = lane->count = 0;
	if (lane->count == lane->room && lane->first > lane->room / 2) {
		lane->count -= lane->first;
		memmove(lane->flights, lane->flights + lane->first,
			lane->count * sizeof(*lane->flights));
		lane->first = 0;
	} else if (lane->count == lane->room) {
		lane->room = lane->room ? lane->room * 2 : 8;
		lane->flights = mem_grow(lane->flights, lane->room, sizeof(*lane->flights));
	}
	return &lane->flights[lane->count++];
}

static void fly(struct wire_lane *lane, enum wire_load load, size_t len, int64_t late)
{
	struct wire_net *net = lane->from->pair->net;
	int64_t due = net->world->now + wire_latency(lane) + late;
	if (lane->delays && !world_is_calm(net->world))
		due += rng_skewed(&lane->rng, MSEC, SECOND);
	if (due <= lane->last_due)
		due = lane->last_due + 1;
	lane->last_due = due;
	*flight_new(lane) = (struct wire_flight){.due = due, .len = len, .load = load};
	if (lane->arrival.slot == 0)
		world_set(net->world, &lane->arrival, lane->flights[lane->first].due, lane_arrives,
			lane);
}

/* The network's reset: both ends get one, and this lane carries nothing any more. */
static void sever(struct wire_lane *lane)
{
	struct wire_pair *pair = lane->from->pair;
	struct world *world = pair->net->world;
	pair->severed = true;
	trace_note(world->trace, world->now,
		pair->end[0].hold == WIRE_OF_ACTOR ? pair->end[0].who : pair->end[1].who,
		"the network resets the connection");
	fly(lane, WIRE_RESET, 0, 0);
	fly(&lane->to->lane, WIRE_RESET, 0, 0);
}

static size_t piece_of(struct wire_lane *lane, size_t len)
{
	struct rng *rng = &lane->rng;
	if (lane->sent < lane->octets_before)
		return 1;
	if (lane->segments)
		return (size_t)rng_skewed(rng, 1, len < MSS ? (int64_t)len : MSS);
	return len;
}

/* One write, within the window. */
static void lane_put(struct wire_lane *lane, struct span bytes)
{
	struct wire_pair *pair = lane->from->pair;
	struct world *world = pair->net->world;
	int64_t late = 0;
	if (pair->severed)
		return; /* into the void, until the reset has arrived */
	if (world_fault(world, &lane->rng, FAULT_long_stall))
		late = rng_skewed(&lane->rng, SECOND, 15 * MINUTE);
	bool cut = lane->reset_at - lane->sent < bytes.len && !world_is_calm(world);
	if (cut)
		bytes.len = (size_t)(lane->reset_at - lane->sent);
	wire_octets_add(&lane->flying, bytes);
	while (bytes.len > 0) {
		size_t len = piece_of(lane, bytes.len);
		fly(lane, WIRE_DATA, len, late);
		lane->sent += len;
		bytes = span_from(bytes, len);
	}
	if (cut)
		sever(lane);
}

void wire_lane_pump(struct wire_lane *lane)
{
	size_t waiting = wire_octets_len(&lane->waits), room = lane_room(lane);
	size_t len = waiting < room ? waiting : room;
	if (len > 0) {
		struct span bytes = wire_octets_span(&lane->waits);
		bytes.len = len;
		lane_put(lane, bytes);
		wire_octets_eat(&lane->waits, len);
	}
	if (lane->from->hold != WIRE_OF_PROCESS)
		lane->blocked = len < waiting;
	if (lane->finish && !lane->finished && len == waiting) {
		lane->finished = true;
		fly(lane, WIRE_FIN, 0, 0);
	}
}

size_t wire_room(const struct wire_end *end)
{
	return lane_room(&end->lane);
}

bool wire_room_is_worth_it(const struct wire_end *end)
{
	const struct wire_lane *lane = &end->lane;
	return lane_room(lane) >= (lane->sent < lane->narrow_before ? 1 : lane->low);
}

void wire_put(struct wire_end *end, struct span bytes)
{
	assert(bytes.len <= lane_room(&end->lane));
	lane_put(&end->lane, bytes);
}

void wire_lane_reset(struct wire_lane *lane)
{
	struct rng *rng = &lane->rng;
	wire_octets_clear(&lane->waits);
	lane->finish = false;
	lane->from->reset_sent = true;
	/* What is in flight may still have been in the sender's buffer. */
	size_t flights = lane->count - lane->first;
	size_t kept = rng_one_in(rng, 2) ? flights : (size_t)rng_below(rng, flights + 1);
	if (kept < flights) {
		lane->count = lane->first + kept;
		lane->last_due = kept > 0 ? lane->flights[lane->count - 1].due : lane->opens;
	}
	if (kept == 0)
		world_unset(lane->from->pair->net->world, &lane->arrival);
	fly(lane, WIRE_RESET, 0, 0);
}

/* ---- arriving ---- */

/* Data at an end that nobody holds: a reset is its answer, once. */
static void bounce(struct wire_end *end)
{
	if (!end->reset_sent && !end->reset_heard && !end->pair->severed)
		wire_lane_reset(&end->lane);
}

static void data_arrives(struct wire_lane *lane, size_t len)
{
	struct wire_end *to = lane->to;
	struct span bytes = wire_octets_span(&lane->flying);
	bytes.len = len;
	lane->arrived += len;
	if (to->hold == WIRE_FREE)
		bounce(to);
	else if (!to->reset_heard)
		wire_octets_add(&to->inbox, bytes);
	wire_octets_eat(&lane->flying, len);
	if (to->hold != WIRE_FREE && !to->reset_heard) {
		struct span all = wire_octets_span(&to->inbox);
		wire_end_hears(to, span_from(all, all.len - len));
	}
}

static void lane_arrives(void *arg)
{
	struct wire_lane *lane = arg;
	struct wire_pair *pair = lane->from->pair;
	struct world *world = pair->net->world;
	struct wire_flight flight = lane->flights[lane->first++];
	if (lane->first < lane->count)
		world_set(
			world, &lane->arrival, lane->flights[lane->first].due, lane_arrives, lane);
	pair->busy++;
	switch (flight.load) {
	case WIRE_DATA:
		data_arrives(lane, flight.len);
		break;
	case WIRE_FIN:
		wire_end_finished(lane->to);
		break;
	case WIRE_RESET:
		wire_end_reset(lane->to);
		break;
	}
	pair->busy--;
	wire_pair_reap(pair);
}

/* ---- the window opens ---- */

static void ack_arrives(void *arg)
{
	struct wire_lane *lane = arg;
	struct wire_end *from = lane->from;
	lane->acked = lane->eaten;
	if (from->reset_heard || from->reset_sent)
		return;
	from->pair->busy++;
	wire_lane_pump(lane);
	if (from->hold == WIRE_OF_PROCESS)
		from->stir(from->arg, WIRE_STIR_ROOM);
	from->pair->busy--;
	wire_pair_reap(from->pair);
}

void wire_lane_eaten(struct wire_lane *lane, size_t len)
{
	struct wire_net *net = lane->from->pair->net;
	lane->eaten += len;
	/* Nobody looks: no need for something to happen. */
	if (!lane->blocked && lane_room(lane) > 0)
		lane->acked = lane->eaten;
	else if (lane->ack.slot == 0)
		world_set(net->world, &lane->ack, net->world->now + wire_latency(lane), ack_arrives,
			lane);
}
