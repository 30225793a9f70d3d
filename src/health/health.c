/*
 * All servers of a generation, their checks in time with jitter, and the tick that reads the signs.
 */
#include "health/health.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "health/server.h"
#include "pool/pool_conf.h"

#define TICK (200 * MSEC)

static struct net_loop *loop_of(const struct health_server *server)
{
	return server->health->world.loop;
}

static bool hurried(const struct health_server *server)
{
	enum server_state state = board_verdict(server->health->world.board, server->column).state;
	bool flapping = server->failed > 0 || (state != SERVER_UP && server->passed > 0);
	return flapping || server->signs.fresh_bad || state == SERVER_EJECTED;
}

static void plan_check(struct health_server *server)
{
	const struct health_check_settings *settings = server->check_settings;
	int64_t interval = hurried(server) ? settings->fast_interval : settings->interval;
	int64_t jitter = (int64_t)rng_below(&server->health->rng, (uint64_t)interval / 5 + 1) -
			 interval / 10;
	net_timer_set(loop_of(server), &server->check_timer,
		net_now(loop_of(server)) + interval + jitter);
}

static void checked(void *arg, const struct health_finding *finding)
{
	struct health_server *server = arg;
	struct board *board = server->health->world.board;
	board_add(board, server->health->world.row, server->column, M_SERVER_checks, 1);
	if (finding->result == HEALTH_FAILED)
		board_add(board, server->health->world.row, server->column, M_SERVER_checks_failed,
			1);
	if (finding->caps)
		remember_offer(server, finding->caps, finding->size);
	verdict_checked(server, finding);
	check_free(&server->check); /* the finding is part of it */
	plan_check(server);
}

static void begin_check(void *arg)
{
	struct health_server *server = arg;
	struct health *health = server->health;
	struct addr addr[BOARD_ADDRESSES];
	unsigned count = board_addresses_of(health->world.board, server->column, addr);
	if (server->check)
		return;
	if (count == 0) {
		plan_check(server);
		return;
	}
	server->check = check_new(health->world.loop, addr, count, health->world.hostname,
		server->check_settings, checked, server);
}

/* Real mail fails on it: ask now rather than at the next interval. */
static void hurry(struct health_server *server)
{
	int64_t soon = net_now(loop_of(server)) + server->check_settings->fast_interval;
	if (server->check_settings->script != HEALTH_NONE && !server->check &&
		server->signs.fresh_bad && server->check_timer.due > soon)
		net_timer_set(loop_of(server), &server->check_timer, soon);
}

static void tick(void *arg)
{
	struct health *health = arg;
	for (unsigned i = 0; i < health->servers; i++) {
		verdict_tick(&health->server[i]);
		hurry(&health->server[i]);
	}
	net_timer_set(health->world.loop, &health->tick, net_now(health->world.loop) + TICK);
}

static void begin_server(
	struct health *health, const struct conf_block *pool, const struct conf_block *block)
{
	struct health_server *server = &health->server[health->servers++];
	const struct pool_server_settings *settings = conf_get(block, &pool_server_section);
	char name[BOARD_NAME];
	snprintf(name, sizeof name, "%s/%s", pool->name, block->name);
	server->health = health;
	server->column = board_find(health->world.board, BOARD_SERVER, name);
	assert(server->column >= 0);
	server->pool_name = pool->name;
	server->name = block->name;
	server->host = settings->at.host;
	server->port = settings->at.port;
	server->tier = settings->tier;
	server->check_settings = conf_get(conf_first(pool, "pool.check"), &health_check_section);
	server->outlier = conf_get(conf_first(pool, "pool.outliers"), &health_outlier_section);
	server->slow_start =
		((const struct health_pool_settings *)conf_get(pool, &health_pool_section))
			->slow_start;
	names_begin(server);
	verdict_begin(server);
	net_timer_init(&server->check_timer, begin_check, server);
	/* The first checks come at once, but not all in the same moment. */
	if (server->check_settings->script != HEALTH_NONE)
		net_timer_set(health->world.loop, &server->check_timer,
			net_now(health->world.loop) + (int64_t)rng_below(&health->rng, 100 * MSEC));
}

struct health *health_new(const struct health_world *world)
{
	struct health *health = mem_new(sizeof *health);
	unsigned count = 0;
	health->world = *world;
	rng_seed(&health->rng, world->seed);
	CONF_EACH(pool, conf_root(world->conf), "pool")
	count += conf_count(pool, "server");
	health->server = mem_new((count + 1) * sizeof *health->server);
	CONF_EACH(pool, conf_root(world->conf), "pool")
	CONF_EACH(server, pool, "server")
	begin_server(health, pool, server);
	remember_begin(health);
	net_timer_init(&health->tick, tick, health);
	net_timer_set(world->loop, &health->tick, net_now(world->loop) + TICK);
	return health;
}

void health_free(struct health **health_at)
{
	struct health *health = *health_at;
	if (!health)
		return;
	net_timer_clear(health->world.loop, &health->tick);
	remember_end(health);
	for (unsigned i = 0; i < health->servers; i++) {
		struct health_server *server = &health->server[i];
		check_free(&server->check);
		net_timer_clear(health->world.loop, &server->check_timer);
		names_end(server);
	}
	free(health->server);
	buf_clear(&health->line);
	free(health);
	*health_at = NULL;
}
