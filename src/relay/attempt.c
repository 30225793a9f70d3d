/*
 * The message's conversation with one server.
 *
 *      asked --> ready --> [RSET] MAIL RCPT ... --> (every RCPT answered) --> body --> end -->
 * verdict
 *
 * attempt_pump() looks at what the client has given so far and sends what may be sent now: all at
 * once to a server with PIPELINING, one command a time to others.  Each reply, and each way the
 * connection can end, is described to commit_judge(), whose row says what is done.  The end of
 * data leaves only when every recipient's reply is in.
 */
#include "relay/session.h"

#include <assert.h>
#include <string.h>

#include "base/rng.h"

#define GATHER (64u * 1024) /* a body below this size leaves in one frame, at its end */

static struct smtp_client *smtp_of(const struct attempt *attempt)
{
	return talk_client_smtp(attempt->loan->talk);
}

static int64_t now_of(const struct session *session)
{
	return net_now(session->relay->world.loop);
}

/* ---- the end of an attempt ---- */

/* Note, account and give the connection back. */
static void conclude(struct session *session, enum pool_outcome outcome, enum pool_return how)
{
	struct attempt *attempt = &session->tx.attempt;
	int64_t began = attempt->began;
	if (attempt->ready)
		pool_note(attempt->loan, outcome, began ? now_of(session) - began : 0);
	pool_give_back(&attempt->loan, how);
	*attempt = (struct attempt){0};
}

/* How a connection goes back that ended in the middle of something. */
static enum pool_return way_back(struct attempt *attempt)
{
	if (!attempt->ready || !attempt->mail_sent)
		return POOL_REUSE;
	if (attempt->body_begun || smtp_client_outstanding(smtp_of(attempt)) > 0)
		return POOL_DROP;
	attempt->loan->must_reset = true;
	return POOL_REUSE;
}

void attempt_cancel(struct session *session, enum pool_outcome outcome)
{
	struct attempt *attempt = &session->tx.attempt;
	assert(attempt->active);
	if (attempt->mail_sent)
		account_attempt(session, NULL, NULL, NULL);
	conclude(session, outcome, way_back(attempt));
}

void attempt_conclude(
	struct session *session, const struct commit_row *row, const struct smtp_reply *reply)
{
	struct attempt *attempt = &session->tx.attempt;
	account_attempt(session, row, NULL, reply);
	bool clean = attempt->end_sent && !row->drop;
	conclude(session, row->outcome,
		row->drop ? POOL_DROP
		: clean   ? POOL_REUSE
			  : way_back(attempt));
}

/* This server is out; another one, if there is any. */
static void go_elsewhere(struct session *session, const struct commit_row *row,
	const struct talk_end *end, const struct smtp_reply *reply)
{
	struct transaction *tx = &session->tx;
	struct attempt *attempt = &tx->attempt;
	enum pool_outcome outcome = row->outcome;
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

/* ---- sending ---- */

static bool may_send(const struct attempt *attempt)
{
	return (talk_client_offer(attempt->loan->talk)->caps & SMTP_CAP_PIPELINING) ||
	       smtp_client_outstanding(smtp_of(attempt)) == 0;
}

static void send_mail(struct session *session)
{
	const struct smtp_mail *mail = &session->tx.mail;
	struct attempt *attempt = &session->tx.attempt;
	uint32_t caps = talk_client_offer(attempt->loan->talk)->caps;
	struct buf *line = &session->relay->line;

	buf_reset(line);
	buf_addf(line, "MAIL FROM:%.*s", SPAN_ARG(mail->from.text));
	if (mail->size && (caps & SMTP_CAP_SIZE))
		buf_addf(line, " SIZE=%llu", (unsigned long long)mail->size);
	if (mail->body && (caps & SMTP_CAP_8BITMIME))
		buf_addf(line, " BODY=%s", mail->body == SMTP_BODY_8BITMIME ? "8BITMIME" : "7BIT");
	if (mail->smtputf8)
		buf_add_text(line, " SMTPUTF8");
	if (mail->ret.at)
		buf_addf(line, " RET=%.*s", SPAN_ARG(mail->ret));
	if (mail->envid.at)
		buf_addf(line, " ENVID=%.*s", SPAN_ARG(mail->envid));
	smtp_client_send(smtp_of(attempt), PHASE_MAIL, buf_span(line), 0);
	attempt->mail_sent = true;
	attempt->began = now_of(session);
	session->tx.attempts++;
}

/* False: something is still to be sent or answered before the body may go. */
static bool pump_envelope(struct session *session)
{
	struct transaction *tx = &session->tx;
	struct attempt *attempt = &tx->attempt;
	if (attempt->loan->must_reset && !attempt->reset_sent) {
		if (!may_send(attempt))
			return false;
		smtp_client_send(smtp_of(attempt), PHASE_RSET, SPAN("RSET"), 0);
		attempt->reset_sent = true;
	}
	if (!attempt->mail_sent) {
		if (!may_send(attempt))
			return false;
		send_mail(session);
	}
	for (unsigned i = 0; i < tx->recipients; i++) {
		struct recipient *recipient = &tx->recipient[i];
		if (recipient->offer != OFFER_NOT || recipient->state == RECIPIENT_REFUSED)
			continue;
		if (!may_send(attempt))
			return false;
		smtp_client_send(smtp_of(attempt), PHASE_RCPT, recipient->command, i);
		recipient->offer = OFFER_SENT;
		attempt->unanswered++;
	}
	return attempt->mail_answered && attempt->unanswered == 0 && attempt->accepted > 0;
}

static void count_bytes(struct session *session, size_t len)
{
	struct relay *relay = session->relay;
	board_add(relay->world.board, relay->world.row, session->tx.attempt.loan->column,
		M_SERVER_bytes_out, (int64_t)len);
}

/* What has come of the body so far.  True if it is on its way. */
static bool begin_body(struct session *session)
{
	struct transaction *tx = &session->tx;
	struct attempt *attempt = &tx->attempt;
	bool chunking = talk_client_offer(attempt->loan->talk)->caps & SMTP_CAP_CHUNKING;
	struct chain_piece *piece;

	if (!tx->body_wanted || (chunking && tx->step != STEP_COMPLETE && tx->body.len < GATHER))
		return false;
	attempt->envelope_done = attempt->envelope_done ? attempt->envelope_done : now_of(session);
	attempt->body_begin = now_of(session);
	attempt->body_begun = true;
	smtp_client_body_begin(smtp_of(attempt), chunking, 0);
	CHAIN_FOREACH (piece, &tx->body)
		smtp_client_body(smtp_of(attempt), piece->chunk, piece->at, piece->len);
	count_bytes(session, tx->body.len);
	return true;
}

void attempt_pump(struct session *session)
{
	struct transaction *tx = &session->tx;
	struct attempt *attempt = &tx->attempt;
	if (!attempt->active || !attempt->ready || tx->mail_refused)
		return;
	bool ready = pump_envelope(session);
	/* A recipient that the client has just added waits for nothing else; the body waits for
	 * all. */
	if (ready && tx->pending == 0 && (attempt->body_begun || begin_body(session)) &&
		tx->step == STEP_COMPLETE && !attempt->end_sent && !session_gone(session)) {
		attempt->end_sent = true;
		attempt->ended = now_of(session);
		account_gap(session, true);
		smtp_client_body_end(smtp_of(attempt));
	}
	talk_client_go(attempt->loan->talk);
}

void attempt_body(struct session *session, struct chunk *chunk, size_t at, size_t len)
{
	struct attempt *attempt = &session->tx.attempt;
	smtp_client_body(smtp_of(attempt), chunk, at, len);
	count_bytes(session, len);
	talk_client_go(attempt->loan->talk);
}

size_t attempt_backlog(const struct session *session)
{
	const struct attempt *attempt = &session->tx.attempt;
	if (!attempt->active || !attempt->ready || !attempt->body_begun)
		return 0;
	return talk_client_unsent(attempt->loan->talk) + smtp_client_held(smtp_of(attempt));
}

/* ---- replies ---- */

static bool quotes(struct span text, struct span part)
{
	for (size_t i = 0; part.len > 0 && i + part.len <= text.len; i++)
		if (span_eq_nocase((struct span){.at = text.at + i, .len = part.len}, part))
			return true;
	return false;
}

static void envelope_done(struct session *session)
{
	struct attempt *attempt = &session->tx.attempt;
	struct relay *relay = session->relay;
	if (attempt->unanswered > 0 || attempt->envelope_done)
		return;
	attempt->envelope_done = now_of(session);
	board_observe(relay->world.board, relay->world.row, attempt->loan->column,
		M_SERVER_time_envelope, attempt->envelope_done - attempt->began);
}

/* A server that answers otherwise than the client was told: nothing can be sent there. */
static void differs(
	struct session *session, const struct commit_row *row, const struct smtp_reply *reply)
{
	session->tx.differed = true;
	struct commit_row elsewhere = *row;
	elsewhere.action = COMMIT_NEXT;
	go_elsewhere(session, &elsewhere, NULL, reply);
}

static void on_rcpt_reply(struct session *session, const struct commit_row *row,
	struct recipient *recipient, const struct smtp_reply *reply)
{
	struct attempt *attempt = &session->tx.attempt;
	attempt->unanswered--;
	if (row->action == COMMIT_ACCEPT) {
		attempt->accepted++;
		recipient->offer = OFFER_ACCEPTED;
	} else {
		recipient->offer = OFFER_REFUSED;
		if (recipient->state == RECIPIENT_ACCEPTED) {
			differs(session, row, reply);
			return;
		}
		account_passed(session, reply);
		pool_note(attempt->loan, row->outcome, 0);
	}
	envelope_done(session);
	transaction_recipient_answered(session, recipient, reply);
	transaction_settle(session);
	attempt_pump(session);
}

/* MAIL was refused, and what follows it in the pipeline is refused because of that: wait for
 * these replies, then the connection is as good as new. */
static void on_dregs(struct session *session)
{
	struct attempt *attempt = &session->tx.attempt;
	if (smtp_client_outstanding(smtp_of(attempt)) == 0)
		conclude(session, POOL_REFUSED, way_back(attempt));
}

static void on_mail_reply(
	struct session *session, const struct commit_row *row, const struct smtp_reply *reply)
{
	struct transaction *tx = &session->tx;
	if (row->action == COMMIT_ACCEPT) {
		tx->attempt.mail_answered = true;
		attempt_pump(session);
		return;
	}
	if (tx->told > 0) {
		differs(session, row, reply);
		return;
	}
	account_passed(session, reply);
	account_attempt(session, row, NULL, reply);
	transaction_mail_refused(session, reply);
	if (tx->attempt.active)
		on_dregs(session);
}

static const struct commit_row *judge(
	struct session *session, const struct smtp_client_event *event, struct recipient *recipient)
{
	const struct transaction *tx = &session->tx;
	struct commit_case what = {
		.event = COMMIT_REPLIED,
		.phase = event->phase,
		.fate = smtp_client_fate(smtp_of(&tx->attempt)),
		.reply = &event->reply,
		.parameters = recipient ? recipient->parameters : tx->sender_parameters,
	};
	if (smtp_reply_class(&event->reply) == 5)
		what.names_client_input =
			quotes(event->reply.wire,
				recipient ? recipient->address : tx->mail.from.text) ||
			(tx->mail.from.domain.len > 0 &&
				quotes(event->reply.wire, tx->mail.from.domain));
	return commit_judge(&what);
}

static void on_reply(void *arg, const struct smtp_client_event *event)
{
	struct session *session = arg;
	struct transaction *tx = &session->tx;
	assert(tx->attempt.active && tx->attempt.ready);
	if (tx->mail_refused) {
		on_dregs(session);
		return;
	}
	struct recipient *recipient =
		event->phase == PHASE_RCPT ? &tx->recipient[event->tag] : NULL;
	const struct commit_row *row = judge(session, event, recipient);

	if (row->action == COMMIT_NEXT || row->action == COMMIT_REPLAY) {
		go_elsewhere(session, row, NULL, &event->reply);
		return;
	}
	switch (event->phase) {
	case PHASE_RSET:
		attempt_pump(session);
		break;
	case PHASE_MAIL:
		on_mail_reply(session, row, &event->reply);
		break;
	case PHASE_RCPT:
		on_rcpt_reply(session, row, recipient, &event->reply);
		break;
	default:
		if (row->action == COMMIT_ACCEPT && event->phase != PHASE_END) {
			attempt_pump(session);
			session_flow(session);
			break;
		}
		transaction_verdict(session, row, &event->reply);
	}
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
		account_gap(session, false);
		go_elsewhere(session, row, end, NULL);
		return;
	}
	account_ambiguous(session);
	if (session->listener->settings->resend_ambiguous && !tx->streaming &&
		!session_gone(session))
		go_elsewhere(session, row, end, NULL);
	else
		transaction_verdict(session, row, NULL);
}

static void on_drained(void *arg)
{
	struct session *session = arg;
	attempt_pump(session);
	session_flow(session);
}

static void on_greeted(void *arg)
{
	(void)arg;
	assert(!"a loan is greeted before it is lent");
}

static const struct talk_client_ops ops = {
	.greeted = on_greeted,
	.reply = on_reply,
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
	tx->attempt = (struct attempt){.active = true, .asked = now_of(session)};
	tx->attempt.loan = pool_lend(pool, &want, on_ready, session);
}
