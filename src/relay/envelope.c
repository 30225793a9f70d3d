/*
 * The envelope of a transaction: MAIL is answered by us, each RCPT by the server that the attempt
 * has found, within answer-within.
 *
 * What the client was told binds us: a recipient answered 2yz is offered to every further server
 * and must be accepted there; one answered 4yz or 5yz is never offered again.
 */
#include "relay/session.h"

#include <assert.h>
#include <string.h>

#include "base/testing.h"

void transaction_mail(struct session *session, const struct smtp_mail *mail)
{
	struct transaction *tx = &session->tx;
	assert(tx->step == STEP_NONE);
	tx->step = STEP_ENVELOPE;
	tx->number = ++session->transactions;
	tx->began = net_now(session_loop(session));
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

/* The first of them: from now on the client waits, and the server has half of that time. */
static void begin_waiting(struct session *session)
{
	struct net_loop *loop = session_loop(session);
	int64_t now = net_now(loop), within = session->listener->settings->answer_within;
	net_timer_set(loop, &session->tx.answer_by, now + within);
	net_timer_set(loop, &session->tx.patience, now + within / 2);
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
	if (tx->recipients >= session->listener->settings->max_recipients &&
		!PLANTED(recipients_unlimited)) {
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
	if (tx->pending++ == 0)
		begin_waiting(session);
	if (!transaction_ensure_attempt(session))
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
	if (class == 5)
		tx->for_good++;
	account_count(session,
		class == 2   ? M_LISTENER_recipients_accepted
		: class == 4 ? M_LISTENER_recipients_deferred
			     : M_LISTENER_recipients_refused,
		1);
	struct buf wire = {0};
	struct smtp_reply held;
	transaction_hold_reply(reply, &wire, &held);
	session_reply(session, recipient->slot, &held);
	buf_clear(&wire);
}

void transaction_tell_pending(struct session *session, const struct smtp_reply *reply)
{
	struct transaction *tx = &session->tx;
	for (unsigned i = 0; i < tx->recipients && session->talk; i++)
		if (tx->recipient[i].state == RECIPIENT_PENDING)
			tell_recipient(session, &tx->recipient[i], reply);
}

/* The recipients have waited as long as a client should be made to. */
static void answer_by(void *arg)
{
	struct session *session = arg;
	struct transaction *tx = &session->tx;
	struct smtp_reply reply;
	if (tx->pending == 0)
		return;
	if (tx->attempt.active && tx->attempt.ready && tx->tried.count < POOL_TRIES)
		tx->tried.column[tx->tried.count++] = tx->attempt.loan->column;
	if (tx->attempt.active)
		attempt_cancel(session, tx->attempt.ready ? POOL_TIMED_OUT : POOL_ABANDONED);
	transaction_own_reply(session, SMTP_OWN_NO_SERVER_IN_TIME, NULL, &reply);
	transaction_tell_pending(session, &reply);
	transaction_settle(session);
}

static void lose_patience(void *arg)
{
	attempt_lose_patience(arg);
}

void transaction_timers(struct session *session)
{
	net_timer_init(&session->tx.answer_by, answer_by, session);
	net_timer_init(&session->tx.patience, lose_patience, session);
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
	struct buf wire = {0};
	tx->mail_refused = true;
	transaction_hold_reply(reply, &wire, &tx->mail_reply);
	tx->mail_reply.wire = arena_span(&tx->arena, tx->mail_reply.wire);
	buf_clear(&wire);
	transaction_tell_pending(session, &tx->mail_reply);
	transaction_settle(session);
}
