/*
 * What the log says of connections that could not be made: the server, why, and its words; once a
 * second, however often it is tried.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pool/pool.h"
#include "pool/pool_conf.h"
#include "sys/real.h"

static const struct conf_section *const sections[] = {
	&pool_top_section, &pool_section, &pool_server_section};
static const struct conf_vocabulary vocabulary = {.sections = sections, .count = 3};

struct world {
	void *map;
	struct board *board;
	struct conf_report report;
	struct conf *conf;
	struct sys *sys;
	struct net_loop *loop;
	struct pools *pools;
	int row, socket;
	bool told;
	struct buf lines;
};

/* The only server's socket: bound, but nobody listens yet. */
static unsigned bind_socket(struct world *world)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof in;

	world->socket = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(world->socket, (struct sockaddr *)&in, sizeof in), 0);
	assert_int_equal(getsockname(world->socket, (struct sockaddr *)&in, &len), 0);
	return ntohs(in.sin_port);
}

static int begin(void **state)
{
	static bool known[BOARD_COLUMNS];
	struct world *world = calloc(1, sizeof *world);
	char text[200];

	world->map = mmap(NULL, board_size(), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_ptr_not_equal(world->map, MAP_FAILED);
	assert_int_equal(board_attach(world->map, &world->board, NULL), ERR_OK);
	snprintf(text, sizeof text, "pool p { pass-client none; server s 127.0.0.1:%u; }",
		bind_socket(world));
	world->conf = conf_parse(&vocabulary, span_of(text), "test", NULL, &world->report);
	assert_non_null(world->conf);
	assert_int_equal(pool_columns(world->board, world->conf, known, NULL), ERR_OK);
	world->row = board_row_take(world->board, ROW_WORKER, 1, 0);
	world->sys = sys_real_new(&(struct sys_real_setup){.row = -1});
	world->loop = net_loop_new(world->sys);
	world->pools = pools_new(&(struct pool_world){.loop = world->loop,
					 .board = world->board,
					 .row = world->row,
					 .hostname = "mw.test",
					 .seed = 1},
		world->conf);
	*state = world;
	return 0;
}

static int end(void **state)
{
	struct world *world = *state;

	pools_free(&world->pools);
	net_loop_free(&world->loop);
	sys_real_free(&world->sys);
	close(world->socket);
	conf_free(&world->conf);
	conf_report_clear(&world->report);
	munmap(world->map, board_size());
	buf_clear(&world->lines);
	free(world);
	return 0;
}

static void on_ready(void *arg, enum err err, struct pool_loan *loan, const char *text)
{
	struct world *world = arg;

	(void)text;
	assert_int_not_equal(err, ERR_OK);
	assert_null(loan);
	world->told = true;
}

static void greet(const struct world *world, const char *banner)
{
	int fd = banner ? accept(world->socket, NULL, NULL) : -1;

	if (fd < 0)
		return;
	send(fd, banner, strlen(banner), MSG_NOSIGNAL);
	close(fd);
}

/* A lending that comes to nothing; afterwards world->lines is what was logged. */
static const char *fail_once(struct world *world, const char *banner)
{
	int64_t until = sys_clock(world->sys) + 10 * SECOND;
	struct pool_want want = {.deadline = net_now(world->loop) + 10 * SECOND};
	uint64_t upto;

	world->told = false;
	pool_lend(pools_find(world->pools, "p"), &want, on_ready, world);
	while (!world->told && sys_clock(world->sys) < until) {
		net_turn(world->loop);
		greet(world, banner);
	}
	assert_true(world->told);
	buf_reset(&world->lines);
	board_log_read(world->board, world->row, &world->lines, 10000, &upto);
	board_log_written(world->board, world->row, upto);
	return world->lines.len ? buf_string(&world->lines) : "";
}

static void expect(const char *lines, const char *part)
{
	if (!strstr(lines, part))
		fail_msg("no %s in %s", part, lines ? lines : "nothing");
}

static void one_line_a_second(void **state)
{
	struct world *world = *state;
	int64_t began = sys_clock(world->sys);
	const char *lines = fail_once(world, NULL);

	expect(lines, "\"event\":\"connection\",\"pool\":\"p\",\"server\":\"s\"");
	expect(lines, "\"phase\":\"connect\",\"reason\":\"connect failed\"");
	expect(lines, "Connection refused");
	lines = fail_once(world, NULL);
	if (sys_clock(world->sys) - began < SECOND)
		assert_string_equal(lines, "");
	usleep(1100000);
	expect(fail_once(world, NULL), "\"event\":\"connection\"");
}

static void a_refused_greeting_is_quoted(void **state)
{
	struct world *world = *state;
	const char *lines;

	assert_int_equal(listen(world->socket, 5), 0);
	lines = fail_once(world, "554-5.7.1 go away\r\n554 5.7.1 please\r\n");
	expect(lines, "\"phase\":\"banner\",\"reason\":\"greeting refused\"");
	expect(lines, "\"reply\":\"554 5.7.1 go away / please\"");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(one_line_a_second, begin, end),
		cmocka_unit_test_setup_teardown(a_refused_greeting_is_quoted, begin, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
