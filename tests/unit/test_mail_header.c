/*
 * Finding a header field where the body lies in its chain, at every cut.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "mail/header.h"

static bool find_cut(const char *text, size_t cut, const char *name, char *value_r, size_t room)
{
	struct chunk_pool *pool = chunk_pool_new();
	struct chain chain;
	chain_init(&chain, pool);
	struct chunk *a = chunk_new(pool, CHUNK_SMALL), *b = chunk_new(pool, CHUNK_SMALL);
	size_t len = strlen(text);
	memcpy(a->at, text, cut);
	a->len = (uint32_t)cut;
	memcpy(b->at, text + cut, len - cut);
	b->len = (uint32_t)(len - cut);
	if (cut > 0)
		chain_add(&chain, a, 0, cut);
	if (cut < len)
		chain_add(&chain, b, 0, len - cut);
	bool found = mail_header_find(&chain, name, value_r, room);
	chain_clear(&chain);
	chunk_unref(&a);
	chunk_unref(&b);
	chunk_pool_free(&pool);
	return found;
}

static void expect(const char *text, const char *name, const char *value)
{
	char found[64];
	for (size_t cut = 0; cut <= strlen(text); cut++) {
		assert_int_equal(find_cut(text, cut, name, found, sizeof found), value != NULL);
		assert_string_equal(found, value ? value : "");
	}
}

static void finds_a_field(void **state)
{
	(void)state;
	expect("Subject: x\r\nMessage-ID: <a@b>\r\n\r\nbody\r\n", "Message-ID", "<a@b>");
	expect("MESSAGE-id:<a@b>\r\n\r\n", "Message-ID", "<a@b>");
	expect("Message-ID : \t<a@b> \r\n\r\n", "Message-ID", "<a@b>");
	expect("Message-ID: <first>\r\nMessage-ID: <second>\r\n\r\n", "Message-ID", "<first>");
	expect("X: 1\nMessage-ID: <lf@only>\n\n", "Message-ID", "<lf@only>");
}

static void unfolds(void **state)
{
	(void)state;
	expect("Message-ID:\r\n <a@b>\r\nSubject: x\r\n\r\n", "Message-ID", "<a@b>");
	expect("Message-ID: <a\r\n\t@b>\r\n\r\n", "Message-ID", "<a\t@b>");
	expect("Message-ID:\r\n \r\n <a@b>\r\n \r\n\r\n", "Message-ID", "<a@b>");
}

/* What stands in the folds of another field is that field's. */
static void passes_folds_of_others(void **state)
{
	(void)state;
	expect("Subject: x\r\n Message-ID: <a@b>\r\nMessage-ID: <c@d>\r\n\r\n", "Message-ID",
		"<c@d>");
	expect("Subject: x\r\n\tMessage-ID: <a@b>\r\n\r\n", "Message-ID", NULL);
}

static void stops_at_the_body(void **state)
{
	(void)state;
	expect("Subject: x\r\n\r\nMessage-ID: <in@body>\r\n", "Message-ID", NULL);
	expect("\r\nMessage-ID: <in@body>\r\n", "Message-ID", NULL);
	expect("", "Message-ID", NULL);
	expect("no colon here\r\n\r\n", "Message-ID", NULL);
	expect("X-Message-ID: <no>\r\nMessage-IDs: <no>\r\n\r\n", "Message-ID", NULL);
}

static void is_bounded(void **state)
{
	(void)state;
	char text[400], found[8];
	memset(text, 'y', sizeof text);
	memcpy(text, "Message-ID: ", 12);
	text[sizeof text - 1] = '\0';
	assert_true(find_cut(text, 100, "Message-ID", found, sizeof found));
	assert_string_equal(found, "yyyyyyy");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_a_field),
		cmocka_unit_test(unfolds),
		cmocka_unit_test(passes_folds_of_others),
		cmocka_unit_test(stops_at_the_body),
		cmocka_unit_test(is_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
