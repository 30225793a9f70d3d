/*
 * What is said about a server (verdict, token, by hand, offer, addresses), and the reload desk.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/rng.h"
#include "board/layout.h"
#include "test_board_help.h"

static struct shared_board shared;
static struct board *board;
static int server;

static int open_board(void **state)
{
	(void)state;
	shared_board_open(&shared);
	board = shared.board;
	board_column(board, BOARD_SERVER, "p/other");
	server = board_column(board, BOARD_SERVER, "p/s");
	return 0;
}

static int close_board(void **state)
{
	(void)state;
	shared_board_close(&shared);
	return 0;
}

static void verdicts_are_one_word(void **state)
{
	struct verdict verdict = board_verdict(board, server);
	uint32_t epoch = 0;

	(void)state;
	assert_int_equal(verdict.state, SERVER_UP);
	assert_int_equal(verdict.reason, REASON_NONE);
	assert_int_equal(verdict.weight, 256);
	assert_int_equal(verdict.epoch, 0);
	/* The same again is no change, whatever epoch the caller has in it. */
	verdict.epoch = 77;
	board_judge(board, server, &verdict);
	assert_int_equal(board_verdict(board, server).epoch, 0);
	for (int i = SERVER_STATES - 1; i >= 0; i--) {
		for (int j = 0; j < SERVER_REASONS; j++) {
			static const unsigned weights[] = {0, 1, 128, 255, 256, 65535};

			for (size_t k = 0; k < sizeof(weights) / sizeof(weights[0]); k++) {
				const struct verdict said = {
					.state = (enum server_state)i,
					.reason = (enum server_reason)j,
					.weight = weights[k],
				};

				board_judge(board, server, &said);
				board_judge(board, server, &said);
				verdict = board_verdict(board, server);
				assert_int_equal(verdict.state, i);
				assert_int_equal(verdict.reason, j);
				assert_int_equal(verdict.weight, weights[k]);
				assert_int_equal(verdict.epoch, ++epoch);
			}
		}
	}
	assert_int_equal(board_verdict(board, server - 1).epoch, 0);
}

static void an_epoch_wraps(void **state)
{
	struct verdict verdict = {.state = SERVER_DOWN, .weight = 256};

	(void)state;
	atomic_store(&board->columns[server].verdict, UINT64_C(0xffffffff) << 32);
	assert_true(board_verdict(board, server).epoch == UINT32_MAX);
	board_judge(board, server, &verdict);
	verdict = board_verdict(board, server);
	assert_int_equal(verdict.epoch, 0);
	assert_int_equal(verdict.state, SERVER_DOWN);
}

static void names_are_all_there(void **state)
{
	(void)state;
	for (int i = 0; i < SERVER_STATES; i++) {
		assert_non_null(server_state_name((enum server_state)i));
		for (int j = 0; j < i; j++)
			assert_string_not_equal(server_state_name((enum server_state)i),
				server_state_name((enum server_state)j));
	}
	for (int i = 0; i < SERVER_REASONS; i++) {
		assert_non_null(server_reason_name((enum server_reason)i));
		for (int j = 0; j < i; j++)
			assert_string_not_equal(server_reason_name((enum server_reason)i),
				server_reason_name((enum server_reason)j));
	}
}

static void a_token_has_one_taker(void **state)
{
	_Atomic uint32_t *taken = shared_memory(4096);
	pid_t pid[3];

	(void)state;
	assert_false(board_take_probe(board, server));
	board_grant_probe(board, server);
	board_grant_probe(board, server);
	assert_true(board_take_probe(board, server));
	assert_false(board_take_probe(board, server));
	/* Three workers snatch at each of 2000 tokens; the next is granted when one is taken. */
	for (int i = 0; i < 3; i++) {
		if ((pid[i] = fork_bound()) > 0)
			continue;
		for (;;) {
			if (board_take_probe(board, server))
				atomic_fetch_add(taken, 1);
		}
	}
	for (uint32_t i = 1; i <= 2000; i++) {
		int64_t until = clock_usec() + 10 * SECOND;

		board_grant_probe(board, server);
		while (atomic_load(taken) < i && clock_usec() < until)
			continue;
		assert_int_equal(atomic_load(taken), i);
	}
	for (int i = 0; i < 3; i++)
		kill_child(pid[i]);
	munmap(taken, 4096);
}

static void a_token_ends_with_its_probing(void **state)
{
	struct verdict verdict = {.state = SERVER_PROBING, .reason = REASON_PROBING, .weight = 256};

	(void)state;
	board_judge(board, server, &verdict);
	board_grant_probe(board, server);
	verdict.reason = REASON_TIMEOUTS;
	board_judge(board, server, &verdict);
	assert_true(board_take_probe(board, server));
	board_grant_probe(board, server);
	verdict.state = SERVER_EJECTED;
	board_judge(board, server, &verdict);
	assert_false(board_take_probe(board, server));
}

static void by_hand_is_kept(void **state)
{
	static const struct by_hand all[] = {{true, false, 0}, {false, true, 0},
		{true, true, 65535}, {false, true, 1}, {false, false, 0}};

	(void)state;
	assert_false(board_by_hand(board, server).drained);
	assert_false(board_by_hand(board, server).weight_set);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct by_hand got;

		board_set_by_hand(board, server, all[i]);
		got = board_by_hand(board, server);
		assert_int_equal(got.drained, all[i].drained);
		assert_int_equal(got.weight_set, all[i].weight_set);
		assert_int_equal(got.weight, all[i].weight);
	}
}

static void offers_are_kept(void **state)
{
	uint64_t size = 1;

	(void)state;
	assert_int_equal(board_offered(board, server, &size), 0);
	assert_int_equal(size, 0);
	board_offer(board, server, 0x80000001, UINT64_MAX);
	assert_true(board_offered(board, server, &size) == 0x80000001);
	assert_true(size == UINT64_MAX);
	board_offer(board, server, 2, 0);
	assert_int_equal(board_offered(board, server, NULL), 2);
	assert_int_equal(board_offered(board, server, &size), 2);
	assert_int_equal(size, 0);
}

/* ---- addresses ---- */

/* A list that shows by itself whether it is whole: its length and every byte follow from n. */
static unsigned make_list(struct addr list[BOARD_ADDRESSES], unsigned n)
{
	unsigned count = n % (BOARD_ADDRESSES + 1);

	memset(list, 0, sizeof(struct addr) * BOARD_ADDRESSES);
	for (unsigned i = 0; i < count; i++) {
		list[i].family = ADDR_IP6;
		list[i].port = (uint16_t)n;
		for (unsigned j = 0; j < 16; j++)
			list[i].ip6[j] = (uint8_t)(n * 31 + i * 7 + j);
	}
	return count;
}

static bool is_list(const struct addr got[BOARD_ADDRESSES], unsigned count, unsigned n)
{
	struct addr list[BOARD_ADDRESSES];

	if (make_list(list, n) != count)
		return false;
	for (unsigned i = 0; i < count; i++) {
		if (!addr_eq(&list[i], &got[i]))
			return false;
	}
	return true;
}

static void addresses_are_kept(void **state)
{
	struct addr list[BOARD_ADDRESSES + 4], got[BOARD_ADDRESSES];
	struct addr path = {.family = ADDR_UNIX, .path = "/run/a-server.sock"};

	(void)state;
	assert_int_equal(board_addresses_of(board, server, got), 0);
	for (unsigned n = 0; n < 40; n++) {
		unsigned count = make_list(list, n);

		board_addresses(board, server, list, count);
		assert_int_equal(board_addresses_of(board, server, got), count);
		assert_true(is_list(got, count, n));
	}
	board_addresses(board, server, &path, 1);
	assert_int_equal(board_addresses_of(board, server, got), 1);
	assert_true(addr_eq(&path, &got[0]));
	/* More than fit: the first ones are taken. */
	make_list(list, 16);
	memset(&list[16], 0, 4 * sizeof(list[0]));
	board_addresses(board, server, list, BOARD_ADDRESSES + 4);
	assert_int_equal(board_addresses_of(board, server, got), BOARD_ADDRESSES);
	assert_true(is_list(got, BOARD_ADDRESSES, 16));
	assert_int_equal(board_addresses_of(board, server - 1, got), 0);
	board_addresses(board, server, NULL, 0);
	assert_int_equal(board_addresses_of(board, server, got), 0);
}

/* A writer that dies inside its write has touched only the copy that nobody reads. */
static void a_dead_writer_leaves_the_last_list(void **state)
{
	struct addr list[BOARD_ADDRESSES], got[BOARD_ADDRESSES];

	(void)state;
	for (unsigned n = 1; n < 5; n++) {
		_Atomic uint64_t *torn;
		unsigned count = make_list(list, n);

		board_addresses(board, server, list, count);
		torn = board->addresses[server]
			       .list.at[(board->addresses[server].list.turn + 1) % 2];
		for (size_t i = 0; i < TWIN_WORDS(&board->addresses[server].list) / 2; i++)
			torn[i] = UINT64_MAX;
		assert_int_equal(board_addresses_of(board, server, got), count);
		assert_true(is_list(got, count, n));
	}
}

/* The writer marks what it is about to write and what it has written. */
struct progress {
	_Atomic unsigned begun, done;
};

static void write_lists(struct progress *progress)
{
	struct addr list[BOARD_ADDRESSES];

	for (unsigned n = atomic_load(&progress->begun) + 1;; n++) {
		unsigned count = make_list(list, n);

		atomic_store(&progress->begun, n);
		board_addresses(board, server, list, count);
		atomic_store(&progress->done, n);
	}
}

/* One of the lists that could have been current while it was read. */
static void check_list(const struct progress *progress, unsigned from)
{
	struct addr got[BOARD_ADDRESSES];
	unsigned count = board_addresses_of(board, server, got);
	unsigned to = atomic_load(&progress->begun);

	/* Overtaken a hundred times in a row gives the empty list; this writer never rests. */
	for (unsigned n = from; n <= to; n++) {
		if (is_list(got, count, n))
			return;
	}
	if (count > 0)
		fail_msg("a torn list of %u addresses between %u and %u", count, from, to);
}

static void killed_writers_never_tear_a_list(void **state)
{
	struct progress *progress = shared_memory(sizeof(*progress));
	int64_t end = clock_usec() + 800 * MSEC;
	unsigned deaths = 0, reads = 0;
	struct rng rng;

	(void)state;
	rng_seed(&rng, 4);
	for (; clock_usec() < end || deaths < 30; deaths++) {
		int64_t until = clock_usec() + (int64_t)rng_below(&rng, 4000);
		pid_t pid = fork_bound();

		if (pid == 0)
			write_lists(progress);
		for (; clock_usec() < until; reads++)
			check_list(progress, atomic_load(&progress->done));
		kill_child(pid);
		/* Nobody writes now: the list must be there at once, and not empty by defeat. */
		for (int i = 0; i < 10; i++) {
			struct addr got[BOARD_ADDRESSES];
			unsigned count = board_addresses_of(board, server, got);

			assert_true(is_list(got, count, atomic_load(&progress->done)) ||
				    is_list(got, count, atomic_load(&progress->begun)));
		}
	}
	assert_true(deaths > 20);
	assert_true(reads > 100);
	assert_true(atomic_load(&progress->done) > 100);
	munmap(progress, sizeof(*progress));
}

/* ---- the desk ---- */

static void requests_are_taken_once(void **state)
{
	bool force = true;

	(void)state;
	assert_false(board_reload_asked(board, &force));
	assert_false(force);
	board_ask_reload(board, false);
	assert_true(board_reload_asked(board, &force));
	assert_false(force);
	assert_false(board_reload_asked(board, &force));
	board_ask_reload(board, true);
	board_ask_reload(board, false);
	assert_true(board_reload_asked(board, &force));
	assert_true(force);
	assert_false(board_stop_asked(board));
	board_ask_stop(board);
	assert_true(board_stop_asked(board));
	assert_true(board_stop_asked(board));
}

static void answers_are_numbered(void **state)
{
	char message[512], longer[1000];
	bool good = true;

	(void)state;
	assert_int_equal(board_reload_answer(board, &good, message), 0);
	assert_false(good);
	assert_string_equal(message, "");
	assert_int_equal(board_generation(board), 0);
	board_reload_done(board, 1, true, "");
	assert_int_equal(board_reload_answer(board, &good, message), 1);
	assert_true(good);
	assert_int_equal(board_generation(board), 1);
	board_reload_done(board, 2, false, "line 3: unknown setting");
	assert_int_equal(board_reload_answer(board, &good, message), 2);
	assert_false(good);
	assert_string_equal(message, "line 3: unknown setting");
	assert_int_equal(board_generation(board), 1);
	memset(longer, 'm', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	board_reload_done(board, 3, true, longer);
	assert_int_equal(board_reload_answer(board, &good, message), 3);
	assert_int_equal(strlen(message), sizeof(message) - 1);
	assert_int_equal(board_generation(board), 3);
	board_reload_done(board, 4, true, NULL);
	assert_int_equal(board_reload_answer(board, &good, message), 4);
	assert_string_equal(message, "");
}

#define BOARD_TEST(name) cmocka_unit_test_setup_teardown(name, open_board, close_board)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOARD_TEST(verdicts_are_one_word),
		BOARD_TEST(an_epoch_wraps),
		BOARD_TEST(names_are_all_there),
		BOARD_TEST(a_token_has_one_taker),
		BOARD_TEST(a_token_ends_with_its_probing),
		BOARD_TEST(by_hand_is_kept),
		BOARD_TEST(offers_are_kept),
		BOARD_TEST(addresses_are_kept),
		BOARD_TEST(a_dead_writer_leaves_the_last_list),
		BOARD_TEST(killed_writers_never_tear_a_list),
		BOARD_TEST(requests_are_taken_once),
		BOARD_TEST(answers_are_numbered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
