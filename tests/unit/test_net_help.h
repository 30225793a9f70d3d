/*
 * For the tests of net: a loop over the real world, with one listening socket on loopback, and
 * turns until something holds.
 */
#ifndef TEST_NET_HELP_H
#define TEST_NET_HELP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/net.h"
#include "sys/real.h"

struct world {
	struct sys *sys;
	struct net_loop *loop;
	int fd;
	struct addr at;
	bool late;
	struct net_timer guard;
};

static inline void world_late(void *arg)
{
	struct world *world = arg;
	world->late = true;
}

static inline void world_open(struct world *world)
{
	*world = (struct world){.at = {.family = ADDR_IP4, .ip4 = {127, 0, 0, 1}}};
	world->fd = sys_real_listen(&world->at, false, &world->at.port, NULL);
	assert_true(world->fd >= 0);
	world->sys = sys_real_new(
		&(struct sys_real_setup){.listeners = &world->fd, .listener_count = 1, .row = -1});
	world->loop = net_loop_new(world->sys);
	net_timer_init(&world->guard, world_late, world);
}

static inline void world_close(struct world *world)
{
	net_timer_clear(world->loop, &world->guard);
	net_loop_free(&world->loop);
	assert_int_equal(sys_sockets(world->sys), 0);
	sys_real_free(&world->sys);
	close(world->fd);
}

/* Fails if it takes more than 20 s. */
#define TURN_UNTIL(world, condition)                                                               \
	do {                                                                                       \
		(world)->late = false;                                                             \
		net_timer_set(                                                                     \
			(world)->loop, &(world)->guard, net_now((world)->loop) + 20 * SECOND);     \
		while (!(condition) && !(world)->late)                                             \
			assert_true(net_turn((world)->loop));                                      \
		net_timer_clear((world)->loop, &(world)->guard);                                   \
		assert_true(condition);                                                            \
	} while (0)

/* Turns for that long, whatever happens. */
static inline void world_turn_for(struct world *world, int64_t duration)
{
	world->late = false;
	net_timer_set(world->loop, &world->guard, net_now(world->loop) + duration);
	while (!world->late)
		assert_true(net_turn(world->loop));
}

/* One end of a conversation, which notes what it hears. */
struct end {
	struct world *world;
	struct net_stream *stream;
	int connected, connect_err;
	int readables, hangups, drains, brokens, broken_err;
	size_t sent;
	struct buf got;
	enum io last; /* what net_read() said last */
	int last_err;
	size_t read_at_most; /* bytes a readable(); 0: until IO_AGAIN */
	bool deaf;           /* pauses instead of reading */
	void (*on_readable)(struct end *end);
	void (*on_drained)(struct end *end);
	void (*on_sent)(struct end *end, size_t taken);
	void (*on_hangup)(struct end *end);
	void (*on_connected)(struct end *end);
};

static inline void end_connected(void *arg, int err)
{
	struct end *end = arg;
	end->connected++;
	end->connect_err = err;
	if (end->on_connected)
		end->on_connected(end);
}

static inline void end_read(struct end *end)
{
	size_t left = end->read_at_most ? end->read_at_most : SIZE_MAX;
	do {
		struct chunk *chunk = chunk_new(net_chunks(end->world->loop), CHUNK_SMALL);
		end->last_err = 0;
		end->last = net_read(end->stream, chunk, &end->last_err);
		buf_add(&end->got, chunk->at, chunk->len);
		left -= chunk->len < left ? chunk->len : left;
		chunk_unref(&chunk);
	} while (end->last == IO_OK && left > 0);
}

static inline void end_readable(void *arg)
{
	struct end *end = arg;
	end->readables++;
	if (end->on_readable)
		end->on_readable(end);
	else if (end->deaf)
		net_pause(end->stream, true);
	else
		end_read(end);
}

static inline void end_sent(void *arg, size_t taken)
{
	struct end *end = arg;
	end->sent += taken;
	if (end->on_sent)
		end->on_sent(end, taken);
}

static inline void end_drained(void *arg)
{
	struct end *end = arg;
	end->drains++;
	if (end->on_drained)
		end->on_drained(end);
}

static inline void end_broken(void *arg, int err)
{
	struct end *end = arg;
	end->brokens++;
	end->broken_err = err;
}

static inline void end_hangup(void *arg)
{
	struct end *end = arg;
	end->hangups++;
	if (end->on_hangup)
		end->on_hangup(end);
}

static const struct net_stream_ops end_ops = {
	.connected = end_connected,
	.readable = end_readable,
	.sent = end_sent,
	.drained = end_drained,
	.broken = end_broken,
	.hangup = end_hangup,
};

static inline void end_accepted(
	void *arg, struct sys_sock *sock, const struct addr *peer, const struct addr *local)
{
	struct end *end = arg;
	(void)peer;
	(void)local;
	assert_null(end->stream);
	end->stream = net_adopt(end->world->loop, sock, &end_ops, end);
}

/* Connects `ours` to `theirs` through the world's listening socket. */
static inline void ends_join(struct world *world, struct end *ours, struct end *theirs)
{
	struct net_listener *listener;
	ours->world = theirs->world = world;
	listener = net_listen(world->loop, 0, end_accepted, theirs);
	assert_non_null(listener);
	ours->stream =
		net_connect(world->loop, &(struct sys_endpoint){.to = world->at}, &end_ops, ours);
	TURN_UNTIL(world, ours->connected && theirs->stream);
	assert_int_equal(ours->connect_err, 0);
	net_listener_close(&listener);
}

static inline void end_clear(struct end *end)
{
	if (end->stream)
		net_close(&end->stream, NET_CLOSE_NOW);
	buf_clear(&end->got);
}

static inline void push_bytes(struct end *end, const void *bytes, size_t len)
{
	struct chain chain;
	chain_init(&chain, net_chunks(end->world->loop));
	chain_add_copy(&chain, bytes, len);
	net_push(end->stream, &chain);
}

static inline void end_say(struct end *end, const char *text)
{
	push_bytes(end, text, strlen(text));
}

#endif
