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

#include "base/testing.h"

bool transaction_open(const struct session *session)
{
	return session->tx.step != STEP_NONE;
}

bool transaction_ended(const struct session *session)
{
	const struct attempt *attempt = &session->tx.attempt;
	return attempt->active && attempt->end_sent &&
	       smtp_client_fate(attempt_smtp(attempt)) == FATE_ENDED;
}

/* Until when a connection to a server is worth waiting for. */
static int64_t latest_begin(const struct session *session)
{
	const struct transaction *tx = &session->tx;
	const struct relay_settings *settings = session->listener->settings;
	if (tx->pending > 0 && tx->answer_by.due != NEVER)
		return tx->answer_by.due;
	if (tx->step == STEP_COMPLETE)
		return tx->completed + settings->replay_within;
	return net_now(session_loop(session)) + settings->answer_within;
}

bool transaction_ensure_attempt(struct session *session)
{
	struct transaction *tx = &session->tx;
	int64_t now = net_now(session_loop(session)), latest = latest_begin(session);
	if (tx->attempt.active)
		return true;
	if (tx->tried.count >= POOL_TRIES)
		return false;
	/* An attempt that begins too late, or for nobody, would only make doubles. */
	if (tx->step == STEP_COMPLETE && (session_gone(session) || now > latest))
		return false;
	/* While there is another pool, this one has half of the time. */
	if (tx->pool + 1 < session->listener->pools)
		latest = now + (latest - now) / 2;
	attempt_begin(session, latest);
	return true;
}

void transaction_init(struct session *session)
{
	chain_init(&session->tx.body, net_chunks(session_loop(session)));
	transaction_timers(session);
}

/* ---- the verdict ---- */

void transaction_own_reply(struct session *session, enum smtp_own own, const char *argument,
	struct smtp_reply *reply_r)
{
	buf_reset(&session->relay->reply);
	smtp_own_reply(own, argument, &session->relay->reply, reply_r);
}

static void reset(struct session *session)
{
	struct transaction *tx = &session->tx;
	struct buf verdict_wire = tx->verdict_wire, last_reply = tx->last_reply;
	assert(!tx->attempt.active);
	account_gap(session, false);
	net_timer_clear(session_loop(session), &tx->answer_by);
	net_timer_clear(session_loop(session), &tx->patience);
	chain_clear(&tx->body);
	arena_clear(&tx->arena);
	buf_reset(&verdict_wire);
	buf_reset(&last_reply);
	*tx = (struct transaction){.verdict_wire = verdict_wire, .last_reply = last_reply};
	transaction_init(session);
}

/* A copy that outlives its connection.  A 421 would end the client's session, though it is the
 * server that goes away: it becomes 451, with the same words. */
void transaction_hold_reply(
	const struct smtp_reply *reply, struct buf *wire, struct smtp_reply *held_r)
{
	buf_reset(wire);
	*held_r = *reply;
	if (reply->code == 421) {
		smtp_reply_recode(reply, 451, wire, held_r);
		return;
	}
	buf_add_span(wire, reply->wire);
	held_r->wire = buf_span(wire);
}

static void keep_verdict(struct session *session, const struct smtp_reply *reply)
{
	struct transaction *tx = &session->tx;
	transaction_hold_reply(reply, &tx->verdict_wire, &tx->verdict);
}

/* The attempt that decided has done its work; one that is left when all recipients were refused
 * has none. */
static void conclude_attempt(struct transaction *tx, struct session *session)
{
	if (tx->attempt.active && tx->row)
		attempt_conclude(session, tx->row, tx->decided);
	else if (tx->attempt.active)
		attempt_cancel(session, POOL_ABANDONED);
	tx->decided = NULL; /* it was valid during the server's callback only */
}

static void set_outcome(struct transaction *tx, const char *word, enum metric metric)
{
	tx->outcome = word;
	tx->outcome_metric = metric;
}

static void set_refused(struct transaction *tx, bool for_good)
{
	if (for_good)
		set_outcome(tx, "refused", M_LISTENER_refused);
	else
		set_outcome(tx, "deferred", M_LISTENER_deferred);
}

/* The client hears the verdict (kept, or `own`), then it is counted and logged. */
void transaction_finish(struct session *session, enum smtp_own own, const char *reason)
{
	struct transaction *tx = &session->tx;
	struct smtp_reply reply;
	/* Whatever a further server said: the one before may have the message. */
	if (tx->doubtful && (own != SMTP_OWN_COUNT || smtp_reply_class(&tx->verdict) != 2)) {
		own = SMTP_OWN_AMBIGUOUS;
		set_outcome(tx, "ambiguous", M_LISTENER_ambiguous);
	}
	if (own != SMTP_OWN_COUNT) {
		tx->own = true;
		char limit[24];
		snprintf(limit, sizeof limit, "%llu",
			(unsigned long long)session->listener->rules.max_size);
		transaction_own_reply(
			session, own, own == SMTP_OWN_TOO_LARGE ? limit : NULL, &reply);
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
	KILL_POINT("verdict: not told");
	session_reply(session, tx->end_slot, &tx->verdict);
	KILL_POINT("verdict: reply queued");
	if (session->talk)
		talk_server_flush(session->talk);
	KILL_POINT("verdict: told");
	/* The gap closes in reset(): who dies before it is counted leaves it in the books. */
	conclude_attempt(tx, session);
	if (PLANTED(counted_ambiguous) && accepted)
		set_outcome(tx, "ambiguous", M_LISTENER_ambiguous);
	if (PLANTED(counted_twice) && accepted)
		account_count(session, M_LISTENER_accepted, 1);
	if (!tx->outcome && accepted && gone)
		set_outcome(tx, "accepted-unheard", M_LISTENER_accepted_unheard);
	else if (!tx->outcome && accepted)
		set_outcome(tx, "accepted", M_LISTENER_accepted);
	else if (!tx->outcome)
		set_refused(tx, tx->told == 0 && tx->recipients > 0 ? tx->for_good > 0
								    : tx->verdict.code >= 500);
	account_transaction(session);
	KILL_POINT("verdict: counted");
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
	KILL_POINT("verdict: heard");
	tx->row = row;
	tx->decided = reply;
	if (row->action == COMMIT_AMBIGUOUS) {
		set_outcome(tx, "ambiguous", M_LISTENER_ambiguous);
		transaction_finish(session,
			PLANTED(shortcut_421) ? SMTP_OWN_NO_SERVER : SMTP_OWN_AMBIGUOUS, row->name);
		return;
	}
	keep_verdict(session, reply);
	transaction_finish(session, SMTP_OWN_COUNT, row->name);
}

/* ---- the next server ---- */

static void keep_last_reply(struct transaction *tx, const struct smtp_reply *reply)
{
	if (reply && smtp_reply_class(reply) == 4)
		transaction_hold_reply(reply, &tx->last_reply, &tx->last);
}

/* It can't be replayed: the client hears the server's own words, if they mean "try again". */
static void finish_large(
	struct session *session, const struct commit_row *row, const struct smtp_reply *reply)
{
	if (!reply || smtp_reply_class(reply) != 4) {
		transaction_finish(session, SMTP_OWN_TOO_LARGE_TO_REPLAY, row->name);
		return;
	}
	keep_verdict(session, reply);
	transaction_finish(session, SMTP_OWN_COUNT, row->name);
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
		finish_large(session, row, reply);
		return;
	}
	if (tx->told == 0 && tx->pending == 0)
		return; /* nobody waits for it; a further RCPT begins anew */
	account_count(session, M_LISTENER_replays, row->action == COMMIT_STALE ? 0 : 1);
	if (!transaction_ensure_attempt(session))
		transaction_no_server(session, ERR_DOWN, "every server was tried");
}

/* Whether another pool's servers have what the message needs, but for its size. */
static bool could_but_for_size(const struct session *session)
{
	const struct listener *listener = session->listener;
	for (unsigned i = 0; i < listener->pools; i++)
		if (pool_could(listener->pool[i], session->tx.needs, 0))
			return true;
	return false;
}

/* No server has what the message needs, whatever its health: that is for good. */
static void refuse_needs(struct session *session, struct smtp_reply *reply_r)
{
	const struct transaction *tx = &session->tx;
	char limit[24];
	if (could_but_for_size(session)) {
		struct smtp_offer offer = pool_offer(session->listener->pool[tx->pool]);
		snprintf(limit, sizeof limit, "%llu", (unsigned long long)offer.size);
		transaction_own_reply(session, SMTP_OWN_TOO_LARGE, limit, reply_r);
	} else if (!session->listener->settings->offer.set) {
		/* The client was offered it, so a server had it until now. */
		transaction_own_reply(session, SMTP_OWN_NO_SERVER, NULL, reply_r);
	} else if (tx->needs & SMTP_CAP_SMTPUTF8) {
		transaction_own_reply(session, SMTP_OWN_NEEDS_UTF8, NULL, reply_r);
	} else {
		transaction_own_reply(session, SMTP_OWN_UNKNOWN_PARAMETER,
			tx->needs & SMTP_CAP_DSN ? "DSN" : "BODY=8BITMIME", reply_r);
	}
}

/* Servers had it when this client said EHLO: they may have it again, and the next EHLO tells. */
static bool was_offered(const struct session *session)
{
	const struct transaction *tx = &session->tx;
	return tx->needs && !session->listener->settings->offer.set && !could_but_for_size(session);
}

static void refuse_for(struct session *session, enum err err, struct smtp_reply *reply_r)
{
	const struct transaction *tx = &session->tx;
	enum smtp_own own = tx->differed         ? SMTP_OWN_REPLAY_DIFFERS
			    : err == ERR_FULL    ? SMTP_OWN_SERVERS_FULL
			    : err == ERR_TIMEOUT ? SMTP_OWN_NO_SERVER_IN_TIME
						 : SMTP_OWN_NO_SERVER;
	if (err == ERR_MISSING && !tx->differed && !tx->unavailable && !was_offered(session))
		refuse_needs(session, reply_r);
	else
		transaction_own_reply(session, own, NULL, reply_r);
}

/* The current pool has no server for us: the next pool of send-to, or the end of the way. */
void transaction_no_server(struct session *session, enum err err, const char *text)
{
	struct transaction *tx = &session->tx;
	struct smtp_reply reply;
	assert(!tx->attempt.active);
	(void)text;
	if (err != ERR_MISSING)
		tx->unavailable = true;
	if (tx->pool + 1 < session->listener->pools) {
		tx->pool++;
		if (transaction_ensure_attempt(session))
			return;
	}
	bool use_last = tx->last.code != 0 && !tx->differed;
	if (use_last)
		reply = tx->last;
	else
		refuse_for(session, err, &reply);
	if (tx->step == STEP_COMPLETE || tx->step == STEP_BODY) {
		keep_verdict(session, &reply);
		tx->own = !use_last;
		tx->reason = "no server";
	}
	/* Chunks, and the end of data, may wait for the recipients' verdicts. */
	bool held = tx->pending > 0;
	transaction_tell_pending(session, &reply);
	if (held)
		transaction_settle(session);
	else if (tx->step != STEP_ENVELOPE)
		transaction_finish(session, SMTP_OWN_COUNT, "no server");
}

void transaction_abandon(struct session *session, const char *reason)
{
	struct transaction *tx = &session->tx;
	if (tx->step == STEP_NONE)
		return;
	if (tx->attempt.active)
		attempt_cancel(session, POOL_ABANDONED);
	tx->reason = reason;
	if (tx->doubtful)
		set_outcome(tx, "ambiguous", M_LISTENER_ambiguous);
	if (!tx->outcome) {
		bool all_refused = tx->recipients > 0 && tx->refused == tx->recipients;
		if (all_refused)
			set_refused(tx, tx->for_good > 0);
		else
			set_outcome(tx, "abandoned", M_LISTENER_abandoned);
	}
	account_transaction(session);
	reset(session);
}
