/*
 * Readiness: whether any pool has lost all its servers, for whatever reason.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "admin/admin.h"
#include "pool/pool.h"
#include "pool/pool_conf.h"

#define NOW (100 * SECOND)

static const struct conf_section *const sections[] = {
	&pool_top_section, &pool_section, &pool_server_section};
static const struct conf_vocabulary vocabulary = {.sections = sections, .count = 3};

struct world {
	void *map;
	struct board *board;
	struct conf_report report;
	struct conf *conf;
	int a, b;
};

static int begin(void **state)
{
	static bool known[BOARD_COLUMNS];
	struct world *world = calloc(1, sizeof *world);
	struct err_text text;
	world->map = mmap(NULL, board_size(), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_ptr_not_equal(world->map, MAP_FAILED);
	assert_int_equal(board_attach(world->map, &world->board, &text), ERR_OK);
	world->conf = conf_parse(&vocabulary,
		span_of("pool p { pass-client none; server a 10.0.0.1:25; server b 10.0.0.2:25; }"),
		"test", NULL, &world->report);
	assert_non_null(world->conf);
	assert_int_equal(pool_columns(world->board, world->conf, known, &text), ERR_OK);
	world->a = board_find(world->board, BOARD_SERVER, "p/a");
	world->b = board_find(world->board, BOARD_SERVER, "p/b");
	int row = board_row_take(world->board, ROW_WORKER, 1, 0);
	board_ready(world->board, row, true);
	board_beat(world->board, row, NOW);
	*state = world;
	return 0;
}

static int end(void **state)
{
	struct world *world = *state;
	conf_free(&world->conf);
	conf_report_clear(&world->report);
	munmap(world->map, board_size());
	free(world);
	return 0;
}

static const char *unready(const struct world *world)
{
	return admin_unready(world->board, world->conf, NOW);
}

static void a_pool_without_a_server_is_not_ready(void **state)
{
	struct world *world = *state;
	assert_null(unready(world));
	board_judge(world->board, world->a, &(struct verdict){.state = SERVER_DOWN, .weight = 256});
	assert_null(unready(world));
	board_judge(world->board, world->b,
		&(struct verdict){
			.state = SERVER_UNUSABLE, .reason = REASON_NO_ADDRESS, .weight = 256});
	assert_string_equal(unready(world), "a pool has no server left");
	/* The last resort, but mail still goes. */
	board_judge(
		world->board, world->a, &(struct verdict){.state = SERVER_EJECTED, .weight = 256});
	assert_null(unready(world));
}

static void weight_0_by_hand_is_drained(void **state)
{
	struct world *world = *state;
	board_set_by_hand(world->board, world->a, (struct by_hand){.drained = true});
	assert_null(unready(world));
	board_set_by_hand(
		world->board, world->b, (struct by_hand){.weight_set = true, .weight = 0});
	assert_string_equal(unready(world), "a pool has no server left");
	board_set_by_hand(
		world->board, world->b, (struct by_hand){.weight_set = true, .weight = 1});
	assert_null(unready(world));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_pool_without_a_server_is_not_ready, begin, end),
		cmocka_unit_test_setup_teardown(weight_0_by_hand_is_drained, begin, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
