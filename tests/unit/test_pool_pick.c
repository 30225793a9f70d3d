/*
 * Which server gets a transaction: verdicts, hand, tiers, what is tried or lacking, probes.
 */
#include "pool/private.h"
#include "test_pool_help.h"

#define THREE "pool p { pass-client none; server a $0; server b $1; server c $2; }"
#define TIERS "pool p { pass-client none; server a $0; server b $1 tier=2; server c $2 tier=2; }"

/* Whom the next transaction gets; the connection stays. */
static const char *next(struct farm *farm, struct borrower *borrower)
{
	const char *name;

	borrow_now(farm, 0, borrower);
	name = borrower->loan->server_name;
	pool_note(borrower->loan, POOL_ACCEPTED, MSEC);
	give_back(borrower, POOL_REUSE);
	return name;
}

static void expect_only(struct farm *farm, struct borrower *borrower, const char *name)
{
	for (int i = 0; i < 6; i++)
		assert_string_equal(next(farm, borrower), name);
}

static enum err fails(struct farm *farm, struct borrower *borrower)
{
	borrow(farm, 0, borrower);
	FARM_UNTIL(farm, borrower->told);
	return borrower->err;
}

static void spreads_evenly(void **state)
{
	struct farm farm;
	struct borrower borrower = {0};
	unsigned count[3] = {0};

	farm_open(&farm, 1, THREE);
	for (int i = 0; i < 300; i++)
		count[next(&farm, &borrower)[0] - 'a']++;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(count[i], 100);
		assert_int_equal(farm.actor[i].most, 1);
		/* 100 messages a connection, and the last one is retired with its hundredth. */
		assert_int_equal(farm.actor[i].opened, 1);
	}
	assert_int_equal(farm_sum(&farm, "p/a", M_SERVER_attempts), 100);
	assert_int_equal(farm_sum(&farm, "p/a", M_SERVER_accepted), 100);
	assert_int_equal(farm_sum(&farm, "p/a", M_SERVER_reused), 99);
	assert_int_equal(farm_sum(&farm, "p/a", M_SERVER_connects), 1);
	assert_int_equal(board_sum(farm.board, pool_column(farm.worker[0].pool), M_POOL_lent), 300);
	farm_close(&farm);
}

static void follows_weights(void **state)
{
	struct farm farm;
	struct borrower borrower = {0};
	unsigned count[2] = {0};

	farm_open(&farm, 1, "pool p { pass-client none; server a $0 weight=3; server b $1; }");
	for (int i = 0; i < 40; i++)
		count[next(&farm, &borrower)[0] - 'a']++;
	assert_int_equal(count[0], 30);
	/* By hand, until it is taken back. */
	board_set_by_hand(farm.board, farm_server(&farm, "p/b"),
		(struct by_hand){.weight_set = true, .weight = 9});
	count[0] = count[1] = 0;
	for (int i = 0; i < 120; i++)
		count[next(&farm, &borrower)[0] - 'a']++;
	assert_in_range(count[0], 28, 32);
	farm_close(&farm);
}

static void slow_start_lowers_the_weight(void **state)
{
	struct farm farm;
	struct borrower borrower = {0};
	unsigned count[3] = {0};

	farm_open(&farm, 1, THREE);
	board_judge(farm.board, farm_server(&farm, "p/b"),
		&(struct verdict){.state = SERVER_UP, .weight = 64});
	for (int i = 0; i < 90; i++)
		count[next(&farm, &borrower)[0] - 'a']++;
	assert_int_equal(count[0], 40);
	assert_int_equal(count[1], 10);
	borrower.tried =
		(struct pool_tried){2, {farm_server(&farm, "p/a"), farm_server(&farm, "p/c")}};
	borrow_now(&farm, 0, &borrower);
	assert_string_equal(borrower.loan->why, "least-transactions: live 0/0.25, of 1");
	give_back(&borrower, POOL_REUSE);
	farm_close(&farm);
}

static void least_live_over_all_workers(void **state)
{
	struct farm farm;
	struct borrower one = {0}, two = {0}, three = {0};

	farm_open(&farm, 2, THREE);
	borrow_now(&farm, 0, &one);
	borrow_now(&farm, 1, &two);
	borrow_now(&farm, 0, &three);
	assert_int_not_equal(one.loan->column, two.loan->column);
	assert_int_not_equal(one.loan->column, three.loan->column);
	assert_int_not_equal(two.loan->column, three.loan->column);
	assert_string_equal(three.loan->why, "least-transactions: live 0/1, of 3");
	assert_string_equal(three.loan->pool_name, "p");
	give_back(&one, POOL_REUSE);
	give_back(&two, POOL_REUSE);
	give_back(&three, POOL_REUSE);
	farm_close(&farm);
}

static void drained_gets_nothing(void **state)
{
	struct farm farm;
	struct borrower borrower = {0};

	farm_open(&farm, 1, THREE);
	for (int i = 0; i < 3; i++)
		next(&farm, &borrower);
	board_set_by_hand(farm.board, farm_server(&farm, "p/a"), (struct by_hand){.drained = true});
	board_set_by_hand(farm.board, farm_server(&farm, "p/b"),
		(struct by_hand){.weight_set = true, .weight = 0});
	expect_only(&farm, &borrower, "c");
	/* Its idle connections are ended politely. */
	FARM_UNTIL(&farm, farm.actor[0].quits == 1 && farm.actor[1].quits == 1);
	board_set_by_hand(farm.board, farm_server(&farm, "p/c"), (struct by_hand){.drained = true});
	assert_int_equal(fails(&farm, &borrower), ERR_DOWN);
	assert_non_null(strstr(borrower.text, "3 drained"));
	/* A connection that comes back to a drained server isn't kept. */
	board_set_by_hand(farm.board, farm_server(&farm, "p/c"), (struct by_hand){0});
	borrow_now(&farm, 0, &borrower);
	board_set_by_hand(farm.board, farm_server(&farm, "p/c"), (struct by_hand){.drained = true});
	give_back(&borrower, POOL_REUSE);
	FARM_UNTIL(&farm, farm.actor[2].quits == 1 && farm.actor[2].open == 0);
	farm_close(&farm);
}

static void down_and_unusable_get_nothing(void **state)
{
	struct farm farm;
	struct borrower borrower = {0};

	farm_open(&farm, 1, THREE);
	farm_judge(&farm, "p/a", SERVER_DOWN);
	farm_judge(&farm, "p/c", SERVER_UNUSABLE);
	expect_only(&farm, &borrower, "b");
	farm_judge(&farm, "p/b", SERVER_DOWN);
	assert_int_equal(fails(&farm, &borrower), ERR_DOWN);
	assert_non_null(strstr(borrower.text, "of 3 3 down"));
	farm_close(&farm);
}

static void ejected_are_the_last_resort(void **state)
{
	struct farm farm;
	struct borrower borrower = {0};

	farm_open(&farm, 1, THREE);
	farm_judge(&farm, "p/a", SERVER_EJECTED);
	farm_judge(&farm, "p/b", SERVER_DOWN);
	expect_only(&farm, &borrower, "c");
	farm_judge(&farm, "p/c", SERVER_DOWN);
	expect_only(&farm, &borrower, "a");
	borrow_now(&farm, 0, &borrower);
	assert_string_equal(
		borrower.loan->why, "least-transactions: live 0/1, of 1, ejected but no other");
	give_back(&borrower, POOL_REUSE);
	farm_close(&farm);
}

static void probing_takes_one_by_the_token(void **state)
{
	struct farm farm;
	struct borrower borrower = {0};

	farm_open(&farm, 1, THREE);
	farm_judge(&farm, "p/b", SERVER_PROBING);
	farm_judge(&farm, "p/c", SERVER_DOWN);
	expect_only(&farm, &borrower, "a");
	board_grant_probe(farm.board, farm_server(&farm, "p/b"));
	borrow_now(&farm, 0, &borrower);
	assert_string_equal(borrower.loan->server_name, "b");
	assert_non_null(strstr(borrower.loan->why, "probe"));
	give_back(&borrower, POOL_REUSE);
	expect_only(&farm, &borrower, "a");
	farm_close(&farm);
}

/* A probe waits for no place: the token stays for who comes when there is one. */
static void no_probe_without_a_place(void **state)
{
	struct farm farm;
	struct borrower borrower = {0}, holder = {0};

	farm_open(&farm, 1,
		"pool p { pass-client none; server a $0; server b $1 max-connections=1; }");
	farm_judge(&farm, "p/a", SERVER_DOWN);
	borrow_now(&farm, 0, &holder);
	farm_judge(&farm, "p/a", SERVER_UP);
	farm_judge(&farm, "p/b", SERVER_PROBING);
	board_grant_probe(farm.board, farm_server(&farm, "p/b"));
	expect_only(&farm, &borrower, "a");
	give_back(&holder, POOL_REUSE);
	assert_string_equal(next(&farm, &borrower), "b");
	expect_only(&farm, &borrower, "a");
	farm_close(&farm);
}

/* The first moment of a slow start: next to no weight, but where there is no other it serves. */
static void no_weight_at_all_is_a_little(void **state)
{
	struct farm farm;
	struct borrower borrower = {0};

	farm_open(&farm, 1, "pool p { pass-client none; server a $0; }");
	board_judge(farm.board, farm_server(&farm, "p/a"),
		&(struct verdict){.state = SERVER_UP, .weight = 0});
	borrow_now(&farm, 0, &borrower);
	assert_string_equal(borrower.loan->why, "least-transactions: live 0/0.00, of 1");
	give_back(&borrower, POOL_REUSE);
	farm_close(&farm);
}

/* ---- another row is quicker ---- */

static struct farm *raced;

/* Between our survey and our claim another worker takes the last place of the first server. */
static int pick_and_lose(struct candidate *candidate, int n, uint64_t key, uint64_t random)
{
	const int column = farm_server(raced, "p/a");

	(void)key;
	(void)random;
	if (n == 2) {
		assert_ptr_equal(candidate[0].credit, &raced->worker[0].pool->server[0].credit);
		assert_true(board_claim(raced->board, 1, column, PLACE_OPEN, 1));
	}
	return 0;
}

static void a_lost_race_goes_to_the_next_server(void **state)
{
	static const struct balance_ops loser = {.name = "loser", .pick = pick_and_lose};
	struct pool_settings settings;
	struct borrower borrower = {0}, waiter = {0};
	struct farm farm;

	farm_open(&farm, 1,
		"pool p { max-connections 1; pass-client none; server a $0; server b $1; }");
	board_row_take(farm.board, ROW_WORKER, 1, 1);
	raced = &farm;
	settings = *farm.worker[0].pool->settings;
	settings.balance.ops = &loser;
	farm.worker[0].pool->settings = &settings;
	borrow_now(&farm, 0, &borrower);
	assert_string_equal(borrower.loan->server_name, "b");
	assert_string_equal(borrower.loan->why, "loser: live 0/1, of 1");
	assert_int_equal(farm.actor[0].opened, 0);
	borrow(&farm, 0, &waiter);
	farm_turn_for(&farm, 20 * MSEC);
	assert_false(waiter.told);
	board_release(farm.board, 1, farm_server(&farm, "p/a"), PLACE_OPEN);
	FARM_UNTIL(&farm, waiter.told);
	assert_string_equal(waiter.loan->server_name, "a");
	give_back(&borrower, POOL_REUSE);
	give_back(&waiter, POOL_REUSE);
	farm_close(&farm);
}

static void no_probe_above_the_tier_in_use(void **state)
{
	struct farm farm;
	struct borrower borrower = {0};

	farm_open(&farm, 1, TIERS);
	farm_judge(&farm, "p/b", SERVER_PROBING);
	board_grant_probe(farm.board, farm_server(&farm, "p/b"));
	expect_only(&farm, &borrower, "a");
	farm_judge(&farm, "p/a", SERVER_DOWN);
	assert_string_equal(next(&farm, &borrower), "b");
	expect_only(&farm, &borrower, "c");
	farm_close(&farm);
}

static void tiers_in_order(void **state)
{
	struct farm farm;
	struct borrower borrower = {0};
	unsigned count[3] = {0};

	farm_open(&farm, 1, TIERS);
	expect_only(&farm, &borrower, "a");
	farm_judge(&farm, "p/a", SERVER_DOWN);
	for (int i = 0; i < 20; i++)
		count[next(&farm, &borrower)[0] - 'a']++;
	assert_int_equal(count[1], 10);
	assert_int_equal(count[2], 10);
	/* One that is ejected comes behind all that are up, whatever their tier. */
	farm_judge(&farm, "p/a", SERVER_EJECTED);
	assert_string_not_equal(next(&farm, &borrower), "a");
	borrow_now(&farm, 0, &borrower);
	assert_string_equal(borrower.loan->why, "least-transactions: live 0/1, of 2, tier 2");
	give_back(&borrower, POOL_REUSE);
	farm_judge(&farm, "p/a", SERVER_UP);
	expect_only(&farm, &borrower, "a");
	farm_close(&farm);
}

static void tried_ones_are_passed_over(void **state)
{
	struct farm farm;
	struct borrower borrower = {0};

	farm_open(&farm, 1, TIERS);
	borrower.tried = (struct pool_tried){1, {farm_server(&farm, "p/a")}};
	assert_string_not_equal(next(&farm, &borrower), "a");
	borrower.tried.column[borrower.tried.count++] = farm_server(&farm, "p/c");
	expect_only(&farm, &borrower, "b");
	borrower.tried.column[borrower.tried.count++] = farm_server(&farm, "p/b");
	assert_int_equal(fails(&farm, &borrower), ERR_DOWN);
	assert_non_null(strstr(borrower.text, "3 tried before"));
	farm_close(&farm);
}

static void needs_are_looked_up(void **state)
{
	struct farm farm;
	struct borrower borrower = {.want = {.needs = SMTP_CAP_SMTPUTF8}};
	struct pool *pool;

	farm_open(&farm, 1, THREE);
	pool = farm.worker[0].pool;
	assert_int_equal(pool_offer(pool).caps, 0);
	assert_true(pool_could(pool, SMTP_CAP_SMTPUTF8, 0));
	board_offer(farm.board, farm_server(&farm, "p/a"), SMTP_CAP_SEEN | SMTP_CAP_DSN, 1000);
	board_offer(farm.board, farm_server(&farm, "p/b"),
		SMTP_CAP_SEEN | SMTP_CAP_DSN | SMTP_CAP_SMTPUTF8, 500);
	board_offer(farm.board, farm_server(&farm, "p/c"), SMTP_CAP_SEEN, 0);
	assert_int_equal(pool_offer(pool).caps, SMTP_CAP_SEEN);
	assert_int_equal(pool_offer(pool).size, 500);
	/* b, whose greeting agrees. */
	farm.actor[1].ehlo = "250-b\r\n250-DSN\r\n250-SMTPUTF8\r\n250 SIZE 500\r\n";
	expect_only(&farm, &borrower, "b");
	borrower.want.size = 501;
	assert_false(pool_could(pool, SMTP_CAP_SMTPUTF8, 501));
	assert_int_equal(fails(&farm, &borrower), ERR_MISSING);
	/* One that would have it, but is down, is another matter. */
	borrower.want.size = 0;
	farm_judge(&farm, "p/b", SERVER_DOWN);
	assert_int_equal(fails(&farm, &borrower), ERR_DOWN);
	borrower.want = (struct pool_want){.size = 1001};
	borrow_now(&farm, 0, &borrower);
	assert_string_equal(borrower.loan->server_name, "c");
	give_back(&borrower, POOL_REUSE);
	farm_close(&farm);
}

/* Nobody has seen them: each is asked, and the one that has it is found. */
static void needs_are_verified_by_the_greeting(void **state)
{
	struct farm farm;
	struct borrower borrower = {.want = {.needs = SMTP_CAP_SMTPUTF8}};
	struct borrower plain = {0};

	farm_open(&farm, 1, THREE);
	farm.actor[2].ehlo = "250-c\r\n250 SMTPUTF8\r\n";
	borrow_now(&farm, 0, &borrower);
	assert_string_equal(borrower.loan->server_name, "c");
	give_back(&borrower, POOL_REUSE);
	assert_int_equal(farm.actor[0].opened, 1);
	assert_int_equal(farm.actor[1].opened, 1);
	/* The connections that were no good for this are good for others, and it is known now. */
	assert_int_equal(farm_places(&farm, "p/a", PLACE_IDLE), 1);
	assert_int_equal(farm_places(&farm, "p/b", PLACE_IDLE), 1);
	for (int i = 0; i < 3; i++)
		next(&farm, &plain);
	expect_only(&farm, &borrower, "c");
	assert_int_equal(farm.actor[0].opened + farm.actor[1].opened + farm.actor[2].opened, 3);
	assert_int_equal(farm_sum(&farm, "p/a", M_SERVER_greetings_failed), 0);
	farm_close(&farm);
}

static void none_has_it(void **state)
{
	struct farm farm;
	struct borrower borrower = {.want = {.needs = SMTP_CAP_SMTPUTF8}};

	farm_open(&farm, 1, THREE);
	assert_int_equal(fails(&farm, &borrower), ERR_MISSING);
	assert_string_equal(borrower.text, "no server of pool p has what the message needs");
	farm_close(&farm);
}

/* Whether giving a slow server up leads anywhere. */
static void another_is_left(void **state)
{
	struct pool_tried tried = {0};
	struct farm farm;
	struct pool *pool;
	int a, b, c;

	farm_open(
		&farm, 1, "pool p { pass-client none; server a $0; server b $1; server c h:25; }");
	pool = farm.worker[0].pool;
	a = farm_server(&farm, "p/a");
	b = farm_server(&farm, "p/b");
	c = farm_server(&farm, "p/c"); /* has no address */
	assert_true(pool_has_another(pool, &tried, a));
	tried = (struct pool_tried){.count = 2, .column = {c, b}};
	assert_false(pool_has_another(pool, &tried, a));
	assert_true(pool_has_another(pool, &tried, b));
	tried.count = 0;
	farm_judge(&farm, "p/b", SERVER_DOWN);
	assert_false(pool_has_another(pool, &tried, a));
	farm_judge(&farm, "p/b", SERVER_UNUSABLE);
	assert_false(pool_has_another(pool, &tried, a));
	/* The last resort is one. */
	farm_judge(&farm, "p/b", SERVER_EJECTED);
	assert_true(pool_has_another(pool, &tried, a));
	board_set_by_hand(farm.board, b, (struct by_hand){.drained = true});
	assert_false(pool_has_another(pool, &tried, a));
	board_addresses(farm.board, c,
		&(struct addr){.family = ADDR_IP4, .ip4 = {127, 0, 0, 1}, .port = 25}, 1);
	assert_true(pool_has_another(pool, &tried, a));
	farm_close(&farm);
}

static void offers_are_cut_to_the_smallest(void **state)
{
	const uint32_t caps = SMTP_CAP_SEEN | SMTP_CAP_SIZE;
	struct farm farm;
	struct pool *pool;

	farm_open(&farm, 1, THREE);
	pool = farm.worker[0].pool;
	board_offer(farm.board, farm_server(&farm, "p/a"), caps | SMTP_CAP_DSN, 2000);
	board_offer(farm.board, farm_server(&farm, "p/b"), caps | SMTP_CAP_HELP, 1000);
	assert_int_equal(pool_offer(pool).caps, caps);
	assert_int_equal(pool_offer(pool).size, 1000);
	board_offer(farm.board, farm_server(&farm, "p/c"), caps, 3000);
	assert_int_equal(pool_offer(pool).size, 1000);
	farm_close(&farm);
}

static void avoidance_doubles_up_to_its_bound(void **state)
{
	struct farm farm;
	struct pool_server *server;
	int64_t now;

	farm_open(&farm, 1, THREE);
	server = &farm.worker[0].pool->server[0];
	for (int i = 0; i < 40; i++) {
		int64_t wanted = i < 5 ? SECOND << i : 30 * SECOND;

		now = net_now(farm.worker[0].loop);
		pool_server_failed(server);
		assert_int_equal(server->avoid_until - now, wanted);
		pool_server_failed(server); /* one that was under way then */
		assert_int_equal(server->avoid_until - now, wanted);
		server->avoid_until = 0; /* as if it were over */
	}
	pool_server_works(server);
	assert_false(pool_server_avoided(server));
	pool_server_failed(server);
	assert_int_equal(server->avoid_until - net_now(farm.worker[0].loop), SECOND);
	farm_close(&farm);
}

/* Learned under an older config that allowed more. */
static void a_learned_limit_only_lowers(void **state)
{
	struct farm farm;
	struct pool_server *server;

	farm_open(&farm, 1, "pool p { max-connections 3; pass-client none; server a $0; }");
	server = &farm.worker[0].pool->server[0];
	board_learn_limit(farm.board, 0, server->column, 10, net_now(farm.worker[0].loop));
	assert_int_equal(pool_server_limit(server), 3);
	board_learn_limit(farm.board, 0, server->column, 2, net_now(farm.worker[0].loop));
	assert_int_equal(pool_server_limit(server), 2);
	farm_close(&farm);
}

static void offer_is_that_of_the_first_tier(void **state)
{
	struct farm farm;
	struct pool *pool;

	farm_open(&farm, 1, TIERS);
	pool = farm.worker[0].pool;
	board_offer(farm.board, farm_server(&farm, "p/b"), SMTP_CAP_SEEN, 10);
	assert_int_equal(pool_offer(pool).caps, 0);
	board_offer(farm.board, farm_server(&farm, "p/a"), SMTP_CAP_SEEN | SMTP_CAP_DSN, 0);
	farm_judge(&farm, "p/a", SERVER_DOWN);
	assert_int_equal(pool_offer(pool).caps, SMTP_CAP_SEEN | SMTP_CAP_DSN);
	assert_int_equal(pool_offer(pool).size, 0);
	assert_null(pool_hash_field(pool));
	farm_close(&farm);
}

static void hash_keeps_to_the_key(void **state)
{
	struct farm farm;
	struct borrower borrower = {0};
	const char *first[8];
	bool differs = false;

	farm_open(&farm, 2,
		"pool p { balance hash sender; pass-client none;"
		" server a $0; server b $1; server c $2; }");
	assert_string_equal(pool_hash_field(farm.worker[0].pool), "sender");
	for (uint64_t key = 0; key < 8; key++) {
		borrower.want.key = key * 7919;
		first[key] = next(&farm, &borrower);
		differs = differs || strcmp(first[key], first[0]) != 0;
	}
	assert_true(differs);
	for (uint64_t key = 0; key < 8; key++) {
		borrower.want.key = key * 7919;
		borrow_now(&farm, 1, &borrower);
		assert_string_equal(borrower.loan->server_name, first[key]);
		give_back(&borrower, POOL_REUSE);
	}
	farm_close(&farm);
}

static void latency_avoids_the_slow(void **state)
{
	struct farm farm;
	struct borrower borrower = {0};
	unsigned count[2] = {0};

	farm_open(&farm, 1,
		"pool p { balance latency; pass-client none; server a $0; server b $1; }");
	for (int i = 0; i < 50; i++) {
		borrow_now(&farm, 0, &borrower);
		count[borrower.loan->server_name[0] - 'a']++;
		pool_note(borrower.loan, POOL_ACCEPTED,
			borrower.loan->server_name[0] == 'a' ? SECOND : MSEC);
		give_back(&borrower, POOL_REUSE);
	}
	assert_in_range(count[0], 1, 3);
	farm_close(&farm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(spreads_evenly),
		cmocka_unit_test(follows_weights),
		cmocka_unit_test(slow_start_lowers_the_weight),
		cmocka_unit_test(least_live_over_all_workers),
		cmocka_unit_test(drained_gets_nothing),
		cmocka_unit_test(down_and_unusable_get_nothing),
		cmocka_unit_test(ejected_are_the_last_resort),
		cmocka_unit_test(probing_takes_one_by_the_token),
		cmocka_unit_test(no_probe_without_a_place),
		cmocka_unit_test(no_weight_at_all_is_a_little),
		cmocka_unit_test(a_lost_race_goes_to_the_next_server),
		cmocka_unit_test(no_probe_above_the_tier_in_use),
		cmocka_unit_test(another_is_left),
		cmocka_unit_test(offers_are_cut_to_the_smallest),
		cmocka_unit_test(avoidance_doubles_up_to_its_bound),
		cmocka_unit_test(a_learned_limit_only_lowers),
		cmocka_unit_test(tiers_in_order),
		cmocka_unit_test(tried_ones_are_passed_over),
		cmocka_unit_test(needs_are_looked_up),
		cmocka_unit_test(needs_are_verified_by_the_greeting),
		cmocka_unit_test(none_has_it),
		cmocka_unit_test(offer_is_that_of_the_first_tier),
		cmocka_unit_test(hash_keeps_to_the_key),
		cmocka_unit_test(latency_avoids_the_slow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
