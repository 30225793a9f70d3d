/*
 * The admin address.  libmicrohttpd brings HTTP; it is given the listening sockets, and its epoll
 * descriptor is watched by our loop.
 *
 *      GET  /healthz /readyz /metrics /api/v1/status
 *      POST /api/v1/reload[?force=1]  /api/v1/servers/POOL/SERVER/{drain,undrain,weight?value=N}
 *
 * What changes anything is taken on a unix socket only, from root or our own user: a browser on
 * this machine could be made to send a POST to a loopback port, but not to that.
 */
#include "admin/admin.h"

#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "board/logline.h"

#define LISTENERS_MAX 16

struct admin_daemon {
	struct admin *admin;
	struct MHD_Daemon *http;
	bool is_unix;
	int epoll;
	struct net_timer timer;
};

struct admin {
	struct admin_world world;
	struct buf out, line;
	struct admin_daemon daemon[LISTENERS_MAX];
	int daemons;
};

/* ---- settings ---- */

static const struct conf_directive top_rows[] = {
	{"admin", CONF_BLOCK, .kind = "admin",
		.help = "Where metrics, status and the command line are answered. Changes are "
			"taken on a unix socket only.",
		.example = "admin { bind unix:/run/mailweir/admin.sock 127.0.0.1:8025; }"},
};

static const struct conf_directive admin_rows[] = {
	{"bind", CONF_ADDR_PORT, offsetof(struct admin_settings, bind),
		.flags = CONF_LIST | CONF_REQUIRED,
		.help = "Addresses to listen on, unix:PATH among them.",
		.example = "bind 127.0.0.1:8025;"},
};

static void check(const struct conf_block *block, const void *values, struct conf_report *report)
{
	const struct admin_settings *settings = values;
	if (settings->bind.count > LISTENERS_MAX)
		conf_report_error(
			report, conf_place(block, "bind"), "at most %d addresses", LISTENERS_MAX);
	for (size_t i = 0; i < settings->bind.count; i++) {
		const struct addr *addr = &settings->bind.at[i];
		if (addr->family == ADDR_UNIX || addr_is_loopback(addr))
			continue;
		conf_report_warning(report, settings->bind.places[i],
			"the admin address can be reached from other machines");
		conf_report_hint(report, "anybody there can read metrics and status");
	}
}

const struct conf_section admin_top_section = CONF_SECTION("", 0, top_rows);
const struct conf_section admin_section =
	CONF_SECTION("admin", sizeof(struct admin_settings), admin_rows, .check = check);

const struct conf_addrs *admin_addrs_of(const struct conf *conf)
{
	static const struct conf_addrs none;
	const struct conf_block *block = conf_first(conf_root(conf), "admin");
	return block ? &((const struct admin_settings *)conf_get(block, &admin_section))->bind
		     : &none;
}

/* ---- answers ---- */

typedef enum MHD_Result http_result;

static http_result answer(
	struct MHD_Connection *connection, unsigned status, const char *type, struct span body)
{
	struct MHD_Response *response = MHD_create_response_from_buffer(
		body.len, (void *)(uintptr_t)body.at, MHD_RESPMEM_MUST_COPY);
	if (!response)
		return MHD_NO;
	MHD_add_response_header(response, "Content-Type", type);
	MHD_add_response_header(response, "Cache-Control", "no-store");
	MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
	http_result result = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return result;
}

static http_result answer_text(
	struct MHD_Connection *connection, unsigned status, const char *words)
{
	char text[256];
	int len = snprintf(text, sizeof text, "%s\n", words);
	return answer(connection, status, "text/plain; charset=utf-8",
		(struct span){.at = text, .len = (size_t)len});
}

static int64_t now_of(const struct admin *admin)
{
	return net_now(admin->world.loop);
}

static http_result get_healthz(struct admin *admin, struct MHD_Connection *connection)
{
	(void)admin;
	return answer_text(connection, MHD_HTTP_OK, "ok");
}

static http_result get_readyz(struct admin *admin, struct MHD_Connection *connection)
{
	const char *unready = admin_unready(admin->world.board, admin->world.conf, now_of(admin));
	return answer_text(connection, unready ? MHD_HTTP_SERVICE_UNAVAILABLE : MHD_HTTP_OK,
		unready ? unready : "ready");
}

static http_result get_metrics(struct admin *admin, struct MHD_Connection *connection)
{
	buf_reset(&admin->out);
	admin_metrics(admin->world.board, now_of(admin), &admin->out);
	return answer(connection, MHD_HTTP_OK, "text/plain; version=0.0.4; charset=utf-8",
		buf_span(&admin->out));
}

static http_result get_status(struct admin *admin, struct MHD_Connection *connection)
{
	buf_reset(&admin->out);
	admin_status(admin->world.board, admin->world.conf, now_of(admin), &admin->out);
	return answer(connection, MHD_HTTP_OK, "application/json", buf_span(&admin->out));
}

static const struct {
	const char *path;
	http_result (*get)(struct admin *admin, struct MHD_Connection *connection);
} pages[] = {
	{"/healthz", get_healthz},
	{"/readyz", get_readyz},
	{"/metrics", get_metrics},
	{"/api/v1/status", get_status},
};

/* ---- changes ---- */

static void log_by_hand(struct admin *admin, const char *name, const char *state, const char *text)
{
	struct log_line line;
	log_begin(
		&line, &admin->line, sys_wall(net_sys(admin->world.loop)), LOG_EVENT_server_state);
	const char *slash = strchr(name, '/');
	log_text(&line, LOG_pool, (struct span){.at = name, .len = (size_t)(slash - name)});
	log_string(&line, LOG_server, slash + 1);
	log_string(&line, LOG_state, state);
	log_string(&line, LOG_reason, server_reason_name(REASON_BY_HAND));
	log_string(&line, LOG_text, text);
	log_end(&line, admin->world.board, admin->world.row);
}

static http_result set_weight(struct admin *admin, struct MHD_Connection *connection, int column,
	const char *name, struct by_hand by_hand)
{
	const char *value = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "value");
	uint64_t weight = 0;
	bool configured = value && strcmp(value, "configured") == 0;
	if (!configured && !span_to_u64(span_of(value), 256, &weight))
		return answer_text(
			connection, MHD_HTTP_BAD_REQUEST, "value must be 0 to 256, or configured");
	by_hand.weight_set = !configured;
	by_hand.weight = (uint16_t)weight;
	board_set_by_hand(admin->world.board, column, by_hand);
	char text[64];
	snprintf(text, sizeof text, "weight %s by hand", value);
	log_by_hand(admin, name, "weight", text);
	return answer_text(connection, MHD_HTTP_OK, text);
}

/* `rest`: "POOL/SERVER/ACTION". */
static http_result change_server(
	struct admin *admin, struct MHD_Connection *connection, const char *rest)
{
	const char *action = strrchr(rest, '/');
	char name[BOARD_NAME];
	if (!action || (size_t)(action - rest) >= sizeof name)
		return answer_text(connection, MHD_HTTP_NOT_FOUND, "no such page");
	snprintf(name, sizeof name, "%.*s", (int)(action - rest), rest);
	int column = strchr(name, '/') ? board_find(admin->world.board, BOARD_SERVER, name) : -1;
	if (column < 0)
		return answer_text(
			connection, MHD_HTTP_NOT_FOUND, "no such server: POOL/SERVER is wanted");
	struct by_hand by_hand = board_by_hand(admin->world.board, column);
	if (strcmp(action, "/weight") == 0)
		return set_weight(admin, connection, column, name, by_hand);
	if (strcmp(action, "/drain") != 0 && strcmp(action, "/undrain") != 0)
		return answer_text(connection, MHD_HTTP_NOT_FOUND, "drain, undrain or weight");
	by_hand.drained = strcmp(action, "/drain") == 0;
	board_set_by_hand(admin->world.board, column, by_hand);
	log_by_hand(admin, name, by_hand.drained ? "drained" : "undrained",
		by_hand.drained ? "drained by hand" : "taken back into service by hand");
	return answer_text(connection, MHD_HTTP_OK, by_hand.drained ? "drained" : "undrained");
}

static int master_row(const struct board *board)
{
	for (int row = 0; row < board_rows(board); row++)
		if (board_row_role(board, row) == ROW_MASTER)
			return row;
	return -1;
}

static http_result ask_reload(struct admin *admin, struct MHD_Connection *connection)
{
	const char *force = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "force");
	board_ask_reload(admin->world.board, force && strcmp(force, "1") == 0);
	int row = master_row(admin->world.board);
	if (row >= 0)
		sys_wake(net_sys(admin->world.loop), row);
	return answer_text(connection, MHD_HTTP_ACCEPTED, "asked");
}

static http_result post(
	struct admin_daemon *daemon, struct MHD_Connection *connection, const char *path)
{
	static const char servers[] = "/api/v1/servers/";
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	if (!daemon->is_unix || !info || !sys_peer_is_ours(info->connect_fd))
		return answer_text(connection, MHD_HTTP_FORBIDDEN,
			"changes are taken on the unix socket, from root or our user");
	if (strcmp(path, "/api/v1/reload") == 0)
		return ask_reload(daemon->admin, connection);
	if (strncmp(path, servers, sizeof servers - 1) == 0)
		return change_server(daemon->admin, connection, path + sizeof servers - 1);
	return answer_text(connection, MHD_HTTP_NOT_FOUND, "no such page");
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *path,
	const char *method, const char *version, const char *upload, size_t *upload_size,
	void **state)
{
	struct admin_daemon *daemon = arg;
	static const char begun;
	(void)version, (void)upload;
	/* The library calls once for the header, and again when the (unwanted) body is there. */
	if (!*state) {
		*state = (void *)(uintptr_t)&begun;
		return MHD_YES;
	}
	if (*upload_size > 0) {
		*upload_size = 0;
		return MHD_YES;
	}
	if (strcmp(method, "POST") == 0)
		return post(daemon, connection, path);
	if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
		return answer_text(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "GET or POST");
	for (size_t i = 0; i < sizeof pages / sizeof pages[0]; i++)
		if (strcmp(path, pages[i].path) == 0)
			return pages[i].get(daemon->admin, connection);
	return answer_text(connection, MHD_HTTP_NOT_FOUND, "no such page");
}

/* ---- the library on our loop ---- */

static void run(void *arg)
{
	struct admin_daemon *daemon = arg;
	struct net_loop *loop = daemon->admin->world.loop;
	MHD_UNSIGNED_LONG_LONG wait;
	MHD_run(daemon->http);
	if (MHD_get_timeout(daemon->http, &wait) == MHD_YES)
		net_timer_set(loop, &daemon->timer, net_now(loop) + (int64_t)wait * MSEC);
	else
		net_timer_clear(loop, &daemon->timer);
}

static bool start(struct admin *admin, int fd, bool is_unix)
{
	struct admin_daemon *daemon = &admin->daemon[admin->daemons];
	daemon->admin = admin;
	daemon->is_unix = is_unix;
	daemon->http = MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, on_request, daemon,
		MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, 64u,
		MHD_OPTION_CONNECTION_TIMEOUT, 10u, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
		(size_t)16384, MHD_OPTION_END);
	if (!daemon->http)
		return false;
	admin->daemons++;
	daemon->epoll = MHD_get_daemon_info(daemon->http, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
	net_timer_init(&daemon->timer, run, daemon);
	sys_watch(net_sys(admin->world.loop), daemon->epoll, run, daemon);
	return true;
}

struct admin *admin_new(const struct admin_world *world, struct err_text *text)
{
	struct admin *admin = mem_new(sizeof *admin);
	admin->world = *world;
	for (int i = 0; i < world->listener_count && i < LISTENERS_MAX; i++) {
		if (start(admin, world->listeners[i], world->is_unix[i]))
			continue;
		(void)err_set(
			text, ERR_BROKEN, "the HTTP library does not start on an admin address");
		admin_free(&admin);
		return NULL;
	}
	return admin;
}

void admin_free(struct admin **admin_at)
{
	struct admin *admin = *admin_at;
	if (!admin)
		return;
	for (int i = 0; i < admin->daemons; i++) {
		struct admin_daemon *daemon = &admin->daemon[i];
		net_timer_clear(admin->world.loop, &daemon->timer);
		sys_unwatch(net_sys(admin->world.loop), daemon->epoll);
		MHD_stop_daemon(daemon->http);
	}
	buf_clear(&admin->out);
	buf_clear(&admin->line);
	free(admin);
	*admin_at = NULL;
}
