/*
 * Checks as data: a script is a list of commands and the class of reply each must get.  Connect,
 * banner and EHLO are the conversation's own first steps, QUIT its last.
 */
#include "health/check.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "talk/client.h"

struct step {
	enum smtp_phase phase;
	const char *line; /* "%s": the recipient */
};

/* RSET at the end, so that the server logs a transaction reset rather than one broken off. */
static const struct step recipient_script[] = {
	{PHASE_MAIL, "MAIL FROM:<>"},
	{PHASE_RCPT, "RCPT TO:<%s>"},
	{PHASE_RSET, "RSET"},
};

struct check {
	struct net_loop *loop;
	const struct health_check_settings *settings;
	check_done_fn *done;
	void *arg;
	struct talk_client *talk;  /* smtp */
	struct net_stream *stream; /* tcp */
	struct addr addr[BOARD_ADDRESSES];
	unsigned addrs, addr_at; /* tcp: which is tried */
	struct talk_client_times times;
	struct net_timer timer; /* the whole check; tcp: one address */
	int64_t began;
	unsigned step;
	bool decided;
	struct health_finding finding;
};

static void tell(struct check *check)
{
	net_timer_clear(check->loop, &check->timer);
	check->finding.took = net_now(check->loop) - check->began;
	check->done(check->arg, &check->finding);
}

static void decide(struct check *check, enum health_result result, enum server_reason reason)
{
	if (check->decided)
		return;
	check->decided = true;
	check->finding.result = result;
	check->finding.reason = reason;
}

static void words(struct check *check, const char *what, const struct smtp_reply *reply)
{
	struct buf text = {0};
	buf_addf(&text, "%s: %d ", what, reply->code);
	smtp_reply_text(reply, &text);
	snprintf(check->finding.text, sizeof check->finding.text, "%s", buf_string(&text));
	buf_clear(&text);
}

/* ---- smtp ---- */

static void next_step(struct check *check)
{
	size_t steps = check->settings->recipient
			       ? sizeof recipient_script / sizeof recipient_script[0]
			       : 0;
	if (check->step >= steps) {
		decide(check, HEALTH_PASSED, REASON_CHECK_PASSED);
		talk_client_quit(check->talk);
		return;
	}
	char line[512];
	const struct step *step = &recipient_script[check->step];
	int len = snprintf(line, sizeof line, step->line, check->settings->recipient);
	smtp_client_send(talk_client_smtp(check->talk), step->phase,
		(struct span){.at = line, .len = (size_t)len}, 0);
	talk_client_go(check->talk);
}

static void on_greeted(void *arg)
{
	struct check *check = arg;
	const struct smtp_offer *offer = talk_client_offer(check->talk);
	check->finding.caps = offer->caps;
	check->finding.size = offer->size;
	next_step(check);
}

static void on_reply(void *arg, const struct smtp_client_event *event)
{
	struct check *check = arg;
	if (check->decided)
		return;
	if (smtp_reply_class(&event->reply) == 2) {
		check->step++;
		next_step(check);
		return;
	}
	decide(check, smtp_reply_too_many(&event->reply) ? HEALTH_FULL : HEALTH_FAILED,
		REASON_CHECK_REPLY);
	words(check, smtp_phase_name(event->phase), &event->reply);
	talk_client_quit(check->talk);
}

static void on_ended(void *arg, const struct talk_end *end)
{
	struct check *check = arg;
	if (!check->decided && end->why == CLOSE_GREETING_REFUSED) {
		decide(check, smtp_reply_too_many(&end->reply) ? HEALTH_FULL : HEALTH_FAILED,
			REASON_CHECK_REPLY);
		words(check, smtp_phase_name(end->phase), &end->reply);
	} else if (!check->decided) {
		bool late = end->why == CLOSE_TIMEOUT || end->why == CLOSE_CONNECT_TIMEOUT;
		decide(check, HEALTH_FAILED, late ? REASON_CHECK_TIMEOUT : REASON_CHECK_CONNECT);
		snprintf(check->finding.text, sizeof check->finding.text, "%s", end->text);
	}
	tell(check);
}

static const struct talk_client_ops smtp_ops = {
	.greeted = on_greeted, .reply = on_reply, .ended = on_ended};

/* ---- tcp ---- */

static void try_address(struct check *check);

/* One address that works is enough, as it is for mail. */
static bool try_next(struct check *check, enum net_close how)
{
	net_close(&check->stream, how);
	if (++check->addr_at >= check->addrs)
		return false;
	try_address(check);
	return true;
}

static void on_connected(void *arg, int err)
{
	struct check *check = arg;
	if (err && try_next(check, NET_CLOSE_NOW))
		return;
	decide(check, err ? HEALTH_FAILED : HEALTH_PASSED,
		err ? REASON_CHECK_CONNECT : REASON_CHECK_PASSED);
	if (err)
		snprintf(check->finding.text, sizeof check->finding.text, "connect: %s",
			sys_errno_text(err));
	if (check->stream)
		net_close(&check->stream, NET_CLOSE_NOW);
	tell(check);
}

static void on_nothing(void *arg)
{
	(void)arg;
}

static void on_broken(void *arg, int err)
{
	(void)arg, (void)err;
}

static const struct net_stream_ops tcp_ops = {
	.connected = on_connected, .readable = on_nothing, .broken = on_broken};

static void try_address(struct check *check)
{
	struct sys_endpoint endpoint = {.to = check->addr[check->addr_at]};
	check->stream = net_connect(check->loop, &endpoint, &tcp_ops, check);
	net_timer_set(check->loop, &check->timer,
		net_now(check->loop) + check->settings->timeout / check->addrs);
}

/* ---- life ---- */

static void on_timeout(void *arg)
{
	struct check *check = arg;
	if (check->stream && try_next(check, NET_CLOSE_RESET))
		return;
	decide(check, HEALTH_FAILED, REASON_CHECK_TIMEOUT);
	if (!check->finding.text[0])
		snprintf(check->finding.text, sizeof check->finding.text, "no answer within %d ms",
			(int)(check->settings->timeout / MSEC));
	talk_client_free(&check->talk);
	if (check->stream)
		net_close(&check->stream, NET_CLOSE_RESET);
	tell(check);
}

struct check *check_new(struct net_loop *loop, const struct addr *addr, unsigned addr_count,
	const char *hostname, const struct health_check_settings *settings, check_done_fn *done,
	void *arg)
{
	struct check *check = mem_new(sizeof *check);
	assert(addr_count > 0 && addr_count <= BOARD_ADDRESSES);
	check->loop = loop;
	check->settings = settings;
	check->done = done;
	check->arg = arg;
	check->began = net_now(loop);
	/* One time-out for the whole check; the phases' own are never shorter. */
	check->times = (struct talk_client_times){settings->timeout, settings->timeout,
		settings->timeout, settings->timeout, settings->timeout, settings->timeout,
		settings->timeout, settings->timeout, settings->timeout};
	/* A silent address leaves time for the next one. */
	check->times.connect = settings->timeout / addr_count;
	net_timer_init(&check->timer, on_timeout, check);
	net_timer_set(loop, &check->timer, check->began + settings->timeout);
	if (settings->script == HEALTH_TCP) {
		memcpy(check->addr, addr, addr_count * sizeof *addr);
		check->addrs = addr_count;
		try_address(check);
		return check;
	}
	struct talk_client_setup setup = {.addr = addr,
		.addr_count = addr_count,
		.hostname = hostname,
		.times = &check->times};
	check->talk = talk_client_new(loop, &setup, &smtp_ops, check);
	return check;
}

void check_free(struct check **check)
{
	if (!*check)
		return;
	net_timer_clear((*check)->loop, &(*check)->timer);
	talk_client_free(&(*check)->talk);
	if ((*check)->stream)
		net_close(&(*check)->stream, NET_CLOSE_RESET);
	free(*check);
	*check = NULL;
}
