/*
 * Lines of the log: the table, and what is written by it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "board/logline.h"

static void a_line_is_one_object(void **state)
{
	(void)state;
	struct buf buf = {0};
	struct log_line line;
	struct span domains[] = {SPAN("a.example"), SPAN("b\n.example")};
	log_begin(&line, &buf, 0, LOG_EVENT_server_state);
	log_string(&line, LOG_server, "mta1");
	log_string(&line, LOG_pool, NULL);
	log_text(&line, LOG_reply, SPAN(""));
	log_int(&line, LOG_size, 42);
	log_bool(&line, LOG_reused, true);
	log_msec(&line, LOG_t_total, 1500);
	log_list(&line, LOG_recipients_to, domains, 2);
	struct span text = log_finish(&line);
	buf_string(&buf);
	assert_string_equal(buf.at,
		"{\"time\":\"1970-01-01T00:00:00.000Z\",\"event\":\"server-state\","
		"\"server\":\"mta1\",\"size\":42,\"reused\":true,\"t_total\":1.500,"
		"\"recipients_to\":[\"a.example\",\"b\\n.example\"]}");
	assert_int_equal(text.len, buf.len);
	buf_clear(&buf);
}

/* The buffer is used again; what stood in it is gone. */
static void lines_do_not_run_together(void **state)
{
	(void)state;
	struct buf buf = {0};
	struct log_line line;
	for (int i = 0; i < 2; i++) {
		log_begin(&line, &buf, 0, LOG_EVENT_alarm);
		log_string(&line, LOG_text, "x");
		log_finish(&line);
	}
	assert_int_equal(strchr(buf_string(&buf) + 1, '{') == NULL, true);
	buf_clear(&buf);
}

static void a_line_goes_to_its_row(void **state)
{
	(void)state;
	struct board *board;
	struct buf buf = {0}, out = {0};
	struct log_line line;
	void *map = calloc(1, board_size());
	assert_int_equal(board_attach(map, &board, NULL), ERR_OK);
	int row = board_row_take(board, ROW_WORKER, 1, 0);
	log_begin(&line, &buf, 0, LOG_EVENT_process);
	log_int(&line, LOG_pid, 7);
	assert_true(log_end(&line, board, row));
	uint64_t upto;
	board_log_read(board, row, &out, 10000, &upto);
	assert_int_equal(out.len, buf.len + 1);
	assert_memory_equal(out.at, buf.at, buf.len);
	buf_clear(&buf);
	buf_clear(&out);
	free(map);
}

/* The reference is the table: each field and event is in it, and has words. */
static void everything_is_documented(void **state)
{
	(void)state;
	struct buf text = {0};
	char wanted[100];
	log_reference(&text);
	buf_string(&text);
	for (int i = 0; i < LOG_FIELD_COUNT; i++) {
		snprintf(wanted, sizeof(wanted), "| `%s` |", log_field_name((enum log_field)i));
		assert_non_null(strstr(text.at, wanted));
	}
	for (int i = 0; i < LOG_EVENT_COUNT; i++) {
		snprintf(wanted, sizeof(wanted), "| `%s` |", log_event_name((enum log_event)i));
		assert_non_null(strstr(text.at, wanted));
	}
	assert_null(strstr(text.at, "|  |"));
	buf_clear(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_is_one_object),
		cmocka_unit_test(lines_do_not_run_together),
		cmocka_unit_test(a_line_goes_to_its_row),
		cmocka_unit_test(everything_is_documented),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
