/*
 * What a server says, and in which of many wrong forms.
 *
 *      answer: what and when --work--> speak: commit, dress --> out: one write, or several
 *                                                                     |
 *                               go on, close, fall deaf <-- then -----'
 *
 * A fault of form is rolled when the reply is decided.  The rule that keeps the world fair: after a
 * reply that leaves the two sides out of step nothing more is taken here, since nobody could tell
 * what the next reply was meant for.  And whether a message was taken is left to the lot only
 * where what is said can't be read as a verdict.
 */
#include "sim/server_inside.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/wire_inside.h"

/* ---- what the other side has ---- */

void conn_watch(struct conn *conn)
{
	uint64_t there = conn->sent - wire_unsent(conn->end);
	unsigned gone = 0;

	for (; gone < conn->saids && conn->said[gone].upto <= there; gone++)
		legal_replied(conn->legal, conn->said[gone].code);
	conn->saids -= gone;
	if (gone > 0)
		memmove(conn->said, conn->said + gone, conn->saids * sizeof(*conn->said));
}

static void note(struct conn *conn, unsigned code)
{
	if (conn->saids == conn->said_room) {
		conn->said_room = conn->said_room > 0 ? conn->said_room * 2 : 8;
		conn->said = mem_grow(conn->said, conn->said_room, sizeof(*conn->said));
	}
	conn->said[conn->saids++] = (struct said){.upto = conn->sent, .code = code};
}

static void settle(struct conn *conn, unsigned commit)
{
	conn->carrying = false;
	ledger_answered(
		conn->server->setup.ledger, conn->carried_mail, conn->carried_attempt, commit);
}

void conn_note_read(struct conn *conn)
{
	if (!conn->carrying || conn->verdict_upto == 0 || !conn->end ||
		conn->end->lane.eaten < conn->verdict_upto)
		return;
	settle(conn, conn->verdict);
}

void conn_went_on(struct conn *conn)
{
	if (conn->carrying)
		settle(conn, LEDGER_NO_COMMIT);
}

/* A verdict in a form that nobody could mistake. */
static void await_reading(struct conn *conn)
{
	const struct say *say = &conn->say;

	conn->verdict_upto = 0;
	conn->verdict = say->commit;
	if (say->asked == TO_END && say->form == FAULTS && say->then == THEN_GO_ON &&
		say->surplus.len == 0)
		conn->verdict_upto = conn->sent;
}

/* More will follow it: what is read in one go with that may be taken for neither. */
static void verdict_spoils(struct conn *conn)
{
	conn_note_read(conn);
	conn->verdict_upto = 0;
}

#define WATCH_MOST (SECOND / 4)

static void watch_poison(void *arg)
{
	struct conn *conn = arg;

	conn->poison_read = conn->end->lane.eaten >= conn->poison_upto;
	conn->poison_after = wire_peer(conn->end)->lane.sent;
	if (conn->poison_read)
		return;
	world_set(conn_world(conn), &conn->watch, conn_world(conn)->now + conn->watch_every,
		watch_poison, conn);
	if (conn->watch_every < WATCH_MOST)
		conn->watch_every *= 2;
}

void conn_poison(struct conn *conn)
{
	conn->poison_upto = conn->sent;
	conn->watch_every = MSEC;
	watch_poison(conn);
}

static void send_part(struct conn *conn, size_t len)
{
	struct say *say = &conn->say;

	wire_send(conn->end, (struct span){.at = say->text.at + say->at, .len = len});
	conn->sent += len;
	say->at += len;
}

/* ---- out ---- */

/* Postfix hangs up at the 20th error (smtpd_hard_error_limit). */
#define ERRORS_SLOW 10
#define ERRORS_MOST 20

static bool is_quiet_kind(enum asked asked)
{
	return asked == TO_EHLO || asked == TO_END || asked == TO_OTHER;
}

static void say_surplus(struct conn *conn)
{
	wire_send(conn->end, buf_span(&conn->say.surplus));
	conn->sent += conn->say.surplus.len;
	conn_poison(conn);
	conn_fall_deaf(conn, is_quiet_kind(conn->say.asked));
}

static void go_on(struct conn *conn)
{
	if (conn->errors >= ERRORS_MOST)
		conn_plain(conn, THEN_CLOSE, 421, "4.7.0 %s Error: too many errors",
			conn->server->name);
	else
		conn_go_on(conn);
}

/* All is out that will be. */
static void said(struct conn *conn)
{
	struct say *say = &conn->say;
	bool whole = say->at == say->text.len;

	bool sound = whole && say->form != FAULT_server_malformed;

	if (sound && say->commit != SERVER_NONE)
		ledger_commit_said(conn->server->setup.ledger, say->commit);
	if (sound) {
		note(conn, say->code);
		await_reading(conn);
	}
	if (whole && say->then == THEN_DEAF)
		conn_poison(conn);
	switch (say->then) {
	case THEN_GO_ON:
		if (say->surplus.len == 0)
			go_on(conn);
		else
			conn_later(conn, rng_between(&conn->rng, 0, 50 * MSEC), say_surplus);
		break;
	case THEN_CLOSE:
	case THEN_RESET:
		conn_close(conn, say->then == THEN_RESET);
		break;
	case THEN_DEAF:
		conn_fall_deaf(conn, is_quiet_kind(say->asked));
		break;
	}
}

static void out(struct conn *conn)
{
	struct say *say = &conn->say;
	size_t end = say->end < say->text.len ? say->end : say->text.len;
	size_t len = end - say->at;

	if (!conn->end)
		return;
	if (say->pieces > 1 && len > 1)
		len = (size_t)rng_between(&conn->rng, 1, (int64_t)len - 1);
	if (len > 0)
		send_part(conn, len);
	if (say->at == end) {
		said(conn);
		return;
	}
	say->pieces--;
	conn_later(conn, rng_skewed(&conn->rng, MSEC, 3 * SECOND), out);
}

/* ---- forms ---- */

static void dress_malformed(struct conn *conn, unsigned code)
{
	struct buf *text = &conn->say.text;

	buf_reset(text);
	switch (rng_below(&conn->rng, 10)) {
	case 0:
		buf_addf(text, "%u-one thing\r\n%u and another\r\n", code, code < 400 ? 550 : 250);
		break;
	case 1:
		buf_add_text(text, "hello there\r\n");
		break;
	case 2:
		buf_add_text(text, "25 2.0.0 ok\r\n");
		break;
	case 3:
		buf_addf(text, "%u0 2.0.0 ok\r\n", code);
		break;
	case 4:
		buf_add_text(text, "999 2.0.0 ok\r\n");
		break;
	case 5:
		buf_addf(text, "%u 2.0.0 ok", code);
		break;
	case 6:
		buf_addf(text, "%u-2.0.0 ok\r\n", code);
		break;
	case 7:
		buf_addf(text, "%u 2.0.0 ok\n", code);
		break;
	case 8:
		buf_addf(text, "%u 2.0.0 o", code);
		buf_add(text, "\0k\r\n", 4);
		break;
	default:
		buf_addf(text, "%u_2.0.0 ok\r\n", code);
		break;
	}
}

static void dress_long(struct conn *conn)
{
	struct buf *text = &conn->say.text;
	int64_t len = rng_skewed(&conn->rng, 600, 1 << 20);

	text->len -= 2;
	buf_add_text(text, " ");
	while ((int64_t)text->len < len)
		buf_add_text(text, "and so on ");
	buf_add_text(text, "\r\n");
}

/* The line again and again; extensions that nobody knows behind the first line of EHLO's. */
static void dress_lines(struct conn *conn)
{
	struct buf *text = &conn->say.text, lines = {0};
	struct span old = buf_span(text), first;
	/* HELO's answer has one line, and nothing stands behind it. */
	bool extensions = conn->say.asked == TO_EHLO && conn->say.code == 250 && old.at[3] == '-';
	int64_t count = rng_skewed(&conn->rng, 2, 100);

	first = (struct span){.at = old.at, .len = span_find(old, '\n') + 1};
	if (extensions)
		buf_add_span(&lines, first);
	for (int64_t i = 1; i < count; i++) {
		if (extensions)
			buf_addf(&lines, "%u-X-SIM-%d WITH=%d\r\n", conn->say.code, (int)i, (int)i);
		else
			buf_addf(&lines, "%u-%.*s", conn->say.code, (int)first.len - 4,
				first.at + 4);
	}
	if (extensions)
		old = span_from(old, first.len);
	buf_add_span(&lines, old);
	buf_clear(text);
	*text = lines;
}

/* One reply more, with this one or behind it: only while nothing else is asked, since otherwise
 * nobody could see that it is one too many.  A 2xx would be read as the yes to a message whose end
 * is on its way, so it comes only where none can be; a 5yz would be read as a client's. */
static void add_surplus(struct conn *conn)
{
	static const char *const harmless[] = {"421 4.3.2 going down", "450 4.0.0 no", "354 go on"};
	static const char *const any[] = {"250 2.0.0 ok", "220 hello", "250 2.1.5 ok",
		"421 4.3.2 going down", "450 4.0.0 no"};
	struct say *say = &conn->say;
	const char *words = harmless[rng_below(&conn->rng, 3)];

	if (say->then != THEN_GO_ON || say->form != FAULTS || conn->stage != STAGE_COMMANDS ||
		say->asked == TO_CHUNK || say->asked == TO_QUIT || conn->finished ||
		wire_heard(conn->end).len > 0 || !conn_fault(conn, FAULT_server_extra_reply))
		return;
	if (is_quiet_kind(say->asked))
		words = any[rng_below(&conn->rng, 5)];
	say->pieces = 1;
	if (rng_one_in(&conn->rng, 2)) {
		buf_addf(&say->surplus, "%s\r\n", words);
		return;
	}
	buf_addf(&say->text, "%s\r\n", words);
	say->then = THEN_DEAF;
}

/* ---- committing ---- */

void conn_commit(struct conn *conn)
{
	const struct envelope *tx = &conn->tx;
	struct span *recipient = mem_new((tx->recipients + 1) * sizeof(*recipient));

	for (unsigned i = 0; i < tx->recipients; i++)
		recipient[i] = buf_span(&tx->recipient[i]);
	conn->say.take = false;
	conn->say.commit = ledger_commit(conn->server->setup.ledger, conn->server->name,
		buf_span(&tx->sender), recipient, tx->recipients, buf_span(&tx->body), tx->chunked);
	free(recipient);
}

static void speak(struct conn *conn)
{
	struct say *say = &conn->say;

	if (say->take)
		conn_commit(conn);
	if (say->commit != SERVER_NONE && say->text.len == 0)
		buf_addf(&say->text, "%u 2.0.0 queued as C%u\r\n", say->code, say->commit);
	if (!conn->end)
		return;
	if (say->asked == TO_END)
		envelope_reset(&conn->tx);
	if (say->form == FAULT_server_malformed)
		dress_malformed(conn, say->code);
	if (say->form == FAULT_server_long_line)
		dress_long(conn);
	if (say->form == FAULT_server_multiline)
		dress_lines(conn);
	add_surplus(conn);
	if (say->cut)
		say->end = rng_below(&conn->rng, say->text.len - 1);
	out(conn);
}

/* ---- deciding ---- */

/* A verdict that never comes in whole leaves it open whether the message was taken. */
static void may_drop(struct conn *conn)
{
	if (!conn->say.take || rng_one_in(&conn->rng, 2))
		return;
	conn->say.take = false;
	buf_addf(&conn->say.text, "%u 2.0.0 queued as C%llu\r\n", conn->say.code,
		(unsigned long long)rng_below(&conn->rng, 100));
}

static void replace(struct conn *conn, enum then then, unsigned code, const char *text)
{
	struct say *say = &conn->say;

	buf_reset(&say->text);
	buf_addf(&say->text, "%u %s\r\n", code, text);
	say->code = code;
	say->then = then;
	say->take = false;
}

/* At most one of these. */
static void roll_form(struct conn *conn)
{
	struct say *say = &conn->say;
	bool taken = say->commit != SERVER_NONE;

	if (!taken && conn_fault(conn, FAULT_server_421)) {
		replace(conn, THEN_CLOSE, 421, "4.3.2 going down for maintenance");
	} else if (conn_fault(conn, FAULT_server_closes)) {
		say->then = THEN_CLOSE;
	} else if (conn_fault(conn, FAULT_server_resets)) {
		say->then = THEN_RESET;
	} else if (conn_fault(conn, FAULT_server_malformed)) {
		say->form = FAULT_server_malformed;
		say->then = THEN_DEAF;
	} else if (conn_fault(conn, FAULT_server_long_line)) {
		say->form = FAULT_server_long_line;
	} else if (conn_fault(conn, FAULT_server_multiline)) {
		say->form = FAULT_server_multiline;
	}
	if (say->code != 421 && say->then != THEN_GO_ON)
		may_drop(conn);
	say->cut = say->code != 421 && (say->then == THEN_CLOSE || say->then == THEN_RESET);
}

static void begin(struct conn *conn, enum asked asked, unsigned code)
{
	struct say *say = &conn->say;

	buf_reset(&say->text);
	buf_reset(&say->surplus);
	say->asked = asked;
	say->code = code;
	say->at = 0;
	say->pieces = 1;
	say->then = THEN_GO_ON;
	say->take = false;
	say->commit = SERVER_NONE;
	say->end = SIZE_MAX;
	say->cut = false;
	say->form = FAULTS;
}

static void decide(struct conn *conn, int64_t delay)
{
	struct say *say = &conn->say;

	if (say->code >= 400 && say->code != 421 && say->asked != TO_CONNECT)
		conn->errors++;
	if (conn->errors >= ERRORS_SLOW && conn->errors < ERRORS_MOST)
		delay += SECOND;
	delay += rng_between(&conn->rng, 0, 5 * MSEC);
	if (say->asked != TO_QUIT) {
		roll_form(conn);
		if (conn_fault(conn, FAULT_server_splits_reply))
			say->pieces = (unsigned)rng_between(&conn->rng, 2, 6);
		if (conn_fault(conn, FAULT_server_slow))
			delay += rng_between(&conn->rng, 0, 3 * SECOND);
		if (say->asked != TO_END && conn_fault(conn, FAULT_server_stalls)) {
			if (rng_one_in(&conn->rng, 6)) {
				conn_never(conn);
				return;
			}
			delay += rng_skewed(&conn->rng, SECOND, 20 * MINUTE);
		}
	}
	conn_later(conn, delay, speak);
}

void conn_answer(struct conn *conn, enum asked asked, unsigned code, const char *format, ...)
{
	char text[600];
	va_list list;

	begin(conn, asked, code);
	va_start(list, format);
	vsnprintf(text, sizeof(text), format, list);
	va_end(list);
	buf_addf(&conn->say.text, "%u%c%s\r\n", code, strchr(text, '\n') ? '-' : ' ', text);
	decide(conn, 0);
}

void conn_plain(struct conn *conn, enum then then, unsigned code, const char *format, ...)
{
	char text[600];
	va_list list;

	verdict_spoils(conn);
	begin(conn, TO_QUIT, code);
	va_start(list, format);
	vsnprintf(text, sizeof(text), format, list);
	va_end(list);
	buf_addf(&conn->say.text, "%u %s\r\n", code, text);
	conn->say.then = then;
	out(conn);
}

void conn_accept(struct conn *conn, int64_t delay, bool at_once)
{
	begin(conn, TO_END, 250);
	conn->say.take = true;
	if (at_once)
		conn_commit(conn);
	decide(conn, delay);
}

void conn_unasked(struct conn *conn, const char *line)
{
	verdict_spoils(conn);
	wire_send(conn->end, span_of(line));
	conn->sent += strlen(line);
	conn_poison(conn);
	conn_fall_deaf(conn, true);
}
