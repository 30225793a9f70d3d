/*
 * Whatever is done to a config, it parses to a conf, or to at least one diagnostic and no conf;
 * and what is said about it is plain text.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "test_conf_example.h"

static struct buf good;

static int read_good(void **state)
{
	char bytes[4096];
	size_t got;
	FILE *file = fopen(MAILWEIR_SOURCE_ROOT "/tests/fixtures/conf/good.conf", "rb");

	if (!file)
		return -1;
	while ((got = fread(bytes, 1, sizeof(bytes), file)) > 0)
		buf_add(&good, bytes, got);
	fclose(file);
	return 0;
}

static int forget_good(void **state)
{
	buf_clear(&good);
	return 0;
}

/* True when it was a good config. */
static bool try(struct span text)
{
	/* A copy of exactly this size, so that AddressSanitizer sees a step beyond it. */
	struct span copy = {
		.at = memcpy(malloc(text.len ? text.len : 1), text.at, text.len), .len = text.len};
	struct conf_report report = {0};
	struct buf out = {0};
	struct conf *conf = conf_parse(&ex_vocabulary, copy, "cut.conf", &ex_files, &report);
	bool parsed = conf != NULL;

	free((void *)(uintptr_t)copy.at);
	assert_int_equal(parsed, report.errors == 0);
	conf_report_text(&report, &out);
	assert_int_equal(report.errors + report.warnings > 0, out.len > 0);
	for (size_t i = 0; i < out.len; i++) {
		unsigned char c = (unsigned char)out.at[i];

		assert_true((c >= ' ' && c != 0x7f) || c == '\n' || c == '\t');
	}
	conf_free(&conf);
	conf_report_clear(&report);
	buf_clear(&out);
	return parsed;
}

static void every_prefix(void **state)
{
	unsigned parsed = 0;

	for (size_t len = 0; len <= good.len; len++)
		parsed += try((struct span){.at = good.at, .len = len});
	/* The whole, and that without its last line end; pools are referred to before that. */
	assert_int_equal(parsed, 2);
}

static void every_deletion(void **state)
{
	unsigned parsed = 0;

	for (size_t at = 0; at < good.len; at++) {
		struct buf text = {0};

		buf_add(&text, good.at, at);
		buf_add(&text, good.at + at + 1, good.len - at - 1);
		parsed += try(buf_span(&text));
		buf_clear(&text);
	}
	/* A letter of a comment or a name may go, the name of a setting may not. */
	assert_in_range(parsed, 100, good.len - 300);
}

/* Bytes put in, taken out, swapped and doubled. */
static void mangle(struct rng *rng, struct buf *text)
{
	static const char spice[] = ";{}()\"=\\# \n\t\r\xff\x80\x00zA9/:.-*[]%";
	size_t at = (size_t)rng_below(rng, text->len);

	switch (rng_below(rng, 4)) {
	case 0:
		text->at[at] = spice[rng_below(rng, sizeof(spice))];
		break;
	case 1:
		memmove(text->at + at, text->at + at + 1, text->len - at - 1);
		text->len--;
		break;
	case 2: {
		struct buf tail = {0};

		buf_add(&tail, text->at + at, text->len - at);
		text->len = at;
		buf_add(text, &spice[rng_below(rng, sizeof(spice))], 1);
		buf_add_span(text, buf_span(&tail));
		buf_clear(&tail);
		break;
	}
	default: {
		struct buf part = {0};

		buf_add(&part, text->at + at, (size_t)rng_below(rng, text->len - at));
		buf_add_span(text, buf_span(&part));
		buf_clear(&part);
	}
	}
}

static void mangled(void **state)
{
	struct rng rng;

	rng_seed(&rng, 20261121);
	for (int round = 0; round < 2000; round++) {
		struct buf text = {0};
		uint64_t times = 1 + rng_below(&rng, 8);

		buf_add_span(&text, buf_span(&good));
		while (times-- > 0 && text.len > 1)
			mangle(&rng, &text);
		try(buf_span(&text));
		buf_clear(&text);
	}
}

/* Deep nests and long lines cost neither stack nor patience. */
static void heaps(void **state)
{
	static const char *const parts[] = {"{", "a{", "(", "listener a{", "}", ";", "a=b ", "\"",
		"pool a{server b 1.1.1.1:1{", "bind 1.1.1.1:1;", "tls{tls{"};

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		struct buf text = {0};

		while (text.len < 64 * 1024)
			buf_add_text(&text, parts[i]);
		assert_false(try(buf_span(&text)));
		buf_clear(&text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_prefix),
		cmocka_unit_test(every_deletion),
		cmocka_unit_test(mangled),
		cmocka_unit_test(heaps),
	};

	return cmocka_run_group_tests(tests, read_good, forget_good);
}
