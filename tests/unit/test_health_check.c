/*
 * The check that only connects: a server with several addresses is well if one of them answers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "health/check.h"
#include "sys/real.h"

static const struct health_check_settings settings = {
	.script = HEALTH_TCP, .timeout = 600 * MSEC, .rise = 1, .fall = 1};

struct world {
	struct sys *sys;
	struct net_loop *loop;
	bool done;
	struct health_finding finding;
};

static void open_world(struct world *world)
{
	*world = (struct world){.sys = sys_real_new(&(struct sys_real_setup){.row = -1})};
	world->loop = net_loop_new(world->sys);
}

static void close_world(struct world *world)
{
	net_loop_free(&world->loop);
	assert_int_equal(sys_sockets(world->sys), 0);
	sys_real_free(&world->sys);
}

/* `backlog` below 0: it doesn't listen, so it refuses. */
static int open_server(struct addr *addr_r, int backlog)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof in;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof in), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
	if (backlog >= 0)
		assert_int_equal(listen(fd, backlog), 0);
	assert_int_equal(addr_parse(span_of("127.0.0.1"), addr_r), ERR_OK);
	addr_r->port = ntohs(in.sin_port);
	return fd;
}

/* The queue of one that never accepts is full: further connections are not answered at all. */
static int open_silent(struct addr *addr_r, int full_r[2])
{
	int fd = open_server(addr_r, 0);
	struct sockaddr_in in = {.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons(addr_r->port)};
	for (int i = 0; i < 2; i++) {
		full_r[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		connect(full_r[i], (struct sockaddr *)&in, sizeof in);
	}
	return fd;
}

static void done(void *arg, const struct health_finding *finding)
{
	struct world *world = arg;
	assert_false(world->done);
	world->done = true;
	world->finding = *finding;
}

static void run(struct world *world, const struct addr *addr, unsigned count)
{
	struct check *check =
		check_new(world->loop, addr, count, "mw.test", &settings, done, world);
	int64_t end = sys_clock(world->sys) + 10 * SECOND;
	world->done = false;
	while (!world->done && sys_clock(world->sys) < end)
		net_turn(world->loop);
	assert_true(world->done);
	check_free(&check);
}

static void one_address_that_answers_is_enough(void **state)
{
	struct addr addr[3];
	struct world world;
	int full[2];
	int refusing = open_server(&addr[0], -1), silent = open_silent(&addr[1], full);
	int listening = open_server(&addr[2], 5);
	(void)state;
	open_world(&world);
	run(&world, addr, 3);
	assert_int_equal(world.finding.result, HEALTH_PASSED);
	run(&world, addr, 1);
	assert_int_equal(world.finding.result, HEALTH_FAILED);
	assert_int_equal(world.finding.reason, REASON_CHECK_CONNECT);
	assert_non_null(strstr(world.finding.text, "Connection refused"));
	run(&world, addr, 2);
	assert_int_equal(world.finding.result, HEALTH_FAILED);
	assert_int_equal(world.finding.reason, REASON_CHECK_TIMEOUT);
	close_world(&world);
	close(refusing);
	close(silent);
	close(listening);
	close(full[0]);
	close(full[1]);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_address_that_answers_is_enough),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
