/*
 * One server as this worker sees it: how many connections it allows, whether connecting to it
 * worked, what it offers, how quick it is.  What all workers know together is on the board.
 */
#include <stdio.h>

#include "base/testing.h"
#include "pool/private.h"

#define REGROW      (30 * SECOND) /* a place that was taken from a learned limit comes back */
#define FULL_REST   SECOND        /* no further connection so soon after "too many" */
#define AVOID_FIRST SECOND
#define AVOID_MOST  (30 * SECOND)

static struct board *board_of(const struct pool_server *server)
{
	return server->pool->pools->world.board;
}

static int64_t now_of(const struct pool_server *server)
{
	return pools_now(server->pool->pools);
}

static void set_times(struct pool_server *server)
{
	const struct pool_server_settings *settings = server->settings;

	server->times = talk_client_default_times;
	server->times.connect = settings->connect_timeout;
	server->times.banner = settings->greeting_timeout;
	server->times.ehlo = settings->greeting_timeout;
	server->times.mail = settings->mail_timeout;
	server->times.rcpt = settings->rcpt_timeout;
	server->times.data = settings->data_timeout;
	server->times.end = settings->end_timeout;
}

/* The same on every machine and in every generation, so that hashing agrees. */
static uint64_t id_of(const char *name, size_t len)
{
	static const struct hash_key everywhere = {{0x706f6f6c, 0x736572766572}};

	return hash_bytes(&everywhere, name, len);
}

void pool_server_init(struct pool_server *server, struct pool *pool, unsigned index,
	const struct conf_block *block)
{
	char name[BOARD_NAME];
	int len = snprintf(name, sizeof(name), "%s/%s", pool->name, block->name);

	server->pool = pool;
	server->name = block->name;
	server->index = index;
	server->settings = conf_get(block, &pool_server_section);
	server->column = board_find(board_of(server), BOARD_SERVER, name);
	server->id = id_of(name, (size_t)len);
	set_times(server);
	TAILQ_INIT(&server->idle);
}

/* ---- places ---- */

uint32_t pool_server_limit(const struct pool_server *server)
{
	uint32_t limit = (uint32_t)server->settings->max_connections + PLANTED(limit_off_by_one);
	uint32_t learned =
		board_learned_limit(board_of(server), server->column, now_of(server), REGROW);

	return learned > 0 && learned < limit ? learned : limit;
}

bool pool_server_full(const struct pool_server *server)
{
	return now_of(server) < server->full_until ||
	       board_places(board_of(server), server->column, PLACE_OPEN) >=
		       pool_server_limit(server);
}

/* The rest is for a server that lets us have not even one: the learned limit can't say so. */
void pool_server_refused_more(struct pool_server *server)
{
	uint32_t open = board_places(board_of(server), server->column, PLACE_OPEN);

	pool_server_count(server, M_SERVER_too_many);
	board_learn_limit(board_of(server), server->pool->pools->world.row, server->column,
		open > 1 ? open - 1 : 1, now_of(server));
	server->full_until = now_of(server) + FULL_REST;
}

bool pool_server_drained(const struct pool_server *server)
{
	return board_out_by_hand(board_of(server), server->column);
}

bool pool_server_named(struct pool_server *server)
{
	struct addr addr[BOARD_ADDRESSES];

	if (!server->named)
		server->named = board_addresses_of(board_of(server), server->column, addr) > 0;
	return server->named;
}

/* ---- what it offers ---- */

bool pool_offer_lacks(const struct smtp_offer *offer, uint32_t needs, uint64_t size)
{
	return (needs & ~offer->caps) != 0 || (offer->size > 0 && size > offer->size);
}

/* A server whose greeting nobody has seen yet gets the benefit of the doubt; its first greeting
 * will tell. */
bool pool_server_lacks(const struct pool_server *server, uint32_t needs, uint64_t size)
{
	struct smtp_offer offer;

	offer.caps = board_offered(board_of(server), server->column, &offer.size);
	return offer.caps != 0 && pool_offer_lacks(&offer, needs, size);
}

/* ---- the local breaker ---- */

/* Connections that were under way when the first of them failed say nothing new. */
void pool_server_failed(struct pool_server *server)
{
	int64_t avoid = AVOID_FIRST;

	if (pool_server_avoided(server))
		return;
	for (unsigned i = 0; i < server->failures && avoid < AVOID_MOST; i++)
		avoid *= 2;
	server->failures++;
	server->avoid_until = now_of(server) + (avoid < AVOID_MOST ? avoid : AVOID_MOST);
}

void pool_server_works(struct pool_server *server)
{
	server->failures = 0;
	server->avoid_until = 0;
}

bool pool_server_avoided(const struct pool_server *server)
{
	return now_of(server) < server->avoid_until;
}

/* ---- how quick it is ---- */

/* A server that lost a comparison gets no samples: its old figure fades by itself. */
int64_t pool_server_latency(const struct pool_server *server)
{
	if (server->latency == 0)
		return 0;
	return balance_latency(server->latency, 0, now_of(server) - server->latency_at);
}

void pool_server_took(struct pool_server *server, int64_t took)
{
	server->latency =
		balance_latency(server->latency, took, now_of(server) - server->latency_at);
	server->latency_at = now_of(server);
}
