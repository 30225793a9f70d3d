/*
 * The ledger's lines, and what is known of a body cut anywhere.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "base/when.h"
#include "sink/ledger.h"

static void feed(struct sink_mail *mail, const char *body, size_t cut)
{
	struct span rest = span_of(body);
	sink_mail_begin(mail, true, true);
	while (rest.len > 0) {
		size_t len = rest.len < cut ? rest.len : cut;
		sink_mail_body(mail, (struct span){.at = rest.at, .len = len});
		rest = span_from(rest, len);
	}
}

static void test_id_at_every_cut(void **state)
{
	(void)state;
	static const char body[] = "Subject: x\r\nx-ledger-ID:  run.17 \r\nTo: y\r\n\r\n"
				   "X-Ledger-Id: not this\r\n";
	struct sink_mail mail = {0};
	for (size_t cut = 1; cut <= sizeof(body); cut++) {
		feed(&mail, body, cut);
		assert_true(span_is(sink_mail_id(&mail), "run.17"));
		assert_int_equal(mail.octets, sizeof(body) - 1);
		assert_true(span_is(buf_span(&mail.octets_kept), body));
	}
	feed(&mail, "Subject: x\r\n\r\nX-Ledger-Id: in the body\r\n", 7);
	assert_int_equal(sink_mail_id(&mail).len, 0);
	feed(&mail, "\r\nX-Ledger-Id: in the body\r\n", 7);
	sink_mail_clear(&mail);
}

static void test_hash_is_fnv_1a(void **state)
{
	(void)state;
	struct sink_mail mail = {0};
	feed(&mail, "foobar", 2); /* the published test vector */
	assert_true(mail.hash == 0x85944171f73967e8u);
	feed(&mail, "", 1);
	assert_true(mail.hash == 0xcbf29ce484222325u);
	sink_mail_clear(&mail);
}

static void test_long_header_is_bounded(void **state)
{
	(void)state;
	struct sink_mail mail = {0};
	static char line[1000];
	memset(line, 'a', sizeof(line));
	sink_mail_begin(&mail, false, false);
	for (int i = 0; i < 200; i++)
		sink_mail_body(&mail, (struct span){.at = line, .len = sizeof(line)});
	assert_int_equal(mail.octets, 200000);
	assert_int_equal(mail.header.len, LEDGER_HEADER_MAX);
	assert_int_equal(mail.octets_kept.len, 0);
	sink_mail_clear(&mail);
}

static void test_line(void **state)
{
	(void)state;
	struct sink_mail mail = {0};
	struct buf line = {0};
	struct span id;
	feed(&mail, "X-Ledger-Id: run.3\r\n\r\nhello\r\n", 100);
	buf_add_text(&mail.sender, "<a@b>");
	buf_add_text(&mail.recipients, "<c@d>\n<\"e\\\"f\"@g>\n");
	ledger_line(&(struct ledger_entry){.wall = 0, .server = "s1", .number = 5, .session = 2},
		&mail, &line);
	assert_string_equal(buf_string(&line),
		"{\"time\":\"1970-01-01T00:00:00.000Z\",\"server\":\"s1\",\"n\":5,\"session\":2,"
		"\"id\":\"run.3\",\"octets\":29,\"hash\":\"2269da4ca692e768\",\"sender\":\"<a@b>\","
		"\"recipients\":[\"<c@d>\",\"<\\\"e\\\\\\\"f\\\"@g>\"]}\n");
	assert_true(ledger_line_id(buf_span(&line), &id));
	assert_true(span_is(id, "run.3"));
	buf_clear(&line);
	sink_mail_clear(&mail);
}

static void test_line_without_id(void **state)
{
	(void)state;
	struct span id;
	assert_false(ledger_line_id(SPAN("{\"n\":1,\"id\":\"\",\"octets\":2}"), &id));
	assert_false(ledger_line_id(SPAN("{\"n\":1,\"id\":\"torn"), &id));
	assert_false(ledger_line_id((struct span){0}, &id));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_id_at_every_cut),
		cmocka_unit_test(test_hash_is_fnv_1a),
		cmocka_unit_test(test_long_header_is_bounded),
		cmocka_unit_test(test_line),
		cmocka_unit_test(test_line_without_id),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
