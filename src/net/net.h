/*
 * The loop of a process, its timers, and streams: buffered byte conversations over sys.  One
 * body, the same over the real and the simulated world.
 *
 * Callbacks run from net_turn() only, never inside a call made by their receiver; an object may
 * be closed in its own callback: it is freed at the turn's end.
 */
#ifndef NET_NET_H
#define NET_NET_H

#include "base/addr.h"
#include "base/chunk.h"
#include "sys/sys.h"

/* ---- loop ---- */
struct net_loop;

struct net_loop *net_loop_new(struct sys *sys) __attribute__((returns_nonnull));
void net_loop_free(struct net_loop **loop); /* asserts that no stream is left */
/* One turn: wait, deliver events and timers, flush what was pushed, reap what was closed.
 * False when nothing is left that could ever run again. */
bool net_turn(struct net_loop *loop);
struct sys *net_sys(struct net_loop *loop);
int64_t net_now(struct net_loop *loop);
struct chunk_pool *net_chunks(struct net_loop *loop);
/* Called once a turn in which another process woke us. */
void net_on_wake(struct net_loop *loop, void (*woken)(void *arg), void *arg);

/* ---- timers: embedded, lazy (moving one later costs nothing) ---- */
struct net_timer {
	int64_t due;    /* NEVER when not set */
	int64_t queued; /* its key in the heap; private */
	unsigned index; /* private */
	void (*fire)(void *arg);
	void *arg;
};
void net_timer_init(struct net_timer *timer, void (*fire)(void *arg), void *arg);
void net_timer_set(struct net_loop *loop, struct net_timer *timer,
	int64_t due); /* fires once, at or after due */
void net_timer_clear(struct net_loop *loop, struct net_timer *timer);

/* ---- listening ---- */
struct net_listener;
typedef void net_accept_fn(
	void *arg, struct sys_sock *sock, const struct addr *peer, const struct addr *local);
/* Poll listening socket `index` of the process; accepts in batches.  NULL: no such socket.
 * The receiver owns `sock`: net_adopt() it or sys_close() it. */
struct net_listener *net_listen(
	struct net_loop *loop, int index, net_accept_fn *accepted, void *arg);
void net_listener_close(struct net_listener **listener); /* stops polling; the socket stays open */

/* ---- streams ---- */
struct net_stream;

struct net_stream_ops {
	/* connect() finished: err is 0 or an errno.  Only for net_connect(). */
	void (*connected)(void *arg, int err);
	/* Bytes, or the end, may be there: call net_read() until IO_AGAIN, or pause.  Who stops
	 * earlier is called again in the next turn, after the others. */
	void (*readable)(void *arg);
	/* `taken` bytes went to the kernel in this turn's flush, or by a net_flush() earlier in the
	 * turn.  May be NULL. */
	void (*sent)(void *arg, size_t taken);
	/* Everything pushed has gone to the kernel, or little enough is left (below the low mark)
	 * after it had been above the high mark.  May be NULL. */
	void (*drained)(void *arg);
	/* Writing failed (errno): what was not reported by sent() never went out. */
	void (*broken)(void *arg, int err);
	/* The peer has closed its half, and there may still be bytes to read before it.  At most
	 * once; comes even while reading is paused.  May be NULL. */
	void (*hangup)(void *arg);
};

/* Begin to connect; connected() follows, also when it fails at once. */
struct net_stream *net_connect(struct net_loop *loop, const struct sys_endpoint *endpoint,
	const struct net_stream_ops *ops, void *arg);
struct net_stream *net_adopt(
	struct net_loop *loop, struct sys_sock *sock, const struct net_stream_ops *ops, void *arg);
/* A new owner.  It hears again what holds: that there is something to read, or a hangup; what is
 * still unsent counts as its own. */
void net_stream_hand_over(struct net_stream *stream, const struct net_stream_ops *ops, void *arg);

/* Append received bytes to `into` (which has room); also while paused.  IO_OK: into->len grew.
 * IO_EOF: the peer's FIN, everything before it was read.  IO_FAILED: reset; *err_r (may be NULL).
 */
enum io net_read(struct net_stream *stream, struct chunk *into, int *err_r);
/* While paused readable() does not come; bytes wait in the kernel and the peer is held back. */
void net_pause(struct net_stream *stream, bool paused);

/* Queue for sending; flushed together at the turn's end.  References are taken or moved. */
void net_push(struct net_stream *stream, struct chain *chain); /* empties `chain` */
/* Flush now, where a later moment in the turn would be too late. */
void net_flush(struct net_stream *stream);
size_t net_unsent(
	const struct net_stream *stream); /* above NET_HIGH: stop producing until drained() */
#ifndef MAILWEIR_TESTING
#define NET_HIGH (256u * 1024)
#define NET_LOW  (64u * 1024)
#else /* above a BDAT frame, and so low that a simulated message is held back */
#define NET_HIGH (96u * 1024)
#define NET_LOW  (24u * 1024)
#endif

/* Sets *stream to NULL; no callback after.  NET_CLOSE_FLUSHED sends what was pushed first (at
 * most `NET_LINGER`), then FIN, and reads and drops what the peer still sends for as long, so that
 * no reset eats our last reply. */
enum net_close { NET_CLOSE_NOW, NET_CLOSE_RESET, NET_CLOSE_FLUSHED };
#define NET_LINGER (5 * SECOND)
void net_close(struct net_stream **stream, enum net_close how);

#endif
