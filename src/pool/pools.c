/*
 * All pools of a worker: made from the config, kept going by the tick, drained, freed.
 */
#include "pool/private.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* ---- the turn ---- */

static void quit_all_idle(struct pools *pools)
{
	for (unsigned i = 0; i < pools->pools; i++) {
		for (unsigned j = 0; j < pools->pool[i].servers; j++)
			pool_conn_quit_idle(&pools->pool[i].server[j]);
	}
}

static void on_soon(void *arg)
{
	struct pools *pools = arg;

	for (unsigned i = 0; i < pools->pools; i++) {
		if (pools->pool[i].stirred)
			pool_wait_serve(&pools->pool[i]);
	}
	if (pools->draining)
		quit_all_idle(pools);
	pool_lend_deliver(pools);
}

void pools_stir(struct pools *pools)
{
	if (pools->soon.due == NEVER)
		net_timer_set(pools->world.loop, &pools->soon, pools_now(pools));
}

bool pools_have_room(const struct pools *pools)
{
	const struct sys *sys = net_sys(pools->world.loop);

	return sys_sockets(sys) < sys_sockets_limit(sys);
}

/* ---- making ---- */

static void pool_init(struct pools *pools, struct pool *pool, const struct conf_block *block)
{
	unsigned index = 0;

	pool->pools = pools;
	pool->name = block->name;
	pool->settings = conf_get(block, &pool_section);
	pool->column = board_find(pools->world.board, BOARD_POOL, block->name);
	assert(pool->column >= 0);
	pool->server = mem_new(conf_count(block, "server") * sizeof(*pool->server));
	pool->first_tier = INT64_MAX;
	TAILQ_INIT(&pool->waiting);
	CONF_EACH(server, block, "server")
	{
		struct pool_server *one = &pool->server[index];

		pool_server_init(one, pool, index++, server);
		if (one->settings->tier < pool->first_tier)
			pool->first_tier = one->settings->tier;
	}
	pool->servers = index;
}

static void make_room(struct pools *pools)
{
	unsigned most = 1;

	for (unsigned i = 0; i < pools->pools; i++) {
		if (pools->pool[i].servers > most)
			most = pools->pool[i].servers;
	}
	pools->candidate = mem_new(most * sizeof(*pools->candidate));
	pools->choice = mem_new(most * sizeof(*pools->choice));
	pools->rank = mem_new(most * sizeof(*pools->rank));
}

struct pools *pools_new(const struct pool_world *world, const struct conf *conf)
{
	struct pools *pools = mem_new(sizeof(*pools));
	unsigned count = conf_count(conf_root(conf), "pool");

	pools->world = *world;
	pools->pool = mem_new((count + 1) * sizeof(*pools->pool));
	rng_seed(&pools->rng, world->seed);
	TAILQ_INIT(&pools->due);
	net_timer_init(&pools->soon, on_soon, pools);
	CONF_EACH(block, conf_root(conf), "pool")
	pool_init(pools, &pools->pool[pools->pools++], block);
	make_room(pools);
	return pools;
}

/* ---- asked by the worker ---- */

struct pool *pools_find(struct pools *pools, const char *name)
{
	for (unsigned i = 0; i < pools->pools; i++) {
		if (strcmp(pools->pool[i].name, name) == 0)
			return &pools->pool[i];
	}
	return NULL;
}

static void quit_drained(struct pool *pool)
{
	for (unsigned i = 0; i < pool->servers; i++) {
		struct pool_server *server = &pool->server[i];

		if (!TAILQ_EMPTY(&server->idle) && pool_server_drained(server))
			pool_conn_quit_idle(server);
	}
}

void pools_tick(struct pools *pools)
{
	for (unsigned i = 0; i < pools->pools; i++) {
		struct pool *pool = &pools->pool[i];

		quit_drained(pool);
		if (!TAILQ_EMPTY(&pool->waiting) || pool_wait_anyone(pool))
			pool->stirred = true;
		if (pool->stirred)
			pools_stir(pools);
	}
}

void pools_drain(struct pools *pools)
{
	pools->draining = true;
	pools_stir(pools);
}

unsigned pools_open(const struct pools *pools)
{
	return pools->open;
}

/* ---- freeing ---- */

static void drop_all(struct pools *pools)
{
	struct lending *lending;
	struct pool_conn *conn;

	while ((lending = LIST_FIRST(&pools->all_lendings))) {
		if (lending->state == LENDING_WAITING)
			pool_wait_leave(lending);
		pool_lend_free(lending);
	}
	while ((conn = LIST_FIRST(&pools->all_conns)))
		pool_conn_turn(conn, CONN_GONE);
}

static void free_spares(struct pools *pools)
{
	struct lending *lending;
	struct pool_conn *conn;

	while ((lending = SLIST_FIRST(&pools->free_lendings))) {
		SLIST_REMOVE_HEAD(&pools->free_lendings, free_next);
		free(lending);
	}
	while ((conn = SLIST_FIRST(&pools->free_conns))) {
		SLIST_REMOVE_HEAD(&pools->free_conns, free_next);
		free(conn);
	}
}

void pools_free(struct pools **poolsp)
{
	struct pools *pools = *poolsp;

	*poolsp = NULL;
	if (!pools)
		return;
	pools->closing = true;
	drop_all(pools);
	free_spares(pools);
	net_timer_clear(pools->world.loop, &pools->soon);
	for (unsigned i = 0; i < pools->pools; i++)
		free(pools->pool[i].server);
	free(pools->pool);
	buf_clear(&pools->line);
	buf_clear(&pools->reply);
	free(pools->candidate);
	free(pools->choice);
	free(pools->rank);
	free(pools);
}
