/*
 * Ends of connections and their owners.
 *
 * An owner may do anything in a callback, also close the end that it is called for: after each
 * call it is asked anew who holds the end, and a pair is freed only when nobody is at work on it.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "sim/process.h"
#include "sim/trace.h"
#include "sim/wire_inside.h"

/* ---- the net ---- */

struct wire_net *wire_net_new(struct world *world)
{
	struct wire_net *net = mem_new(sizeof(*net));
	net->world = world;
	net->heap = sim_heap_current();
	net->port = 32767;
	LIST_INIT(&net->pairs);
	LIST_INIT(&net->listeners);
	return net;
}

static void pair_free(struct wire_pair *pair)
{
	if (pair->end[1].hold == WIRE_QUEUED)
		wire_queue_leave(pair);
	world_unset(pair->net->world, &pair->shake);
	for (int i = 0; i < 2; i++) {
		wire_lane_clear(&pair->end[i].lane);
		wire_octets_clear(&pair->end[i].inbox);
	}
	LIST_REMOVE(pair, next);
	free(pair);
}

void wire_net_free(struct wire_net **netp)
{
	struct wire_net *net = *netp;
	*netp = NULL;
	while (!LIST_EMPTY(&net->pairs))
		pair_free(LIST_FIRST(&net->pairs));
	while (!LIST_EMPTY(&net->listeners)) {
		struct wire_listener *listener = LIST_FIRST(&net->listeners);
		wire_unlisten(&listener);
	}
	buf_clear(&net->scratch);
	free(net->ways);
	free(net);
}

unsigned wire_ends_open(const struct wire_net *net)
{
	const struct wire_pair *pair;
	unsigned open = 0;
	LIST_FOREACH (pair, &net->pairs, next)
		open += (pair->end[0].hold != WIRE_FREE) + (pair->end[1].hold != WIRE_FREE);
	return open;
}

unsigned wire_open_to(const struct wire_net *net, const struct addr *to)
{
	const struct wire_pair *pair;
	unsigned open = 0;
	LIST_FOREACH (pair, &net->pairs, next)
		open += pair->end[0].hold == WIRE_OF_PROCESS && addr_eq(&pair->server, to);
	return open;
}

/* ---- pairs ---- */

/* The n-th connection from this host to that one is the same whoever else connects. */
static uint64_t way_number(struct wire_net *net, const struct wire_pair *pair)
{
	uint64_t hosts = 0;
	for (int i = 0; i < 4; i++)
		hosts = hosts << 16 | (uint64_t)pair->client.ip4[i] << 8 | pair->server.ip4[i];
	size_t i = 0;
	while (i < net->way_count && net->ways[i].hosts != hosts)
		i++;
	if (i == net->way_count) {
		net->ways = mem_grow(net->ways, net->way_count + 1, sizeof(*net->ways));
		net->ways[net->way_count++] = (struct wire_way){.hosts = hosts};
	}
	return hosts * UINT64_C(0x9e3779b97f4a7c15) + net->ways[i].connections++;
}

struct wire_pair *wire_pair_new(
	struct wire_net *net, const struct addr *to, const struct addr *from)
{
	struct wire_pair *pair = mem_new(sizeof(*pair));
	pair->net = net;
	pair->server = *to;
	pair->client = *from;
	if (pair->client.family == ADDR_NONE)
		pair->client = (struct addr){.family = ADDR_IP4, .ip4 = {10, 0, 0, 1}};
	if (pair->client.port == 0) {
		net->port = net->port < 60999 ? net->port + 1 : 32768;
		pair->client.port = net->port;
	}
	uint64_t number = way_number(net, pair);
	for (int i = 0; i < 2; i++) {
		pair->end[i].pair = pair;
		wire_lane_init(&pair->end[i].lane, &pair->end[i], &pair->end[!i], number);
	}
	LIST_INSERT_HEAD(&net->pairs, pair, next);
	return pair;
}

void wire_pair_reap(struct wire_pair *pair)
{
	if (pair->busy == 0 && pair->end[0].hold == WIRE_FREE && pair->end[1].hold == WIRE_FREE)
		pair_free(pair);
}

/* ---- what an end is told ---- */

static void note_heard(struct wire_end *end, struct span bytes)
{
	struct world *world = end->pair->net->world;
	if (world->trace)
		trace_bytes(world->trace, world->now, end->who, true, bytes);
}

void wire_end_hears(struct wire_end *end, struct span bytes)
{
	if (end->hold == WIRE_OF_PROCESS)
		end->stir(end->arg, WIRE_STIR_DATA);
	if (end->hold != WIRE_OF_ACTOR)
		return;
	note_heard(end, bytes);
	if (end->ops->heard)
		end->ops->heard(end->arg);
}

void wire_end_finished(struct wire_end *end)
{
	struct world *world = end->pair->net->world;
	if (end->hold == WIRE_FREE || end->reset_heard)
		return;
	end->fin_heard = true;
	if (end->hold == WIRE_OF_PROCESS)
		end->stir(end->arg, WIRE_STIR_FIN);
	if (end->hold != WIRE_OF_ACTOR)
		return;
	trace_note(world->trace, world->now, end->who, "hears FIN");
	if (end->ops->finished)
		end->ops->finished(end->arg);
}

static void end_let_go(struct wire_end *end)
{
	if (end->hold == WIRE_QUEUED)
		wire_queue_leave(end->pair);
	end->hold = WIRE_FREE;
	wire_octets_clear(&end->inbox);
}

/* An actor has one more look at what is unread: afterwards there is nothing to look at. */
static void actor_reset(struct wire_end *end)
{
	struct world *world = end->pair->net->world;
	const struct wire_ops *ops = end->ops;
	if (wire_octets_len(&end->inbox) > 0 && ops->heard)
		ops->heard(end->arg);
	if (end->hold != WIRE_OF_ACTOR)
		return;
	trace_note(world->trace, world->now, end->who, "hears RST");
	void (*reset)(void *arg) = end->ops->reset;
	end_let_go(end);
	if (reset)
		reset(end->arg);
}

void wire_end_reset(struct wire_end *end)
{
	struct world *world = end->pair->net->world;
	if (end->reset_heard)
		return;
	end->reset_heard = true;
	/* What is in flight flies on; a network's reset may be behind it. */
	wire_octets_clear(&end->lane.waits);
	end->lane.finish = false;
	if (end->hold == WIRE_FREE)
		return;
	if (wire_octets_len(&end->inbox) > 0 &&
		world_fault(world, &end->lane.rng, FAULT_reset_eats))
		wire_octets_clear(&end->inbox);
	if (end->hold == WIRE_OF_PROCESS)
		end->stir(end->arg, WIRE_STIR_RESET);
	else if (end->hold == WIRE_OF_ACTOR)
		actor_reset(end);
}

void wire_sever_here(struct wire_end *end)
{
	struct wire_pair *pair = end->pair;
	if (pair->phase == WIRE_FAILED || end->reset_heard)
		return;
	if (pair->phase != WIRE_OPEN) {
		world_unset(pair->net->world, &pair->shake);
		pair->failure = ECONNREFUSED;
	}
	if (pair->phase != WIRE_SYN && !end->reset_sent)
		wire_lane_reset(&end->lane);
	if (pair->phase != WIRE_OPEN)
		pair->phase = WIRE_FAILED;
	end->reset_heard = true;
	wire_octets_clear(&end->inbox);
}

/* ---- what an owner does ---- */

void wire_own(struct wire_end *end, const char *who, const struct wire_ops *ops, void *arg)
{
	snprintf(end->who, sizeof(end->who), "%s", who);
	end->hold = WIRE_OF_ACTOR;
	end->ops = ops;
	end->arg = arg;
}

static bool is_dead(const struct wire_end *end)
{
	return end->reset_heard || end->reset_sent;
}

void wire_send(struct wire_end *end, struct span bytes)
{
	struct world *world = end->pair->net->world;
	assert(end->hold == WIRE_OF_ACTOR && !end->lane.finish);
	if (world->trace)
		trace_bytes(world->trace, world->now, end->who, false, bytes);
	if (is_dead(end))
		return;
	wire_octets_add(&end->lane.waits, bytes);
	if (end->pair->phase == WIRE_OPEN || end == &end->pair->end[1])
		wire_lane_pump(&end->lane);
}

size_t wire_unsent(const struct wire_end *end)
{
	return wire_octets_len(&end->lane.waits) + (size_t)(end->lane.sent - end->lane.arrived);
}

struct span wire_heard(const struct wire_end *end)
{
	return wire_octets_span(&end->inbox);
}

void wire_eat(struct wire_end *end, size_t len)
{
	wire_octets_eat(&end->inbox, len);
	if (!is_dead(end))
		wire_lane_eaten(&wire_peer(end)->lane, len);
}

void wire_finish(struct wire_end *end)
{
	struct world *world = end->pair->net->world;
	if (end->lane.finish || is_dead(end))
		return;
	if (end->hold == WIRE_OF_ACTOR)
		trace_note(world->trace, world->now, end->who, "sends FIN");
	end->lane.finish = true;
	if (end->pair->phase == WIRE_OPEN || end == &end->pair->end[1])
		wire_lane_pump(&end->lane);
}

void wire_close(struct wire_end **endp, bool reset)
{
	struct wire_end *end = *endp;
	struct wire_pair *pair = end->pair;
	struct world *world = pair->net->world;
	bool shaken = pair->phase == WIRE_OPEN || end == &pair->end[1];
	*endp = NULL;
	assert(end->hold != WIRE_FREE);
	if (end->hold == WIRE_OF_ACTOR)
		trace_note(world->trace, world->now, end->who, "%s", reset ? "resets" : "closes");
	bool unread = wire_octets_len(&end->inbox) > 0;
	end_let_go(end);
	if (!shaken) /* whatever has become of the handshake, nobody waits for its end */
		world_unset(world, &pair->shake);
	/* The network takes what comes after, or a reset has said all there is to say. */
	if (!is_dead(end) && !pair->severed && pair->phase != WIRE_FAILED) {
		if (shaken && !reset && !unread)
			wire_finish(end);
		else if (pair->phase != WIRE_SYN)
			wire_lane_reset(&end->lane);
	}
	wire_pair_reap(pair);
}
