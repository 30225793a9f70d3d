/*
 * The real body: files.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/sys.h"

static char folder[64];
static char path[128];

static int folder_make(void **state)
{
	(void)state;
	strncpy(folder, "/tmp/mailweir-file.XXXXXX", sizeof(folder) - 1);
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/state", folder);
	return 0;
}

static int folder_remove(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(folder); /* fails if a temporary file was left */
}

static void test_replace_then_read(void **state)
{
	(void)state;
	struct err_text text;
	struct buf got = {0};
	struct buf large = {0};
	for (int i = 0; i < 30000; i++)
		buf_addf(&large, "%d\n", i);
	assert_int_equal(sys_file_replace(path, SPAN("first"), 0600, &text), ERR_OK);
	assert_int_equal(sys_file_replace(path, buf_span(&large), 0640, &text), ERR_OK);
	struct stat there;
	assert_int_equal(stat(path, &there), 0);
	assert_int_equal(there.st_mode & 07777, 0640);
	buf_add_text(&got, "kept ");
	assert_int_equal(sys_file_read(path, large.len, &got, &text), ERR_OK);
	assert_true(span_eq(span_from(buf_span(&got), 5), buf_span(&large)));
	buf_clear(&got);
	buf_clear(&large);
}

static void test_read_refuses_more_than_max(void **state)
{
	(void)state;
	struct err_text text = {""};
	struct buf got = {0};
	buf_add_text(&got, "kept");
	assert_int_equal(sys_file_replace(path, SPAN("123456"), 0600, NULL), ERR_OK);
	assert_int_equal(sys_file_read(path, 5, &got, &text), ERR_RANGE);
	assert_true(span_is(buf_span(&got), "kept"));
	assert_non_null(strstr(text.text, path));
	assert_int_equal(sys_file_read(path, 6, &got, &text), ERR_OK);
	assert_true(span_is(buf_span(&got), "kept123456"));
	buf_clear(&got);
}

static void test_errors_name_file_and_cause(void **state)
{
	(void)state;
	struct err_text text = {""};
	struct buf got = {0};
	assert_int_equal(sys_file_read("/nowhere/at/all", 10, &got, &text), ERR_MISSING);
	assert_string_equal(text.text, "can't open /nowhere/at/all: No such file or directory");
	assert_int_equal(sys_file_replace("/nowhere/at/all", SPAN("x"), 0600, &text), ERR_MISSING);
	assert_non_null(strstr(text.text, "/nowhere/at/all"));
	assert_int_equal(sys_file_append_open("/nowhere/at/all", &text), -1);
	assert_non_null(strstr(text.text, "/nowhere/at/all"));
	assert_int_equal(sys_file_read("/tmp", 10, &got, &text), ERR_BROKEN); /* a directory */
	buf_clear(&got);
}

static int entries(void)
{
	int count = 0;
	DIR *dir = opendir(folder);
	assert_non_null(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count - 2; /* "." and ".." */
}

static void test_failed_replace_leaves_nothing(void **state)
{
	(void)state;
	struct err_text text = {""};
	unlink(path);
	assert_int_equal(mkdir(path, 0700), 0); /* the rename, the last step, can't replace that */
	assert_int_not_equal(sys_file_replace(path, SPAN("new"), 0600, &text), ERR_OK);
	assert_non_null(strstr(text.text, "Is a directory"));
	assert_int_equal(entries(), 1);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(sys_file_replace(path, SPAN("new"), 0600, &text), ERR_OK);
	assert_int_equal(entries(), 1);
}

static void test_append_ends_a_torn_line(void **state)
{
	(void)state;
	struct err_text text;
	struct buf found = {0};
	unlink(path);
	for (int i = 0; i < 3; i++) {
		int handle = sys_file_append_open(path, &text);
		assert_true(handle >= 0);
		assert_int_equal(
			sys_file_append(handle, i == 0 ? SPAN("half a li") : SPAN("whole\n")),
			ERR_OK);
		sys_file_close(handle);
	}
	assert_int_equal(sys_file_read(path, 1000, &found, &text), ERR_OK);
	assert_string_equal(buf_string(&found), "half a li\nwhole\nwhole\n");
	buf_clear(&found);
}

static void test_append_goes_to_the_end(void **state)
{
	(void)state;
	struct err_text text;
	struct buf got = {0};
	unlink(path);
	int a = sys_file_append_open(path, &text), b = sys_file_append_open(path, &text);
	assert_true(a > 2 && b > 2);
	assert_int_equal(sys_file_append(a, SPAN("one\n")), ERR_OK);
	assert_int_equal(sys_file_append(b, SPAN("two\n")), ERR_OK);
	assert_int_equal(sys_file_append(a, SPAN("three\n")), ERR_OK);
	assert_false(sys_file_is_terminal(a));
	sys_file_close(a);
	sys_file_close(b);
	assert_int_equal(sys_file_read(path, 100, &got, &text), ERR_OK);
	assert_true(span_is(buf_span(&got), "one\ntwo\nthree\n"));
	buf_clear(&got);
}

static void test_full_device_is_told(void **state)
{
	(void)state;
	struct err_text text;
	int full = sys_file_append_open("/dev/full", &text);
	assert_true(full > 2);
	assert_int_equal(sys_file_append(full, SPAN("x")), ERR_FULL);
	sys_file_close(full);
}

static void test_append_is_all_or_nothing(void **state)
{
	(void)state;
	struct err_text text;
	struct buf got = {0};
	struct rlimit before, small = {.rlim_cur = 8};
	unlink(path);
	int handle = sys_file_append_open(path, &text);
	assert_int_equal(sys_file_append(handle, SPAN("one\n")), ERR_OK);
	/* There is room for half of it, as on a disk that is nearly full. */
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	small.rlim_max = before.rlim_max;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	assert_int_equal(sys_file_append(handle, SPAN("two and more\n")), ERR_FULL);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	signal(SIGXFSZ, SIG_DFL);
	assert_int_equal(sys_file_append(handle, SPAN("three\n")), ERR_OK);
	sys_file_close(handle);
	assert_int_equal(sys_file_read(path, 100, &got, &text), ERR_OK);
	assert_string_equal(buf_string(&got), "one\nthree\n");
	buf_clear(&got);
}

static void test_standard_output_is_not_closed(void **state)
{
	(void)state;
	assert_int_equal(sys_file_append_open("-", NULL), STDOUT_FILENO);
	assert_int_equal(sys_file_append_open("stderr", NULL), STDERR_FILENO);
	sys_file_close(STDOUT_FILENO);
	sys_file_close(STDERR_FILENO);
	assert_true(fcntl(STDOUT_FILENO, F_GETFD) >= 0);
	assert_true(fcntl(STDERR_FILENO, F_GETFD) >= 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_replace_then_read),
		cmocka_unit_test(test_read_refuses_more_than_max),
		cmocka_unit_test(test_errors_name_file_and_cause),
		cmocka_unit_test(test_failed_replace_leaves_nothing),
		cmocka_unit_test(test_append_goes_to_the_end),
		cmocka_unit_test(test_append_ends_a_torn_line),
		cmocka_unit_test(test_full_device_is_told),
		cmocka_unit_test(test_append_is_all_or_nothing),
		cmocka_unit_test(test_standard_output_is_not_closed),
	};
	return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
