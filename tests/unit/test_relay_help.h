/*
 * For the tests of relay: one worker's mail in one process, between clients and servers that the
 * test plays on sockets of its own.
 *
 *     client ---- listener "in" ---- relay ---- pools ---- server[0], [1], [2]
 *                                      |
 *                                    board: numbers, and the log's ring
 *
 * What a server answers is a string per command.  NULL: nothing.  "!" in front: it closes then;
 * "!" alone: it closes without a word.
 */
#ifndef TEST_RELAY_HELP_H
#define TEST_RELAY_HELP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "board/layout.h"
#include "edge/edge.h"
#include "pool/pool_conf.h"
#include "relay/relay.h"
#include "relay/relay_conf.h"
#include "sys/real.h"

enum { SERVERS = 3, CONVERSATIONS = 64 };

/* ---- servers ---- */

struct conversation {
	int fd;
	struct buf got, body;
	bool in_data, last;
	size_t chunk; /* octets that are still to come; SIZE_MAX: none */
};

struct server {
	int listener;
	uint16_t port;
	const char *banner, *ehlo, *mail, *rcpt, *bad, *data, *chunk, *end, *rset, *quit;
	bool deaf; /* reads nothing */
	struct conversation conversation[CONVERSATIONS];
	unsigned opened, open, committed;
	struct buf heard; /* "EHLO mw.test\nMAIL FROM:<a@b>\n" */
	struct buf body;  /* of the last message */
};

static inline int socket_bound(uint16_t *port)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(in);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), little = 65536;

	/* Inherited by what is accepted: kernels shall not hold much of a message. */
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &little, sizeof(little));
	assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
	assert_int_equal(listen(fd, 128), 0);
	*port = ntohs(in.sin_port);
	return fd;
}

static inline void server_open(struct server *server)
{
	*server = (struct server){
		.banner = "220 server\r\n",
		.ehlo = "250-server\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-CHUNKING\r\n"
			"250-SIZE 1000000\r\n250 ENHANCEDSTATUSCODES\r\n",
		.mail = "250 2.1.0 sender ok\r\n",
		.rcpt = "250 2.1.5 recipient ok\r\n",
		.bad = "550 5.1.1 no such user\r\n",
		.data = "354 go on\r\n",
		.chunk = "250 2.0.0 chunk ok\r\n",
		.end = "250 2.0.0 Ok: queued as 4D1F2A0C31\r\n",
		.rset = "250 2.0.0 reset\r\n",
		.quit = "!221 bye\r\n",
	};
	for (int i = 0; i < CONVERSATIONS; i++)
		server->conversation[i].fd = -1;
	server->listener = socket_bound(&server->port);
}

static inline void hang_up(struct server *server, struct conversation *with)
{
	close(with->fd);
	with->fd = -1;
	buf_clear(&with->got);
	buf_clear(&with->body);
	server->open--;
}

static inline void answer(struct server *server, struct conversation *with, const char *text)
{
	bool ends = text && text[0] == '!';

	if (!text)
		return;
	text += ends;
	if (*text)
		send(with->fd, text, strlen(text), MSG_NOSIGNAL);
	if (ends)
		hang_up(server, with);
}

static inline void commit(struct server *server, struct conversation *with)
{
	server->committed += server->end && server->end[0] == '2';
	buf_reset(&server->body);
	buf_add_span(&server->body, buf_span(&with->body));
	buf_reset(&with->body);
	answer(server, with, server->end);
}

/* "BDAT 5 LAST". */
static inline void hear_chunk(struct conversation *with, const char *line)
{
	char *rest;

	with->chunk = strtoul(line + 5, &rest, 10);
	with->last = strstr(rest, "LAST") != NULL;
}

static inline void hear_command(struct server *server, struct conversation *with, const char *line)
{
	buf_addf(&server->heard, "%s\n", line);
	if (strncmp(line, "EHLO", 4) == 0) {
		answer(server, with, server->ehlo);
	} else if (strncmp(line, "MAIL", 4) == 0) {
		answer(server, with, server->mail);
	} else if (strncmp(line, "RCPT", 4) == 0) {
		answer(server, with, strstr(line, "<bad") ? server->bad : server->rcpt);
	} else if (strncmp(line, "DATA", 4) == 0) {
		with->in_data = server->data && server->data[0] == '3';
		answer(server, with, server->data);
	} else if (strncmp(line, "BDAT", 4) == 0) {
		hear_chunk(with, line);
	} else {
		answer(server, with, line[0] == 'R' ? server->rset : server->quit);
	}
}

/* One octet of a chunk, line of a body, or command.  False: more is needed. */
static inline bool hear_some(struct server *server, struct conversation *with)
{
	size_t end = span_find(buf_span(&with->got), '\n'), len;
	char line[1200];

	if (with->chunk != SIZE_MAX) {
		len = with->got.len < with->chunk ? with->got.len : with->chunk;
		buf_add(&with->body, with->got.at, len);
		buf_eat(&with->got, len);
		with->chunk -= len;
		if (with->chunk > 0)
			return false;
		with->chunk = SIZE_MAX;
		if (with->last)
			commit(server, with);
		else
			answer(server, with, server->chunk);
		return true;
	}
	if (end == with->got.len)
		return false;
	if (with->in_data && !(end == 2 && with->got.at[0] == '.')) {
		size_t dot = with->got.at[0] == '.';

		buf_add(&with->body, with->got.at + dot, end + 1 - dot);
		buf_eat(&with->got, end + 1);
		return true;
	}
	snprintf(line, sizeof(line), "%.*s", (int)end - 1, with->got.at);
	buf_eat(&with->got, end + 1);
	if (with->in_data) {
		with->in_data = false;
		commit(server, with);
	} else {
		hear_command(server, with, line);
	}
	return true;
}

static inline void server_hear(struct server *server, struct conversation *with)
{
	static char bytes[65536];
	ssize_t got = recv(with->fd, bytes, sizeof(bytes), 0);

	if (got == 0 || (got < 0 && errno != EAGAIN)) {
		hang_up(server, with);
		return;
	}
	if (got > 0)
		buf_add(&with->got, bytes, (size_t)got);
	while (with->fd >= 0 && with->got.len > 0 && hear_some(server, with))
		;
}

static inline void server_accept(struct server *server)
{
	int fd = accept4(server->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct conversation *with = server->conversation;
	int on = 1;

	if (fd < 0)
		return;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	while (with->fd >= 0)
		with++;
	*with = (struct conversation){.fd = fd, .chunk = SIZE_MAX};
	server->opened++;
	server->open++;
	answer(server, with, server->banner);
}

static inline void server_turn(struct server *server)
{
	for (int i = 0; i < CONVERSATIONS; i++) {
		if (server->conversation[i].fd >= 0 && !server->deaf)
			server_hear(server, &server->conversation[i]);
	}
	if (server->listener >= 0)
		server_accept(server);
}

static inline void server_hang_up(struct server *server)
{
	for (int i = 0; i < CONVERSATIONS; i++) {
		if (server->conversation[i].fd >= 0)
			hang_up(server, &server->conversation[i]);
	}
}

static inline void server_shut(struct server *server)
{
	if (server->listener >= 0)
		close(server->listener);
	server->listener = -1;
}

static inline void server_close(struct server *server)
{
	server_hang_up(server);
	server_shut(server);
	buf_clear(&server->heard);
	buf_clear(&server->body);
}

/* Whether it has heard this, and nothing else since it was asked last. */
static inline void server_heard(struct server *server, const char *expected)
{
	assert_string_equal(buf_string(&server->heard), expected);
	buf_reset(&server->heard);
}

/* It has heard at least this. */
static inline bool server_knows(struct server *server, const char *part)
{
	return strstr(buf_string(&server->heard), part) != NULL;
}

/* What it says by itself, on its first connection. */
static inline void server_says(struct server *server, const char *text)
{
	assert_true(server->conversation[0].fd >= 0);
	answer(server, &server->conversation[0], text);
}

static inline void server_has(struct server *server, const char *body)
{
	assert_string_equal(buf_string(&server->body), body);
}

/* ---- the house ---- */

struct house {
	struct board *board;
	void *map;
	struct conf_report report;
	struct conf *conf;
	int wake, listening;
	uint16_t port;
	struct sys *sys;
	struct net_loop *loop;
	struct net_listener *listener;
	struct pools *pools;
	struct relay *relay;
	struct net_timer tick;
	struct server server[SERVERS];
	struct buf log;
	int64_t end;
};

static const struct conf_section *const house_sections[] = {&pool_top_section, &pool_section,
	&pool_server_section, &relay_top_section, &relay_listener_section, &edge_listener_section};
static const struct conf_vocabulary house_vocabulary = {.sections = house_sections, .count = 6};

static inline void house_tick(void *arg)
{
	struct house *house = arg;

	pools_tick(house->pools);
	net_timer_set(house->loop, &house->tick, net_now(house->loop) + MSEC);
}

static inline void house_accept(
	void *arg, struct sys_sock *sock, const struct addr *peer, const struct addr *local)
{
	struct house *house = arg;

	relay_accept(house->relay, "in", sock, peer, local);
}

/* "$0" is the address of server 0. */
static inline void house_config(struct house *house, const char *format)
{
	struct buf text = {0};

	for (const char *at = format; *at; at++) {
		if (*at == '$')
			buf_addf(&text, "127.0.0.1:%u", house->server[*++at - '0'].port);
		else
			buf_add(&text, at, 1);
	}
	house->conf = conf_parse(&house_vocabulary, buf_span(&text), "test", NULL, &house->report);
	if (!house->conf) {
		buf_reset(&text);
		conf_report_text(&house->report, &text);
		fail_msg("%s", buf_string(&text));
	}
	buf_clear(&text);
}

static inline void house_work(struct house *house)
{
	house->sys = sys_real_new(&(struct sys_real_setup){.listeners = &house->listening,
		.listener_count = 1,
		.wakes = &house->wake,
		.wake_count = 1,
		.row = 0});
	house->loop = net_loop_new(house->sys);
	house->pools = pools_new(
		&(struct pool_world){
			.loop = house->loop, .board = house->board, .hostname = "mw.test"},
		house->conf);
	house->relay = relay_new(&(struct relay_world){.loop = house->loop,
		.board = house->board,
		.conf = house->conf,
		.pools = house->pools,
		.hostname = "mw.test",
		.seed = 1});
	house->listener = net_listen(house->loop, 0, house_accept, house);
	net_timer_init(&house->tick, house_tick, house);
	house_tick(house);
}

/* A config with a listener "in". */
static inline void house_open(struct house *house, const char *config)
{
	static bool known[BOARD_COLUMNS];
	struct err_text text;

	*house = (struct house){.wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
	house->map = mmap(NULL, board_size(), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_ptr_not_equal(house->map, MAP_FAILED);
	assert_int_equal(board_attach(house->map, &house->board, &text), ERR_OK);
	for (int i = 0; i < SERVERS; i++)
		server_open(&house->server[i]);
	house->listening = socket_bound(&house->port);
	house_config(house, config);
	assert_int_equal(pool_columns(house->board, house->conf, known, &text), ERR_OK);
	assert_int_equal(relay_columns(house->board, house->conf, known, &text), ERR_OK);
	assert_int_equal(board_row_take(house->board, ROW_WORKER, 1, 0), 0);
	house_work(house);
}

static inline int64_t house_sum(const struct house *house, enum metric metric)
{
	return board_sum(house->board, board_find(house->board, BOARD_LISTENER, "in"), metric);
}

static inline int64_t server_sum(const struct house *house, const char *name, enum metric metric)
{
	return board_sum(house->board, board_find(house->board, BOARD_SERVER, name), metric);
}

/* All that was logged so far. */
static inline const char *house_log(struct house *house)
{
	uint64_t upto;

	board_log_read(house->board, 0, &house->log, SIZE_MAX, &upto);
	board_log_written(house->board, 0, upto);
	return buf_string(&house->log);
}

static inline void logged(struct house *house, const char *part)
{
	if (!strstr(house_log(house), part))
		fail_msg("not in the log: %s\n%s", part, house->log.at);
}

static inline void not_logged(struct house *house, const char *part)
{
	if (strstr(house_log(house), part))
		fail_msg("in the log: %s\n%s", part, house->log.at);
}

static inline void house_turn(struct house *house)
{
	net_turn(house->loop);
	for (int i = 0; i < SERVERS; i++)
		server_turn(&house->server[i]);
}

/* Fails if it takes more than 20 s. */
#define UNTIL(house, condition)                                                                    \
	do {                                                                                       \
		(house)->end = sys_clock((house)->sys) + 20 * SECOND;                              \
		while (!(condition) && sys_clock((house)->sys) < (house)->end)                     \
			house_turn(house);                                                         \
		if (!(condition))                                                                  \
			fail_msg("in vain: %s\n%s", #condition, house_log(house));                 \
	} while (0)

static inline void turn_for(struct house *house, int64_t duration)
{
	int64_t end = sys_clock(house->sys) + duration;

	while (sys_clock(house->sys) < end)
		house_turn(house);
}

static inline void nothing_is_held(const struct house *house)
{
	assert_int_equal(house_sum(house, M_LISTENER_sessions), 0);
	assert_int_equal(house_sum(house, M_LISTENER_in_gap), 0);
	for (int i = 0; i < board_columns(house->board); i++) {
		if (board_column_kind(house->board, i) != BOARD_SERVER)
			continue;
		for (int place = 0; place < BOARD_PLACES; place++)
			assert_int_equal(board_places(house->board, i, (enum board_place)place), 0);
	}
}

/* The relay may be gone already. */
static inline void house_close(struct house *house)
{
	net_timer_clear(house->loop, &house->tick);
	net_listener_close(&house->listener);
	relay_free(&house->relay);
	pools_free(&house->pools);
	nothing_is_held(house);
	net_loop_free(&house->loop);
	sys_real_free(&house->sys);
	for (int i = 0; i < SERVERS; i++)
		server_close(&house->server[i]);
	close(house->listening);
	close(house->wake);
	conf_free(&house->conf);
	conf_report_clear(&house->report);
	buf_clear(&house->log);
	munmap(house->map, board_size());
}

/* ---- clients ---- */

struct client {
	struct house *house;
	int fd;
	struct buf got;
	char reply[2000]; /* the last one heard, all its lines */
	bool closed;
};

static inline void client_read(struct client *client)
{
	char bytes[4096];
	ssize_t got = recv(client->fd, bytes, sizeof(bytes), 0);

	if (got > 0)
		buf_add(&client->got, bytes, (size_t)got);
	else if (got == 0 || errno != EAGAIN)
		client->closed = true;
}

/* Octets of the first complete reply, 0: none yet. */
static inline size_t reply_len(const struct client *client)
{
	struct smtp_reply reply;
	bool broken;
	size_t len = smtp_reply_parse(buf_span(&client->got), &reply, &broken);

	assert_false(broken);
	return len;
}

/* The next reply, which begins so. */
static inline void hears(struct client *client, const char *expected)
{
	size_t len = 0;

	UNTIL(client->house,
		(client_read(client), (len = reply_len(client)) > 0) || client->closed);
	snprintf(client->reply, sizeof(client->reply), "%.*s", (int)len, client->got.at);
	if (len == 0 || strncmp(client->reply, expected, strlen(expected)) != 0)
		fail_msg("heard \"%s\", not \"%s\"\n%s", client->reply, expected,
			house_log(client->house));
	buf_eat(&client->got, len);
}

static inline void hears_the_end(struct client *client)
{
	UNTIL(client->house, (client_read(client), client->closed));
	assert_int_equal(client->got.len, 0);
}

static inline void says_bytes(struct client *client, const char *at, size_t len)
{
	while (len > 0) {
		ssize_t sent = send(client->fd, at, len, MSG_NOSIGNAL);

		if (sent < 0) {
			assert_int_equal(errno, EAGAIN);
			house_turn(client->house);
			continue;
		}
		at += sent;
		len -= (size_t)sent;
	}
}

static inline void says(struct client *client, const char *text)
{
	says_bytes(client, text, strlen(text));
}

/* One command and its reply. */
static inline void asks(struct client *client, const char *line, const char *expected)
{
	says(client, line);
	says(client, "\r\n");
	hears(client, expected);
}

static inline void client_connect(struct house *house, struct client *client)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
		.sin_port = htons(house->port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	int on = 1, little = 65536;

	*client = (struct client){.house = house,
		.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
	setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(client->fd, SOL_SOCKET, SO_SNDBUF, &little, sizeof(little));
	if (connect(client->fd, (struct sockaddr *)&to, sizeof(to)) != 0)
		assert_int_equal(errno, EINPROGRESS);
}

static inline void client_open(struct house *house, struct client *client)
{
	client_connect(house, client);
	hears(client, "220 mw.test ESMTP Mailweir");
	asks(client, "EHLO client.test", "250-mw.test");
}

static inline void client_close(struct client *client)
{
	close(client->fd);
	buf_clear(&client->got);
}

static inline void quits(struct client *client)
{
	asks(client, "QUIT", "221 2.0.0 Bye");
	hears_the_end(client);
	client_close(client);
}

#define SENDER    "MAIL FROM:<s@from.test>"
#define RECIPIENT "RCPT TO:<r@to.test>"

static inline void envelope(struct client *client)
{
	asks(client, SENDER, "250 2.1.0 Sender ok");
	asks(client, RECIPIENT, "250 2.1.5 recipient ok");
}

/* Two servers, of which the first is used as long as it can be. */
#define LISTENER "listener in { send-to p; relay-from 127.0.0.0/8; }"
#define ONE      "pool p { pass-client none; server a $0; }"
#define TWO      "pool p { pass-client none; server a $0; server b $1 tier=2; }"

#endif
