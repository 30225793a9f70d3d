/*
 * Timers: order, lazy moves, and what their functions may do.
 */
#include "test_net_help.h"

#include "base/rng.h"

enum { MANY = 2000 };

struct clockwork {
	struct net_loop *loop;
	struct net_timer timer;
	struct clockwork *other; /* cleared when this fires */
	int64_t want, fired_at;
	int fired;
	int *order; /* counts over all */
	int place;
	int64_t again;
};

static void tick(void *arg)
{
	struct clockwork *work = arg;
	work->fired++;
	work->fired_at = net_now(work->loop);
	if (work->order)
		work->place = ++*work->order;
	if (work->other)
		net_timer_clear(work->loop, &work->other->timer);
	if (work->again != 0)
		net_timer_set(work->loop, &work->timer, work->again);
}

static void clockwork_init(struct clockwork *work, struct world *world)
{
	*work = (struct clockwork){.loop = world->loop};
	net_timer_init(&work->timer, tick, work);
	assert_true(work->timer.due == NEVER);
}

static void test_fire_in_order_of_time(void **state)
{
	(void)state;
	struct world world;
	struct clockwork work[3];
	int order = 0;
	world_open(&world);
	for (int i = 0; i < 3; i++) {
		clockwork_init(&work[i], &world);
		work[i].order = &order;
	}
	int64_t now = net_now(world.loop);
	net_timer_set(world.loop, &work[0].timer, now + 12 * MSEC);
	net_timer_set(world.loop, &work[1].timer, now + 4 * MSEC);
	net_timer_set(world.loop, &work[2].timer, now + 8 * MSEC);
	TURN_UNTIL(&world, order == 3);
	assert_int_equal(work[1].place, 1);
	assert_int_equal(work[2].place, 2);
	assert_int_equal(work[0].place, 3);
	assert_true(work[0].fired_at >= now + 12 * MSEC);
	assert_true(work[1].fired_at >= now + 4 * MSEC);
	assert_true(work[0].timer.due == NEVER);
	world_close(&world);
}

static void test_moved_later_fires_once_then(void **state)
{
	(void)state;
	struct world world;
	struct clockwork work;
	world_open(&world);
	clockwork_init(&work, &world);
	int64_t now = net_now(world.loop);
	for (int i = 1; i <= 30; i++)
		net_timer_set(world.loop, &work.timer, now + i * MSEC);
	/* However slow the machine is: not before its last time, and once. */
	TURN_UNTIL(&world, work.fired > 0);
	assert_true(work.fired_at >= now + 30 * MSEC);
	world_turn_for(&world, 10 * MSEC);
	assert_int_equal(work.fired, 1);
	world_close(&world);
}

static void test_moved_sooner_fires_sooner(void **state)
{
	(void)state;
	struct world world;
	struct clockwork work;
	world_open(&world);
	clockwork_init(&work, &world);
	int64_t now = net_now(world.loop);
	net_timer_set(world.loop, &work.timer, now + HOUR);
	net_timer_set(world.loop, &work.timer, now + 2 * HOUR);
	net_timer_set(world.loop, &work.timer, now + 5 * MSEC);
	TURN_UNTIL(&world, work.fired);
	assert_true(work.fired_at < now + 10 * SECOND);
	world_close(&world);
}

static void test_never_and_clear_do_not_fire(void **state)
{
	(void)state;
	struct world world;
	struct clockwork never, cleared, stays;
	world_open(&world);
	clockwork_init(&never, &world);
	clockwork_init(&cleared, &world);
	clockwork_init(&stays, &world);
	int64_t now = net_now(world.loop);
	net_timer_set(world.loop, &never.timer, now + 3 * MSEC);
	net_timer_set(world.loop, &cleared.timer, now + 3 * MSEC);
	net_timer_set(world.loop, &stays.timer, now + 5 * MSEC);
	net_timer_set(world.loop, &never.timer, NEVER);
	net_timer_clear(world.loop, &cleared.timer);
	net_timer_clear(world.loop, &cleared.timer); /* twice is fine */
	TURN_UNTIL(&world, stays.fired);
	assert_int_equal(never.fired + cleared.fired, 0);
	assert_false(net_turn(world.loop)); /* NEVER is no reason to wait */
	world_close(&world);
}

static void test_past_fires_at_once(void **state)
{
	(void)state;
	struct world world;
	struct clockwork work;
	world_open(&world);
	clockwork_init(&work, &world);
	net_timer_set(world.loop, &work.timer, net_now(world.loop) - HOUR);
	assert_true(net_turn(world.loop));
	assert_int_equal(work.fired, 1);
	world_close(&world);
}

static void test_one_that_sets_itself_for_now_fires_once_a_turn(void **state)
{
	(void)state;
	struct world world;
	struct clockwork work;
	world_open(&world);
	clockwork_init(&work, &world);
	work.again = 1;
	net_timer_set(world.loop, &work.timer, 1);
	for (int i = 1; i <= 5; i++) {
		assert_true(net_turn(world.loop));
		assert_int_equal(work.fired, i);
	}
	net_timer_clear(world.loop, &work.timer);
	world_close(&world);
}

static void test_one_may_clear_another_that_is_due(void **state)
{
	(void)state;
	struct world world;
	struct clockwork a, b;
	world_open(&world);
	clockwork_init(&a, &world);
	clockwork_init(&b, &world);
	a.other = &b;
	b.other = &a;
	net_timer_set(world.loop, &a.timer, 1);
	net_timer_set(world.loop, &b.timer, 1);
	assert_true(net_turn(world.loop));
	assert_int_equal(a.fired + b.fired, 1);
	assert_false(net_turn(world.loop));
	world_close(&world);
}

/* Set, move and clear at random, against the plain truth. */
static void test_many_at_random(void **state)
{
	(void)state;
	static struct clockwork work[MANY];
	struct world world;
	struct rng rng;
	int order = 0, expected = 0;
	world_open(&world);
	rng_seed(&rng, 7);
	int64_t now = net_now(world.loop);
	for (int i = 0; i < MANY; i++) {
		clockwork_init(&work[i], &world);
		work[i].order = &order;
		work[i].want = NEVER;
	}
	for (int i = 0; i < 20 * MANY; i++) {
		struct clockwork *one = &work[rng_below(&rng, MANY)];
		one->want = now - MINUTE + (int64_t)rng_below(&rng, 2 * MINUTE);
		if (rng_below(&rng, 8) == 0)
			one->want = NEVER;
		if (one->want == NEVER && rng_below(&rng, 2) == 0)
			net_timer_clear(world.loop, &one->timer);
		else
			net_timer_set(world.loop, &one->timer, one->want);
	}
	assert_true(net_turn(world.loop));
	for (int i = 0; i < MANY; i++) {
		bool due = work[i].want <= net_now(world.loop);
		expected += due;
		assert_int_equal(work[i].fired, due);
		for (int j = 0; due && j < i; j += 37) {
			if (work[j].fired && work[j].want != work[i].want)
				assert_true((work[j].want < work[i].want) ==
					    (work[j].place < work[i].place));
		}
	}
	assert_int_equal(order, expected);
	assert_true(expected > MANY / 4);
	for (int i = 0; i < MANY; i++)
		net_timer_clear(world.loop, &work[i].timer);
	assert_false(net_turn(world.loop));
	world_close(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fire_in_order_of_time),
		cmocka_unit_test(test_moved_later_fires_once_then),
		cmocka_unit_test(test_moved_sooner_fires_sooner),
		cmocka_unit_test(test_never_and_clear_do_not_fire),
		cmocka_unit_test(test_past_fires_at_once),
		cmocka_unit_test(test_one_that_sets_itself_for_now_fires_once_a_turn),
		cmocka_unit_test(test_one_may_clear_another_that_is_due),
		cmocka_unit_test(test_many_at_random),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
