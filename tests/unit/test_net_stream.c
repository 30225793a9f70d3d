/*
 * Streams over loopback: connecting, reading with and without pauses, writing against a slow
 * reader, resets, and closing wherever one may.
 */
#include "test_net_help.h"

#include <errno.h>
#include <sys/socket.h>

struct pair {
	struct world world;
	struct end a, b; /* a has connected, b was accepted */
};

static int pair_open(void **state)
{
	struct pair *pair = mem_new(sizeof(*pair));
	world_open(&pair->world);
	ends_join(&pair->world, &pair->a, &pair->b);
	pair->a.drains = pair->b.drains = 0;
	*state = pair;
	return 0;
}

static int pair_close(void **state)
{
	struct pair *pair = *state;
	end_clear(&pair->a);
	end_clear(&pair->b);
	world_close(&pair->world);
	free(pair);
	return 0;
}

static bool got_is(const struct end *end, const char *text)
{
	return span_is(buf_span(&end->got), text);
}

/* ---- connecting ---- */

static void test_words_both_ways(void **state)
{
	struct pair *pair = *state;
	end_say(&pair->a, "hello");
	end_say(&pair->b, "welcome");
	TURN_UNTIL(&pair->world, got_is(&pair->b, "hello") && got_is(&pair->a, "welcome"));
	assert_int_equal(pair->a.sent, 5);
	assert_int_equal(pair->a.connected, 1);
	assert_int_equal(pair->b.connected, 0);
	assert_int_equal(pair->a.hangups + pair->a.brokens, 0);
}

static void test_refused_is_told_by_connected(void **state)
{
	(void)state;
	struct world world;
	struct end end = {.world = &world};
	struct addr nobody = {.family = ADDR_IP4, .ip4 = {127, 0, 0, 1}};
	world_open(&world);
	close(sys_real_listen(&nobody, false, &nobody.port, NULL));
	end.stream = net_connect(world.loop, &(struct sys_endpoint){.to = nobody}, &end_ops, &end);
	assert_int_equal(end.connected, 0);
	end_say(&end, "lost");
	TURN_UNTIL(&world, end.connected);
	assert_int_equal(end.connect_err, ECONNREFUSED);
	world_turn_for(&world, 5 * MSEC);
	assert_int_equal(end.connected, 1);
	assert_int_equal(end.readables + end.hangups + end.brokens + end.drains, 0);
	assert_int_equal(net_unsent(end.stream), 0);
	assert_int_equal(sys_sockets(world.sys), 0); /* no descriptor is held for it */
	end_say(&end, "dropped");
	end_read(&end);
	assert_int_equal(end.last, IO_FAILED);
	assert_int_equal(end.last_err, ECONNREFUSED);
	end_clear(&end);
	world_close(&world);
}

static void test_failure_at_once_is_told_later(void **state)
{
	(void)state;
	struct world world;
	struct end end = {.world = &world};
	world_open(&world);
	struct sys_endpoint endpoint = {
		.to = world.at, .from = {.family = ADDR_IP4, .ip4 = {192, 0, 2, 77}}};
	end.stream = net_connect(world.loop, &endpoint, &end_ops, &end);
	assert_int_equal(end.connected, 0);
	assert_true(net_turn(world.loop));
	assert_int_equal(end.connected, 1);
	assert_int_equal(end.connect_err, EADDRNOTAVAIL);
	end_clear(&end);
	world_close(&world);
}

static void test_pushed_before_connected_arrives(void **state)
{
	(void)state;
	struct world world;
	struct end a = {.world = &world}, b = {.world = &world};
	world_open(&world);
	struct net_listener *listener = net_listen(world.loop, 0, end_accepted, &b);
	a.stream = net_connect(world.loop, &(struct sys_endpoint){.to = world.at}, &end_ops, &a);
	end_say(&a, "early");
	net_flush(a.stream);
	assert_int_equal(net_unsent(a.stream), 5);
	TURN_UNTIL(&world, got_is(&b, "early"));
	net_listener_close(&listener);
	end_clear(&a);
	end_clear(&b);
	world_close(&world);
}

static void close_own(struct end *end)
{
	net_close(&end->stream, NET_CLOSE_NOW);
}

static void test_close_in_connected(void **state)
{
	(void)state;
	struct world world;
	struct end a = {.world = &world, .on_connected = close_own}, b = {.world = &world};
	world_open(&world);
	struct net_listener *listener = net_listen(world.loop, 0, end_accepted, &b);
	a.stream = net_connect(world.loop, &(struct sys_endpoint){.to = world.at}, &end_ops, &a);
	TURN_UNTIL(&world, b.last == IO_EOF);
	assert_int_equal(a.connected, 1);
	assert_null(a.stream);
	net_listener_close(&listener);
	end_clear(&b);
	world_close(&world);
}

/* ---- reading ---- */

static void test_unpaused_is_readable_without_new_bytes(void **state)
{
	struct pair *pair = *state;
	net_pause(pair->b.stream, true);
	end_say(&pair->a, "one");
	TURN_UNTIL(&pair->world, pair->a.sent == 3);
	world_turn_for(&pair->world, 10 * MSEC); /* the kernel has told it, and won't again */
	assert_int_equal(pair->b.readables, 0);
	net_pause(pair->b.stream, false);
	assert_int_equal(pair->b.readables, 0); /* not inside the call */
	assert_true(net_turn(pair->world.loop));
	assert_true(got_is(&pair->b, "one"));
}

static void test_pause_in_readable_keeps_what_is_unread(void **state)
{
	struct pair *pair = *state;
	pair->b.deaf = true;
	end_say(&pair->a, "one");
	TURN_UNTIL(&pair->world, pair->b.readables == 1);
	end_say(&pair->a, "two");
	world_turn_for(&pair->world, 10 * MSEC);
	assert_int_equal(pair->b.readables, 1);
	pair->b.deaf = false;
	net_pause(pair->b.stream, false);
	TURN_UNTIL(&pair->world, got_is(&pair->b, "onetwo"));
}

static void test_pause_after_a_part_was_read(void **state)
{
	struct pair *pair = *state;
	char text[20000];
	memset(text, 'x', sizeof(text));
	push_bytes(&pair->a, text, sizeof(text));
	pair->b.read_at_most = 1;
	TURN_UNTIL(&pair->world, pair->b.readables == 1);
	net_pause(pair->b.stream, true);
	world_turn_for(&pair->world, 10 * MSEC);
	assert_true(pair->b.got.len > 0 && pair->b.got.len < sizeof(text));
	pair->b.read_at_most = 0;
	net_pause(pair->b.stream, false);
	TURN_UNTIL(&pair->world, pair->b.got.len == sizeof(text));
}

static void test_reading_while_paused_is_allowed(void **state)
{
	struct pair *pair = *state;
	net_pause(pair->b.stream, true);
	end_say(&pair->a, "one");
	TURN_UNTIL(&pair->world, (end_read(&pair->b), got_is(&pair->b, "one")));
	assert_int_equal(pair->b.readables, 0);
}

static void test_slow_owner_is_visited_once_a_turn(void **state)
{
	struct pair *pair = *state;
	char text[100000];
	memset(text, 'x', sizeof(text));
	push_bytes(&pair->a, text, sizeof(text));
	pair->b.read_at_most = 1; /* one chunk a visit */
	while (pair->b.got.len < sizeof(text)) {
		int before = pair->b.readables;
		assert_true(net_turn(pair->world.loop));
		assert_true(pair->b.readables <= before + 1);
	}
	assert_true(pair->b.readables >= (int)(sizeof(text) / CHUNK_SMALL));
}

static void test_end_comes_after_the_last_bytes(void **state)
{
	struct pair *pair = *state;
	end_say(&pair->a, "bye");
	net_close(&pair->a.stream, NET_CLOSE_FLUSHED);
	assert_null(pair->a.stream);
	TURN_UNTIL(&pair->world, pair->b.last == IO_EOF);
	assert_true(got_is(&pair->b, "bye"));
	assert_int_equal(pair->b.hangups, 1);
	int readables = pair->b.readables;
	world_turn_for(&pair->world, 5 * MSEC);
	assert_int_equal(pair->b.readables, readables); /* nothing more to be told */
	end_read(&pair->b);
	assert_int_equal(pair->b.last, IO_EOF);
}

static void test_hangup_while_paused(void **state)
{
	struct pair *pair = *state;
	net_pause(pair->b.stream, true);
	end_say(&pair->a, "bye");
	net_close(&pair->a.stream, NET_CLOSE_FLUSHED);
	TURN_UNTIL(&pair->world, pair->b.hangups);
	world_turn_for(&pair->world, 5 * MSEC);
	assert_int_equal(pair->b.hangups, 1);
	assert_int_equal(pair->b.readables, 0);
	net_pause(pair->b.stream, false);
	TURN_UNTIL(&pair->world, pair->b.last == IO_EOF);
	assert_true(got_is(&pair->b, "bye"));
	assert_int_equal(pair->b.hangups, 1);
}

static void test_reset_is_read_as_failure(void **state)
{
	struct pair *pair = *state;
	net_close(&pair->a.stream, NET_CLOSE_RESET);
	TURN_UNTIL(&pair->world, pair->b.last == IO_FAILED);
	assert_int_equal(pair->b.last_err, ECONNRESET);
	assert_int_equal(pair->b.hangups, 1);
	end_read(&pair->b);
	assert_int_equal(pair->b.last, IO_FAILED);
	assert_int_equal(pair->b.last_err, ECONNRESET);
}

static void test_reset_while_paused(void **state)
{
	struct pair *pair = *state;
	net_pause(pair->b.stream, true);
	net_close(&pair->a.stream, NET_CLOSE_RESET);
	TURN_UNTIL(&pair->world, pair->b.hangups);
	assert_int_equal(pair->b.readables, 0);
	net_pause(pair->b.stream, false);
	TURN_UNTIL(&pair->world, pair->b.last == IO_FAILED);
	assert_int_equal(pair->b.hangups, 1);
}

/* ---- writing ---- */

enum { BULK = 12 * 1024 * 1024 };

static uint8_t pattern(size_t at)
{
	return (uint8_t)(at ^ (at >> 8) ^ (at >> 16) * 31);
}

struct bulk {
	struct pair *pair;
	size_t pushed, taken;
	bool wrong;
	struct net_timer resume;
};

static void bulk_produce(struct bulk *bulk)
{
	struct net_stream *stream = bulk->pair->a.stream;
	while (bulk->pushed < BULK && net_unsent(stream) < NET_HIGH) {
		struct chain chain;
		struct chunk *chunk = chunk_new(net_chunks(bulk->pair->world.loop), CHUNK_LARGE);
		size_t len = 1 + bulk->pushed * 7 % CHUNK_LARGE;
		if (len > BULK - bulk->pushed)
			len = BULK - bulk->pushed;
		for (size_t i = 0; i < len; i++)
			chunk->at[i] = (char)pattern(bulk->pushed + i);
		chunk->len = (uint32_t)len;
		chain_init(&chain, chunk->pool);
		chain_add(&chain, chunk, 0, len);
		chunk_unref(&chunk);
		net_push(stream, &chain);
		assert_int_equal(chain.len, 0);
		bulk->pushed += len;
	}
}

static struct bulk *bulk_now; /* of the running test */

static void bulk_drained(struct end *end)
{
	(void)end;
	assert_true(net_unsent(bulk_now->pair->a.stream) < NET_LOW);
	bulk_produce(bulk_now);
}

static void bulk_check(struct bulk *bulk)
{
	struct buf *got = &bulk->pair->b.got;
	for (size_t i = 0; i < got->len; i++)
		bulk->wrong |= (uint8_t)got->at[i] != pattern(bulk->taken + i);
	bulk->taken += got->len;
	buf_reset(got);
}

static void bulk_resume(void *arg)
{
	struct bulk *bulk = arg;
	net_pause(bulk->pair->b.stream, false);
}

/* Reads a little, then pauses for a while; sometimes it has read everything there was. */
static void bulk_readable(struct end *end)
{
	end->read_at_most = 1 + bulk_now->taken % 200000;
	end_read(end);
	bulk_check(bulk_now);
	if (end->readables % 3 == 0) {
		net_pause(end->stream, true);
		net_timer_set(end->world->loop, &bulk_now->resume,
			net_now(end->world->loop) + 300 * USEC);
	}
}

static void test_many_megabytes_to_a_slow_reader(void **state)
{
	struct pair *pair = *state;
	struct bulk bulk = {.pair = pair};
	bulk_now = &bulk;
	net_timer_init(&bulk.resume, bulk_resume, &bulk);
	pair->a.on_drained = bulk_drained;
	pair->b.on_readable = bulk_readable;
	bulk_produce(&bulk);
	TURN_UNTIL(&pair->world, bulk.taken == BULK);
	net_timer_clear(pair->world.loop, &bulk.resume);
	assert_false(bulk.wrong);
	assert_int_equal(pair->a.sent, BULK);
	assert_int_equal(net_unsent(pair->a.stream), 0);
	assert_int_equal(pair->a.brokens, 0);
}

/* So that the kernel takes less at a time than NET_LOW. */
static void small_buffers(void)
{
	int small = 8192;
	for (int fd = 3; fd < 64; fd++) {
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	}
}

static void test_drained_waits_for_the_low_mark(void **state)
{
	struct pair *pair = *state;
	static char text[1024 * 1024];
	small_buffers();
	net_pause(pair->b.stream, true);
	/* Until the kernel takes no more and a megabyte or two is left here. */
	do {
		push_bytes(&pair->a, text, sizeof(text));
		world_turn_for(&pair->world, 2 * MSEC);
	} while (net_unsent(pair->a.stream) < sizeof(text));
	pair->a.drains = 0;
	size_t sent = pair->a.sent, total = sent + net_unsent(pair->a.stream);
	pair->b.read_at_most = 1;
	net_pause(pair->b.stream, false);
	size_t drained_at = 0;
	while (pair->a.drains == 0) {
		assert_true(net_turn(pair->world.loop));
		drained_at = net_unsent(pair->a.stream);
		assert_true((pair->a.drains > 0) == (drained_at < NET_LOW));
	}
	assert_true(pair->a.sent > sent && drained_at > 0);
	pair->b.read_at_most = 0;
	TURN_UNTIL(&pair->world, pair->b.got.len == total);
	assert_int_equal(pair->a.sent, total);
}

static void test_pushes_of_a_turn_leave_together(void **state)
{
	struct pair *pair = *state;
	for (int i = 0; i < 10; i++)
		end_say(&pair->a, "0123456789");
	assert_int_equal(pair->a.sent, 0);
	assert_int_equal(net_unsent(pair->a.stream), 100);
	assert_true(net_turn(pair->world.loop));
	assert_int_equal(pair->a.sent, 100);
	assert_int_equal(pair->a.drains, 1);
	TURN_UNTIL(&pair->world, pair->b.readables > 0); /* all of it is there, in one */
	assert_int_equal(pair->b.got.len, 100);
	assert_int_equal(pair->b.readables, 1);
}

/* A second holder of all that `from` holds. */
static void share(struct chain *to, const struct chain *from)
{
	struct chain_piece *piece;

	CHAIN_FOREACH (piece, from)
		chain_add(to, piece->chunk, piece->at, piece->len);
}

static void test_more_pieces_than_one_call_takes(void **state)
{
	struct pair *pair = *state;
	struct chain chain, replay;
	struct buf want = {0};
	struct chunk_pool *pool = net_chunks(pair->world.loop);
	chain_init(&chain, pool);
	chain_init(&replay, pool);
	struct chunk *chunk = chunk_new(pool, CHUNK_SMALL);
	for (unsigned i = 0; i < 1000; i++)
		chunk->at[chunk->len++] = (char)('a' + i % 26);
	for (unsigned i = 0; i < 500; i++) { /* every second byte: nothing can be merged */
		chain_add(&chain, chunk, i * 2, 1);
		buf_add(&want, chunk->at + (size_t)i * 2, 1);
	}
	share(&replay, &chain);
	net_push(pair->a.stream, &chain);
	TURN_UNTIL(&pair->world, pair->b.got.len == 500);
	assert_true(span_eq(buf_span(&pair->b.got), buf_span(&want)));
	assert_int_equal(replay.len, 500);
	assert_int_equal(chunk->refs, 501); /* the stream has let go */
	chain_clear(&replay);
	chunk_unref(&chunk);
	buf_clear(&want);
}

static void push_more_once(struct end *end, size_t taken)
{
	(void)taken;
	if (end->sent == 5)
		end_say(end, "second");
}

static void test_push_in_sent_goes_out(void **state)
{
	struct pair *pair = *state;
	pair->a.on_sent = push_more_once;
	end_say(&pair->a, "first");
	TURN_UNTIL(&pair->world, got_is(&pair->b, "firstsecond"));
	assert_int_equal(pair->a.sent, 11);
	assert_int_equal(pair->a.drains, 1); /* not between the two */
}

static void push_always(struct end *end)
{
	end_say(end, "x");
}

static void test_endless_producer_has_one_go_a_turn(void **state)
{
	struct pair *pair = *state;
	pair->a.on_drained = push_always;
	end_say(&pair->a, "x");
	for (int i = 1; i <= 10; i++) {
		assert_true(net_turn(pair->world.loop));
		assert_int_equal(pair->a.drains, i);
	}
}

static void test_flush_sends_now_and_tells_later(void **state)
{
	struct pair *pair = *state;
	end_say(&pair->a, "now");
	net_flush(pair->a.stream);
	assert_int_equal(net_unsent(pair->a.stream), 0);
	assert_int_equal(pair->a.sent, 0);
	end_say(&pair->a, " and then");
	assert_true(net_turn(pair->world.loop));
	assert_int_equal(pair->a.sent, 12);
	TURN_UNTIL(&pair->world, got_is(&pair->b, "now and then"));
	assert_int_equal(pair->a.sent, 12);
}

static void test_broken_says_what_never_went(void **state)
{
	struct pair *pair = *state;
	static char text[8 * 1024 * 1024];
	net_pause(pair->a.stream, true);
	net_pause(pair->b.stream, true);
	push_bytes(&pair->a, text, sizeof(text));
	world_turn_for(&pair->world, 10 * MSEC);
	size_t sent = pair->a.sent, unsent = net_unsent(pair->a.stream);
	assert_true(unsent > 0);
	assert_int_equal(sent + unsent, sizeof(text));
	net_close(&pair->b.stream, NET_CLOSE_RESET);
	TURN_UNTIL(&pair->world, pair->a.brokens);
	assert_true(pair->a.broken_err == ECONNRESET || pair->a.broken_err == EPIPE);
	assert_int_equal(pair->a.sent, sent);
	assert_int_equal(net_unsent(pair->a.stream), 0);
	end_say(&pair->a, "dropped");
	assert_int_equal(net_unsent(pair->a.stream), 0);
	net_flush(pair->a.stream);
	world_turn_for(&pair->world, 5 * MSEC);
	assert_int_equal(pair->a.brokens, 1);
	end_read(&pair->a); /* though the write has eaten the kernel's error */
	assert_int_equal(pair->a.last, IO_FAILED);
	assert_int_not_equal(pair->a.last_err, 0);
}

static void test_last_words_of_a_broken_peer_are_read(void **state)
{
	struct pair *pair = *state;
	net_pause(pair->a.stream, true);
	end_say(&pair->b, "421 too many");
	TURN_UNTIL(&pair->world, pair->b.sent == 12);
	net_close(&pair->b.stream, NET_CLOSE_NOW);
	for (int i = 0; i < 200 && !pair->a.brokens; i++) {
		end_say(&pair->a, "MAIL");
		assert_true(net_turn(pair->world.loop));
	}
	assert_int_equal(pair->a.brokens, 1);
	net_pause(pair->a.stream, false);
	TURN_UNTIL(&pair->world, pair->a.last == IO_FAILED);
	assert_true(got_is(&pair->a, "421 too many"));
}

/* ---- closing ---- */

static void sent_closes(struct end *end, size_t taken)
{
	(void)taken;
	net_close(&end->stream, NET_CLOSE_NOW);
}

static void test_close_in_own_callbacks(void **state)
{
	static void (*const readable)(struct end *) = close_own;
	(void)state;
	for (int which = 0; which < 4; which++) {
		void *inner = NULL;
		assert_int_equal(pair_open(&inner), 0);
		struct pair *pair = inner;
		struct end *a = &pair->a, *b = &pair->b;
		b->on_readable = which == 0 ? readable : NULL;
		b->on_hangup = which == 1 ? close_own : NULL;
		a->on_sent = which == 2 ? sent_closes : NULL;
		a->on_drained = which == 3 ? close_own : NULL;
		if (which == 1)
			net_close(&a->stream, NET_CLOSE_NOW);
		else
			end_say(a, "hello");
		TURN_UNTIL(&pair->world, !(which < 2 ? b : a)->stream);
		world_turn_for(&pair->world, 5 * MSEC);
		assert_int_equal(a->brokens + b->brokens, 0);
		if (which == 0)
			assert_int_equal(b->readables, 1);
		if (which == 2)
			assert_int_equal(a->drains, 0);
		pair_close(&inner);
	}
}

static void close_the_other(struct end *end)
{
	struct pair *pair = (struct pair *)end->world; /* its first member */
	struct end *other = end == &pair->a ? &pair->b : &pair->a;
	net_close(&other->stream, NET_CLOSE_NOW);
}

static void test_closed_in_the_same_batch_hears_nothing(void **state)
{
	struct pair *pair = *state;
	end_say(&pair->a, "x");
	end_say(&pair->b, "y");
	assert_true(net_turn(pair->world.loop));
	assert_int_equal(pair->a.sent + pair->b.sent, 2);
	pair->a.on_readable = pair->b.on_readable = close_the_other;
	TURN_UNTIL(&pair->world, pair->a.readables + pair->b.readables > 0);
	/* Both were ready; the first to be called has closed the second. */
	assert_int_equal(pair->a.readables + pair->b.readables, 1);
	pair->a.on_readable = pair->b.on_readable = NULL;
	world_turn_for(&pair->world, 5 * MSEC);
	struct end *closed = pair->a.stream ? &pair->b : &pair->a;
	assert_null(closed->stream);
	assert_int_equal(closed->readables, 0);
}

static void test_close_drops_what_was_pushed(void **state)
{
	struct pair *pair = *state;
	end_say(&pair->a, "never");
	net_close(&pair->a.stream, NET_CLOSE_NOW);
	TURN_UNTIL(&pair->world, pair->b.last == IO_EOF);
	assert_int_equal(pair->b.got.len, 0);
	assert_int_equal(pair->a.sent, 0);
	assert_int_equal(chunk_pool_used(net_chunks(pair->world.loop)), 0);
}

/* ---- handing over ---- */

static void test_new_owner_hears_of_unread_bytes_and_hangup(void **state)
{
	struct pair *pair = *state;
	struct end heir = {.world = &pair->world};
	pair->b.deaf = true;
	end_say(&pair->a, "for the heir");
	net_close(&pair->a.stream, NET_CLOSE_FLUSHED);
	TURN_UNTIL(&pair->world, pair->b.hangups);
	net_stream_hand_over(pair->b.stream, &end_ops, &heir);
	heir.stream = pair->b.stream;
	pair->b.stream = NULL;
	net_pause(heir.stream, false);
	TURN_UNTIL(&pair->world, heir.last == IO_EOF);
	assert_true(got_is(&heir, "for the heir"));
	assert_int_equal(heir.hangups, 1);
	assert_int_equal(pair->b.hangups, 1);
	end_clear(&heir);
}

static void test_new_owner_hears_of_an_end_that_was_read(void **state)
{
	struct pair *pair = *state;
	struct end heir = {.world = &pair->world};
	net_close(&pair->a.stream, NET_CLOSE_NOW);
	TURN_UNTIL(&pair->world, pair->b.last == IO_EOF);
	net_stream_hand_over(pair->b.stream, &end_ops, &heir);
	heir.stream = pair->b.stream;
	pair->b.stream = NULL;
	TURN_UNTIL(&pair->world, heir.last == IO_EOF && heir.hangups == 1);
	assert_int_equal(heir.readables, 1);
	end_clear(&heir);
}

static void test_bytes_flushed_for_the_old_owner_are_not_told_to_the_new(void **state)
{
	struct pair *pair = *state;
	struct end heir = {.world = &pair->world};
	end_say(&pair->a, "old");
	net_flush(pair->a.stream);
	net_stream_hand_over(pair->a.stream, &end_ops, &heir);
	heir.stream = pair->a.stream;
	pair->a.stream = NULL;
	end_say(&heir, "new!");
	TURN_UNTIL(&pair->world, got_is(&pair->b, "oldnew!"));
	assert_int_equal(heir.sent, 4);
	end_clear(&heir);
}

#define WITH_PAIR(test) cmocka_unit_test_setup_teardown(test, pair_open, pair_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_PAIR(test_words_both_ways),
		cmocka_unit_test(test_refused_is_told_by_connected),
		cmocka_unit_test(test_failure_at_once_is_told_later),
		cmocka_unit_test(test_pushed_before_connected_arrives),
		cmocka_unit_test(test_close_in_connected),
		WITH_PAIR(test_unpaused_is_readable_without_new_bytes),
		WITH_PAIR(test_pause_in_readable_keeps_what_is_unread),
		WITH_PAIR(test_pause_after_a_part_was_read),
		WITH_PAIR(test_reading_while_paused_is_allowed),
		WITH_PAIR(test_slow_owner_is_visited_once_a_turn),
		WITH_PAIR(test_end_comes_after_the_last_bytes),
		WITH_PAIR(test_hangup_while_paused),
		WITH_PAIR(test_reset_is_read_as_failure),
		WITH_PAIR(test_reset_while_paused),
		WITH_PAIR(test_many_megabytes_to_a_slow_reader),
		WITH_PAIR(test_drained_waits_for_the_low_mark),
		WITH_PAIR(test_pushes_of_a_turn_leave_together),
		WITH_PAIR(test_more_pieces_than_one_call_takes),
		WITH_PAIR(test_push_in_sent_goes_out),
		WITH_PAIR(test_endless_producer_has_one_go_a_turn),
		WITH_PAIR(test_flush_sends_now_and_tells_later),
		WITH_PAIR(test_broken_says_what_never_went),
		WITH_PAIR(test_last_words_of_a_broken_peer_are_read),
		cmocka_unit_test(test_close_in_own_callbacks),
		WITH_PAIR(test_closed_in_the_same_batch_hears_nothing),
		WITH_PAIR(test_close_drops_what_was_pushed),
		WITH_PAIR(test_new_owner_hears_of_unread_bytes_and_hangup),
		WITH_PAIR(test_new_owner_hears_of_an_end_that_was_read),
		WITH_PAIR(test_bytes_flushed_for_the_old_owner_are_not_told_to_the_new),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
