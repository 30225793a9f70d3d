/*
 * The whole config language: every row is documented, its default and its example parse; and the
 * configs that the docs show are good ones.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "bin/config.h"
#include "bin/settings.h"
#include "sys/sys.h"

static void every_row_is_sound(void **state)
{
	(void)state;
	struct err_text text = {0};
	if (conf_vocabulary_check(&bin_vocabulary, &text) != ERR_OK)
		fail_msg("%s", text.text);
}

/* Each ```nginx block of the page. */
static unsigned check_page(const char *page)
{
	struct buf text = {0};
	struct err_text err;
	char path[400];
	unsigned found = 0;
	snprintf(path, sizeof path, "%s/%s", MAILWEIR_SOURCE_ROOT, page);
	assert_int_equal(sys_file_read(path, 1 << 20, &text, &err), ERR_OK);
	const char *at = buf_string(&text);
	while ((at = strstr(at, "```nginx\n"))) {
		at += strlen("```nginx\n");
		const char *end = strstr(at, "```");
		assert_non_null(end);
		struct config *config =
			config_parse(page, (struct span){.at = at, .len = (size_t)(end - at)});
		if (!config->conf) {
			struct buf words = {0};
			conf_report_text(&config->report, &words);
			fail_msg("%s: a config that has errors:\n%s", page, buf_string(&words));
		}
		config_free(&config);
		found++;
		at = end;
	}
	buf_clear(&text);
	return found;
}

static void the_configs_of_the_docs_are_good(void **state)
{
	(void)state;
	assert_int_equal(check_page("README.md"), 2);
	assert_int_equal(check_page("docs/config.md"), 3);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_row_is_sound),
		cmocka_unit_test(the_configs_of_the_docs_are_good),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
