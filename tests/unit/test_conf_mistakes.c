/*
 * Mistakes and what is said about them: tests/fixtures/conf/NAME.conf against NAME.expected.
 *
 * With MAILWEIR_GOLDEN_WRITE in the environment the expected files are written anew; read the
 * difference before committing it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "test_conf_example.h"

static void read_file(const char *name, const char *extension, struct buf *out)
{
	char path[512], bytes[4096];
	size_t got;
	FILE *file;

	snprintf(path, sizeof(path), MAILWEIR_SOURCE_ROOT "/tests/fixtures/conf/%s.%s", name,
		extension);
	file = fopen(path, "rb");
	if (!file)
		fail_msg("can't open %s", path);
	while ((got = fread(bytes, 1, sizeof(bytes), file)) > 0)
		buf_add(out, bytes, got);
	fclose(file);
}

static void write_file(const char *name, struct span text)
{
	char path[512];
	FILE *file;

	snprintf(path, sizeof(path), MAILWEIR_SOURCE_ROOT "/tests/fixtures/conf/%s.expected", name);
	file = fopen(path, "wb");
	assert_non_null(file);
	assert_int_equal(fwrite(text.at, 1, text.len, file), text.len);
	fclose(file);
}

static void golden(void **state)
{
	const char *name = *state;
	char file_name[64];
	struct conf_report report = {0};
	struct buf text = {0}, said = {0}, expected = {0};
	struct conf *conf;

	read_file(name, "conf", &text);
	snprintf(file_name, sizeof(file_name), "%s.conf", name);
	conf = conf_parse(&ex_vocabulary, buf_span(&text), file_name, &ex_files, &report);
	assert_int_equal(conf == NULL, report.errors > 0);
	conf_report_text(&report, &said);
	buf_addf(&said, "%u errors, %u warnings\n", report.errors, report.warnings);
	if (getenv("MAILWEIR_GOLDEN_WRITE"))
		write_file(name, buf_span(&said));
	read_file(name, "expected", &expected);
	assert_string_equal(buf_string(&said), buf_string(&expected));
	conf_free(&conf);
	conf_report_clear(&report);
	buf_clear(&text);
	buf_clear(&said);
	buf_clear(&expected);
}

#define GOLDEN(file)                                                                               \
	{                                                                                          \
		.name = file, .test_func = golden, .initial_state = (void *)(uintptr_t)file        \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		GOLDEN("good"),
		GOLDEN("five-mistakes"),
		GOLDEN("missing-semicolon"),
		GOLDEN("missing-brace"),
		GOLDEN("stray"),
		GOLDEN("strings"),
		GOLDEN("duplicates"),
		GOLDEN("unknown"),
		GOLDEN("references"),
		GOLDEN("required"),
		GOLDEN("blocks"),
		GOLDEN("columns"),
		GOLDEN("bytes"),
		GOLDEN("warning"),
		GOLDEN("lists"),
		GOLDEN("utf16"),
		GOLDEN("empty"),
		GOLDEN("nameless"),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
