/*
 * A listener's settings: what they become, and what is said of mistakes.
 */
#include "test_relay_help.h"

#define POOL_P "pool p { pass-client none; server a 10.0.0.1:25; }"

static struct conf_report report;

static struct conf *parse(const char *text)
{
	report = (struct conf_report){0};
	return conf_parse(&house_vocabulary, span_of(text), "test", NULL, &report);
}

/* The words about it hold this part. */
static void said(const char *part)
{
	struct buf words = {0};

	conf_report_text(&report, &words);
	if (!strstr(buf_string(&words), part))
		fail_msg("\"%s\" is not in:\n%s", part, buf_string(&words));
	buf_clear(&words);
	conf_report_clear(&report);
}

static void refused(const char *text, const char *part)
{
	assert_null(parse(text));
	said(part);
}

static const struct relay_settings *listener_of(const struct conf *conf)
{
	return conf_get(conf_find(conf, "listener", "in"), &relay_listener_section);
}

static void defaults(void **state)
{
	struct conf *conf = parse(POOL_P "listener in { send-to p; }");
	const struct relay_settings *settings;

	(void)state;
	assert_non_null(conf);
	settings = listener_of(conf);
	assert_int_equal(settings->max_size, 50 << 20);
	assert_int_equal(settings->replay_limit, 1 << 20);
	assert_int_equal(settings->answer_within, 20 * SECOND);
	assert_int_equal(settings->replay_within, 15 * SECOND);
	assert_false(settings->resend_ambiguous);
	assert_false(settings->offer.set);
	assert_int_equal(settings->send_to.count, 1);
	conf_free(&conf);
	conf_report_clear(&report);
}

static void what_can_be_offered(void **state)
{
	struct conf *conf = parse(POOL_P "listener in { offer size Dsn; send-to p; }");

	(void)state;
	assert_non_null(conf);
	assert_true(listener_of(conf)->offer.set);
	assert_int_equal(listener_of(conf)->offer.caps, SMTP_CAP_SIZE | SMTP_CAP_DSN);
	conf_free(&conf);
	conf_report_clear(&report);
	refused(POOL_P "listener in { offer SIZE STARTTLS; send-to p; }",
		"not an extension that can be offered");
	refused(POOL_P "listener in { offer SIZES; send-to p; }", "expected some of PIPELINING");
}

static void mistakes_are_named(void **state)
{
	struct buf text = {0};

	(void)state;
	refused(POOL_P "listener in { send-to q; }", "q");
	refused(POOL_P "listener in { }", "send-to");
	refused(POOL_P "listener in { answer-within 0s; send-to p; }", "1s");
	refused(POOL_P "listener in { long-lines split; send-to p; }", "split");
	/* More pools than a listener goes through. */
	for (int i = 0; i < 9; i++)
		buf_addf(&text, "pool p%d { pass-client none; server a 10.0.0.1:25; }", i);
	buf_add_text(&text, "listener in { send-to p0 p1 p2 p3 p4 p5 p6 p7");
	buf_add_text(&text, " p8; }");
	refused(buf_string(&text), "at most 8 pools in send-to");
	text.len -= strlen(" p8; }");
	buf_add_text(&text, "; }");
	struct conf *conf = parse(buf_string(&text));
	assert_non_null(conf);
	conf_free(&conf);
	conf_report_clear(&report);
	buf_clear(&text);
}

/* What would never happen is no mistake, but worth a word. */
static void a_replay_limit_over_the_largest_message(void **state)
{
	struct conf *conf =
		parse(POOL_P "listener in { max-size 1MiB; replay-limit 2MiB; send-to p; }");
	struct buf words = {0};

	(void)state;
	assert_non_null(conf);
	said("more than max-size is never kept");
	conf_free(&conf);
	/* It was not written: the fallback is nobody's mistake. */
	conf = parse(POOL_P "listener in { max-size 512KiB; send-to p; }");
	assert_non_null(conf);
	conf_report_text(&report, &words);
	assert_null(strstr(buf_string(&words), "never kept"));
	buf_clear(&words);
	conf_free(&conf);
	conf_report_clear(&report);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults),
		cmocka_unit_test(what_can_be_offered),
		cmocka_unit_test(mistakes_are_named),
		cmocka_unit_test(a_replay_limit_over_the_largest_message),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
