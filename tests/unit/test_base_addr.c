/*
 * Addresses and networks; the parser is held against libc's.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/addr.h"
#include "base/rng.h"

static void assert_reads(const char *text, const char *expected)
{
	struct addr addr;
	char back[ADDR_TEXT];

	assert_int_equal(addr_parse(span_of(text), &addr), ERR_OK);
	assert_int_equal(addr.port, 0);
	addr_text(&addr, back);
	assert_string_equal(back, expected);
}

static void addresses_are_read_and_written(void **state)
{
	(void)state;
	assert_reads("192.0.2.1", "192.0.2.1");
	assert_reads("0.0.0.0", "0.0.0.0");
	assert_reads("255.255.255.255", "255.255.255.255");
	assert_reads("::", "::");
	assert_reads("[::]", "::");
	assert_reads("::1", "::1");
	assert_reads("1::", "1::");
	assert_reads("2001:DB8::1", "2001:db8::1");
	assert_reads("[2001:db8:0:0:0:0:0:1]", "2001:db8::1");
	assert_reads("2001:0db8:0000:0001:0000:0000:0000:0001", "2001:db8:0:1::1");
	assert_reads("1:0:0:2:0:0:0:3", "1:0:0:2::3");
	assert_reads("1:0:0:2:3:0:0:4", "1::2:3:0:0:4");
	assert_reads("1:2:3:0:5:6:7:8", "1:2:3:0:5:6:7:8");
	assert_reads("1:2:3:4:5:6:0:0", "1:2:3:4:5:6::");
	assert_reads("64:ff9b::192.0.2.33", "64:ff9b::c000:221");
	/* Mapped ones are IPv4, however they are written. */
	assert_reads("::ffff:192.0.2.1", "192.0.2.1");
	assert_reads("[::ffff:c000:201]", "192.0.2.1");
	assert_reads("0:0:0:0:0:ffff:192.0.2.1", "192.0.2.1");
}

static void wrong_addresses_are_refused(void **state)
{
	static const char *const bad[] = {"", "1", "1.2.3", "1.2.3.4.5", "1.2.3.256", "1.2.3.04",
		"010.1.1.1", "1.2.3.", ".1.2.3", "1..2.3", "1.2.3.4 ", " 1.2.3.4", "1.2.3.0x4", ":",
		":::", "1:2", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8::", "1::2::3",
		"::1:", ":1::", "12345::", "g::", "::1%eth0", "[::1", "::1]", "[]", "[::1]:25",
		"[192.0.2.1]", "1.2.3.4::", "::1.2.3.4:5", "1:2:3:4:5:6:7:1.2.3.4", "::1.2.3",
		"1.2.3.4:25", "unix:/x", "localhost"};
	struct addr addr;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (addr_parse(span_of(bad[i]), &addr) != ERR_SYNTAX)
			fail_msg("\"%s\" was taken for an address", bad[i]);
	}
	assert_int_equal(addr_parse((struct span){.at = "1.2.3.4\0", .len = 8}, &addr), ERR_SYNTAX);
}

/* Random text made of what addresses are made of. */
static void the_parser_agrees_with_libc(void **state)
{
	static const char *const parts[] = {
		":", "::", ".", "0", "1", "ffff", "a", "25", "255", "256", "1.2.3.4"};
	unsigned taken = 0;
	struct rng rng;

	(void)state;
	rng_seed(&rng, 1);
	for (int i = 0; i < 300000; i++) {
		unsigned count = 1 + (unsigned)rng_below(&rng, 15);
		char text[128] = "", theirs[INET6_ADDRSTRLEN], ours[ADDR_TEXT];
		uint8_t raw[16], mapped[16] = {[10] = 0xff, [11] = 0xff};
		size_t len = 0;
		struct addr addr;
		bool good;

		for (unsigned j = 0; j < count; j++) {
			/* Mostly alternating, or hardly any would be valid. */
			size_t pick = j % 2 ? rng_below(&rng, 3) : 3 + rng_below(&rng, 8);

			if (rng_below(&rng, 10) == 0)
				pick = rng_below(&rng, 11);
			len += (size_t)snprintf(text + len, sizeof(text) - len, "%s", parts[pick]);
		}
		good = addr_parse(span_of(text), &addr) == ERR_OK;
		if (inet_pton(AF_INET, text, raw) == 1) {
			assert_true(good);
			assert_int_equal(addr.family, ADDR_IP4);
			assert_memory_equal(addr.ip4, raw, 4);
		} else if (inet_pton(AF_INET6, text, raw) == 1) {
			if (!good)
				fail_msg("\"%s\" was refused", text);
			if (addr.family == ADDR_IP4) {
				memcpy(mapped + 12, addr.ip4, 4);
				assert_memory_equal(mapped, raw, 16);
			} else {
				assert_memory_equal(addr.ip6, raw, 16);
				inet_ntop(AF_INET6, raw, theirs, sizeof(theirs));
				addr_text(&addr, ours);
				/* libc writes ::1.2.3.4 for the deprecated compatible ones. */
				if (!strchr(theirs, '.'))
					assert_string_equal(ours, theirs);
			}
			taken++;
		} else if (good) {
			fail_msg("\"%s\" was taken", text);
		}
	}
	assert_true(taken > 1000);
}

static void ports_are_read_and_written(void **state)
{
	static const char *const same[] = {
		"192.0.2.1:25", "[2001:db8::1]:65535", "0.0.0.0:0", "unix:/run/x:y"};
	static const char *const bad[] = {"", ":25", "192.0.2.1", "192.0.2.1:", "192.0.2.1:-1",
		"192.0.2.1:2 5", "::1:25", "[::1]", "[::1]25", "[::1]:", "[::1]:x", "host:25",
		"unix:", "[1.2.3.4]:25"};
	struct addr addr;
	char back[ADDR_TEXT], path[300];

	(void)state;
	for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
		assert_int_equal(addr_parse_port(span_of(same[i]), &addr), ERR_OK);
		addr_text_port(&addr, back);
		assert_string_equal(back, same[i]);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (addr_parse_port(span_of(bad[i]), &addr) != ERR_SYNTAX)
			fail_msg("\"%s\" was taken", bad[i]);
	}
	assert_int_equal(addr_parse_port(SPAN("1.2.3.4:65536"), &addr), ERR_RANGE);
	assert_int_equal(addr_parse_port(SPAN("1.2.3.4:99999999999999999999"), &addr), ERR_SYNTAX);
	assert_int_equal(
		addr_parse_port((struct span){.at = "unix:a\0b", .len = 8}, &addr), ERR_SYNTAX);
	/* The longest path that fits with its NUL, and one more. */
	memset(path, 'p', sizeof(path));
	memcpy(path, "unix:/", 6);
	assert_int_equal(addr_parse_port((struct span){.at = path, .len = 5 + 103}, &addr), ERR_OK);
	addr_text_port(&addr, back);
	assert_int_equal(strlen(back), 5 + 103);
	assert_memory_equal(back, path, 5 + 103);
	assert_int_equal(
		addr_parse_port((struct span){.at = path, .len = 5 + 104}, &addr), ERR_RANGE);
}

static struct addr addr_of(const char *text)
{
	struct addr addr;

	if (addr_parse(span_of(text), &addr) != ERR_OK)
		assert_int_equal(addr_parse_port(span_of(text), &addr), ERR_OK);
	return addr;
}

static void addresses_compare(void **state)
{
	static const char *const different[] = {"1.2.3.4:25", "1.2.3.4:26", "1.2.3.5:25",
		"[::1]:25", "[::2]:25", "unix:/a", "unix:/b", "[102:304::]:25"};
	struct addr none = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(different) / sizeof(different[0]); i++) {
		for (size_t j = 0; j < sizeof(different) / sizeof(different[0]); j++) {
			struct addr a = addr_of(different[i]), b = addr_of(different[j]);

			assert_int_equal(addr_eq(&a, &b), i == j);
		}
	}
	assert_true(addr_host_eq(
		&(struct addr){.family = ADDR_IP4, .port = 1}, &(struct addr){.family = ADDR_IP4}));
	assert_true(addr_eq(&none, &none));
	assert_true(addr_is_loopback(&(struct addr){.family = ADDR_IP4, .ip4 = {127, 8, 8, 8}}));
	assert_true(addr_is_loopback(&(struct addr){.family = ADDR_IP6, .ip6 = {[15] = 1}}));
	assert_false(addr_is_loopback(&(struct addr){.family = ADDR_IP6, .ip6 = {127}}));
	assert_false(addr_is_loopback(&(struct addr){.family = ADDR_IP4, .ip4 = {128}}));
	assert_false(addr_is_loopback(&none));
}

static bool has(const char *network_text, const char *text)
{
	struct network network;
	struct addr addr = addr_of(text);

	assert_int_equal(network_parse(span_of(network_text), &network), ERR_OK);
	return network_has(&network, &addr);
}

static void networks_hold_addresses(void **state)
{
	(void)state;
	assert_true(has("10.0.0.0/8", "10.255.255.255"));
	assert_false(has("10.0.0.0/8", "11.0.0.0"));
	assert_false(has("10.0.0.0/8", "9.255.255.255"));
	assert_true(has("192.0.2.128/25", "192.0.2.128"));
	assert_false(has("192.0.2.128/25", "192.0.2.127"));
	assert_true(has("192.0.2.7/32", "192.0.2.7"));
	assert_true(has("192.0.2.7", "192.0.2.7"));
	assert_false(has("192.0.2.7", "192.0.2.6"));
	assert_true(has("0.0.0.0/0", "255.1.2.3"));
	assert_false(has("0.0.0.0/0", "::1"));
	assert_false(has("::/0", "1.2.3.4"));
	assert_true(has("::/0", "ffff::"));
	assert_true(has("2001:db8::/33", "2001:db8:7fff::1"));
	assert_false(has("2001:db8::/33", "2001:db8:8000::1"));
	assert_true(has("2001:db8::1/128", "2001:db8::1"));
	assert_false(has("2001:db8::1/128", "2001:db8::2"));
	assert_false(has("0.0.0.0/0", "unix:/x"));
	/* A server's peer may show as a mapped address; both ways must match. */
	assert_true(has("192.0.2.0/24", "::ffff:192.0.2.9"));
	assert_true(has("::ffff:192.0.2.0/120", "192.0.2.9"));
	assert_false(has("::ffff:192.0.2.0/120", "192.0.3.9"));
	assert_true(has("::ffff:0.0.0.0/96", "192.0.3.9"));
}

static void networks_are_strict(void **state)
{
	struct network network;

	(void)state;
	assert_int_equal(network_parse(SPAN("10.0.0.1/8"), &network), ERR_RANGE);
	assert_int_equal(network_parse(SPAN("10.0.0.1/31"), &network), ERR_RANGE);
	assert_int_equal(network_parse(SPAN("128.0.0.0/0"), &network), ERR_RANGE);
	assert_int_equal(network_parse(SPAN("2001:db8::1/64"), &network), ERR_RANGE);
	assert_int_equal(network_parse(SPAN("::ffff:1.0.0.0/95"), &network), ERR_RANGE);
	assert_int_equal(network_parse(SPAN("::ffff:1.2.3.4/127"), &network), ERR_OK);
	assert_int_equal(network_parse(SPAN("::ffff:1.2.3.5/127"), &network), ERR_RANGE);
	assert_int_equal(network_parse(SPAN("10.0.0.0/33"), &network), ERR_SYNTAX);
	assert_int_equal(network_parse(SPAN("::/129"), &network), ERR_SYNTAX);
	assert_int_equal(network_parse(SPAN("10.0.0.0/"), &network), ERR_SYNTAX);
	assert_int_equal(network_parse(SPAN("10.0.0.0/-1"), &network), ERR_SYNTAX);
	assert_int_equal(network_parse(SPAN("10.0.0.0/8/8"), &network), ERR_SYNTAX);
	assert_int_equal(network_parse(SPAN("10/8"), &network), ERR_SYNTAX);
	assert_int_equal(network_parse(SPAN("/8"), &network), ERR_SYNTAX);
	assert_int_equal(network_parse(SPAN(""), &network), ERR_SYNTAX);
}

static bool private(const char *text)
{
	struct network network;

	assert_int_equal(network_parse(span_of(text), &network), ERR_OK);
	return network_is_private(&network);
}

static void private_space_is_known(void **state)
{
	static const char *const inside[] = {"127.0.0.0/8", "127.0.0.1", "10.0.0.0/8",
		"10.1.0.0/16", "172.16.0.0/12", "172.31.255.255", "192.168.0.0/16",
		"169.254.0.0/16", "100.64.0.0/10", "::1", "fe80::/10", "fc00::/7",
		"fd12:3456::/48"};
	static const char *const outside[] = {"0.0.0.0/0", "8.8.8.8", "10.0.0.0/7", "172.0.0.0/11",
		"172.32.0.0/16", "192.168.0.0/15", "100.0.0.0/10", "100.128.0.0/10", "::/0",
		"::/127", "::2", "2001:db8::/32", "fc00::/6", "fe80::/9", "fec0::/10"};

	(void)state;
	for (size_t i = 0; i < sizeof(inside) / sizeof(inside[0]); i++) {
		if (!private(inside[i]))
			fail_msg("%s is private", inside[i]);
	}
	for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++) {
		if (private(outside[i]))
			fail_msg("%s is not private", outside[i]);
	}
	assert_false(network_is_private(&(struct network){.bits = 128}));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_are_read_and_written),
		cmocka_unit_test(wrong_addresses_are_refused),
		cmocka_unit_test(the_parser_agrees_with_libc),
		cmocka_unit_test(ports_are_read_and_written),
		cmocka_unit_test(addresses_compare),
		cmocka_unit_test(networks_hold_addresses),
		cmocka_unit_test(networks_are_strict),
		cmocka_unit_test(private_space_is_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
