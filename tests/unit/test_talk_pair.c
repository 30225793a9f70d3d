/*
 * Both conversations against each other over loopback: many messages of many sizes on one
 * connection, by DATA and by BDAT, with a receiver that pauses at random, arrive byte for byte.
 */
#include "test_talk_help.h"

#include "base/rng.h"
#include "talk/client.h"
#include "talk/server.h"

static const struct talk_server_times server_times = {
	.command = 20 * SECOND, .body = 20 * SECOND, .rate = 10};
static const struct smtp_offer offer = {.caps = SMTP_CAP_PIPELINING | SMTP_CAP_CHUNKING};

struct pair {
	struct stage stage;
	struct rng rng;
	struct net_listener *listener;
	struct talk_server *server;
	struct talk_client *client;
	struct net_timer resume;
	bool moody, greeted, over, closed;
	/* sending */
	struct buf message;
	size_t fed;
	bool chunking, ended;
	unsigned accepted;
	/* receiving */
	struct buf body;
	unsigned ends;
	size_t used_most;
};

/* ---- the receiver ---- */

static void on_resume(void *arg)
{
	talk_server_pause(((struct pair *)arg)->server, false);
}

static void on_command(void *arg, const struct smtp_command *command, unsigned slot)
{
	static const enum smtp_own own[SMTP_VERBS] = {
		[VERB_MAIL] = SMTP_OWN_SENDER_OK,
		[VERB_RCPT] = SMTP_OWN_OK,
		[VERB_DATA] = SMTP_OWN_GO_AHEAD,
		[VERB_QUIT] = SMTP_OWN_BYE,
	};
	struct pair *pair = arg;
	struct smtp_server *smtp = talk_server_smtp(pair->server);

	if (command->verb == VERB_BDAT)
		return;
	if (command->verb == VERB_EHLO)
		smtp_server_reply_ehlo(smtp, slot, "mx.example", &offer);
	else
		smtp_server_own(smtp, slot, own[command->verb], NULL);
	talk_server_go(pair->server);
}

static void on_body(void *arg, struct chunk *chunk, size_t at, size_t len)
{
	struct pair *pair = arg;
	struct net_loop *loop = pair->stage.world.loop;
	size_t used = chunk_pool_used(net_chunks(loop));

	buf_add(&pair->body, chunk->at + at, len);
	if (used > pair->used_most)
		pair->used_most = used;
	if (pair->moody && rng_below(&pair->rng, 300) == 0) {
		talk_server_pause(pair->server, true);
		net_timer_set(loop, &pair->resume,
			net_now(loop) + (int64_t)rng_below(&pair->rng, 2 * MSEC));
	}
}

static void on_flaw(void *arg, enum smtp_flaw flaw)
{
	(void)arg;
	assert_int_equal(flaw, FLAW_NONE);
}

static void on_body_end(void *arg, unsigned slot, bool last, enum smtp_flaw flaw)
{
	struct pair *pair = arg;

	assert_int_equal(flaw, FLAW_NONE);
	if (last) {
		assert_int_equal(pair->body.len, pair->message.len);
		if (pair->body.len > 0)
			assert_memory_equal(pair->body.at, pair->message.at, pair->body.len);
		buf_reset(&pair->body);
		pair->ends++;
	}
	smtp_server_own(talk_server_smtp(pair->server), slot, SMTP_OWN_OK, NULL);
	talk_server_go(pair->server);
}

static void on_hangup(void *arg, enum talk_close why)
{
	(void)arg;
	(void)why;
	fail();
}

static void on_closed(void *arg, enum talk_close why)
{
	struct pair *pair = arg;

	assert_int_equal(why, CLOSE_QUIT);
	pair->closed = true;
	talk_server_free(&pair->server);
}

static const struct talk_server_ops server_ops = {
	.command = on_command,
	.body = on_body,
	.flaw = on_flaw,
	.body_end = on_body_end,
	.hangup = on_hangup,
	.closed = on_closed,
};

static void accepted(
	void *arg, struct sys_sock *sock, const struct addr *peer, const struct addr *local)
{
	static const struct smtp_server_rules rules;
	struct pair *pair = arg;

	(void)peer;
	(void)local;
	pair->server = talk_server_new(pair->stage.world.loop, sock, "mx.example", &rules,
		&server_times, &server_ops, pair);
}

/* ---- the sender ---- */

enum { TAG_MAIL, TAG_RCPT, TAG_BODY };

static void feed(struct pair *pair)
{
	struct smtp_client *smtp = talk_client_smtp(pair->client);

	while (pair->fed < pair->message.len &&
		talk_client_unsent(pair->client) + smtp_client_held(smtp) < NET_HIGH) {
		struct chunk *chunk = chunk_new(net_chunks(pair->stage.world.loop), CHUNK_SMALL);
		size_t len = 1 + rng_below(&pair->rng, CHUNK_SMALL);

		if (len > pair->message.len - pair->fed)
			len = pair->message.len - pair->fed;
		memcpy(chunk->at, pair->message.at + pair->fed, len);
		chunk->len = (uint32_t)len;
		smtp_client_body(smtp, chunk, 0, len);
		chunk_unref(&chunk);
		pair->fed += len;
	}
	if (pair->fed == pair->message.len && !pair->ended) {
		pair->ended = true;
		smtp_client_body_end(smtp);
	}
	talk_client_go(pair->client);
}

static void on_greeted(void *arg)
{
	((struct pair *)arg)->greeted = true;
}

static void on_reply(void *arg, const struct smtp_client_event *event)
{
	struct pair *pair = arg;

	assert_int_equal(smtp_reply_class(&event->reply), event->phase == PHASE_DATA ? 3 : 2);
	if (event->phase == PHASE_RCPT)
		smtp_client_body_begin(talk_client_smtp(pair->client), pair->chunking, TAG_BODY);
	if (event->phase == PHASE_RCPT || event->phase == PHASE_DATA || event->phase == PHASE_BODY)
		feed(pair);
	if (event->phase == PHASE_END)
		pair->accepted++;
}

static void on_ended(void *arg, const struct talk_end *end)
{
	struct pair *pair = arg;

	assert_int_equal(end->why, CLOSE_QUIT);
	pair->over = true;
}

static void on_drained(void *arg)
{
	struct pair *pair = arg;

	if (pair->fed > 0 && !pair->ended)
		feed(pair); /* what was held back is taken up again */
}

static const struct talk_client_ops client_ops = {
	.greeted = on_greeted,
	.reply = on_reply,
	.ended = on_ended,
	.drained = on_drained,
};

/* Lines with many dots, and an end that is a line's end (DATA can't carry another). */
static void make_message(struct pair *pair, size_t len)
{
	static const char letters[] = "..........abc\r\r\r";

	buf_reset(&pair->message);
	while (pair->message.len < len) {
		char letter = letters[rng_below(&pair->rng, sizeof(letters) - 1)];

		if (letter == '\r')
			buf_add_text(&pair->message, "\r\n");
		else
			buf_add(&pair->message, &letter, 1);
	}
	if (len > 0)
		buf_add_text(&pair->message, "\r\n");
}

static void send_message(struct pair *pair, bool chunking, size_t len)
{
	struct smtp_client *smtp = talk_client_smtp(pair->client);
	unsigned before = pair->accepted;

	make_message(pair, len);
	pair->fed = 0;
	pair->ended = false;
	pair->chunking = chunking;
	talk_client_mark(pair->client);
	smtp_client_send(smtp, PHASE_MAIL, SPAN("MAIL FROM:<>"), TAG_MAIL);
	smtp_client_send(smtp, PHASE_RCPT, SPAN("RCPT TO:<a@b.example>"), TAG_RCPT);
	talk_client_go(pair->client);
	TURN_UNTIL(&pair->stage.world, pair->accepted == before + 1);
	assert_int_equal(pair->ends, pair->accepted);
	assert_true(talk_client_clean(pair->client));
}

static void pair_open(struct pair *pair, uint64_t seed)
{
	struct talk_client_setup setup = {
		.addr = &pair->stage.world.at,
		.addr_count = 1,
		.hostname = "us.example",
		.times = &talk_client_default_times,
	};

	*pair = (struct pair){0};
	stage_open(&pair->stage);
	rng_seed(&pair->rng, seed);
	net_timer_init(&pair->resume, on_resume, pair);
	pair->listener = net_listen(pair->stage.world.loop, 0, accepted, pair);
	pair->client = talk_client_new(pair->stage.world.loop, &setup, &client_ops, pair);
	TURN_UNTIL(&pair->stage.world, pair->greeted);
	assert_int_equal(talk_client_offer(pair->client)->caps, offer.caps | SMTP_CAP_SEEN);
}

static void pair_close(struct pair *pair)
{
	talk_client_quit(pair->client);
	TURN_UNTIL(&pair->stage.world, pair->over && pair->closed);
	TURN_UNTIL(&pair->stage.world, chunk_pool_used(net_chunks(pair->stage.world.loop)) == 0);
	talk_client_free(&pair->client);
	net_timer_clear(pair->stage.world.loop, &pair->resume);
	net_listener_close(&pair->listener);
	buf_clear(&pair->message);
	buf_clear(&pair->body);
	stage_close(&pair->stage);
}

static void test_small_messages(void **state)
{
	struct pair pair;

	(void)state;
	pair_open(&pair, 1);
	for (size_t len = 0; len < 200; len++)
		send_message(&pair, len % 2 == 1, len);
	for (int i = 0; i < 100; i++)
		send_message(&pair, i % 2 == 1, rng_below(&pair.rng, 20 * 1000));
	pair_close(&pair);
}

static void test_large_messages(void **state)
{
	struct pair pair;

	(void)state;
	pair_open(&pair, 2);
	for (int i = 0; i < 4; i++)
		send_message(&pair, i % 2 == 1, 3 * 1000 * 1000);
	pair_close(&pair);
}

/* Both sides are held back again and again, and neither takes memory for it. */
static void test_moody_receiver(void **state)
{
	struct pair pair;

	(void)state;
	pair_open(&pair, 3);
	pair.moody = true;
	for (int i = 0; i < 30; i++)
		send_message(&pair, i % 2 == 1, rng_below(&pair.rng, 500 * 1000));
	assert_true(pair.used_most < 4 * NET_HIGH);
	pair_close(&pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_small_messages),
		cmocka_unit_test(test_large_messages),
		cmocka_unit_test(test_moody_receiver),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
