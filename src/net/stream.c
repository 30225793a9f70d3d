/*
 * Streams: a byte conversation with buffers, over one socket.
 *
 *     peer ──► kernel ──(readable)──► net_read ──► chunks of the owner
 *     peer ◄── kernel ◄──(flush)───── out ◄─────── net_push
 *
 * The kernel tells readiness once, so `readable` and `blocked` remember it: `readable` outlives a
 * pause, or the wake-up would be lost and the conversation stand still for ever.  It goes when a
 * read brings less than there was room for: what comes later is told anew.  Only after the
 * peer's FIN, which is told once and then waits behind the data, must we read to the very end.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "net/private.h"

enum { IOV_MAX_PIECES = 64 };

/* ---- events ---- */

static void queue_flush(struct net_stream *stream)
{
	if (stream->flush_queued || stream->polled.dead)
		return;
	stream->flush_queued = true;
	TAILQ_INSERT_TAIL(&stream->loop->flushes, stream, flush_next);
}

static void stream_event(struct net_polled *polled, unsigned ready)
{
	struct net_stream *stream = (struct net_stream *)polled;
	if (ready & (SYS_READ | SYS_HANGUP))
		stream->readable = !stream->eof && !stream->read_err;
	if (ready & SYS_HANGUP)
		stream->hung = true;
	if ((ready & SYS_WRITE) && stream->blocked) {
		stream->blocked = false;
		queue_flush(stream);
	}
	bool to_read = stream->readable && !stream->paused;
	if (stream->connecting || to_read || (stream->hung && !stream->hung_told))
		net_queue_visit(stream->loop, polled);
}

/* ---- visits ---- */

static void stream_fail(struct net_stream *stream, int err)
{
	stream->read_err = stream->write_err = err;
	stream->broken_told = true; /* by connected() */
	stream->readable = stream->hung = false;
	chain_clear(&stream->out);
	if (stream->sock)
		sys_close(&stream->sock, false);
}

/* Returns false while it isn't decided. */
static bool visit_connecting(struct net_stream *stream)
{
	int err = stream->write_err;
	if (stream->sock && sys_connected(stream->sock, &err) == IO_AGAIN)
		return false;
	stream->connecting = false;
	if (err)
		stream_fail(stream, err);
	else if (stream->out.len > 0)
		queue_flush(stream);
	stream->ops->connected(stream->arg, err);
	return true;
}

static bool wants_reading(const struct net_stream *stream)
{
	return stream->readable && !stream->paused && !stream->polled.dead;
}

static void stream_visit(struct net_polled *polled)
{
	struct net_stream *stream = (struct net_stream *)polled;
	if (stream->connecting && !visit_connecting(stream))
		return;
	if (wants_reading(stream))
		stream->ops->readable(stream->arg);
	if (!polled->dead && stream->hung && !stream->hung_told) {
		stream->hung_told = true;
		if (stream->ops->hangup)
			stream->ops->hangup(stream->arg);
	}
	/* It may read a little at a time: others come in between. */
	if (wants_reading(stream))
		net_queue_visit(stream->loop, polled);
}

static void stream_free(struct net_polled *polled)
{
	struct net_stream *stream = (struct net_stream *)polled;
	free(stream->linger);
	free(stream);
}

static const struct net_polled_ops stream_ops = {
	.event = stream_event,
	.visit = stream_visit,
	.free = stream_free,
};

/* ---- making ---- */

static struct net_stream *stream_new(
	struct net_loop *loop, const struct net_stream_ops *ops, void *arg)
{
	struct net_stream *stream = mem_new(sizeof(*stream));
	stream->polled.polled_ops = &stream_ops;
	stream->loop = loop;
	stream->ops = ops;
	stream->arg = arg;
	chain_init(&stream->out, loop->chunks);
	loop->streams++;
	return stream;
}

struct net_stream *net_connect(struct net_loop *loop, const struct sys_endpoint *endpoint,
	const struct net_stream_ops *ops, void *arg)
{
	struct net_stream *stream = stream_new(loop, ops, arg);
	assert(ops->connected);
	stream->connecting = true;
	if (sys_open(loop->sys, endpoint, &stream->polled, &stream->sock, &stream->write_err) !=
		IO_OK)
		net_queue_visit(loop, &stream->polled);
	return stream;
}

struct net_stream *net_adopt(
	struct net_loop *loop, struct sys_sock *sock, const struct net_stream_ops *ops, void *arg)
{
	struct net_stream *stream = stream_new(loop, ops, arg);
	stream->sock = sock;
	sys_sock_own(sock, &stream->polled);
	return stream;
}

void net_stream_hand_over(struct net_stream *stream, const struct net_stream_ops *ops, void *arg)
{
	stream->ops = ops;
	stream->arg = arg;
	/* What the old owner was told, the new one must hear as well. */
	stream->hung_told = false;
	stream->untold = 0; /* that was the old one's */
	if (stream->eof || stream->read_err)
		stream->readable = true;
	if (stream->hung || wants_reading(stream))
		net_queue_visit(stream->loop, &stream->polled);
}

/* ---- reading ---- */

static enum io read_ended(struct net_stream *stream, int *err_r)
{
	stream->readable = false;
	if (err_r)
		*err_r = stream->read_err;
	return stream->read_err ? IO_FAILED : IO_EOF;
}

enum io net_read(struct net_stream *stream, struct chunk *into, int *err_r)
{
	size_t room = chunk_tail(into), got = 0;
	assert(room > 0);
	if (stream->eof || stream->read_err)
		return read_ended(stream, err_r);
	if (!stream->readable || stream->connecting)
		return IO_AGAIN;
	switch (sys_recv(stream->sock, into->at + into->len, room, &got, &stream->read_err)) {
	case IO_OK:
		into->len += (uint32_t)got;
		if (got < room && !stream->hung)
			stream->readable = false;
		return IO_OK;
	case IO_AGAIN:
		stream->read_err = 0;
		stream->readable = false;
		return IO_AGAIN;
	case IO_EOF:
		/* A reset that a write has met first reads as a plain end: it isn't one. */
		stream->eof = true;
		stream->read_err = stream->write_err;
		return read_ended(stream, err_r);
	case IO_FAILED:
		break;
	}
	return read_ended(stream, err_r);
}

void net_pause(struct net_stream *stream, bool paused)
{
	stream->paused = paused;
	if (wants_reading(stream))
		net_queue_visit(stream->loop, &stream->polled);
}

/* ---- writing ---- */

void net_push(struct net_stream *stream, struct chain *chain)
{
	chain_move(&stream->out, chain);
	if (stream->write_err)
		chain_clear(&stream->out); /* broken() was told or is about to be */
	if (stream->out.len >= NET_HIGH)
		stream->was_high = true;
	if (stream->out.len > 0 && !stream->blocked)
		queue_flush(stream);
}

size_t net_unsent(const struct net_stream *stream)
{
	return stream->out.len;
}

static int iov_fill(const struct chain *out, struct iovec iov[IOV_MAX_PIECES])
{
	struct chain_piece *piece;
	int count = 0;
	CHAIN_FOREACH (piece, out) {
		if (count == IOV_MAX_PIECES)
			break;
		iov[count++] = (struct iovec){
			.iov_base = piece->chunk->at + piece->at,
			.iov_len = piece->len,
		};
	}
	return count;
}

/* Gives the kernel what it takes.  Calls nobody: what went is noted in `untold`. */
static void stream_write(struct net_stream *stream)
{
	struct iovec iov[IOV_MAX_PIECES];
	if (stream->connecting || stream->blocked || stream->write_err)
		return;
	while (stream->out.len > 0) {
		size_t sent = 0;
		int err = 0;
		int count = iov_fill(&stream->out, iov);
		enum io io = sys_sendv(stream->sock, iov, count, &sent, &err);
		if (io == IO_OK) {
			chain_eat(&stream->out, sent);
			stream->untold += sent;
		} else if (io == IO_AGAIN) {
			stream->blocked = true;
			return;
		} else {
			stream->write_err = err;
			chain_clear(&stream->out);
			return;
		}
	}
}

static void tell_sent(struct net_stream *stream)
{
	size_t taken = stream->untold;
	stream->untold = 0;
	if (taken > 0 && stream->ops->sent)
		stream->ops->sent(stream->arg, taken);
	if (stream->polled.dead || stream->write_err || !stream->ops->drained)
		return;
	bool low = stream->was_high && stream->out.len < NET_LOW;
	if (low || (taken > 0 && stream->out.len == 0)) {
		stream->was_high = false;
		stream->ops->drained(stream->arg);
	}
}

static void stream_flush(struct net_stream *stream)
{
	stream->flushed_in = stream->loop->turn;
	stream_write(stream);
	tell_sent(stream);
	if (!stream->polled.dead && stream->write_err && !stream->broken_told) {
		stream->broken_told = true;
		if (stream->ops->broken)
			stream->ops->broken(stream->arg, stream->write_err);
	}
}

void net_streams_flush(struct net_loop *loop)
{
	struct net_stream_list later = TAILQ_HEAD_INITIALIZER(later);
	struct net_stream *stream;
	/* sent() and drained() may push more, to this stream or another.  Each has one go a turn.
	 */
	while ((stream = TAILQ_FIRST(&loop->flushes))) {
		TAILQ_REMOVE(&loop->flushes, stream, flush_next);
		if (stream->flushed_in == loop->turn) {
			TAILQ_INSERT_TAIL(&later, stream, flush_next);
			continue;
		}
		stream->flush_queued = false;
		stream_flush(stream);
	}
	TAILQ_CONCAT(&loop->flushes, &later, flush_next);
}

void net_flush(struct net_stream *stream)
{
	stream_write(stream);
	if (stream->untold > 0 || stream->write_err)
		queue_flush(stream); /* to tell, since here the owner is calling */
}

/* ---- closing ---- */

void net_close(struct net_stream **streamp, enum net_close how)
{
	struct net_stream *stream = *streamp;
	struct net_loop *loop = stream->loop;
	*streamp = NULL;
	assert(!stream->polled.dead);
	bool usable =
		stream->sock && !stream->connecting && !stream->write_err && !stream->read_err;
	if (how == NET_CLOSE_FLUSHED && usable && (stream->out.len > 0 || !stream->eof)) {
		net_linger_begin(stream);
		return;
	}
	if (stream->sock)
		sys_close(&stream->sock, how == NET_CLOSE_RESET);
	if (stream->flush_queued)
		TAILQ_REMOVE(&loop->flushes, stream, flush_next);
	stream->flush_queued = false;
	chain_clear(&stream->out);
	loop->streams--;
	net_bury(loop, &stream->polled);
}
