/*
 * A stream's last moments, when its owner has gone: send the rest, say that we are done, and go
 * on reading for a while.
 *
 *     sending ──(all sent: FIN)──► dropping ──(peer's FIN, limit, NET_LINGER)──► closed
 *
 * A kernel that closes a socket with bytes unread sends a reset, and that reset makes the peer's
 * kernel throw away what the peer hasn't read: our last reply, which told it why.  A lingering
 * stream is an ordinary one whose owner is this file.
 */
#include "net/private.h"

/* A peer that doesn't listen may fill this much; then it gets its reset. */
enum { DROP_MAX = 1024 * 1024 };

struct net_linger {
	LIST_ENTRY(net_linger) next;
	struct net_loop *loop;
	struct net_stream *stream;
	struct net_timer timer;
	size_t dropped;
	bool finished; /* our FIN is out */
	bool ended;    /* theirs has come */
};

static void linger_end(struct net_linger *linger)
{
	net_timer_clear(linger->loop, &linger->timer);
	LIST_REMOVE(linger, next);
	net_close(&linger->stream, NET_CLOSE_NOW);
}

static void linger_late(void *arg)
{
	linger_end(arg);
}

/* With nothing left to send: our FIN, or the end if theirs has come. */
static void linger_finish(struct net_linger *linger)
{
	if (linger->finished)
		return;
	linger->finished = true;
	if (linger->ended || linger->dropped >= DROP_MAX) {
		linger_end(linger);
		return;
	}
	sys_shutdown(linger->stream->sock);
	net_timer_set(linger->loop, &linger->timer, net_now(linger->loop) + NET_LINGER);
}

static void linger_readable(void *arg)
{
	struct net_linger *linger = arg;
	struct chunk *scratch = chunk_new(linger->loop->chunks, CHUNK_LARGE);
	enum io io = net_read(linger->stream, scratch, NULL);
	linger->dropped += scratch->len;
	chunk_unref(&scratch);
	if (io == IO_EOF || io == IO_FAILED)
		linger->ended = true;
	bool enough = linger->ended || linger->dropped >= DROP_MAX;
	if (io == IO_FAILED || (enough && linger->finished))
		linger_end(linger);
	else if (enough)
		net_pause(linger->stream, true);
}

static void linger_drained(void *arg)
{
	struct net_linger *linger = arg;
	if (net_unsent(linger->stream) == 0)
		linger_finish(linger);
}

static void linger_broken(void *arg, int err)
{
	(void)err;
	linger_end(arg);
}

static const struct net_stream_ops linger_ops = {
	.readable = linger_readable,
	.drained = linger_drained,
	.broken = linger_broken,
};

void net_linger_begin(struct net_stream *stream)
{
	struct net_linger *linger = mem_new(sizeof(*linger));
	linger->loop = stream->loop;
	linger->stream = stream;
	stream->linger = linger;
	net_timer_init(&linger->timer, linger_late, linger);
	net_timer_set(linger->loop, &linger->timer, net_now(linger->loop) + NET_LINGER);
	LIST_INSERT_HEAD(&linger->loop->lingering, linger, next);
	net_stream_hand_over(stream, &linger_ops, linger);
	net_pause(stream, false);
	if (net_unsent(stream) == 0)
		linger_finish(linger);
}

void net_linger_stop_all(struct net_loop *loop)
{
	struct net_linger *linger;
	while ((linger = LIST_FIRST(&loop->lingering)))
		linger_end(linger);
}
