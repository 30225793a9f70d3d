/*
 * Paths, domains and parameters: tables of what is valid and what is not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "smtp/address.h"

#define TEN "abcdefghij"
#define L60 TEN TEN TEN TEN TEN TEN
#define L63 L60 "klm"
#define L64 L60 "klmn"
/* 255 octets of domain: four labels of 63 and their dots. */
#define D255 L63 "." L63 "." L63 "." L63

enum { NULL_PATH = 1, ROUTE = 2, WIDE = 4 };

static const struct {
	const char *text, *local, *domain;
	int flags;
} valid[] = {
	{"<a@b>", "a", "b", 0},
	{"<user@example.com>", "user", "example.com", 0},
	{"<User.Name+tag@Example.COM>", "User.Name+tag", "Example.COM", 0},
	{"<a.b.c@d-e.f>", "a.b.c", "d-e.f", 0},
	{"<!#$%&'*+-/=?^_`{|}~@b>", "!#$%&'*+-/=?^_`{|}~", "b", 0},
	{"<\"\"@b>", "\"\"", "b", 0},
	{"<\"a b\"@c>", "\"a b\"", "c", 0},
	{"<\"a b\\\"@c\"@d>", "\"a b\\\"@c\"", "d", 0},
	{"<\"a\\\\\"@d>", "\"a\\\\\"", "d", 0},
	{"<\"a>b\"@c>", "\"a>b\"", "c", 0},
	{"<\".a..b.\"@c>", "\".a..b.\"", "c", 0},
	{"<a@1>", "a", "1", 0},
	{"<a@1.2.3.4>", "a", "1.2.3.4", 0},
	{"<a@3com.example>", "a", "3com.example", 0},
	{"<a@xn--bcher-kva.example>", "a", "xn--bcher-kva.example", 0},
	{"<u@[127.0.0.1]>", "u", "[127.0.0.1]", 0},
	{"<u@[255.255.255.255]>", "u", "[255.255.255.255]", 0},
	{"<u@[IPv6:::1]>", "u", "[IPv6:::1]", 0},
	{"<u@[ipv6:2001:db8::1]>", "u", "[ipv6:2001:db8::1]", 0},
	{"<u@[IPv6:1:2:3:4:5:6:7:8]>", "u", "[IPv6:1:2:3:4:5:6:7:8]", 0},
	{"<u@[IPv6:::ffff:192.0.2.1]>", "u", "[IPv6:::ffff:192.0.2.1]", 0},
	{"<@a:u@d>", "u", "d", ROUTE},
	{"<@a,@b:u@d>", "u", "d", ROUTE},
	{"<@a.b,@[1.2.3.4],@c:u@d>", "u", "d", ROUTE},
	{"<\xc3\xa4@b>", "\xc3\xa4", "b", WIDE},
	{"<a@b\xc3\xbc"
	 "cher.example>",
		"a",
		"b\xc3\xbc"
		"cher.example",
		WIDE},
	{"<\"\xe2\x82\xac \"@b>", "\"\xe2\x82\xac \"", "b", WIDE},
	{"<\xf0\x9f\x93\xa7@b>", "\xf0\x9f\x93\xa7", "b", WIDE},
	{"<\xf4\x8f\xbf\xbf@b>", "\xf4\x8f\xbf\xbf", "b", WIDE},
	{"<@\xc3\xa4:u@d>", "u", "d", ROUTE | WIDE},
	{"<" L64 "@b>", L64, "b", 0},
	{"<a@" L63 ".b>", "a", L63 ".b", 0},
	{"<a@" L63 "." L63 "." L63 "." L60 ">", "a", L63 "." L63 "." L63 "." L60, 0},
	{"<u%other@b>", "u%other", "b", 0},
	{"<a!b@c>", "a!b", "c", 0},
	{"<postmaster@b>", "postmaster", "b", 0},
};

/* For either kind of path. */
static const char *const invalid[] = {
	"",
	"<",
	">",
	"a@b",
	"<a@b",
	"<a>",
	"<a@>",
	"<@b>",
	"<@>",
	"<a@b@c>",
	"<a@b c>",
	"< a@b>",
	"<a@b >",
	"<a @b>",
	"<<a@b>>",
	"<.a@b>",
	"<a.@b>",
	"<a..b@c>",
	"<a@.b>",
	"<a@b.>",
	"<a@b..c>",
	"<a@-b>",
	"<a@b->",
	"<a@b-.c>",
	"<a@b_c>",
	"<a@b!>",
	"<a,b@c>",
	"<a;b@c>",
	"<a:b@c>",
	"<a(b)@c>",
	"<a\\b@c>",
	"<a[b]@c>",
	"<\"a@b>",
	"<\"a\"b@c>",
	"<a\"b\"@c>",
	"<\"a\\\"@b>",
	"<\"a\tb\"@c>",
	"<\"a\x7f\"@c>",
	"<\"a\\\x7f\"@c>",
	"<\"a\xff\"@c>",
	"<\"a\\\x01\"@c>",
	"<a\tb@c>",
	"<a\x7f@c>",
	"<u@[127.0.0.1>",
	"<u@127.0.0.1]>",
	"<u@[127.0.0]>",
	"<u@[127.0.0.256]>",
	"<u@[127.0.0.1.1]>",
	"<u@[127.0.0.1]x>",
	"<u@[127.0.0.1].com>",
	"<u@[::1]>",
	"<u@[IPv6:127.0.0.1]>",
	"<u@[IPv6:]>",
	"<u@[IPv6:[::1]]>",
	"<u@[IPv6:1:2:3:4:5:6:7:8:9]>",
	"<u@[IPv6:::1%eth0]>",
	"<u@[x:y]>",
	"<u@[]>",
	"<@a,u@d>",
	"<@a,:u@d>",
	"<@a,@b,u@d>",
	"<@a@b:u@d>",
	"<a:u@d>",
	"<@a:>",
	"<@a:<u@d>>",
	"<@a,b:u@d>",
	"<\xc3@b>",
	"<\xa4@b>",
	"<\xc0\x80@b>",
	"<\xe0\x80\x80@b>",
	"<\xe2\x82z@b>",
	"<\xe2\x82\xc0@b>",
	"<\xed\xa0\x80@b>",
	"<\xf4\x90\x80\x80@b>",
	"<\xf5\x80\x80\x80@b>",
	"<\xff@b>",
	"<a@\xc3>",
	"<" L64 "x@b>",
	"<a@" L64 ".b>",
	"<a@" D255 ">", /* the domain fits, the path is too long */
	"<a@" D255 ".b>",
	"<postmaster",
};

static void assert_span(const char *about, struct span got, const char *wanted)
{
	if (!span_is(got, wanted))
		fail_msg("%s: \"%.*s\", not \"%s\"", about, SPAN_ARG(got), wanted);
}

static void test_item_18_valid_paths(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(valid) / sizeof(valid[0]); i++) {
		struct span in = span_of(valid[i].text);

		for (int kind = SMTP_REVERSE_PATH; kind <= SMTP_FORWARD_PATH; kind++) {
			struct smtp_path path;

			if (smtp_path_parse(in, (enum smtp_path_kind)kind, &path) != in.len)
				fail_msg("%s was refused", valid[i].text);
			assert_span(valid[i].text, path.text, valid[i].text);
			assert_span(valid[i].text, path.local, valid[i].local);
			assert_span(valid[i].text, path.domain, valid[i].domain);
			assert_int_equal(path.null, !!(valid[i].flags & NULL_PATH));
			assert_int_equal(path.source_route, !!(valid[i].flags & ROUTE));
			assert_int_equal(path.utf8, !!(valid[i].flags & WIDE));
		}
	}
}

static void test_item_18_invalid_paths(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(invalid) / sizeof(invalid[0]); i++) {
		struct smtp_path path;

		if (smtp_path_parse(span_of(invalid[i]), SMTP_REVERSE_PATH, &path) > 0 ||
			smtp_path_parse(span_of(invalid[i]), SMTP_FORWARD_PATH, &path) > 0)
			fail_msg("%s was taken", invalid[i]);
	}
}

/* No prefix of a path is a path, and what follows one isn't eaten. */
static void test_prefixes(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(valid) / sizeof(valid[0]); i++) {
		size_t len = strlen(valid[i].text);
		struct smtp_path path;

		for (size_t part = 0; part < len; part++) {
			char *exact = malloc(part + 1);

			memcpy(exact, valid[i].text, part);
			assert_int_equal(smtp_path_parse((struct span){.at = exact, .len = part},
						 SMTP_FORWARD_PATH, &path),
				0);
			free(exact);
		}
		char behind[400];
		snprintf(behind, sizeof(behind), "%s SIZE=1>", valid[i].text);
		assert_int_equal(smtp_path_parse(span_of(behind), SMTP_REVERSE_PATH, &path), len);
	}
}

static void test_special_paths(void **state)
{
	struct smtp_path path;

	(void)state;
	assert_int_equal(smtp_path_parse(SPAN("<>"), SMTP_REVERSE_PATH, &path), 2);
	assert_true(path.null);
	assert_int_equal(path.local.len, 0);
	assert_int_equal(path.domain.len, 0);
	assert_span("<>", path.text, "<>");
	assert_int_equal(smtp_path_parse(SPAN("<>"), SMTP_FORWARD_PATH, &path), 0);
	assert_int_equal(smtp_path_parse(SPAN("<PostMaster>"), SMTP_FORWARD_PATH, &path), 12);
	assert_false(path.null);
	assert_span("postmaster", path.local, "PostMaster");
	assert_int_equal(path.domain.len, 0);
	assert_int_equal(smtp_path_parse(SPAN("<postmaster>"), SMTP_REVERSE_PATH, &path), 0);
	assert_int_equal(smtp_path_parse(SPAN("<postmasters>"), SMTP_FORWARD_PATH, &path), 0);
}

static void test_lengths(void **state)
{
	struct smtp_path path;
	char text[600];

	(void)state;
	/* A path of 256 octets, brackets and all, and one of 257. */
	snprintf(text, sizeof(text), "<%.62s@%s>", L64, L63 "." L63 "." L63);
	assert_int_equal(strlen(text), 62 + 191 + 3);
	assert_int_equal(smtp_path_parse(span_of(text), SMTP_FORWARD_PATH, &path), 256);
	snprintf(text, sizeof(text), "<%.63s@%s>", L64, L63 "." L63 "." L63);
	assert_int_equal(smtp_path_parse(span_of(text), SMTP_FORWARD_PATH, &path), 0);
	assert_true(smtp_domain_valid(SPAN(D255)));
	assert_false(smtp_domain_valid(SPAN(D255 ".a")));
}

static void test_rerouting_local_parts(void **state)
{
	static const char *const do_so[] = {"u%b", "a!u", "\"u@b\"", "%", "a.b%c"};
	static const char *const dont[] = {"", "u", "u+b", "\"u b\"", "u.b=c"};

	(void)state;
	for (size_t i = 0; i < 5; i++) {
		assert_true(smtp_local_reroutes(span_of(do_so[i])));
		assert_false(smtp_local_reroutes(span_of(dont[i])));
	}
}

static void test_domains(void **state)
{
	static const char *const good[] = {"a", "localhost", "a.b", "1.2.3.4", "[1.2.3.4]",
		"[IPv6:fe80::1]", "a-b.c--d", "\xc3\xa4.example"};
	static const char *const bad[] = {"", ".", "a.", ".a", "-a", "a-", "a b", "a_b", "[1.2.3]",
		"[1.2.3.4", "a]", "[fe80::1]", "a@b", "a/b", "\xc3.b"};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(smtp_domain_valid(span_of(good[i])));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (smtp_domain_valid(span_of(bad[i])))
			fail_msg("%s was taken", bad[i]);
	}
}

/* ---- parameters ---- */

/* "NAME=VALUE,NAME" of what is read, with "!" where the grammar is broken. */
static void read_params(const char *text, char *into, size_t room)
{
	struct span rest = span_of(text), name, value;
	size_t len = 0;
	bool bad;

	into[0] = '\0';
	while (smtp_param_next(&rest, &name, &value, &bad))
		len += (size_t)snprintf(into + len, room - len, "%s%.*s%s%.*s", len ? "," : "",
			SPAN_ARG(name), value.at ? "=" : "", SPAN_ARG(value));
	if (bad)
		snprintf(into + len, room - len, "!");
	else
		assert_int_equal(rest.len, 0);
}

static void test_params(void **state)
{
	struct {
		const char *text, *read;
	} const cases[] = {
		{"", ""},
		{"   ", ""},
		{" SIZE=1000", "SIZE=1000"},
		{" SMTPUTF8", "SMTPUTF8"},
		{"  SIZE=1   BODY=8BITMIME ", "SIZE=1,BODY=8BITMIME"},
		{" X-a9=!\"#<>@,;", "X-a9=!\"#<>@,;"},
		{" a=\xc3\xa4", "a=\xc3\xa4"},
		{"SIZE=1", "!"},
		{" =1", "!"},
		{" SIZE=", "!"},
		{" SIZE= 1", "!"},
		{" SIZE =1", "SIZE!"},
		{" SIZE==1", "!"},
		{" SIZE=1=2", "!"},
		{" -a=1", "!"},
		{" a_b=1", "!"},
		{" a\tb=1", "!"},
		{" a{=1", "!"},
		{" a=1\tb", "!"},
		{" a=1 b!", "a=1!"},
		{" \xc3\xa4=1", "!"},
		{" a=\x7f", "!"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char read[200];

		read_params(cases[i].text, read, sizeof(read));
		if (strcmp(read, cases[i].read) != 0)
			fail_msg("\"%s\": %s, not %s", cases[i].text, read, cases[i].read);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_item_18_valid_paths),
		cmocka_unit_test(test_item_18_invalid_paths),
		cmocka_unit_test(test_prefixes),
		cmocka_unit_test(test_special_paths),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_rerouting_local_parts),
		cmocka_unit_test(test_domains),
		cmocka_unit_test(test_params),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
