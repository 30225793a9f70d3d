/*
 * Timers: a binary heap of pointers into the objects that time things.
 *
 * Time-outs are moved far more often than they fire: each byte from a peer pushes one further
 * into the future.  So a timer moved later stays where it is in the heap, keyed by `queued`; only
 * when that moment comes up is it put where `due` says.
 */
#include <assert.h>
#include <stdlib.h>

#include "net/private.h"

static void heap_put(struct net_loop *loop, unsigned at, struct net_timer *timer)
{
	loop->timers.heap[at] = timer;
	timer->index = at;
}

static void heap_up(struct net_loop *loop, unsigned at)
{
	struct net_timer **heap = loop->timers.heap, *timer = heap[at];
	while (at > 1 && heap[at / 2]->queued > timer->queued) {
		heap_put(loop, at, heap[at / 2]);
		at /= 2;
	}
	heap_put(loop, at, timer);
}

static void heap_down(struct net_loop *loop, unsigned at)
{
	struct net_timer **heap = loop->timers.heap, *timer = heap[at];
	unsigned count = loop->timers.count;
	for (;;) {
		unsigned child = at * 2;
		if (child < count && heap[child + 1]->queued < heap[child]->queued)
			child++;
		if (child > count || heap[child]->queued >= timer->queued)
			break;
		heap_put(loop, at, heap[child]);
		at = child;
	}
	heap_put(loop, at, timer);
}

static void heap_add(struct net_loop *loop, struct net_timer *timer)
{
	unsigned count = ++loop->timers.count;
	if (count >= loop->timers.room) {
		loop->timers.room = loop->timers.room ? loop->timers.room * 2 : 64;
		loop->timers.heap =
			mem_grow(loop->timers.heap, loop->timers.room, sizeof(struct net_timer *));
	}
	timer->queued = timer->due;
	heap_put(loop, count, timer);
	heap_up(loop, count);
}

static void heap_remove(struct net_loop *loop, struct net_timer *timer)
{
	unsigned at = timer->index;
	assert(at > 0 && at <= loop->timers.count && loop->timers.heap[at] == timer);
	struct net_timer *last = loop->timers.heap[loop->timers.count--];
	timer->index = 0;
	if (last == timer)
		return;
	heap_put(loop, at, last);
	heap_down(loop, at);
	heap_up(loop, last->index);
}

void net_timer_init(struct net_timer *timer, void (*fire)(void *arg), void *arg)
{
	*timer = (struct net_timer){.due = NEVER, .queued = NEVER, .fire = fire, .arg = arg};
}

void net_timer_set(struct net_loop *loop, struct net_timer *timer, int64_t due)
{
	timer->due = due;
	if (timer->index == 0) {
		if (due != NEVER)
			heap_add(loop, timer);
	} else if (due < timer->queued) {
		timer->queued = due;
		heap_up(loop, timer->index);
	}
}

void net_timer_clear(struct net_loop *loop, struct net_timer *timer)
{
	/* Out of the heap, not lazily: its memory may be freed next. */
	timer->due = NEVER;
	if (timer->index > 0)
		heap_remove(loop, timer);
}

/* Puts those that were moved where they belong, until the first is where it says. */
static struct net_timer *first_settled(struct net_loop *loop)
{
	while (loop->timers.count > 0) {
		struct net_timer *first = loop->timers.heap[1];
		if (first->due == first->queued)
			return first;
		if (first->due == NEVER) {
			heap_remove(loop, first);
		} else {
			first->queued = first->due;
			heap_down(loop, 1);
		}
	}
	return NULL;
}

int64_t net_timers_next(struct net_loop *loop)
{
	const struct net_timer *first = first_settled(loop);
	return first ? first->due : NEVER;
}

void net_timers_fire(struct net_loop *loop)
{
	/* At most as many as there were: one that sets itself anew for now waits for the next turn.
	 */
	for (unsigned most = loop->timers.count; most > 0; most--) {
		struct net_timer *first = first_settled(loop);
		if (!first || first->due > net_now(loop))
			return;
		net_timer_clear(loop, first);
		first->fire(first->arg);
	}
}
