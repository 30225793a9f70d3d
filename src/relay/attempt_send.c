/*
 * What an attempt sends.  attempt_pump() looks at what the client has given so far and sends what
 * may be sent now: all at once to a server with PIPELINING, one command a time to others.  The end
 * of data leaves only when every recipient's reply is in.
 */
#include "relay/session.h"

#include "base/testing.h"

#define GATHER (64u * 1024) /* a body below this size leaves in one frame, at its end */

static bool may_send(const struct attempt *attempt)
{
	return (talk_client_offer(attempt->loan->talk)->caps & SMTP_CAP_PIPELINING) ||
	       smtp_client_outstanding(attempt_smtp(attempt)) == 0;
}

/* Frames follow each other without a wait, which only a server with PIPELINING has promised to bear
 * (RFC 2920 3.1); every other has DATA. */
static bool takes_chunks(const struct attempt *attempt)
{
	const uint32_t both = SMTP_CAP_CHUNKING | SMTP_CAP_PIPELINING;
	return (talk_client_offer(attempt->loan->talk)->caps & both) == both;
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
	smtp_client_send(attempt_smtp(attempt), PHASE_MAIL, buf_span(line), 0);
	attempt->mail_sent = true;
	attempt->began = net_now(session_loop(session));
	session->tx.attempts++;
}

/* False: something is still to be sent or answered before the body may go. */
static bool pump_envelope(struct session *session)
{
	struct transaction *tx = &session->tx;
	struct attempt *attempt = &tx->attempt;
	if (attempt->loan->must_reset && !attempt->reset_sent) { /* the first of all */
		smtp_client_send(attempt_smtp(attempt), PHASE_RSET, SPAN("RSET"), 0);
		attempt->reset_sent = true;
	}
	if (!attempt->mail_sent) {
		if (!may_send(attempt))
			return false;
		send_mail(session);
	}
	for (unsigned i = 0; i < tx->recipients; i++) {
		struct recipient *recipient = &tx->recipient[i];
		bool refused = recipient->state == RECIPIENT_REFUSED && !PLANTED(recipient_added);
		if (recipient->offer != OFFER_NOT || refused)
			continue;
		if (!may_send(attempt))
			return false;
		smtp_client_send(attempt_smtp(attempt), PHASE_RCPT, recipient->command, i);
		recipient->offer = OFFER_SENT;
		attempt->unanswered++;
	}
	bool answered = attempt->unanswered == 0 || PLANTED(end_before_rcpt);
	return attempt->mail_answered && answered && attempt->accepted > 0;
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
	bool chunking = takes_chunks(attempt);
	struct chain_piece *piece;

	bool gather = tx->body.len < GATHER &&
		      tx->octets <= (uint64_t)session->listener->settings->replay_limit;
	if (!tx->body_wanted || (chunking && tx->step != STEP_COMPLETE && gather))
		return false;
	attempt->body_begin = net_now(session_loop(session));
	attempt->body_begun = true;
	smtp_client_body_begin(attempt_smtp(attempt), chunking, 0);
	CHAIN_FOREACH (piece, &tx->body)
		smtp_client_body(attempt_smtp(attempt), piece->chunk, piece->at, piece->len);
	count_bytes(session, tx->body.len);
	if (tx->octets > (uint64_t)session->listener->settings->replay_limit) {
		tx->streaming = true;
		account_message_id(session);
		chain_clear(&tx->body);
	}
	return true;
}

/* The last chunk waits for the replies to all frames before it: a server that says one too many
 * is found out now, and its surplus reply is not taken for the verdict. */
static bool frames_answered(const struct attempt *attempt)
{
	return !takes_chunks(attempt) || smtp_client_outstanding(attempt_smtp(attempt)) == 0;
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
	bool begun = ready && tx->pending == 0 && (attempt->body_begun || begin_body(session));
	if (begun && tx->step == STEP_COMPLETE && !attempt->end_sent && !session_gone(session) &&
		frames_answered(attempt)) {
		attempt->end_sent = true;
		attempt->ended = net_now(session_loop(session));
		KILL_POINT("end: not counted yet");
		if (!PLANTED(gap_not_counted))
			account_gap(session, true);
		KILL_POINT("end: counted, not handed over");
		smtp_client_body_end(attempt_smtp(attempt));
	}
	talk_client_go(attempt->loan->talk);
	session_flow(session); /* the body may flow now */
}

void attempt_body(struct session *session, struct chunk *chunk, size_t at, size_t len)
{
	struct attempt *attempt = &session->tx.attempt;
	smtp_client_body(attempt_smtp(attempt), chunk, at, len);
	count_bytes(session, len);
	talk_client_go(attempt->loan->talk);
}

size_t attempt_backlog(const struct session *session)
{
	const struct attempt *attempt = &session->tx.attempt;
	if (!attempt->active || !attempt->ready || !attempt->body_begun)
		return 0;
	return talk_client_unsent(attempt->loan->talk) + smtp_client_held(attempt_smtp(attempt));
}
