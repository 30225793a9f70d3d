/*
 * Octets out, and the end of a session.
 *
 * With `latency-ms` every go's octets wait in a queue of their own until their time, as if the
 * line were long: pipelined commands cost one delay, not one each.
 */
#include <stdlib.h>

#include "sink/private.h"

struct late {
	STAILQ_ENTRY(late) next;
	int64_t due;
	struct chain chain;
};

static void close_now(struct session *session)
{
	/* What was said before a reset should have its chance to arrive. */
	if (session->ending_how == NET_CLOSE_RESET)
		net_flush(session->stream);
	net_close(&session->stream, session->ending_how);
	sink_bury(session->sink, session);
}

static void late_drop(struct session *session)
{
	struct late *late;
	while ((late = STAILQ_FIRST(&session->late))) {
		STAILQ_REMOVE_HEAD(&session->late, next);
		chain_clear(&late->chain);
		free(late);
	}
}

static void late_due(void *arg)
{
	struct session *session = arg;
	struct net_loop *loop = session->sink->loop;
	struct late *late;
	while ((late = STAILQ_FIRST(&session->late)) && late->due <= net_now(loop)) {
		STAILQ_REMOVE_HEAD(&session->late, next);
		net_push(session->stream, &late->chain);
		free(late);
	}
	if (late)
		net_timer_set(loop, &session->late_due, late->due);
	else if (session->ending)
		close_now(session);
}

static void late_add(struct session *session, int64_t latency)
{
	struct net_loop *loop = session->sink->loop;
	struct late *late = mem_new(sizeof(*late));
	late->due = net_now(loop) + latency;
	chain_init(&late->chain, net_chunks(loop));
	chain_move(&late->chain, &session->out);
	if (STAILQ_EMPTY(&session->late))
		net_timer_set(loop, &session->late_due, late->due);
	STAILQ_INSERT_TAIL(&session->late, late, next);
}

void sink_session_out_init(struct session *session)
{
	chain_init(&session->out, net_chunks(session->sink->loop));
	STAILQ_INIT(&session->late);
	net_timer_init(&session->late_due, late_due, session);
}

void sink_session_out_clear(struct session *session)
{
	net_timer_clear(session->sink->loop, &session->late_due);
	late_drop(session);
	chain_clear(&session->out);
}

/* Replies stay with smtp_server until they are sent: it tells early input by them. */
static void take_replies(struct session *session)
{
	chain_move(&session->out, smtp_server_out(session->smtp));
}

void sink_session_say(struct session *session, struct span octets)
{
	take_replies(session);
	chain_add_copy(&session->out, octets.at, octets.len);
}

void sink_session_send(struct session *session)
{
	int64_t latency = session->sink->faults.latency;
	take_replies(session);
	if (!session->stream || session->out.len == 0)
		return;
	/* The queue may be filled though the latency was just taken away. */
	if (latency > 0 || !STAILQ_EMPTY(&session->late))
		late_add(session, latency);
	else
		net_push(session->stream, &session->out);
}

void sink_session_end(struct session *session, enum net_close how)
{
	if (session->ending && how != NET_CLOSE_NOW)
		return;
	if (!session->stream)
		return;
	session->ending = true;
	session->ending_how = how;
	net_pause(session->stream, true);
	if (how == NET_CLOSE_NOW)
		sink_session_out_clear(session);
	else
		sink_session_send(session);
	if (STAILQ_EMPTY(&session->late))
		close_now(session);
}
