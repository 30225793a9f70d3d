/*
 * Steps: at each phase of a conversation the sink thinks (slow), then acts: the fault that was
 * ordered for this phase, or the answer of a healthy server.
 *
 *     MAIL, RCPT, ...   think -> act
 *     end of data       END: think -> act -> commit -> COMMIT: think -> act (the 250)
 *     a BDAT chunk      the first of a message is also its DATA; LAST goes on to END
 *
 * What surprises: a client that hangs up while we think is not noticed until we have acted, as
 * with real servers.  So a message may be committed that nobody hears of.
 */
#include <stdio.h>
#include <string.h>

#include "sink/private.h"

/* ---- answers ---- */

static void answered(struct session *session)
{
	if (session->extra)
		sink_session_say(session,
			(struct span){.at = session->extra->text, .len = session->extra->text_len});
	session->extra = NULL;
}

static void answer_wire(struct session *session, uint16_t code, struct span wire)
{
	struct smtp_reply reply = {.code = code, .wire = wire};
	if (code >= 400)
		session->sink->totals->refused++;
	smtp_server_reply(session->smtp, session->step.slot, &reply);
	answered(session);
}

static void answer_fault(struct session *session, const struct fault *fault)
{
	answer_wire(session, fault->code, (struct span){.at = fault->text, .len = fault->text_len});
}

static void answer_own(struct session *session, enum smtp_own own, const char *argument)
{
	if (smtp_own_code(own) >= 400)
		session->sink->totals->refused++;
	smtp_server_own(session->smtp, session->step.slot, own, argument);
	answered(session);
}

/* ---- what a healthy server does; `reply` is the fault that answers in its place, or NULL ---- */

static bool takes_effect(const struct fault *reply)
{
	return !reply || reply->code < 400;
}

static void banner_say(struct session *session)
{
	smtp_server_say(session->smtp, SMTP_OWN_BANNER, session->sink->name);
	answered(session);
}

static void at_banner(struct session *session, const struct fault *reply)
{
	if (!reply) {
		banner_say(session);
		return;
	}
	sink_session_say(session, (struct span){.at = reply->text, .len = reply->text_len});
	if (reply->code >= 400)
		sink_session_end(session, NET_CLOSE_FLUSHED);
}

static void at_ehlo(struct session *session, const struct fault *reply)
{
	struct sink *sink = session->sink;
	if (reply) {
		answer_fault(session, reply);
	} else if (session->step.verb == VERB_HELO) {
		answer_own(session, SMTP_OWN_HELO, sink->name);
	} else {
		smtp_server_reply_ehlo(session->smtp, session->step.slot, sink->name, &sink->offer);
		answered(session);
	}
}

/* A client that uses what was not offered has to hear of it: some test waits for that. */
static bool refuse_unasked(struct session *session)
{
	uint32_t lacking = session->step.needs & ~session->sink->offer.caps;
	if (!lacking)
		return false;
	session->sink->totals->unasked++;
	if (session->step.verb == VERB_BDAT) {
		answer_own(session, SMTP_OWN_NOT_IMPLEMENTED, NULL);
		return true;
	}
	struct buf names = {0};
	smtp_caps_text(lacking, &names);
	answer_own(session, SMTP_OWN_UNKNOWN_PARAMETER, buf_string(&names));
	buf_clear(&names);
	return true;
}

static bool refuse_size(struct session *session)
{
	uint64_t most = session->sink->offer.size;
	if (most == 0 || session->step.size <= most)
		return false;
	char text[24];
	snprintf(text, sizeof(text), "%llu", (unsigned long long)most);
	answer_own(session, SMTP_OWN_TOO_LARGE, text);
	return true;
}

static void at_mail(struct session *session, const struct fault *reply)
{
	struct sink *sink = session->sink;
	if (!reply && (refuse_unasked(session) || refuse_size(session)))
		return;
	if (takes_effect(reply)) {
		sink_mail_begin(&session->mail, sink->write_dir != NULL, sink->ledger >= 0);
		buf_add_span(&session->mail.sender, buf_span(&session->about));
		session->data_asked = session->body_begun = session->in_data = false;
	}
	if (reply)
		answer_fault(session, reply);
	else
		answer_own(session, SMTP_OWN_SENDER_OK, NULL);
}

static void at_rcpt(struct session *session, const struct fault *reply)
{
	if (!reply && refuse_unasked(session))
		return;
	if (takes_effect(reply)) {
		buf_add_span(&session->mail.recipients, buf_span(&session->about));
		buf_add_text(&session->mail.recipients, "\n");
	}
	if (reply)
		answer_fault(session, reply);
	else
		answer_wire(session, 250, SPAN("250 2.1.5 Recipient ok\r\n"));
}

static void chunk_done(struct session *session)
{
	struct step end = session->step;
	if (end.last) {
		end.phase = FAULT_AT_END;
		step_begin(session, &end);
		return;
	}
	char octets[24];
	snprintf(octets, sizeof(octets), "%llu", (unsigned long long)session->mail.octets);
	answer_own(session, SMTP_OWN_CHUNK_OK, octets);
}

static void at_data(struct session *session, const struct fault *reply)
{
	bool chunk = session->step.verb == VERB_BDAT;
	session->data_asked = true;
	if (chunk && !reply && refuse_unasked(session))
		return;
	if (reply && !(chunk && takes_effect(reply))) {
		session->in_data = !chunk && reply->code == 354;
		answer_fault(session, reply);
	} else if (chunk) {
		chunk_done(session);
	} else {
		session->in_data = true;
		answer_own(session, SMTP_OWN_GO_AHEAD, NULL);
	}
}

static void refuse_flaw(struct session *session)
{
	static const enum smtp_own owns[] = {
		[FLAW_BARE_NEWLINE] = SMTP_OWN_BARE_NEWLINE,
		[FLAW_NUL] = SMTP_OWN_NUL_IN_BODY,
		[FLAW_LONG_LINE] = SMTP_OWN_BODY_LINE_TOO_LONG,
		[FLAW_TOO_LARGE] = SMTP_OWN_TOO_LARGE,
	};
	char size[24];
	snprintf(size, sizeof(size), "%llu", (unsigned long long)session->sink->offer.size);
	answer_own(session, owns[session->step.flaw],
		session->step.flaw == FLAW_TOO_LARGE ? size : NULL);
}

static void at_end(struct session *session, const struct fault *reply)
{
	struct sink *sink = session->sink;
	session->finished = true;
	if (!takes_effect(reply)) {
		answer_fault(session, reply);
		return;
	}
	if (session->step.flaw != FLAW_NONE) {
		refuse_flaw(session);
		return;
	}
	if (!sink_commit(sink, session)) {
		answer_wire(session, 451, SPAN("451 4.3.0 Can't write the message down\r\n"));
		return;
	}
	buf_reset(&session->said);
	if (reply)
		buf_add(&session->said, reply->text, reply->text_len);
	else
		buf_addf(&session->said, "250 2.0.0 Ok: queued as %s-%llu\r\n", sink->name,
			(unsigned long long)sink->number);
	struct step commit = session->step;
	commit.phase = FAULT_AT_COMMIT;
	step_begin(session, &commit);
}

static void at_commit(struct session *session, const struct fault *reply)
{
	if (reply)
		answer_fault(session, reply);
	else
		answer_wire(session, 250, buf_span(&session->said));
}

static void at_rset(struct session *session, const struct fault *reply)
{
	if (reply)
		answer_fault(session, reply);
	else
		answer_own(session, SMTP_OWN_OK, NULL);
}

static void at_quit(struct session *session, const struct fault *reply)
{
	if (reply)
		answer_fault(session, reply);
	else
		answer_own(session, SMTP_OWN_BYE, NULL);
}

static void (*const acts[FAULT_PHASES])(struct session *, const struct fault *) = {
	[FAULT_AT_BANNER] = at_banner,
	[FAULT_AT_EHLO] = at_ehlo,
	[FAULT_AT_MAIL] = at_mail,
	[FAULT_AT_RCPT] = at_rcpt,
	[FAULT_AT_DATA] = at_data,
	[FAULT_AT_END] = at_end,
	[FAULT_AT_COMMIT] = at_commit,
	[FAULT_AT_RSET] = at_rset,
	[FAULT_AT_QUIT] = at_quit,
};

/* ---- faults ---- */

static void stall(struct session *session)
{
	session->stalled = true;
	net_pause(session->stream, true);
}

void step_interrupt(struct session *session, const struct fault *fault)
{
	session->sink->totals->faults++;
	switch (fault->kind) {
	case FAULT_DROP:
		sink_session_end(session, NET_CLOSE_FLUSHED);
		return;
	case FAULT_RESET:
		sink_session_end(session, NET_CLOSE_RESET);
		return;
	case FAULT_STALL:
		stall(session);
		return;
	default:
		sink_session_say(session, (struct span){.at = fault->text, .len = fault->text_len});
		return;
	}
}

/* The slot has to be answered for the conversation to go on, but not with what we say. */
static void answer_garbage(struct session *session, const struct fault *fault)
{
	struct smtp_reply refusal = {.code = 451, .wire = SPAN("451 4.3.0 Garbage\r\n")};
	if (session->step.phase != FAULT_AT_BANNER) {
		sink_session_say(session, (struct span){0}); /* what was answered before */
		smtp_server_reply(session->smtp, session->step.slot, &refusal);
		chain_clear(smtp_server_out(session->smtp));
	}
	step_interrupt(session, fault);
}

static void step_act(struct session *session)
{
	struct sink *sink = session->sink;
	enum fault_phase phase = session->step.phase;
	const struct fault *fault =
		faults_pick(&sink->faults, phase, buf_span(&session->about), &sink->rng);
	if (!fault) {
		acts[phase](session, NULL);
		return;
	}
	switch (fault->kind) {
	case FAULT_REPLY:
		sink->totals->faults++;
		acts[phase](session, fault);
		return;
	case FAULT_EXTRA:
		sink->totals->faults++;
		session->extra = fault;
		acts[phase](session, NULL);
		return;
	case FAULT_GARBAGE:
		answer_garbage(session, fault);
		return;
	default:
		/* A connection that is dropped without a banner is what `connect` means. */
		if (phase == FAULT_AT_BANNER && fault->kind != FAULT_STALL)
			banner_say(session);
		step_interrupt(session, fault);
		return;
	}
}

/* ---- thinking ---- */

static void thought(void *arg)
{
	struct session *session = arg;
	session->thinking = false;
	step_act(session);
	sink_session_resume(session);
}

void step_begin(struct session *session, const struct step *step)
{
	struct sink *sink = session->sink;
	session->step = *step;
	int64_t delay =
		faults_delay(&sink->faults, step->phase, buf_span(&session->about), &sink->rng);
	if (delay == 0) {
		step_act(session);
		return;
	}
	session->thinking = true;
	net_pause(session->stream, true);
	session->think.fire = thought;
	net_timer_set(sink->loop, &session->think, net_now(sink->loop) + delay);
}
