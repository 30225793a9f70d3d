/*
 * Lingering: what NET_CLOSE_FLUSHED promises, against a peer that is a plain socket of the test.
 */
#include "test_net_help.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

struct host {
	struct world world;
	struct end end;
	int peer; /* non-blocking */
};

static int host_open(void **state)
{
	struct host *host = mem_new(sizeof(*host));
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	world_open(&host->world);
	host->end.world = &host->world;
	at.sin_port = htons(host->world.at.port);
	struct net_listener *listener = net_listen(host->world.loop, 0, end_accepted, &host->end);
	host->peer = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(host->peer, (struct sockaddr *)&at, sizeof(at)), 0);
	TURN_UNTIL(&host->world, host->end.stream);
	net_listener_close(&listener);
	*state = host;
	return 0;
}

static int host_close(void **state)
{
	struct host *host = *state;
	end_clear(&host->end);
	if (host->peer >= 0)
		close(host->peer);
	world_close(&host->world);
	free(host);
	return 0;
}

static size_t peer_send(struct host *host, size_t len)
{
	static char bytes[64 * 1024];
	size_t all = 0;
	while (all < len) {
		size_t part = len - all < sizeof(bytes) ? len - all : sizeof(bytes);
		ssize_t put = send(host->peer, bytes, part, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (put <= 0)
			break;
		all += (size_t)put;
	}
	return all;
}

/* Bytes read; *end_r: 0 for a plain end, an errno, or -1 while it is open. */
static size_t peer_read(struct host *host, int *end_r)
{
	static char bytes[64 * 1024];
	size_t all = 0;
	ssize_t got;
	while ((got = recv(host->peer, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
		all += (size_t)got;
	*end_r = got == 0 ? 0 : errno == EAGAIN ? -1 : errno;
	return all;
}

/* Waits for the end, a second at most; the loop stands still meanwhile. */
static size_t peer_read_to_end(struct host *host, int *end_r)
{
	size_t all = peer_read(host, end_r);
	for (int i = 0; i < 1000 && *end_r == -1; i++) {
		usleep(1000);
		all += peer_read(host, end_r);
	}
	return all;
}

#define REPLY "552 5.3.4 message too large\r\n"

/* The control: what lingering is for does happen without it. */
static void test_close_with_unread_bytes_resets(void **state)
{
	struct host *host = *state;
	int end = -1;
	net_pause(host->end.stream, true);
	assert_int_equal(peer_send(host, 50000), 50000);
	world_turn_for(&host->world, 5 * MSEC);
	end_say(&host->end, REPLY);
	net_flush(host->end.stream);
	net_close(&host->end.stream, NET_CLOSE_NOW);
	peer_read_to_end(host, &end);
	assert_int_equal(end, ECONNRESET);
}

static void test_last_reply_survives_unread_bytes(void **state)
{
	struct host *host = *state;
	int end = -1;
	net_pause(host->end.stream, true);
	size_t sent = peer_send(host, 200000);
	world_turn_for(&host->world, 5 * MSEC);
	end_say(&host->end, REPLY);
	net_close(&host->end.stream, NET_CLOSE_FLUSHED);
	assert_null(host->end.stream);
	assert_int_equal(sys_sockets(host->world.sys), 1);
	for (int i = 0; i < 20; i++) { /* it goes on talking */
		sent += peer_send(host, 10000);
		world_turn_for(&host->world, 1 * MSEC);
	}
	assert_true(sent > 200000);
	assert_int_equal(peer_read_to_end(host, &end), strlen(REPLY));
	assert_int_equal(end, 0);
	assert_int_equal(sys_sockets(host->world.sys), 1);
	close(host->peer);
	host->peer = -1;
	int64_t begun = net_now(host->world.loop);
	TURN_UNTIL(&host->world, sys_sockets(host->world.sys) == 0);
	assert_true(net_now(host->world.loop) - begun < SECOND);
	assert_int_equal(host->end.readables + host->end.drains + host->end.hangups, 0);
	assert_int_equal(host->end.sent, 0); /* no callback after */
}

static void test_much_unsent_goes_out_first(void **state)
{
	struct host *host = *state;
	static char text[8 * 1024 * 1024];
	size_t got = 0;
	int end = -1;
	push_bytes(&host->end, text, sizeof(text));
	net_close(&host->end.stream, NET_CLOSE_FLUSHED);
	for (int i = 0; i < 5000 && end == -1; i++) {
		world_turn_for(&host->world, 1 * MSEC);
		got += peer_read(host, &end);
	}
	assert_int_equal(got, sizeof(text));
	assert_int_equal(end, 0);
}

static void test_nothing_left_to_do_closes_at_once(void **state)
{
	struct host *host = *state;
	int end = -1;
	shutdown(host->peer, SHUT_WR);
	TURN_UNTIL(&host->world, host->end.last == IO_EOF);
	net_close(&host->end.stream, NET_CLOSE_FLUSHED);
	assert_int_equal(sys_sockets(host->world.sys), 0);
	assert_int_equal(peer_read_to_end(host, &end), 0);
	assert_int_equal(end, 0);
}

static void test_reply_after_the_peers_end_still_goes(void **state)
{
	struct host *host = *state;
	int end = -1;
	shutdown(host->peer, SHUT_WR);
	TURN_UNTIL(&host->world, host->end.last == IO_EOF);
	end_say(&host->end, REPLY);
	net_close(&host->end.stream, NET_CLOSE_FLUSHED);
	int64_t begun = net_now(host->world.loop);
	TURN_UNTIL(&host->world, sys_sockets(host->world.sys) == 0);
	assert_true(net_now(host->world.loop) - begun < SECOND);
	assert_int_equal(peer_read_to_end(host, &end), strlen(REPLY));
	assert_int_equal(end, 0);
}

static void test_flood_ends_it_early(void **state)
{
	struct host *host = *state;
	size_t sent = 0;
	end_say(&host->end, REPLY);
	net_close(&host->end.stream, NET_CLOSE_FLUSHED);
	int64_t begun = net_now(host->world.loop);
	for (int i = 0; i < 1000 && sys_sockets(host->world.sys) > 0; i++) {
		sent += peer_send(host, 100000);
		world_turn_for(&host->world, 1 * MSEC);
	}
	assert_int_equal(sys_sockets(host->world.sys), 0);
	assert_true(sent >= 1024 * 1024);
	assert_true(net_now(host->world.loop) - begun < NET_LINGER);
}

static void test_reset_ends_it(void **state)
{
	struct host *host = *state;
	struct linger now = {.l_onoff = 1};
	net_close(&host->end.stream, NET_CLOSE_FLUSHED);
	world_turn_for(&host->world, 5 * MSEC);
	assert_int_equal(sys_sockets(host->world.sys), 1);
	setsockopt(host->peer, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(host->peer);
	host->peer = -1;
	int64_t begun = net_now(host->world.loop);
	TURN_UNTIL(&host->world, sys_sockets(host->world.sys) == 0);
	assert_true(net_now(host->world.loop) - begun < SECOND);
}

/* One peer that never ends, and one that never reads: both at once, to wait only once. */
static void test_patience_is_bounded(void **state)
{
	struct host *host = *state;
	static char text[16 * 1024 * 1024];
	struct end a = {0}, b = {0};
	ends_join(&host->world, &a, &b);
	net_pause(a.stream, true);
	push_bytes(&b, text, sizeof(text));
	int64_t begun = net_now(host->world.loop);
	net_close(&b.stream, NET_CLOSE_FLUSHED);
	net_close(&host->end.stream, NET_CLOSE_FLUSHED);
	world_turn_for(&host->world, NET_LINGER - 500 * MSEC);
	assert_int_equal(sys_sockets(host->world.sys), 3);
	TURN_UNTIL(&host->world, sys_sockets(host->world.sys) == 1);
	assert_true(net_now(host->world.loop) - begun < NET_LINGER + 2 * SECOND);
	end_clear(&a);
}

static void test_loop_ends_with_lingering_ones(void **state)
{
	struct host *host = *state;
	end_say(&host->end, REPLY);
	net_close(&host->end.stream, NET_CLOSE_FLUSHED);
	world_turn_for(&host->world, 2 * MSEC);
	assert_int_equal(sys_sockets(host->world.sys), 1); /* world_close() finds none */
}

static void test_connecting_is_given_up(void **state)
{
	struct host *host = *state;
	struct end end = {.world = &host->world};
	end.stream = net_connect(
		host->world.loop, &(struct sys_endpoint){.to = host->world.at}, &end_ops, &end);
	net_close(&end.stream, NET_CLOSE_FLUSHED);
	assert_int_equal(sys_sockets(host->world.sys), 1);
	world_turn_for(&host->world, 5 * MSEC);
	assert_int_equal(end.connected, 0);
}

#define WITH_HOST(test) cmocka_unit_test_setup_teardown(test, host_open, host_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_HOST(test_close_with_unread_bytes_resets),
		WITH_HOST(test_last_reply_survives_unread_bytes),
		WITH_HOST(test_much_unsent_goes_out_first),
		WITH_HOST(test_nothing_left_to_do_closes_at_once),
		WITH_HOST(test_reply_after_the_peers_end_still_goes),
		WITH_HOST(test_flood_ends_it_early),
		WITH_HOST(test_reset_ends_it),
		WITH_HOST(test_patience_is_bounded),
		WITH_HOST(test_loop_ends_with_lingering_ones),
		WITH_HOST(test_connecting_is_given_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
