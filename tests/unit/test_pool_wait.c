/*
 * Waiting for a free place: limits over all workers, first come, first served, nobody starved by
 * an idle connection, a picky waiter or a hung process.
 */
#include "test_pool_help.h"

#include "base/rng.h"

#define LIMIT_1 "pool p { max-connections 1; pass-client none; server a $0; }"
#define LIMIT_2 "pool p { max-connections 2; pass-client none; server a $0; }"
#define TWO     "pool p { max-connections 1; pass-client none; server a $0; server b $1; }"

static int64_t waiting(const struct farm *farm)
{
	return board_sum(farm->board, pool_column(farm->worker[0].pool), M_POOL_waiting);
}

/* One that waits, and is seen to. */
static void queue_up(struct farm *farm, int worker, struct borrower *borrower)
{
	int64_t before = waiting(farm);

	borrow(farm, worker, borrower);
	farm_turn_for(farm, 5 * MSEC);
	assert_false(borrower->told);
	assert_int_equal(waiting(farm), before + 1);
}

static void served(struct farm *farm, struct borrower *borrower)
{
	FARM_UNTIL(farm, borrower->told);
	assert_int_equal(borrower->err, ERR_OK);
}

static void limit_holds_over_two_workers(void **state)
{
	struct farm farm;
	struct borrower one = {0}, two = {0}, three = {0};

	farm_open(&farm, 2, LIMIT_2);
	borrow_now(&farm, 0, &one);
	borrow_now(&farm, 1, &two);
	queue_up(&farm, 1, &three);
	assert_int_equal(farm.actor[0].most, 2);
	give_back(&two, POOL_REUSE);
	served(&farm, &three);
	assert_true(three.loan->reused);
	assert_true(three.loan->waited >= 4 * MSEC);
	give_back(&one, POOL_REUSE);
	give_back(&three, POOL_REUSE);
	assert_int_equal(farm.actor[0].opened, 2);
	farm_close(&farm);
}

static void first_come_first_served_in_a_worker(void **state)
{
	struct farm farm;
	struct borrower first = {0}, waiter[5] = {0};

	farm_open(&farm, 1, LIMIT_1);
	borrow_now(&farm, 0, &first);
	for (int i = 0; i < 5; i++)
		queue_up(&farm, 0, &waiter[i]);
	give_back(&first, POOL_REUSE);
	for (int i = 0; i < 5; i++) {
		served(&farm, &waiter[i]);
		for (int j = i + 1; j < 5; j++)
			assert_false(waiter[j].told);
		give_back(&waiter[i], POOL_REUSE);
	}
	assert_int_equal(farm.actor[0].opened, 1);
	farm_close(&farm);
}

static void first_come_first_served_across_workers(void **state)
{
	static const int workers[] = {1, 0, 2, 2, 0, 1, 0};
	enum { N = sizeof(workers) / sizeof(workers[0]) };
	struct farm farm;
	struct borrower first = {0}, waiter[N] = {0};

	farm_open(&farm, 3, LIMIT_1);
	borrow_now(&farm, 0, &first);
	for (int i = 0; i < N; i++)
		queue_up(&farm, workers[i], &waiter[i]);
	give_back(&first, POOL_REUSE);
	for (int i = 0; i < N; i++) {
		served(&farm, &waiter[i]);
		for (int j = i + 1; j < N; j++)
			assert_false(waiter[j].told);
		give_back(&waiter[i], POOL_REUSE);
	}
	assert_int_equal(farm.actor[0].most, 1);
	farm_close(&farm);
}

static void newcomers_do_not_overtake(void **state)
{
	static const char *const configs[] = {LIMIT_1, LIMIT_2};

	for (int i = 0; i < 2; i++) {
		struct farm farm;
		struct borrower first = {0}, second = {0}, waiter = {0}, newcomer = {0};

		farm_open(&farm, 2, configs[i]);
		borrow_now(&farm, 0, &first);
		if (i == 1)
			borrow_now(&farm, 0, &second);
		queue_up(&farm, 1, &waiter);
		/* In the same breath: the connection comes back, and somebody here wants it. */
		give_back(&first, POOL_REUSE);
		borrow(&farm, 0, &newcomer);
		served(&farm, &waiter);
		assert_false(newcomer.told);
		give_back(&waiter, POOL_REUSE);
		served(&farm, &newcomer);
		give_back(&newcomer, POOL_REUSE);
		if (i == 1)
			give_back(&second, POOL_REUSE);
		farm_close(&farm);
	}
}

static void newcomers_do_not_overtake_their_own(void **state)
{
	struct farm farm;
	struct borrower first = {0}, waiter = {0}, newcomer = {0};

	farm_open(&farm, 1, LIMIT_1);
	borrow_now(&farm, 0, &first);
	queue_up(&farm, 0, &waiter);
	give_back(&first, POOL_REUSE);
	borrow(&farm, 0, &newcomer);
	served(&farm, &waiter);
	assert_false(newcomer.told);
	give_back(&waiter, POOL_REUSE);
	served(&farm, &newcomer);
	give_back(&newcomer, POOL_REUSE);
	farm_close(&farm);
}

/* The tick is the truth, but a wake is quicker: without ticks all goes on as well. */
static void wakes_suffice(void **state)
{
	struct farm farm;
	struct borrower one = {0}, two = {0}, three = {0};

	farm_open(&farm, 3, LIMIT_2);
	borrow_now(&farm, 0, &one);
	borrow_now(&farm, 0, &two);
	farm.slow_ticks = true;
	farm_turn_for(&farm, 3 * MSEC);
	/* What is dropped in one worker wakes another. */
	queue_up(&farm, 1, &three);
	give_back(&one, POOL_DROP);
	served(&farm, &three);
	/* What is idle in one is asked for by another. */
	give_back(&two, POOL_REUSE);
	borrow_now(&farm, 2, &one);
	/* What comes back to one makes room for another. */
	queue_up(&farm, 2, &two);
	give_back(&three, POOL_REUSE);
	served(&farm, &two);
	give_back(&one, POOL_REUSE);
	give_back(&two, POOL_REUSE);
	farm_close(&farm);
}

static void one_connection_makes_room_for_one(void **state)
{
	struct farm farm;
	struct borrower one = {0}, two = {0}, other = {0};

	farm_open(&farm, 2, LIMIT_2);
	borrow_now(&farm, 0, &one);
	borrow_now(&farm, 0, &two);
	give_back(&one, POOL_REUSE);
	give_back(&two, POOL_REUSE);
	/* However long the first takes to leave. */
	farm.actor[0].deaf_to_quit = true;
	queue_up(&farm, 1, &other);
	farm_turn_for(&farm, 50 * MSEC);
	assert_int_equal(farm.actor[0].quits, 1);
	assert_false(other.told);
	actor_hang_up_all(&farm.actor[0]);
	served(&farm, &other);
	give_back(&other, POOL_REUSE);
	farm_close(&farm);
}

/* A connection can't move: the one that is idle elsewhere is closed to make room. */
static void idle_connections_of_others_make_room(void **state)
{
	struct farm farm;
	struct borrower one = {0}, two = {0}, other = {0};

	farm_open(&farm, 2, LIMIT_2);
	borrow_now(&farm, 0, &one);
	borrow_now(&farm, 0, &two);
	give_back(&one, POOL_REUSE);
	give_back(&two, POOL_REUSE);
	assert_int_equal(farm_places(&farm, "p/a", PLACE_OPEN), 2);
	borrow_now(&farm, 1, &other);
	assert_int_equal(farm.actor[0].quits, 1); /* only one */
	assert_int_equal(farm.actor[0].most, 2);
	give_back(&other, POOL_REUSE);
	farm_close(&farm);
}

/* Of many places a few out of order aren't worth a new connection each; nobody waits for long. */
static void connections_mostly_stay_where_they_are(void **state)
{
	enum { PLACES = 16, SENDERS = 48, ROUNDS = 1500 };
	struct farm farm;
	static struct borrower borrower[SENDERS];
	static unsigned since[SENDERS];
	unsigned longest = 0, served_in_all = 0;
	struct rng rng;

	rng_seed(&rng, 11);
	memset(borrower, 0, sizeof(borrower));
	memset(since, 0, sizeof(since));
	farm_open(&farm, 2,
		"pool p { max-connections 16; messages-per-connection 0; pass-client none;"
		" server a $0; }");
	for (int i = 0; i < SENDERS; i++)
		borrow(&farm, i % 2, &borrower[i]);
	for (int round = 0; round < ROUNDS; round++) {
		farm_turn(&farm);
		for (int i = 0; i < SENDERS; i++) {
			if (!borrower[i].told || rng_below(&rng, 4))
				continue;
			assert_int_equal(borrower[i].err, ERR_OK);
			if (served_in_all - since[i] > longest)
				longest = served_in_all - since[i];
			served_in_all++;
			since[i] = served_in_all;
			give_back(&borrower[i], POOL_REUSE);
			borrow(&farm, i % 2, &borrower[i]);
		}
	}
	assert_true(served_in_all > 1000);
	assert_int_equal(farm.actor[0].most, PLACES);
	/* Strictly in order one in ten would need a new connection. */
	assert_true(farm.actor[0].opened < served_in_all / 30);
	/* In turn, each would be served once in SENDERS. */
	assert_true(longest < 4 * SENDERS);
	for (int i = 0; i < SENDERS; i++)
		give_back(&borrower[i], POOL_DROP);
	farm_close(&farm);
}

static void queue_time_runs_out(void **state)
{
	struct farm farm;
	struct borrower one = {0}, two = {0}, three = {0};

	farm_open(&farm, 1,
		"pool p { max-connections 1; queue 60ms; pass-client none; server a $0; }");
	borrow_now(&farm, 0, &one);
	borrow(&farm, 0, &two);
	three.want.deadline = farm_clock(&farm) + 20 * MSEC;
	borrow(&farm, 0, &three);
	FARM_UNTIL(&farm, three.told);
	assert_int_equal(three.err, ERR_TIMEOUT);
	assert_false(two.told);
	FARM_UNTIL(&farm, two.told);
	assert_int_equal(two.err, ERR_FULL);
	assert_non_null(strstr(two.text, "no connection was free in pool p for "));
	assert_int_equal(
		board_sum(farm.board, pool_column(farm.worker[0].pool), M_POOL_queue_timeouts), 2);
	assert_int_equal(waiting(&farm), 0);
	give_back(&one, POOL_REUSE);
	farm_close(&farm);
}

static void who_gives_up_lets_the_next_go_on(void **state)
{
	struct farm farm;
	struct borrower one = {0}, two = {0}, three = {0};

	farm_open(&farm, 2, LIMIT_1);
	borrow_now(&farm, 0, &one);
	queue_up(&farm, 0, &two);
	queue_up(&farm, 1, &three);
	give_back(&two, POOL_DROP); /* cancels */
	give_back(&one, POOL_REUSE);
	served(&farm, &three);
	assert_false(two.told);
	give_back(&three, POOL_REUSE);
	farm_close(&farm);
}

static void all_down_ends_the_waiting(void **state)
{
	struct farm farm;
	struct borrower one = {0}, two = {0};

	farm_open(&farm, 1, LIMIT_1);
	borrow_now(&farm, 0, &one);
	queue_up(&farm, 0, &two);
	farm_judge(&farm, "p/a", SERVER_DOWN);
	FARM_UNTIL(&farm, two.told);
	assert_int_equal(two.err, ERR_DOWN);
	give_back(&one, POOL_DROP);
	farm_close(&farm);
}

static void a_picky_waiter_is_passed(void **state)
{
	struct farm farm;
	struct borrower on_a = {0}, on_b = {0}, picky = {0}, plain = {0};
	struct borrower *a, *b;

	/* What it wants of an extension, of size, or because a was tried before. */
	for (int kind = 0; kind < 6; kind++) {
		int picky_worker = kind % 2;

		picky = (struct borrower){0};
		picky.want.needs = kind / 2 == 0 ? SMTP_CAP_SMTPUTF8 : 0;
		picky.want.size = kind / 2 == 1 ? 20000 : 0;
		plain = on_a = on_b = (struct borrower){0};
		farm_open(&farm, 2, TWO);
		farm.actor[1].ehlo = "250-b\r\n250 SMTPUTF8\r\n";
		board_offer(farm.board, farm_server(&farm, "p/a"), SMTP_CAP_SEEN, 0);
		board_offer(farm.board, farm_server(&farm, "p/b"),
			SMTP_CAP_SEEN | SMTP_CAP_SMTPUTF8, 0);
		borrow_now(&farm, 0, &on_a);
		borrow_now(&farm, 0, &on_b);
		a = on_a.loan->server_name[0] == 'a' ? &on_a : &on_b;
		b = a == &on_a ? &on_b : &on_a;
		if (kind / 2 == 2)
			picky.tried = (struct pool_tried){1, {farm_server(&farm, "p/a")}};
		queue_up(&farm, picky_worker, &picky);
		queue_up(&farm, 0, &plain);
		/* It can't use a's place, so the younger one gets it. */
		give_back(a, POOL_REUSE);
		served(&farm, &plain);
		assert_string_equal(plain.loan->server_name, "a");
		assert_false(picky.told);
		give_back(b, POOL_REUSE);
		served(&farm, &picky);
		assert_string_equal(picky.loan->server_name, "b");
		give_back(&picky, POOL_REUSE);
		give_back(&plain, POOL_REUSE);
		farm_close(&farm);
	}
}

static void fresh_gets_the_place_of_an_idle_one(void **state)
{
	struct farm farm;
	struct borrower borrower = {0};

	farm_open(&farm, 1, LIMIT_1);
	borrow_now(&farm, 0, &borrower);
	give_back(&borrower, POOL_REUSE);
	borrower.want.fresh = true;
	borrow_now(&farm, 0, &borrower);
	assert_false(borrower.loan->reused);
	assert_int_equal(farm.actor[0].quits, 1);
	assert_int_equal(farm.actor[0].most, 1);
	give_back(&borrower, POOL_REUSE);
	farm_close(&farm);
}

/* A stopped process still shows its ticket; the others wait a moment for it, not for ever. */
static void a_hung_worker_holds_nobody_up(void **state)
{
	struct farm farm;
	struct borrower one = {0}, hung = {0}, two = {0};

	farm_open(&farm, 2, LIMIT_1);
	borrow_now(&farm, 0, &one);
	queue_up(&farm, 1, &hung);
	farm.worker[1].stopped = true;
	queue_up(&farm, 0, &two);
	give_back(&one, POOL_REUSE);
	served(&farm, &two);
	assert_false(hung.told);
	farm.worker[1].stopped = false;
	give_back(&two, POOL_REUSE);
	served(&farm, &hung);
	give_back(&hung, POOL_REUSE);
	farm_close(&farm);
}

static void waits_until_the_name_is_looked_up(void **state)
{
	struct farm farm;
	struct borrower borrower = {0};
	struct addr addr = {.family = ADDR_IP4, .ip4 = {127, 0, 0, 1}};

	farm_open(&farm, 1, "pool p { queue 80ms; pass-client none; server a mta1.test:25; }");
	queue_up(&farm, 0, &borrower);
	addr.port = farm.actor[0].port;
	board_addresses(farm.board, farm_server(&farm, "p/a"), &addr, 1);
	served(&farm, &borrower);
	give_back(&borrower, POOL_REUSE);
	farm_close(&farm);

	farm_open(&farm, 1, "pool p { queue 80ms; pass-client none; server a mta1.test:25; }");
	borrow(&farm, 0, &borrower);
	FARM_UNTIL(&farm, borrower.told);
	assert_int_equal(borrower.err, ERR_DOWN);
	assert_non_null(strstr(borrower.text, "no address of a server of pool p was known"));
	farm_close(&farm);
}

/* ---- too many connections from you ---- */

/* The server lets in two; a third is told so. */
static void let_in_two(struct farm *farm)
{
	struct actor *actor = &farm->actor[0];

	actor->banner = actor->open >= 2
				? "421 4.7.0 Error: too many connections from 127.0.0.1\r\n"
				: "220 actor\r\n";
}

static void too_many_is_full_not_down(void **state)
{
	struct farm farm;
	struct borrower one = {0}, two = {0}, three = {0};
	int64_t began;

	farm_open(&farm, 1, "pool p { pass-client none; server a $0; }");
	borrow_now(&farm, 0, &one);
	borrow_now(&farm, 0, &two);
	let_in_two(&farm);
	queue_up(&farm, 0, &three);
	assert_int_equal(farm_sum(&farm, "p/a", M_SERVER_too_many), 1);
	assert_int_equal(farm_sum(&farm, "p/a", M_SERVER_greetings_failed), 0);
	assert_int_equal(board_learned_limit(farm.board, farm_server(&farm, "p/a"),
				 farm_clock(&farm), 30 * SECOND),
		2);
	/* It waits for one of the two, and doesn't knock again. */
	farm_turn_for(&farm, 1200 * MSEC);
	assert_int_equal(farm.actor[0].opened, 3);
	began = farm_clock(&farm);
	give_back(&one, POOL_REUSE);
	served(&farm, &three);
	assert_true(farm_clock(&farm) - began < 500 * MSEC);
	assert_true(three.loan->reused);
	give_back(&two, POOL_REUSE);
	give_back(&three, POOL_REUSE);
	farm_close(&farm);
}

static void too_many_goes_to_another_server(void **state)
{
	static const char *const banners[] = {
		"421 4.3.2 The maximum number of concurrent connections has exceeded a limit\r\n",
		"452 too many connections\r\n",
		"421 4.3.2 Connection rate limit exceeded.\r\n",
	};

	for (unsigned i = 0; i < sizeof(banners) / sizeof(banners[0]); i++) {
		struct farm farm;
		struct borrower borrower = {0};

		farm_open(&farm, 1, "pool p { pass-client none; server a $0; server b $1; }");
		farm.actor[0].banner = banners[i];
		for (int j = 0; j < 6; j++) {
			borrow_now(&farm, 0, &borrower);
			assert_string_equal(borrower.loan->server_name, "b");
			give_back(&borrower, POOL_REUSE);
		}
		assert_int_equal(farm_sum(&farm, "p/a", M_SERVER_too_many), 1);
		assert_int_equal(farm_sum(&farm, "p/a", M_SERVER_greetings_failed), 0);
		farm_close(&farm);
	}
}

/* Not even one: it is asked again each second, no sooner. */
static void not_even_one_is_let_in(void **state)
{
	struct farm farm;
	struct borrower borrower = {0};

	farm_open(&farm, 1, "pool p { pass-client none; server a $0; }");
	farm.actor[0].banner = "421 too many connections\r\n";
	borrow(&farm, 0, &borrower);
	farm_turn_for(&farm, 800 * MSEC);
	assert_int_equal(farm.actor[0].opened, 1);
	farm.actor[0].banner = "220 welcome\r\n";
	served(&farm, &borrower);
	assert_int_equal(farm.actor[0].opened, 2);
	give_back(&borrower, POOL_REUSE);
	farm_close(&farm);
}

/* ---- anything, in any order ---- */

static void one_step(struct farm *farm, struct rng *rng, struct borrower *borrower)
{
	static const enum pool_return how[] = {
		POOL_REUSE, POOL_REUSE, POOL_REUSE, POOL_QUIT, POOL_DROP};

	if (!borrower->loan && !borrower->told) {
		borrower->want.fresh = rng_below(rng, 10) == 0;
		borrower->want.needs = rng_below(rng, 5) == 0 ? SMTP_CAP_SMTPUTF8 : 0;
		borrow(farm, (int)rng_below(rng, 3), borrower);
	} else if (borrower->told && borrower->err) {
		/* A server hung up inside its greeting, and no other has what is needed. */
		assert_int_equal(borrower->err, ERR_DOWN);
		borrower->told = false;
	} else if (borrower->told) {
		if (borrower->ended)
			pool_note(borrower->loan, POOL_STALE, 0);
		give_back(borrower, borrower->ended ? POOL_DROP : how[rng_below(rng, 5)]);
	} else if (rng_below(rng, 10) == 0) {
		give_back(borrower, POOL_REUSE); /* gives up */
	}
}

/* How many still wait. */
static int give_all_back(struct borrower *borrower, int count)
{
	int left = 0;

	for (int i = 0; i < count; i++) {
		if (borrower[i].told && borrower[i].loan)
			give_back(&borrower[i], POOL_REUSE);
		left += borrower[i].loan != NULL;
	}
	return left;
}

static void never_over_the_limit_and_nobody_is_forgotten(void **state)
{
	for (uint64_t seed = 1; seed <= 4; seed++) {
		enum { SENDERS = 30 };
		struct farm farm;
		static struct borrower borrower[SENDERS];
		struct rng rng;

		memset(borrower, 0, sizeof(borrower));
		rng_seed(&rng, seed);
		farm_open(&farm, 3,
			"pool p { max-connections 4; messages-per-connection 5; pass-client none;"
			" server a $0; server b $1 max-connections=3; }");
		farm.actor[1].ehlo = "250-b\r\n250 SMTPUTF8\r\n";
		for (int step = 0; step < 4000; step++) {
			one_step(&farm, &rng, &borrower[rng_below(&rng, SENDERS)]);
			if (rng_below(&rng, 200) == 0)
				actor_hang_up_all(&farm.actor[rng_below(&rng, 2)]);
			if (rng_below(&rng, 4) == 0)
				farm_turn(&farm);
		}
		FARM_UNTIL(&farm, give_all_back(borrower, SENDERS) == 0);
		assert_true(
			board_sum(farm.board, pool_column(farm.worker[0].pool), M_POOL_lent) > 200);
		assert_in_range(farm.actor[0].most, 1, 4);
		assert_in_range(farm.actor[1].most, 1, 3);
		assert_int_equal(waiting(&farm), 0);
		assert_int_equal(farm_places(&farm, "p/a", PLACE_LIVE), 0);
		farm_close(&farm);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(limit_holds_over_two_workers),
		cmocka_unit_test(first_come_first_served_in_a_worker),
		cmocka_unit_test(first_come_first_served_across_workers),
		cmocka_unit_test(newcomers_do_not_overtake),
		cmocka_unit_test(newcomers_do_not_overtake_their_own),
		cmocka_unit_test(wakes_suffice),
		cmocka_unit_test(idle_connections_of_others_make_room),
		cmocka_unit_test(one_connection_makes_room_for_one),
		cmocka_unit_test(connections_mostly_stay_where_they_are),
		cmocka_unit_test(queue_time_runs_out),
		cmocka_unit_test(who_gives_up_lets_the_next_go_on),
		cmocka_unit_test(all_down_ends_the_waiting),
		cmocka_unit_test(a_picky_waiter_is_passed),
		cmocka_unit_test(fresh_gets_the_place_of_an_idle_one),
		cmocka_unit_test(a_hung_worker_holds_nobody_up),
		cmocka_unit_test(waits_until_the_name_is_looked_up),
		cmocka_unit_test(too_many_is_full_not_down),
		cmocka_unit_test(too_many_goes_to_another_server),
		cmocka_unit_test(not_even_one_is_let_in),
		cmocka_unit_test(never_over_the_limit_and_nobody_is_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
