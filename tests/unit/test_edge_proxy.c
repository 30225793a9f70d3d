/*
 * PROXY headers: a table of good and bad ones, each at every cut and with SMTP behind it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "edge/proxy.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define IP4       "\xc0\x00\x02\x01\xc0\x00\x02\x02\x9c\x40\x00\x19" /* 192.0.2.1:40000, 192.0.2.2:25 */
#define ZERO8     "\0\0\0\0\0\0\0\0"
#define ZERO64    ZERO8 ZERO8 ZERO8 ZERO8 ZERO8 ZERO8 ZERO8 ZERO8
#define ZERO104   ZERO64 ZERO8 ZERO8 ZERO8 ZERO8 ZERO8
#define SIXES     "6666666666"
#define SIXES50   SIXES SIXES SIXES SIXES SIXES

/* The prefix of it only: what exists and is not fed would be found by the sanitizer. */
static enum edge_proxy_verdict parse(
	struct span all, size_t len, struct edge_proxy *proxy_r, struct err_text *got)
{
	char *copy = malloc(len + 1);
	if (len > 0)
		memcpy(copy, all.at, len);
	char *exact = len > 0 ? realloc(copy, len) : copy;
	enum edge_proxy_verdict verdict =
		edge_proxy_parse((struct span){.at = exact, .len = len}, proxy_r, got);
	free(exact);
	return verdict;
}

/* ---- good ones ---- */

static const struct good {
	struct span header;
	enum edge_proxy_who who;
	const char *client, *to;
	bool checksum;
} good[] = {
	{SPAN("PROXY TCP4 192.0.2.1 192.0.2.2 40000 25\r\n"), PROXY_CLIENT, "192.0.2.1:40000",
		"192.0.2.2:25"},
	{SPAN("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"), PROXY_CLIENT,
		"255.255.255.255:65535", "255.255.255.255:65535"},
	{SPAN("PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n"), PROXY_CLIENT, "0.0.0.0:0", "0.0.0.0:0"},
	{SPAN("PROXY TCP6 2001:DB8::1 ::1 1 25\r\n"), PROXY_CLIENT, "[2001:db8::1]:1", "[::1]:25"},
	{SPAN("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 25\r\n"), PROXY_CLIENT, "192.0.2.1:1", "[::1]:25"},
	{SPAN("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
	      "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"),
		PROXY_CLIENT, "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
		"[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"},
	{SPAN("PROXY UNKNOWN\r\n"), PROXY_UNNAMED},
	{SPAN("PROXY UNKNOWN 192.0.2.1 whatever  it says\r\n"), PROXY_UNNAMED},
	/* 107 octets, the most */
	{SPAN("PROXY UNKNOWN " SIXES50 SIXES SIXES SIXES SIXES "6\r\n"), PROXY_UNNAMED},
	{SPAN(SIGNATURE "\x21\x11\0\x0c" IP4), PROXY_CLIENT, "192.0.2.1:40000", "192.0.2.2:25"},
	{SPAN(SIGNATURE "\x21\x21\0\x24"
			"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1" ZERO8 "\0\0\0\0\0\0\0\1"
			"\0\1\0\x19"),
		PROXY_CLIENT, "[2001:db8::1]:1", "[::1]:25"},
	{SPAN(SIGNATURE "\x21\x21\0\x24" ZERO8 "\0\0\xff\xff\xc0\0\2\1" ZERO8 "\0\0\0\0\0\0\0\1"
			"\0\1\0\x19"),
		PROXY_CLIENT, "192.0.2.1:1", "[::1]:25"},
	{SPAN(SIGNATURE "\x21\x31\0\xd8"
			"/a/b" ZERO104 "/c\0d" ZERO104),
		PROXY_CLIENT, "unix:/a/b", "unix:/c"},
	{SPAN(SIGNATURE "\x21\0\0\0"), PROXY_UNNAMED},
	{SPAN(SIGNATURE "\x20\0\0\0"), PROXY_LOCAL},
	/* LOCAL's block is not looked at, whatever it claims */
	{SPAN(SIGNATURE "\x20\x11\0\x0c" IP4), PROXY_LOCAL},
	{SPAN(SIGNATURE "\x20\xee\0\2\3\xff"), PROXY_LOCAL},
	/* TLVs: ALPN, NOOP of no octets, an unknown one */
	{SPAN(SIGNATURE "\x21\x11\0\x18" IP4 "\1\0\2h2\4\0\0\xe0\0\1x"), PROXY_CLIENT,
		"192.0.2.1:40000", "192.0.2.2:25"},
	{SPAN(SIGNATURE "\x21\0\0\3\4\0\0"), PROXY_UNNAMED},
	/* CRC32c, as computed by another program */
	{SPAN(SIGNATURE "\x21\x11\0\x13" IP4 "\3\0\4\344\103\133\344"), PROXY_CLIENT,
		"192.0.2.1:40000", "192.0.2.2:25", true},
	{SPAN(SIGNATURE "\x21\x11\0\x18" IP4 "\3\0\4\224\157\254\113"
			"\1\0\2h2"),
		PROXY_CLIENT, "192.0.2.1:40000", "192.0.2.2:25", true},
};

static void same_address(const struct addr *addr, const char *expected)
{
	char text[ADDR_TEXT];
	addr_text_port(addr, text);
	assert_string_equal(text, expected);
}

static void is_good(const struct good *row, const struct edge_proxy *proxy)
{
	assert_int_equal(proxy->len, row->header.len);
	assert_int_equal(proxy->version, row->header.at[0] == 'P' ? 1 : 2);
	assert_int_equal(proxy->who, row->who);
	assert_int_equal(proxy->checksum, row->checksum);
	if (row->who == PROXY_CLIENT) {
		same_address(&proxy->client, row->client);
		same_address(&proxy->to, row->to);
	}
}

static void good_ones_at_every_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
		struct edge_proxy proxy;
		struct err_text got;
		for (size_t len = 0; len < good[i].header.len; len++)
			if (parse(good[i].header, len, &proxy, &got) != PROXY_MORE)
				fail_msg("good %zu at %zu of %zu: %s", i, len, good[i].header.len,
					got.text);
		assert_int_equal(
			parse(good[i].header, good[i].header.len, &proxy, &got), PROXY_DONE);
		is_good(&good[i], &proxy);
	}
}

/* SMTP, another header, and octets of no sense: none is read for a part of the header. */
static void what_stands_behind_is_not_looked_at(void **state)
{
	(void)state;
	static const struct span behind[] = {SPAN("EHLO x\r\n"), SPAN("\r\n"), SPAN("\0\0\0"),
		SPAN("PROXY UNKNOWN\r\n"),
		SPAN("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")};
	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
		for (size_t j = 0; j < sizeof behind / sizeof behind[0]; j++) {
			struct buf both = {0};
			struct edge_proxy proxy;
			struct err_text got;
			buf_add_span(&both, good[i].header);
			buf_add_span(&both, behind[j]);
			assert_int_equal(
				parse(buf_span(&both), both.len, &proxy, &got), PROXY_DONE);
			is_good(&good[i], &proxy);
			buf_clear(&both);
		}
}

/* ---- bad ones ---- */

static const struct bad {
	struct span bytes;
	const char *got; /* the beginning of the words */
} bad[] = {
	{SPAN("EHLO client.example\r\n"), "SMTP"},
	{SPAN("QUIT\r\n"), "SMTP"},
	{SPAN("quit\r\n"), "SMTP"},
	{SPAN("GET / HTTP/1.1\r\n"), "HTTP"},
	{SPAN("POST / HTTP/1.1\r\n"), "HTTP"},
	{SPAN("\x16\x03\x01\x00\xc8\x01"), "TLS"},
	{SPAN("\0"), "something else"},
	{SPAN(" PROXY UNKNOWN\r\n"), "something else"},
	{SPAN("\r\n\r\n\r\n"), "something else"},
	{SPAN("proxy TCP4 192.0.2.1 192.0.2.2 40000 25\r\n"), "something else"},
	{SPAN("PROXY\r\n"), "something else"},
	{SPAN("PROXY\tTCP4 192.0.2.1 192.0.2.2 40000 25\r\n"), "something else"},
	/* version 1 */
	{SPAN("PROXY \r\n"), "a flawed one (no family"},
	{SPAN("PROXY  TCP4 192.0.2.1 192.0.2.2 40000 25\r\n"), "a flawed one (no family"},
	{SPAN("PROXY TCP5 192.0.2.1 192.0.2.2 40000 25\r\n"), "a flawed one (neither"},
	{SPAN("PROXY tcp4 192.0.2.1 192.0.2.2 40000 25\r\n"), "a flawed one (neither"},
	{SPAN("PROXY TCP4\r\n"), "a flawed one (four"},
	{SPAN("PROXY TCP4 192.0.2.1 192.0.2.2 40000\r\n"), "a flawed one (four"},
	{SPAN("PROXY TCP4 192.0.2.1  192.0.2.2 40000 25\r\n"), "a flawed one (four"},
	{SPAN("PROXY TCP4 192.0.2.1 192.0.2.2 40000 \r\n"), "a flawed one (four"},
	{SPAN("PROXY TCP4 192.0.2.1 192.0.2.2 40000 25 \r\n"), "a flawed one (more"},
	{SPAN("PROXY TCP4 192.0.2.1 192.0.2.2 40000 25 x\r\n"), "a flawed one (more"},
	{SPAN("PROXY TCP4 192.0.2.1 192.0.2.2 040000 25\r\n"), "a flawed one (not a port"},
	{SPAN("PROXY TCP4 192.0.2.1 192.0.2.2 40000 025\r\n"), "a flawed one (not a port"},
	{SPAN("PROXY TCP4 192.0.2.1 192.0.2.2 40000 00\r\n"), "a flawed one (not a port"},
	{SPAN("PROXY TCP4 192.0.2.1 192.0.2.2 65536 25\r\n"), "a flawed one (not a port"},
	{SPAN("PROXY TCP4 192.0.2.1 192.0.2.2 -1 25\r\n"), "a flawed one (not a port"},
	{SPAN("PROXY TCP4 192.0.2.1 192.0.2.2 +25 25\r\n"), "a flawed one (not a port"},
	{SPAN("PROXY TCP4 192.0.2.1 192.0.2.2 0x19 25\r\n"), "a flawed one (not a port"},
	{SPAN("PROXY TCP4 192.0.2.01 192.0.2.2 40000 25\r\n"), "a flawed one (not an address"},
	{SPAN("PROXY TCP4 192.0.2 192.0.2.2 40000 25\r\n"), "a flawed one (not an address"},
	{SPAN("PROXY TCP4 192.0.2.256 192.0.2.2 40000 25\r\n"), "a flawed one (not an address"},
	{SPAN("PROXY TCP4 ::1 192.0.2.2 40000 25\r\n"), "a flawed one (not an address"},
	{SPAN("PROXY TCP6 192.0.2.1 ::1 40000 25\r\n"), "a flawed one (not an address"},
	{SPAN("PROXY TCP6 [::1] ::1 40000 25\r\n"), "a flawed one (not an address"},
	{SPAN("PROXY TCP6 ::1::2 ::1 40000 25\r\n"), "a flawed one (not an address"},
	{SPAN("PROXY TCP6 fe80::1%eth0 ::1 40000 25\r\n"), "a flawed one (not an address"},
	{SPAN("PROXY TCP4 192.0.2.1 192.0.2.2 40000 25\n"), "a flawed one (bare LF"},
	{SPAN("PROXY UNKNOWN\n\r\n"), "a flawed one (bare LF"},
	{SPAN("PROXY UNKNOWN\rx\r\n"), "a flawed one (CR"},
	{SPAN("PROXY UNKNOWN \0\r\n"), "a flawed one (CR"},
	{SPAN("PROXY UNKNOWNS\r\n"), "a flawed one (neither"},
	{SPAN("PROXY UNKNOWN " SIXES50 SIXES SIXES SIXES SIXES "66\r\n"), "an overlong one (over"},
	{SPAN("PROXY UNKNOWN " SIXES50 SIXES50 SIXES50), "an overlong one (over"},
	/* version 2 */
	{SPAN(SIGNATURE "\x11\x11\0\x0c" IP4), "a flawed one (unknown version"},
	{SPAN(SIGNATURE "\x31\x11\0\x0c" IP4), "a flawed one (unknown version"},
	{SPAN(SIGNATURE "\x22\x11\0\x0c" IP4), "a flawed one (unknown version"},
	{SPAN(SIGNATURE "\x2f\x11\0\x0c" IP4), "a flawed one (unknown version"},
	{SPAN(SIGNATURE "\x21\x12\0\x0c" IP4), "a flawed one (unknown family"},
	{SPAN(SIGNATURE "\x21\x10\0\x0c" IP4), "a flawed one (unknown family"},
	{SPAN(SIGNATURE "\x21\x01\0\x0c" IP4), "a flawed one (unknown family"},
	{SPAN(SIGNATURE "\x21\x41\0\x0c" IP4), "a flawed one (unknown family"},
	{SPAN(SIGNATURE "\x21\x11\0\x0b" IP4), "a flawed one (shorter"},
	{SPAN(SIGNATURE "\x21\x11\0\0" IP4), "a flawed one (shorter"},
	{SPAN(SIGNATURE "\x21\x21\0\x23" ZERO64), "a flawed one (shorter"},
	{SPAN(SIGNATURE "\x21\x31\0\xd7" ZERO104 ZERO104 ZERO8), "a flawed one (shorter"},
	{SPAN(SIGNATURE "\x21\x11\x0f\xf1" IP4), "an overlong one"},
	{SPAN(SIGNATURE "\x20\x11\xff\xff" IP4), "an overlong one"},
	{SPAN(SIGNATURE "\x21\x11\0\x0d" IP4 "\1"), "a flawed one (a TLV"},
	{SPAN(SIGNATURE "\x21\x11\0\x0e" IP4 "\1\0"), "a flawed one (a TLV"},
	{SPAN(SIGNATURE "\x21\x11\0\x10" IP4 "\1\0\2h2"), "a flawed one (a TLV"},
	{SPAN(SIGNATURE "\x21\x11\0\x11" IP4 "\1\xff\xffh2"), "a flawed one (a TLV"},
	{SPAN(SIGNATURE "\x21\0\0\1x"), "a flawed one (a TLV"},
	{SPAN(SIGNATURE "\x21\x11\0\x13" IP4 "\3\0\4\0\0\0\0"), "a flawed one (wrong CRC32c"},
	{SPAN(SIGNATURE "\x21\x11\0\x12" IP4 "\3\0\3\0\0\0"), "a flawed one (CRC32c twice"},
	{SPAN(SIGNATURE "\x21\x11\0\x1a" IP4 "\3\0\4\344\103\133\344"
			"\3\0\4\344\103\133\344"),
		"a flawed one (CRC32c twice"},
};

/* From some octet on the verdict is BAD, before that MORE, and never DONE. */
static void bad_ones_at_every_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		struct edge_proxy proxy;
		struct err_text got = {""};
		bool was_bad = false;
		for (size_t len = 0; len <= bad[i].bytes.len; len++) {
			enum edge_proxy_verdict verdict = parse(bad[i].bytes, len, &proxy, &got);
			if (verdict == PROXY_DONE || (was_bad && verdict != PROXY_BAD))
				fail_msg("bad %zu at %zu: verdict %d", i, len, verdict);
			was_bad = verdict == PROXY_BAD;
		}
		if (!was_bad || strncmp(got.text, bad[i].got, strlen(bad[i].got)) != 0)
			fail_msg("bad %zu: \"%s\", expected \"%s\"", i, got.text, bad[i].got);
	}
}

/* Each single octet of a header with a checksum changed: none is taken. */
static void a_checksum_sees_every_octet(void **state)
{
	(void)state;
	struct span header = good[sizeof good / sizeof good[0] - 1].header;
	for (size_t at = 0; at < header.len; at++)
		for (int bit = 0; bit < 8; bit++) {
			struct edge_proxy proxy;
			struct err_text got;
			char changed[64];
			memcpy(changed, header.at, header.len);
			changed[at] = (char)(changed[at] ^ (1 << bit));
			struct span all = {.at = changed, .len = header.len};
			enum edge_proxy_verdict verdict = parse(all, header.len, &proxy, &got);
			/* LOCAL's block is skipped; a TLV's type or length may make it another. */
			if (verdict == PROXY_DONE && proxy.who == PROXY_CLIENT && proxy.checksum)
				fail_msg("octet %zu bit %d is not seen", at, bit);
		}
}

/* The longest that is taken, and with so many octets there is always a verdict. */
static void the_longest(void **state)
{
	(void)state;
	char most[EDGE_PROXY_MOST] = SIGNATURE "\x21\x11\x0f\xf0" IP4;
	struct span all = {.at = most, .len = sizeof most};
	struct edge_proxy proxy;
	struct err_text got;
	most[28] = 4; /* NOOP over the rest */
	most[29] = (char)((EDGE_PROXY_MOST - 31) >> 8);
	most[30] = (char)((EDGE_PROXY_MOST - 31) & 255);
	assert_int_equal(parse(all, sizeof most - 1, &proxy, &got), PROXY_MORE);
	assert_int_equal(parse(all, sizeof most, &proxy, &got), PROXY_DONE);
	assert_int_equal(proxy.len, EDGE_PROXY_MOST);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_ones_at_every_cut),
		cmocka_unit_test(what_stands_behind_is_not_looked_at),
		cmocka_unit_test(bad_ones_at_every_cut),
		cmocka_unit_test(a_checksum_sees_every_octet),
		cmocka_unit_test(the_longest),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
