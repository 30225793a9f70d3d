/*
 * The conversation with a server: an owner that keeps a record on one side, on the other a raw
 * server whose words and silences the test plays.
 */
#include "test_talk_help.h"

#include <stdio.h>

#include "talk/client.h"

#define EHLO_REPLY "250-mx.example hello\r\n250-SIZE 1000\r\n250-pipelining\r\n250 CHUNKING\r\n"

static const struct talk_client_times patient = {
	.connect = 20 * SECOND,
	.banner = 20 * SECOND,
	.ehlo = 20 * SECOND,
	.mail = 20 * SECOND,
	.rcpt = 20 * SECOND,
	.data = 20 * SECOND,
	.block = 20 * SECOND,
	.end = 20 * SECOND,
	.quit = 20 * SECOND,
};

struct owner {
	struct stage stage;
	struct talk_client *talk;
	struct raw server;
	const struct talk_client_times *times;
	struct buf record; /* "greeted 250/1 ..." */
	bool over;
	struct talk_end end;
	char end_reply[512];
	unsigned drains;
	bool free_at_greeted, free_at_reply, free_at_end, quit_at_reply;
	bool mail_at_reply; /* begins the next transaction in the callback */
	struct owner *next; /* hands over to it when greeted */
};

static void note(struct owner *owner, const char *what)
{
	assert_false(owner->over);
	buf_addf(&owner->record, "%s%s", owner->record.len > 0 ? " " : "", what);
}

static bool recorded(struct owner *owner, const char *what)
{
	return strcmp(buf_string(&owner->record), what) == 0;
}

static void send_line(struct owner *owner, enum smtp_phase phase, const char *line, unsigned tag)
{
	smtp_client_send(talk_client_smtp(owner->talk), phase, span_of(line), tag);
}

static const struct talk_client_ops owner_ops;

static void on_greeted(void *arg)
{
	struct owner *owner = arg;

	note(owner, "greeted");
	if (owner->next) {
		owner->next->talk = owner->talk;
		talk_client_hand_over(owner->talk, &owner_ops, owner->next);
		owner->talk = NULL;
	} else if (owner->free_at_greeted) {
		talk_client_free(&owner->talk);
	}
}

static void on_reply(void *arg, const struct smtp_client_event *event)
{
	struct owner *owner = arg;
	char what[32];

	snprintf(what, sizeof(what), "%u/%u", event->reply.code, event->tag);
	note(owner, what);
	if (owner->free_at_reply)
		talk_client_free(&owner->talk);
	else if (owner->quit_at_reply)
		talk_client_quit(owner->talk);
	else if (owner->mail_at_reply) {
		owner->mail_at_reply = false;
		assert_true(smtp_client_outstanding(talk_client_smtp(owner->talk)) == 0);
		send_line(owner, PHASE_MAIL, "MAIL FROM:<>", 9);
		talk_client_go(owner->talk);
	}
	assert_true(event->reply.wire.len >= 6); /* still there */
}

static void on_ended(void *arg, const struct talk_end *end)
{
	struct owner *owner = arg;

	note(owner, "ended");
	owner->over = true;
	owner->end = *end;
	assert_true(end->reply.wire.len < sizeof(owner->end_reply));
	if (end->reply.wire.len > 0)
		memcpy(owner->end_reply, end->reply.wire.at, end->reply.wire.len);
	owner->end_reply[end->reply.wire.len] = '\0';
	if (owner->free_at_end)
		talk_client_free(&owner->talk);
}

static void on_drained(void *arg)
{
	((struct owner *)arg)->drains++;
}

static const struct talk_client_ops owner_ops = {
	.greeted = on_greeted,
	.reply = on_reply,
	.ended = on_ended,
	.drained = on_drained,
};

#define UNTIL(owner, condition) STAGE_UNTIL(&(owner)->stage, condition)

static void owner_open(struct owner *owner)
{
	*owner = (struct owner){.times = &patient};
	stage_open(&owner->stage);
	owner->server.fd = -1;
}

/* Ready for the next conversation. */
static void owner_clear(struct owner *owner)
{
	talk_client_free(&owner->talk);
	raw_clear(&owner->server);
	buf_clear(&owner->record);
	owner->over = false;
	owner->drains = 0;
}

static void owner_close(struct owner *owner)
{
	owner_clear(owner);
	stage_close(&owner->stage);
}

static void call_many(struct owner *owner, const struct addr *addr, unsigned count)
{
	struct talk_client_setup setup = {
		.addr = addr,
		.addr_count = count,
		.hostname = "us.example",
		.times = owner->times,
	};

	owner->talk = talk_client_new(owner->stage.world.loop, &setup, &owner_ops, owner);
}

static bool accept_one(struct owner *owner)
{
	int fd = accept(owner->stage.world.fd, NULL, NULL);

	if (fd < 0)
		return false;
	raw_init(&owner->server, fd);
	return true;
}

/* Connected, and nothing said yet. */
static void call(struct owner *owner)
{
	call_many(owner, &owner->stage.world.at, 1);
	UNTIL(owner, accept_one(owner));
}

static void greet_with(struct owner *owner, const char *ehlo_reply)
{
	call(owner);
	raw_say(&owner->server, "220 mx.example ready\r\n");
	UNTIL(owner, raw_heard(&owner->server, "EHLO us.example\r\n"));
	raw_say(&owner->server, ehlo_reply);
	UNTIL(owner, recorded(owner, "greeted"));
	buf_reset(&owner->record);
}

static void greet(struct owner *owner)
{
	greet_with(owner, EHLO_REPLY);
	assert_true(talk_client_clean(owner->talk));
}

static void mail(struct owner *owner)
{
	send_line(owner, PHASE_MAIL, "MAIL FROM:<a@b.example>", 1);
	send_line(owner, PHASE_RCPT, "RCPT TO:<c@d.example>", 2);
	talk_client_go(owner->talk);
	UNTIL(owner,
		raw_heard(&owner->server, "MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\n"));
}

static void mail_accepted(struct owner *owner)
{
	mail(owner);
	raw_say(&owner->server, "250 ok\r\n250 ok\r\n");
	UNTIL(owner, recorded(owner, "250/1 250/2"));
	buf_reset(&owner->record);
}

static void body_piece(struct owner *owner, const void *bytes, size_t len)
{
	struct chunk *chunk = chunk_new(net_chunks(owner->stage.world.loop), CHUNK_LARGE);

	assert_true(len <= chunk_tail(chunk));
	memcpy(chunk->at, bytes, len);
	chunk->len = (uint32_t)len;
	smtp_client_body(talk_client_smtp(owner->talk), chunk, 0, len);
	chunk_unref(&chunk);
}

/* DATA was answered by 354. */
static void data_open(struct owner *owner)
{
	mail_accepted(owner);
	smtp_client_body_begin(talk_client_smtp(owner->talk), false, 3);
	talk_client_go(owner->talk);
	UNTIL(owner, raw_heard(&owner->server, "DATA\r\n"));
	raw_say(&owner->server, "354 go\r\n");
	UNTIL(owner, recorded(owner, "354/3"));
	buf_reset(&owner->record);
}

static void data_ended(struct owner *owner)
{
	data_open(owner);
	body_piece(owner, "hello\r\n", 7);
	smtp_client_body_end(talk_client_smtp(owner->talk));
	talk_client_go(owner->talk);
	UNTIL(owner, raw_heard(&owner->server, "hello\r\n.\r\n"));
}

static void check_end(
	struct owner *owner, enum talk_close why, enum smtp_phase phase, enum smtp_fate fate)
{
	UNTIL(owner, owner->over);
	assert_string_equal(talk_close_text(owner->end.why), talk_close_text(why));
	assert_string_equal(smtp_phase_name(owner->end.phase), smtp_phase_name(phase));
	assert_int_equal(owner->end.fate, fate);
	assert_true(strlen(owner->end.text) > 10);
}

/* ---- the greeting ---- */

static void test_greeting(void **state)
{
	struct owner owner;

	(void)state;
	owner_open(&owner);
	greet(&owner);
	assert_int_equal(talk_client_offer(owner.talk)->caps,
		SMTP_CAP_SEEN | SMTP_CAP_SIZE | SMTP_CAP_PIPELINING | SMTP_CAP_CHUNKING);
	assert_int_equal(talk_client_offer(owner.talk)->size, 1000);
	assert_true(talk_client_time_connect(owner.talk) > 0);
	assert_true(talk_client_time_greeting(owner.talk) > 0);
	assert_true(addr_eq(talk_client_peer(owner.talk), &owner.stage.world.at));
	UNTIL(&owner, chunk_pool_used(net_chunks(owner.stage.world.loop)) == 0);
	owner_close(&owner);
}

static void say_in_two(struct owner *owner, const char *text, size_t cut)
{
	raw_say_bytes(&owner->server, text, cut);
	world_turn_for(&owner->stage.world, 500 * USEC);
	raw_say(&owner->server, text + cut);
}

static void test_greeting_at_every_cut(void **state)
{
	static const char banner[] = "220-mx.example\r\n220 ready\r\n";
	struct owner owner;

	(void)state;
	owner_open(&owner);
	for (size_t cut = 0; cut < sizeof(banner); cut++) {
		call(&owner);
		say_in_two(&owner, banner, cut);
		UNTIL(&owner, raw_heard(&owner.server, "EHLO us.example\r\n"));
		owner_clear(&owner);
	}
	for (size_t cut = 0; cut < sizeof(EHLO_REPLY); cut++) {
		call(&owner);
		raw_say(&owner.server, banner);
		UNTIL(&owner, raw_heard(&owner.server, "EHLO us.example\r\n"));
		say_in_two(&owner, EHLO_REPLY, cut);
		UNTIL(&owner, recorded(&owner, "greeted"));
		assert_int_equal(talk_client_offer(owner.talk)->size, 1000);
		owner_clear(&owner);
	}
	owner_close(&owner);
}

static void check_banner(struct owner *owner, const char *banner, enum talk_close why)
{
	call(owner);
	raw_say(&owner->server, banner);
	check_end(owner, why, PHASE_BANNER, FATE_UNSENT);
	if (why == CLOSE_GREETING_REFUSED)
		assert_string_equal(owner->end_reply, banner);
	UNTIL(owner, raw_closed(&owner->server));
	assert_true(owner->server.got.len == 0); /* not even EHLO */
	owner_clear(owner);
}

static void test_bad_banners(void **state)
{
	struct owner owner;

	(void)state;
	owner_open(&owner);
	check_banner(&owner, "421 4.3.2 too busy\r\n", CLOSE_GREETING_REFUSED);
	check_banner(&owner, "554-no\r\n554 service\r\n", CLOSE_GREETING_REFUSED);
	check_banner(&owner, "250 what\r\n", CLOSE_POISONED);
	check_banner(&owner, "220 mx.example\r\n250 what\r\n", CLOSE_POISONED);
	owner.times = &patient;
	call(&owner);
	raw_say(&owner.server, "SSH-2.0-OpenSSH_9.2\r\n");
	check_end(&owner, CLOSE_POISONED, PHASE_BANNER, FATE_UNSENT);
	owner_clear(&owner);
	call(&owner);
	raw_clear(&owner.server);
	check_end(&owner, CLOSE_PEER_CLOSED, PHASE_BANNER, FATE_UNSENT);
	owner_close(&owner);
}

static void test_helo(void **state)
{
	struct owner owner;

	(void)state;
	owner_open(&owner);
	call(&owner);
	raw_say(&owner.server, "220 mx.example\r\n");
	UNTIL(&owner, raw_heard(&owner.server, "EHLO us.example\r\n"));
	raw_say(&owner.server, "502 what?\r\n");
	UNTIL(&owner, raw_heard(&owner.server, "HELO us.example\r\n"));
	raw_say(&owner.server, "250-mx.example\r\n250 SIZE\r\n");
	UNTIL(&owner, recorded(&owner, "greeted"));
	assert_int_equal(talk_client_offer(owner.talk)->caps, SMTP_CAP_SEEN);
	owner_close(&owner);
}

static void test_ehlo_refused(void **state)
{
	struct owner owner;

	(void)state;
	owner_open(&owner);
	call(&owner);
	raw_say(&owner.server, "220 mx.example\r\n");
	UNTIL(&owner, raw_heard(&owner.server, "EHLO us.example\r\n"));
	raw_say(&owner.server, "450 4.7.1 later\r\n");
	UNTIL(&owner, owner.over);
	assert_int_equal(owner.end.why, CLOSE_GREETING_REFUSED);
	assert_string_equal(owner.end_reply, "450 4.7.1 later\r\n");
	assert_non_null(strstr(owner.end.text, "EHLO answered by 450 4.7.1 later"));
	owner_clear(&owner);

	call(&owner);
	raw_say(&owner.server, "220 mx.example\r\n");
	UNTIL(&owner, raw_heard(&owner.server, "EHLO us.example\r\n"));
	raw_say(&owner.server, "550 no\r\n");
	UNTIL(&owner, raw_heard(&owner.server, "HELO us.example\r\n"));
	raw_say(&owner.server, "550 no, no\r\n");
	UNTIL(&owner, owner.over);
	assert_int_equal(owner.end.why, CLOSE_GREETING_REFUSED);
	assert_string_equal(owner.end_reply, "550 no, no\r\n");
	owner_close(&owner);
}

/* ---- connecting ---- */

/* A port where nobody listens. */
static struct addr nobody(void)
{
	struct addr addr = {.family = ADDR_IP4, .ip4 = {127, 0, 0, 1}};
	int fd = sys_real_listen(&addr, false, &addr.port, NULL);

	assert_true(fd >= 0);
	close(fd);
	return addr;
}

static void test_next_address(void **state)
{
	struct owner owner;
	struct addr addr[3];

	(void)state;
	owner_open(&owner);
	addr[0] = nobody();
	addr[1] = owner.stage.world.at;
	addr[2] = nobody();
	call_many(&owner, addr, 3);
	UNTIL(&owner, accept_one(&owner));
	raw_say(&owner.server, "220 mx.example\r\n");
	UNTIL(&owner, raw_heard(&owner.server, "EHLO us.example\r\n"));
	assert_true(addr_eq(talk_client_peer(owner.talk), &addr[1]));
	owner_close(&owner);
}

static void test_nobody_there(void **state)
{
	struct owner owner;
	struct addr addr[2];
	char text[ADDR_TEXT + 64], peer[ADDR_TEXT];

	(void)state;
	owner_open(&owner);
	addr[0] = nobody();
	addr[1] = nobody();
	call_many(&owner, addr, 2);
	assert_false(owner.over); /* never inside the call */
	check_end(&owner, CLOSE_CONNECT_REFUSED, PHASE_CONNECT, FATE_UNSENT);
	addr_text_port(&addr[1], peer);
	snprintf(text, sizeof(text), "connect to %s: Connection refused", peer);
	assert_string_equal(owner.end.text, text);
	owner_clear(&owner);
	call_many(&owner, NULL, 0);
	check_end(&owner, CLOSE_CONNECT_REFUSED, PHASE_CONNECT, FATE_UNSENT);
	owner_close(&owner);
}

/* A listener whose queue is full lets a connect hang. */
static void test_connect_time(void **state)
{
	static struct talk_client_times times;
	struct addr addr = {.family = ADDR_IP4, .ip4 = {127, 0, 0, 1}};
	struct sockaddr_in in = raw_address(&addr);
	socklen_t len = sizeof(in);
	struct owner owner;
	int listener = socket(AF_INET, SOCK_STREAM, 0), full[3];

	(void)state;
	assert_int_equal(bind(listener, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(listen(listener, 0), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&in, &len), 0);
	addr.port = ntohs(in.sin_port);
	for (int i = 0; i < 3; i++) {
		full[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		connect(full[i], (struct sockaddr *)&in, sizeof(in));
	}
	times = patient;
	times.connect = 50 * MSEC;
	owner_open(&owner);
	owner.times = &times;
	call_many(&owner, &addr, 1);
	check_end(&owner, CLOSE_CONNECT_TIMEOUT, PHASE_CONNECT, FATE_UNSENT);
	for (int i = 0; i < 3; i++)
		close(full[i]);
	close(listener);
	owner_close(&owner);
}

/* ---- a transaction ---- */

static void test_transactions(void **state)
{
	struct owner owner;

	(void)state;
	owner_open(&owner);
	greet(&owner);
	for (int i = 0; i < 3; i++) {
		talk_client_mark(owner.talk);
		data_ended(&owner);
		assert_false(talk_client_clean(owner.talk));
		raw_say(&owner.server, "250 2.0.0 queued as X\r\n");
		UNTIL(&owner, recorded(&owner, "250/3"));
		assert_true(talk_client_clean(owner.talk));
		buf_reset(&owner.record);
	}
	assert_true(owner.drains > 0);
	owner_close(&owner);
}

static void test_replies_at_every_cut(void **state)
{
	static const char replies[] = "250-one\r\n250 two\r\n550 5.1.1 no\r\n";
	struct owner owner;

	(void)state;
	owner_open(&owner);
	for (size_t cut = 0; cut < sizeof(replies); cut++) {
		greet(&owner);
		mail(&owner);
		say_in_two(&owner, replies, cut);
		UNTIL(&owner, recorded(&owner, "250/1 550/2"));
		assert_true(talk_client_clean(owner.talk));
		owner_clear(&owner);
	}
	owner_close(&owner);
}

static void test_long_reply(void **state)
{
	struct owner owner;
	struct buf reply = {0};

	(void)state;
	while (reply.len < SMTP_REPLY_MAX - 600)
		buf_addf(&reply, "250-%0400d\r\n", 0);
	buf_add_text(&reply, "250 end\r\n");
	owner_open(&owner);
	greet(&owner);
	mail(&owner);
	raw_say_bytes(&owner.server, reply.at, reply.len);
	raw_say(&owner.server, "250 ok\r\n");
	UNTIL(&owner, recorded(&owner, "250/1 250/2"));
	UNTIL(&owner, chunk_pool_used(net_chunks(owner.stage.world.loop)) == 0);
	owner_clear(&owner);

	buf_reset(&reply);
	while (reply.len < SMTP_REPLY_MAX + 5000)
		buf_addf(&reply, "250-%0400d\r\n", 0);
	greet(&owner);
	mail(&owner);
	raw_say_bytes(&owner.server, reply.at, reply.len);
	check_end(&owner, CLOSE_POISONED, PHASE_MAIL, FATE_UNSENT);
	buf_clear(&reply);
	owner_close(&owner);
}

/* ---- idle ---- */

static void check_idle(struct owner *owner, const char *says, bool closes, enum talk_close why)
{
	greet(owner);
	mail_accepted(owner);
	talk_client_mark(owner->talk);
	raw_say(&owner->server, says);
	if (closes)
		raw_clear(&owner->server);
	check_end(owner, why, PHASE_MAIL, FATE_UNSENT);
	assert_false(owner->end.answered);
	assert_false(talk_client_clean(owner->talk));
	owner_clear(owner);
}

static void test_stale(void **state)
{
	struct owner owner;

	(void)state;
	owner_open(&owner);
	check_idle(&owner, "", true, CLOSE_STALE);
	check_idle(&owner, "421 4.4.2 mx.example Error: timeout exceeded\r\n", false, CLOSE_STALE);
	check_idle(&owner, "421 4.4.2 mx.example Error: timeout exceeded\r\n", true, CLOSE_STALE);
	check_idle(&owner, "450 bye\r\n", true, CLOSE_STALE);
	greet(&owner);
	raw_reset(&owner.server);
	check_end(&owner, CLOSE_STALE, PHASE_MAIL, FATE_UNSENT);
	owner_close(&owner);
}

static void test_poisoned_while_idle(void **state)
{
	struct owner owner;

	(void)state;
	owner_open(&owner);
	check_idle(&owner, "250 ok\r\n", false, CLOSE_POISONED);
	check_idle(&owner, "2", false, CLOSE_POISONED);
	check_idle(&owner, "554 no\r\n", true, CLOSE_POISONED);
	check_idle(&owner, "421-a\r\n422 b\r\n", true, CLOSE_POISONED);
	owner_close(&owner);
}

/* What an idle server has said before our command left is no answer to it. */
static void test_unasked_before_we_ask(void **state)
{
	struct owner owner;

	(void)state;
	owner_open(&owner);
	greet(&owner);
	raw_say(&owner.server, "250 ok\r\n");
	send_line(&owner, PHASE_MAIL, "MAIL FROM:<>", 1);
	talk_client_go(owner.talk);
	check_end(&owner, CLOSE_POISONED, PHASE_MAIL, FATE_UNSENT);
	assert_true(recorded(&owner, "ended"));
	assert_true(raw_heard(&owner.server, ""));
	owner_clear(&owner);

	greet(&owner);
	raw_clear(&owner.server);
	send_line(&owner, PHASE_MAIL, "MAIL FROM:<>", 1);
	talk_client_go(owner.talk);
	check_end(&owner, CLOSE_STALE, PHASE_MAIL, FATE_UNSENT);
	owner_close(&owner);
}

/* The last answer and one too many in the same packet, and the owner goes on at once. */
static void test_surplus_reply(void **state)
{
	struct owner owner;

	(void)state;
	owner_open(&owner);
	greet(&owner);
	send_line(&owner, PHASE_RSET, "RSET", 1);
	talk_client_go(owner.talk);
	UNTIL(&owner, raw_heard(&owner.server, "RSET\r\n"));
	owner.mail_at_reply = true;
	raw_say(&owner.server, "250 ok\r\n250 ok\r\n");
	check_end(&owner, CLOSE_POISONED, PHASE_MAIL, FATE_UNSENT);
	assert_true(recorded(&owner, "250/1 ended"));
	UNTIL(&owner, raw_closed(&owner.server));
	assert_int_equal(owner.server.got.len, 0);
	owner_clear(&owner);

	greet(&owner);
	data_ended(&owner);
	raw_say(&owner.server, "250 ok\r\n421 bye\r\n");
	check_end(&owner, CLOSE_STALE, PHASE_MAIL, FATE_ENDED);
	assert_true(recorded(&owner, "250/3 ended"));
	owner_close(&owner);
}

/* ---- broken off ---- */

static void test_malformed(void **state)
{
	static const char *const bad[] = {"250-a\r\n550 b\r\n", "hello\r\n", "2x0 ok\r\n",
		"250 a\rb\r\n", "250 a\n", "999 x\r\n"};
	struct owner owner;

	(void)state;
	owner_open(&owner);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		greet(&owner);
		mail(&owner);
		raw_say(&owner.server, bad[i]);
		check_end(&owner, CLOSE_POISONED, PHASE_MAIL, FATE_UNSENT);
		UNTIL(&owner, raw_closed(&owner.server));
		owner_clear(&owner);
	}
	owner_close(&owner);
}

static void test_closed_at_each_phase(void **state)
{
	struct owner owner;

	(void)state;
	owner_open(&owner);
	greet(&owner);
	talk_client_mark(owner.talk);
	mail(&owner);
	raw_clear(&owner.server);
	check_end(&owner, CLOSE_PEER_CLOSED, PHASE_MAIL, FATE_UNSENT);
	assert_false(owner.end.answered);
	owner_clear(&owner);

	greet(&owner);
	talk_client_mark(owner.talk);
	mail(&owner);
	raw_say(&owner.server, "250 ok\r\n"); /* before the end, so it is told before the end */
	raw_clear(&owner.server);
	check_end(&owner, CLOSE_PEER_CLOSED, PHASE_RCPT, FATE_UNSENT);
	assert_true(recorded(&owner, "250/1 ended"));
	assert_true(owner.end.answered);
	owner_clear(&owner);

	greet(&owner);
	mail(&owner);
	raw_say(&owner.server, "250 ok\r\n421 4.3.2 shutting down\r\n");
	raw_clear(&owner.server);
	check_end(&owner, CLOSE_STALE, PHASE_MAIL, FATE_UNSENT);
	assert_true(recorded(&owner, "250/1 421/2 ended"));
	owner_clear(&owner);

	greet(&owner);
	data_open(&owner);
	raw_clear(&owner.server);
	check_end(&owner, CLOSE_PEER_CLOSED, PHASE_BODY, FATE_UNSENT);
	owner_clear(&owner);

	greet(&owner);
	data_open(&owner);
	body_piece(&owner, "hello\r\n", 7);
	talk_client_go(owner.talk);
	UNTIL(&owner, raw_heard(&owner.server, "hello\r\n"));
	raw_clear(&owner.server);
	check_end(&owner, CLOSE_PEER_CLOSED, PHASE_BODY, FATE_OPEN);
	owner_clear(&owner);

	greet(&owner);
	data_ended(&owner);
	raw_clear(&owner.server);
	check_end(&owner, CLOSE_PEER_CLOSED, PHASE_END, FATE_ENDED);
	owner_clear(&owner);

	greet(&owner);
	data_ended(&owner);
	raw_reset(&owner.server);
	check_end(&owner, CLOSE_RESET, PHASE_END, FATE_ENDED);
	owner_clear(&owner);

	greet(&owner);
	data_ended(&owner);
	raw_say(&owner.server, "250 ok\r\n");
	raw_clear(&owner.server);
	check_end(&owner, CLOSE_STALE, PHASE_MAIL, FATE_ENDED);
	assert_true(recorded(&owner, "250/3 ended"));
	owner_close(&owner);
}

/* A server that speaks up inside the body. */
static void test_words_inside_the_body(void **state)
{
	struct owner owner;

	(void)state;
	owner_open(&owner);
	greet(&owner);
	data_open(&owner);
	body_piece(&owner, "hello\r\n", 7);
	talk_client_go(owner.talk);
	UNTIL(&owner, raw_heard(&owner.server, "hello\r\n"));
	raw_say(&owner.server, "421 4.3.0 disk full\r\n");
	UNTIL(&owner, recorded(&owner, "421/3"));
	assert_false(talk_client_clean(owner.talk));
	raw_clear(&owner.server);
	check_end(&owner, CLOSE_PEER_CLOSED, PHASE_BODY, FATE_OPEN);
	owner_clear(&owner);

	greet(&owner);
	data_open(&owner);
	body_piece(&owner, "hello\r\n", 7);
	talk_client_go(owner.talk);
	UNTIL(&owner, raw_heard(&owner.server, "hello\r\n"));
	raw_say(&owner.server, "250 ok\r\n");
	check_end(&owner, CLOSE_POISONED, PHASE_BODY, FATE_OPEN);
	owner_close(&owner);
}

/* "Accepted" before the server can have the end of the message: never believed. */
static void test_accepted_before_the_end(void **state)
{
	struct owner owner;

	(void)state;
	owner_open(&owner);
	greet(&owner);
	data_open(&owner);
	body_piece(&owner, "hello\r\n", 7);
	smtp_client_body_end(talk_client_smtp(owner.talk));
	raw_say(&owner.server, "250 ok\r\n");
	talk_client_go(owner.talk);
	check_end(&owner, CLOSE_POISONED, PHASE_END, FATE_UNSENT);
	assert_true(recorded(&owner, "ended"));
	owner_close(&owner);
}

/* What a server said before its reset is heard, though our writing fails first. */
static void test_reply_before_broken_write(void **state)
{
	struct owner owner;

	(void)state;
	owner_open(&owner);
	greet(&owner);
	data_ended(&owner);
	raw_say(&owner.server, "452 4.3.1 no space\r\n");
	send_line(&owner, PHASE_EHLO, "EHLO us", 4);
	raw_reset(&owner.server);
	talk_client_go(owner.talk);
	UNTIL(&owner, owner.over);
	assert_true(recorded(&owner, "452/3 ended") || recorded(&owner, "ended"));
	assert_int_equal(owner.end.fate, FATE_ENDED);
	owner_close(&owner);
}

/* ---- time ---- */

static void test_times(void **state)
{
	struct talk_client_times times = patient;
	struct owner owner;

	(void)state;
	owner_open(&owner);
	owner.times = &times;
	times.banner = 30 * MSEC;
	call(&owner);
	check_end(&owner, CLOSE_TIMEOUT, PHASE_BANNER, FATE_UNSENT);
	owner_clear(&owner);
	times = patient;

	times.ehlo = 30 * MSEC;
	call(&owner);
	raw_say(&owner.server, "220 mx.example\r\n");
	check_end(&owner, CLOSE_TIMEOUT, PHASE_EHLO, FATE_UNSENT);
	owner_clear(&owner);
	times = patient;

	greet(&owner);
	times.mail = 30 * MSEC;
	mail(&owner);
	check_end(&owner, CLOSE_TIMEOUT, PHASE_MAIL, FATE_UNSENT);
	owner_clear(&owner);
	times = patient;

	greet(&owner);
	times.rcpt = 200 * MSEC;
	mail(&owner);
	world_turn_for(&owner.stage.world, 250 * MSEC); /* its time begins behind MAIL's reply */
	assert_false(owner.over);
	raw_say(&owner.server, "250 ok\r\n");
	world_turn_for(&owner.stage.world, 20 * MSEC);
	assert_true(recorded(&owner, "250/1"));
	check_end(&owner, CLOSE_TIMEOUT, PHASE_RCPT, FATE_UNSENT);
	owner_clear(&owner);
	times = patient;

	greet(&owner);
	mail_accepted(&owner);
	times.data = 30 * MSEC;
	smtp_client_body_begin(talk_client_smtp(owner.talk), false, 3);
	talk_client_go(owner.talk);
	check_end(&owner, CLOSE_TIMEOUT, PHASE_DATA, FATE_UNSENT);
	owner_clear(&owner);
	times = patient;

	greet(&owner);
	times.end = 30 * MSEC;
	data_ended(&owner);
	check_end(&owner, CLOSE_TIMEOUT, PHASE_END, FATE_ENDED);
	UNTIL(&owner, raw_closed(&owner.server));
	assert_true(owner.server.reset);
	owner_clear(&owner);
	times = patient;

	greet(&owner);
	owner.times = &patient;
	owner_close(&owner);
}

/* The client's slowness is no fault of the server: inside the body no time runs by itself. */
static void test_no_time_between_pieces(void **state)
{
	struct talk_client_times times = patient;
	struct owner owner;

	(void)state;
	owner_open(&owner);
	owner.times = &times;
	greet(&owner);
	times.block = times.data = times.end = 20 * MSEC;
	world_turn_for(&owner.stage.world, 50 * MSEC);
	times.data = 20 * SECOND;
	data_open(&owner);
	world_turn_for(&owner.stage.world, 50 * MSEC);
	body_piece(&owner, "hello\r\n", 7);
	talk_client_go(owner.talk);
	world_turn_for(&owner.stage.world, 50 * MSEC);
	assert_false(owner.over);
	owner_close(&owner);
}

static void feed(struct owner *owner, size_t much)
{
	static char lines[50 * 1000];

	memset(lines, 'x', sizeof(lines));
	for (size_t at = 998; at < sizeof(lines); at += 1000)
		memcpy(lines + at, "\r\n", 2);
	for (size_t fed = 0; fed < much; fed += sizeof(lines))
		body_piece(owner, lines, sizeof(lines));
	talk_client_go(owner->talk);
}

/* A server that stops reading: `block` runs out, however long `end` is. */
static void test_blocked_body(void **state)
{
	struct talk_client_times times = patient;
	struct owner owner;

	(void)state;
	owner_open(&owner);
	owner.times = &times;
	greet(&owner);
	times.block = 200 * MSEC;
	times.end = 20 * SECOND;
	data_open(&owner);
	feed(&owner, 16 * 1000 * 1000);
	smtp_client_body_end(talk_client_smtp(owner.talk));
	talk_client_go(owner.talk);
	check_end(&owner, CLOSE_TIMEOUT, PHASE_END, FATE_OPEN);
	assert_non_null(strstr(owner.end.text, "sending"));
	owner_clear(&owner);

	/* One that reads slowly is given time as long as it goes on. */
	greet(&owner);
	times.block = 300 * MSEC;
	times.end = 50 * MSEC;
	data_open(&owner);
	feed(&owner, 16 * 1000 * 1000);
	smtp_client_body_end(talk_client_smtp(owner.talk));
	talk_client_go(owner.talk);
	for (size_t heard = 0; heard < 16 * 1000 * 1000 + 3;) {
		world_turn_for(&owner.stage.world, MSEC);
		assert_false(owner.over);
		raw_hear(&owner.server);
		heard += owner.server.got.len;
		buf_reset(&owner.server.got);
	}
	assert_true(owner.drains > 0);
	raw_say(&owner.server, "250 ok\r\n");
	UNTIL(&owner, recorded(&owner, "250/3"));
	owner_close(&owner);
}

/* ---- leaving ---- */

static void test_quit(void **state)
{
	struct talk_client_times times = patient;
	struct owner owner;

	(void)state;
	owner_open(&owner);
	owner.times = &times;
	greet(&owner);
	talk_client_quit(owner.talk);
	UNTIL(&owner, raw_heard(&owner.server, "QUIT\r\n"));
	assert_false(owner.over);
	raw_say(&owner.server, "221 bye\r\n");
	UNTIL(&owner, owner.over);
	assert_int_equal(owner.end.why, CLOSE_QUIT);
	UNTIL(&owner, raw_closed(&owner.server));
	owner_clear(&owner);

	greet(&owner);
	times.quit = 20 * MSEC;
	talk_client_quit(owner.talk);
	UNTIL(&owner, owner.over); /* never answered */
	assert_int_equal(owner.end.why, CLOSE_QUIT);
	owner_clear(&owner);

	times.quit = 20 * SECOND;
	greet(&owner);
	talk_client_quit(owner.talk);
	raw_clear(&owner.server);
	UNTIL(&owner, owner.over);
	assert_int_equal(owner.end.why, CLOSE_QUIT);
	owner_clear(&owner);

	greet(&owner);
	mail(&owner);
	talk_client_quit(owner.talk); /* something is outstanding: just close */
	assert_false(owner.over);
	UNTIL(&owner, owner.over);
	assert_int_equal(owner.end.why, CLOSE_QUIT);
	UNTIL(&owner, raw_closed(&owner.server));
	assert_int_equal(owner.server.got.len, 0);
	owner_clear(&owner);

	call(&owner);
	talk_client_quit(owner.talk);
	UNTIL(&owner, owner.over);
	assert_int_equal(owner.end.why, CLOSE_QUIT);
	owner_clear(&owner);

	greet(&owner);
	send_line(&owner, PHASE_RSET, "RSET", 1);
	talk_client_go(owner.talk);
	UNTIL(&owner, raw_heard(&owner.server, "RSET\r\n"));
	owner.quit_at_reply = true;
	raw_say(&owner.server, "250 ok\r\n");
	UNTIL(&owner, raw_heard(&owner.server, "QUIT\r\n"));
	raw_say(&owner.server, "221 bye\r\n");
	UNTIL(&owner, recorded(&owner, "250/1 ended"));
	owner_close(&owner);
}

static void test_free_anywhere(void **state)
{
	struct owner owner;

	(void)state;
	owner_open(&owner);
	call_many(&owner, &owner.stage.world.at, 1);
	owner_clear(&owner); /* while connecting */
	UNTIL(&owner, accept_one(&owner));
	owner_clear(&owner);

	owner.free_at_greeted = true;
	greet_with(&owner, EHLO_REPLY);
	assert_null(owner.talk);
	owner_clear(&owner);
	owner.free_at_greeted = false;

	owner.free_at_reply = true;
	greet(&owner);
	mail(&owner);
	raw_say(&owner.server, "250 ok\r\n250 ok\r\n");
	UNTIL(&owner, !owner.talk);
	assert_true(recorded(&owner, "250/1"));
	owner_clear(&owner);
	owner.free_at_reply = false;

	owner.free_at_end = true;
	greet(&owner);
	raw_clear(&owner.server);
	UNTIL(&owner, owner.over);
	assert_null(owner.talk);
	owner_close(&owner);
}

static void test_hand_over(void **state)
{
	struct owner owner, heir = {0};

	(void)state;
	owner_open(&owner);
	owner.next = &heir;
	greet_with(&owner, EHLO_REPLY);
	assert_non_null(heir.talk);
	raw_clear(&owner.server);
	UNTIL(&owner, heir.over);
	assert_int_equal(heir.end.why, CLOSE_STALE);
	assert_true(recorded(&owner, ""));
	talk_client_free(&heir.talk);
	buf_clear(&heir.record);
	owner_close(&owner);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_greeting),
		cmocka_unit_test(test_greeting_at_every_cut),
		cmocka_unit_test(test_bad_banners),
		cmocka_unit_test(test_helo),
		cmocka_unit_test(test_ehlo_refused),
		cmocka_unit_test(test_next_address),
		cmocka_unit_test(test_nobody_there),
		cmocka_unit_test(test_connect_time),
		cmocka_unit_test(test_transactions),
		cmocka_unit_test(test_replies_at_every_cut),
		cmocka_unit_test(test_long_reply),
		cmocka_unit_test(test_stale),
		cmocka_unit_test(test_poisoned_while_idle),
		cmocka_unit_test(test_unasked_before_we_ask),
		cmocka_unit_test(test_surplus_reply),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_closed_at_each_phase),
		cmocka_unit_test(test_words_inside_the_body),
		cmocka_unit_test(test_accepted_before_the_end),
		cmocka_unit_test(test_reply_before_broken_write),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_no_time_between_pieces),
		cmocka_unit_test(test_blocked_body),
		cmocka_unit_test(test_quit),
		cmocka_unit_test(test_free_anywhere),
		cmocka_unit_test(test_hand_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
