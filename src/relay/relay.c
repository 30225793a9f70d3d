/*
 * One worker's mail: its listeners as the config describes them, and its sessions.
 */
#include "relay/relay.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/testing.h"
#include "relay/session.h"

#define SWEEP_EVERY (1 * SECOND)
#define DRAIN_IDLE                                                                                 \
	(5 * SECOND) /* a session of a draining worker that says nothing for so long may go */

enum err relay_columns(
	struct board *board, const struct conf *conf, bool *known, struct err_text *text)
{
	CONF_EACH(block, conf_root(conf), "listener")
	{
		int column = board_column(board, BOARD_LISTENER, block->name);
		if (column < 0)
			return err_set(text, ERR_FULL, "no room for listener %s on the board",
				block->name);
		known[column] = true;
	}
	return ERR_OK;
}

static void open_listener(struct relay *relay, const struct conf_block *block)
{
	struct listener *listener = &relay->listener[relay->listeners++];
	const struct relay_settings *settings = conf_get(block, &relay_listener_section);
	listener->name = block->name;
	listener->column = board_column(relay->world.board, BOARD_LISTENER, block->name);
	listener->settings = settings;
	listener->edge = conf_get(block, &edge_listener_section);
	listener->rules = (struct smtp_server_rules){
		.max_size = (uint64_t)settings->max_size,
		.pass_long_lines = settings->long_lines == LONG_LINES_PASS,
	};
	listener->times = (struct talk_server_times){
		.command = settings->command_timeout,
		.body = settings->body_timeout,
		.rate = (uint32_t)settings->min_rate,
	};
	for (size_t i = 0; i < settings->send_to.count; i++) {
		struct pool *pool = pools_find(relay->world.pools, settings->send_to.at[i]->name);
		assert(pool);
		listener->pool[listener->pools++] = pool;
	}
}

static void sweep(void *arg)
{
	struct relay *relay = arg;
	int64_t now = net_now(relay->world.loop);
	struct session *session, *next;
	for (session = LIST_FIRST(&relay->sessions); session; session = next) {
		next = LIST_NEXT(session, next);
		if (relay->draining && !session->over && session->talk &&
			(now >= relay->drain_until || now - session->last_active >= DRAIN_IDLE))
			session_drain(session);
		if (session->over)
			session_free(session);
	}
	doorway_sweep(relay);
	if (relay->draining && relay_sessions(relay) > 0)
		net_timer_set(relay->world.loop, &relay->sweep, now + SWEEP_EVERY);
}

struct relay *relay_new(const struct relay_world *world)
{
	struct relay *relay = mem_new(sizeof *relay);
	relay->world = *world;
	rng_seed(&relay->rng, world->seed);
	relay->edge = edge_new(net_sys(world->loop));
	LIST_INIT(&relay->sessions);
	LIST_INIT(&relay->doorways);
	net_timer_init(&relay->sweep, sweep, relay);
	relay->listener =
		mem_new(conf_count(conf_root(world->conf), "listener") * sizeof *relay->listener);
	CONF_EACH(block, conf_root(world->conf), "listener")
	open_listener(relay, block);
	return relay;
}

static struct listener *find_listener(struct relay *relay, const char *name)
{
	for (unsigned i = 0; i < relay->listeners; i++)
		if (strcmp(relay->listener[i].name, name) == 0)
			return &relay->listener[i];
	return NULL; /* unreachable: asserted */
}

/* The same where a PROXY header was read before. */
static void turn_away_stream(struct relay *relay, struct arrival *arrival)
{
	struct chain chain;
	chain_init(&chain, net_chunks(relay->world.loop));
	chain_add_copy(&chain, relay->reply.at, relay->reply.len);
	net_push(arrival->stream, &chain);
	net_close(&arrival->stream, NET_CLOSE_FLUSHED);
	chunk_unref(&arrival->unread);
}

/* One line and out: no session is made for it. */
static void turn_away(
	struct relay *relay, struct listener *listener, struct arrival *arrival, enum smtp_own own)
{
	struct smtp_reply reply;
	size_t sent;
	int err;
	board_add(relay->world.board, relay->world.row, listener->column, M_LISTENER_sessions, -1);
	buf_reset(&relay->reply);
	smtp_own_reply(own, NULL, &relay->reply, &reply);
	if (!arrival->sock) {
		turn_away_stream(relay, arrival);
		return;
	}
	struct iovec iov = {.iov_base = relay->reply.at, .iov_len = relay->reply.len};
	/* The socket is new, so its buffer is empty and takes the line; if not, nobody waits for
	 * it. */
	(void)sys_sendv(arrival->sock, &iov, 1, &sent, &err);
	sys_close(&arrival->sock, false);
}

void relay_enter(struct relay *relay, struct listener *listener, struct arrival *arrival)
{
	if (edge_enter(relay->edge, listener->edge, &arrival->client)) {
		session_open(relay, listener, arrival);
		return;
	}
	account_turned_away(relay, listener, &arrival->client, &arrival->proxy,
		"too many sessions from the address");
	turn_away(relay, listener, arrival, SMTP_OWN_TOO_MANY_FROM_YOU);
}

void relay_accept(struct relay *relay, const char *name, struct sys_sock *sock,
	const struct addr *peer, const struct addr *local)
{
	struct listener *listener = find_listener(relay, name);
	assert(listener);
	/* Counted first, so that two workers can't both take the last place. */
	int64_t open = board_add_sum(relay->world.board, relay->world.row, listener->column,
			       M_LISTENER_sessions, 1) -
		       1;
	KILL_POINT("session: counted, not admitted");
	struct arrival arrival = {.client = *peer, .local = *local, .sock = sock};
	if (!edge_room(relay->edge, listener->edge, open)) {
		account_turned_away(relay, listener, peer, &arrival.proxy, "too many sessions");
		turn_away(relay, listener, &arrival, SMTP_OWN_TOO_MANY_SESSIONS);
	} else if (edge_is_proxy(listener->edge, peer)) {
		doorway_open(relay, listener, sock, peer, local);
	} else {
		relay_enter(relay, listener, &arrival);
	}
}

void relay_drain(struct relay *relay, int64_t until)
{
	relay->draining = true;
	relay->drain_until = until;
	net_timer_set(relay->world.loop, &relay->sweep, net_now(relay->world.loop));
}

unsigned relay_sessions(const struct relay *relay)
{
	return relay->session_count + relay->doorway_count;
}

void relay_free(struct relay **relay_at)
{
	struct relay *relay = *relay_at;
	if (!relay)
		return;
	struct session *session;
	doorway_cut_all(relay);
	while ((session = LIST_FIRST(&relay->sessions)))
		session_cut(session);
	net_timer_clear(relay->world.loop, &relay->sweep);
	edge_free(&relay->edge);
	free(relay->listener);
	buf_clear(&relay->line);
	buf_clear(&relay->reply);
	free(relay);
	*relay_at = NULL;
}
