/*
 * The conversation with a server.
 *
 *     net: readable, sent, drained, broken        timers: a time-out, kick
 *                 `-----------------.   .-----------------'
 *                                 work()
 *                      consume --> read --> consume ... --> conclude
 *                         |                                    |
 *                 reply, greeted, ended            push commands, ended, timer
 *
 * A reply counts as an answer only to a command that had left when the reply was read.  So commands
 * that the owner queues in a callback wait until everything that was read is consumed, and what
 * comes while the first command of all still lies in our hands came unasked: what an idle server
 * says must never be taken for the next client's answer.
 */
#include "talk/client_private.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/testing.h"

static bool is_open(const struct talk_client *talk)
{
	return talk->stream && !talk->freed;
}

/* The server has not been asked anything, as far as it can know. */
static bool is_idle(const struct talk_client *talk)
{
	return (talk->asked == 0 || talk->unheard) && !talk->body_open;
}

/* ---- the end ---- */

static void hang_up(struct talk_client *talk, enum net_close how)
{
	net_timer_clear(talk->loop, &talk->timer);
	net_timer_clear(talk->loop, &talk->kick);
	if (talk->stream)
		net_close(&talk->stream, how);
}

static enum smtp_phase phase_at_end(const struct talk_client *talk)
{
	if (talk->stage == STAGE_CONNECT)
		return PHASE_CONNECT;
	if (talk->asked > 0)
		return smtp_client_waits_for(talk->smtp);
	if (talk->stage == STAGE_GREET)
		return talk->hello ? PHASE_EHLO : PHASE_BANNER; /* which was answered just now */
	return talk->body_open ? PHASE_BODY : PHASE_MAIL;
}

static void words_at_end(
	const struct talk_client *talk, struct talk_end *end, const char *format, va_list args)
{
	const char *before = talk->stage == STAGE_CONNECT ? "connect to " : "";
	char peer[ADDR_TEXT];
	int len;

	addr_text_port(talk_client_peer(talk), peer);
	len = snprintf(end->text, sizeof(end->text), "%s%s: ", before, peer);
	if (len > 0 && (size_t)len < sizeof(end->text))
		vsnprintf(end->text + len, sizeof(end->text) - (size_t)len, format, args);
}

/* A server that didn't answer the end of data in time may wake up and find it: what our kernel
 * still holds of it is thrown away, for the client will come again. */
static enum net_close way_to_close(const struct talk_end *end)
{
	return end->why == CLOSE_TIMEOUT && end->fate == FATE_ENDED ? NET_CLOSE_RESET
								    : NET_CLOSE_NOW;
}

void talk_end(struct talk_client *talk, enum talk_close why, const struct smtp_reply *reply,
	const char *format, ...)
{
	struct talk_end end = {
		.why = talk->stage == STAGE_QUIT ? CLOSE_QUIT : why,
		.phase = phase_at_end(talk),
		.fate = smtp_client_fate(talk->smtp),
		.answered = talk->answered,
	};
	va_list args;

	assert(talk->busy && talk->stage != STAGE_OVER);
	if (reply)
		end.reply = *reply;
	va_start(args, format);
	words_at_end(talk, &end, format, args);
	va_end(args);
	hang_up(talk, way_to_close(&end));
	talk->stage = STAGE_OVER;
	talk->ops->ended(talk->arg, &end);
}

/* A server that leaves says so before it closes (RFC 5321 3.8). */
static bool is_good_bye(struct span words, struct smtp_reply *reply_r)
{
	bool broken = false;

	return smtp_reply_parse(words, reply_r, &broken) > 0 && !broken &&
	       smtp_reply_class(reply_r) == 4;
}

/* Bytes that answer nothing. */
void talk_end_unasked(struct talk_client *talk)
{
	struct buf words = {0};
	struct smtp_reply reply;
	bool greeting = talk->stage == STAGE_GREET;

	if (!is_good_bye(talk_input_unread(&talk->in), &reply)) {
		talk_end(talk, CLOSE_POISONED, NULL, "said what nobody had asked for");
		return;
	}
	smtp_reply_text(&reply, &words);
	talk_end(talk, greeting ? CLOSE_GREETING_REFUSED : CLOSE_STALE, &reply, "said %u %s",
		reply.code, buf_string(&words));
	buf_clear(&words);
}

void talk_end_closed(struct talk_client *talk)
{
	bool reset = talk->failed || talk->unwritable;
	const char *how = reset ? "connection lost" : "closed the connection";

	if (is_idle(talk) && talk->stage == STAGE_READY)
		talk_end(talk, CLOSE_STALE, NULL, "%s while idle", how);
	else
		talk_end(talk, reset ? CLOSE_RESET : CLOSE_PEER_CLOSED, NULL, "%s at %s", how,
			smtp_phase_name(phase_at_end(talk)));
}

static void release(struct talk_client *talk)
{
	talk_input_clear(&talk->in);
	smtp_client_free(&talk->smtp);
	free(talk->addr);
	free(talk);
}

/* ---- sending ---- */

void talk_push(struct talk_client *talk)
{
	struct chain *out = smtp_client_out(talk->smtp);
	unsigned asked = smtp_client_outstanding(talk->smtp);
	int64_t now = net_now(talk->loop);

	if (out->len > 0) {
		if (net_unsent(talk->stream) == 0)
			talk->progress = now;
		net_push(talk->stream, out);
	}
	if (talk->asked == 0 && asked > 0) {
		talk->since = now;
		talk->unheard = !talk->body_open;
	}
	talk->asked = asked;
	if (asked > 0)
		talk->body_open = false;
}

static void set_timer(struct talk_client *talk)
{
	net_timer_set(talk->loop, &talk->timer, talk_wait_due(talk));
}

/* ---- replies ---- */

static void take_reply(struct talk_client *talk, const struct smtp_client_event *event)
{
	unsigned left = smtp_client_outstanding(talk->smtp);

	if (talk->asked > 0) /* else it is a refusal inside the body */
		talk->asked = left < talk->asked ? left : talk->asked - 1;
	talk->since = net_now(talk->loop);
	talk->answered = true;
	if (event->phase == PHASE_DATA)
		talk->body_open = smtp_reply_class(&event->reply) == 3 && left == 0;
	if (talk->stage == STAGE_GREET)
		talk_greet(talk, event);
	else if (talk->stage == STAGE_READY)
		talk->ops->reply(talk->arg, event);
	else if (event->phase == PHASE_QUIT)
		talk_end(talk, CLOSE_QUIT, NULL, "QUIT answered");
}

/* False when there is nothing more to take for now. */
static bool consume_one(struct talk_client *talk)
{
	struct span unread = talk_input_unread(&talk->in);
	struct smtp_client_event event;

	if (is_idle(talk)) {
		if (unread.len > 0 && !PLANTED(poisoned_reused))
			talk_end_unasked(talk);
		return false;
	}
	talk_input_eat(&talk->in, smtp_client_next(talk->smtp, unread, &event));
	switch (event.kind) {
	case CLI_REPLY:
		take_reply(talk, &event);
		return true;
	case CLI_POISONED:
		talk_end(talk, CLOSE_POISONED, NULL, "malformed reply to %s",
			smtp_phase_name(phase_at_end(talk)));
		return false;
	case CLI_MORE:
		break;
	}
	return false;
}

static void consume(struct talk_client *talk)
{
	while (is_open(talk) && consume_one(talk))
		;
}

/* ---- reading ---- */

static enum io read_once(struct talk_client *talk)
{
	size_t len = talk_input_len(&talk->in);
	size_t size = len + TALK_INPUT_LEAST > CHUNK_SMALL ? CHUNK_LARGE : CHUNK_SMALL;
	struct chunk *chunk = talk_input_room(&talk->in, net_chunks(talk->loop), size);
	enum io io = net_read(talk->stream, chunk, NULL);

	if (io == IO_EOF || io == IO_FAILED)
		talk->eof = true;
	if (io == IO_FAILED)
		talk->failed = true;
	return io;
}

static void read_on(struct talk_client *talk)
{
	while (is_open(talk) && !talk->eof) {
		if (talk_input_len(&talk->in) >= SMTP_REPLY_MAX)
			talk_end(talk, CLOSE_POISONED, NULL, "reply without an end");
		else if (read_once(talk) == IO_AGAIN)
			return;
		else
			consume(talk);
	}
}

static void conclude(struct talk_client *talk)
{
	if (is_open(talk) && talk->eof)
		talk_end_closed(talk);
	if (!is_open(talk))
		return;
	if (talk_input_len(&talk->in) == 0)
		talk_input_clear(&talk->in);
	talk_push(talk);
	set_timer(talk);
}

static void enter(struct talk_client *talk)
{
	assert(!talk->busy);
	talk->busy = true;
}

static void leave(struct talk_client *talk)
{
	talk->busy = false;
	if (talk->freed)
		release(talk);
	else if (!talk->stream)
		talk_input_clear(&talk->in);
}

static void work(struct talk_client *talk, bool readable)
{
	enter(talk);
	consume(talk);
	if (readable)
		read_on(talk);
	conclude(talk);
	leave(talk);
}

/* ---- what the net tells ---- */

static void on_connected(void *arg, int err)
{
	struct talk_client *talk = arg;

	enter(talk);
	talk_connected(talk, err);
	if (is_open(talk))
		set_timer(talk);
	leave(talk);
}

static void on_readable(void *arg)
{
	work(arg, true);
}

static void on_sent(void *arg, size_t taken)
{
	struct talk_client *talk = arg;

	talk->unheard = false;
	talk->progress = net_now(talk->loop);
	smtp_client_sent(talk->smtp, taken);
	set_timer(talk);
}

static void on_drained(void *arg)
{
	struct talk_client *talk = arg;

	enter(talk);
	if (talk->stage == STAGE_READY && talk->ops->drained)
		talk->ops->drained(talk->arg);
	consume(talk);
	conclude(talk);
	leave(talk);
}

/* The server may have said why before it went: that is read first, and may not be announced yet. */
static void on_broken(void *arg, int err)
{
	struct talk_client *talk = arg;

	(void)err;
	talk->unwritable = true;
	talk->since = net_now(talk->loop);
	work(talk, false);
}

const struct net_stream_ops talk_stream_ops = {
	.connected = on_connected,
	.readable = on_readable,
	.sent = on_sent,
	.drained = on_drained,
	.broken = on_broken,
};

static void on_timer(void *arg)
{
	struct talk_client *talk = arg;

	enter(talk);
	if (talk_wait_due(talk) <= net_now(talk->loop))
		talk_waited_enough(talk);
	if (is_open(talk))
		set_timer(talk);
	leave(talk);
}

/* There was no address, or the owner has quit a conversation that could only be closed. */
static void on_kick(void *arg)
{
	struct talk_client *talk = arg;

	enter(talk);
	if (talk->stage == STAGE_QUIT)
		talk_end(talk, CLOSE_QUIT, NULL, "closed");
	else
		talk_end(talk, CLOSE_CONNECT_REFUSED, NULL, "no address");
	leave(talk);
}

/* ---- what the owner calls ---- */

static void kick(struct talk_client *talk)
{
	net_timer_set(talk->loop, &talk->kick, net_now(talk->loop));
}

struct talk_client *talk_client_new(struct net_loop *loop, const struct talk_client_setup *setup,
	const struct talk_client_ops *ops, void *arg)
{
	struct talk_client *talk = mem_new(sizeof(*talk));
	unsigned count = setup->addr_count;

	talk->loop = loop;
	talk->ops = ops;
	talk->arg = arg;
	talk->addr = mem_new((count > 0 ? count : 1) * sizeof(*talk->addr));
	if (count > 0)
		memcpy(talk->addr, setup->addr, count * sizeof(*talk->addr));
	talk->addr_count = count;
	talk->from = setup->from;
	talk->hostname = setup->hostname;
	talk->times = setup->times;
	talk->smtp = smtp_client_new(net_chunks(loop));
	net_timer_init(&talk->timer, on_timer, talk);
	net_timer_init(&talk->kick, on_kick, talk);
	if (count > 0)
		talk_connect(talk);
	else
		kick(talk);
	return talk;
}

void talk_client_hand_over(struct talk_client *talk, const struct talk_client_ops *ops, void *arg)
{
	talk->ops = ops;
	talk->arg = arg;
}

struct smtp_client *talk_client_smtp(struct talk_client *talk)
{
	return talk->smtp;
}

void talk_client_go(struct talk_client *talk)
{
	assert(talk->stage >= STAGE_READY);
	if (talk->busy || talk->stage != STAGE_READY)
		return; /* a callback ends with a push; after the end nothing matters */
	talk_push(talk);
	set_timer(talk);
}

void talk_client_mark(struct talk_client *talk)
{
	talk->answered = false;
}

const struct smtp_offer *talk_client_offer(const struct talk_client *talk)
{
	return &talk->offer;
}

const struct addr *talk_client_peer(const struct talk_client *talk)
{
	return &talk->addr[talk->addr_at];
}

size_t talk_client_unsent(const struct talk_client *talk)
{
	if (!talk->stream)
		return 0;
	return net_unsent(talk->stream) + smtp_client_out(talk->smtp)->len;
}

bool talk_client_clean(const struct talk_client *talk)
{
	bool all_read = talk_input_len(&talk->in) == 0 || PLANTED(poisoned_reused);

	return talk->stage == STAGE_READY && is_idle(talk) && !talk->eof && !talk->unwritable &&
	       smtp_client_outstanding(talk->smtp) == 0 && talk_client_unsent(talk) == 0 &&
	       smtp_client_held(talk->smtp) == 0 && all_read;
}

bool talk_client_unasked(const struct talk_client *talk, enum talk_close *why_r)
{
	struct smtp_reply reply;

	if (smtp_client_outstanding(talk->smtp) > 0 || talk_input_len(&talk->in) == 0)
		return false;
	*why_r = is_good_bye(talk_input_unread(&talk->in), &reply) ? CLOSE_STALE : CLOSE_POISONED;
	return true;
}

int64_t talk_client_time_connect(const struct talk_client *talk)
{
	return talk->time_connect;
}

int64_t talk_client_time_greeting(const struct talk_client *talk)
{
	return talk->time_greeting;
}

void talk_client_quit(struct talk_client *talk)
{
	if (talk->stage == STAGE_QUIT || talk->stage == STAGE_OVER)
		return;
	if (!talk_client_clean(talk)) {
		hang_up(talk, NET_CLOSE_NOW);
		talk->stage = STAGE_QUIT;
		kick(talk);
		return;
	}
	talk->stage = STAGE_QUIT;
	talk->leave_by = net_now(talk->loop) + talk->times->quit;
	smtp_client_send(talk->smtp, PHASE_QUIT, SPAN("QUIT"), 0);
	talk_push(talk);
	set_timer(talk);
}

void talk_client_free(struct talk_client **talk)
{
	struct talk_client *held = *talk;

	*talk = NULL;
	if (!held)
		return;
	hang_up(held, NET_CLOSE_NOW);
	if (held->busy)
		held->freed = true;
	else
		release(held);
}
