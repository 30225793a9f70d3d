/*
 * A body on its way into a server, what may happen to it there, and what becomes of it.
 *
 *      DATA   octets until CRLF.CRLF, a dot taken off each line that begins with one
 *      BDAT   chunks of so many octets
 *
 * At one octet of each body, `trouble_at`, something may happen.  An early refusal needs no care:
 * it holds, whatever was on its way.  An early yes does: if the end of data is already on its way,
 * the yes is a good one for who sees only his side.  So it is said only when the sender is stuck at
 * a full window, and no end is in sight between him and us.
 */
#include "sim/server_inside.h"

#include <string.h>

#include "sim/scene.h"
#include "sim/wire_inside.h"

#define NOWHERE UINT64_MAX

/* ---- the end ---- */

static void lose(struct conn *conn)
{
	if (conn->say.take)
		conn_commit(conn);
	if (conn->end && rng_one_in(&conn->rng, 4))
		conn_never(conn);
	else
		conn_close(conn, rng_one_in(&conn->rng, 3));
}

static void refuse_end(struct conn *conn)
{
	static const char *const words[] = {"5.6.0 content refused", "5.7.1 looks like spam",
		"4.7.1 come back later", "5.3.4 too large for me"};
	const char *line = words[rng_below(&conn->rng, 4)];

	conn_answer(conn, TO_END, line[0] == '4' ? 450 : 554, "%s <%.*s>", line, SENDER_ARG(conn));
}

static void trouble_end(struct conn *conn)
{
	static const char *const words[] = {
		"local error", "4.3.0 queue file write error", "4.3.1 no room", "4.3.2 going down"};

	conn_answer(
		conn, TO_END, 451, "%s <%.*s>", words[rng_below(&conn->rng, 4)], SENDER_ARG(conn));
}

static void judge_message(struct conn *conn)
{
	bool kept;

	if (conn_fault(conn, FAULT_server_end_refused)) {
		refuse_end(conn);
	} else if (conn_fault(conn, FAULT_server_end_trouble)) {
		trouble_end(conn);
	} else if ((kept = conn_fault(conn, FAULT_server_end_lost)) ||
		   conn_fault(conn, FAULT_server_end_dropped)) {
		conn->say.take = kept;
		conn_later(conn, rng_between(&conn->rng, 0, 20 * MSEC), lose);
	} else if (conn_fault(conn, FAULT_server_end_late)) {
		int64_t later = rng_skewed(&conn->rng, SECOND, 20 * MINUTE);
		conn_accept(conn, later, rng_one_in(&conn->rng, 2));
	} else {
		conn_accept(conn, 0, false);
	}
}

/* ---- trouble ---- */

/* A sender is seldom stuck when the lot falls, so the lot falls more often. */
#define RARELY_POSSIBLE 10

static bool draw(struct conn *conn, enum sim_fault fault)
{
	const struct world *world = conn_world(conn);

	return rng_below(&conn->rng, 10000) < world->scene->rate[fault] * RARELY_POSSIBLE &&
	       !world_is_calm(world);
}

/* Whether the sender can't have sent the end of what we are taking, nor send it now. */
static bool is_stuck(const struct conn *conn)
{
	const struct wire_end *peer = wire_peer(conn->end);
	struct span inbox = wire_heard(conn->end), flying = wire_octets_span(&peer->lane.flying);
	unsigned match = conn->tx.match;

	if (wire_room(peer) > 0)
		return false;
	if (conn->stage == STAGE_CHUNK)
		return conn->tx.chunk_left > inbox.len + flying.len;
	for (size_t i = 0; i < inbox.len + flying.len; i++) {
		match = server_match(match, i < inbox.len ? inbox.at[i] : flying.at[i - inbox.len]);
		if (match == SERVER_MATCHED)
			return false;
	}
	return match < 2;
}

static void say_yes(struct conn *conn)
{
	if (!is_stuck(conn)) {
		conn_go_on(conn);
		return;
	}
	conn_world(conn)->faults[FAULT_server_early_yes]++;
	wire_send(conn->end, SPAN("250 2.0.0 ok already\r\n"));
	/* Reading would let the end out before the yes is heard. */
	conn_later(conn, rng_skewed(&conn->rng, 5 * SECOND, 2 * MINUTE), conn_hang_up);
}

static void refuse_early(struct conn *conn)
{
	static const char *const words[] = {"5.6.0 I have seen enough", "5.3.4 too large for me",
		"4.3.1 no room left", "4.7.1 not like this"};
	const char *line = words[rng_below(&conn->rng, 4)];

	conn->tx.answered = conn->tx.spoiled = true;
	conn_answer(
		conn, TO_CHUNK, line[0] == '4' ? 452 : 554, "%s <%.*s>", line, SENDER_ARG(conn));
	if (conn->say.then == THEN_GO_ON && rng_one_in(&conn->rng, 2))
		conn->say.then = THEN_CLOSE;
}

static void trouble(struct conn *conn)
{
	conn->tx.trouble_at = NOWHERE;
	if (conn->tx.doomed)
		conn_close(conn, rng_one_in(&conn->rng, 2));
	else if (!conn->tx.answered && conn_fault(conn, FAULT_server_early_reply))
		refuse_early(conn);
	else if (conn_fault(conn, FAULT_server_closes))
		conn_close(conn, false);
	else if (conn_fault(conn, FAULT_server_resets))
		conn_close(conn, true);
	else if (!conn_fault(conn, FAULT_server_stops_reading))
		return;
	else if (rng_one_in(&conn->rng, 4))
		conn_never(conn);
	else
		conn_later(conn, rng_skewed(&conn->rng, SECOND, 10 * MINUTE), conn_go_on);
}

/* Before anything is taken of what is here; true: something happens. */
static bool meets_trouble(struct conn *conn)
{
	struct envelope *tx = &conn->tx;

	if (tx->seen < tx->trouble_at)
		return false;
	if (!tx->doomed && !tx->answered && draw(conn, FAULT_server_early_yes)) {
		tx->trouble_at = NOWHERE;
		conn_later(conn, rng_between(&conn->rng, 10 * MSEC, SECOND), say_yes);
	} else {
		trouble(conn);
	}
	return !conn->end || conn->busy;
}

static void begin(struct conn *conn)
{
	conn->tx.trouble_at = (uint64_t)rng_skewed(&conn->rng, 1, 4096);
	conn->tx.seen = 0;
	/* Behind the CRLF of the command. */
	conn->tx.match = 2;
}

/* ---- DATA ---- */

unsigned server_match(unsigned match, char c)
{
	static const char end[] = "\r\n.\r\n";

	if (c == end[match])
		return match + 1;
	return c == '\r' ? 1 : 0;
}

void conn_take_data(struct conn *conn)
{
	begin(conn);
	conn->stage = STAGE_BODY;
	conn_answer(conn, TO_DATA, 354, "go on");
	if (conn->say.then == THEN_GO_ON && conn_fault(conn, FAULT_server_354_closes)) {
		conn->tx.doomed = true;
		if (rng_one_in(&conn->rng, 2))
			conn->say.then = THEN_CLOSE;
	}
}

/* Without the dots, and the lone one. */
static void unstuff(struct buf *body)
{
	size_t to = 0;
	bool line = true;

	body->len -= 3;
	for (size_t i = 0; i < body->len; i++) {
		if (!line || body->at[i] != '.')
			body->at[to++] = body->at[i];
		line = body->at[i] == '\n';
	}
	body->len = to;
}

static void data_ended(struct conn *conn)
{
	struct envelope *tx = &conn->tx;

	conn->stage = STAGE_COMMANDS;
	if (tx->doomed) {
		conn_close(conn, rng_one_in(&conn->rng, 2));
	} else if (tx->answered) {
		envelope_reset(tx);
	} else {
		unstuff(&tx->body);
		judge_message(conn);
	}
}

static void take_data(struct conn *conn, struct span heard)
{
	struct envelope *tx = &conn->tx;
	size_t len = 0;

	while (len < heard.len && tx->match < SERVER_MATCHED && tx->seen + len < tx->trouble_at)
		tx->match = server_match(tx->match, heard.at[len++]);
	buf_add(&tx->body, heard.at, len);
	tx->seen += len;
	conn_eat(conn, len);
	if (tx->match == SERVER_MATCHED)
		data_ended(conn);
}

/* ---- BDAT (RFC 3030) ---- */

static void answer_chunk(struct conn *conn)
{
	struct envelope *tx = &conn->tx;
	enum asked asked = tx->chunk_last ? TO_END : TO_CHUNK;

	conn->stage = STAGE_COMMANDS;
	if (!tx->open) {
		conn_answer(conn, asked, 503, "5.5.1 bad sequence");
	} else if (tx->answered) {
		tx->answered = false;
		if (tx->chunk_last)
			envelope_reset(tx);
	} else if (tx->spoiled) {
		conn_answer(conn, asked, 503, "5.5.1 a chunk was refused");
	} else if (tx->recipients == 0) {
		tx->spoiled = true;
		conn_answer(conn, asked, 554, "5.5.1 no valid recipients");
	} else if (tx->chunk_last) {
		judge_message(conn);
	} else if (conn_fault(conn, FAULT_server_chunk_refused)) {
		static const char *const words[] = {"5.6.0 content refused", "4.3.1 no room left",
			"5.7.1 looks like spam", "4.3.0 trouble"};
		const char *line = words[rng_below(&conn->rng, 4)];

		tx->spoiled = true;
		conn_answer(conn, asked, line[0] == '4' ? 452 : 554, "%s <%.*s>", line,
			SENDER_ARG(conn));
	} else {
		conn_answer(conn, asked, 250, "2.0.0 so far %zu octets", tx->body.len);
	}
}

void conn_take_chunk(struct conn *conn, uint64_t size, bool last)
{
	struct envelope *tx = &conn->tx;

	if (!tx->chunked)
		begin(conn);
	tx->chunked = true;
	tx->chunk_left = size;
	tx->chunk_last = last;
	conn->stage = STAGE_CHUNK;
	if (size == 0)
		answer_chunk(conn);
}

static void take_chunk(struct conn *conn, struct span heard)
{
	struct envelope *tx = &conn->tx;
	uint64_t len = heard.len;

	if (len > tx->chunk_left)
		len = tx->chunk_left;
	if (tx->seen < tx->trouble_at && len > tx->trouble_at - tx->seen)
		len = tx->trouble_at - tx->seen;
	buf_add(&tx->body, heard.at, len);
	tx->seen += len;
	tx->chunk_left -= len;
	conn_eat(conn, len);
	if (tx->chunk_left == 0)
		answer_chunk(conn);
}

bool conn_take(struct conn *conn)
{
	struct span heard;

	if (meets_trouble(conn))
		return true;
	heard = wire_heard(conn->end);
	if (heard.len == 0)
		return false;
	if (conn->stage == STAGE_BODY)
		take_data(conn, heard);
	else
		take_chunk(conn, heard);
	return true;
}
