/*
 * The loop: one turn after the other, in the order that private.h draws.
 */
#include <assert.h>
#include <stdlib.h>

#include "net/private.h"

enum { EVENTS_PER_TURN = 256 };

struct net_loop *net_loop_new(struct sys *sys)
{
	struct net_loop *loop = mem_new(sizeof(*loop));
	loop->sys = sys;
	loop->chunks = chunk_pool_new();
	TAILQ_INIT(&loop->visits);
	TAILQ_INIT(&loop->dead);
	TAILQ_INIT(&loop->flushes);
	LIST_INIT(&loop->lingering);
	return loop;
}

struct sys *net_sys(struct net_loop *loop)
{
	return loop->sys;
}

int64_t net_now(struct net_loop *loop)
{
	return sys_now(loop->sys);
}

struct chunk_pool *net_chunks(struct net_loop *loop)
{
	return loop->chunks;
}

void net_on_wake(struct net_loop *loop, void (*woken)(void *arg), void *arg)
{
	loop->woken = woken;
	loop->woken_arg = arg;
}

void net_queue_visit(struct net_loop *loop, struct net_polled *polled)
{
	if (polled->queued || polled->dead)
		return;
	polled->queued = true;
	TAILQ_INSERT_TAIL(&loop->visits, polled, next);
}

void net_bury(struct net_loop *loop, struct net_polled *polled)
{
	assert(!polled->dead);
	if (polled->queued)
		TAILQ_REMOVE(&loop->visits, polled, next);
	polled->queued = false;
	polled->dead = true;
	TAILQ_INSERT_TAIL(&loop->dead, polled, next);
}

static void reap(struct net_loop *loop)
{
	struct net_polled *polled;
	while ((polled = TAILQ_FIRST(&loop->dead))) {
		TAILQ_REMOVE(&loop->dead, polled, next);
		polled->polled_ops->free(polled);
	}
}

/* Those that queue themselves meanwhile come in the next turn. */
static void visit_all(struct net_loop *loop)
{
	struct net_polled mark = {.queued = true};
	struct net_polled *polled;
	if (TAILQ_EMPTY(&loop->visits))
		return;
	TAILQ_INSERT_TAIL(&loop->visits, &mark, next);
	while ((polled = TAILQ_FIRST(&loop->visits)) != &mark) {
		TAILQ_REMOVE(&loop->visits, polled, next);
		polled->queued = false;
		polled->polled_ops->visit(polled);
	}
	TAILQ_REMOVE(&loop->visits, &mark, next);
}

/* When to stop waiting if nothing happens. */
static int64_t turn_until(struct net_loop *loop)
{
	if (!TAILQ_EMPTY(&loop->visits) || !TAILQ_EMPTY(&loop->flushes))
		return 0;
	return net_timers_next(loop);
}

bool net_turn(struct net_loop *loop)
{
	struct sys_event events[EVENTS_PER_TURN];
	bool woken = false;
	int64_t until = turn_until(loop);
	if (until == NEVER && loop->streams == 0 && loop->listeners == 0 && sys_idle(loop->sys)) {
		reap(loop);
		return false;
	}
	int count = sys_wait(loop->sys, events, EVENTS_PER_TURN, until, &woken);
	loop->turn++;
	for (int i = 0; i < count; i++) {
		struct net_polled *polled = events[i].owner;
		assert(polled && !polled->dead);
		polled->polled_ops->event(polled, events[i].ready);
	}
	if (woken && loop->woken)
		loop->woken(loop->woken_arg);
	visit_all(loop);
	net_timers_fire(loop);
	net_streams_flush(loop);
	reap(loop);
	return true;
}

void net_loop_free(struct net_loop **loopp)
{
	struct net_loop *loop = *loopp;
	*loopp = NULL;
	net_linger_stop_all(loop);
	reap(loop);
	assert(loop->streams == 0 && loop->listeners == 0);
	free(loop->timers.heap);
	chunk_pool_free(&loop->chunks);
	free(loop);
}
