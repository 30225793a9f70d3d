/*
 * What the server answers: each reply is described to commit_judge(), whose row says what is done.
 */
#include "relay/session.h"

#include <assert.h>

#include "base/testing.h"

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
	attempt->envelope_done = net_now(session_loop(session));
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
	attempt_elsewhere(session, &elsewhere, NULL, reply);
}

static void on_rcpt_reply(struct session *session, const struct commit_row *row,
	struct recipient *recipient, const struct smtp_reply *reply)
{
	struct attempt *attempt = &session->tx.attempt;
	assert(recipient);
	attempt->unanswered--;
	if (row->action == COMMIT_ACCEPT) {
		attempt->accepted++;
		recipient->offer = OFFER_ACCEPTED;
	} else {
		recipient->offer = OFFER_REFUSED;
		attempt->refusal = row;
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
		attempt_dregs(session);
}

static const struct commit_row *judge(
	struct session *session, const struct smtp_client_event *event, struct recipient *recipient)
{
	const struct transaction *tx = &session->tx;
	struct commit_case what = {
		.event = COMMIT_REPLIED,
		.phase = event->phase,
		.fate = smtp_client_fate(attempt_smtp(&tx->attempt)),
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

/* Trouble of the server's own at one recipient, and no other server is left to ask: then it is
 * that recipient's answer, and costs the others nothing. */
static bool is_the_last_word(
	struct session *session, const struct commit_row *row, const struct recipient *recipient)
{
	const struct transaction *tx = &session->tx;
	const struct pool_loan *loan = tx->attempt.loan;
	return row->action == COMMIT_NEXT && !row->drop && recipient->state == RECIPIENT_PENDING &&
	       tx->pool + 1 >= session->listener->pools &&
	       !pool_has_another(loan->pool, &tx->tried, loan->column);
}

void attempt_reply(void *arg, const struct smtp_client_event *event)
{
	struct session *session = arg;
	struct transaction *tx = &session->tx;
	assert(tx->attempt.active && tx->attempt.ready);
	if (tx->mail_refused) {
		attempt_dregs(session);
		return;
	}
	struct recipient *recipient =
		event->phase == PHASE_RCPT ? &tx->recipient[event->tag] : NULL;
	const struct commit_row *row = judge(session, event, recipient);

	if (recipient && is_the_last_word(session, row, recipient)) {
		on_rcpt_reply(session, row, recipient, &event->reply);
		return;
	}
	if (row->action == COMMIT_NEXT || row->action == COMMIT_REPLAY) {
		attempt_elsewhere(session, row, NULL, &event->reply);
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
		if (PLANTED(needless_doubt) && row->action == COMMIT_ACCEPT && tx->recipients > 1)
			attempt_leave_unheard(session);
		else
			transaction_verdict(session, row, &event->reply);
	}
}
