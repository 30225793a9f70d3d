/*
 * The writer of the log: what control was writing when it was killed is not lost.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "bin/log_writer.h"
#include "net/net.h"
#include "sys/real.h"

struct control {
	struct sys *sys;
	struct net_loop *loop;
	struct log_writer *writer;
	char path[40];
};

static void start(struct control *control, struct board *board, int row)
{
	struct log_settings settings = {.target = control->path, .format = LOG_JSON};
	struct err_text text;
	snprintf(control->path, sizeof control->path, "/tmp/mailweir-log-XXXXXX");
	int fd = mkstemp(control->path);
	assert_true(fd >= 0);
	close(fd);
	control->sys = sys_real_new(&(struct sys_real_setup){.row = -1});
	control->loop = net_loop_new(control->sys);
	control->writer = log_writer_new(control->sys, board, row, &settings, &text);
	assert_non_null(control->writer);
}

static void stop(struct control *control)
{
	net_loop_free(&control->loop);
	sys_real_free(&control->sys);
	log_writer_free(&control->writer);
	unlink(control->path);
}

static void finish(struct control *control)
{
	int64_t end = sys_clock(control->sys) + 10 * SECOND;
	while (!log_writer_idle(control->writer) && sys_clock(control->sys) < end)
		net_turn(control->loop);
	assert_true(log_writer_idle(control->writer));
}

static void expect(const struct control *control, const char *lines)
{
	struct buf got = {0};
	assert_int_equal(sys_file_read(control->path, 10000, &got, NULL), ERR_OK);
	assert_string_equal(buf_string(&got), lines);
	buf_clear(&got);
}

static void what_a_dead_control_was_writing_is_written(void **state)
{
	void *map = mmap(NULL, board_size(), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct control dead = {0}, next = {0};
	struct board *board;
	(void)state;
	assert_ptr_not_equal(map, MAP_FAILED);
	assert_int_equal(board_attach(map, &board, NULL), ERR_OK);
	int row = board_row_take(board, ROW_WORKER, 1, 0);
	start(&dead, board, row);
	start(&next, board, row);

	assert_true(board_log(board, row, SPAN("{1}")));
	assert_true(log_writer_turn(dead.writer)); /* and takes no further turn */
	assert_true(board_log(board, row, SPAN("{2}")));
	assert_true(log_writer_turn(next.writer));
	finish(&next);
	expect(&next, "{1}\n{2}\n");
	/* Once is enough, where nobody dies. */
	assert_false(log_writer_turn(next.writer));
	expect(&next, "{1}\n{2}\n");
	stop(&next);
	stop(&dead);
	munmap(map, board_size());
}

/* What comes meanwhile waits in the ring as well; the writer tries again by itself. */
static void what_a_full_disk_refused_is_written_later(void **state)
{
	void *map = mmap(NULL, board_size(), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct control control = {0};
	struct board *board;
	struct rlimit before, small = {.rlim_cur = 10};
	struct buf got = {0};
	(void)state;
	assert_ptr_not_equal(map, MAP_FAILED);
	assert_int_equal(board_attach(map, &board, NULL), ERR_OK);
	int row = board_row_take(board, ROW_WORKER, 1, 0);
	start(&control, board, row);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	small.rlim_max = before.rlim_max;
	signal(SIGXFSZ, SIG_IGN);

	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	assert_true(board_log(board, row, SPAN("{first}")));
	assert_true(log_writer_turn(control.writer));
	finish(&control);
	assert_true(board_log(board, row, SPAN("{2nd}")));
	assert_true(log_writer_turn(control.writer)); /* does not fit */
	finish(&control);
	expect(&control, "{first}\n");
	assert_true(board_log(board, row, SPAN("{3rd}")));
	assert_false(log_writer_turn(control.writer)); /* not so soon again */
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	log_writer_hurry(control.writer);
	assert_true(log_writer_turn(control.writer));
	finish(&control);
	expect(&control, "{first}\n{2nd}\n{3rd}\n");
	/* And that something was wrong is in the log itself. */
	assert_true(log_writer_turn(control.writer));
	finish(&control);
	assert_int_equal(sys_file_read(control.path, 10000, &got, NULL), ERR_OK);
	assert_non_null(strstr(buf_string(&got), "\"reason\":\"log\""));
	assert_non_null(strstr(buf_string(&got), "0 lines are lost"));
	assert_false(log_writer_turn(control.writer));
	buf_clear(&got);
	signal(SIGXFSZ, SIG_DFL);
	stop(&control);
	munmap(map, board_size());
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_full_disk_refused_is_written_later),
		cmocka_unit_test(what_a_dead_control_was_writing_is_written),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
