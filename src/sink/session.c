/*
 * Octets in: a session reads, lets smtp_server make events of them, and makes steps of those.
 * While a step is thought about nothing is read.
 */
#include <stdlib.h>
#include <string.h>

#include "sink/private.h"

static bool busy(const struct session *session)
{
	return session->thinking || session->stalled || session->ending || session->choked;
}

/* ---- events ---- */

static uint32_t mail_needs(const struct smtp_mail *mail)
{
	return (mail->smtputf8 ? SMTP_CAP_SMTPUTF8 : 0) |
	       (mail->body == SMTP_BODY_8BITMIME ? SMTP_CAP_8BITMIME : 0) |
	       (mail->ret.at || mail->envid.at ? SMTP_CAP_DSN : 0) |
	       (mail->size ? SMTP_CAP_SIZE : 0);
}

static void on_command(struct session *session, const struct smtp_command *command, unsigned slot)
{
	static const enum fault_phase phases[SMTP_VERBS] = {
		[VERB_EHLO] = FAULT_AT_EHLO,
		[VERB_HELO] = FAULT_AT_EHLO,
		[VERB_MAIL] = FAULT_AT_MAIL,
		[VERB_RCPT] = FAULT_AT_RCPT,
		[VERB_DATA] = FAULT_AT_DATA,
		[VERB_RSET] = FAULT_AT_RSET,
		[VERB_QUIT] = FAULT_AT_QUIT,
	};
	struct step step = {.phase = phases[command->verb], .verb = command->verb, .slot = slot};
	buf_reset(&session->about);
	switch (command->verb) {
	case VERB_MAIL:
		buf_add_span(&session->about, command->mail.from.text);
		step.size = command->mail.size;
		step.needs = mail_needs(&command->mail);
		break;
	case VERB_RCPT:
		buf_add_span(&session->about, command->rcpt.to.text);
		step.needs = command->rcpt.notify.at || command->rcpt.orcpt.at ? SMTP_CAP_DSN : 0;
		break;
	case VERB_BDAT:
		return; /* answered at the end of its chunk */
	default:
		break;
	}
	step_begin(session, &step);
}

static void on_body(struct session *session, struct span piece)
{
	struct sink *sink = session->sink;
	if (!session->body_begun) {
		session->body_begun = true;
		session->body_fault = faults_pick(&sink->faults, FAULT_AT_BODY,
			buf_span(&session->mail.recipients), &sink->rng);
	}
	sink_mail_body(&session->mail, piece);
	const struct fault *fault = session->body_fault;
	if (fault && session->mail.octets >= fault->at) {
		session->body_fault = NULL;
		step_interrupt(session, fault);
	}
}

static void on_body_end(struct session *session, const struct smtp_server_event *event)
{
	struct step step = {
		.phase = FAULT_AT_END,
		.verb = session->in_data ? VERB_DATA : VERB_BDAT,
		.slot = event->slot,
		.last = event->last,
		.flaw = event->flaw,
		.needs = session->in_data ? 0 : SMTP_CAP_CHUNKING,
	};
	/* Later chunks that are not the last are no phase of their own: they pass at_data(). */
	bool data = !session->in_data && (!session->data_asked || !event->last);
	if (data)
		step.phase = FAULT_AT_DATA;
	buf_reset(&session->about);
	buf_add_span(&session->about, buf_span(&session->mail.sender));
	buf_add_text(&session->about, "\n");
	buf_add_span(&session->about, buf_span(&session->mail.recipients));
	step_begin(session, &step);
}

/* Without PIPELINING a client has to wait for its answer (RFC 2920). */
static void count_haste(struct session *session, size_t unread)
{
	if (unread > 0 && !(session->sink->offer.caps & SMTP_CAP_PIPELINING))
		session->sink->totals->unasked++;
}

/* False when there is nothing more to do with what was read. */
static bool on_event(struct session *session, const struct smtp_server_event *event, size_t unread)
{
	switch (event->kind) {
	case SRV_MORE:
		return false;
	case SRV_COMMAND:
		if (event->command.verb != VERB_BDAT)
			count_haste(session, unread);
		on_command(session, &event->command, event->slot);
		break;
	case SRV_ANSWERED:
		count_haste(session, unread);
		if (smtp_own_code(event->own) >= 400)
			session->sink->totals->refused++;
		break;
	case SRV_BODY:
		on_body(session, event->body);
		break;
	case SRV_FLAW:
		break;
	case SRV_BODY_END:
		on_body_end(session, event);
		break;
	case SRV_BROKEN:
		session->sink->totals->broken++;
		sink_session_end(session, NET_CLOSE_FLUSHED);
		return false;
	}
	return true;
}

/* ---- idle faults ---- */

static void idle_fire(void *arg)
{
	struct session *session = arg;
	const struct fault *fault = session->idle_fault;
	session->idle_fault = NULL;
	if (!fault)
		return;
	step_interrupt(session, fault);
	if (fault->kind == FAULT_REPLY)
		sink_session_end(session, NET_CLOSE_FLUSHED);
	sink_session_send(session);
}

static void idle_begin(struct session *session)
{
	struct sink *sink = session->sink;
	session->finished = false;
	session->idle_fault = faults_pick(
		&sink->faults, FAULT_AT_IDLE, buf_span(&session->mail.recipients), &sink->rng);
	if (session->idle_fault)
		net_timer_set(sink->loop, &session->idle,
			net_now(sink->loop) + (int64_t)session->idle_fault->at);
}

static void idle_end(struct session *session)
{
	session->idle_fault = NULL;
	net_timer_clear(session->sink->loop, &session->idle);
}

/* ---- reading ---- */

static struct span unread(const struct session *session)
{
	if (!session->input)
		return (struct span){0};
	return (struct span){.at = session->input->at + session->eaten,
		.len = session->input->len - session->eaten};
}

/* Room behind what is unread; the rest of a line moves to a new chunk. */
static struct chunk *input_room(struct session *session)
{
	struct chunk *old = session->input;
	if (old && chunk_tail(old) > 0)
		return old;
	bool large = smtp_server_in_body(session->smtp);
	struct chunk *fresh =
		chunk_new(net_chunks(session->sink->loop), large ? CHUNK_LARGE : CHUNK_SMALL);
	if (old) {
		struct span rest = unread(session);
		memcpy(fresh->at, rest.at, rest.len);
		fresh->len = (uint32_t)rest.len;
		chunk_unref(&session->input);
	}
	session->input = fresh;
	session->eaten = 0;
	return fresh;
}

/* Replies that the client doesn't read must not pile up. */
static bool choke(struct session *session)
{
	size_t ready = session->out.len + smtp_server_out(session->smtp)->len;
	if (session->ending || ready + net_unsent(session->stream) < NET_HIGH)
		return false;
	session->choked = true;
	net_pause(session->stream, true);
	return true;
}

static void sink_session_work(struct session *session)
{
	bool more = true;
	while (more && !busy(session) && !choke(session)) {
		struct smtp_server_event event = {.kind = SRV_MORE};
		session->eaten +=
			(uint32_t)smtp_server_next(session->smtp, unread(session), &event);
		more = on_event(session, &event, unread(session).len);
	}
	if (session->input && unread(session).len == 0)
		chunk_unref(&session->input);
	if (session->ending)
		return;
	sink_session_send(session);
	if (smtp_server_quitting(session->smtp) && smtp_server_pending(session->smtp) == 0)
		sink_session_end(session, NET_CLOSE_FLUSHED);
	else if (session->finished && !busy(session) && smtp_server_between(session->smtp))
		idle_begin(session);
}

static void sink_session_read(struct session *session)
{
	while (!busy(session)) {
		switch (net_read(session->stream, input_room(session), NULL)) {
		case IO_OK:
			idle_end(session);
			sink_session_work(session);
			break;
		case IO_AGAIN:
			if (unread(session).len == 0)
				chunk_unref(&session->input);
			return;
		case IO_EOF:
			sink_session_end(session, NET_CLOSE_FLUSHED);
			return;
		case IO_FAILED:
			sink_session_end(session, NET_CLOSE_NOW);
			return;
		}
	}
}

void sink_session_resume(struct session *session)
{
	if (busy(session)) {
		if (session->stream)
			sink_session_send(session);
		return;
	}
	net_pause(session->stream, false);
	sink_session_work(session);
}

/* ---- the stream's calls ---- */

static void stream_readable(void *arg)
{
	sink_session_read(arg);
}

static void stream_drained(void *arg)
{
	struct session *session = arg;
	if (!session->choked)
		return;
	session->choked = false;
	sink_session_resume(session);
}

static void stream_broken(void *arg, int err)
{
	struct session *session = arg;
	(void)err;
	/* The thought is finished first: a commit may be due. */
	if (!session->thinking)
		sink_session_end(session, NET_CLOSE_NOW);
}

static void stream_hangup(void *arg)
{
	struct session *session = arg;
	if (session->stalled)
		sink_session_end(session, NET_CLOSE_NOW);
}

static const struct net_stream_ops stream_ops = {
	.readable = stream_readable,
	.drained = stream_drained,
	.broken = stream_broken,
	.hangup = stream_hangup,
};

/* ---- making ---- */

struct session *sink_session_new(struct sink *sink, struct sys_sock *sock)
{
	struct session *session = mem_new(sizeof(*session));
	struct smtp_server_rules rules = {
		.max_size = sink->offer.size,
		.pass_bare_newlines = sink->lax,
		.pass_long_lines = sink->lax,
	};
	session->sink = sink;
	session->number = sink->totals->sessions;
	session->stream = net_adopt(sink->loop, sock, &stream_ops, session);
	session->smtp = smtp_server_new(net_chunks(sink->loop), &rules);
	net_timer_init(&session->idle, idle_fire, session);
	net_timer_init(&session->think, NULL, session);
	sink_session_out_init(session);
	return session;
}

void sink_session_greet(struct session *session)
{
	step_begin(session, &(struct step){.phase = FAULT_AT_BANNER});
	sink_session_send(session);
}

void sink_session_forget_faults(struct session *session)
{
	session->body_fault = session->extra = NULL;
	idle_end(session);
}

void sink_session_free(struct session *session)
{
	struct net_loop *loop = session->sink->loop;
	net_timer_clear(loop, &session->idle);
	net_timer_clear(loop, &session->think);
	sink_session_out_clear(session);
	if (session->stream)
		net_close(&session->stream, NET_CLOSE_RESET);
	if (session->input)
		chunk_unref(&session->input);
	smtp_server_free(&session->smtp);
	sink_mail_clear(&session->mail);
	buf_clear(&session->about);
	buf_clear(&session->said);
	free(session);
}
