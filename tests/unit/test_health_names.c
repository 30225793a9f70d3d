/*
 * Names of servers, as health looks them up and as a pool of a worker sees what came of it: one
 * without an address is out, and mail goes elsewhere.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "health/health.h"
#include "health/health_conf.h"
#include "pool/pool.h"
#include "pool/pool_conf.h"
#include "sys/real.h"

#define CONFIG                                                                                     \
	"pool p { pass-client none; check none;"                                                   \
	" server named mx.example.test:25;"                                                        \
	" server literal 127.0.0.1:9 tier=2; }"

static const struct conf_section *const sections[] = {&pool_top_section, &pool_section,
	&pool_server_section, &health_pool_section, &health_check_section, &health_outlier_section};
static const struct conf_vocabulary vocabulary = {
	.sections = sections, .count = sizeof(sections) / sizeof(sections[0])};

struct world {
	void *map;
	struct board *board;
	struct conf_report report;
	struct conf *conf;
	int row, named, literal;
	char hosts[64];
	struct sys *sys;
	struct net_loop *loop;
	struct health *health;
	struct pools *pools;
};

static void columns(struct world *world)
{
	static bool known[BOARD_COLUMNS];
	struct err_text text;

	assert_int_equal(pool_columns(world->board, world->conf, known, &text), ERR_OK);
	assert_true(board_column(world->board, BOARD_PROCESS, "process") >= 0);
	world->named = board_find(world->board, BOARD_SERVER, "p/named");
	world->literal = board_find(world->board, BOARD_SERVER, "p/literal");
}

static int begin(void **state)
{
	struct world *world = calloc(1, sizeof *world);
	struct err_text text;
	int fd;

	world->map = mmap(NULL, board_size(), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_ptr_not_equal(world->map, MAP_FAILED);
	assert_int_equal(board_attach(world->map, &world->board, &text), ERR_OK);
	world->conf = conf_parse(&vocabulary, span_of(CONFIG), "test", NULL, &world->report);
	assert_non_null(world->conf);
	columns(world);
	world->row = board_row_take(world->board, ROW_CONTROL, 1, 0);
	snprintf(world->hosts, sizeof world->hosts, "/tmp/mailweir-names-XXXXXX");
	fd = mkstemp(world->hosts);
	assert_true(fd >= 0);
	close(fd);
	*state = world;
	return 0;
}

static int end(void **state)
{
	struct world *world = *state;

	unlink(world->hosts);
	conf_free(&world->conf);
	conf_report_clear(&world->report);
	munmap(world->map, board_size());
	free(world);
	return 0;
}

/* A control and a worker in one: the board between them is what counts.  Nobody serves names at
 * the port, so there is only the hosts file. */
static void start(struct world *world)
{
	world->sys = sys_real_new(&(struct sys_real_setup){.hosts = world->hosts,
		.nameserver = "127.0.0.1@9",
		.resolve_within = 300 * MSEC,
		.row = -1});
	world->loop = net_loop_new(world->sys);
	world->health = health_new(&(struct health_world){.loop = world->loop,
		.board = world->board,
		.row = world->row,
		.conf = world->conf,
		.hostname = "mw.test",
		.seed = 1});
	world->pools = pools_new(&(struct pool_world){.loop = world->loop,
					 .board = world->board,
					 .row = world->row,
					 .hostname = "mw.test",
					 .seed = 1},
		world->conf);
}

static void stop(struct world *world)
{
	pools_free(&world->pools);
	health_free(&world->health);
	net_loop_free(&world->loop);
	sys_real_free(&world->sys);
}

static bool has_left(const struct world *world, enum server_state state)
{
	return board_verdict(world->board, world->named).state != state;
}

static void turn_while(struct world *world, enum server_state state)
{
	int64_t until = sys_clock(world->sys) + 10 * SECOND;

	while (!has_left(world, state) && sys_clock(world->sys) < until)
		net_turn(world->loop);
	assert_true(has_left(world, state));
}

static void on_ready(void *arg, enum err err, struct pool_loan *loan, const char *text)
{
	(void)arg, (void)err, (void)loan, (void)text;
	fail_msg("nobody serves, so nothing can be ready");
}

/* The column a lending would connect to, or -1. */
static int choice(struct world *world)
{
	struct pool_want want = {.deadline = net_now(world->loop) + SECOND};
	struct pool_loan *loan = pool_lend(pools_find(world->pools, "p"), &want, on_ready, NULL);
	int column = loan->server ? loan->column : -1;

	pool_give_back(&loan, POOL_DROP);
	return column;
}

static void no_address_is_unusable_until_there_is_one(void **state)
{
	struct world *world = *state;
	struct verdict verdict;
	FILE *hosts;

	start(world);
	assert_int_equal(board_verdict(world->board, world->named).state, SERVER_UP);
	turn_while(world, SERVER_UP);
	verdict = board_verdict(world->board, world->named);
	assert_int_equal(verdict.state, SERVER_UNUSABLE);
	assert_int_equal(verdict.reason, REASON_NO_ADDRESS);
	assert_int_equal(choice(world), world->literal);
	stop(world);

	hosts = fopen(world->hosts, "w");
	assert_non_null(hosts);
	fputs("127.0.0.1 mx.example.test\n", hosts);
	fclose(hosts);
	start(world);
	assert_int_equal(board_verdict(world->board, world->named).state, SERVER_UNUSABLE);
	turn_while(world, SERVER_UNUSABLE);
	verdict = board_verdict(world->board, world->named);
	assert_int_equal(verdict.state, SERVER_UP);
	assert_int_equal(verdict.reason, REASON_ADDRESS_FOUND);
	assert_int_equal(choice(world), world->named);
	stop(world);
}

/* Before the first answer it is not out, but the second tier is better than nothing. */
static void not_answered_yet_holds_up_nobody(void **state)
{
	struct world *world = *state;

	start(world);
	assert_int_equal(board_verdict(world->board, world->named).state, SERVER_UP);
	assert_int_equal(choice(world), world->literal);
	assert_false(pool_has_another(
		pools_find(world->pools, "p"), &(struct pool_tried){0}, world->literal));
	board_judge(world->board, world->literal,
		&(struct verdict){.state = SERVER_DOWN, .weight = 256});
	assert_int_equal(choice(world), -1); /* its name is waited for */
	stop(world);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			no_address_is_unusable_until_there_is_one, begin, end),
		cmocka_unit_test_setup_teardown(not_answered_yet_holds_up_nobody, begin, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
