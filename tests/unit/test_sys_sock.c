/*
 * The real body: sockets, listening and connecting, over loopback and unix sockets.
 */
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
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/real.h"

/* What an owner has heard. */
struct heard {
	unsigned ready;
	int events;
};

struct world {
	struct sys *sys;
	int fd; /* the listening socket */
	struct addr at;
	struct sys_sock *listener, *ours, *theirs;
	struct heard listening, our, their;
	struct addr peer, local;
};

static struct addr addr_of(const char *text)
{
	struct addr addr;
	assert_int_equal(addr_parse_port(span_of(text), &addr), ERR_OK);
	return addr;
}

static void turn(struct world *world, int64_t within)
{
	struct sys_event events[16];
	bool woken;
	int count = sys_wait(world->sys, events, 16, sys_clock(world->sys) + within, &woken);
	for (int i = 0; i < count; i++) {
		struct heard *heard = events[i].owner;
		heard->ready |= events[i].ready;
		heard->events++;
	}
}

static void turn_until(struct world *world, const struct heard *heard, unsigned ready)
{
	for (int i = 0; i < 100 && (heard->ready & ready) != ready; i++)
		turn(world, 100 * MSEC);
	assert_int_equal(heard->ready & ready, ready);
}

static void world_open(struct world *world, const char *listen)
{
	struct err_text text;
	*world = (struct world){.at = addr_of(listen)};
	world->fd = sys_real_listen(&world->at, false, &world->at.port, &text);
	assert_true(world->fd >= 0);
	world->sys = sys_real_new(
		&(struct sys_real_setup){.listeners = &world->fd, .listener_count = 1, .row = -1});
	world->listener = sys_listener(world->sys, 0, &world->listening);
	assert_non_null(world->listener);
	assert_null(sys_listener(world->sys, 1, NULL));
	assert_null(sys_listener(world->sys, -1, NULL));
}

/* One connection, both ends in this process. */
static void world_join(struct world *world, const struct sys_endpoint *endpoint)
{
	int err = 0;
	assert_int_equal(sys_open(world->sys, endpoint, &world->our, &world->ours, &err), IO_OK);
	turn_until(world, &world->our, SYS_WRITE);
	assert_int_equal(sys_connected(world->ours, &err), IO_OK);
	turn_until(world, &world->listening, SYS_READ);
	assert_int_equal(sys_accept(world->listener, &world->their, &world->theirs, &world->peer,
				 &world->local, &err),
		IO_OK);
	turn(world, 0);
	world->our = world->their = (struct heard){0};
}

static void world_close(struct world *world)
{
	if (world->ours)
		sys_close(&world->ours, false);
	if (world->theirs)
		sys_close(&world->theirs, false);
	sys_close(&world->listener, false);
	assert_int_equal(sys_sockets(world->sys), 0);
	sys_real_free(&world->sys);
	close(world->fd);
	if (world->at.family == ADDR_UNIX)
		unlink(world->at.path);
}

static enum io send_text(struct sys_sock *sock, const char *text)
{
	struct iovec iov[2] = {
		{.iov_base = (char *)text, .iov_len = 1},
		{.iov_base = (char *)text + 1, .iov_len = strlen(text) - 1},
	};
	size_t sent = 0;
	int err = 0;
	enum io io = sys_sendv(sock, iov, 2, &sent, &err);
	if (io == IO_OK)
		assert_int_equal(sent, strlen(text));
	return io;
}

static enum io recv_some(struct sys_sock *sock, char *into, size_t room, int *err_r)
{
	size_t got = 0;
	enum io io = sys_recv(sock, into, room - 1, &got, err_r);
	into[got] = '\0';
	return io;
}

/* ---- joining ---- */

static void test_both_ends_know_the_addresses(void **state)
{
	(void)state;
	struct world world;
	world_open(&world, "127.0.0.1:0");
	assert_true(world.at.port > 0);
	struct sys_endpoint endpoint = {.to = world.at, .from = addr_of("127.0.0.9:0")};
	world_join(&world, &endpoint);
	assert_true(addr_eq(&world.local, &world.at));
	assert_true(addr_host_eq(&world.peer, &endpoint.from));
	assert_true(world.peer.port > 0);
	assert_int_equal(sys_sockets(world.sys), 2);
	assert_true(sys_sockets_limit(world.sys) > 16);
	world_close(&world);
}

static void test_wildcard_tells_the_address_that_was_called(void **state)
{
	(void)state;
	struct world world;
	world_open(&world, "0.0.0.0:0");
	struct addr to = addr_of("127.0.0.7:1");
	to.port = world.at.port;
	world_join(&world, &(struct sys_endpoint){.to = to});
	assert_true(addr_eq(&world.local, &to));
	world_close(&world);
}

static void test_unix_socket(void **state)
{
	(void)state;
	struct world world;
	char listen[64];
	snprintf(listen, sizeof(listen), "unix:/tmp/mailweir-%d.sock", (int)getpid());
	world_open(&world, listen);
	struct stat there;
	assert_int_equal(stat(world.at.path, &there), 0);
	assert_int_equal(there.st_mode & 0777, 0660);
	world_join(&world, &(struct sys_endpoint){.to = world.at});
	assert_int_equal(world.peer.family, ADDR_UNIX);
	assert_int_equal(world.local.family, ADDR_UNIX);
	assert_string_equal(world.local.path, world.at.path);
	assert_int_equal(send_text(world.ours, "hello"), IO_OK);
	turn_until(&world, &world.their, SYS_READ);
	world_close(&world);
}

static void test_unix_socket_replaces_only_a_stale_one(void **state)
{
	(void)state;
	struct err_text text = {""};
	char name[64];
	snprintf(name, sizeof(name), "unix:/tmp/mailweir-stale-%d.sock", (int)getpid());
	struct addr addr = addr_of(name);
	int first = sys_real_listen(&addr, false, NULL, &text);
	assert_true(first >= 0);
	assert_int_equal(sys_real_listen(&addr, false, NULL, &text), -1);
	assert_non_null(strstr(text.text, "Address already in use"));
	close(first); /* now it is stale */
	int second = sys_real_listen(&addr, false, NULL, &text);
	assert_true(second >= 0);
	close(second);
	unlink(addr.path);
	FILE *file = fopen(addr.path, "w"); /* not a socket: not ours to remove */
	assert_non_null(file);
	fclose(file);
	assert_int_equal(sys_real_listen(&addr, false, NULL, &text), -1);
	assert_int_equal(unlink(addr.path), 0);
}

static void test_port_in_use_is_named(void **state)
{
	(void)state;
	struct err_text text = {""};
	struct addr addr = addr_of("127.0.0.1:0");
	int first = sys_real_listen(&addr, false, &addr.port, &text);
	char want[256], name[ADDR_TEXT];
	addr_text_port(&addr, name);
	snprintf(want, sizeof(want), "can't listen on %s: Address already in use", name);
	assert_true(first >= 0);
	assert_int_equal(sys_real_listen(&addr, false, NULL, &text), -1);
	assert_string_equal(text.text, want);
	close(first);
	first = sys_real_listen(&addr, true, NULL, &text);
	int second = sys_real_listen(&addr, true, NULL, &text);
	assert_true(first >= 0 && second >= 0);
	close(first);
	close(second);
}

static void test_both_wildcards_on_one_port(void **state)
{
	(void)state;
	struct err_text text = {""};
	struct addr four = addr_of("0.0.0.0:0"), six = addr_of("[::]:0");
	int probe = socket(AF_INET6, SOCK_STREAM, 0);
	if (probe < 0)
		skip();
	close(probe);
	int first = sys_real_listen(&four, false, &four.port, &text);
	six.port = four.port;
	int second = sys_real_listen(&six, false, NULL, &text);
	assert_true(first >= 0 && second >= 0);
	close(first);
	close(second);
}

static void test_nagle_is_off_on_both_ends(void **state)
{
	(void)state;
	struct world world;
	int found = 0;
	world_open(&world, "127.0.0.1:0");
	world_join(&world, &(struct sys_endpoint){.to = world.at});
	for (int fd = 3; fd < 64; fd++) {
		struct sockaddr_in name;
		socklen_t len = sizeof(name), one = sizeof(int);
		int off = 0;
		if (getpeername(fd, (struct sockaddr *)&name, &len) < 0)
			continue;
		assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &off, &one), 0);
		assert_true(off);
		found++;
	}
	assert_int_equal(found, 2);
	world_close(&world);
}

static void test_refused_connection_says_why(void **state)
{
	(void)state;
	struct world world;
	world_open(&world, "127.0.0.1:0");
	/* A port that was free a moment ago, and nobody listens on. */
	struct addr addr = addr_of("127.0.0.1:0");
	int fd = sys_real_listen(&addr, false, &addr.port, NULL);
	close(fd);
	int err = 0;
	enum io io = sys_open(
		world.sys, &(struct sys_endpoint){.to = addr}, &world.our, &world.ours, &err);
	if (io == IO_OK) {
		turn_until(&world, &world.our, SYS_WRITE);
		assert_int_equal(sys_connected(world.ours, &err), IO_FAILED);
	}
	assert_int_equal(err, ECONNREFUSED);
	assert_string_equal(sys_errno_text(err), "Connection refused");
	world_close(&world);
}

static void test_connecting_is_again_until_told(void **state)
{
	(void)state;
	struct world world;
	int err = 0;
	world_open(&world, "127.0.0.1:0");
	assert_int_equal(sys_open(world.sys, &(struct sys_endpoint){.to = world.at}, &world.our,
				 &world.ours, &err),
		IO_OK);
	assert_int_equal(sys_connected(world.ours, &err), IO_AGAIN);
	turn_until(&world, &world.our, SYS_WRITE);
	assert_int_equal(sys_connected(world.ours, &err), IO_OK);
	world_close(&world);
}

static void test_impossible_source_fails_at_once(void **state)
{
	(void)state;
	struct world world;
	int err = 0;
	world_open(&world, "127.0.0.1:0");
	struct sys_endpoint endpoint = {.to = world.at, .from = addr_of("192.0.2.77:0")};
	assert_int_equal(sys_open(world.sys, &endpoint, &world.our, &world.ours, &err), IO_FAILED);
	assert_int_equal(err, EADDRNOTAVAIL);
	assert_int_equal(sys_sockets(world.sys), 0);
	world_close(&world);
}

/* ---- listening ---- */

static void test_listener_is_told_each_turn_until_empty(void **state)
{
	(void)state;
	struct world world;
	int err = 0;
	world_open(&world, "127.0.0.1:0");
	assert_int_equal(sys_accept(world.listener, &world.their, &world.theirs, &world.peer,
				 &world.local, &err),
		IO_AGAIN);
	assert_int_equal(sys_open(world.sys, &(struct sys_endpoint){.to = world.at}, &world.our,
				 &world.ours, &err),
		IO_OK);
	turn_until(&world, &world.listening, SYS_READ);
	int before = world.listening.events;
	turn(&world, SECOND);
	assert_int_equal(world.listening.events, before + 1);
	assert_int_equal(sys_accept(world.listener, &world.their, &world.theirs, &world.peer,
				 &world.local, &err),
		IO_OK);
	before = world.listening.events;
	turn(&world, 0);
	assert_int_equal(world.listening.events, before);
	world_close(&world);
}

static void test_closed_listener_is_silent_but_open(void **state)
{
	(void)state;
	struct world world;
	int err = 0;
	world_open(&world, "127.0.0.1:0");
	sys_close(&world.listener, false);
	assert_int_equal(sys_open(world.sys, &(struct sys_endpoint){.to = world.at}, &world.our,
				 &world.ours, &err),
		IO_OK);
	turn_until(&world, &world.our, SYS_WRITE);
	assert_int_equal(sys_connected(world.ours, &err), IO_OK); /* it waits in the kernel */
	turn(&world, 20 * MSEC);
	assert_int_equal(world.listening.events, 0);
	world.listener = sys_listener(world.sys, 0, &world.listening);
	turn_until(&world, &world.listening, SYS_READ);
	world_close(&world);
}

/* ---- bytes ---- */

static void test_readiness_is_told_once_per_change(void **state)
{
	(void)state;
	struct world world;
	char text[64];
	int err = 0;
	world_open(&world, "127.0.0.1:0");
	world_join(&world, &(struct sys_endpoint){.to = world.at});
	assert_int_equal(recv_some(world.theirs, text, sizeof(text), &err), IO_AGAIN);
	assert_int_equal(send_text(world.ours, "hello"), IO_OK);
	turn_until(&world, &world.their, SYS_READ);
	assert_int_equal(world.their.ready & SYS_HANGUP, 0);
	turn(&world, 10 * MSEC);
	assert_int_equal(world.their.events, 1); /* unread, but not told again */
	assert_int_equal(send_text(world.ours, " there"), IO_OK);
	turn(&world, SECOND);
	assert_int_equal(world.their.events, 2);
	assert_int_equal(recv_some(world.theirs, text, sizeof(text), &err), IO_OK);
	assert_string_equal(text, "hello there");
	world_close(&world);
}

static void test_what_comes_after_a_short_read_is_told(void **state)
{
	(void)state;
	struct world world;
	char text[64];
	int err = 0;
	world_open(&world, "127.0.0.1:0");
	world_join(&world, &(struct sys_endpoint){.to = world.at});
	for (int i = 0; i < 100; i++) {
		world.their = (struct heard){0};
		assert_int_equal(send_text(world.ours, "hello"), IO_OK);
		turn_until(&world, &world.their, SYS_READ);
		assert_int_equal(recv_some(world.theirs, text, sizeof(text), &err), IO_OK);
		assert_string_equal(text, "hello");
	}
	world_close(&world);
}

static void test_full_socket_is_told_when_there_is_room(void **state)
{
	(void)state;
	struct world world;
	static char bytes[64 * 1024];
	size_t total = 0, sent = 0, got = 0;
	int err = 0;
	world_open(&world, "127.0.0.1:0");
	world_join(&world, &(struct sys_endpoint){.to = world.at});
	struct iovec iov = {.iov_base = bytes, .iov_len = sizeof(bytes)};
	do {
		total += sent;
		sent = 0;
	} while (sys_sendv(world.ours, &iov, 1, &sent, &err) == IO_OK);
	assert_true(total > sizeof(bytes));
	turn(&world, 0);
	world.our = (struct heard){0};
	turn(&world, 10 * MSEC);
	assert_int_equal(world.our.ready & SYS_WRITE, 0);
	for (int i = 0; i < 1000 && total > 0; i++) {
		enum io io = sys_recv(world.theirs, bytes, sizeof(bytes), &got, &err);
		if (io == IO_OK)
			total -= got;
		else
			turn(&world, 100 * MSEC);
	}
	assert_int_equal(total, 0);
	turn_until(&world, &world.our, SYS_WRITE);
	assert_int_equal(send_text(world.ours, "again"), IO_OK);
	world_close(&world);
}

static void test_shutdown_gives_hangup_then_end(void **state)
{
	(void)state;
	struct world world;
	char text[64];
	int err = 0;
	world_open(&world, "127.0.0.1:0");
	world_join(&world, &(struct sys_endpoint){.to = world.at});
	assert_int_equal(send_text(world.ours, "last words"), IO_OK);
	sys_shutdown(world.ours);
	turn_until(&world, &world.their, SYS_READ | SYS_HANGUP);
	assert_int_equal(recv_some(world.theirs, text, sizeof(text), &err), IO_OK);
	assert_string_equal(text, "last words");
	assert_int_equal(recv_some(world.theirs, text, sizeof(text), &err), IO_EOF);
	assert_int_equal(send_text(world.theirs, "answer"), IO_OK); /* only half is closed */
	turn_until(&world, &world.our, SYS_READ);
	assert_int_equal(recv_some(world.ours, text, sizeof(text), &err), IO_OK);
	assert_string_equal(text, "answer");
	world_close(&world);
}

static void test_reset_is_a_failure(void **state)
{
	(void)state;
	struct world world;
	char text[64];
	int err = 0;
	world_open(&world, "127.0.0.1:0");
	world_join(&world, &(struct sys_endpoint){.to = world.at});
	sys_close(&world.ours, true);
	assert_null(world.ours);
	assert_int_equal(sys_sockets(world.sys), 1);
	turn_until(&world, &world.their, SYS_READ | SYS_WRITE | SYS_HANGUP);
	assert_int_equal(recv_some(world.theirs, text, sizeof(text), &err), IO_FAILED);
	assert_int_equal(err, ECONNRESET);
	assert_int_equal(send_text(world.theirs, "nobody"), IO_FAILED); /* and no SIGPIPE */
	world_close(&world);
}

static void close_theirs(void *arg)
{
	struct world *world = arg;
	if (world->theirs)
		sys_close(&world->theirs, false);
}

static void test_socket_closed_by_a_watch_is_not_reported(void **state)
{
	(void)state;
	struct world world;
	world_open(&world, "127.0.0.1:0");
	world_join(&world, &(struct sys_endpoint){.to = world.at});
	int fd = eventfd(1, EFD_NONBLOCK);
	assert_int_equal(send_text(world.ours, "hello"), IO_OK);
	sys_watch(world.sys, fd, close_theirs, &world);
	turn(&world, SECOND); /* both are ready in this batch */
	assert_null(world.theirs);
	assert_int_equal(world.their.events, 0);
	sys_unwatch(world.sys, fd);
	turn(&world, 0);
	assert_int_equal(world.their.events, 0);
	close(fd);
	world_close(&world);
}

static void test_events_go_to_the_new_owner(void **state)
{
	(void)state;
	struct world world;
	struct heard other = {0};
	world_open(&world, "127.0.0.1:0");
	world_join(&world, &(struct sys_endpoint){.to = world.at});
	assert_int_equal(send_text(world.ours, "hello"), IO_OK);
	sys_sock_own(world.theirs, &other);
	turn_until(&world, &other, SYS_READ);
	assert_int_equal(world.their.events, 0);
	world_close(&world);
}

static void test_raises_descriptors(void **state)
{
	(void)state;
	unsigned limit = sys_real_raise_descriptors();
	assert_true(limit >= 256);
	assert_int_equal(sys_real_raise_descriptors(), limit);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_ends_know_the_addresses),
		cmocka_unit_test(test_wildcard_tells_the_address_that_was_called),
		cmocka_unit_test(test_unix_socket),
		cmocka_unit_test(test_unix_socket_replaces_only_a_stale_one),
		cmocka_unit_test(test_port_in_use_is_named),
		cmocka_unit_test(test_both_wildcards_on_one_port),
		cmocka_unit_test(test_nagle_is_off_on_both_ends),
		cmocka_unit_test(test_refused_connection_says_why),
		cmocka_unit_test(test_connecting_is_again_until_told),
		cmocka_unit_test(test_impossible_source_fails_at_once),
		cmocka_unit_test(test_listener_is_told_each_turn_until_empty),
		cmocka_unit_test(test_closed_listener_is_silent_but_open),
		cmocka_unit_test(test_readiness_is_told_once_per_change),
		cmocka_unit_test(test_what_comes_after_a_short_read_is_told),
		cmocka_unit_test(test_full_socket_is_told_when_there_is_room),
		cmocka_unit_test(test_shutdown_gives_hangup_then_end),
		cmocka_unit_test(test_reset_is_a_failure),
		cmocka_unit_test(test_socket_closed_by_a_watch_is_not_reported),
		cmocka_unit_test(test_events_go_to_the_new_owner),
		cmocka_unit_test(test_raises_descriptors),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
