/*
 * Silence is counted in waking hours, and every socket has a worker.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "bin/share.h"
#include "bin/silence.h"

static void a_beat_ends_silence(void **state)
{
	(void)state;
	struct silence silence = {0};
	int64_t now = 5 * SECOND;
	assert_int_equal(silence_of(&silence, 1, now), 0);
	for (int i = 0; i < 20; i++)
		silence_of(&silence, 1, now += 200 * MSEC);
	assert_int_equal(silence_of(&silence, 1, now), 4 * SECOND);
	assert_int_equal(silence_of(&silence, 2, now += 200 * MSEC), 0);
}

static void ten_silent_seconds_are_deadly(void **state)
{
	(void)state;
	struct silence silence = {0};
	int64_t now = 5 * SECOND;
	int looks = 0;
	while (silence_of(&silence, 1, now) < SILENCE_DEADLY) {
		now += 200 * MSEC;
		looks++;
	}
	assert_int_equal(looks, 50);
}

/* The machine slept an hour: the other side slept as well. */
static void a_long_gap_counts_one_second(void **state)
{
	(void)state;
	struct silence silence = {0};
	silence_of(&silence, 7, 5 * SECOND);
	assert_int_equal(silence_of(&silence, 7, 5 * SECOND + HOUR), SECOND);
	assert_int_equal(silence_of(&silence, 7, 5 * SECOND + 2 * HOUR), 2 * SECOND);
}

static void every_socket_has_a_worker(void **state)
{
	(void)state;
	for (unsigned workers = 1; workers <= 24; workers++) {
		for (unsigned lanes = 1; lanes <= 24; lanes++) {
			for (unsigned lane = 0; lane < lanes; lane++) {
				unsigned served = 0;
				for (unsigned i = 0; i < workers; i++)
					served += share_serves(i, workers, lane, lanes);
				assert_true(served >= 1);
				assert_true(workers > lanes || served == 1);
			}
		}
	}
}

static void every_worker_has_a_socket(void **state)
{
	(void)state;
	for (unsigned workers = 1; workers <= 24; workers++) {
		for (unsigned lanes = 1; lanes <= 24; lanes++) {
			for (unsigned i = 0; i < workers; i++) {
				unsigned serves = 0;
				for (unsigned lane = 0; lane < lanes; lane++)
					serves += share_serves(i, workers, lane, lanes);
				assert_true(serves >= 1);
				assert_true(workers <= lanes || serves == 1);
			}
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_beat_ends_silence),
		cmocka_unit_test(ten_silent_seconds_are_deadly),
		cmocka_unit_test(a_long_gap_counts_one_second),
		cmocka_unit_test(every_socket_has_a_worker),
		cmocka_unit_test(every_worker_has_a_socket),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
