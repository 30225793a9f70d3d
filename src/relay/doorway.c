/*
 * Connections from listed proxies, until their PROXY header has said who the client is.
 *
 *     accept --> doorway --(header)--> relay_enter --> session, on the same stream
 *                   `--(anything else, nothing in time, the end)--> closed
 *
 * Nothing is said here before the header is in: the banner is the session's.  What has come behind
 * the header goes to the session unread.  A connection in a doorway holds its place in
 * max-sessions, and counts for no client yet.
 */
#include <assert.h>

#include "base/testing.h"
#include "edge/proxy.h"
#include "relay/session.h"

struct doorway {
	LIST_ENTRY(doorway) next;
	struct relay *relay;
	struct listener *listener;
	struct net_stream *stream; /* NULL: over, to be freed by the sweep */
	struct chunk *read;        /* NULL: nothing yet */
	struct net_timer timer;
	struct addr peer, local;
	bool counted; /* in the gauge of open sessions */
};

static struct net_loop *loop_of(const struct doorway *door)
{
	return door->relay->world.loop;
}

/* The stream has gone to a session, or is closed. */
static void over(struct doorway *door)
{
	net_timer_clear(loop_of(door), &door->timer);
	net_timer_set(loop_of(door), &door->relay->sweep, net_now(loop_of(door)));
}

static void shut(struct doorway *door, enum net_close how)
{
	net_close(&door->stream, how);
	over(door);
}

static void refuse(struct doorway *door, const char *got, enum net_close how)
{
	char address[ADDR_TEXT], text[ADDR_TEXT + 300];
	addr_text(&door->peer, address);
	snprintf(text, sizeof text, "PROXY header expected from %s, got %s", address, got);
	account_no_header(door->relay, door->listener, &door->peer, text);
	shut(door, how);
}

/* Who has said nothing was only looking whether the port is open, as simple checks do. */
static void on_gone(struct doorway *door)
{
	if (door->read && door->read->len > 0)
		refuse(door, "the beginning of one and the end of the connection", NET_CLOSE_NOW);
	else
		shut(door, NET_CLOSE_NOW);
}

static void enter(struct doorway *door, const struct edge_proxy *proxy)
{
	struct arrival arrival = {
		.client = proxy->who == PROXY_CLIENT ? proxy->client : door->peer,
		.local = door->local,
		.unnamed = proxy->who == PROXY_UNNAMED,
		.stream = door->stream,
		.unread = door->read,
		.unread_at = proxy->len,
	};
	if (proxy->who != PROXY_LOCAL)
		arrival.proxy = door->peer;
	door->stream = NULL;
	door->read = NULL;
	door->counted = false; /* the place is the session's now */
	over(door);
	relay_enter(door->relay, door->listener, &arrival);
}

/* What has come so far.  False: it is over. */
static bool judge(struct doorway *door)
{
	struct edge_proxy proxy;
	struct err_text got;
	struct span bytes = {.at = door->read->at, .len = door->read->len};
	switch (edge_proxy_parse(bytes, &proxy, &got)) {
	case PROXY_MORE:
		return true;
	case PROXY_DONE:
		enter(door, &proxy);
		return false;
	case PROXY_BAD:
		refuse(door, got.text, NET_CLOSE_FLUSHED);
		return false;
	}
	return false; /* unreachable */
}

static void on_readable(void *arg)
{
	struct doorway *door = arg;
	static_assert(EDGE_PROXY_MOST < CHUNK_SMALL, "there is room for all of a header");
	if (!door->read)
		door->read = chunk_new(net_chunks(loop_of(door)), CHUNK_SMALL);
	for (;;) {
		switch (net_read(door->stream, door->read, NULL)) {
		case IO_OK:
			if (!judge(door))
				return;
			break;
		case IO_AGAIN:
			return;
		case IO_EOF:
		case IO_FAILED:
			on_gone(door);
			return;
		}
	}
}

/* Nothing is written from here, so nothing of that can break. */
static const struct net_stream_ops ops = {.readable = on_readable};

static void on_late(void *arg)
{
	struct doorway *door = arg;
	char got[120];
	snprintf(got, sizeof got, "%s in %lld ms",
		door->read && door->read->len > 0
			? "only the beginning of one"
			: "nothing (as from an SMTP client, which waits for the banner)",
		(long long)(door->listener->edge->proxy_timeout / MSEC));
	refuse(door, got, NET_CLOSE_FLUSHED);
}

void doorway_open(struct relay *relay, struct listener *listener, struct sys_sock *sock,
	const struct addr *peer, const struct addr *local)
{
	struct doorway *door = mem_new(sizeof *door);
	door->relay = relay;
	door->listener = listener;
	door->peer = *peer;
	door->local = *local;
	door->counted = true;
	net_timer_init(&door->timer, on_late, door);
	net_timer_set(relay->world.loop, &door->timer,
		net_now(relay->world.loop) + listener->edge->proxy_timeout);
	door->stream = net_adopt(relay->world.loop, sock, &ops, door);
	LIST_INSERT_HEAD(&relay->doorways, door, next);
	relay->doorway_count++;
}

static void free_doorway(struct doorway *door)
{
	struct relay *relay = door->relay;
	const struct relay_world *world = &relay->world;
	net_timer_clear(world->loop, &door->timer);
	chunk_unref(&door->read);
	KILL_POINT("doorway: left, still counted");
	if (door->counted)
		board_add(
			world->board, world->row, door->listener->column, M_LISTENER_sessions, -1);
	LIST_REMOVE(door, next);
	relay->doorway_count--;
	free(door);
}

/* In place of a banner; the proxy passes it on. */
static void say_draining(struct doorway *door)
{
	struct relay *relay = door->relay;
	struct smtp_reply reply;
	struct chain chain;
	buf_reset(&relay->reply);
	smtp_own_reply(SMTP_OWN_DRAINING, NULL, &relay->reply, &reply);
	chain_init(&chain, net_chunks(relay->world.loop));
	chain_add_copy(&chain, relay->reply.at, relay->reply.len);
	net_push(door->stream, &chain);
}

void doorway_sweep(struct relay *relay)
{
	struct doorway *door, *next;
	bool late = relay->draining && net_now(relay->world.loop) >= relay->drain_until;
	for (door = LIST_FIRST(&relay->doorways); door; door = next) {
		next = LIST_NEXT(door, next);
		if (door->stream && late) {
			say_draining(door);
			net_close(&door->stream, NET_CLOSE_FLUSHED);
		}
		if (!door->stream)
			free_doorway(door);
	}
}

/* No loop will run any more, so what is said goes to the kernel at once. */
void doorway_cut_all(struct relay *relay)
{
	struct doorway *door, *next;
	for (door = LIST_FIRST(&relay->doorways); door; door = next) {
		next = LIST_NEXT(door, next);
		if (door->stream) {
			say_draining(door);
			net_flush(door->stream);
			net_close(&door->stream, NET_CLOSE_NOW);
		}
		free_doorway(door);
	}
}
