/*
 * Policies by their properties: even where they promise it, true to the weights, and hashing that
 * moves no more than it must.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "balance/balance.h"
#include "base/rng.h"
#include "base/when.h"

enum { MOST = 16, PICKS = 10000 };

/* Servers, and the transactions that are in progress on them. */
struct farm {
	const struct balance_ops *ops;
	struct candidate candidate[MOST];
	int64_t credit[MOST];
	unsigned picked[MOST];
	int n;
	struct rng rng;
};

static void farm_init(struct farm *farm, const char *policy, int n, const uint32_t *weight)
{
	*farm = (struct farm){.ops = balance_find(span_of(policy)), .n = n};
	assert_non_null(farm->ops);
	rng_seed(&farm->rng, 7);
	for (int i = 0; i < n; i++) {
		farm->candidate[i] = (struct candidate){
			.weight = (weight ? weight[i] : 1) * 256,
			.id = (uint64_t)i * 0x1234567891 + 17,
			.credit = &farm->credit[i],
		};
	}
}

static int farm_pick(struct farm *farm, uint64_t key)
{
	int at = farm->ops->pick(farm->candidate, farm->n, key, rng_next(&farm->rng));

	assert_in_range(at, 0, farm->n - 1);
	farm->picked[at]++;
	return at;
}

/* The most and the least picked, per weight; times 1,000. */
static unsigned farm_spread(const struct farm *farm)
{
	double most = 0, least = 1e18;

	for (int i = 0; i < farm->n; i++) {
		double share = (double)farm->picked[i] / farm->candidate[i].weight;

		most = share > most ? share : most;
		least = share < least ? share : least;
	}
	return least > 0 ? (unsigned)(most * 1000 / least + 0.5) : UINT32_MAX;
}

/* `senders` keep one transaction in progress each, of a length by chance: at each step the one
 * that is done first begins another.  slow[i]: how much longer server i takes, in percent. */
static void farm_run(struct farm *farm, int senders, int picks, const unsigned *slow)
{
	int64_t done[64] = {0};
	int at[64];

	assert_true(senders <= 64);
	for (int i = 0; i < senders; i++)
		at[i] = -1;
	for (int pick = 0; pick < picks; pick++) {
		int next = 0;

		for (int i = 1; i < senders; i++)
			next = done[i] < done[next] ? i : next;
		if (at[next] >= 0)
			farm->candidate[at[next]].live--;
		at[next] = farm_pick(farm, 0);
		farm->candidate[at[next]].live++;
		done[next] += (int64_t)(1000 + rng_below(&farm->rng, 9000)) *
			      (slow ? 100 + slow[at[next]] : 100) / 100;
	}
}

static void lists_each_policy_once(void **state)
{
	int n = 0;

	for (; balance_at(n); n++) {
		assert_ptr_equal(balance_find(span_of(balance_at(n)->name)), balance_at(n));
		assert_non_null(balance_at(n)->help);
		assert_int_equal(balance_at(n)->keyed, n == 3);
	}
	assert_int_equal(n, 5);
	assert_string_equal(balance_at(0)->name, "least-transactions");
	assert_null(balance_at(-1));
	assert_null(balance_find(SPAN("least")));
	assert_null(balance_find(SPAN("")));
}

static void least_is_even_under_a_varying_load(void **state)
{
	for (int senders = 1; senders <= 16; senders++) {
		for (int n = 2; n <= 5; n++) {
			struct farm farm;

			/* Then the next one is always free and no choice is left: 1 in 20 is the
			 * senders' own unevenness. */
			unsigned most = senders % n == 0 ? 1050 : 1010;

			farm_init(&farm, "least-transactions", n, NULL);
			farm_run(&farm, senders, PICKS, NULL);
			assert_in_range(farm_spread(&farm), 1000, most);
		}
	}
}

static void least_is_even_when_nothing_is_in_progress(void **state)
{
	struct farm farm;

	farm_init(&farm, "least-transactions", 3, NULL);
	for (int i = 0; i < 300; i++)
		farm_pick(&farm, 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(farm.picked[i], 100);
}

static void least_takes_the_least_loaded_for_its_weight(void **state)
{
	static const uint32_t weight[] = {1, 4, 2};
	struct farm farm;

	farm_init(&farm, "least-transactions", 3, weight);
	farm.candidate[0].live = 2; /* 2 a weight */
	farm.candidate[1].live = 5; /* 1.25 */
	farm.candidate[2].live = 3; /* 1.5 */
	assert_int_equal(farm_pick(&farm, 0), 1);
	farm.candidate[1].live = 7; /* 1.75 */
	assert_int_equal(farm_pick(&farm, 0), 2);
}

static void least_follows_the_weights(void **state)
{
	static const uint32_t weight[] = {1, 2, 5};
	struct farm farm;

	farm_init(&farm, "least-transactions", 3, weight);
	farm_run(&farm, 1, PICKS, NULL);
	assert_in_range(farm_spread(&farm), 1000, 1010);
	farm_init(&farm, "least-transactions", 3, weight);
	farm_run(&farm, 32, PICKS, NULL);
	assert_in_range(farm_spread(&farm), 1000, 1050);
}

static void least_serves_a_slow_server_less(void **state)
{
	static const unsigned slow[] = {0, 0, 30};
	struct farm farm;

	farm_init(&farm, "least-transactions", 3, NULL);
	farm_run(&farm, 5, PICKS, slow);
	assert_true(farm.picked[2] > PICKS / 5);
	assert_true(farm.picked[2] < farm.picked[0] * 997 / 1000);
	assert_true(farm.picked[2] < farm.picked[1] * 997 / 1000);
}

static void credit_is_clamped(void **state)
{
	struct farm farm;

	/* Busy for 10,000 picks: what it missed is not owed to it. */
	farm_init(&farm, "least-transactions", 2, NULL);
	farm.candidate[0].live = 9;
	for (int i = 0; i < PICKS; i++)
		assert_int_equal(farm_pick(&farm, 0), 1);
	farm.candidate[0].live = 0;
	farm.picked[0] = farm.picked[1] = 0;
	for (int i = 0; i < 1000; i++)
		farm_pick(&farm, 0);
	assert_in_range(farm.picked[0], 501, 510);
}

static void round_robin_is_smooth(void **state)
{
	static const uint32_t weight[] = {3, 1};
	static const int expected[] = {0, 0, 1, 0, 0, 0, 1, 0};
	struct farm farm;

	farm_init(&farm, "round-robin", 2, weight);
	farm.candidate[0].live = 1000; /* does not matter */
	for (int i = 0; i < 8; i++)
		assert_int_equal(farm_pick(&farm, 0), expected[i]);
}

static void round_robin_follows_the_weights(void **state)
{
	static const uint32_t weight[] = {1, 7, 3, 256};
	struct farm farm;

	farm_init(&farm, "round-robin", 4, weight);
	for (int i = 0; i < 267 * 10; i++)
		farm_pick(&farm, 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(farm.picked[i], weight[i] * 10);
}

static void random_follows_the_weights(void **state)
{
	static const uint32_t weight[] = {1, 2, 5};
	struct farm farm;

	farm_init(&farm, "random", 3, weight);
	for (int i = 0; i < 8 * PICKS; i++)
		farm_pick(&farm, 0);
	assert_in_range(farm_spread(&farm), 1000, 1050);
}

static void latency_prefers_the_sooner(void **state)
{
	struct farm farm;

	farm_init(&farm, "latency", 2, NULL);
	farm.candidate[0].latency = 20 * MSEC;
	farm.candidate[1].latency = 50 * MSEC;
	assert_int_equal(farm_pick(&farm, 0), 0);
	farm.candidate[0].live = 2; /* 20 x 3 > 50 x 1 */
	assert_int_equal(farm_pick(&farm, 0), 1);
	farm.candidate[0].weight *= 2; /* 20 x 3 / 2 < 50 */
	assert_int_equal(farm_pick(&farm, 0), 0);
}

static void latency_unknown_is_as_good_as_the_rival(void **state)
{
	struct farm farm;

	farm_init(&farm, "latency", 2, NULL);
	farm.candidate[0].latency = SECOND;
	farm.candidate[0].live = 1;
	assert_int_equal(farm_pick(&farm, 0), 1);
	farm.candidate[1].live = 2;
	assert_int_equal(farm_pick(&farm, 0), 0);
}

static void latency_picks_the_only_one(void **state)
{
	struct farm farm;

	farm_init(&farm, "latency", 1, NULL);
	assert_int_equal(farm_pick(&farm, 0), 0);
}

/* Two draws of eight: the worst can win only against itself, so never. */
static void latency_never_picks_the_worst_of_two(void **state)
{
	struct farm farm;

	farm_init(&farm, "latency", 8, NULL);
	for (int i = 0; i < 8; i++)
		farm.candidate[i].latency = (i + 1) * MSEC;
	for (int i = 0; i < PICKS; i++)
		farm_pick(&farm, 0);
	assert_int_equal(farm.picked[7], 0);
	for (int i = 0; i < 7; i++) {
		/* Of 56 ordered pairs 2 x (7 - i) have i as the better one. */
		unsigned expected = (unsigned)(PICKS * 2 * (7 - i) / 56);

		assert_in_range(farm.picked[i], expected * 85 / 100, expected * 115 / 100);
	}
}

static void average_jumps_up_and_falls_slowly(void **state)
{
	int64_t average = balance_latency(0, 10 * MSEC, 0);

	assert_int_equal(average, 10 * MSEC);
	average = balance_latency(average, 500 * MSEC, MSEC);
	assert_int_equal(average, 500 * MSEC);
	average = balance_latency(average, 10 * MSEC, 100 * MSEC);
	assert_in_range(average, 490 * MSEC, 499 * MSEC);
	/* After ten seconds 1/e of the difference is left. */
	average = balance_latency(500 * MSEC, 0, 10 * SECOND);
	assert_in_range(average, 180 * MSEC, 190 * MSEC);
	assert_in_range(balance_latency(500 * MSEC, 10 * MSEC, HOUR), 10 * MSEC, 11 * MSEC);
	assert_int_equal(balance_latency(500 * MSEC, 10 * MSEC, 0), 500 * MSEC);
}

/* What serves each of the keys when nothing is in progress. */
static void hash_all(struct farm *farm, int *at_r)
{
	for (uint64_t key = 0; key < PICKS; key++)
		at_r[key] = farm_pick(farm, key * 0x9e3779b97f4a7c15);
}

static void hash_is_the_same_each_time(void **state)
{
	static int first[PICKS], again[PICKS];
	struct farm farm;

	farm_init(&farm, "hash", 5, NULL);
	hash_all(&farm, first);
	rng_seed(&farm.rng, 99);
	hash_all(&farm, again);
	assert_memory_equal(first, again, sizeof(first));
}

static void hash_follows_the_weights(void **state)
{
	static const uint32_t weight[] = {1, 2, 3, 4};
	static int at[PICKS];
	struct farm farm;

	farm_init(&farm, "hash", 4, weight);
	hash_all(&farm, at);
	for (int i = 0; i < 4; i++) {
		assert_in_range(farm.picked[i], PICKS / 10 * weight[i] * 9 / 10,
			PICKS / 10 * weight[i] * 11 / 10);
	}
}

static void hash_moves_only_the_share_of_the_one_that_goes(void **state)
{
	static int before[PICKS], after[PICKS];
	struct farm farm;
	unsigned moved = 0;

	farm_init(&farm, "hash", 5, NULL);
	hash_all(&farm, before);
	/* Server 2 goes; the last takes its place in the array. */
	farm.candidate[2] = farm.candidate[4];
	farm.n = 4;
	hash_all(&farm, after);
	for (int key = 0; key < PICKS; key++) {
		int now = after[key] == 2 ? 4 : after[key];

		if (before[key] == 2)
			moved++;
		else
			assert_int_equal(before[key], now);
	}
	assert_in_range(moved, PICKS / 5 * 9 / 10, PICKS / 5 * 11 / 10);
}

static void hash_moves_only_what_a_new_weight_asks_for(void **state)
{
	static int before[PICKS], after[PICKS];
	struct farm farm;

	farm_init(&farm, "hash", 5, NULL);
	hash_all(&farm, before);
	farm.candidate[3].weight /= 4; /* in slow start */
	hash_all(&farm, after);
	for (int key = 0; key < PICKS; key++) {
		if (before[key] != after[key])
			assert_int_equal(before[key], 3);
	}
}

static void hash_bounds_the_load(void **state)
{
	struct farm farm;
	uint32_t live = 0;

	/* One key for all: no server may hold more than 1.25 times its share, rounded up. */
	farm_init(&farm, "hash", 4, NULL);
	for (int i = 0; i < 400; i++) {
		int at = farm_pick(&farm, 42);

		farm.candidate[at].live++;
		live++;
		assert_true(farm.candidate[at].live <= (live * 5 + 15) / 16);
	}
	for (int i = 0; i < 4; i++)
		assert_true(farm.candidate[i].live > 0);
}

static void hash_bounds_the_load_by_weight(void **state)
{
	static const uint32_t weight[] = {1, 3};
	struct farm farm;

	farm_init(&farm, "hash", 2, weight);
	for (int i = 0; i < 400; i++)
		farm.candidate[farm_pick(&farm, (uint64_t)i % 3)].live++;
	assert_true(farm.candidate[0].live <= 125);
	assert_true(farm.candidate[1].live <= 375);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lists_each_policy_once),
		cmocka_unit_test(least_is_even_under_a_varying_load),
		cmocka_unit_test(least_is_even_when_nothing_is_in_progress),
		cmocka_unit_test(least_takes_the_least_loaded_for_its_weight),
		cmocka_unit_test(least_follows_the_weights),
		cmocka_unit_test(least_serves_a_slow_server_less),
		cmocka_unit_test(credit_is_clamped),
		cmocka_unit_test(round_robin_is_smooth),
		cmocka_unit_test(round_robin_follows_the_weights),
		cmocka_unit_test(random_follows_the_weights),
		cmocka_unit_test(latency_prefers_the_sooner),
		cmocka_unit_test(latency_unknown_is_as_good_as_the_rival),
		cmocka_unit_test(latency_picks_the_only_one),
		cmocka_unit_test(latency_never_picks_the_worst_of_two),
		cmocka_unit_test(average_jumps_up_and_falls_slowly),
		cmocka_unit_test(hash_is_the_same_each_time),
		cmocka_unit_test(hash_follows_the_weights),
		cmocka_unit_test(hash_moves_only_the_share_of_the_one_that_goes),
		cmocka_unit_test(hash_moves_only_what_a_new_weight_asks_for),
		cmocka_unit_test(hash_bounds_the_load),
		cmocka_unit_test(hash_bounds_the_load_by_weight),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
