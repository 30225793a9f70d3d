/*
 * What a client says when it is honest: sessions of several messages, each in one of four ways.
 *
 *     lockstep     MAIL | RCPT | RCPT | DATA | body
 *     pipelined    MAIL RCPT RCPT DATA | body (and the next message's envelope, or QUIT)
 *     chunks       MAIL | RCPT | RCPT | BDAT | BDAT LAST
 *     all at once  MAIL RCPT RCPT BDAT BDAT LAST (RSET, and the next message)
 *
 * client_go() is called when all that was said is answered; it says the next thing, and where the
 * way is pipelined, as much as may be said without an answer.  What replies mean for a message is
 * kept in its job, so that a second transaction may be said while the first has no verdict.
 */
#include "sim/client_inside.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- saying ---- */

static void say_octets(struct sim_client *client, struct span octets)
{
	buf_add_span(&client->out, octets);
	client->said += octets.len;
}

struct ask *client_say(struct sim_client *client, enum ask_kind kind, const char *format, ...)
{
	char line[256];
	va_list args;
	va_start(args, format);
	int len = vsnprintf(line, sizeof(line) - 2, format, args);
	va_end(args);
	assert(len >= 0 && (size_t)len < sizeof(line) - 2);
	memcpy(line + len, "\r\n", 2);
	say_octets(client, (struct span){.at = line, .len = (size_t)len + 2});
	return client_expect(client, kind);
}

/* A FIN behind the last words; the other side's replies are still read. */
static void half_close(struct sim_client *client)
{
	if (!client->manner.half_closes || client->half_closed || client->manner.dribbles ||
		client->manner.cut != CUT_NONE)
		return;
	client_flush(client);
	if (!client->end)
		return;
	client->half_closed = true;
	wire_finish(client->end);
}

void client_quit(struct sim_client *client)
{
	if (rng_one_in(&client->rng, 12)) {
		client_hang_up(client, false);
		return;
	}
	client_say(client, ASK_QUIT, "QUIT");
	half_close(client);
}

/* ---- the envelope ---- */

static void say_mail(struct sim_client *client)
{
	const struct deal *deal = &client->deal;
	char sender[LEDGER_ADDRESS], size[40] = "";
	uint64_t octets = deal->body.len;
	const char *verb = rng_one_in(&client->rng, 16) ? "mail from:" : "MAIL FROM:";
	bool eight = client->eightbit && rng_one_in(&client->rng, 4);
	ledger_sender(sender, deal->job->mail->number, deal->job->attempt);
	if (deal->trick == TRICK_OVER_DECLARED) {
		octets = (uint64_t)client->set.max_size + 1 + rng_below(&client->rng, 1u << 30);
	} else if (client->manner.lies_size) {
		octets = 1 + rng_below(&client->rng, octets * 2 + 1);
		uint64_t most = (uint64_t)client->set.max_size;
		if (client->size > 0 && client->size < most)
			most = client->size;
		if (octets > most)
			octets = most;
	}
	if ((client->has_size && deal->trick != TRICK_OVER_SIZE && rng_one_in(&client->rng, 2)) ||
		deal->trick == TRICK_OVER_DECLARED || client->manner.lies_size)
		snprintf(size, sizeof(size), " SIZE=%llu", (unsigned long long)octets);
	struct ask *ask = client_say(
		client, ASK_MAIL, "%s<%s>%s%s", verb, sender, size, eight ? " BODY=8BITMIME" : "");
	ask->job = deal->job;
	if (deal->trick == TRICK_OVER_DECLARED)
		ask->want = 552;
}

static void say_rcpt(struct sim_client *client)
{
	struct deal *deal = &client->deal;
	char address[LEDGER_ADDRESS];
	ledger_recipient_address(address, deal->job->mail->number, deal->asked);
	struct ask *ask = client_say(client, ASK_RCPT, "%s<%s>",
		rng_one_in(&client->rng, 16) ? "Rcpt to:" : "RCPT TO:", address);
	ask->job = deal->job;
	ask->index = deal->asked++;
}

static void say_data(struct sim_client *client)
{
	client_say(client, ASK_DATA, "DATA")->job = client->deal.job;
}

/* ---- the body ---- */

/* RFC 5321 4.5.2. */
static void say_stuffed(struct sim_client *client, struct span body)
{
	while (body.len > 0) {
		const char *lf = memchr(body.at, '\n', body.len);
		size_t len = lf ? (size_t)(lf - body.at) + 1 : body.len;
		if (body.at[0] == '.')
			say_octets(client, SPAN("."));
		say_octets(client, (struct span){.at = body.at, .len = len});
		body = span_from(body, len);
	}
}

static bool is_raw(const struct deal *deal)
{
	return deal->trick == TRICK_SMUGGLE;
}

static void expect_end(struct sim_client *client)
{
	struct ask *ask = client_expect(client, ASK_END);
	ask->job = client->deal.job;
	if (client->deal.trick == TRICK_OVER_SIZE)
		ask->want = 552;
	client->stage = STAGE_OVER;
}

static void say_body(struct sim_client *client)
{
	struct span body = client->deal.body;
	if (is_raw(&client->deal))
		say_octets(client, body);
	else
		say_stuffed(client, body);
	if (body.len > 0 && !span_ends_nocase(body, SPAN("\r\n")))
		say_octets(client, SPAN("\r\n"));
	say_octets(client, SPAN(".\r\n"));
	expect_end(client);
}

/* The next chunk.  Any cut is legal: within a CRLF, behind a dot, of no length. */
static void say_chunk(struct sim_client *client)
{
	struct deal *deal = &client->deal;
	struct rng *rng = &client->rng;
	size_t left = deal->body.len - deal->body_at, len = left;
	char line[40];
	/* Too much in several chunks would be refused at one of them, and then at all. */
	if (deal->trick != TRICK_OVER_SIZE && !rng_one_in(rng, 3))
		len = rng_below(rng, 4) ? (size_t)rng_below(rng, left + 1)
					: (size_t)rng_below(rng, left < 4 ? left + 1 : 4);
	bool last = len == left && rng_below(rng, 5) > 0;
	if (deal->trick == TRICK_RSET || deal->trick == TRICK_OVER_SIZE)
		last = deal->trick == TRICK_OVER_SIZE;
	snprintf(line, sizeof(line), "BDAT %zu%s\r\n", len, last ? " LAST" : "");
	say_octets(client, span_of(line));
	say_octets(
		client, (struct span){.at = span_from(deal->body, deal->body_at).at, .len = len});
	deal->body_at += len;
	if (last)
		expect_end(client);
	else
		client_expect(client, ASK_CHUNK)->job = deal->job;
}

/* ---- a transaction ---- */

static void fill_job(struct sim_client *client, struct job *job)
{
	unsigned shape = MAIL_PLAIN;
	if (world_fault(client->world, &client->rng, FAULT_client_many_recipients))
		shape |= MAIL_MANY_RECIPIENTS;
	if (world_fault(client->world, &client->rng, FAULT_client_large))
		shape |= MAIL_LARGE;
	else if (rng_one_in(&client->rng, 6))
		shape |= MAIL_FEW_WORDS;
	*job = (struct job){0};
	job->mail = ledger_mail(client->set.ledger, &client->rng, shape, client->manner.bdat);
	client->made++;
}

/* A message whose time has come, or a new one; NULL: none now. */
static struct job *choose_job(struct sim_client *client)
{
	struct job *empty = NULL;
	for (unsigned i = 0; i < CLIENT_JOBS; i++) {
		struct job *job = &client->job[i];
		if (!job->mail)
			empty = empty ? empty : job;
		else if (!job->attempt && job->next_try <= client->world->now)
			return job;
	}
	if (!empty || client->made == client->set.mails)
		return NULL;
	fill_job(client, empty);
	return empty;
}

static bool has_traps(struct span body)
{
	return memmem(body.at, body.len, "trap.sim", 8) != NULL;
}

static void begin_deal(struct sim_client *client, struct job *job)
{
	struct deal *deal = &client->deal;
	enum trick trick = client->messages == 0 ? client->manner.trick : TRICK_NONE;
	/* Its body may be read as commands. */
	if (trick == TRICK_EARLY_BODY && has_traps(job->mail->body))
		trick = TRICK_NONE;
	*deal = (struct deal){.job = job, .trick = trick, .body = job->mail->body};
	job->tricked = trick != TRICK_NONE && trick != TRICK_EARLY_BODY;
	job->attempt = ledger_attempt(
		client->set.ledger, job->mail->number, client->set.number, !job->tricked);
	job->plain = client->manner.plain;
	job->yes = job->for_good = job->answered = 0;
	job->judged = false;
	if (trick == TRICK_SMUGGLE || trick == TRICK_OVER_SIZE)
		deal->body = client_fake_body(client, job, trick);
	deal->bdat = client->chunking && client->manner.bdat && trick != TRICK_EARLY_BODY;
	if (deal->bdat)
		ledger_attempt_chunked(client->set.ledger, job->mail->number, job->attempt);
	deal->all_at_once = trick == TRICK_EARLY_BODY ||
			    (client->pipelining && (deal->bdat ? client->manner.bdat_pipelined
							       : client->manner.pipelines));
	deal->all_at_once &=
		trick != TRICK_RSET && trick != TRICK_OVER_DECLARED && trick != TRICK_BAD_BDAT;
	deal->reset_after = (unsigned)rng_below(&client->rng, job->mail->recipients + 1);
	client->messages++;
	client->go_ahead = false;
	client->stage = STAGE_ENVELOPE;
}

/* Whether another transaction may be said at once, behind this one's end. */
static bool may_go_on(struct sim_client *client)
{
	return client->manner.pipelines && client->pipelining &&
	       client->manner.trick == TRICK_NONE && client->asks - client->ask_head < 200 &&
	       rng_one_in(&client->rng, 2);
}

static void say_all_at_once(struct sim_client *client)
{
	struct deal *deal = &client->deal;
	say_mail(client);
	while (deal->asked < deal->job->mail->recipients)
		say_rcpt(client);
	if (!deal->bdat)
		say_data(client);
	if (deal->trick == TRICK_EARLY_BODY)
		say_body(client);
	while (deal->bdat && client->stage == STAGE_ENVELOPE)
		say_chunk(client);
}

static void ready(struct sim_client *client);

/* Behind the end of data: wait for the verdict, or go on without. */
static void behind_end(struct sim_client *client)
{
	if (client->stage != STAGE_OVER)
		return;
	if (may_go_on(client)) {
		/* Chunks that are refused leave the other side in the transaction. */
		if (client->deal.bdat)
			client_say(client, ASK_RSET, "RSET");
		ready(client);
	} else if (client->manner.half_closes && rng_one_in(&client->rng, 2)) {
		half_close(client);
	}
}

/* Nothing to be sent now: wait here or elsewhere, or go for good. */
static void nothing_to_send(struct sim_client *client)
{
	int64_t next = client_next_try(client), now = client->world->now;
	bool waits = next > 0 && next != NEVER && next - now < 4 * MINUTE &&
		     rng_one_in(&client->rng, 3) && client->messages < client->manner.messages;
	/* With a verdict still to come it is not known what is left. */
	if (waits && client->ask_head == client->asks)
		client_rest(client, next);
	else
		client_quit(client);
}

static void ready(struct sim_client *client)
{
	struct job *job = NULL;
	client->stage = STAGE_READY;
	if (client->half_closed)
		return;
	if (client->messages < client->manner.messages)
		job = choose_job(client);
	if (!job) {
		nothing_to_send(client);
		return;
	}
	begin_deal(client, job);
	if (client->size > 0 && job->mail->body.len > client->size && !job->tricked) {
		/* What is larger than offered is not even tried (RFC 1870 6). */
		client_verdict(client, job, 552, (struct span){0});
		job->refused = true;
		client_job_over(client, job);
		ready(client);
		return;
	}
	if (!client->deal.all_at_once) {
		say_mail(client);
		return;
	}
	say_all_at_once(client);
	behind_end(client);
}

/* ---- step by step ---- */

static void greet(struct sim_client *client)
{
	client->stage = STAGE_HELLO;
	client_say(client, ASK_HELLO, "%s client%u.sim", client->manner.helo ? "HELO" : "EHLO",
		client->set.number);
}

/* It is given up before its end. */
static void give_up(struct sim_client *client)
{
	client_verdict(client, client->deal.job, 0, (struct span){0});
	client_say(client, ASK_RSET, "RSET");
	client->needs_rset = false;
	client->stage = STAGE_OVER;
}

static void go_on_in_envelope(struct sim_client *client)
{
	struct deal *deal = &client->deal;
	struct job *job = deal->job;
	if (job->judged) {
		client->stage = STAGE_OVER;
		client_go(client);
	} else if (deal->trick == TRICK_RSET && deal->asked >= deal->reset_after &&
		   (!deal->bdat || job->yes == 0 || deal->asked < job->mail->recipients)) {
		give_up(client);
	} else if (deal->asked < job->mail->recipients) {
		say_rcpt(client);
	} else if (job->yes == 0) {
		client->needs_rset = true;
		client_verdict(client, job, job->refused ? 550 : 450, SPAN("no recipient is left"));
		client->stage = STAGE_OVER;
		client_go(client);
	} else if (deal->trick == TRICK_BAD_BDAT) {
		client_bad_bdat(client);
	} else if (deal->bdat) {
		client->stage = STAGE_CHUNKS;
		say_chunk(client);
	} else if (!client->go_ahead) {
		say_data(client);
	} else {
		client->go_ahead = false;
		say_body(client);
		behind_end(client);
	}
}

static void go_on_in_chunks(struct sim_client *client)
{
	struct job *job = client->deal.job;
	if (job->judged) {
		client->stage = STAGE_OVER;
		client_go(client);
	} else if (client->deal.trick == TRICK_RSET) {
		give_up(client);
	} else {
		say_chunk(client);
		behind_end(client);
	}
}

static void go_on_after(struct sim_client *client)
{
	struct job *job = client->deal.job;
	client_job_over(client, job);
	if (!client->needs_rset) {
		ready(client);
		return;
	}
	client->needs_rset = false;
	if (rng_one_in(&client->rng, 4)) {
		client->stage = STAGE_READY;
		client_quit(client);
	} else {
		client_say(client, ASK_RSET, "RSET");
	}
}

static void go_on(struct sim_client *client)
{
	switch (client->stage) {
	case STAGE_GREETING:
		greet(client);
		break;
	case STAGE_HELLO:
	case STAGE_READY:
		ready(client);
		break;
	case STAGE_ENVELOPE:
		go_on_in_envelope(client);
		break;
	case STAGE_CHUNKS:
		go_on_in_chunks(client);
		break;
	case STAGE_OVER:
		go_on_after(client);
		break;
	case STAGE_LEAVING:
		break;
	}
}

void client_go(struct sim_client *client)
{
	if (!client->end || client->ask_head < client->asks || client->loose ||
		client->half_closed || client->stage == STAGE_LEAVING)
		return;
	if (!client_noise(client) && !client_prank(client))
		go_on(client);
	client_flush(client);
}
