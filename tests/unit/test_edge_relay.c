/*
 * Relay control: who may send what where, and that none of the tricks of open relays get through.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "edge/edge.h"

static struct conf_domain ours[] = {
	{.name = "example.com"}, {.name = "lists.example.net", .under = true}};
static const struct edge_settings inbound = {.relay_to = {.at = ours, .count = 2}};
static const struct edge_settings nobody = {0};

static bool may(const struct edge_settings *settings, bool trusted, const char *address)
{
	char text[600];
	struct smtp_path path;
	size_t len = (size_t)snprintf(text, sizeof text, "<%s>", address);
	struct span all = {.at = text, .len = len};
	/* What is no address at all is refused before relay control is asked. */
	return smtp_path_parse(all, SMTP_FORWARD_PATH, &path) == len &&
	       edge_may_relay(settings, trusted, &path);
}

static void our_domains_are_taken(void **state)
{
	(void)state;
	static const char *const good[] = {"a@example.com", "A@EXAMPLE.COM", "a.b+c@Example.Com",
		"\"quoted local\"@example.com", "a@lists.example.net", "a@deep.lists.example.net",
		"postmaster"};
	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
		assert_true(may(&inbound, false, good[i]));
}

static void nothing_else_is_relayed(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"a@other.org",
		"a@sub.example.com",
		"a@notexample.com",
		"a@example.com.other.org",
		"a@example.net",
		"a%other.org@example.com",
		"a%other.org@lists.example.net",
		"\"a%other.org\"@example.com",
		"other.org!a@example.com",
		"\"other.org!a\"@example.com",
		"other.org!a",
		"a%other.org",
		"\"a@other.org\"@example.com",
		"a@other.org@example.com",
		"@example.com:a@other.org",
		"@other.org:a@example.com",
		"@other.org,@example.com:a@example.com",
		"a@[127.0.0.1]",
		"a@[192.0.2.1]",
		"a@[IPv6:::1]",
		"a@127.0.0.1",
		"a@localhost",
		"\"a@other.org\"",
		"a@example.com%other.org",
		"a@example.com@other.org",
		"a@.example.com",
		"a@example.com.",
		"<a@example.com",
		"a@example.com>b",
		"",
		"a@",
		"@example.com",
		"a@exa mple.com",
		"a b@example.com",
	};
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		if (may(&inbound, false, bad[i]))
			fail_msg("relayed: <%s>", bad[i]);
}

static void nobody_by_default(void **state)
{
	(void)state;
	assert_false(may(&nobody, false, "a@example.com"));
	assert_false(may(&nobody, false, "postmaster"));
}

static void the_trusted_send_anywhere(void **state)
{
	(void)state;
	struct network network;
	struct addr inside, outside;
	assert_int_equal(network_parse(span_of("10.0.0.0/8"), &network), ERR_OK);
	assert_int_equal(addr_parse(span_of("10.1.2.3"), &inside), ERR_OK);
	assert_int_equal(addr_parse(span_of("11.1.2.3"), &outside), ERR_OK);
	struct edge_settings settings = {.relay_from = {.at = &network, .count = 1}};
	assert_true(edge_trusted(&settings, &inside));
	assert_false(edge_trusted(&settings, &outside));
	assert_false(edge_trusted(&nobody, &inside));
	assert_true(may(&settings, true, "a@other.org"));
	assert_false(may(&settings, false, "a@other.org"));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(our_domains_are_taken),
		cmocka_unit_test(nothing_else_is_relayed),
		cmocka_unit_test(nobody_by_default),
		cmocka_unit_test(the_trusted_send_anywhere),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
