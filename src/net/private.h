/*
 * What the files of net share.  A turn of the loop goes in this order, and each polled thing is
 * visited and flushed at most once in it, so that one busy peer can't starve the others:
 *
 *     sys_wait ─► note events ─► wake ─► visits ─► timers ─► flushes ─► reap
 *                                          │                    │
 *        connected, readable, hangup ◄─────┘                    └────► sent, broken, drained
 *
 * Timers come after visits: a reply that has arrived beats the time-out that would have given
 * it up, however late we are.
 */
#ifndef NET_PRIVATE_H
#define NET_PRIVATE_H

#include "net/net.h"

struct net_polled;

struct net_polled_ops {
	void (*event)(struct net_polled *polled, unsigned ready); /* only notes it; calls nobody */
	void (*visit)(struct net_polled *polled);
	void (*free)(struct net_polled *polled);
};

/* What sys reports events for: the first member of streams and listeners. */
struct net_polled {
	const struct net_polled_ops *polled_ops;
	TAILQ_ENTRY(net_polled) next; /* in visits, or among the dead */
	bool queued, dead;
};
TAILQ_HEAD(net_polled_list, net_polled);
TAILQ_HEAD(net_stream_list, net_stream);

struct net_loop {
	struct sys *sys;
	struct chunk_pool *chunks;
	uint64_t turn;
	unsigned streams, listeners; /* not dead */
	struct net_polled_list visits, dead;
	struct net_stream_list flushes;
	LIST_HEAD(, net_linger) lingering;
	struct {
		struct net_timer **heap; /* 1 ... count */
		unsigned count, room;
	} timers;
	void (*woken)(void *arg);
	void *woken_arg;
};

/* ---- loop.c ---- */
void net_queue_visit(struct net_loop *loop, struct net_polled *polled);
void net_bury(struct net_loop *loop, struct net_polled *polled); /* freed at the turn's end */

/* ---- timer.c ---- */
int64_t net_timers_next(struct net_loop *loop); /* NEVER: none is set */
void net_timers_fire(struct net_loop *loop);

/* ---- stream.c ---- */
struct net_stream {
	struct net_polled polled;
	struct net_loop *loop;
	struct sys_sock *sock; /* NULL: could not be opened, or closed */
	const struct net_stream_ops *ops;
	void *arg;
	struct chain out;
	size_t untold; /* bytes that went to the kernel and sent() doesn't know of */
	TAILQ_ENTRY(net_stream) flush_next;
	uint64_t flushed_in; /* the last turn it was */
	struct net_linger *linger;
	int read_err, write_err; /* an errno that ended that direction, or 0 */
	bool connecting;
	bool readable; /* the kernel may have something; kept while paused */
	bool paused;
	bool eof;      /* the peer's FIN was read */
	bool blocked;  /* the kernel took no more; SYS_WRITE will come */
	bool was_high; /* drained() is due when little is left */
	bool flush_queued;
	bool hung, hung_told;
	bool broken_told;
};

void net_streams_flush(struct net_loop *loop);

/* ---- linger.c ---- */
void net_linger_begin(struct net_stream *stream);
void net_linger_stop_all(struct net_loop *loop);

#endif
