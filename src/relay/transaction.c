/*
 * One message: its envelope, its body, and the way to a verdict over as many servers as it takes.
 *
 *      MAIL      RCPT ...            DATA / BDAT        end of data
 *   NONE ---> ENVELOPE -------------> BODY ------------> COMPLETE ---> verdict ---> NONE
 *                 |  each recipient    |  kept for replay    |
 *                 v                    v                     v
 *              attempt 1 ... lost ... attempt 2 ... refused ... attempt 3
 *
 * What the client was told binds us: a recipient answered 2yz is offered to every further server
 * and must be accepted there; one answered 4yz or 5yz is never offered again.
 */
#include "relay/session.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static struct net_loop *loop_of(const struct session *session)
{
	return session->relay->world.loop;
}

bool transaction_open(const struct session *session)
{
	return session->tx.step != STEP_NONE;
}

bool transaction_ended(const struct session *session)
{
	return session->tx.attempt.active && session->tx.attempt.end_sent;
}

/* ---- the envelope ---- */

void transaction_mail(struct session *session, const struct smtp_mail *mail)
{
	struct transaction *tx = &session->tx;
	assert(tx->step == STEP_NONE);
	tx->step = STEP_ENVELOPE;
	tx->number = ++session->transactions;
	tx->began = net_now(loop_of(session));
	tx->mail = *mail;
	tx->mail.from.text = arena_span(&tx->arena, mail->from.text);
	tx->mail.from.local = arena_span(&tx->arena, mail->from.local);
	tx->mail.from.domain = arena_span(&tx->arena, mail->from.domain);
	if (mail->ret.at)
		tx->mail.ret = arena_span(&tx->arena, mail->ret);
	if (mail->envid.at)
		tx->mail.envid = arena_span(&tx->arena, mail->envid);
	tx->sender_parameters =
		mail->size || mail->body || mail->smtputf8 || mail->ret.at || mail->envid.at;
	tx->needs = (mail->smtputf8 ? SMTP_CAP_SMTPUTF8 : 0) |
		    (mail->body == SMTP_BODY_8BITMIME ? SMTP_CAP_8BITMIME : 0) |
		    (mail->ret.at || mail->envid.at ? SMTP_CAP_DSN : 0);
	session->idle_commands = 0;
}

/* Start an attempt if there should be one and is none.  False: every way is exhausted. */
static bool ensure_attempt(struct session *session)
{
	struct transaction *tx = &session->tx;
	const struct relay_settings *settings = session->listener->settings;
	int64_t now = net_now(loop_of(session));
	if (tx->attempt.active)
		return true;
	if (tx->pool >= session->listener->pools || tx->tried.count >= POOL_TRIES)
		return false;
	if (tx->step == STEP_COMPLETE) {
		/* An attempt that begins too late, or for nobody, would only make doubles. */
		int64_t latest = tx->completed + settings->replay_within;
		if (session_gone(session) || now > latest)
			return false;
		attempt_begin(session, latest);
		return true;
	}
	attempt_begin(session, now + settings->answer_within);
	return true;
}

static struct recipient *new_recipient(struct transaction *tx)
{
	if (tx->recipients == tx->recipients_room) {
		tx->recipients_room = tx->recipients_room ? tx->recipients_room * 2 : 4;
		struct recipient *more = arena_new(&tx->arena, tx->recipients_room * sizeof *more);
		if (tx->recipients > 0)
			memcpy(more, tx->recipient, tx->recipients * sizeof *more);
		tx->recipient = more;
	}
	return &tx->recipient[tx->recipients++];
}

/* "RCPT TO:<u@d>" and its DSN parameters, in the arena. */
static struct span rcpt_command(struct arena *arena, const struct smtp_rcpt *rcpt)
{
	static const char verb[] = "RCPT TO:", notify[] = " NOTIFY=", orcpt[] = " ORCPT=";
	size_t room = sizeof verb + sizeof notify + sizeof orcpt + rcpt->to.text.len +
		      rcpt->notify.len + rcpt->orcpt.len;
	char *at = arena_new(arena, room);
	int len = snprintf(at, room, "%s%.*s", verb, SPAN_ARG(rcpt->to.text));
	if (rcpt->notify.at)
		len += snprintf(
			at + len, room - (size_t)len, "%s%.*s", notify, SPAN_ARG(rcpt->notify));
	if (rcpt->orcpt.at)
		len += snprintf(
			at + len, room - (size_t)len, "%s%.*s", orcpt, SPAN_ARG(rcpt->orcpt));
	return (struct span){.at = at, .len = (size_t)len};
}

void transaction_rcpt(struct session *session, const struct smtp_rcpt *rcpt, unsigned slot)
{
	struct transaction *tx = &session->tx;
	if (tx->mail_refused) {
		account_count(session,
			tx->mail_reply.code >= 500 ? M_LISTENER_recipients_refused
						   : M_LISTENER_recipients_deferred,
			1);
		session_reply(session, slot, &tx->mail_reply);
		return;
	}
	if (tx->recipients >= session->listener->settings->max_recipients) {
		session_own(session, slot, SMTP_OWN_TOO_MANY_RECIPIENTS, NULL);
		return;
	}
	struct recipient *recipient = new_recipient(tx);
	*recipient =
		(struct recipient){.slot = slot, .parameters = rcpt->notify.at || rcpt->orcpt.at};
	recipient->command = rcpt_command(&tx->arena, rcpt);
	/* The address without its brackets and source route: what stands behind the last ':'. */
	recipient->address = arena_span(&tx->arena,
		(struct span){.at = rcpt->to.local.at,
			.len = rcpt->to.domain.len
				       ? (size_t)(rcpt->to.domain.at + rcpt->to.domain.len -
						  rcpt->to.local.at)
				       : rcpt->to.local.len});
	recipient->domain = arena_span(&tx->arena, rcpt->to.domain);
	if (recipient->parameters)
		tx->needs |= SMTP_CAP_DSN;
	if (tx->pending++ == 0) {
		net_timer_set(loop_of(session), &tx->answer_by,
			net_now(loop_of(session)) + session->listener->settings->answer_within);
	}
	if (!ensure_attempt(session))
		transaction_no_server(session, ERR_DOWN, "every server was tried");
	else
		attempt_pump(session);
}

static void tell_recipient(
	struct session *session, struct recipient *recipient, const struct smtp_reply *reply)
{
	struct transaction *tx = &session->tx;
	int class = smtp_reply_class(reply);
	assert(recipient->state == RECIPIENT_PENDING);
	recipient->state = class == 2 ? RECIPIENT_ACCEPTED : RECIPIENT_REFUSED;
	tx->pending--;
	if (class == 2)
		tx->told++;
	else
		tx->refused++;
	account_count(session,
		class == 2   ? M_LISTENER_recipients_accepted
		: class == 4 ? M_LISTENER_recipients_deferred
			     : M_LISTENER_recipients_refused,
		1);
	if (reply->code == 421) {
		/* A 421 would end the client's session; it is the server that is going away. */
		struct buf wire = {0};
		struct smtp_reply recoded;
		smtp_reply_recode(reply, 451, &wire, &recoded);
		session_reply(session, recipient->slot, &recoded);
		buf_clear(&wire);
	} else {
		session_reply(session, recipient->slot, reply);
	}
}

static void tell_pending(struct session *session, const struct smtp_reply *reply)
{
	struct transaction *tx = &session->tx;
	for (unsigned i = 0; i < tx->recipients && session->talk; i++)
		if (tx->recipient[i].state == RECIPIENT_PENDING)
			tell_recipient(session, &tx->recipient[i], reply);
}

static void own_reply(struct session *session, enum smtp_own own, const char *argument,
	struct smtp_reply *reply_r)
{
	buf_reset(&session->relay->reply);
	smtp_own_reply(own, argument, &session->relay->reply, reply_r);
}

/* The recipients have waited as long as a client should be made to. */
static void answer_by(void *arg)
{
	struct session *session = arg;
	struct transaction *tx = &session->tx;
	struct smtp_reply reply;
	if (tx->pending == 0)
		return;
	if (tx->attempt.active)
		attempt_cancel(session, tx->attempt.ready ? POOL_TIMED_OUT : POOL_ABANDONED);
	own_reply(session, SMTP_OWN_NO_SERVER_IN_TIME, NULL, &reply);
	tell_pending(session, &reply);
	transaction_settle(session);
}

void transaction_init(struct session *session)
{
	chain_init(&session->tx.body, net_chunks(loop_of(session)));
	net_timer_init(&session->tx.answer_by, answer_by, session);
}

void transaction_recipient_answered(
	struct session *session, struct recipient *recipient, const struct smtp_reply *reply)
{
	if (recipient->state == RECIPIENT_PENDING)
		tell_recipient(session, recipient, reply);
}

void transaction_mail_refused(struct session *session, const struct smtp_reply *reply)
{
	struct transaction *tx = &session->tx;
	tx->mail_refused = true;
	tx->mail_reply = *reply;
	if (reply->code == 421) {
		struct buf wire = {0};
		smtp_reply_recode(reply, 451, &wire, &tx->mail_reply);
		tx->mail_reply.wire = arena_span(&tx->arena, tx->mail_reply.wire);
		buf_clear(&wire);
	} else {
		tx->mail_reply.wire = arena_span(&tx->arena, reply->wire);
	}
	tell_pending(session, &tx->mail_reply);
	transaction_settle(session);
}

/* ---- from the envelope to the body ---- */

static void answer_chunks(struct session *session, bool good)
{
	struct transaction *tx = &session->tx;
	char octets[24];
	snprintf(octets, sizeof octets, "%llu", (unsigned long long)tx->octets);
	for (unsigned i = 0; i < tx->chunks; i++)
		session_own(session, tx->chunk_slot[i],
			good ? SMTP_OWN_CHUNK_OK : SMTP_OWN_NO_RECIPIENTS, good ? octets : NULL);
	tx->chunks = 0;
}

static void finish(struct session *session, enum smtp_own own, const char *reason);
static void complete(struct session *session);

void transaction_settle(struct session *session)
{
	struct transaction *tx = &session->tx;
	if (tx->step == STEP_NONE || tx->pending > 0)
		return;
	net_timer_clear(loop_of(session), &tx->answer_by);
	tx->settled = net_now(loop_of(session));
	if (tx->data_waits) {
		tx->data_waits = false;
		transaction_data(session, tx->data_slot);
		return;
	}
	if (tx->chunks > 0)
		answer_chunks(session, tx->told > 0);
	if (tx->early_end) {
		tx->early_end = false;
		complete(session);
	}
}

void transaction_data(struct session *session, unsigned slot)
{
	struct transaction *tx = &session->tx;
	if (tx->pending > 0) {
		tx->data_waits = true;
		tx->data_slot = slot;
		return;
	}
	if (tx->told == 0) {
		session_own(session, slot, SMTP_OWN_NO_RECIPIENTS, NULL);
		return;
	}
	if (!ensure_attempt(session)) {
		session_own(session, slot, SMTP_OWN_NO_SERVER, NULL);
		transaction_abandon(session, "no server");
		return;
	}
	tx->step = STEP_BODY;
	tx->body_wanted = true;
	session_own(session, slot, SMTP_OWN_GO_AHEAD, NULL);
	attempt_pump(session);
}

void transaction_bdat(struct session *session)
{
	struct transaction *tx = &session->tx;
	if (tx->step == STEP_ENVELOPE) {
		tx->step = STEP_BODY;
		tx->body_wanted = true;
	}
}

/* ---- the body ---- */

void transaction_body(struct session *session, struct chunk *chunk, size_t at, size_t len)
{
	struct transaction *tx = &session->tx;
	tx->octets += len;
	account_count(session, M_LISTENER_bytes_in, (int64_t)len);
	if (tx->flaw != FLAW_NONE || tx->verdict.code != 0 || (tx->told == 0 && tx->pending == 0))
		return;
	if (!tx->streaming)
		chain_add(&tx->body, chunk, at, len);
	if (tx->attempt.active && tx->attempt.body_begun)
		attempt_body(session, chunk, at, len);
	else
		attempt_pump(session); /* a large body may begin now */
	if (tx->attempt.active && tx->attempt.body_begun && !tx->streaming &&
		tx->octets > (uint64_t)session->listener->settings->replay_limit) {
		tx->streaming = true;
		chain_clear(&tx->body);
	}
	session_flow(session);
}

void transaction_flaw(struct session *session, enum smtp_flaw flaw)
{
	struct transaction *tx = &session->tx;
	tx->flaw = flaw;
	if (tx->attempt.active)
		attempt_cancel(session, POOL_ABANDONED);
	chain_clear(&tx->body);
	session_flow(session);
}

static void refuse_flaw(struct session *session, unsigned slot)
{
	static const enum smtp_own own[] = {
		[FLAW_BARE_NEWLINE] = SMTP_OWN_BARE_NEWLINE,
		[FLAW_NUL] = SMTP_OWN_NUL_IN_BODY,
		[FLAW_LONG_LINE] = SMTP_OWN_BODY_LINE_TOO_LONG,
		[FLAW_TOO_LARGE] = SMTP_OWN_TOO_LARGE,
	};
	struct transaction *tx = &session->tx;
	enum smtp_flaw flaw = tx->flaw;
	char limit[24];
	snprintf(
		limit, sizeof limit, "%llu", (unsigned long long)session->listener->rules.max_size);
	tx->end_slot = slot;
	finish(session, own[flaw], "flaw");
	/* A client that frames its mail wrongly may have more to smuggle; one whose mail is merely
	 * too large may go on. */
	if (flaw != FLAW_TOO_LARGE && session->talk) {
		account_session(session, talk_close_text(CLOSE_REFUSED_BODY));
		session_finish(session);
	}
}

static void hold_chunk(struct session *session, unsigned slot)
{
	struct transaction *tx = &session->tx;
	if (tx->chunks == tx->chunks_room) {
		unsigned room = tx->chunks_room ? tx->chunks_room * 2 : 8;
		unsigned *more = arena_new(&tx->arena, room * sizeof *more);
		if (tx->chunks > 0)
			memcpy(more, tx->chunk_slot, tx->chunks * sizeof *more);
		tx->chunk_slot = more;
		tx->chunks_room = room;
	}
	tx->chunk_slot[tx->chunks++] = slot;
	if (tx->pending == 0)
		answer_chunks(session, tx->told > 0);
}

/* The whole message is here and the recipients' verdicts are known. */
static void complete(struct session *session)
{
	struct transaction *tx = &session->tx;
	if (tx->told == 0) {
		finish(session, SMTP_OWN_NO_RECIPIENTS, "no recipients");
		return;
	}
	if (tx->verdict.code != 0) {
		finish(session, SMTP_OWN_COUNT, tx->reason);
		return;
	}
	if (!ensure_attempt(session))
		finish(session, SMTP_OWN_NO_SERVER, "no server");
	else
		attempt_pump(session);
}

void transaction_body_end(struct session *session, unsigned slot, bool last, enum smtp_flaw flaw)
{
	struct transaction *tx = &session->tx;
	if (flaw != FLAW_NONE)
		tx->flaw = flaw;
	if (tx->flaw != FLAW_NONE) {
		if (tx->attempt.active)
			attempt_cancel(session, POOL_ABANDONED);
		refuse_flaw(session, slot);
		return;
	}
	if (!last) {
		hold_chunk(session, slot);
		return;
	}
	tx->end_slot = slot;
	tx->step = STEP_COMPLETE;
	tx->completed = net_now(loop_of(session));
	if (tx->pending > 0)
		tx->early_end = true;
	else
		complete(session);
}

/* ---- the verdict ---- */

static void reset(struct session *session)
{
	struct transaction *tx = &session->tx;
	struct buf verdict_wire = tx->verdict_wire, last_reply = tx->last_reply;
	assert(!tx->attempt.active);
	account_gap(session, false);
	net_timer_clear(loop_of(session), &tx->answer_by);
	chain_clear(&tx->body);
	arena_clear(&tx->arena);
	buf_reset(&verdict_wire);
	buf_reset(&last_reply);
	*tx = (struct transaction){.verdict_wire = verdict_wire, .last_reply = last_reply};
	transaction_init(session);
}

static void keep_verdict(struct session *session, const struct smtp_reply *reply)
{
	struct transaction *tx = &session->tx;
	buf_reset(&tx->verdict_wire);
	tx->verdict = *reply;
	if (reply->code == 421) {
		smtp_reply_recode(reply, 451, &tx->verdict_wire, &tx->verdict);
		return;
	}
	buf_add_span(&tx->verdict_wire, reply->wire);
	tx->verdict.wire = buf_span(&tx->verdict_wire);
}

/* The attempt that decided has done its work. */
static void conclude_attempt(struct transaction *tx, struct session *session)
{
	if (tx->attempt.active)
		attempt_conclude(session, tx->row, tx->decided);
	tx->decided = NULL; /* it was valid during the server's callback only */
}

/* The client hears the verdict (kept, or `own`), then it is counted and logged. */
static void finish(struct session *session, enum smtp_own own, const char *reason)
{
	struct transaction *tx = &session->tx;
	struct smtp_reply reply;
	if (own != SMTP_OWN_COUNT) {
		char limit[24];
		snprintf(limit, sizeof limit, "%llu",
			(unsigned long long)session->listener->rules.max_size);
		own_reply(session, own, limit, &reply);
		keep_verdict(session, &reply);
	}
	if (reason)
		tx->reason = reason;
	if (tx->step == STEP_BODY && tx->flaw == FLAW_NONE) {
		/* The client is still sending: it hears it after its end of data. */
		conclude_attempt(tx, session);
		chain_clear(&tx->body);
		session_flow(session);
		return;
	}
	bool gone = session_gone(session);
	bool accepted = smtp_reply_class(&tx->verdict) == 2;
	session_reply(session, tx->end_slot, &tx->verdict);
	if (session->talk)
		talk_server_flush(session->talk);
	account_gap(session, false);
	conclude_attempt(tx, session);
	if (!tx->outcome) {
		tx->outcome = accepted                  ? (gone ? "accepted-unheard" : "accepted")
			      : tx->verdict.code >= 500 ? "refused"
							: "deferred";
		tx->outcome_metric =
			accepted ? (gone ? M_LISTENER_accepted_unheard : M_LISTENER_accepted)
			: tx->verdict.code >= 500 ? M_LISTENER_refused
						  : M_LISTENER_deferred;
	}
	account_transaction(session);
	if (accepted)
		session->errors = 0;
	reset(session);
	if (gone)
		session_finish(session);
}

void transaction_verdict(
	struct session *session, const struct commit_row *row, const struct smtp_reply *reply)
{
	struct transaction *tx = &session->tx;
	tx->row = row;
	tx->decided = reply;
	if (row->action == COMMIT_AMBIGUOUS) {
		tx->outcome = "ambiguous";
		tx->outcome_metric = M_LISTENER_ambiguous;
		finish(session, SMTP_OWN_AMBIGUOUS, row->name);
		return;
	}
	keep_verdict(session, reply);
	finish(session, SMTP_OWN_COUNT, row->name);
}

/* ---- the next server ---- */

static void keep_last_reply(struct transaction *tx, const struct smtp_reply *reply)
{
	if (!reply || smtp_reply_class(reply) != 4)
		return;
	buf_reset(&tx->last_reply);
	tx->last = *reply;
	if (reply->code == 421) {
		smtp_reply_recode(reply, 451, &tx->last_reply, &tx->last);
		return;
	}
	buf_add_span(&tx->last_reply, reply->wire);
	tx->last.wire = buf_span(&tx->last_reply);
}

void transaction_next(
	struct session *session, const struct commit_row *row, const struct smtp_reply *reply)
{
	struct transaction *tx = &session->tx;
	assert(!tx->attempt.active);
	keep_last_reply(tx, reply);
	tx->reason = row->name;
	if (row->action == COMMIT_STALE)
		tx->fresh = ++tx->stale >= 2;
	if (tx->streaming) {
		finish(session, SMTP_OWN_TOO_LARGE_TO_REPLAY, row->name);
		return;
	}
	if (tx->told == 0 && tx->pending == 0)
		return; /* nobody waits for it; a further RCPT begins anew */
	account_count(session, M_LISTENER_replays, row->action == COMMIT_STALE ? 0 : 1);
	if (!ensure_attempt(session))
		transaction_no_server(session, ERR_DOWN, "every server was tried");
}

static enum smtp_own own_for(const struct transaction *tx, enum err err)
{
	if (tx->differed)
		return SMTP_OWN_REPLAY_DIFFERS;
	if (err == ERR_FULL)
		return SMTP_OWN_SERVERS_FULL;
	if (err == ERR_TIMEOUT)
		return SMTP_OWN_NO_SERVER_IN_TIME;
	if (err == ERR_MISSING)
		return tx->needs & SMTP_CAP_SMTPUTF8 ? SMTP_OWN_NEEDS_UTF8 : SMTP_OWN_NO_SERVER;
	return SMTP_OWN_NO_SERVER;
}

/* The current pool has no server for us: the next pool of send-to, or the end of the way. */
void transaction_no_server(struct session *session, enum err err, const char *text)
{
	struct transaction *tx = &session->tx;
	struct smtp_reply reply;
	assert(!tx->attempt.active);
	(void)text;
	if (tx->pool + 1 < session->listener->pools && err != ERR_TIMEOUT) {
		tx->pool++;
		if (ensure_attempt(session))
			return;
	}
	bool use_last = tx->last.code != 0 && !tx->differed;
	if (use_last)
		reply = tx->last;
	else
		own_reply(session, own_for(tx, err), NULL, &reply);
	if (tx->step == STEP_COMPLETE || tx->step == STEP_BODY) {
		keep_verdict(session, &reply);
		if (tx->pending > 0)
			tell_pending(session, &reply);
		finish(session, SMTP_OWN_COUNT, "no server");
		return;
	}
	tell_pending(session, &reply);
	transaction_settle(session);
}

void transaction_abandon(struct session *session, const char *reason)
{
	struct transaction *tx = &session->tx;
	if (tx->step == STEP_NONE)
		return;
	if (tx->attempt.active)
		attempt_cancel(session, POOL_ABANDONED);
	tx->reason = reason;
	if (!tx->outcome) {
		bool all_refused = tx->recipients > 0 && tx->refused == tx->recipients;
		tx->outcome = all_refused ? "refused" : "abandoned";
		tx->outcome_metric = all_refused ? M_LISTENER_refused : M_LISTENER_abandoned;
	}
	account_transaction(session);
	reset(session);
}
