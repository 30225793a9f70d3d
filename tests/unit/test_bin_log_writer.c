/*
 * The writer of the log: what control was writing when it was killed is not lost.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
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

static void start(struct control *control, struct board *board)
{
	struct log_settings settings = {.target = control->path, .format = LOG_JSON};
	struct err_text text;
	snprintf(control->path, sizeof control->path, "/tmp/mailweir-log-XXXXXX");
	int fd = mkstemp(control->path);
	assert_true(fd >= 0);
	close(fd);
	control->sys = sys_real_new(&(struct sys_real_setup){.row = -1});
	control->loop = net_loop_new(control->sys);
	control->writer = log_writer_new(control->sys, board, &settings, &text);
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
	start(&dead, board);
	start(&next, board);

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

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_dead_control_was_writing_is_written),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
