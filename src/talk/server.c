/*
 * The conversation with a client.
 *
 *     net: readable, drained, broken, hangup      timers: patience, kick
 *                 `-----------------.   .-----------------'
 *                                 work()
 *                       deliver --> read --> deliver ... --> conclude
 *                          |                                    |
 *                  ops to the owner                 push replies, close, tell of
 *                                                   a hangup, set pause and timer
 *
 * Everything that calls the owner back happens inside work(), which only the net enters.  What the
 * owner calls, inside a callback or from anywhere else, sends what is ready and leaves a mark;
 * `kick` then brings work() about, so that bytes already read are never forgotten.
 */
#include "talk/server.h"

#include <assert.h>
#include <stdlib.h>

#include "base/testing.h"
#include "talk/input.h"
#include "talk/patience.h"

/* So much is read in one turn before others have theirs; the net then comes back by itself. */
#define READ_BUDGET (4u * CHUNK_LARGE)

struct talk_server {
	struct net_loop *loop;
	struct net_stream *stream; /* NULL: over */
	struct smtp_server *smtp;
	const struct talk_server_ops *ops;
	void *arg;
	struct talk_input in;
	struct talk_patience patience;
	struct net_timer timer, kick;
	enum talk_close why; /* to be told when SMTP is quitting and all is sent */
	bool busy;           /* inside work() */
	bool freed;          /* by the owner, while busy */
	bool hung;           /* the client has closed its half */
	bool eof;            /* and all it sent was read */
	bool told;           /* the owner of that */
	bool lost;           /* the socket has failed */
	bool paused;         /* by the owner */
	bool choked;         /* the client doesn't take our replies */
	bool bulky;          /* a chunk was filled by this body */
	bool quitting;       /* the last wait began: for the replies to leave */
};

/* ---- the end ---- */

static void push(struct talk_server *talk)
{
	struct chain *out = smtp_server_out(talk->smtp);

	if (talk->stream && out->len > 0)
		net_push(talk->stream, out);
}

static void hang_up(struct talk_server *talk, enum net_close how)
{
	net_timer_clear(talk->loop, &talk->timer);
	net_timer_clear(talk->loop, &talk->kick);
	if (talk->stream)
		net_close(&talk->stream, how);
}

static void finish(struct talk_server *talk, enum talk_close why)
{
	push(talk);
	hang_up(talk, talk->lost ? NET_CLOSE_NOW : NET_CLOSE_FLUSHED);
	talk->ops->closed(talk->arg, why);
}

static void release(struct talk_server *talk)
{
	talk_input_clear(&talk->in);
	smtp_server_free(&talk->smtp);
	free(talk);
}

/* ---- events out of the unread bytes ---- */

static bool may_deliver(const struct talk_server *talk)
{
	return talk->stream && !talk->freed && !talk->told && !talk->lost && !talk->paused &&
	       !talk->choked && !smtp_server_quitting(talk->smtp);
}

static void tell_body(struct talk_server *talk, struct span body)
{
	if (body.len == 0)
		return;
	talk_patience_octets(&talk->patience, body.len, net_now(talk->loop));
	if (PLANTED(dropped_byte) &&
		body.at + body.len == talk->in.chunk->at + talk->in.chunk->room)
		body.len--;
	talk->ops->body(
		talk->arg, talk->in.chunk, (size_t)(body.at - talk->in.chunk->at), body.len);
}

static void tell_body_end(struct talk_server *talk, const struct smtp_server_event *event)
{
	if (event->last)
		talk_patience_body_over(&talk->patience, net_now(talk->loop));
	talk->bulky = false;
	talk->ops->body_end(talk->arg, event->slot, event->last, event->flaw);
}

static void tell_command(struct talk_server *talk, const struct smtp_server_event *event)
{
	enum smtp_verb verb = event->command.verb;
	int64_t now = net_now(talk->loop);

	talk_patience_command(&talk->patience, now);
	if (verb == VERB_RSET || verb == VERB_EHLO || verb == VERB_HELO || verb == VERB_MAIL)
		talk_patience_body_over(&talk->patience, now);
	if (verb == VERB_QUIT)
		talk->why = CLOSE_QUIT;
	talk->ops->command(talk->arg, &event->command, event->slot);
}

static void tell_answered(struct talk_server *talk, enum smtp_own own)
{
	talk_patience_command(&talk->patience, net_now(talk->loop));
	if (own == SMTP_OWN_BYE)
		talk->why = CLOSE_QUIT;
	if (talk->ops->answered)
		talk->ops->answered(talk->arg, own);
}

static void dispatch(struct talk_server *talk, const struct smtp_server_event *event)
{
	switch (event->kind) {
	case SRV_MORE:
		break;
	case SRV_COMMAND:
		tell_command(talk, event);
		break;
	case SRV_ANSWERED:
		tell_answered(talk, event->own);
		break;
	case SRV_BODY:
		tell_body(talk, event->body);
		break;
	case SRV_FLAW:
		talk->ops->flaw(talk->arg, event->flaw);
		break;
	case SRV_BODY_END:
		tell_body_end(talk, event);
		break;
	case SRV_BROKEN:
		talk->why = CLOSE_PROTOCOL;
		break;
	}
}

/* The event's spans point into the chunk, so its bytes are eaten only after the callback. */
static void deliver(struct talk_server *talk)
{
	struct smtp_server_event event;

	do {
		size_t eaten;

		if (talk_server_unsent(talk) > NET_HIGH)
			talk->choked = true;
		if (!may_deliver(talk))
			return;
		eaten = smtp_server_next(talk->smtp, talk_input_unread(&talk->in), &event);
		dispatch(talk, &event);
		talk_input_eat(&talk->in, eaten);
	} while (event.kind != SRV_MORE);
}

/* ---- reading ---- */

/* What SMTP leaves unread is the beginning of a line, or it waits for an answer of the owner's:
 * the rest of a window may come, more is held back in the kernel. */
static bool wants_bytes(const struct talk_server *talk)
{
	return may_deliver(talk) && !talk->eof && talk_input_len(&talk->in) < SMTP_SERVER_WINDOW;
}

static enum io read_once(struct talk_server *talk, size_t *got_r)
{
	struct chunk *chunk;
	size_t before;
	enum io io;

	if (talk_input_full(&talk->in) && smtp_server_in_body(talk->smtp))
		talk->bulky = true;
	chunk = talk_input_room(
		&talk->in, net_chunks(talk->loop), talk->bulky ? CHUNK_LARGE : CHUNK_SMALL);
	before = chunk->len;
	io = net_read(talk->stream, chunk, NULL);
	*got_r = chunk->len - before;
	return io;
}

static void read_on(struct talk_server *talk)
{
	size_t sum = 0, got;

	while (wants_bytes(talk) && sum < READ_BUDGET) {
		switch (read_once(talk, &got)) {
		case IO_OK:
			sum += got;
			deliver(talk);
			break;
		case IO_AGAIN:
			return;
		case IO_EOF:
			talk->hung = talk->eof = true;
			break;
		case IO_FAILED:
			talk->hung = talk->lost = true;
			break;
		}
	}
}

/* ---- what a turn ends with ---- */

static void tell_hangup(struct talk_server *talk)
{
	talk->told = true;
	talk->ops->hangup(talk->arg, CLOSE_PEER_CLOSED);
	push(talk);
}

static enum talk_patience_state bounded_wait(const struct talk_server *talk)
{
	if (talk->told || talk->paused || smtp_server_pending(talk->smtp) > 0)
		return PATIENCE_OFF;
	return smtp_server_in_body(talk->smtp) ? PATIENCE_BODY : PATIENCE_COMMAND;
}

/* The last replies are leaving: a client that doesn't take them can't hold us. */
static void quit(struct talk_server *talk)
{
	if (net_unsent(talk->stream) == 0) {
		finish(talk, talk->why);
		return;
	}
	if (!talk->quitting)
		net_timer_set(talk->loop, &talk->timer, net_now(talk->loop) + NET_LINGER);
	talk->quitting = true;
}

static void set_timer(struct talk_server *talk)
{
	enum talk_close why;

	talk_patience_move(&talk->patience, bounded_wait(talk), net_now(talk->loop));
	net_timer_set(talk->loop, &talk->timer, talk_patience_due(&talk->patience, &why));
}

static void settle(struct talk_server *talk)
{
	if (talk_input_len(&talk->in) == 0 && !smtp_server_in_body(talk->smtp))
		talk_input_clear(&talk->in);
	net_pause(talk->stream, !wants_bytes(talk));
	if (!talk->quitting)
		set_timer(talk);
}

static void conclude(struct talk_server *talk)
{
	push(talk);
	if (talk->stream && talk->lost)
		finish(talk, CLOSE_RESET);
	else if (talk->stream && !talk->told && smtp_server_quitting(talk->smtp) &&
		 smtp_server_pending(talk->smtp) == 0)
		quit(talk);
	if (talk->stream && !talk->freed && talk->hung && !talk->told && !talk->quitting &&
		!wants_bytes(talk))
		tell_hangup(talk);
	if (talk->stream && !talk->freed)
		settle(talk);
}

static void work(struct talk_server *talk, bool readable)
{
	assert(!talk->busy && talk->stream);
	talk->busy = true;
	deliver(talk);
	if (readable)
		read_on(talk);
	conclude(talk);
	talk->busy = false;
	if (talk->freed)
		release(talk);
	else if (!talk->stream)
		talk_input_clear(&talk->in);
}

/* ---- what the net tells ---- */

static void on_readable(void *arg)
{
	work(arg, true);
}

static void on_drained(void *arg)
{
	struct talk_server *talk = arg;

	talk->choked = false;
	talk->busy = true;
	if (talk->ops->written && talk_server_unsent(talk) == 0)
		talk->ops->written(talk->arg);
	talk->busy = false;
	if (talk->freed)
		release(talk);
	else if (talk->stream)
		work(talk, false);
}

static void on_broken(void *arg, int err)
{
	struct talk_server *talk = arg;

	(void)err;
	talk->hung = talk->lost = true;
	work(talk, false);
}

/* The bytes in front of the end are still to be read, unless reading is held back. */
static void on_hangup(void *arg)
{
	struct talk_server *talk = arg;

	talk->hung = true;
	work(talk, false);
}

static const struct net_stream_ops stream_ops = {
	.readable = on_readable,
	.drained = on_drained,
	.broken = on_broken,
	.hangup = on_hangup,
};

static void on_kick(void *arg)
{
	work(arg, false);
}

static void give_up(struct talk_server *talk, enum talk_close why)
{
	bool too_slow = why == CLOSE_TOO_SLOW || talk->patience.state == PATIENCE_BODY;

	smtp_server_say(talk->smtp, too_slow ? SMTP_OWN_TOO_SLOW : SMTP_OWN_IDLE, NULL);
	finish(talk, why);
}

static void on_timer(void *arg)
{
	struct talk_server *talk = arg;
	enum talk_close why;

	talk->busy = true;
	if (talk->quitting)
		finish(talk, talk->why);
	else if (talk_patience_due(&talk->patience, &why) <= net_now(talk->loop))
		give_up(talk, why);
	talk->busy = false;
	if (talk->freed)
		release(talk);
	else if (talk->stream)
		work(talk, false);
}

/* ---- what the owner calls ---- */

static struct talk_server *begin(struct net_loop *loop, const struct smtp_server_rules *rules,
	const struct talk_server_times *times, const struct talk_server_ops *ops, void *arg)
{
	struct talk_server *talk = mem_new(sizeof(*talk));

	talk->loop = loop;
	talk->ops = ops;
	talk->arg = arg;
	talk->why = CLOSE_LIMIT;
	talk_patience_init(&talk->patience, times);
	net_timer_init(&talk->timer, on_timer, talk);
	net_timer_init(&talk->kick, on_kick, talk);
	talk->smtp = smtp_server_new(net_chunks(loop), rules);
	return talk;
}

static void greet(struct talk_server *talk, const char *hostname)
{
	smtp_server_say(talk->smtp, SMTP_OWN_BANNER, hostname);
	push(talk);
	settle(talk);
}

struct talk_server *talk_server_new(struct net_loop *loop, struct sys_sock *sock,
	const char *hostname, const struct smtp_server_rules *rules,
	const struct talk_server_times *times, const struct talk_server_ops *ops, void *arg)
{
	struct talk_server *talk = begin(loop, rules, times, ops, arg);

	talk->stream = net_adopt(loop, sock, &stream_ops, talk);
	greet(talk, hostname);
	return talk;
}

struct talk_server *talk_server_take(struct net_loop *loop, struct net_stream *stream,
	const char *hostname, const struct smtp_server_rules *rules,
	const struct talk_server_times *times, const struct talk_server_ops *ops, void *arg)
{
	struct talk_server *talk = begin(loop, rules, times, ops, arg);

	talk->stream = stream;
	net_stream_hand_over(stream, &stream_ops, talk);
	greet(talk, hostname);
	return talk;
}

struct smtp_server *talk_server_smtp(struct talk_server *talk)
{
	return talk->smtp;
}

/* Outside work() its loop isn't there to go on: come back in a turn of our own. */
static void resume(struct talk_server *talk)
{
	if (!talk->busy && talk->stream)
		net_timer_set(talk->loop, &talk->kick, net_now(talk->loop));
}

void talk_server_unread(struct talk_server *talk, struct chunk **chunk, size_t at)
{
	assert(!talk->in.chunk);
	talk->in = (struct talk_input){.chunk = *chunk, .at = at};
	*chunk = NULL;
	settle(talk);
	resume(talk);
}

/* Inside work() nothing leaves before all that was read is judged: what the client sent before it
 * can have seen the reply is early (RFC 2920 3.1). */
void talk_server_go(struct talk_server *talk)
{
	if (!talk->busy)
		push(talk);
	resume(talk);
}

void talk_server_flush(struct talk_server *talk)
{
	push(talk);
	if (talk->stream)
		net_flush(talk->stream);
}

void talk_server_pause(struct talk_server *talk, bool paused)
{
	if (talk->paused == paused)
		return;
	talk->paused = paused;
	resume(talk);
}

bool talk_server_gone(const struct talk_server *talk)
{
	return !talk->stream || talk->hung;
}

size_t talk_server_unsent(const struct talk_server *talk)
{
	if (!talk->stream)
		return 0;
	return net_unsent(talk->stream) + smtp_server_out(talk->smtp)->len;
}

void talk_server_close(struct talk_server *talk, enum smtp_own own)
{
	if (!talk->stream)
		return;
	if (own != SMTP_OWN_COUNT)
		smtp_server_say(talk->smtp, own, NULL);
	push(talk);
	hang_up(talk, talk->lost ? NET_CLOSE_NOW : NET_CLOSE_FLUSHED);
	if (!talk->busy)
		talk_input_clear(&talk->in);
}

void talk_server_free(struct talk_server **talk)
{
	struct talk_server *held = *talk;

	*talk = NULL;
	if (!held)
		return;
	hang_up(held, NET_CLOSE_NOW);
	if (held->busy)
		held->freed = true;
	else
		release(held);
}
