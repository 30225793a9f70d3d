/*
 * Connecting and listening.
 *
 *     client                                    server
 *     wire_connect ── SYN ────────────────────► asked?  refuses, is silent, or
 *     opened ◄─────────────────────── SYN+ACK ─ accepted (an actor), queued (the house)
 *
 * A connection in the house's queue is one for its client: it may speak, and close, before any
 * process has accepted it.
 */
#include <errno.h>
#include <stdlib.h>

#include "sim/trace.h"
#include <assert.h>

#include "sim/wire_inside.h"

static void syn_arrives(void *arg);

static void shake_after(struct wire_pair *pair, int64_t latency, world_fn *fn)
{
	struct world *world = pair->net->world;
	if (pair->end[0].lane.delays && !world_is_calm(world))
		latency += rng_skewed(&pair->end[0].lane.rng, MSEC, SECOND);
	world_set(world, &pair->shake, world->now + latency, fn, pair);
}

/* ---- the client's side ---- */

struct wire_end *wire_connect(struct wire_net *net, const struct addr *to, const struct addr *from,
	const char *who, const struct wire_ops *ops, void *arg)
{
	struct wire_pair *pair = wire_pair_new(net, to, from);
	wire_own(&pair->end[0], who, ops, arg);
	trace_note(net->world->trace, net->world->now, who, "connects");
	shake_after(pair, wire_latency(&pair->end[0].lane), syn_arrives);
	return &pair->end[0];
}

struct wire_end *wire_process_connect(struct wire_net *net, const struct addr *to,
	const struct addr *from, wire_stir_fn *stir, void *arg)
{
	struct wire_pair *pair = wire_pair_new(net, to, from);
	pair->end[0].hold = WIRE_OF_PROCESS;
	pair->end[0].stir = stir;
	pair->end[0].arg = arg;
	shake_after(pair, wire_latency(&pair->end[0].lane), syn_arrives);
	return &pair->end[0];
}

static void connect_fails(void *arg)
{
	struct wire_pair *pair = arg;
	struct wire_end *end = &pair->end[0];
	struct world *world = pair->net->world;
	pair->phase = WIRE_FAILED;
	pair->failure = ECONNREFUSED;
	if (end->hold == WIRE_OF_PROCESS) {
		end->stir(end->arg, WIRE_STIR_OPEN);
		return;
	}
	trace_note(world->trace, world->now, end->who, "is refused");
	end->hold = WIRE_FREE;
	pair->busy++;
	if (end->ops->failed)
		end->ops->failed(end->arg, pair->failure);
	pair->busy--;
	wire_pair_reap(pair);
}

static void connect_succeeds(void *arg)
{
	struct wire_pair *pair = arg;
	struct wire_end *end = &pair->end[0];
	assert(end->hold != WIRE_FREE);
	pair->phase = WIRE_OPEN;
	pair->busy++;
	wire_lane_pump(&end->lane);
	if (end->hold == WIRE_OF_PROCESS)
		end->stir(end->arg, WIRE_STIR_OPEN);
	else if (end->ops->opened)
		end->ops->opened(end->arg);
	pair->busy--;
	wire_pair_reap(pair);
}

/* ---- the server's side ---- */

static struct wire_listener *listener_at(struct wire_net *net, const struct addr *at)
{
	struct wire_listener *listener;
	LIST_FOREACH (listener, &net->listeners, next) {
		if (addr_eq(&listener->at, at))
			return listener;
	}
	return NULL;
}

/* From now on the server may speak; it is not heard before the handshake's end. */
static void answer(struct wire_pair *pair)
{
	pair->phase = WIRE_ANSWERED;
	shake_after(pair, wire_latency(&pair->end[0].lane), connect_succeeds);
	pair->end[1].lane.last_due = pair->end[1].lane.opens = pair->shake.due;
}

static void queue_join(struct wire_listener *listener, struct wire_pair *pair)
{
	if (listener->waiting >= WIRE_BACKLOG) {
		/* As if the SYN were lost: the client's kernel tries again. */
		pair->again = pair->again ? pair->again * 2 : SECOND;
		shake_after(pair, pair->again, syn_arrives);
		return;
	}
	pair->end[1].hold = WIRE_QUEUED;
	pair->listener = listener;
	TAILQ_INSERT_TAIL(&listener->queue, pair, queued);
	listener->waiting++;
	answer(pair);
	wire_offer(listener);
}

static void syn_arrives(void *arg)
{
	struct wire_pair *pair = arg;
	struct wire_listener *listener = listener_at(pair->net, &pair->server);
	if (listener && !listener->ops) {
		queue_join(listener, pair);
		return;
	}
	enum wire_answer says = !listener              ? WIRE_REFUSES
				: listener->ops->asked ? listener->ops->asked(listener->arg)
						       : WIRE_ACCEPTS;
	if (says == WIRE_REFUSES)
		shake_after(pair, wire_latency(&pair->end[0].lane), connect_fails);
	if (says != WIRE_ACCEPTS)
		return;
	pair->busy++;
	pair->end[1].hold = WIRE_OF_ACTOR;
	answer(pair);
	listener->ops->accepted(listener->arg, &pair->end[1], &pair->client);
	pair->busy--;
	wire_pair_reap(pair);
}

/* ---- listening ---- */

struct wire_listener *wire_listen(
	struct wire_net *net, const struct addr *at, const struct wire_server_ops *ops, void *arg)
{
	struct wire_listener *listener = mem_new(sizeof(*listener));
	*listener = (struct wire_listener){.net = net, .at = *at, .ops = ops, .arg = arg};
	TAILQ_INIT(&listener->queue);
	TAILQ_INIT(&listener->pollers);
	LIST_INSERT_HEAD(&net->listeners, listener, next);
	return listener;
}

void wire_unlisten(struct wire_listener **listenerp)
{
	struct wire_listener *listener = *listenerp;
	struct wire_pair *pair;
	*listenerp = NULL;
	if (!listener)
		return;
	while ((pair = TAILQ_FIRST(&listener->queue))) {
		struct wire_end *end = &pair->end[1];
		wire_close(&end, true);
	}
	while (!TAILQ_EMPTY(&listener->pollers))
		wire_unpoll(TAILQ_FIRST(&listener->pollers));
	LIST_REMOVE(listener, next);
	free(listener);
}

void wire_queue_leave(struct wire_pair *pair)
{
	TAILQ_REMOVE(&pair->listener->queue, pair, queued);
	pair->listener->waiting--;
	pair->listener = NULL;
}

void wire_offer(struct wire_listener *listener)
{
	struct wire_poller *poller;
	if (listener->waiting == 0 || listener->poller_count == 0)
		return;
	TAILQ_FOREACH (poller, &listener->pollers, next) {
		if (poller->offered) {
			poller->stir(poller->arg, WIRE_STIR_DATA);
			return;
		}
	}
	uint64_t chosen = rng_below(&listener->net->world->rng, listener->poller_count);
	poller = TAILQ_FIRST(&listener->pollers);
	while (chosen-- > 0)
		poller = TAILQ_NEXT(poller, next);
	poller->offered = true;
	poller->stir(poller->arg, WIRE_STIR_DATA);
}

void wire_poll(struct wire_poller *poller, struct wire_listener *listener)
{
	poller->listener = listener;
	poller->offered = false;
	TAILQ_INSERT_TAIL(&listener->pollers, poller, next);
	listener->poller_count++;
	wire_offer(listener);
}

void wire_unpoll(struct wire_poller *poller)
{
	struct wire_listener *listener = poller->listener;
	if (!listener)
		return;
	poller->listener = NULL;
	poller->offered = false;
	TAILQ_REMOVE(&listener->pollers, poller, next);
	listener->poller_count--;
	wire_offer(listener);
}

struct wire_end *wire_process_accept(struct wire_listener *listener, wire_stir_fn *stir, void *arg)
{
	struct wire_pair *pair = TAILQ_FIRST(&listener->queue);
	if (!pair)
		return NULL;
	wire_queue_leave(pair);
	pair->end[1].hold = WIRE_OF_PROCESS;
	pair->end[1].stir = stir;
	pair->end[1].arg = arg;
	return &pair->end[1];
}
