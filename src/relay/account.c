/*
 * What is counted and logged of sessions, transactions and attempts: numbers go to the board, a
 * line per attempt and per transaction to this worker's log ring.
 */
#include "relay/session.h"

#include <string.h>

#include "board/logline.h"
#include "mail/header.h"
#include "relay/queue_id.h"

void account_count(struct session *session, enum metric metric, int64_t delta)
{
	const struct relay_world *world = &session->relay->world;
	board_add(world->board, world->row, session->listener->column, metric, delta);
}

/* The gauge of transactions that have ended and whose verdict the client has not heard: at this
 * process's death the master books it as ambiguous. */
void account_gap(struct session *session, bool in_gap)
{
	if (session->tx.in_gap == in_gap)
		return;
	session->tx.in_gap = in_gap;
	account_count(session, M_LISTENER_in_gap, in_gap ? 1 : -1);
}

static void count_server(struct session *session, enum metric metric)
{
	const struct relay_world *world = &session->relay->world;
	board_add(world->board, world->row, session->tx.attempt.loan->column, metric, 1);
}

void account_passed(struct session *session, const struct smtp_reply *reply)
{
	count_server(session, reply->code >= 500 ? M_SERVER_passed_5yz : M_SERVER_passed_4yz);
}

void account_ambiguous(struct session *session)
{
	count_server(session, M_SERVER_ambiguous);
}

/* ---- lines ---- */

static void begin(struct session *session, struct log_line *line, enum log_event event)
{
	struct relay *relay = session->relay;
	log_begin(line, &relay->line, sys_wall(net_sys(relay->world.loop)), event);
	log_string(line, LOG_session, session->id);
}

static void log_reply(
	struct session *session, struct log_line *line, const struct smtp_reply *reply)
{
	struct buf *text = &session->relay->reply;
	if (!reply || reply->code == 0)
		return;
	buf_reset(text);
	buf_addf(text, "%d ", reply->code);
	smtp_reply_text(reply, text);
	log_text(line, LOG_reply, buf_span(text));
}

void account_attempt(struct session *session, const struct commit_row *row,
	const struct talk_end *end, const struct smtp_reply *reply)
{
	struct relay *relay = session->relay;
	struct transaction *tx = &session->tx;
	struct attempt *attempt = &tx->attempt;
	int64_t now = net_now(relay->world.loop);
	struct log_line line;
	char address[ADDR_TEXT];

	if (attempt->ended && row && row->action != COMMIT_AMBIGUOUS)
		board_observe(relay->world.board, relay->world.row, attempt->loan->column,
			M_SERVER_time_verdict, now - attempt->ended);
	if (reply && reply->code == 250 && attempt->end_sent) {
		struct buf *text = &relay->reply;
		buf_reset(text);
		smtp_reply_text(reply, text);
		struct span id = relay_queue_id(buf_span(text));
		snprintf(tx->queue_id, sizeof tx->queue_id, "%.*s", SPAN_ARG(id));
	}
	addr_text_port(talk_client_peer(attempt->loan->talk), address);
	tx->phase = transaction_ended(session) ? "end"
		    : attempt->body_begun      ? "body"
		    : attempt->mail_answered   ? "rcpt"
					       : "mail";
	begin(session, &line, LOG_EVENT_attempt);
	log_int(&line, LOG_transaction, tx->number);
	log_int(&line, LOG_attempt, tx->attempts);
	log_string(&line, LOG_pool, attempt->loan->pool_name);
	log_string(&line, LOG_server, attempt->loan->server_name);
	log_string(&line, LOG_address, address);
	log_string(&line, LOG_why, attempt->loan->why);
	log_bool(&line, LOG_reused, attempt->loan->reused);
	log_string(&line, LOG_phase, tx->phase);
	log_string(&line, LOG_reason, row ? row->name : "given up");
	log_reply(session, &line, reply);
	if (end)
		log_string(&line, LOG_text, end->text);
	log_string(&line, LOG_queue_id, tx->queue_id);
	log_msec(&line, LOG_t_wait, attempt->loan->waited);
	if (!attempt->loan->reused) {
		log_msec(&line, LOG_t_connect, talk_client_time_connect(attempt->loan->talk));
		log_msec(&line, LOG_t_greeting, talk_client_time_greeting(attempt->loan->talk));
	}
	if (attempt->envelope_done)
		log_msec(&line, LOG_t_envelope, attempt->envelope_done - attempt->began);
	if (attempt->ended) {
		log_msec(&line, LOG_t_body, attempt->ended - attempt->body_begin);
		log_msec(&line, LOG_t_verdict, now - attempt->ended);
	}
	log_end(&line, relay->world.board, relay->world.row);
}

void account_message_id(struct session *session)
{
	struct transaction *tx = &session->tx;
	if (!tx->message_id[0])
		mail_header_find(&tx->body, "Message-ID", tx->message_id, sizeof tx->message_id);
}

#define LOG_RECIPIENTS 20 /* more are counted, not named */

static void log_recipients(struct session *session, struct log_line *line)
{
	const struct transaction *tx = &session->tx;
	bool full = session->listener->settings->log_addresses == LOG_ADDRESSES;
	struct span named[LOG_RECIPIENTS];
	unsigned count = 0;
	for (unsigned i = 0; i < tx->recipients && count < LOG_RECIPIENTS; i++) {
		struct span name = full ? tx->recipient[i].address : tx->recipient[i].domain;
		bool known = false;
		for (unsigned j = 0; j < count && !known; j++)
			known = span_eq_nocase(named[j], name);
		if (!known)
			named[count++] = name;
	}
	log_list(line, LOG_recipients_to, named, count);
}

/* "u@d": without brackets and source route, as the recipients are. */
static struct span sender_address(const struct smtp_path *from)
{
	struct span text = from->text;
	size_t skip = text.len > 0 && text.at[0] == '<' ? 1 : 0;
	if (from->source_route)
		skip = span_find(text, ':') + 1;
	return (struct span){
		.at = text.at + skip, .len = text.len > skip ? text.len - skip - 1 : 0};
}

void account_transaction(struct session *session)
{
	struct relay *relay = session->relay;
	struct transaction *tx = &session->tx;
	int64_t now = net_now(relay->world.loop);
	struct log_line line;

	account_count(session, tx->outcome_metric, 1);
	board_observe(relay->world.board, relay->world.row, session->listener->column,
		M_LISTENER_time_total, now - tx->began);
	if (tx->settled)
		board_observe(relay->world.board, relay->world.row, session->listener->column,
			M_LISTENER_time_envelope, tx->settled - tx->began);
	account_message_id(session);

	begin(session, &line, LOG_EVENT_transaction);
	log_int(&line, LOG_transaction, tx->number);
	log_string(&line, LOG_message_id, tx->message_id);
	log_string(&line, LOG_listener, session->listener->name);
	log_string(&line, LOG_client, session->peer_text);
	log_string(&line, LOG_proxy, session->proxy_text);
	log_string(&line, LOG_local, session->local_text);
	log_string(&line, LOG_helo, session->name);
	log_text(&line, LOG_sender,
		session->listener->settings->log_addresses == LOG_ADDRESSES
			? sender_address(&tx->mail.from)
			: tx->mail.from.domain);
	log_recipients(session, &line);
	log_int(&line, LOG_recipients, tx->recipients);
	log_int(&line, LOG_recipients_accepted, tx->told);
	log_int(&line, LOG_size, (int64_t)tx->octets);
	log_string(&line, LOG_pool, tx->server_pool);
	log_string(&line, LOG_server, tx->server);
	log_string(&line, LOG_why, tx->why);
	log_int(&line, LOG_attempts, tx->attempts);
	log_string(&line, LOG_outcome, tx->outcome);
	log_string(&line, LOG_phase, tx->phase);
	log_string(&line, LOG_reason, tx->reason);
	log_reply(session, &line,
		tx->verdict.code   ? &tx->verdict
		: tx->mail_refused ? &tx->mail_reply
				   : NULL);
	if (tx->own)
		log_bool(&line, LOG_own, true);
	log_string(&line, LOG_queue_id, tx->queue_id);
	if (tx->settled)
		log_msec(&line, LOG_t_envelope, tx->settled - tx->began);
	if (tx->completed) {
		/* A client that pipelines may end its body before the envelope is settled. */
		int64_t begin_body = tx->settled < tx->completed ? tx->settled : tx->completed;
		log_msec(&line, LOG_t_body, tx->completed - begin_body);
		log_msec(&line, LOG_t_verdict, now - tx->completed);
	}
	log_msec(&line, LOG_t_total, now - tx->began);
	log_end(&line, relay->world.board, relay->world.row);
}

void account_session(struct session *session, const char *reason)
{
	struct log_line line;
	begin(session, &line, LOG_EVENT_session);
	log_string(&line, LOG_listener, session->listener->name);
	log_string(&line, LOG_client, session->peer_text);
	log_string(&line, LOG_proxy, session->proxy_text);
	log_string(&line, LOG_helo, session->name);
	log_string(&line, LOG_reason, reason);
	log_end(&line, session->relay->world.board, session->relay->world.row);
}

#define TURNED_EVERY SECOND /* a flood is no flood of lines */

static void log_stranger(struct relay *relay, const struct listener *listener,
	const struct addr *client, const struct addr *proxy, const char *reason, const char *text)
{
	struct log_line line;
	char address[ADDR_TEXT];
	log_begin(&line, &relay->line, sys_wall(net_sys(relay->world.loop)), LOG_EVENT_session);
	log_string(&line, LOG_listener, listener->name);
	if (client) {
		addr_text(client, address);
		log_string(&line, LOG_client, address);
	}
	if (proxy->family != ADDR_NONE) {
		addr_text(proxy, address);
		log_string(&line, LOG_proxy, address);
	}
	log_string(&line, LOG_reason, reason);
	log_string(&line, LOG_text, text);
	log_end(&line, relay->world.board, relay->world.row);
}

/* Whether it is time for a line; then how many have gone without one. */
static bool line_is_due(int64_t now, int64_t *next, unsigned *untold, unsigned *more_r)
{
	++*untold;
	if (now < *next)
		return false;
	*more_r = *untold - 1;
	*next = now + TURNED_EVERY;
	*untold = 0;
	return true;
}

void account_turned_away(struct relay *relay, struct listener *listener, const struct addr *peer,
	const struct addr *proxy, const char *reason)
{
	const struct relay_world *world = &relay->world;
	unsigned more;
	char text[64] = "";

	board_add(world->board, world->row, listener->column, M_LISTENER_sessions_refused, 1);
	if (!line_is_due(net_now(world->loop), &listener->turned_next, &listener->turned, &more))
		return;
	if (more > 0)
		snprintf(text, sizeof text, "and %u more since the last such line", more);
	log_stranger(relay, listener, peer, proxy, reason, text);
}

void account_no_header(
	struct relay *relay, struct listener *listener, const struct addr *proxy, const char *text)
{
	const struct relay_world *world = &relay->world;
	unsigned more;
	char whole[512];

	board_add(world->board, world->row, listener->column, M_LISTENER_proxy_refused, 1);
	if (!line_is_due(net_now(world->loop), &listener->flawed_next, &listener->flawed, &more))
		return;
	snprintf(whole, sizeof whole, "%s", text);
	if (more > 0)
		snprintf(whole, sizeof whole, "%s; and %u more since the last such line", text,
			more);
	log_stranger(relay, listener, NULL, proxy, "no PROXY header", whole);
}

#define ALARM_EVERY (10 * SECOND) /* each attempt meets the same complaint */

void account_alarm(
	struct session *session, const struct commit_row *row, const struct smtp_reply *reply)
{
	struct log_line line;
	struct relay *relay = session->relay;
	int64_t now = net_now(relay->world.loop);
	if (now < relay->alarm_next)
		return;
	relay->alarm_next = now + ALARM_EVERY;
	begin(session, &line, LOG_EVENT_alarm);
	log_string(&line, LOG_reason, row->name);
	log_string(&line, LOG_pool, session->tx.attempt.loan->pool_name);
	log_string(&line, LOG_server, session->tx.attempt.loan->server_name);
	log_string(&line, LOG_text, "the server complains about how we speak to it or who we are");
	log_reply(session, &line, reply);
	log_end(&line, session->relay->world.board, session->relay->world.row);
}
