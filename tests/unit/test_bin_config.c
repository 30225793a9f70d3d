/*
 * The settings of the whole, and what a reload may not do to a pool.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/when.h"
#include "bin/config.h"
#include "bin/settings.h"

#define LISTENER "listener in { bind 127.0.0.1:25; send-to farm; }\n"
#define POOL     "pool farm { pass-client none; server s1 127.0.0.1:1; }\n"

static struct config *read(const char *text)
{
	struct config *config = config_parse("test.conf", span_of(text));
	if (!config->conf) {
		struct buf words = {0};
		conf_report_text(&config->report, &words);
		fail_msg("%s", buf_string(&words));
	}
	return config;
}

static void refused(const char *text, const char *because)
{
	struct buf words = {0};
	struct config *config = config_parse("test.conf", span_of(text));
	conf_report_text(&config->report, &words);
	buf_string(&words);
	assert_null(config->conf);
	if (!strstr(words.at, because))
		fail_msg("no \"%s\" in: %s", because, words.at);
	buf_clear(&words);
	config_free(&config);
}

/* Every row has words and an example that parses, no name is taken twice. */
static void the_vocabulary_is_sound(void **state)
{
	(void)state;
	struct err_text text = {0};
	if (conf_vocabulary_check(&bin_vocabulary, &text))
		fail_msg("%s", text.text);
}

static void defaults(void **state)
{
	(void)state;
	struct config *config = read(LISTENER POOL);
	assert_null(bin_settings_of(config->conf)->hostname);
	assert_null(bin_settings_of(config->conf)->state);
	assert_int_equal(bin_settings_of(config->conf)->drain_timeout, 11 * MINUTE);
	assert_string_equal(log_settings_of(config->conf)->target, "stderr");
	assert_int_equal(log_settings_of(config->conf)->format, LOG_AUTO);
	assert_int_equal(workers_of(config->conf, 0), 1);
	assert_int_equal(workers_of(config->conf, 2), 2);
	assert_int_equal(workers_of(config->conf, 64), 4);
	config_free(&config);
}

static void what_is_written_counts(void **state)
{
	(void)state;
	struct config *config =
		read("hostname MX.example.com; state /var/lib/x; workers 7;\n"
		     "drain-timeout 5s; log /var/log/x format=text;\n" LISTENER POOL);
	assert_string_equal(bin_settings_of(config->conf)->hostname, "mx.example.com");
	assert_string_equal(bin_settings_of(config->conf)->state, "/var/lib/x");
	assert_int_equal(bin_settings_of(config->conf)->drain_timeout, 5 * SECOND);
	assert_int_equal(workers_of(config->conf, 2), 7);
	assert_string_equal(log_settings_of(config->conf)->target, "/var/log/x");
	assert_int_equal(log_settings_of(config->conf)->format, LOG_TEXT);
	config_free(&config);
}

static void mistakes_are_named(void **state)
{
	(void)state;
	refused("workers 0;\n" LISTENER POOL, "workers");
	refused("workers 25;\n" LISTENER POOL, "workers");
	refused("log here;\n" LISTENER POOL, "not a place for a log");
	refused("listener in { send-to farm; }\n" POOL, "bind");
	refused("listener in { bind 127.0.0.1:25 127.0.0.1:25; send-to farm; }\n" POOL,
		"bound twice");
	refused(LISTENER "listener too { bind 127.0.0.1:25; send-to farm; }\n" POOL,
		"first written here");
}

static const char *emptied(const char *now_text, const char *next_text)
{
	static char name[100];
	struct config *now = read(now_text), *next = read(next_text);
	const char *pool = config_emptied_pool(now->conf, next->conf);
	name[0] = '\0';
	strncat(name, pool ? pool : "-", sizeof(name) - 1);
	config_free(&now);
	config_free(&next);
	return name;
}

static void a_pool_keeps_a_server(void **state)
{
	(void)state;
	const char *two = LISTENER "pool farm { pass-client none; server s1 127.0.0.1:1; "
				   "server s2 127.0.0.1:2; }\n";
	const char *other = LISTENER "pool farm { pass-client none; server s3 127.0.0.1:1; }\n";
	const char *moved = LISTENER "pool farm { pass-client none; server s1 127.0.0.9:9; }\n";
	const char *more =
		LISTENER POOL "pool spare { pass-client none; server s1 127.0.0.1:1; }\n";
	assert_string_equal(emptied(two, two), "-");
	assert_string_equal(emptied(two, LISTENER POOL), "-");
	assert_string_equal(emptied(LISTENER POOL, moved), "-");
	assert_string_equal(emptied(LISTENER POOL, more), "-");
	assert_string_equal(emptied(two, other), "farm");
	assert_string_equal(emptied(more, LISTENER POOL), "spare");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_vocabulary_is_sound),
		cmocka_unit_test(defaults),
		cmocka_unit_test(what_is_written_counts),
		cmocka_unit_test(mistakes_are_named),
		cmocka_unit_test(a_pool_keeps_a_server),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
