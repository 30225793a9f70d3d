/*
 * Names of servers: looked up at the start and again as their TTL passes; the addresses go to the
 * board, where workers find them.  An answer that fails leaves the last good addresses in place; a
 * server that never had any is unusable until it has.
 */
#include <stdio.h>

#include "board/logline.h"
#include "health/server.h"

#define TTL_MIN (5 * SECOND)
#define TTL_MAX (1 * HOUR)
#define RETRY   (5 * SECOND)

#define ALARM_EVERY (10 * MINUTE)

static void alarm_about(struct health_server *server, const char *text)
{
	struct health *health = server->health;
	struct log_line line;
	int64_t now = net_now(health->world.loop);
	if (now < server->name_alarm)
		return;
	server->name_alarm = now + ALARM_EVERY;
	log_begin(&line, &health->line, sys_wall(net_sys(health->world.loop)), LOG_EVENT_alarm);
	log_string(&line, LOG_pool, server->pool_name);
	log_string(&line, LOG_server, server->name);
	log_string(&line, LOG_reason, server_reason_name(REASON_NO_ADDRESS));
	log_string(&line, LOG_text, text);
	log_end(&line, health->world.board, health->world.row);
}

static void failed(struct health_server *server, const struct sys_answer *answer)
{
	struct addr addr[BOARD_ADDRESSES];
	char text[400];
	snprintf(text, sizeof text, "the name %s can't be looked up: %s", server->host,
		err_name(answer->err));
	alarm_about(server, text);
	if (board_addresses_of(server->health->world.board, server->column, addr) == 0)
		verdict_nameless(server, text);
}

static void answered(void *arg, const struct sys_answer *answer)
{
	struct health_server *server = arg;
	struct net_loop *loop = server->health->world.loop;
	int64_t again = RETRY;
	server->resolving = false;
	if (answer->err == ERR_OK && answer->count > 0) {
		struct addr addr[BOARD_ADDRESSES];
		unsigned count = answer->count < BOARD_ADDRESSES ? answer->count : BOARD_ADDRESSES;
		for (unsigned i = 0; i < count; i++) {
			addr[i] = answer->addr[i];
			addr[i].port = server->port;
		}
		board_addresses(server->health->world.board, server->column, addr, count);
		verdict_named(server);
		again = answer->ttl < TTL_MIN   ? TTL_MIN
			: answer->ttl > TTL_MAX ? TTL_MAX
						: answer->ttl;
	} else {
		failed(server, answer);
	}
	net_timer_set(loop, &server->name_timer, net_now(loop) + again);
}

static void look_up(void *arg)
{
	struct health_server *server = arg;
	server->resolving = true;
	sys_resolve(net_sys(server->health->world.loop), server->host, answered, server);
}

void names_begin(struct health_server *server)
{
	net_timer_init(&server->name_timer, look_up, server);
	if (server->host)
		look_up(server);
}

void names_end(struct health_server *server)
{
	net_timer_clear(server->health->world.loop, &server->name_timer);
}
