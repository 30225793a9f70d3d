/*
 * The state of everything as one JSON object, for `mailweir status` and the API; and whether mail
 * can be taken at all.
 */
#include <stdio.h>
#include <string.h>

#include "admin/admin.h"
#include "base/json.h"

#define BEAT_OLD (10 * SECOND) /* a process that has not been heard of for so long is hung */

static const char *const role_word[] = {[ROW_FREE] = "free",
	[ROW_WORKER] = "worker",
	[ROW_CONTROL] = "control",
	[ROW_MASTER] = "master"};

static bool is_alive(const struct board *board, int row, int64_t now)
{
	return now - board_beat_of(board, row) < BEAT_OLD;
}

static void add_processes(const struct board *board, int64_t now, struct json *json)
{
	json_open(json, "processes", '[');
	for (int row = 0; row < board_rows(board); row++) {
		enum board_role role = board_row_role(board, row);
		if (role == ROW_FREE)
			continue;
		json_open(json, NULL, '{');
		json_put_int(json, "row", row);
		json_put_string(json, "role", role_word[role]);
		json_put_int(json, "pid", board_pid_of(board, row));
		json_put_int(json, "generation", board_row_generation(board, row));
		json_put_int(json, "index", board_row_index(board, row));
		json_put_bool(json, "ready", board_is_ready(board, row));
		json_put_bool(json, "draining", board_row_ordered(board, row) != ORDER_RUN);
		json_put_bool(json, "alive", is_alive(board, row, now));
		json_close(json, '}');
	}
	json_close(json, ']');
}

/* Counters and gauges of a column, by their ids; histograms are for /metrics. */
static void add_numbers(const struct board *board, int column, struct json *json)
{
	enum board_kind kind = board_column_kind(board, column);
	for (unsigned metric = 0; metric < METRIC_COUNT; metric++) {
		const struct metric_row *row = metric_row(metric);
		if (row->kind == kind && row->type != METRIC_HISTOGRAM)
			json_put_int(json, row->id, board_sum(board, column, metric));
	}
}

static void add_addresses(const struct board *board, int column, struct json *json)
{
	struct addr addr[BOARD_ADDRESSES];
	unsigned count = board_addresses_of(board, column, addr);
	json_open(json, "addresses", '[');
	for (unsigned i = 0; i < count; i++) {
		char text[ADDR_TEXT];
		addr_text_port(&addr[i], text);
		json_put_string(json, NULL, text);
	}
	json_close(json, ']');
}

static int server_column(const struct board *board, const char *pool, const char *server)
{
	char name[BOARD_NAME];
	snprintf(name, sizeof name, "%s/%s", pool, server);
	return board_find(board, BOARD_SERVER, name);
}

static void add_server(
	const struct board *board, const char *pool, const char *name, struct json *json)
{
	int column = server_column(board, pool, name);
	if (column < 0)
		return;
	struct verdict verdict = board_verdict(board, column);
	struct by_hand by_hand = board_by_hand(board, column);
	json_open(json, NULL, '{');
	json_put_string(json, "name", name);
	add_addresses(board, column, json);
	json_put_string(json, "state", server_state_name(verdict.state));
	json_put_string(json, "reason", server_reason_name(verdict.reason));
	json_put_bool(json, "drained", by_hand.drained);
	if (by_hand.weight_set)
		json_put_int(json, "weight_by_hand", by_hand.weight);
	json_put_real(json, "slow_start", verdict.weight / 256.0, 2);
	json_put_int(json, "connections", board_places(board, column, PLACE_OPEN));
	json_put_int(json, "idle", board_places(board, column, PLACE_IDLE));
	json_put_int(json, "transactions", board_places(board, column, PLACE_LIVE));
	add_numbers(board, column, json);
	json_close(json, '}');
}

static void add_pools(const struct board *board, const struct conf *conf, struct json *json)
{
	json_open(json, "pools", '[');
	CONF_EACH(pool, conf_root(conf), "pool")
	{
		int column = board_find(board, BOARD_POOL, pool->name);
		json_open(json, NULL, '{');
		json_put_string(json, "name", pool->name);
		if (column >= 0)
			add_numbers(board, column, json);
		json_open(json, "servers", '[');
		CONF_EACH(server, pool, "server")
		add_server(board, pool->name, server->name, json);
		json_close(json, ']');
		json_close(json, '}');
	}
	json_close(json, ']');
}

static void add_listeners(const struct board *board, const struct conf *conf, struct json *json)
{
	json_open(json, "listeners", '[');
	CONF_EACH(listener, conf_root(conf), "listener")
	{
		int column = board_find(board, BOARD_LISTENER, listener->name);
		if (column < 0)
			continue;
		json_open(json, NULL, '{');
		json_put_string(json, "name", listener->name);
		add_numbers(board, column, json);
		json_close(json, '}');
	}
	json_close(json, ']');
}

static void add_reload(const struct board *board, struct json *json)
{
	char message[512];
	bool good;
	unsigned number = board_reload_answer(board, &good, message);
	json_open(json, "reload", '{');
	json_put_int(json, "number", number);
	if (number > 0) {
		json_put_bool(json, "good", good);
		json_put_string(json, "message", message);
	}
	json_close(json, '}');
}

void admin_status(const struct board *board, const struct conf *conf, int64_t now, struct buf *into)
{
	struct json json;
	const char *unready = admin_unready(board, conf, now);
	json_begin(&json, into);
	json_open(&json, NULL, '{');
	json_put_int(&json, "generation", board_generation(board));
	json_put_bool(&json, "ready", !unready);
	json_put_string(&json, "reason", unready);
	add_reload(board, &json);
	add_processes(board, now, &json);
	add_listeners(board, conf, &json);
	add_pools(board, conf, &json);
	json_close(&json, '}');
}

static bool pool_has_server(const struct board *board, const struct conf_block *pool)
{
	CONF_EACH(server, pool, "server")
	{
		int column = server_column(board, pool->name, server->name);
		if (column >= 0 && board_verdict(board, column).state != SERVER_DOWN &&
			board_verdict(board, column).state != SERVER_UNUSABLE &&
			!board_out_by_hand(board, column))
			return true;
	}
	return false;
}

const char *admin_unready(const struct board *board, const struct conf *conf, int64_t now)
{
	bool worker = false;
	for (int row = 0; row < board_rows(board); row++)
		worker |= board_row_role(board, row) == ROW_WORKER && board_is_ready(board, row) &&
			  board_row_ordered(board, row) == ORDER_RUN && is_alive(board, row, now);
	if (board_stop_asked(board))
		return "stopping";
	if (!worker)
		return "no worker is ready";
	CONF_EACH(pool, conf_root(conf), "pool")
	if (!pool_has_server(board, pool))
		return "a pool has no server left";
	return NULL;
}
