/*
 * A worker without descriptors: that is its own trouble, not the servers'.
 */
#include "test_pool_help.h"

#include <dirent.h>
#include <sys/resource.h>

enum { SOCKETS = 2, KEPT = 64 };

static unsigned descriptors_open(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned count = 0;

	assert_non_null(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

/* A worker that may open SOCKETS sockets; whoever is not a worker has those that are kept back. */
static struct rlimit limit_sockets(void)
{
	struct rlimit before, limit;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	limit = before;
	limit.rlim_cur = descriptors_open() + BOARD_ROWS + ACTORS + KEPT + SOCKETS;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	return before;
}

static void who_has_no_descriptor_waits_for_one(void **state)
{
	struct rlimit before = limit_sockets();
	struct borrower borrower[SOCKETS] = {0}, waiter = {0};
	struct farm farm;

	farm_open(&farm, 1, "pool p { max-connections 10; pass-client none; server a $0; }");
	assert_int_equal(sys_sockets_limit(farm.worker[0].sys), SOCKETS);
	for (int i = 0; i < SOCKETS; i++)
		borrow_now(&farm, 0, &borrower[i]);
	borrow(&farm, 0, &waiter);
	farm_turn_for(&farm, 100 * MSEC);
	assert_false(waiter.told);
	assert_int_equal(farm.actor[0].opened, SOCKETS);
	give_back(&borrower[0], POOL_DROP);
	FARM_UNTIL(&farm, waiter.told);
	assert_int_equal(waiter.err, ERR_OK);
	assert_int_equal(farm_sum(&farm, "p/a", M_SERVER_connects_failed), 0);
	give_back(&borrower[1], POOL_REUSE);
	give_back(&waiter, POOL_REUSE);
	farm_close(&farm);
	setrlimit(RLIMIT_NOFILE, &before);
}

/* Of another pool, even: what is only kept warm is worth less than a message that waits. */
static void idle_connections_give_theirs(void **state)
{
	struct rlimit before = limit_sockets();
	struct borrower borrower[SOCKETS] = {0}, waiter = {0};
	struct farm farm;

	farm_open(&farm, 1,
		"pool p { pass-client none; server a $0; }"
		"pool q { pass-client none; server b $1; }");
	for (int i = 0; i < SOCKETS; i++)
		borrow_now(&farm, 0, &borrower[i]);
	for (int i = 0; i < SOCKETS; i++)
		give_back(&borrower[i], POOL_REUSE);
	assert_int_equal(sys_sockets(farm.worker[0].sys), SOCKETS);
	farm.worker[0].pool = pools_find(farm.worker[0].pools, "q");
	borrow_now(&farm, 0, &waiter);
	assert_int_equal(farm.actor[0].quits, 1); /* one is enough */
	assert_int_equal(farm.actor[1].opened, 1);
	give_back(&waiter, POOL_REUSE);
	farm_close(&farm);
	setrlimit(RLIMIT_NOFILE, &before);
}

/* Who was used longest ago goes first, whichever pool it is of. */
static void the_oldest_idle_connection_goes_first(void **state)
{
	struct rlimit before = limit_sockets();
	struct borrower old = {0}, young = {0}, waiter = {0};
	struct farm farm;

	for (int turned = 0; turned < 2; turned++) {
		farm_open(&farm, 1,
			"pool p { pass-client none; server a $0; server b $1; }"
			"pool q { pass-client none; server c $2; }");
		farm_judge(&farm, turned ? "p/a" : "p/b", SERVER_DOWN);
		borrow_now(&farm, 0, &old);
		farm_judge(&farm, turned ? "p/a" : "p/b", SERVER_UP);
		farm_judge(&farm, turned ? "p/b" : "p/a", SERVER_DOWN);
		borrow_now(&farm, 0, &young);
		give_back(&old, POOL_REUSE);
		farm_turn_for(&farm, 5 * MSEC);
		give_back(&young, POOL_REUSE);
		farm.worker[0].pool = pools_find(farm.worker[0].pools, "q");
		borrow_now(&farm, 0, &waiter);
		assert_int_equal(farm.actor[turned].quits, 1);
		assert_int_equal(farm.actor[!turned].quits, 0);
		give_back(&waiter, POOL_REUSE);
		farm_close(&farm);
	}
	setrlimit(RLIMIT_NOFILE, &before);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_has_no_descriptor_waits_for_one),
		cmocka_unit_test(idle_connections_give_theirs),
		cmocka_unit_test(the_oldest_idle_connection_goes_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
