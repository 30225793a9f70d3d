/*
 * One session of the load: a connection, and the message it carries.
 *
 *     idle -> connect -> MAIL+RCPT -> all replies in -> body, end of data -> verdict -> idle
 *                            `-- refused: RSET with the next MAIL -----------^
 *
 * The verdict is taken when nothing is outstanding, so no reply is ever left to the next message.
 */
#include <stdlib.h>

#include "sink/load_private.h"

enum { TAG_ENVELOPE = 1, TAG_BODY, TAG_RESET };

#define WAIT_FIRST (50 * MSEC)
#define WAIT_MOST  SECOND

static void begin(struct load_session *session);

/* ---- the end of a try ---- */

static void drop_connection(struct load_session *session)
{
	talk_client_free(&session->talk);
	session->greeted = session->quitting = false;
}

static void try_over(struct load_session *session, enum load_try how)
{
	struct load_item *item = session->item;
	session->item = NULL;
	load_tried(session->load, item, how, session->unsure);
}

/* A reply has decided; the connection can carry the next message, unless it is used up. */
static void settle(struct load_session *session, uint16_t code)
{
	unsigned most = session->load->setup.per_connection;
	bool spent = most && session->carried >= most;
	if (code == 421) {
		drop_connection(session);
	} else if (spent) {
		session->quitting = true;
		talk_client_quit(session->talk);
	}
	try_over(session, code < 400 ? TRY_ACCEPTED : code < 500 ? TRY_DEFERRED : TRY_FAILED);
	load_session_kick(session);
}

/* ---- sending ---- */

static void send_line(struct load_session *session, enum smtp_phase phase, const char *before,
	struct buf *address)
{
	struct buf line = {0};
	buf_addf(&line, "%s<%s>", before, buf_string(address));
	smtp_client_send(talk_client_smtp(session->talk), phase, buf_span(&line), TAG_ENVELOPE);
	buf_clear(&line);
	buf_reset(address);
}

static void send_envelope(struct load_session *session)
{
	struct buf address = {0};
	session->carried++;
	talk_client_mark(session->talk);
	load_mail_sender(session->load, &address);
	send_line(session, PHASE_MAIL, "MAIL FROM:", &address);
	if (!(talk_client_offer(session->talk)->caps & SMTP_CAP_PIPELINING)) {
		buf_clear(&address);
		talk_client_go(session->talk);
		return;
	}
	load_mail_recipient(session->item, &address);
	send_line(session, PHASE_RCPT, "RCPT TO:", &address);
	buf_clear(&address);
	talk_client_go(session->talk);
}

static void send_recipient(struct load_session *session)
{
	struct buf address = {0};
	load_mail_recipient(session->item, &address);
	send_line(session, PHASE_RCPT, "RCPT TO:", &address);
	buf_clear(&address);
	talk_client_go(session->talk);
}

static void send_body(struct load_session *session)
{
	struct smtp_client *smtp = talk_client_smtp(session->talk);
	struct chain body;
	struct chain_piece *piece;
	chain_init(&body, net_chunks(session->load->loop));
	load_mail_body(session->load, session->item, &body);
	session->in_body = true;
	smtp_client_body_begin(
		smtp, talk_client_offer(session->talk)->caps & SMTP_CAP_CHUNKING, TAG_BODY);
	CHAIN_FOREACH (piece, &body)
		smtp_client_body(smtp, piece->chunk, piece->at, piece->len);
	smtp_client_body_end(smtp);
	chain_clear(&body);
	talk_client_go(session->talk);
}

static void send_reset(struct load_session *session)
{
	smtp_client_send(talk_client_smtp(session->talk), PHASE_RSET, SPAN("RSET"), TAG_RESET);
	talk_client_go(session->talk);
}

/* ---- replies ---- */

/* Nothing is outstanding. */
static void advance(struct load_session *session, enum smtp_phase phase)
{
	if (session->ended) {
		settle(session, session->verdict < 400 ? session->verdict
				: session->refusal     ? session->refusal
						       : session->verdict);
	} else if (session->refusal) {
		uint16_t refusal = session->refusal;
		if (refusal != 421)
			send_reset(session);
		settle(session, refusal);
	} else if (phase == PHASE_MAIL) {
		send_recipient(session);
	} else if (!session->in_body) {
		send_body(session);
	}
}

static void on_reply(void *arg, const struct smtp_client_event *event)
{
	struct load_session *session = arg;
	const struct smtp_reply *reply = &event->reply;
	if (event->tag == TAG_RESET || !session->item)
		return;
	if (event->phase == PHASE_END) {
		session->ended = true;
		session->verdict = reply->code;
		session->unsure = reply->enhanced.class == 4 && reply->enhanced.subject == 4 &&
				  reply->enhanced.detail == 2;
	} else if (reply->code >= 400 && !session->refusal) {
		session->refusal = reply->code;
	}
	if (smtp_client_outstanding(talk_client_smtp(session->talk)) == 0)
		advance(session, event->phase);
}

static void on_greeted(void *arg)
{
	struct load_session *session = arg;
	session->greeted = true;
	session->wait = WAIT_FIRST;
	if (session->item)
		send_envelope(session);
}

/* ---- the connection ---- */

/* The session waits, longer each time, beside the message's own wait. */
static void connect_failed(struct load_session *session)
{
	struct load *load = session->load;
	net_timer_set(load->loop, &session->again, net_now(load->loop) + session->wait);
	session->wait = session->wait * 2 < WAIT_MOST ? session->wait * 2 : WAIT_MOST;
}

static void on_ended(void *arg, const struct talk_end *end)
{
	struct load_session *session = arg;
	bool greeted = session->greeted;
	enum smtp_fate fate = end->fate;
	drop_connection(session);
	if (!greeted)
		connect_failed(session);
	if (session->item) {
		session->unsure = session->in_body && fate == FATE_ENDED;
		try_over(session, TRY_LOST);
	}
	if (greeted)
		load_session_kick(session);
}

static const struct talk_client_ops talk_ops = {
	.greeted = on_greeted,
	.reply = on_reply,
	.ended = on_ended,
};

static void connect_again(void *arg)
{
	load_session_kick(arg);
}

static void begin(struct load_session *session)
{
	struct load *load = session->load;
	session->in_body = session->ended = session->unsure = false;
	session->refusal = session->verdict = 0;
	if (session->talk) {
		if (session->greeted)
			send_envelope(session);
		return;
	}
	struct talk_client_setup setup = {
		.addr = &load->setup.to,
		.addr_count = 1,
		.hostname = load->hostname,
		.times = &talk_client_default_times,
	};
	session->carried = 0;
	session->talk = talk_client_new(load->loop, &setup, &talk_ops, session);
}

void load_session_kick(struct load_session *session)
{
	bool resting = session->again.due != NEVER;
	if (session->item || session->quitting || resting)
		return;
	session->item = load_next(session->load);
	if (session->item)
		begin(session);
}

void load_session_init(struct load *load, struct load_session *session)
{
	session->load = load;
	session->wait = WAIT_FIRST;
	net_timer_init(&session->again, connect_again, session);
}

void load_session_clear(struct load_session *session)
{
	net_timer_clear(session->load->loop, &session->again);
	if (session->talk)
		talk_client_free(&session->talk);
	free(session->item);
}
