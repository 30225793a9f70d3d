/*
 * The life of an attempt: the message's conversation with one server.
 *
 *      asked --> ready --> [RSET] MAIL RCPT ... --> (every RCPT answered) --> body --> end -->
 * verdict
 *
 * Each way the connection can end is described to commit_judge(), whose row says what is done.
 */
#include "relay/session.h"

#include <assert.h>
#include <string.h>

#include "base/rng.h"
#include "base/testing.h"

/* ---- the end of an attempt ---- */

/* Note, account and give the connection back. */
static void conclude(struct session *session, enum pool_outcome outcome, enum pool_return how)
{
	struct attempt *attempt = &session->tx.attempt;
	int64_t began = attempt->began;
	if (attempt->ready)
		pool_note(
			attempt->loan, outcome, began ? net_now(session_loop(session)) - began : 0);
	pool_give_back(&attempt->loan, how);
	*attempt = (struct attempt){0};
}

/* How a connection goes back that ended in the middle of something. */
static enum pool_return way_back(struct attempt *attempt)
{
	if (!attempt->ready || !attempt->mail_sent)
		return POOL_REUSE;
	if (attempt->body_begun || smtp_client_outstanding(attempt_smtp(attempt)) > 0)
		return POOL_DROP;
	attempt->loan->must_reset = !PLANTED(unheard_reset);
	return POOL_REUSE;
}

void attempt_cancel(struct session *session, enum pool_outcome outcome)
{
	struct attempt *attempt = &session->tx.attempt;
	assert(attempt->active);
	bool told = session->tx.mail_refused; /* that was the end of it, and was logged */
	if (attempt->mail_sent && !told)
		account_attempt(
			session, attempt->accepted == 0 ? attempt->refusal : NULL, NULL, NULL);
	conclude(session, told ? POOL_REFUSED : outcome, way_back(attempt));
}

void attempt_conclude(
	struct session *session, const struct commit_row *row, const struct smtp_reply *reply)
{
	struct attempt *attempt = &session->tx.attempt;
	account_attempt(session, row, NULL, reply);
	if (row->action == COMMIT_PASS)
		account_passed(session, reply);
	/* An end that waited for a refused DATA has never left: the transaction is open. */
	bool clean = smtp_client_fate(attempt_smtp(attempt)) == FATE_ENDED && !row->drop;
	conclude(session, row->outcome,
		row->drop ? POOL_DROP
		: clean   ? POOL_REUSE
			  : way_back(attempt));
}

/* This server is out; another one, if there is any. */
void attempt_elsewhere(struct session *session, const struct commit_row *row,
	const struct talk_end *end, const struct smtp_reply *reply)
{
	struct transaction *tx = &session->tx;
	struct attempt *attempt = &tx->attempt;
	enum pool_outcome outcome = row->outcome;
	if (row->action != COMMIT_AMBIGUOUS)
		account_gap(session, tx->doubtful);
	if (end && end->why == CLOSE_STALE)
		outcome =
			POOL_STALE; /* it fell idle while the client dawdled: no sign of trouble */
	if (row->alarm)
		account_alarm(session, row, reply);
	if (row->action != COMMIT_STALE && tx->tried.count < POOL_TRIES)
		tx->tried.column[tx->tried.count++] = attempt->loan->column;
	account_attempt(session, row, end, reply);
	conclude(session, outcome, row->drop ? POOL_DROP : way_back(attempt));
	transaction_next(session, row, reply);
}

/* MAIL was refused, and what follows it in the pipeline is refused because of that: wait for
 * these replies, then the connection is as good as new. */
void attempt_dregs(struct session *session)
{
	struct attempt *attempt = &session->tx.attempt;
	if (smtp_client_outstanding(attempt_smtp(attempt)) == 0)
		conclude(session, POOL_REFUSED, way_back(attempt));
}

void attempt_lose_patience(struct session *session)
{
	struct transaction *tx = &session->tx;
	struct attempt *attempt = &tx->attempt;
	if (!attempt->active || !attempt->ready || tx->mail_refused || tx->streaming)
		return;
	struct commit_case late = {
		.event = COMMIT_TIMED_OUT,
		.phase = attempt->body_begun ? PHASE_BODY : PHASE_RCPT,
		.fate = smtp_client_fate(attempt_smtp(attempt)),
	};
	/* Waiting for the envelope's replies; or the whole message is here, and the server does not
	 * take it (354 is missing, or it has stopped reading). */
	bool waits = attempt->body_begun ? tx->step == STEP_COMPLETE
					 : !attempt->mail_answered || attempt->unanswered > 0;
	if (waits && late.fate != FATE_ENDED &&
		pool_has_another(attempt->loan->pool, &tx->tried, attempt->loan->column))
		attempt_elsewhere(session, commit_judge(&late), NULL, NULL);
}

/* ---- the end of the connection ---- */

static void on_ended(void *arg, const struct talk_end *end)
{
	struct session *session = arg;
	struct transaction *tx = &session->tx;
	struct attempt *attempt = &tx->attempt;
	if (tx->mail_refused) {
		conclude(session, POOL_REFUSED, POOL_DROP);
		return;
	}
	struct commit_case what = {
		.event = end->why == CLOSE_TIMEOUT ? COMMIT_TIMED_OUT : COMMIT_LOST,
		.phase = attempt->body_begun ? PHASE_BODY : PHASE_RCPT,
		.fate = end->fate,
		.poisoned = end->why == CLOSE_POISONED,
		.greeted_before = attempt->loan->reused && !end->answered,
	};
	const struct commit_row *row = commit_judge(&what);
	if (row->action != COMMIT_AMBIGUOUS) {
		attempt_elsewhere(session, row, end, NULL);
		return;
	}
	account_ambiguous(session);
	bool resend = session->listener->settings->resend_ambiguous || PLANTED(replay_after_end);
	if (!resend || tx->streaming || session_gone(session)) {
		transaction_verdict(session, row, NULL);
		return;
	}
	tx->doubtful = true;
	attempt_elsewhere(session, row, end, NULL);
}

/* This process ends: what the server does with the message nobody will hear. */
void attempt_leave_unheard(struct session *session)
{
	static const struct commit_case unheard = {
		.event = COMMIT_LOST, .phase = PHASE_BODY, .fate = FATE_ENDED};
	account_ambiguous(session);
	transaction_verdict(session, commit_judge(&unheard), NULL);
}

static void on_drained(void *arg)
{
	struct session *session = arg;
	if (PLANTED(early_250) && transaction_ended(session)) {
		static const struct smtp_client_event taken = {.phase = PHASE_END,
			.reply = {.code = 250, .wire = {.at = "250 Ok\r\n", .len = 8}}};
		attempt_reply(session, &taken);
		return;
	}
	attempt_pump(session);
	session_flow(session);
}

static void on_greeted(void *arg)
{
	assert(!"a loan is greeted before it is lent");
}

static const struct talk_client_ops ops = {
	.greeted = on_greeted,
	.reply = attempt_reply,
	.ended = on_ended,
	.drained = on_drained,
};

/* ---- the beginning ---- */

static void on_ready(void *arg, enum err err, struct pool_loan *loan, const char *text)
{
	struct session *session = arg;
	struct transaction *tx = &session->tx;
	struct attempt *attempt = &tx->attempt;
	if (err != ERR_OK) {
		*attempt = (struct attempt){0};
		transaction_no_server(session, err, text);
		return;
	}
	attempt->loan = loan;
	attempt->ready = true;
	tx->server = loan->server_name;
	tx->server_pool = loan->pool_name;
	snprintf(tx->why, sizeof tx->why, "%s", loan->why);
	talk_client_hand_over(loan->talk, &ops, session);
	talk_client_mark(loan->talk);
	const struct relay_settings *settings = session->listener->settings;
	bool complete = tx->step == STEP_COMPLETE && tx->pending == 0;
	int64_t within = complete ? settings->replay_within : settings->answer_within;
	net_timer_set(
		session_loop(session), &tx->patience, net_now(session_loop(session)) + within / 2);
	attempt_pump(session);
	session_flow(session);
}

/* The value of the field that `balance hash FIELD` wants, hashed alike on every machine. */
static uint64_t balance_key(const struct session *session, const struct pool *pool)
{
	static const struct hash_key everywhere = {{0x6d61696c77656972, 0x62616c616e636572}};
	const struct transaction *tx = &session->tx;
	const char *field = pool_hash_field(pool);
	struct span value = span_of(session->peer_text);
	const struct recipient *first = tx->recipients > 0 ? &tx->recipient[0] : NULL;
	if (!field)
		return 0;
	if (strcmp(field, "sender") == 0)
		value = tx->mail.from.text;
	else if (strcmp(field, "sender-domain") == 0)
		value = tx->mail.from.domain;
	else if (strcmp(field, "recipient") == 0 && first)
		value = first->address;
	else if (strcmp(field, "recipient-domain") == 0 && first)
		value = first->domain;
	return hash_bytes(&everywhere, value.at, value.len);
}

void attempt_begin(struct session *session, int64_t deadline)
{
	struct transaction *tx = &session->tx;
	struct pool *pool = session->listener->pool[tx->pool];
	struct pool_want want = {
		.needs = tx->needs,
		.size = tx->mail.size,
		.key = balance_key(session, pool),
		.tried = &tx->tried,
		.fresh = tx->fresh,
		.deadline = deadline,
	};
	for (unsigned i = 0; i < tx->recipients; i++)
		tx->recipient[i].offer = OFFER_NOT;
	tx->attempt = (struct attempt){.active = true, .asked = net_now(session_loop(session))};
	tx->attempt.loan = pool_lend(pool, &want, on_ready, session);
}
