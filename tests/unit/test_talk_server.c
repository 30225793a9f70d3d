/*
 * The conversation with a client: a raw client on one side, on the other an owner that keeps a
 * record of all it is told.
 */
#include "test_talk_help.h"

#include <stdio.h>

#include "talk/server.h"

static const struct talk_server_times patient = {.command = 20 * SECOND, .body = 20 * SECOND};

enum { SLOTS = 64 };

/* The owner. */
struct desk {
	struct stage stage;
	struct net_listener *listener;
	struct talk_server *talk;
	struct raw client;
	const struct talk_server_times *times;
	struct buf record;    /* "EHLO MAIL RCPT DATA flaw end closed(quit) ..." */
	struct buf body;      /* copied when it came */
	struct chain kept;    /* the same pieces, by reference */
	bool slow;            /* answers nothing by itself */
	bool slow_end;        /* answers everything but the end of a body */
	bool deaf;            /* notes no answered commands */
	bool halting;         /* pauses at each piece of a body */
	const char *free_at;  /* frees the talk when that is told */
	const char *close_at; /* closes it, with 421 */
	enum smtp_verb verb[SLOTS];
	unsigned slot[SLOTS], held;
	unsigned written, pieces;
	size_t chunks_most;
};

static void answer(struct desk *desk, enum smtp_verb verb, unsigned slot)
{
	static const enum smtp_own own[SMTP_VERBS] = {
		[VERB_HELO] = SMTP_OWN_HELO,
		[VERB_MAIL] = SMTP_OWN_SENDER_OK,
		[VERB_RCPT] = SMTP_OWN_OK,
		[VERB_DATA] = SMTP_OWN_GO_AHEAD,
		[VERB_RSET] = SMTP_OWN_OK,
		[VERB_QUIT] = SMTP_OWN_BYE,
		[VERB_UNKNOWN] = SMTP_OWN_OK, /* the end of a body */
	};
	static const struct smtp_offer offer = {.caps = SMTP_CAP_PIPELINING | SMTP_CAP_CHUNKING};
	struct smtp_server *smtp = talk_server_smtp(desk->talk);

	if (verb == VERB_EHLO)
		smtp_server_reply_ehlo(smtp, slot, "mx.example", &offer);
	else
		smtp_server_own(smtp, slot, own[verb], verb == VERB_HELO ? "mx.example" : NULL);
	talk_server_go(desk->talk);
}

static void answer_held(struct desk *desk)
{
	unsigned held = desk->held;

	desk->held = 0;
	for (unsigned i = 0; i < held; i++)
		answer(desk, desk->verb[i], desk->slot[i]);
}

static void note(struct desk *desk, const char *what)
{
	buf_addf(&desk->record, "%s%s", desk->record.len > 0 ? " " : "", what);
	if (desk->free_at && strcmp(desk->free_at, what) == 0)
		talk_server_free(&desk->talk);
	if (desk->close_at && strcmp(desk->close_at, what) == 0)
		talk_server_close(desk->talk, SMTP_OWN_DRAINING);
}

static bool recorded(struct desk *desk, const char *what)
{
	return strcmp(buf_string(&desk->record), what) == 0;
}

static void asked(struct desk *desk, enum smtp_verb verb, unsigned slot)
{
	if (!desk->talk || desk->close_at)
		return;
	if (desk->slow || (desk->slow_end && verb == VERB_UNKNOWN)) {
		assert_true(desk->held < SLOTS);
		desk->verb[desk->held] = verb;
		desk->slot[desk->held++] = slot;
	} else {
		answer(desk, verb, slot);
	}
}

static void on_command(void *arg, const struct smtp_command *command, unsigned slot)
{
	struct desk *desk = arg;
	char verb[16];

	snprintf(verb, sizeof(verb), "%.*s", (int)span_find(command->line, ' '), command->line.at);
	note(desk, verb);
	if (command->verb != VERB_BDAT) /* answered at its end */
		asked(desk, command->verb, slot);
}

static void on_answered(void *arg, enum smtp_own own)
{
	char code[16];

	if (((struct desk *)arg)->deaf)
		return;
	snprintf(code, sizeof(code), "own(%u)", smtp_own_code(own));
	note(arg, code);
}

static void on_body(void *arg, struct chunk *chunk, size_t at, size_t len)
{
	struct desk *desk = arg;
	size_t used = chunk_pool_used(net_chunks(desk->stage.world.loop));

	assert_true(len > 0 && at + len <= chunk->len);
	buf_add(&desk->body, chunk->at + at, len);
	chain_add(&desk->kept, chunk, at, len);
	desk->pieces++;
	if (used > desk->chunks_most)
		desk->chunks_most = used;
	if (desk->halting)
		talk_server_pause(desk->talk, true);
	if (desk->free_at && strcmp(desk->free_at, "body") == 0)
		talk_server_free(&desk->talk);
}

static void on_flaw(void *arg, enum smtp_flaw flaw)
{
	assert_int_not_equal(flaw, FLAW_NONE);
	note(arg, "flaw");
}

static void on_body_end(void *arg, unsigned slot, bool last, enum smtp_flaw flaw)
{
	note(arg, flaw != FLAW_NONE ? "bad-end" : last ? "end" : "chunk-end");
	asked(arg, VERB_UNKNOWN, slot);
}

static void on_hangup(void *arg, enum talk_close why)
{
	struct desk *desk = arg;

	assert_int_equal(why, CLOSE_PEER_CLOSED);
	assert_true(talk_server_gone(desk->talk));
	note(desk, "hangup");
}

static void on_closed(void *arg, enum talk_close why)
{
	char what[64];

	snprintf(what, sizeof(what), "closed(%s)", talk_close_text(why));
	note(arg, what);
}

static void on_written(void *arg)
{
	struct desk *desk = arg;

	desk->written++;
	if (desk->free_at && strcmp(desk->free_at, "written") == 0)
		talk_server_free(&desk->talk);
}

static const struct talk_server_ops desk_ops = {
	.command = on_command,
	.answered = on_answered,
	.body = on_body,
	.flaw = on_flaw,
	.body_end = on_body_end,
	.hangup = on_hangup,
	.closed = on_closed,
	.written = on_written,
};

static void accepted(
	void *arg, struct sys_sock *sock, const struct addr *peer, const struct addr *local)
{
	struct desk *desk = arg;
	static const struct smtp_server_rules rules;

	(void)peer;
	(void)local;
	assert_null(desk->talk);
	desk->talk = talk_server_new(
		desk->stage.world.loop, sock, "mx.example", &rules, desk->times, &desk_ops, desk);
}

static void desk_open(struct desk *desk, const struct talk_server_times *times)
{
	*desk = (struct desk){.times = times};
	stage_open(&desk->stage);
	chain_init(&desk->kept, net_chunks(desk->stage.world.loop));
	desk->listener = net_listen(desk->stage.world.loop, 0, accepted, desk);
	desk->client.fd = -1;
}

/* The kept pieces must still hold what was told, however much was read since. */
static void desk_check_kept(struct desk *desk)
{
	char *copy = mem_new(desk->body.len + 1);

	assert_int_equal(desk->kept.len, desk->body.len);
	assert_int_equal(chain_copy(&desk->kept, 0, copy, desk->kept.len), desk->body.len);
	if (desk->body.len > 0)
		assert_memory_equal(copy, desk->body.at, desk->body.len);
	free(copy);
}

/* Ready for the next client. */
static void desk_clear(struct desk *desk)
{
	desk_check_kept(desk);
	talk_server_free(&desk->talk);
	raw_clear(&desk->client);
	chain_clear(&desk->kept);
	buf_clear(&desk->body);
	buf_clear(&desk->record);
	desk->held = desk->written = desk->pieces = 0;
}

static void desk_close(struct desk *desk)
{
	desk_clear(desk);
	net_listener_close(&desk->listener);
	stage_close(&desk->stage);
}

#define UNTIL(desk, condition) STAGE_UNTIL(&(desk)->stage, condition)

/* A client that has heard the banner, and said EHLO and heard the answer. */
static void desk_greet(struct desk *desk)
{
	raw_connect(&desk->client, &desk->stage.world.at, 0);
	UNTIL(desk, raw_heard(&desk->client, "220 mx.example ESMTP Mailweir\r\n"));
	raw_say(&desk->client, "EHLO client.example\r\n");
	UNTIL(desk, raw_last(&desk->client, "250 "));
	assert_true(recorded(desk, "EHLO"));
	buf_reset(&desk->client.got);
	buf_reset(&desk->record);
}

static void desk_begin_body(struct desk *desk)
{
	raw_say(&desk->client, "MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n");
	UNTIL(desk, raw_last(&desk->client, "354 "));
	buf_reset(&desk->client.got);
	buf_reset(&desk->record);
}

/* ---- the conversation ---- */

static const char envelope[] = "MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n";
static const char message[] = "Subject: x\r\n\r\n..dot\r\nhello\r\n.\r\nRSET\r\nNOOP\r\nQUIT\r\n";
static const char plain[] = "Subject: x\r\n\r\n.dot\r\nhello\r\n";

static void say_in_two(struct desk *desk, const char *text, size_t cut)
{
	raw_say_bytes(&desk->client, text, cut);
	world_turn_for(&desk->stage.world, 500 * USEC);
	raw_say(&desk->client, text + cut);
}

static void check_dialogue(struct desk *desk)
{
	UNTIL(desk, raw_closed(&desk->client));
	assert_false(desk->client.reset);
	assert_string_equal(raw_text(&desk->client),
		"250 2.0.0 Ok\r\n250 2.0.0 Ok\r\n250 2.0.0 Ok\r\n221 2.0.0 Bye\r\n");
	assert_string_equal(buf_string(&desk->record), "end RSET own(250) QUIT closed(quit)");
	assert_string_equal(buf_string(&desk->body), plain);
	assert_true(talk_server_gone(desk->talk));
}

static void test_every_cut(void **state)
{
	struct desk desk;

	(void)state;
	desk_open(&desk, &patient);
	for (size_t cut = 0; cut <= sizeof(envelope) - 1; cut++) {
		desk_greet(&desk);
		say_in_two(&desk, envelope, cut);
		UNTIL(&desk, raw_last(&desk.client, "354 "));
		assert_true(recorded(&desk, "MAIL RCPT DATA"));
		desk_clear(&desk);
	}
	for (size_t cut = 0; cut <= sizeof(message) - 1; cut++) {
		desk_greet(&desk);
		desk_begin_body(&desk);
		say_in_two(&desk, message, cut);
		check_dialogue(&desk);
		desk_clear(&desk);
	}
	desk_close(&desk);
}

static void test_byte_by_byte(void **state)
{
	struct desk desk;

	(void)state;
	desk_open(&desk, &patient);
	desk_greet(&desk);
	desk_begin_body(&desk);
	for (const char *at = message; *at; at++) {
		raw_say_bytes(&desk.client, at, 1);
		world_turn_for(&desk.stage.world, 100 * USEC);
	}
	check_dialogue(&desk);
	assert_true(desk.written >= 4);
	desk_close(&desk);
}

static void test_answers_later(void **state)
{
	struct desk desk;

	(void)state;
	desk_open(&desk, &patient);
	desk_greet(&desk);
	desk.slow = true;
	raw_say(&desk.client, envelope);
	UNTIL(&desk, desk.held == 3);
	assert_true(raw_heard(&desk.client, ""));
	answer_held(&desk);
	UNTIL(&desk, raw_last(&desk.client, "354 "));
	buf_reset(&desk.client.got);
	buf_reset(&desk.record);
	raw_say(&desk.client, message);
	for (int i = 0; i < 100 && !raw_closed(&desk.client); i++) {
		answer_held(&desk);
		world_turn_for(&desk.stage.world, MSEC);
	}
	check_dialogue(&desk);
	desk_close(&desk);
}

/* Commands behind the end of data lie in our chunk while its answer is thought about. */
static void test_unread_is_not_forgotten(void **state)
{
	struct desk desk;

	(void)state;
	desk_open(&desk, &patient);
	desk_greet(&desk);
	desk_begin_body(&desk);
	desk.slow_end = true;
	raw_say(&desk.client, "hello\r\n.\r\nNOOP\r\n");
	UNTIL(&desk, desk.held == 1);
	world_turn_for(&desk.stage.world, 5 * MSEC);
	assert_true(raw_heard(&desk.client, ""));
	answer_held(&desk);
	UNTIL(&desk, raw_heard(&desk.client, "250 2.0.0 Ok\r\n250 2.0.0 Ok\r\n"));
	desk_close(&desk);
}

/* While we owe the answer to a message, the next ones wait with the client, not in our memory. */
static void test_haste_is_held_back(void **state)
{
	enum { COMMANDS = 20 * 1000 };
	struct desk desk;
	struct buf noops = {0};

	(void)state;
	for (int i = 0; i < COMMANDS; i++)
		buf_add_text(&noops, "NOOP\r\n");
	desk_open(&desk, &patient);
	desk.deaf = true;
	desk_greet(&desk);
	desk_begin_body(&desk);
	desk.slow_end = true;
	raw_say(&desk.client, "x\r\n.\r\n");
	UNTIL(&desk, desk.held == 1);
	chain_clear(&desk.kept);
	buf_reset(&desk.body);
	raw_say_bytes(&desk.client, noops.at, noops.len);
	world_turn_for(&desk.stage.world, 20 * MSEC);
	assert_true(chunk_pool_used(net_chunks(desk.stage.world.loop)) <= CHUNK_SMALL);
	assert_true(recorded(&desk, "end"));
	answer_held(&desk);
	UNTIL(&desk, (raw_hear(&desk.client), desk.client.got.len == 14 * (COMMANDS + 1)));
	buf_clear(&noops);
	desk_close(&desk);
}

static void test_pause_and_resume(void **state)
{
	struct desk desk;

	(void)state;
	desk_open(&desk, &patient);
	desk_greet(&desk);
	talk_server_pause(desk.talk, true);
	raw_say(&desk.client, "NOOP\r\n");
	world_turn_for(&desk.stage.world, 5 * MSEC);
	assert_true(raw_heard(&desk.client, ""));
	talk_server_pause(desk.talk, false);
	UNTIL(&desk, raw_heard(&desk.client, "250 2.0.0 Ok\r\n"));
	desk_begin_body(&desk);
	desk.halting = true;
	raw_say(&desk.client, message);
	for (int i = 0; i < 100 && !raw_closed(&desk.client); i++) {
		world_turn_for(&desk.stage.world, MSEC);
		talk_server_pause(desk.talk, false);
	}
	check_dialogue(&desk);
	assert_true(desk.pieces > 1);
	desk_close(&desk);
}

/* More than fits the kernel: what is held back stays with the client. */
static void test_large_body_under_pauses(void **state)
{
	struct desk desk;
	struct buf sent = {0};
	size_t at = 0;

	(void)state;
	for (unsigned i = 0; i < 200 * 1000; i++)
		buf_addf(&sent, "line %u of many\r\n", i);
	desk_open(&desk, &patient);
	desk_greet(&desk);
	desk_begin_body(&desk);
	desk.halting = true;
	while (at < sent.len) {
		ssize_t len = send(desk.client.fd, sent.at + at, sent.len - at, MSG_NOSIGNAL);

		at += len > 0 ? (size_t)len : 0;
		talk_server_pause(desk.talk, false);
		assert_true(net_turn(desk.stage.world.loop));
		chain_clear(&desk.kept);
	}
	assert_true(desk.chunks_most <= 4 * CHUNK_LARGE);
	desk.halting = false;
	talk_server_pause(desk.talk, false);
	raw_say(&desk.client, ".\r\n");
	UNTIL(&desk, raw_heard(&desk.client, "250 2.0.0 Ok\r\n"));
	assert_int_equal(desk.body.len, sent.len);
	assert_memory_equal(desk.body.at, sent.at, sent.len);
	buf_reset(&desk.body);
	chain_clear(&desk.kept);
	buf_clear(&sent);
	desk_close(&desk);
}

static void test_idle_holds_no_chunk(void **state)
{
	struct desk desk;

	(void)state;
	desk_open(&desk, &patient);
	desk_greet(&desk);
	UNTIL(&desk, chunk_pool_used(net_chunks(desk.stage.world.loop)) == 0);
	raw_say(&desk.client, "NOO");
	world_turn_for(&desk.stage.world, 5 * MSEC);
	assert_int_equal(chunk_pool_used(net_chunks(desk.stage.world.loop)), CHUNK_SMALL);
	raw_say(&desk.client, "P\r\n");
	UNTIL(&desk, raw_heard(&desk.client, "250 2.0.0 Ok\r\n"));
	UNTIL(&desk, chunk_pool_used(net_chunks(desk.stage.world.loop)) == 0);
	desk_close(&desk);
}

/* A short message with its envelope takes one small chunk, and only a long one takes large ones. */
static void test_chunks_by_size(void **state)
{
	struct desk desk;
	struct buf body = {0};

	(void)state;
	desk_open(&desk, &patient);
	desk_greet(&desk);
	desk_begin_body(&desk);
	raw_say(&desk.client, "short\r\n");
	UNTIL(&desk, desk.pieces > 0);
	assert_int_equal(chunk_pool_used(net_chunks(desk.stage.world.loop)), CHUNK_SMALL);
	for (unsigned i = 0; i < 2000; i++)
		buf_addf(&body, "line %u of many\r\n", i);
	raw_say_bytes(&desk.client, body.at, body.len);
	UNTIL(&desk, desk.body.len == body.len + 7);
	assert_int_equal(
		chunk_pool_used(net_chunks(desk.stage.world.loop)), CHUNK_SMALL + CHUNK_LARGE);
	buf_clear(&body);
	desk_close(&desk);
}

static void test_chunking(void **state)
{
	struct desk desk;

	(void)state;
	desk_open(&desk, &patient);
	desk_greet(&desk);
	raw_say(&desk.client, "MAIL FROM:<>\r\nRCPT TO:<c@d.example>\r\nBDAT 9\r\nQUIT\r\n.\r\n"
			      "BDAT 3 LAST\r\nx\r\nNOOP\r\n");
	UNTIL(&desk, recorded(&desk, "MAIL RCPT BDAT chunk-end BDAT end own(250)"));
	assert_string_equal(buf_string(&desk.body), "QUIT\r\n.\r\nx\r\n");
	desk_close(&desk);
}

/* ---- the end, by words ---- */

static void test_quit_behind_an_end(void **state)
{
	struct desk desk;

	(void)state;
	desk_open(&desk, &patient);
	desk_greet(&desk);
	desk_begin_body(&desk);
	desk.slow_end = true;
	raw_say(&desk.client, "x\r\n.\r\nQUIT\r\n");
	UNTIL(&desk, desk.held == 1);
	world_turn_for(&desk.stage.world, 5 * MSEC);
	assert_false(raw_closed(&desk.client));
	desk.written = 0;
	answer_held(&desk);
	UNTIL(&desk, raw_closed(&desk.client));
	assert_true(raw_heard(&desk.client, "250 2.0.0 Ok\r\n221 2.0.0 Bye\r\n"));
	assert_true(recorded(&desk, "end QUIT closed(quit)"));
	assert_true(desk.written > 0); /* heard before it was closed */
	desk_close(&desk);
}

static void test_early_input_is_the_end(void **state)
{
	struct desk desk;

	(void)state;
	desk_open(&desk, &patient);
	desk_greet(&desk);
	desk.slow = true;
	raw_say(&desk.client, "MAIL FROM:<>\r\nRCPT TO:<c@d.example>\r\nDATA\r\nSubject: x\r\n");
	for (int i = 0; i < 50 && !raw_closed(&desk.client); i++) {
		world_turn_for(&desk.stage.world, MSEC);
		if (desk.talk && !talk_server_gone(desk.talk))
			answer_held(&desk);
	}
	UNTIL(&desk, raw_closed(&desk.client));
	assert_false(desk.client.reset);
	assert_non_null(strstr(raw_text(&desk.client), "503 5.5.0 "));
	assert_true(span_ends_nocase(
		buf_span(&desk.record), span_of("closed(protocol error of the client)")));
	desk_close(&desk);
}

static void test_no_commands_behind_ehlo(void **state)
{
	struct desk desk;

	(void)state;
	desk_open(&desk, &patient);
	raw_connect(&desk.client, &desk.stage.world.at, 0);
	raw_say(&desk.client, "EHLO client.example\r\nMAIL FROM:<>\r\n");
	UNTIL(&desk, raw_closed(&desk.client));
	assert_true(raw_last(&desk.client, "503 5.5.0 "));
	assert_true(recorded(&desk, "EHLO closed(protocol error of the client)"));
	desk_close(&desk);
}

static void test_quit_and_go(void **state)
{
	struct desk desk;

	(void)state;
	desk_open(&desk, &patient);
	desk_greet(&desk);
	raw_say(&desk.client, "QUIT\r\n");
	raw_finish(&desk.client);
	UNTIL(&desk, raw_closed(&desk.client));
	assert_true(raw_heard(&desk.client, "221 2.0.0 Bye\r\n"));
	assert_true(recorded(&desk, "QUIT closed(quit)"));
	desk_close(&desk);
}

static void test_owner_closes(void **state)
{
	struct desk desk;

	(void)state;
	desk_open(&desk, &patient);
	desk_greet(&desk);
	talk_server_close(desk.talk, SMTP_OWN_DRAINING);
	assert_true(talk_server_gone(desk.talk));
	UNTIL(&desk, raw_closed(&desk.client));
	assert_true(raw_last(&desk.client, "421 4.3.2 "));
	assert_true(recorded(&desk, ""));
	desk_close(&desk);
}

static void test_owner_closes_in_a_callback(void **state)
{
	struct desk desk;

	(void)state;
	desk_open(&desk, &patient);
	desk_greet(&desk);
	desk.close_at = "MAIL";
	raw_say(&desk.client, envelope);
	UNTIL(&desk, raw_closed(&desk.client));
	assert_false(desk.client.reset);
	assert_true(raw_last(&desk.client, "421 4.3.2 "));
	assert_true(recorded(&desk, "MAIL"));
	desk_close(&desk);
}

/* Freed at any callback: nothing of it is touched after (the sanitizer watches). */
static void test_free_anywhere(void **state)
{
	static const char *const moments[] = {"EHLO", "MAIL", "RCPT", "DATA", "body", "end",
		"own(250)", "written", "QUIT", "closed(quit)"};
	struct desk desk;

	(void)state;
	desk_open(&desk, &patient);
	for (size_t i = 0; i < sizeof(moments) / sizeof(moments[0]); i++) {
		desk.free_at = moments[i];
		raw_connect(&desk.client, &desk.stage.world.at, 0);
		for (int step = 0; step < 3 && (step == 0 || desk.talk); step++) {
			static const char *const say[] = {
				"EHLO client.example\r\n", envelope, message};

			raw_say(&desk.client, say[step]);
			world_turn_for(&desk.stage.world, 5 * MSEC);
		}
		UNTIL(&desk, !desk.talk);
		UNTIL(&desk, raw_closed(&desk.client));
		desk_clear(&desk);
	}
	desk_close(&desk);
}

/* ---- the end, by silence ---- */

static void test_command_time(void **state)
{
	static const struct talk_server_times times = {.command = 60 * MSEC, .body = SECOND};
	struct desk desk;
	int64_t began;

	(void)state;
	desk_open(&desk, &times);
	desk_greet(&desk);
	began = net_now(desk.stage.world.loop);
	/* Dripping doesn't help: the whole line must come. */
	for (int i = 0; i < 1000 && !raw_closed(&desk.client); i++) {
		send(desk.client.fd, "X", 1, MSG_NOSIGNAL);
		world_turn_for(&desk.stage.world, 2 * MSEC);
	}
	assert_true(raw_closed(&desk.client));
	assert_true(net_now(desk.stage.world.loop) - began >= 50 * MSEC);
	assert_true(raw_last(&desk.client, "421 4.4.2 Time-out"));
	assert_true(recorded(&desk, "closed(timed out)"));
	desk_close(&desk);
}

static void test_banner_time(void **state)
{
	static const struct talk_server_times times = {.command = 30 * MSEC, .body = SECOND};
	struct desk desk;

	(void)state;
	desk_open(&desk, &times);
	raw_connect(&desk.client, &desk.stage.world.at, 0);
	UNTIL(&desk, raw_closed(&desk.client));
	assert_true(raw_last(&desk.client, "421 4.4.2 Time-out"));
	desk_close(&desk);
}

static void test_commands_extend_the_time(void **state)
{
	static const struct talk_server_times times = {.command = 100 * MSEC, .body = SECOND};
	struct desk desk;

	(void)state;
	desk_open(&desk, &times);
	desk_greet(&desk);
	for (int i = 0; i < 10; i++) {
		raw_say(&desk.client, "NOOP\r\n");
		world_turn_for(&desk.stage.world, 30 * MSEC);
	}
	assert_false(raw_closed(&desk.client));
	desk_close(&desk);
}

static void test_body_time(void **state)
{
	static const struct talk_server_times times = {.command = SECOND, .body = 60 * MSEC};
	struct desk desk;

	(void)state;
	desk_open(&desk, &times);
	desk_greet(&desk);
	desk_begin_body(&desk);
	for (int i = 0; i < 10; i++) { /* octets extend it */
		raw_say(&desk.client, "xyz\r\n");
		world_turn_for(&desk.stage.world, 20 * MSEC);
	}
	assert_false(raw_closed(&desk.client));
	UNTIL(&desk, raw_closed(&desk.client));
	assert_true(raw_last(&desk.client, "421 4.4.2 Data"));
	assert_true(recorded(&desk, "closed(timed out)"));
	desk_close(&desk);
}

static void slow_body(const char *begin)
{
	static const struct talk_server_times times = {
		.command = 100 * MSEC, .body = SECOND, .rate = 1000};
	struct desk desk;
	int64_t began;

	desk_open(&desk, &times);
	desk_greet(&desk);
	raw_say(&desk.client, begin);
	began = net_now(desk.stage.world.loop);
	for (int i = 0; i < 1000 && !raw_closed(&desk.client); i++) {
		send(desk.client.fd, "x", 1, MSG_NOSIGNAL);
		world_turn_for(&desk.stage.world, 3 * MSEC); /* some 300 octets a second */
	}
	assert_true(raw_closed(&desk.client));
	assert_true(net_now(desk.stage.world.loop) - began >= 90 * MSEC);
	assert_true(raw_last(&desk.client, "421 4.4.2 Data"));
	assert_true(span_ends_nocase(buf_span(&desk.record), span_of("closed(too slow)")));
	desk_close(&desk);
}

static void test_too_slow(void **state)
{
	(void)state;
	slow_body("MAIL FROM:<>\r\nRCPT TO:<c@d.example>\r\nBDAT 100000 LAST\r\n");
}

static void test_no_time_while_we_owe(void **state)
{
	static const struct talk_server_times times = {
		.command = 40 * MSEC, .body = 40 * MSEC, .rate = 1000};
	struct desk desk;

	(void)state;
	desk_open(&desk, &times);
	desk_greet(&desk);
	desk_begin_body(&desk);
	desk.slow_end = true;
	raw_say(&desk.client, "x\r\n.\r\n");
	UNTIL(&desk, desk.held == 1);
	world_turn_for(&desk.stage.world, 100 * MSEC);
	assert_true(recorded(&desk, "end"));
	answer_held(&desk);
	UNTIL(&desk, raw_closed(&desk.client)); /* then it is the client's turn again */
	assert_non_null(strstr(raw_text(&desk.client), "250 2.0.0 Ok\r\n421 4.4.2 "));
	desk_close(&desk);
}

static void test_no_time_while_held_back(void **state)
{
	static const struct talk_server_times times = {
		.command = 40 * MSEC, .body = 40 * MSEC, .rate = 1000};
	struct desk desk;

	(void)state;
	desk_open(&desk, &times);
	desk_greet(&desk);
	desk_begin_body(&desk);
	talk_server_pause(desk.talk, true);
	world_turn_for(&desk.stage.world, 100 * MSEC);
	talk_server_pause(desk.talk, false);
	raw_say(&desk.client, "x\r\n.\r\n");
	UNTIL(&desk, raw_last(&desk.client, "250 "));
	desk_close(&desk);
}

/* ---- the end, by the client's leaving ---- */

static void test_hangup_idle(void **state)
{
	struct desk desk;

	(void)state;
	desk_open(&desk, &patient);
	desk_greet(&desk);
	raw_finish(&desk.client);
	UNTIL(&desk, recorded(&desk, "hangup"));
	talk_server_close(desk.talk, SMTP_OWN_COUNT);
	UNTIL(&desk, raw_closed(&desk.client));
	world_turn_for(&desk.stage.world, 5 * MSEC);
	assert_true(recorded(&desk, "hangup"));
	desk_close(&desk);
}

static void test_hangup_comes_behind_bytes(void **state)
{
	struct desk desk;

	(void)state;
	desk_open(&desk, &patient);
	desk_greet(&desk);
	raw_say(&desk.client, "MAIL FROM:<>\r\nRCPT TO:<c@d.example>\r\nNOOP\r\n");
	raw_finish(&desk.client);
	UNTIL(&desk, recorded(&desk, "MAIL RCPT own(250) hangup"));
	desk_clear(&desk);

	desk_greet(&desk);
	desk_begin_body(&desk);
	raw_say(&desk.client, "hello\r\n.\r\n");
	raw_finish(&desk.client);
	UNTIL(&desk, recorded(&desk, "end hangup"));
	assert_string_equal(buf_string(&desk.body), "hello\r\n");
	desk_clear(&desk);

	desk_greet(&desk);
	desk_begin_body(&desk);
	raw_say(&desk.client, "hello\r\n."); /* cut off */
	raw_finish(&desk.client);
	UNTIL(&desk, recorded(&desk, "hangup"));
	desk_close(&desk);
}

/* The owner ponders the end of data: it is told at once that nobody will hear the answer. */
static void test_hangup_while_we_owe(void **state)
{
	struct desk desk;

	(void)state;
	desk_open(&desk, &patient);
	desk_greet(&desk);
	desk_begin_body(&desk);
	desk.slow_end = true;
	raw_say(&desk.client, "hello\r\n.\r\n");
	UNTIL(&desk, desk.held == 1);
	raw_finish(&desk.client);
	UNTIL(&desk, recorded(&desk, "end hangup"));
	answer_held(&desk); /* a client that has closed one half only still hears it */
	talk_server_close(desk.talk, SMTP_OWN_COUNT);
	UNTIL(&desk, raw_closed(&desk.client));
	assert_true(raw_heard(&desk.client, "250 2.0.0 Ok\r\n"));
	desk_close(&desk);
}

static void test_hangup_with_commands_left(void **state)
{
	struct desk desk;

	(void)state;
	desk_open(&desk, &patient);
	desk_greet(&desk);
	desk_begin_body(&desk);
	desk.slow_end = true;
	raw_say(&desk.client, "hello\r\n.\r\nMAIL FROM:<>\r\nRC");
	UNTIL(&desk, desk.held >= 1);
	raw_finish(&desk.client);
	UNTIL(&desk, span_ends_nocase(buf_span(&desk.record), span_of("hangup")));
	desk_close(&desk);
}

static void test_hangup_while_paused(void **state)
{
	struct desk desk;
	struct buf body = {0};

	(void)state;
	for (unsigned i = 0; i < 2000; i++)
		buf_addf(&body, "line %u of many\r\n", i);
	desk_open(&desk, &patient);
	desk_greet(&desk);
	desk_begin_body(&desk);
	talk_server_pause(desk.talk, true);
	raw_say_bytes(&desk.client, body.at, body.len);
	world_turn_for(&desk.stage.world, 5 * MSEC);
	assert_true(recorded(&desk, ""));
	raw_finish(&desk.client);
	UNTIL(&desk, recorded(&desk, "hangup"));
	talk_server_pause(desk.talk, false);
	world_turn_for(&desk.stage.world, 5 * MSEC);
	assert_int_equal(desk.body.len, 0); /* nothing comes after that */
	buf_clear(&body);
	desk_close(&desk);
}

static void test_reset(void **state)
{
	struct desk desk;

	(void)state;
	desk_open(&desk, &patient);
	desk_greet(&desk);
	raw_reset(&desk.client);
	UNTIL(&desk, recorded(&desk, "closed(connection lost)"));
	assert_true(talk_server_gone(desk.talk));
	desk_clear(&desk);

	desk_greet(&desk);
	desk_begin_body(&desk);
	desk.slow_end = true;
	raw_say(&desk.client, "hello\r\n.\r\n");
	UNTIL(&desk, desk.held == 1);
	raw_reset(&desk.client);
	UNTIL(&desk, talk_server_gone(desk.talk));
	answer_held(&desk); /* may still be given; it goes nowhere */
	world_turn_for(&desk.stage.world, 5 * MSEC);
	desk_close(&desk);
}

/* A client that sends and never reads is held back when its replies pile up. */
static size_t flood(struct desk *desk, size_t left)
{
	static char noops[6 * 1000];
	size_t at = sizeof(noops) - left % sizeof(noops);
	ssize_t len;

	for (size_t i = 0; i < sizeof(noops); i += 6)
		memcpy(noops + i, "NOOP\r\n", 6);
	if (at == sizeof(noops))
		at = 0;
	len = left > 0 ? send(desk->client.fd, noops + at, sizeof(noops) - at, MSG_NOSIGNAL) : 0;
	return len > 0 ? left - (size_t)len : left;
}

static void test_client_that_never_reads(void **state)
{
	enum { COMMANDS = 1000 * 1000, REPLY = 14 };
	struct desk desk;
	size_t left = 6 * COMMANDS, heard = 0;

	(void)state;
	desk_open(&desk, &patient);
	desk.deaf = true;
	raw_connect(&desk.client, &desk.stage.world.at, 4096);
	UNTIL(&desk, raw_last(&desk.client, "220 "));
	buf_reset(&desk.client.got);
	for (int still = 0; still < 100 && left > 0; still++) {
		size_t before = left;

		left = flood(&desk, left);
		if (left < before)
			still = 0;
		assert_true(net_turn(desk.stage.world.loop));
		assert_true(talk_server_unsent(desk.talk) <= NET_HIGH + CHUNK_SMALL);
		assert_true(chunk_pool_used(net_chunks(desk.stage.world.loop)) < 3 * NET_HIGH);
	}
	assert_true(left > 0); /* it was held back */
	assert_true(talk_server_unsent(desk.talk) > NET_LOW);
	while (heard < COMMANDS) {
		left = flood(&desk, left);
		assert_true(net_turn(desk.stage.world.loop));
		raw_hear(&desk.client);
		assert_false(desk.client.eof);
		heard += desk.client.got.len / REPLY;
		buf_eat(&desk.client.got, desk.client.got.len / REPLY * REPLY);
	}
	assert_int_equal(heard, COMMANDS);
	desk_close(&desk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_cut),
		cmocka_unit_test(test_byte_by_byte),
		cmocka_unit_test(test_answers_later),
		cmocka_unit_test(test_unread_is_not_forgotten),
		cmocka_unit_test(test_haste_is_held_back),
		cmocka_unit_test(test_pause_and_resume),
		cmocka_unit_test(test_large_body_under_pauses),
		cmocka_unit_test(test_idle_holds_no_chunk),
		cmocka_unit_test(test_chunks_by_size),
		cmocka_unit_test(test_chunking),
		cmocka_unit_test(test_quit_behind_an_end),
		cmocka_unit_test(test_early_input_is_the_end),
		cmocka_unit_test(test_no_commands_behind_ehlo),
		cmocka_unit_test(test_quit_and_go),
		cmocka_unit_test(test_owner_closes),
		cmocka_unit_test(test_owner_closes_in_a_callback),
		cmocka_unit_test(test_free_anywhere),
		cmocka_unit_test(test_command_time),
		cmocka_unit_test(test_banner_time),
		cmocka_unit_test(test_commands_extend_the_time),
		cmocka_unit_test(test_body_time),
		cmocka_unit_test(test_too_slow),
		cmocka_unit_test(test_no_time_while_we_owe),
		cmocka_unit_test(test_no_time_while_held_back),
		cmocka_unit_test(test_hangup_idle),
		cmocka_unit_test(test_hangup_comes_behind_bytes),
		cmocka_unit_test(test_hangup_while_we_owe),
		cmocka_unit_test(test_hangup_with_commands_left),
		cmocka_unit_test(test_hangup_while_paused),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_client_that_never_reads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
