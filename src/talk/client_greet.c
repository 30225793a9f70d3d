/*
 * Connecting and being greeted: each address in turn, then the banner, EHLO, and HELO for a server
 * that doesn't know EHLO (RFC 5321 3.2).  Only a failure to connect moves on to the next address:
 * a server that answers is the server, whatever it says.
 */
#include "talk/client_private.h"

/* ---- connecting ---- */

void talk_connect(struct talk_client *talk)
{
	struct sys_endpoint endpoint = {.to = talk->addr[talk->addr_at], .from = talk->from};

	talk->began = sys_clock(net_sys(talk->loop));
	talk->since = net_now(talk->loop);
	talk->stream = net_connect(talk->loop, &endpoint, &talk_stream_ops, talk);
	net_timer_set(talk->loop, &talk->timer, talk_wait_due(talk));
}

void talk_connect_next(struct talk_client *talk, enum talk_close why, const char *failure)
{
	if (talk->addr_at + 1 >= talk->addr_count) {
		talk_end(talk, why, NULL, "%s", failure);
		return;
	}
	net_close(&talk->stream, NET_CLOSE_NOW);
	talk->addr_at++;
	talk_connect(talk);
}

void talk_connected(struct talk_client *talk, int err)
{
	int64_t now = sys_clock(net_sys(talk->loop));

	if (err) {
		talk_connect_next(talk, CLOSE_CONNECT_REFUSED, sys_errno_text(err));
		return;
	}
	talk->time_connect = now - talk->began;
	talk->began = now;
	talk->since = net_now(talk->loop);
	talk->asked = smtp_client_outstanding(talk->smtp);
	talk->stage = STAGE_GREET;
}

/* ---- the greeting ---- */

static void refused(struct talk_client *talk, const struct smtp_reply *reply, const char *what)
{
	struct buf words = {0};
	int class = smtp_reply_class(reply);

	smtp_reply_text(reply, &words);
	talk_end(talk, class == 4 || class == 5 ? CLOSE_GREETING_REFUSED : CLOSE_POISONED, reply,
		"%s answered by %u %s", what, reply->code, buf_string(&words));
	buf_clear(&words);
}

static void say_hello(struct talk_client *talk, const char *verb)
{
	struct buf line = {0};

	talk->hello = true;
	buf_addf(&line, "%s %s", verb, talk->hostname);
	smtp_client_send(talk->smtp, PHASE_EHLO, buf_span(&line), 0);
	buf_clear(&line);
	talk_push(talk);
}

/* RFC 5321 4.1.1.1: the first line is a greeting, each further one offers an extension. */
static void read_offer(struct talk_client *talk, const struct smtp_reply *reply)
{
	struct span rest = reply->wire, line;

	talk->offer.caps = SMTP_CAP_SEEN;
	if (talk->helo || !smtp_reply_next_line(&rest, &line))
		return;
	while (smtp_reply_next_line(&rest, &line))
		smtp_offer_line(&talk->offer, line);
}

static void hello_answered(struct talk_client *talk, const struct smtp_reply *reply)
{
	int class = smtp_reply_class(reply);

	if (class == 5 && !talk->helo) {
		talk->helo = true;
		say_hello(talk, "HELO");
		return;
	}
	if (class != 2) {
		refused(talk, reply, talk->helo ? "HELO" : "EHLO");
		return;
	}
	read_offer(talk, reply);
	talk->time_greeting = sys_clock(net_sys(talk->loop)) - talk->began;
	talk->stage = STAGE_READY;
	talk->ops->greeted(talk->arg);
}

void talk_greet(struct talk_client *talk, const struct smtp_client_event *event)
{
	/* What stands behind it can't answer what we haven't said yet. */
	if (talk_input_len(&talk->in) > 0)
		talk_end_unasked(talk);
	else if (event->phase == PHASE_EHLO)
		hello_answered(talk, &event->reply);
	else if (event->reply.code == 220)
		say_hello(talk, "EHLO");
	else
		refused(talk, &event->reply, "connection");
}
