/*
 * A client's session: what talk_server reports is turned into steps of the transaction, and
 * everything that can end a session ends it here.
 *
 * The surprise: a session may outlive its client.  Once the end of data has gone to a server only
 * that server knows what became of the message, so we wait for its word, client or no client.
 */
#include "relay/session.h"

#include <assert.h>
#include <string.h>

#include "base/testing.h"

#define SLOW_FOR (1 * SECOND)

static void over(struct session *session)
{
	session->over = true;
	net_timer_set(session->relay->world.loop, &session->relay->sweep,
		net_now(session->relay->world.loop));
}

bool session_gone(const struct session *session)
{
	return !session->talk || talk_server_gone(session->talk);
}

void session_finish(struct session *session)
{
	if (transaction_ended(session))
		return;
	if (session->talk) {
		talk_server_close(session->talk, SMTP_OWN_COUNT);
		talk_server_free(&session->talk);
	}
	over(session);
}

/* Say a last word and close; whatever is in progress is given up. */
/* It has been told its last word: 221, or another that ends it. */
static bool is_told(const struct session *session)
{
	return smtp_server_quitting(talk_server_smtp(session->talk));
}

static void end_with(struct session *session, enum smtp_own own, const char *reason)
{
	if (!session->talk || session->closing || is_told(session))
		return;
	session->closing = true;
	transaction_abandon(session, reason);
	account_session(session, reason);
	talk_server_close(session->talk, own);
	talk_server_free(&session->talk);
	over(session);
}

void session_drain(struct session *session)
{
	if (!transaction_open(session))
		end_with(session, SMTP_OWN_DRAINING, "drain");
}

/* ---- replies ---- */

static void count_reply(struct session *session, int code)
{
	if (code >= 500)
		session->errors++;
}

void session_reply(struct session *session, unsigned slot, const struct smtp_reply *reply)
{
	if (!session->talk)
		return;
	count_reply(session, reply->code);
	smtp_server_reply(talk_server_smtp(session->talk), slot, reply);
	talk_server_go(session->talk);
}

void session_own(struct session *session, unsigned slot, enum smtp_own own, const char *argument)
{
	if (!session->talk)
		return;
	count_reply(session, smtp_own_code(own));
	smtp_server_own(talk_server_smtp(session->talk), slot, own, argument);
	talk_server_go(session->talk);
}

static bool body_is_stuck(const struct session *session)
{
	const struct transaction *tx = &session->tx;
	if (tx->step != STEP_BODY || tx->flaw != FLAW_NONE || tx->verdict.code != 0)
		return false;
	if (tx->told == 0 && tx->pending == 0)
		return false; /* it goes nowhere: read it to its end */
	bool must_wait =
		tx->octets > (uint64_t)session->listener->settings->replay_limit && !tx->streaming;
	if (PLANTED(no_backpressure))
		return must_wait;
	return must_wait || attempt_backlog(session) > NET_HIGH;
}

void session_flow(struct session *session)
{
	bool held = session->slowed || body_is_stuck(session);
	if (PLANTED(lost_wakeup) && !held && session->tx.step == STEP_BODY)
		return;
	if (session->talk)
		talk_server_pause(session->talk, held);
}

/* ---- limits on a session that sends no mail (hostile-input 22) ---- */

static void unslow(void *arg)
{
	struct session *session = arg;
	session->slowed = false;
	session_flow(session);
}

/* True if the session ended. */
static bool check_limits(struct session *session)
{
	const struct relay_settings *settings = session->listener->settings;
	if (session->errors > settings->max_errors) {
		end_with(session, SMTP_OWN_TOO_MANY_ERRORS, "errors");
		return true;
	}
	if (session->idle_commands > settings->max_idle_commands) {
		end_with(session, SMTP_OWN_TOO_MANY_IDLE_COMMANDS, "idle commands");
		return true;
	}
	if (session->idle_commands > settings->max_idle_commands / 2 ||
		session->errors > settings->max_errors / 2) {
		struct net_loop *loop = session->relay->world.loop;
		session->slowed = true;
		net_timer_set(loop, &session->slow, net_now(loop) + SLOW_FOR);
		session_flow(session);
	}
	return false;
}

/* ---- verbs ---- */

/* What all pools that this listener can send to have in common (docs/architecture.md, EHLO). */
static struct smtp_offer listener_offer(const struct listener *listener)
{
	uint32_t ours = SMTP_CAP_PIPELINING | SMTP_CAP_SIZE | SMTP_CAP_CHUNKING | SMTP_CAP_HELP |
			SMTP_CAP_ENHANCED;
	uint32_t passed = SMTP_CAP_8BITMIME | SMTP_CAP_SMTPUTF8 | SMTP_CAP_DSN;
	struct smtp_offer offer = {
		.caps = passed | SMTP_CAP_ENHANCED, .size = listener->settings->max_size};

	bool seen = false;
	for (unsigned i = 0; i < listener->pools; i++) {
		struct smtp_offer pool = pool_offer(listener->pool[i]);
		if (!(pool.caps & SMTP_CAP_SEEN))
			continue;
		seen = true;
		offer.caps &= pool.caps;
		if (pool.size > 0 && pool.size < offer.size)
			offer.size = pool.size;
	}
	if (!seen)
		offer.caps = SMTP_CAP_ENHANCED;
	offer.caps |= ours & ~SMTP_CAP_ENHANCED;
	if (listener->settings->offer.set)
		offer.caps = listener->settings->offer.caps;
	return offer;
}

static void on_hello(struct session *session, const struct smtp_command *command, unsigned slot)
{
	transaction_abandon(session, "greeted again");
	size_t len = command->name.len < sizeof session->name - 1 ? command->name.len
								  : sizeof session->name - 1;
	memcpy(session->name, command->name.at, len);
	session->name[len] = '\0';
	session->idle_commands++;
	if (command->verb == VERB_HELO) {
		session->offered = 0;
		session_own(session, slot, SMTP_OWN_HELO, session->relay->world.hostname);
		return;
	}
	struct smtp_offer offer = listener_offer(session->listener);
	session->offered = offer.caps;
	smtp_server_reply_ehlo(
		talk_server_smtp(session->talk), slot, session->relay->world.hostname, &offer);
	talk_server_go(session->talk);
}

static void on_mail(struct session *session, const struct smtp_command *command, unsigned slot)
{
	struct relay *relay = session->relay;
	if (relay->draining && net_now(relay->world.loop) >= relay->drain_until) {
		end_with(session, SMTP_OWN_DRAINING, "drain");
		return;
	}
	uint32_t needs = command->mail.smtputf8 ? SMTP_CAP_SMTPUTF8 : 0;
	if (needs & ~session->offered) {
		session_own(session, slot, SMTP_OWN_NEEDS_UTF8, NULL);
		return;
	}
	if (command->mail.body == SMTP_BODY_8BITMIME && !(session->offered & SMTP_CAP_8BITMIME)) {
		session_own(session, slot, SMTP_OWN_UNKNOWN_PARAMETER, "BODY=8BITMIME");
		return;
	}
	bool dsn = command->mail.ret.at || command->mail.envid.at;
	if (dsn && !(session->offered & SMTP_CAP_DSN)) {
		session_own(session, slot, SMTP_OWN_UNKNOWN_PARAMETER,
			command->mail.ret.at ? "RET" : "ENVID");
		return;
	}
	transaction_mail(session, &command->mail);
	session_own(session, slot, SMTP_OWN_SENDER_OK, NULL);
}

static void on_rcpt(struct session *session, const struct smtp_command *command, unsigned slot)
{
	const struct smtp_rcpt *rcpt = &command->rcpt;
	if ((rcpt->notify.at || rcpt->orcpt.at) && !(session->offered & SMTP_CAP_DSN)) {
		session_own(session, slot, SMTP_OWN_UNKNOWN_PARAMETER,
			rcpt->notify.at ? "NOTIFY" : "ORCPT");
		return;
	}
	if (!edge_may_relay(session->listener->edge, session->trusted, &rcpt->to)) {
		account_count(session, M_LISTENER_relay_denied, 1);
		session_own(session, slot, SMTP_OWN_RELAY_DENIED, NULL);
		return;
	}
	transaction_rcpt(session, rcpt, slot);
}

static void on_rset(struct session *session, const struct smtp_command *command, unsigned slot)
{
	(void)command;
	transaction_abandon(session, "reset");
	session->idle_commands++;
	session_own(session, slot, SMTP_OWN_OK, NULL);
}

static void on_quit(struct session *session, const struct smtp_command *command, unsigned slot)
{
	(void)command;
	transaction_abandon(session, "quit");
	session_own(session, slot, SMTP_OWN_BYE, NULL);
}

static void on_data(struct session *session, const struct smtp_command *command, unsigned slot)
{
	(void)command;
	transaction_data(session, slot);
}

static void on_bdat(struct session *session, const struct smtp_command *command, unsigned slot)
{
	(void)command, (void)slot;
	transaction_bdat(session);
}

typedef void on_verb_fn(struct session *session, const struct smtp_command *command, unsigned slot);

static on_verb_fn *const on_verb[SMTP_VERBS] = {
	[VERB_EHLO] = on_hello,
	[VERB_HELO] = on_hello,
	[VERB_MAIL] = on_mail,
	[VERB_RCPT] = on_rcpt,
	[VERB_DATA] = on_data,
	[VERB_BDAT] = on_bdat,
	[VERB_RSET] = on_rset,
	[VERB_QUIT] = on_quit,
};

/* ---- what talk_server reports ---- */

static void on_command(void *arg, const struct smtp_command *command, unsigned slot)
{
	struct session *session = arg;
	assert(on_verb[command->verb]);
	account_count(session, M_LISTENER_commands, 1);
	session->last_active = net_now(session->relay->world.loop);
	on_verb[command->verb](session, command, slot);
	/* A client that has heard 221 hears no 421. */
	if (session->talk && command->verb != VERB_QUIT)
		check_limits(session);
}

static void on_answered(void *arg, enum smtp_own own)
{
	struct session *session = arg;
	account_count(session, M_LISTENER_commands, 1);
	session->last_active = net_now(session->relay->world.loop);
	session->idle_commands++;
	if (smtp_own_code(own) >= 500) {
		session->errors++;
		account_count(session, M_LISTENER_protocol_errors, 1);
	}
	check_limits(session);
}

static void on_body(void *arg, struct chunk *chunk, size_t at, size_t len)
{
	transaction_body(arg, chunk, at, len);
}

static void on_flaw(void *arg, enum smtp_flaw flaw)
{
	transaction_flaw(arg, flaw);
}

static void on_body_end(void *arg, unsigned slot, bool last, enum smtp_flaw flaw)
{
	struct session *session = arg;
	session->last_active = net_now(session->relay->world.loop);
	transaction_body_end(session, slot, last, flaw);
}

static void on_hangup(void *arg, enum talk_close why)
{
	struct session *session = arg;
	if (transaction_ended(session))
		return; /* its verdict is awaited; transaction_verdict() finishes the session */
	transaction_abandon(session, talk_close_text(why));
	session_finish(session);
}

static void on_closed(void *arg, enum talk_close why)
{
	struct session *session = arg;
	bool ended = transaction_ended(session);
	if (!ended)
		transaction_abandon(session, talk_close_text(why));
	if (why != CLOSE_QUIT && why != CLOSE_PEER_CLOSED)
		account_session(session, talk_close_text(why));
	talk_server_free(&session->talk);
	if (!ended && !(PLANTED(timer_leak) && why == CLOSE_RESET))
		over(session);
}

static const struct talk_server_ops ops = {
	.command = on_command,
	.answered = on_answered,
	.body = on_body,
	.flaw = on_flaw,
	.body_end = on_body_end,
	.hangup = on_hangup,
	.closed = on_closed,
};

/* ---- life ---- */

static void name_session(struct session *session)
{
	static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";
	uint64_t random = rng_next(&session->relay->rng);
	for (size_t i = 0; i < sizeof session->id - 1; i++, random >>= 5)
		session->id[i] = digits[random & 31];
}

static void begin_talk(struct session *session, struct arrival *arrival)
{
	struct listener *listener = session->listener;
	const char *hostname = session->relay->world.hostname;
	if (arrival->sock) {
		session->talk = talk_server_new(session_loop(session), arrival->sock, hostname,
			&listener->rules, &listener->times, &ops, session);
		return;
	}
	session->talk = talk_server_take(session_loop(session), arrival->stream, hostname,
		&listener->rules, &listener->times, &ops, session);
	talk_server_unread(session->talk, &arrival->unread, arrival->unread_at);
}

void session_open(struct relay *relay, struct listener *listener, struct arrival *arrival)
{
	struct session *session = mem_new(sizeof *session);
	session->relay = relay;
	session->listener = listener;
	session->peer = arrival->client;
	session->local = arrival->local;
	addr_text(&arrival->client, session->peer_text);
	addr_text_port(&arrival->local, session->local_text);
	if (arrival->proxy.family != ADDR_NONE)
		addr_text(&arrival->proxy, session->proxy_text);
	name_session(session);
	session->trusted = !arrival->unnamed && edge_trusted(listener->edge, &arrival->client);
	session->last_active = net_now(relay->world.loop);
	net_timer_init(&session->slow, unslow, session);
	transaction_init(session);
	begin_talk(session, arrival);
	LIST_INSERT_HEAD(&relay->sessions, session, next);
	relay->session_count++;
	account_count(session, M_LISTENER_sessions_opened, 1);
	if (session->proxy_text[0])
		account_count(session, M_LISTENER_sessions_proxied, 1);
}

void session_free(struct session *session)
{
	struct relay *relay = session->relay;
	transaction_abandon(session, "given up");
	talk_server_free(&session->talk);
	net_timer_clear(relay->world.loop, &session->slow);
	edge_leave(relay->edge, &session->peer);
	KILL_POINT("session: left, still counted");
	account_count(session, M_LISTENER_sessions, -1);
	LIST_REMOVE(session, next);
	relay->session_count--;
	buf_clear(&session->tx.verdict_wire);
	buf_clear(&session->tx.last_reply);
	arena_clear(&session->tx.arena);
	free(session);
}

/* No loop will run any more, so what is said goes to the kernel at once. */
void session_cut(struct session *session)
{
	if (transaction_ended(session))
		attempt_leave_unheard(session);
	else if (session->tx.doubtful)
		transaction_finish(session, SMTP_OWN_AMBIGUOUS, session->tx.reason);
	transaction_abandon(session, "given up");
	if (session->talk && !session_gone(session)) {
		if (!is_told(session))
			smtp_server_say(talk_server_smtp(session->talk), SMTP_OWN_DRAINING, NULL);
		talk_server_flush(session->talk);
		account_session(session, "given up");
	}
	session_free(session);
}
