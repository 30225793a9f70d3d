/*
 * What only the settings of several rooms together can tell.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "bin/config.h"

static const char *said;

/* The config's diagnostics as text; NULL when it is good. */
static void parse(struct buf *words, const char *text)
{
	struct config *config = config_parse("weir.conf", span_of(text));
	buf_reset(words);
	conf_report_text(&config->report, words);
	said = config->conf ? NULL : buf_string(words);
	config_free(&config);
}

static void any_recipient_to_servers_that_see_us_is_an_open_relay(void **state)
{
	struct buf words = {0};
	(void)state;
	parse(&words, "listener in { bind 127.0.0.1:25; send-to mx; relay-to any-recipient; }\n"
		      "pool mx { pass-client none; server a 127.0.0.1:26; }\n");
	assert_non_null(said);
	assert_non_null(strstr(said, "weir.conf:1:46: error: any-recipient makes an open relay: "
				     "pool \"mx\""));
	assert_non_null(strstr(said, "weir.conf:2:11: note: written here"));
	assert_non_null(strstr(said, "relay-to example.com;"));

	parse(&words, "listener in { bind 127.0.0.1:25; send-to mx; relay-to example.com; }\n"
		      "pool mx { pass-client none; server a 127.0.0.1:26; }\n");
	assert_null(said);
	buf_clear(&words);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_recipient_to_servers_that_see_us_is_an_open_relay),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
