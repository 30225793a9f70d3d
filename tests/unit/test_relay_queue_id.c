/*
 * Queue ids in the replies of real servers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "relay/queue_id.h"

static void known_servers(void **state)
{
	(void)state;
	static const char *const cases[][2] = {
		{"2.0.0 Ok: queued as 4D1F2A0C31", "4D1F2A0C31"},
		{"2.0.0 Ok: 1523 bytes queued as 4Wq6Zc3hPbz1Q", "4Wq6Zc3hPbz1Q"},
		{"OK id=1rXyzA-000abc-2D", "1rXyzA-000abc-2D"},
		{"2.0.0 3AL1h2vT012345 Message accepted for delivery", "3AL1h2vT012345"},
		{"2.0.0 a1b2c3d4 Message accepted for delivery", "a1b2c3d4"},
		{"2.6.0 <x@y> [InternalId=8589934592, Hostname=ex1] Queued mail for delivery",
			"8589934592"},
		{"ok 1700000000 qp 12345", "12345"},
		{"Ok 0102018f3c1e2a4b-0a1b2c3d-000000", "0102018f3c1e2a4b-0a1b2c3d-000000"},
		{"Queued as AB12, thank you", "AB12"},
		{"queued id=AB12; ok", "AB12"},
		{"ok (id=AB12) done", "AB12"},
		{"queued as AB12\r", "AB12"},
		{"queued as AB12\nmore", "AB12"},
		{"AB12  Message accepted for delivery", "AB12"},
		{"  Message accepted", ""},
		{"Ok 0123456789", ""},
		{"2.0.0 Ok", ""},
		{"", ""},
		{"queued as ", ""},
		{"Message accepted", ""},
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct span id = relay_queue_id(span_of(cases[i][0]));
		char found[64];
		snprintf(found, sizeof found, "%.*s", SPAN_ARG(id));
		assert_string_equal(found, cases[i][1]);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {cmocka_unit_test(known_servers)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
