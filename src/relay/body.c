/*
 * From the envelope to the whole body: DATA and BDAT, the replay copy, flaws.
 *
 * A chunk or a DATA whose recipients' verdicts are not in yet is held; the client's pipelining
 * costs it nothing but that wait.
 */
#include "relay/session.h"

#include <string.h>

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

/* The server that took the recipients may be lost, and then nobody else asks for another: without
 * one a large body would be held back for ever. */
static void want_server(struct session *session)
{
	struct transaction *tx = &session->tx;
	bool goes_on = tx->step == STEP_BODY && tx->flaw == FLAW_NONE && tx->verdict.code == 0;
	if (goes_on && tx->told > 0 && tx->pending == 0 && !transaction_ensure_attempt(session))
		transaction_no_server(session, ERR_DOWN, "every server was tried");
}

static void complete(struct session *session);

void transaction_settle(struct session *session)
{
	struct transaction *tx = &session->tx;
	if (tx->step == STEP_NONE || tx->pending > 0)
		return;
	net_timer_clear(session_loop(session), &tx->answer_by);
	tx->settled = net_now(session_loop(session));
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
	/* What was held back for the recipients' sake goes somewhere now, or is read to its end. */
	want_server(session);
	session_flow(session);
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
	if (!transaction_ensure_attempt(session)) {
		session_own(session, slot, SMTP_OWN_NO_SERVER, NULL);
		tx->outcome = "deferred";
		tx->outcome_metric = M_LISTENER_deferred;
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
	if (tx->step != STEP_ENVELOPE)
		return;
	tx->step = STEP_BODY;
	tx->body_wanted = true;
	want_server(session);
}

/* ---- the body ---- */

void transaction_body(struct session *session, struct chunk *chunk, size_t at, size_t len)
{
	struct transaction *tx = &session->tx;
	tx->octets += len;
	account_count(session, M_LISTENER_bytes_in, (int64_t)len);
	if (tx->flaw != FLAW_NONE || tx->verdict.code != 0 || (tx->told == 0 && tx->pending == 0)) {
		session_flow(session);
		return;
	}
	if (!tx->streaming)
		chain_add(&tx->body, chunk, at, len);
	if (tx->attempt.active && tx->attempt.body_begun)
		attempt_body(session, chunk, at, len);
	else
		attempt_pump(session); /* a large body may begin now */
	if (tx->attempt.active && tx->attempt.body_begun && !tx->streaming &&
		tx->octets > (uint64_t)session->listener->settings->replay_limit) {
		tx->streaming = true;
		account_message_id(session);
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
	struct smtp_reply reply;
	char limit[24];
	snprintf(
		limit, sizeof limit, "%llu", (unsigned long long)session->listener->rules.max_size);
	tx->end_slot = slot;
	/* Recipients and chunks may still wait in front of it. */
	if (tx->pending > 0) {
		transaction_own_reply(
			session, own[flaw], flaw == FLAW_TOO_LARGE ? limit : NULL, &reply);
		transaction_tell_pending(session, &reply);
		transaction_settle(session);
	}
	transaction_finish(session, own[flaw], "flaw");
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
	if (tx->verdict.code != 0) {
		transaction_finish(session, SMTP_OWN_COUNT, tx->reason);
		return;
	}
	if (tx->told == 0) {
		transaction_finish(session, SMTP_OWN_NO_RECIPIENTS, "no recipients");
		return;
	}
	/* Not before: while recipients wait, it is their time that runs. */
	net_timer_set(session_loop(session), &tx->patience,
		net_now(session_loop(session)) + session->listener->settings->replay_within / 2);
	if (!transaction_ensure_attempt(session))
		transaction_finish(session, SMTP_OWN_NO_SERVER, "no server");
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
	tx->completed = net_now(session_loop(session));
	if (tx->pending > 0)
		tx->early_end = true;
	else
		complete(session);
}
