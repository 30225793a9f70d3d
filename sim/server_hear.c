/*
 * What a server makes of commands: the protocol as it should be, and refusals of all kinds.
 *
 * Refusals that are about a message are drawn from the message's own number, so that every server
 * says the same and a replay can agree; now and then one differs, for that happens too.
 */
#include "sim/server_inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the envelope ---- */

void envelope_reset(struct envelope *tx)
{
	struct envelope kept = {.sender = tx->sender,
		.recipient = tx->recipient,
		.room = tx->room,
		.body = tx->body};

	*tx = kept;
	buf_reset(&tx->sender);
	/* One large message must not cost memory on a connection that idles. */
	if (tx->body.room > 64 * 1024)
		buf_clear(&tx->body);
	buf_reset(&tx->body);
}

void envelope_clear(struct envelope *tx)
{
	for (unsigned i = 0; i < tx->room; i++)
		buf_clear(&tx->recipient[i]);
	free(tx->recipient);
	buf_clear(&tx->sender);
	buf_clear(&tx->body);
}

static void add_recipient(struct envelope *tx, struct span address)
{
	if (tx->recipients == tx->room) {
		unsigned room = tx->room > 0 ? tx->room * 2 : 4;

		tx->recipient = mem_grow(tx->recipient, room, sizeof(*tx->recipient));
		memset(tx->recipient + tx->room, 0, (room - tx->room) * sizeof(*tx->recipient));
		tx->room = room;
	}
	buf_reset(&tx->recipient[tx->recipients]);
	buf_add_span(&tx->recipient[tx->recipients++], address);
}

/* ---- the greeting ---- */

static void banner(struct conn *conn)
{
	conn->stage = STAGE_COMMANDS;
	conn_answer(conn, TO_CONNECT, 220, "%s.sim ESMTP", conn->server->name);
}

static void bad_banner(struct conn *conn)
{
	conn->stage = STAGE_COMMANDS;
	switch (rng_below(&conn->rng, 4)) {
	case 0:
		conn_plain(conn, THEN_CLOSE, 421, "4.3.2 not now");
		break;
	case 1:
		conn_plain(conn, THEN_CLOSE, 450, "4.3.2 not yet");
		break;
	case 2:
		conn->unwelcome = true;
		conn_plain(conn, THEN_GO_ON, 554, "5.3.2 no mail here");
		break;
	default:
		wire_send(conn->end, SPAN("SSH-2.0-OpenSSH_9.2p1\r\n"));
		conn_fall_deaf(conn, false);
	}
}

static void greet(struct conn *conn)
{
	if (conn_fault(conn, FAULT_server_closes_at_once)) {
		conn_close(conn, rng_one_in(&conn->rng, 2));
	} else if (conn_fault(conn, FAULT_server_too_many)) {
		conn->stage = STAGE_COMMANDS;
		conn_plain(conn, THEN_CLOSE, 421, "4.7.0 %s Error: too many connections from you",
			conn->server->name);
	} else if (conn_fault(conn, FAULT_server_banner_bad)) {
		bad_banner(conn);
	} else if (!conn_fault(conn, FAULT_server_banner_slow)) {
		banner(conn);
	} else if (rng_one_in(&conn->rng, 6)) {
		conn_never(conn);
	} else {
		conn_later(conn, rng_skewed(&conn->rng, SECOND, 10 * MINUTE), banner);
	}
}

void conn_greet(struct conn *conn)
{
	conn->stage = STAGE_BANNER;
	conn_later(conn, rng_between(&conn->rng, 0, 2 * MSEC), greet);
}

static void hear_hello(struct conn *conn, struct span rest, bool extended)
{
	const struct sim_server_setup *offer = &conn->server->setup;

	envelope_reset(&conn->tx);
	if (rest.len == 0) {
		conn_answer(conn, TO_EHLO, 501, "5.5.4 Syntax: EHLO hostname");
		return;
	}
	if (conn_fault(conn, FAULT_server_ehlo_bad)) {
		switch (rng_below(&conn->rng, extended ? 4 : 2)) {
		case 0:
			conn_plain(conn, THEN_CLOSE, 421, "4.3.2 not any more");
			return;
		case 1:
			conn_answer(conn, TO_EHLO, 451, "4.3.0 not now");
			return;
		case 2:
			conn_answer(conn, TO_EHLO, 502, "5.5.1 what is EHLO?");
			return;
		default:
			conn->greeted = true;
			legal_offer(conn->legal, &(struct legal_offers){0});
			conn_answer(conn, TO_EHLO, 250,
				"%s.sim\r\n250-\r\n250-SIZEABLE 9\r\n250-=\r\n250 \x01\x7f",
				conn->server->name);
			return;
		}
	}
	conn->greeted = true;
	if (!extended)
		conn_answer(conn, TO_EHLO, 250, "%s.sim", conn->server->name);
	else
		conn_answer(conn, TO_EHLO, 250, "%s.sim%s%s%s%s\r\n250 ENHANCEDSTATUSCODES",
			conn->server->name, offer->pipelining ? "\r\n250-PIPELINING" : "",
			offer->size ? "\r\n250-SIZE 10485760" : "",
			offer->eightbit ? "\r\n250-8BITMIME" : "",
			offer->chunking ? "\r\n250-CHUNKING" : "");
}

/* ---- refusals about a message ---- */

static void message_rng(
	const struct conn *conn, struct rng *rng, const char *what, unsigned mail, unsigned index)
{
	world_rng(conn_world(conn), rng, what, (uint64_t)mail * 1000 + index);
}

/* The lot of this message's; one in 20 of this server's own. */
static bool message_fault(struct conn *conn, enum sim_fault fault, struct rng *rng)
{
	return world_fault(conn_world(conn), rng_one_in(&conn->rng, 20) ? &conn->rng : rng, fault);
}

static bool conduct(struct conn *conn, enum asked asked)
{
	static const char *const words[] = {"500 5.5.2 what?", "501 5.5.4 I don't like how you say",
		"502 5.5.1 not here", "503 5.5.1 not now", "504 5.5.4 not so",
		"530 5.7.0 Must issue a STARTTLS command first", "555 5.5.4 what is that?"};
	/* To MAIL with parameters a 555 is about those (and would be passed on). */
	const char *line = words[rng_below(&conn->rng, asked == TO_MAIL ? 6 : 7)];

	if (!conn_fault(conn, FAULT_server_conduct))
		return false;
	conn_answer(conn, asked, (unsigned)(500 + (line[1] - '0') * 10 + line[2] - '0'), "%s",
		line + 4);
	return true;
}

static bool refuse_sender(struct conn *conn, struct span sender)
{
	unsigned mail = 0, attempt = 1, passes;
	struct rng rng = conn->rng;
	bool for_good;

	if (ledger_parse_sender(sender, &mail, &attempt))
		message_rng(conn, &rng, "sender", mail, 0);
	/* Passing trouble passes. */
	for_good = rng_one_in(&rng, 3);
	passes = 1 + (unsigned)rng_below(&rng, 3);
	if ((for_good || attempt <= passes) &&
		message_fault(conn, FAULT_server_mail_refused, &rng)) {
		conn_answer(conn, TO_MAIL, for_good ? 550 : 450, "%s <%.*s> sender refused",
			for_good ? "5.7.1" : "4.7.1", SPAN_ARG(sender));
		return true;
	}
	if (conn_fault(conn, FAULT_server_mail_trouble)) {
		bool plain = rng_one_in(&conn->rng, 2);

		conn_answer(conn, TO_MAIL, plain ? 451 : 452, "%s",
			plain ? "local error in processing" : "4.3.1 Insufficient system storage");
		return true;
	}
	return conduct(conn, TO_MAIL);
}

static bool refuse_recipient(struct conn *conn, struct span address)
{
	unsigned mail = 0, index = 0, sent_mail, attempt = 1, kind, passes;
	struct rng rng = conn->rng;

	if (ledger_parse_recipient(address, &mail, &index))
		message_rng(conn, &rng, "recipient", mail, index);
	(void)ledger_parse_sender(buf_span(&conn->tx.sender), &sent_mail, &attempt);
	kind = (unsigned)rng_below(&rng, 3);
	passes = 1 + (unsigned)rng_below(&rng, 3);
	if ((kind == 0 || attempt <= passes) &&
		message_fault(conn, FAULT_server_rcpt_refused, &rng)) {
		static const struct {
			unsigned code;
			const char *enhanced, *text;
		} no[] = {{550, "5.1.1", "no such user"}, {450, "4.2.0", "greylisted"},
			{452, "4.2.2", "mailbox full"}};

		conn_answer(conn, TO_RCPT, no[kind].code, "%s <%.*s> %s", no[kind].enhanced,
			SPAN_ARG(address), no[kind].text);
		return true;
	}
	if (conn_fault(conn, FAULT_server_rcpt_trouble)) {
		static const char *const words[] = {"", "4.3.0 ", "4.3.1 ", "4.3.2 "};

		conn_answer(conn, TO_RCPT, 451, "%s<%.*s> trouble of my own",
			words[rng_below(&conn->rng, 4)], SPAN_ARG(address));
		return true;
	}
	return conduct(conn, TO_RCPT);
}

/* ---- the envelope's commands ---- */

/* The address in "FROM:<a@b> SIZE=1": naively what stands between the first < and the next >. */
static bool find_path(struct span rest, const char *keyword, struct span *address_r)
{
	size_t end;

	if (!span_starts_nocase(rest, keyword))
		return false;
	rest = span_from(rest, strlen(keyword));
	end = span_find(rest, '>');
	if (rest.len < 2 || rest.at[0] != '<' || end == rest.len)
		return false;
	*address_r = (struct span){.at = rest.at + 1, .len = end - 1};
	return true;
}

static void judge_mails(const struct conn *conn)
{
	unsigned limit = conn->server->setup.messages_per_connection;

	if (limit > 0 && conn->mails > limit)
		world_fail(conn_world(conn), "over-limit",
			"%s: %u messages, and messages-per-connection is %u", conn->who,
			conn->mails, limit);
}

static void hear_mail(struct conn *conn, struct span rest)
{
	struct span sender;
	unsigned mail = 0, attempt;

	conn->mails++;
	judge_mails(conn);
	if (!conn->greeted || conn->tx.open) {
		conn_answer(conn, TO_MAIL, 503, "5.5.1 bad sequence");
		return;
	}
	if (!find_path(rest, "FROM:", &sender)) {
		conn_answer(conn, TO_MAIL, 501, "5.5.4 Syntax: MAIL FROM:<address>");
		return;
	}
	if (refuse_sender(conn, sender))
		return;
	envelope_reset(&conn->tx);
	conn->tx.open = true;
	buf_add_span(&conn->tx.sender, sender);
	(void)ledger_parse_sender(sender, &mail, &attempt);
	message_rng(conn, &conn->tx.limit_lot, "limit", mail, 0);
	conn_answer(conn, TO_MAIL, 250, "2.1.0 ok");
}

/* From now on this connection may be a cause of doubt. */
static void carry(struct conn *conn)
{
	if (conn->carrying || !ledger_parse_sender(buf_span(&conn->tx.sender), &conn->carried_mail,
				      &conn->carried_attempt))
		return;
	conn->carrying = true;
	conn->verdict_upto = 0;
	ledger_carried(conn->server->setup.ledger, conn->carried_mail, conn->carried_attempt);
}

#define RCPT_LIMIT 100

static void judge_recipients(const struct conn *conn)
{
	unsigned limit = conn->server->setup.max_recipients;

	if (limit > 0 && conn->tx.asked_for > limit)
		world_fail(conn_world(conn), "over-limit",
			"%s: %u recipients, and max-recipients is %u", conn->who,
			conn->tx.asked_for, limit);
}

static void hear_rcpt(struct conn *conn, struct span rest)
{
	struct envelope *tx = &conn->tx;
	struct span address;

	if (!tx->open || tx->chunked) {
		conn_answer(conn, TO_RCPT, 503, "5.5.1 bad sequence");
		return;
	}
	if (!find_path(rest, "TO:", &address)) {
		conn_answer(conn, TO_RCPT, 501, "5.5.4 Syntax: RCPT TO:<address>");
		return;
	}
	tx->asked_for++;
	judge_recipients(conn);
	if (tx->asked_for == RCPT_LIMIT + 1)
		tx->limited =
			world_fault(conn_world(conn), &tx->limit_lot, FAULT_server_rcpt_limit);
	if (tx->limited) {
		conn_answer(
			conn, TO_RCPT, 452, "4.5.3 <%.*s> too many recipients", SPAN_ARG(address));
		return;
	}
	if (refuse_recipient(conn, address))
		return;
	add_recipient(tx, address);
	carry(conn);
	conn_answer(conn, TO_RCPT, 250, "2.1.5 <%.*s> ok", SPAN_ARG(address));
}

static void hear_data(struct conn *conn)
{
	static const char *const words[] = {
		"451 4.3.0 not now", "452 4.3.1 no room", "450 4.7.1 later", "554 5.7.1 never"};
	const char *line = words[rng_below(&conn->rng, 4)];

	if (!conn->tx.open || conn->tx.chunked) {
		conn_answer(conn, TO_DATA, 503, "5.5.1 bad sequence");
	} else if (conn->tx.recipients == 0) {
		conn_answer(conn, TO_DATA, 554, "5.5.1 no valid recipients");
	} else if (conn_fault(conn, FAULT_server_data_refused)) {
		conn_answer(conn, TO_DATA,
			(unsigned)(line[0] - '0') * 100 + (unsigned)(line[1] - '0') * 10 +
				(unsigned)(line[2] - '0'),
			"%s <%.*s>", line + 4, SENDER_ARG(conn));
	} else if (!conduct(conn, TO_DATA)) {
		conn_take_data(conn);
	}
}

/* "1000" or "1000 LAST". */
static void hear_bdat(struct conn *conn, struct span rest)
{
	size_t blank = span_find(rest, ' ');
	struct span digits = {.at = rest.at, .len = blank};
	uint64_t size;
	bool last = blank < rest.len && span_is_nocase(span_from(rest, blank + 1), "LAST");

	if (!span_to_u64(digits, UINT32_MAX, &size)) {
		/* How many octets follow nobody can know. */
		conn_plain(conn, THEN_CLOSE, 421, "4.5.0 bad chunk size");
		return;
	}
	conn_take_chunk(conn, size, last);
}

/* ---- lines ---- */

static void obey(struct conn *conn, struct span verb, struct span rest)
{
	conn->server->commands++;
	if (span_is_nocase(verb, "QUIT")) {
		conn_answer(conn, TO_QUIT, 221, "2.0.0 Bye");
		conn->say.then = THEN_CLOSE;
	} else if (conn->unwelcome) {
		conn_answer(conn, TO_OTHER, 503, "5.5.1 only QUIT");
	} else if (span_is_nocase(verb, "EHLO") || span_is_nocase(verb, "HELO")) {
		hear_hello(conn, rest, span_is_nocase(verb, "EHLO"));
	} else if (span_is_nocase(verb, "MAIL")) {
		conn_went_on(conn);
		hear_mail(conn, rest);
	} else if (span_is_nocase(verb, "RCPT")) {
		hear_rcpt(conn, rest);
	} else if (span_is_nocase(verb, "DATA")) {
		hear_data(conn);
	} else if (span_is_nocase(verb, "BDAT") && conn->server->setup.chunking) {
		hear_bdat(conn, rest);
	} else if (span_is_nocase(verb, "RSET")) {
		conn_went_on(conn);
		envelope_reset(&conn->tx);
		conn_answer(conn, TO_OTHER, 250, "2.0.0 ok");
	} else if (span_is_nocase(verb, "NOOP")) {
		conn_answer(conn, TO_OTHER, 250, "2.0.0 ok");
	} else if (span_is_nocase(verb, "VRFY")) {
		conn_answer(conn, TO_OTHER, 252, "2.0.0 who knows");
	} else {
		conn_answer(conn, TO_OTHER, 502, "5.5.2 command not recognized");
	}
}

#define LINE_MOST 2048

bool conn_hear_line(struct conn *conn)
{
	struct span heard = wire_heard(conn->end), line;
	size_t len = 0, blank;
	char text[LINE_MOST];

	while (len + 1 < heard.len && (heard.at[len] != '\r' || heard.at[len + 1] != '\n'))
		len++;
	if (len + 1 >= heard.len && heard.len < LINE_MOST)
		return false;
	if (len > LINE_MOST)
		len = LINE_MOST;
	memcpy(text, heard.at, len);
	line = (struct span){.at = text, .len = len};
	conn_eat(conn, len + 2 < heard.len ? len + 2 : heard.len);
	blank = span_find(line, ' ');
	obey(conn, (struct span){.at = text, .len = blank},
		span_from(line, blank < len ? blank + 1 : len));
	return true;
}

/* ---- quiet ---- */

void conn_idle(void *arg)
{
	static const char *const words[] = {
		"250 2.0.0 ok\r\n", "421 4.3.2 going down\r\n", "450 4.0.0 no\r\n", "hello\r\n"};
	struct conn *conn = arg;

	if (conn->busy)
		return;
	if (!conn->idle_fault) {
		conn_plain(conn, THEN_CLOSE, 421, "4.4.2 %s Error: timeout exceeded",
			conn->server->name);
	} else if (conn_is_idle(conn) && conn_fault(conn, FAULT_server_idle_close)) {
		conn_close(conn, rng_one_in(&conn->rng, 4));
	} else if (conn_is_idle(conn) && conn_fault(conn, FAULT_server_idle_421)) {
		conn_plain(conn, THEN_CLOSE, 421, "4.3.2 going down");
	} else if (conn_is_idle(conn) && conn_fault(conn, FAULT_server_unasked)) {
		conn_unasked(conn, words[rng_below(&conn->rng, 4)]);
	} else {
		conn_await(conn, false);
	}
}
