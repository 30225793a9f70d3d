/*
 * A connection's life: kept, reused, retired, lost; and servers that can't be connected to.
 */
#include "test_pool_help.h"

#define ONE "pool p { pass-client none; server a $0; }"
#define TWO "pool p { pass-client none; server a $0; server b $1; }"

static void borrow_and_return(struct farm *farm, struct borrower *borrower, enum pool_return how)
{
	borrow_now(farm, 0, borrower);
	give_back(borrower, how);
}

static void is_kept_and_used_again(void **state)
{
	struct farm farm;
	struct borrower borrower = {0};

	farm_open(&farm, 1, ONE);
	borrow_now(&farm, 0, &borrower);
	assert_false(borrower.loan->reused);
	assert_false(borrower.loan->must_reset);
	assert_int_equal(farm_places(&farm, "p/a", PLACE_LIVE), 1);
	assert_int_equal(farm_places(&farm, "p/a", PLACE_IDLE), 0);
	borrower.loan->must_reset = true;
	give_back(&borrower, POOL_REUSE);
	assert_int_equal(farm_places(&farm, "p/a", PLACE_LIVE), 0);
	assert_int_equal(farm_places(&farm, "p/a", PLACE_IDLE), 1);
	assert_int_equal(farm_places(&farm, "p/a", PLACE_OPEN), 1);
	borrow_now(&farm, 0, &borrower);
	assert_true(borrower.loan->reused);
	assert_true(borrower.loan->must_reset);
	pool_note(borrower.loan, POOL_ACCEPTED, MSEC);
	give_back(&borrower, POOL_REUSE);
	borrow_now(&farm, 0, &borrower);
	assert_false(borrower.loan->must_reset);
	give_back(&borrower, POOL_REUSE);
	assert_int_equal(farm.actor[0].opened, 1);
	assert_int_equal(pools_open(farm.worker[0].pools), 1);
	farm_close(&farm);
}

static void most_recently_used_first(void **state)
{
	struct farm farm;
	struct borrower one = {0}, two = {0};
	struct talk_client *last;

	farm_open(&farm, 1, ONE);
	borrow_now(&farm, 0, &one);
	borrow_now(&farm, 0, &two);
	last = one.loan->talk;
	give_back(&two, POOL_REUSE);
	give_back(&one, POOL_REUSE);
	borrow_now(&farm, 0, &two);
	assert_ptr_equal(two.loan->talk, last);
	give_back(&two, POOL_REUSE);
	farm_close(&farm);
}

static void fresh_is_a_new_one(void **state)
{
	struct farm farm;
	struct borrower borrower = {0};

	farm_open(&farm, 1, ONE);
	borrow_and_return(&farm, &borrower, POOL_REUSE);
	borrower.want.fresh = true;
	borrow_now(&farm, 0, &borrower);
	assert_false(borrower.loan->reused);
	give_back(&borrower, POOL_REUSE);
	assert_int_equal(farm.actor[0].opened, 2);
	farm_close(&farm);
}

static void quits_when_told(void **state)
{
	struct farm farm;
	struct borrower borrower = {0};

	farm_open(&farm, 1, ONE);
	borrow_and_return(&farm, &borrower, POOL_QUIT);
	/* The server counts it until it has closed, and so do we. */
	assert_int_equal(farm_places(&farm, "p/a", PLACE_OPEN), 1);
	FARM_UNTIL(&farm, pools_open(farm.worker[0].pools) == 0);
	assert_int_equal(farm.actor[0].quits, 1);
	assert_int_equal(farm_places(&farm, "p/a", PLACE_OPEN), 0);
	farm_close(&farm);
}

static void drops_without_a_word(void **state)
{
	struct farm farm;
	struct borrower borrower = {0};

	farm_open(&farm, 1, ONE);
	borrow_and_return(&farm, &borrower, POOL_DROP);
	assert_int_equal(pools_open(farm.worker[0].pools), 0);
	FARM_UNTIL(&farm, farm.actor[0].open == 0);
	assert_int_equal(farm.actor[0].quits, 0);
	farm_close(&farm);
}

static void one_with_an_outstanding_reply_is_dropped(void **state)
{
	struct farm farm;
	struct borrower borrower = {0};

	farm_open(&farm, 1, ONE);
	borrow_now(&farm, 0, &borrower);
	smtp_client_send(talk_client_smtp(borrower.loan->talk), PHASE_RSET, SPAN("RSET"), 0);
	talk_client_go(borrower.loan->talk);
	give_back(&borrower, POOL_REUSE);
	assert_int_equal(pools_open(farm.worker[0].pools), 0);
	farm_close(&farm);
}

static void poisoned_is_not_reused(void **state)
{
	static const enum pool_outcome outcomes[] = {POOL_BROKE, POOL_TIMED_OUT, POOL_POISONED,
		POOL_OUR_CONDUCT, POOL_TOO_MANY, POOL_STALE};
	struct farm farm;
	struct borrower borrower = {0};

	farm_open(&farm, 1, ONE);
	for (unsigned i = 0; i < sizeof(outcomes) / sizeof(outcomes[0]); i++) {
		borrow_now(&farm, 0, &borrower);
		pool_note(borrower.loan, outcomes[i], MSEC);
		give_back(&borrower, POOL_REUSE);
		assert_int_equal(pools_open(farm.worker[0].pools), 0);
	}
	assert_int_equal(farm_sum(&farm, "p/a", M_SERVER_broken), 1);
	assert_int_equal(farm_sum(&farm, "p/a", M_SERVER_timeouts), 1);
	assert_int_equal(farm_sum(&farm, "p/a", M_SERVER_poisoned), 1);
	assert_int_equal(farm_sum(&farm, "p/a", M_SERVER_our_conduct), 1);
	assert_int_equal(farm_sum(&farm, "p/a", M_SERVER_too_many), 1);
	assert_int_equal(farm_sum(&farm, "p/a", M_SERVER_stale), 1);
	farm_close(&farm);
}

static void retires_after_messages_per_connection(void **state)
{
	struct farm farm;
	struct borrower borrower = {0};

	farm_open(&farm, 1, "pool p { messages-per-connection 3; pass-client none; server a $0; }");
	for (int i = 0; i < 9; i++)
		borrow_and_return(&farm, &borrower, POOL_REUSE);
	FARM_UNTIL(&farm, farm.actor[0].quits == 3);
	assert_int_equal(farm.actor[0].opened, 3);
	farm_close(&farm);
}

static void retires_after_five_refusals(void **state)
{
	struct farm farm;
	struct borrower borrower = {0};

	farm_open(&farm, 1, ONE);
	for (int i = 0; i < 8; i++) {
		borrow_now(&farm, 0, &borrower);
		/* An accepted one in between begins the count anew. */
		pool_note(borrower.loan, i == 3 ? POOL_ACCEPTED : POOL_REFUSED, MSEC);
		give_back(&borrower, POOL_REUSE);
	}
	assert_int_equal(farm.actor[0].quits, 0);
	borrow_now(&farm, 0, &borrower);
	pool_note(borrower.loan, POOL_REFUSED, MSEC);
	give_back(&borrower, POOL_REUSE);
	FARM_UNTIL(&farm, farm.actor[0].quits == 1);
	assert_int_equal(farm.actor[0].opened, 1);
	farm_close(&farm);
}

static void idle_too_long_is_ended_by_quit(void **state)
{
	struct farm farm;
	struct borrower borrower = {0};
	int64_t began;

	farm_open(&farm, 1, "pool p { idle-timeout 100ms; pass-client none; server a $0; }");
	borrow_and_return(&farm, &borrower, POOL_REUSE);
	farm_turn_for(&farm, 60 * MSEC);
	began = farm_clock(&farm);
	borrow_and_return(&farm, &borrower, POOL_REUSE); /* its time begins anew */
	FARM_UNTIL(&farm, farm.actor[0].quits == 1);
	assert_true(farm_clock(&farm) - began >= 95 * MSEC);
	assert_int_equal(farm.actor[0].opened, 1);
	farm_close(&farm);
}

/* The time it is lent for doesn't count, even if it ran out meanwhile. */
static void idle_time_is_not_counted_while_lent(void **state)
{
	struct farm farm;
	struct borrower borrower = {0};

	farm_open(&farm, 1, "pool p { idle-timeout 100ms; pass-client none; server a $0; }");
	borrow_and_return(&farm, &borrower, POOL_REUSE);
	borrow_now(&farm, 0, &borrower);
	farm_turn_for(&farm, 150 * MSEC);
	assert_false(borrower.ended);
	give_back(&borrower, POOL_REUSE);
	borrow_now(&farm, 0, &borrower);
	assert_true(borrower.loan->reused);
	give_back(&borrower, POOL_REUSE);
	FARM_UNTIL(&farm, farm.actor[0].quits == 1);
	assert_int_equal(farm.actor[0].opened, 1);
	farm_close(&farm);
}

/* A server that offers more than it did: who needs that gets a connection on which it was said. */
static void a_connection_of_former_days_is_passed_over(void **state)
{
	struct farm farm;
	struct borrower old = {0}, young = {0}, needs = {.want = {.needs = SMTP_CAP_DSN}};

	farm_open(&farm, 1, ONE);
	borrow_now(&farm, 0, &old);
	farm.actor[0].ehlo = "250-actor\r\n250 DSN\r\n";
	borrow_now(&farm, 0, &young);
	give_back(&young, POOL_REUSE);
	give_back(&old, POOL_REUSE); /* it is the most recently used one */
	for (int i = 0; i < 2; i++) {
		borrow_now(&farm, 0, &needs);
		assert_true(talk_client_offer(needs.loan->talk)->caps & SMTP_CAP_DSN);
		assert_int_equal(farm.actor[0].opened, 2);
		give_back(&needs, POOL_REUSE);
	}
	farm_close(&farm);
}

/* A word nobody asked for: one that says goodbye is a server that leaves, any other is a sign. */
static void unasked_words_end_an_idle_connection(void **state)
{
	struct farm farm;
	struct borrower borrower = {0};

	farm_open(&farm, 1, ONE);
	borrow_and_return(&farm, &borrower, POOL_REUSE);
	actor_say(&farm.actor[0].talk[0], "421 4.4.2 timeout exceeded\r\n");
	FARM_UNTIL(&farm, pools_open(farm.worker[0].pools) == 0);
	assert_int_equal(farm_sum(&farm, "p/a", M_SERVER_stale), 1);
	assert_int_equal(farm_sum(&farm, "p/a", M_SERVER_poisoned), 0);
	FARM_UNTIL(&farm, farm.actor[0].open == 0);
	borrow_and_return(&farm, &borrower, POOL_REUSE);
	actor_say(&farm.actor[0].talk[0], "250 ok\r\n");
	FARM_UNTIL(&farm, pools_open(farm.worker[0].pools) == 0);
	assert_int_equal(farm_sum(&farm, "p/a", M_SERVER_stale), 1);
	assert_int_equal(farm_sum(&farm, "p/a", M_SERVER_poisoned), 1);
	assert_int_equal(farm_places(&farm, "p/a", PLACE_IDLE), 0);
	farm_close(&farm);
}

/* Once spoiled it stays so, whatever else becomes of the transaction. */
static void what_is_noted_last_redeems_nothing(void **state)
{
	struct farm farm;
	struct borrower borrower = {0};

	farm_open(&farm, 1, ONE);
	borrow_now(&farm, 0, &borrower);
	pool_note(borrower.loan, POOL_OUR_CONDUCT, 0);
	pool_note(borrower.loan, POOL_ACCEPTED, 0);
	give_back(&borrower, POOL_REUSE);
	assert_int_equal(pools_open(farm.worker[0].pools), 0);
	farm_close(&farm);
}

/* A borrower that asks again as soon as it is told is served in a further turn, not in this one. */
struct eager {
	struct worker *worker;
	struct pool_loan *loan;
	unsigned left, served;
	bool inside;
};

static void eager_ready(void *arg, enum err err, struct pool_loan *loan, const char *text)
{
	struct eager *eager = arg;

	(void)text;
	assert_false(eager->inside);
	assert_int_equal(err, ERR_OK);
	assert_ptr_equal(loan, eager->loan);
	eager->inside = true;
	eager->served++;
	pool_give_back(&eager->loan, POOL_REUSE);
	if (eager->left-- > 0)
		eager->loan = pool_lend(eager->worker->pool, &(struct pool_want){.deadline = NEVER},
			eager_ready, eager);
	eager->inside = false;
}

static void who_asks_again_at_once_waits_a_turn(void **state)
{
	struct farm farm;
	struct eager eager = {.left = 50};
	unsigned before;

	farm_open(&farm, 1, ONE);
	eager.worker = &farm.worker[0];
	eager.loan = pool_lend(
		eager.worker->pool, &(struct pool_want){.deadline = NEVER}, eager_ready, &eager);
	while (eager.served < 51) {
		before = eager.served;
		farm_turn(&farm);
		assert_in_range(eager.served - before, 0, 20);
	}
	assert_int_equal(farm.actor[0].opened, 1);
	farm_close(&farm);
}

static void closed_meanwhile_is_noticed(void **state)
{
	struct farm farm;
	struct borrower borrower = {0};

	farm_open(&farm, 1, ONE);
	borrow_and_return(&farm, &borrower, POOL_REUSE);
	actor_hang_up_all(&farm.actor[0]);
	FARM_UNTIL(&farm, pools_open(farm.worker[0].pools) == 0);
	assert_int_equal(farm_sum(&farm, "p/a", M_SERVER_stale), 1);
	assert_int_equal(farm_places(&farm, "p/a", PLACE_IDLE), 0);
	borrow_and_return(&farm, &borrower, POOL_REUSE);
	farm_close(&farm);
}

/* Between the pick and the call of ready() the server closes: the borrower never sees that one. */
static void closed_between_pick_and_ready(void **state)
{
	struct farm farm;
	struct borrower borrower = {0};

	farm_open(&farm, 1, ONE);
	borrow_and_return(&farm, &borrower, POOL_REUSE);
	actor_hang_up_all(&farm.actor[0]);
	borrow(&farm, 0, &borrower);
	FARM_UNTIL(&farm, borrower.told);
	assert_int_equal(borrower.err, ERR_OK);
	assert_false(borrower.loan->reused);
	assert_false(borrower.ended);
	give_back(&borrower, POOL_REUSE);
	assert_int_equal(farm_places(&farm, "p/a", PLACE_LIVE), 0);
	farm_close(&farm);
}

static void cancelled_while_opening_is_kept_for_others(void **state)
{
	struct farm farm;
	struct borrower borrower = {0};

	farm_open(&farm, 1, ONE);
	borrow(&farm, 0, &borrower);
	give_back(&borrower, POOL_REUSE);
	assert_int_equal(farm_places(&farm, "p/a", PLACE_LIVE), 0);
	FARM_UNTIL(&farm, farm_places(&farm, "p/a", PLACE_IDLE) == 1);
	borrow_now(&farm, 0, &borrower);
	assert_false(borrower.loan->reused);
	give_back(&borrower, POOL_REUSE);
	assert_int_equal(farm.actor[0].opened, 1);
	/* And cancelled when all but told. */
	borrow(&farm, 0, &borrower);
	give_back(&borrower, POOL_DROP);
	farm_turn_for(&farm, 5 * MSEC);
	assert_false(borrower.told);
	assert_int_equal(farm_places(&farm, "p/a", PLACE_IDLE), 1);
	farm_close(&farm);
}

static void failure_to_connect_is_the_pools_business(void **state)
{
	struct farm farm;
	struct borrower borrower = {0};

	farm_open(&farm, 1, TWO);
	actor_stop_listening(&farm.actor[0]);
	for (int i = 0; i < 10; i++) {
		borrow_now(&farm, 0, &borrower);
		assert_string_equal(borrower.loan->server_name, "b");
		give_back(&borrower, POOL_REUSE);
	}
	/* Avoided after the first. */
	assert_int_equal(farm_sum(&farm, "p/a", M_SERVER_connects_failed), 1);
	assert_int_equal(farm_sum(&farm, "p/a", M_SERVER_connects), 1);
	assert_int_equal(farm_sum(&farm, "p/a", M_SERVER_attempts), 0);
	/* But not if nothing else is left. */
	farm_judge(&farm, "p/b", SERVER_DOWN);
	borrow(&farm, 0, &borrower);
	FARM_UNTIL(&farm, borrower.told);
	assert_int_equal(borrower.err, ERR_DOWN);
	assert_non_null(strstr(borrower.text, "refused"));
	assert_int_equal(farm_sum(&farm, "p/a", M_SERVER_connects_failed), 2);
	actor_listen(&farm.actor[0]);
	borrow_now(&farm, 0, &borrower);
	assert_string_equal(
		borrower.loan->why, "least-transactions: live 0/1, of 1, avoided but no other");
	give_back(&borrower, POOL_REUSE);
	/* It works again, so it isn't avoided any more. */
	farm_judge(&farm, "p/b", SERVER_UP);
	for (int i = 0; i < 2; i++) {
		borrow_now(&farm, 0, &borrower);
		give_back(&borrower, POOL_REUSE);
	}
	assert_true(farm_sum(&farm, "p/a", M_SERVER_attempts) >= 2);
	farm_close(&farm);
}

static void is_tried_again_after_a_second(void **state)
{
	struct farm farm;
	struct borrower borrower = {0};
	bool seen = false;

	farm_open(&farm, 1, TWO);
	actor_stop_listening(&farm.actor[0]);
	borrow_and_return(&farm, &borrower, POOL_REUSE);
	borrow_and_return(&farm, &borrower, POOL_REUSE);
	actor_listen(&farm.actor[0]);
	borrow_and_return(&farm, &borrower, POOL_REUSE);
	assert_int_equal(farm.actor[0].opened, 0);
	farm_turn_for(&farm, 1010 * MSEC);
	for (int i = 0; i < 4; i++) {
		borrow_now(&farm, 0, &borrower);
		seen = seen || strcmp(borrower.loan->server_name, "a") == 0;
		give_back(&borrower, POOL_REUSE);
	}
	assert_true(seen);
	farm_close(&farm);
}

static void bad_greetings_go_to_the_next(void **state)
{
	static const char *const banners[] = {
		"554 go away\r\n", "421 4.3.2 shutting down\r\n", "rubbish\r\n", ""};

	for (unsigned i = 0; i < 4; i++) {
		struct farm farm;
		struct borrower borrower = {0};

		farm_open(&farm, 1,
			"pool p { greeting-timeout 100ms; pass-client none;"
			" server a $0; server b $1; }");
		farm.actor[0].banner = banners[i];
		for (int j = 0; j < 4; j++) {
			borrow_now(&farm, 0, &borrower);
			assert_string_equal(borrower.loan->server_name, "b");
			give_back(&borrower, POOL_REUSE);
		}
		assert_int_equal(farm_sum(&farm, "p/a", M_SERVER_greetings_failed), 1);
		assert_int_equal(farm_sum(&farm, "p/a", M_SERVER_connects_failed), 0);
		assert_int_equal(farm_sum(&farm, "p/a", M_SERVER_too_many), 0);
		farm_close(&farm);
	}
}

static void refused_ehlo_goes_to_the_next(void **state)
{
	struct farm farm;
	struct borrower borrower = {0};

	farm_open(&farm, 1, TWO);
	farm.actor[0].ehlo = "451 4.3.0 not now\r\n";
	borrow_now(&farm, 0, &borrower);
	assert_string_equal(borrower.loan->server_name, "b");
	give_back(&borrower, POOL_REUSE);
	assert_int_equal(farm_sum(&farm, "p/a", M_SERVER_greetings_failed), 1);
	farm_close(&farm);
}

/* 192.0.2.0/24 is nobody's; of two addresses the one that works is found, and they take turns. */
static void all_addresses_are_used_in_turn(void **state)
{
	struct farm farm;
	struct borrower borrower = {0};
	struct addr addr[2] = {
		{.family = ADDR_IP4, .ip4 = {127, 0, 0, 1}},
		{.family = ADDR_IP4, .ip4 = {127, 0, 0, 1}},
	};

	farm_open(&farm, 1, ONE);
	addr[0].port = farm.actor[0].port;
	addr[1].port = farm.actor[1].port;
	board_addresses(farm.board, farm_server(&farm, "p/a"), addr, 2);
	for (int i = 0; i < 6; i++)
		borrow_and_return(&farm, &borrower, POOL_DROP);
	assert_int_equal(farm.actor[0].opened, 3);
	assert_int_equal(farm.actor[1].opened, 3);
	actor_stop_listening(&farm.actor[0]);
	for (int i = 0; i < 6; i++)
		borrow_and_return(&farm, &borrower, POOL_DROP);
	assert_int_equal(farm.actor[1].opened, 9);
	assert_int_equal(farm_sum(&farm, "p/a", M_SERVER_connects_failed), 0);
	farm_close(&farm);
}

static void draining_quits_what_is_idle(void **state)
{
	struct farm farm;
	struct borrower one = {0}, two = {0};

	farm_open(&farm, 1, ONE);
	borrow_now(&farm, 0, &one);
	borrow_now(&farm, 0, &two);
	give_back(&one, POOL_REUSE);
	pools_drain(farm.worker[0].pools);
	FARM_UNTIL(&farm, farm.actor[0].quits == 1);
	/* What is in progress goes on, and may still need a connection. */
	borrow_now(&farm, 0, &one);
	give_back(&one, POOL_REUSE);
	give_back(&two, POOL_REUSE);
	FARM_UNTIL(&farm, pools_open(farm.worker[0].pools) == 0);
	assert_int_equal(farm.actor[0].quits, 3);
	farm_close(&farm);
}

static void deadline_ends_an_opening(void **state)
{
	struct farm farm;
	struct borrower borrower = {0};

	farm_open(&farm, 1, ONE);
	farm.actor[0].banner = NULL;
	borrower.want.deadline = farm_clock(&farm) + 50 * MSEC;
	borrow(&farm, 0, &borrower);
	FARM_UNTIL(&farm, borrower.told);
	assert_int_equal(borrower.err, ERR_TIMEOUT);
	assert_string_equal(borrower.text, "server a had not answered in time");
	assert_int_equal(farm_places(&farm, "p/a", PLACE_LIVE), 0);
	assert_int_equal(farm_places(&farm, "p/a", PLACE_OPEN), 1);
	farm_close(&farm);
}

static void freed_with_loans_out(void **state)
{
	struct farm farm;
	struct borrower out = {0}, opening = {0}, due = {0}, idle = {0};

	farm_open(&farm, 1, ONE);
	borrow_now(&farm, 0, &out);
	borrow_now(&farm, 0, &idle);
	borrow_now(&farm, 0, &due);
	give_back(&idle, POOL_REUSE);
	give_back(&due, POOL_REUSE);
	borrow(&farm, 0, &due);
	farm.actor[0].banner = NULL;
	opening.want.fresh = true;
	borrow(&farm, 0, &opening);
	farm_close(&farm);
}

static void freed_while_somebody_waits(void **state)
{
	struct farm farm;
	struct borrower out = {0}, waiting = {0};
	struct pools *none = NULL;

	farm_open(&farm, 1, "pool p { max-connections 1; pass-client none; server a $0; }");
	borrow_now(&farm, 0, &out);
	borrow(&farm, 0, &waiting);
	farm_turn_for(&farm, 5 * MSEC);
	assert_int_equal(
		board_sum(farm.board, pool_column(farm.worker[0].pool), M_POOL_waiting), 1);
	assert_null(pools_find(farm.worker[0].pools, "q"));
	farm_close(&farm); /* looks whether any place or ticket is left */
	pools_free(&none);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(is_kept_and_used_again),
		cmocka_unit_test(most_recently_used_first),
		cmocka_unit_test(fresh_is_a_new_one),
		cmocka_unit_test(quits_when_told),
		cmocka_unit_test(drops_without_a_word),
		cmocka_unit_test(one_with_an_outstanding_reply_is_dropped),
		cmocka_unit_test(poisoned_is_not_reused),
		cmocka_unit_test(retires_after_messages_per_connection),
		cmocka_unit_test(retires_after_five_refusals),
		cmocka_unit_test(idle_too_long_is_ended_by_quit),
		cmocka_unit_test(idle_time_is_not_counted_while_lent),
		cmocka_unit_test(a_connection_of_former_days_is_passed_over),
		cmocka_unit_test(unasked_words_end_an_idle_connection),
		cmocka_unit_test(what_is_noted_last_redeems_nothing),
		cmocka_unit_test(who_asks_again_at_once_waits_a_turn),
		cmocka_unit_test(closed_meanwhile_is_noticed),
		cmocka_unit_test(closed_between_pick_and_ready),
		cmocka_unit_test(cancelled_while_opening_is_kept_for_others),
		cmocka_unit_test(failure_to_connect_is_the_pools_business),
		cmocka_unit_test(is_tried_again_after_a_second),
		cmocka_unit_test(bad_greetings_go_to_the_next),
		cmocka_unit_test(refused_ehlo_goes_to_the_next),
		cmocka_unit_test(all_addresses_are_used_in_turn),
		cmocka_unit_test(draining_quits_what_is_idle),
		cmocka_unit_test(deadline_ends_an_opening),
		cmocka_unit_test(freed_with_loans_out),
		cmocka_unit_test(freed_while_somebody_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
