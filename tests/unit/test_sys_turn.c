/*
 * The real body: clock, wakes, watches, slow jobs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/real.h"

static struct sys *sys_plain(void)
{
	return sys_real_new(&(struct sys_real_setup){.row = -1});
}

/* One turn of at most `within`; returns whether somebody woke us. */
static bool turn(struct sys *sys, int64_t within)
{
	struct sys_event events[8];
	bool woken;
	sys_wait(sys, events, 8, sys_clock(sys) + within, &woken);
	return woken;
}

static void test_clock_stands_still_within_a_turn(void **state)
{
	(void)state;
	struct sys *sys = sys_plain();
	int64_t before = sys_now(sys), wall = sys_wall(sys), begun = sys_clock(sys);
	usleep(3000);
	assert_int_equal(sys_now(sys), before);
	assert_int_equal(sys_wall(sys), wall);
	assert_true(sys_clock(sys) >= begun + 3 * MSEC);
	turn(sys, 0);
	assert_true(sys_now(sys) >= before + 3 * MSEC);
	assert_true(sys_wall(sys) >= wall + 2 * MSEC);
	assert_true(sys_wall(sys) > 1700000000 * SECOND);
	sys_real_free(&sys);
	assert_null(sys);
}

static void test_waits_until(void **state)
{
	(void)state;
	struct sys *sys = sys_plain();
	int64_t until = sys_clock(sys) + 20 * MSEC + 300;
	struct sys_event events[1];
	bool woken = true;
	assert_int_equal(sys_wait(sys, events, 1, until, &woken), 0);
	assert_false(woken);
	assert_true(sys_now(sys) >= until);
	assert_true(sys_now(sys) < until + SECOND);
	sys_real_free(&sys);
}

static void test_random_fills_everything(void **state)
{
	(void)state;
	struct sys *sys = sys_plain();
	static uint8_t a[5000], b[5000];
	sys_random(sys, a, sizeof(a));
	sys_random(sys, b, sizeof(b));
	assert_memory_not_equal(a, b, sizeof(a));
	static const uint8_t zero[64];
	for (size_t at = 0; at + sizeof(zero) <= sizeof(a); at += sizeof(zero))
		assert_memory_not_equal(a + at, zero, sizeof(zero));
	sys_real_free(&sys);
}

/* ---- wakes ---- */

static void test_wake_crosses_a_fork(void **state)
{
	(void)state;
	int wakes[2] = {eventfd(0, EFD_NONBLOCK), eventfd(0, EFD_NONBLOCK)};
	struct sys_real_setup setup = {.wakes = wakes, .wake_count = 2, .row = 0};
	pid_t child = fork();
	if (child == 0) {
		setup.row = 1;
		struct sys *other = sys_real_new(&setup);
		bool woken = turn(other, 5 * SECOND);
		sys_wake(other, 0);
		sys_real_free(&other);
		_exit(woken ? 0 : 1);
	}
	struct sys *sys = sys_real_new(&setup);
	assert_false(turn(sys, 0));
	sys_wake(sys, 1);
	assert_true(turn(sys, 5 * SECOND));
	assert_false(turn(sys, 0)); /* it was told once */
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_false(sys_idle(sys));
	sys_real_free(&sys);
	close(wakes[0]);
	close(wakes[1]);
}

static void test_wake_from_before_the_wait_is_not_lost(void **state)
{
	(void)state;
	int wake = eventfd(0, EFD_NONBLOCK);
	struct sys *sys =
		sys_real_new(&(struct sys_real_setup){.wakes = &wake, .wake_count = 1, .row = 0});
	for (int i = 0; i < 1000; i++)
		sys_wake(sys, 0);
	assert_true(turn(sys, 5 * SECOND));
	assert_false(turn(sys, 0));
	sys_real_free(&sys);
	close(wake);
}

/* ---- watches ---- */

struct watcher {
	struct sys *sys;
	int fd, other_fd;
	int calls;
};

static void watcher_counts(void *arg)
{
	struct watcher *watcher = arg;
	watcher->calls++;
}

static void watcher_stops_both(void *arg)
{
	struct watcher *watcher = arg;
	watcher->calls++;
	sys_unwatch(watcher->sys, watcher->fd);
	sys_unwatch(watcher->sys, watcher->other_fd);
}

static void test_watch_is_level_triggered(void **state)
{
	(void)state;
	struct sys *sys = sys_plain();
	struct watcher watcher = {.sys = sys, .fd = eventfd(1, EFD_NONBLOCK)};
	assert_true(sys_idle(sys));
	sys_watch(sys, watcher.fd, watcher_counts, &watcher);
	assert_false(sys_idle(sys));
	turn(sys, SECOND);
	turn(sys, SECOND);
	assert_int_equal(watcher.calls, 2);
	sys_unwatch(sys, watcher.fd);
	turn(sys, 0);
	assert_int_equal(watcher.calls, 2);
	assert_true(sys_idle(sys));
	sys_real_free(&sys);
	close(watcher.fd);
}

static void test_watch_ended_in_its_batch_is_not_called(void **state)
{
	(void)state;
	struct sys *sys = sys_plain();
	int a = eventfd(1, EFD_NONBLOCK), b = eventfd(1, EFD_NONBLOCK);
	struct watcher watcher = {.sys = sys, .fd = a, .other_fd = b};
	sys_watch(sys, a, watcher_stops_both, &watcher);
	sys_watch(sys, b, watcher_stops_both, &watcher);
	turn(sys, SECOND);
	assert_int_equal(watcher.calls, 1);
	turn(sys, 0);
	assert_int_equal(watcher.calls, 1);
	sys_real_free(&sys);
	close(a);
	close(b);
}

/* ---- jobs ---- */

enum { JOBS = 200 };

struct jobs {
	atomic_int worked; /* jobs of the queue that have run */
	int told;
	bool in_order;
};

struct job {
	struct jobs *all;
	int number;
	bool worked;
};

static void job_work(void *arg)
{
	struct job *job = arg;
	int before = atomic_fetch_add(&job->all->worked, 1);
	job->worked = before == job->number;
}

static void job_done(void *arg)
{
	struct job *job = arg;
	job->all->in_order &= job->worked && job->all->told == job->number;
	job->all->told++;
}

static void test_jobs_of_a_queue_run_in_order(void **state)
{
	(void)state;
	struct sys *sys = sys_plain();
	static struct job jobs[SYS_QUEUES][JOBS];
	struct jobs all[SYS_QUEUES] = {{.in_order = true}, {.in_order = true}};
	for (int i = 0; i < JOBS; i++) {
		for (int q = 0; q < SYS_QUEUES; q++) {
			jobs[q][i] = (struct job){.all = &all[q], .number = i};
			sys_job(sys, (enum sys_queue)q, job_work, job_done, &jobs[q][i]);
		}
	}
	assert_int_equal(all[0].told + all[1].told, 0); /* never inside sys_job() */
	assert_false(sys_idle(sys));
	int64_t limit = sys_clock(sys) + 10 * SECOND;
	while (all[0].told + all[1].told < 2 * JOBS && sys_clock(sys) < limit)
		turn(sys, SECOND);
	for (int q = 0; q < SYS_QUEUES; q++) {
		assert_int_equal(all[q].told, JOBS);
		assert_true(all[q].in_order);
	}
	assert_true(sys_idle(sys));
	sys_real_free(&sys);
}

struct gate {
	atomic_bool entered, open, left;
};

static void gate_work(void *arg)
{
	struct gate *gate = arg;
	atomic_store(&gate->entered, true);
	while (!atomic_load(&gate->open))
		usleep(1000);
	atomic_store(&gate->left, true);
}

static void gate_open(void *arg)
{
	struct gate *gate = arg;
	atomic_store(&gate->open, true);
}

static void test_queues_do_not_wait_for_each_other(void **state)
{
	(void)state;
	struct sys *sys = sys_plain();
	struct gate gate = {0};
	sys_job(sys, SYS_QUEUE_LOG, gate_work, NULL, &gate);
	sys_job(sys, SYS_QUEUE_STATE, gate_open, NULL, &gate);
	int64_t limit = sys_clock(sys) + 10 * SECOND;
	while (!sys_idle(sys) && sys_clock(sys) < limit)
		turn(sys, SECOND);
	assert_true(atomic_load(&gate.left));
	sys_real_free(&sys);
}

static void gate_work_a_while(void *arg)
{
	struct gate *gate = arg;
	atomic_store(&gate->entered, true);
	usleep(50 * 1000);
	atomic_store(&gate->left, true);
}

static void gate_told(void *arg)
{
	struct gate *gate = arg;
	atomic_store(&gate->open, true);
}

static void test_free_finishes_the_jobs(void **state)
{
	(void)state;
	struct sys *sys = sys_plain();
	struct gate running = {0}, behind = {0};
	sys_job(sys, SYS_QUEUE_STATE, gate_work_a_while, gate_told, &running);
	while (!atomic_load(&running.entered))
		usleep(1000);
	sys_job(sys, SYS_QUEUE_STATE, gate_work_a_while, gate_told, &behind);
	sys_real_free(&sys);
	assert_true(atomic_load(&running.left) && atomic_load(&running.open));
	assert_true(atomic_load(&behind.left) && atomic_load(&behind.open));
}

struct chain_of_jobs {
	struct sys *sys;
	int left;
};

static void nothing(void *arg)
{
	(void)arg;
}

static void start_the_next(void *arg)
{
	struct chain_of_jobs *chain = arg;
	if (--chain->left > 0)
		sys_job(chain->sys, SYS_QUEUE_LOG, nothing, start_the_next, chain);
}

static void test_done_may_start_another_job(void **state)
{
	(void)state;
	struct chain_of_jobs chain = {.sys = sys_plain(), .left = 5};
	sys_job(chain.sys, SYS_QUEUE_LOG, nothing, start_the_next, &chain);
	int64_t limit = sys_clock(chain.sys) + 10 * SECOND;
	while (chain.left > 0 && sys_clock(chain.sys) < limit)
		turn(chain.sys, SECOND);
	assert_int_equal(chain.left, 0);
	assert_true(sys_idle(chain.sys));
	sys_real_free(&chain.sys);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clock_stands_still_within_a_turn),
		cmocka_unit_test(test_waits_until),
		cmocka_unit_test(test_random_fills_everything),
		cmocka_unit_test(test_wake_crosses_a_fork),
		cmocka_unit_test(test_wake_from_before_the_wait_is_not_lost),
		cmocka_unit_test(test_watch_is_level_triggered),
		cmocka_unit_test(test_watch_ended_in_its_batch_is_not_called),
		cmocka_unit_test(test_jobs_of_a_queue_run_in_order),
		cmocka_unit_test(test_queues_do_not_wait_for_each_other),
		cmocka_unit_test(test_free_finishes_the_jobs),
		cmocka_unit_test(test_done_may_start_another_job),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
