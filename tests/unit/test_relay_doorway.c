/*
 * Doorways: what a listed proxy says before SMTP begins, what it says instead, and what happens to
 * the listener meanwhile.  The test's client plays the proxy, from 127.0.0.1.
 */
#include "test_relay_help.h"

#define DOOR(more)                                                                                 \
	ONE "listener in { send-to p; proxy-from 127.0.0.0/8; relay-from 192.0.2.0/24; " more " }"
#define LATER    "proxy-timeout 1min;"
#define LINE     "PROXY TCP4 192.0.2.1 192.0.2.9 40000 25\r\n"
#define V2       "\r\n\r\n\0\r\nQUIT\n"
#define IP4      "\xc0\x00\x02\x01\xc0\x00\x02\x09\x9c\x40\x00\x19" /* as LINE */
#define NAMED    "\"client\":\"192.0.2.1\",\"proxy\":\"127.0.0.1\""
#define DRAINING "421 4.3.2 This balancer is going down"

static void says_span(struct client *client, struct span bytes)
{
	says_bytes(client, bytes.at, bytes.len);
}

/* It is in a doorway, and counts. */
static void waits(struct house *house, struct client *client, unsigned sessions)
{
	client_connect(house, client);
	UNTIL(house, relay_sessions(house->relay) == sessions);
	assert_int_equal(house_sum(house, M_LISTENER_sessions), sessions);
}

static void resets(struct client *client)
{
	setsockopt(client->fd, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1},
		sizeof(struct linger));
	client_close(client);
}

/* What was sent is read then, however slow the machine is. */
static void turn_often(struct house *house)
{
	for (int i = 0; i < 20; i++)
		house_turn(house);
}

/* Not a word so far, and still open. */
static void hears_nothing(struct client *client)
{
	turn_often(client->house);
	client_read(client);
	assert_false(client->closed);
	assert_int_equal(client->got.len, 0);
}

static void counts(struct house *house, int64_t refused, int64_t opened, int64_t proxied)
{
	assert_int_equal(house_sum(house, M_LISTENER_proxy_refused), refused);
	assert_int_equal(house_sum(house, M_LISTENER_sessions_opened), opened);
	assert_int_equal(house_sum(house, M_LISTENER_sessions_proxied), proxied);
}

static void empties(struct house *house)
{
	UNTIL(house, relay_sessions(house->relay) == 0);
	assert_int_equal(house_sum(house, M_LISTENER_sessions), 0);
}

/* ---- good headers ---- */

static const struct span good[] = {
	SPAN(LINE),
	SPAN(V2 "\x21\x11\0\x0c" IP4),
	/* TLVs: NOOP and an unknown one */
	SPAN(V2 "\x21\x11\0\x13" IP4 "\4\0\0\xe0\0\1x"),
};
enum { GOOD = sizeof(good) / sizeof(good[0]) };

/* The client is who the header names: by that it may relay, and so it is logged. */
static void the_client_is_who_the_header_names(void **state)
{
	(void)state;
	for (int i = 0; i < GOOD; i++) {
		struct house house;
		struct client client;

		house_open(&house, DOOR(LATER));
		waits(&house, &client, 1);
		hears_nothing(&client);
		counts(&house, 0, 0, 0);
		says_span(&client, good[i]);
		hears(&client, "220 mw.test");
		counts(&house, 0, 1, 1);
		assert_int_equal(house_sum(&house, M_LISTENER_sessions), 1);
		asks(&client, "EHLO client.test", "250-mw.test");
		envelope(&client);
		asks(&client, "BDAT 3 LAST\r\nx", "250 2.0.0 Ok: queued");
		quits(&client);
		empties(&house);
		logged(&house, NAMED);
		counts(&house, 0, 1, 1);
		house_close(&house);
	}
}

/* An octet at a time, with a turn between them. */
static void a_header_in_pieces(void **state)
{
	(void)state;
	for (int i = 0; i < GOOD; i++) {
		struct house house;
		struct client client;

		house_open(&house, DOOR(LATER));
		waits(&house, &client, 1);
		for (size_t at = 0; at + 1 < good[i].len; at++) {
			says_bytes(&client, good[i].at + at, 1);
			house_turn(&house);
		}
		hears_nothing(&client);
		counts(&house, 0, 0, 0);
		says_bytes(&client, good[i].at + good[i].len - 1, 1);
		hears(&client, "220 mw.test");
		counts(&house, 0, 1, 1);
		quits(&client);
		empties(&house);
		house_close(&house);
	}
}

/* What comes with the header is the session's, and not a second header. */
static void smtp_behind_the_header(void **state)
{
	(void)state;
	for (int i = 0; i < GOOD; i++) {
		struct house house;
		struct client client;
		struct buf bytes = {0};

		house_open(&house, DOOR(LATER));
		waits(&house, &client, 1);
		buf_add_span(&bytes, good[i]);
		buf_addf(&bytes, "EHLO client.te");
		says_span(&client, buf_span(&bytes));
		buf_clear(&bytes);
		hears(&client, "220 mw.test");
		asks(&client, "st", "250-mw.test"); /* it was cut in a word */
		envelope(&client);
		asks(&client, "RSET", "250");
		logged(&house, "\"helo\":\"client.test\"");
		quits(&client);
		empties(&house);
		counts(&house, 0, 1, 1);
		house_close(&house);
	}
}

/* The proxy's own check: a session of the proxy, with the proxy's rights. */
static void local_is_the_proxy_itself(void **state)
{
	struct house house;
	struct client client;

	(void)state;
	house_open(&house, ONE "listener in { send-to p; proxy-from 127.0.0.0/8; "
			       "relay-from 127.0.0.0/8; }");
	waits(&house, &client, 1);
	says_span(&client, SPAN(V2 "\x20\x11\0\x0c" IP4));
	hears(&client, "220 mw.test");
	counts(&house, 0, 1, 0);
	asks(&client, "EHLO client.test", "250-mw.test");
	envelope(&client);
	asks(&client, "RSET", "250");
	logged(&house, "\"client\":\"127.0.0.1\"");
	not_logged(&house, "\"proxy\"");
	quits(&client);
	house_close(&house);
}

/* It has the proxy's address, and not its rights. */
static void who_is_not_named_may_not_relay(void **state)
{
	static const struct span unnamed[] = {
		SPAN("PROXY UNKNOWN\r\n"),
		SPAN(V2 "\x21\0\0\0"),
	};

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct house house;
		struct client client;

		house_open(&house, ONE "listener in { send-to p; proxy-from 127.0.0.0/8; "
				       "relay-from 127.0.0.0/8; max-errors 1; }");
		waits(&house, &client, 1);
		says_span(&client, unnamed[i]);
		hears(&client, "220 mw.test");
		counts(&house, 0, 1, 1);
		asks(&client, "EHLO client.test", "250-mw.test");
		asks(&client, SENDER, "250");
		asks(&client, RECIPIENT, "554 5.7.1 Relay access denied");
		says(&client, "NONSENSE\r\n");
		hears(&client, "500");
		hears(&client, "421 4.7.0 Too many errors");
		hears_the_end(&client);
		client_close(&client);
		logged(&house, "\"client\":\"127.0.0.1\",\"proxy\":\"127.0.0.1\"");
		logged(&house, "\"reason\":\"errors\"");
		empties(&house);
		house_close(&house);
	}
}

/* ---- what else comes ---- */

#define TWENTY "xxxxxxxxxxxxxxxxxxxx"

static const struct {
	struct span bytes;
	const char *got;
} bad[] = {
	{SPAN("EHLO client.test\r\n"), "SMTP"},
	{SPAN("GET / HTTP/1.1\r\n\r\n"), "HTTP"},
	{SPAN("\x16\3\1\2"), "TLS"},
	{SPAN("\xff"), "something else"},
	{SPAN("PROXY TCP4 192.0.2.1 192.0.2.9 40000 25\n"), "a flawed one (bare LF)"},
	{SPAN("PROXY TCP4 192.0.2.1 192.0.2.9 40000 65536\r\n"), "a flawed one (not a port)"},
	{SPAN("PROXY UDP4 192.0.2.1 192.0.2.9 40000 25\r\n"),
		"a flawed one (neither TCP4, TCP6 nor UNKNOWN)"},
	{SPAN("PROXY UNKNOWN " TWENTY TWENTY TWENTY TWENTY TWENTY),
		"an overlong one (over 107 octets)"},
	{SPAN(V2 "\x31"), "a flawed one (unknown version or command)"},
	{SPAN(V2 "\x21\x12\0\x0c" IP4), "a flawed one (unknown family, or one of datagrams)"},
	{SPAN(V2 "\x21\x11\0\x0b"), "a flawed one (shorter than its addresses)"},
	{SPAN(V2 "\x21\x11\x10\0"), "an overlong one"},
	{SPAN(V2 "\x21\x11\0\x13" IP4 "\3\0\4abcd"), "a flawed one (wrong CRC32c)"},
};

/* Closed without a word, counted, and the log says what came. */
static void what_is_no_header_is_named(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct house house;
		struct client client;
		char logs[200];

		house_open(&house, DOOR(LATER));
		waits(&house, &client, 1);
		says_span(&client, bad[i].bytes);
		hears_the_end(&client);
		client_close(&client);
		counts(&house, 1, 0, 0);
		snprintf(logs, sizeof(logs),
			"\"listener\":\"in\",\"proxy\":\"127.0.0.1\","
			"\"reason\":\"no PROXY header\","
			"\"text\":\"PROXY header expected from 127.0.0.1, got %s\"",
			bad[i].got);
		logged(&house, logs);
		empties(&house);
		house_close(&house);
	}
}

/* All are counted, and a line a second tells of them. */
static void a_flood_is_no_flood_of_lines(void **state)
{
	struct house house;
	struct client client;
	const char *first;
	int64_t began;

	(void)state;
	house_open(&house, DOOR(LATER));
	began = sys_clock(house.sys);
	for (int i = 1; i <= 3; i++) {
		waits(&house, &client, 1);
		says(&client, "EHLO client.test\r\n");
		hears_the_end(&client);
		client_close(&client);
		empties(&house);
		counts(&house, i, 0, 0);
	}
	first = strstr(house_log(&house), "got SMTP");
	assert_non_null(first);
	if (sys_clock(house.sys) - began < 900 * MSEC) /* else the machine was slow */
		assert_null(strstr(first + 1, "got SMTP"));
	turn_for(&house, 1100 * MSEC);
	waits(&house, &client, 1);
	says(&client, "\x16");
	hears_the_end(&client);
	client_close(&client);
	counts(&house, 4, 0, 0);
	logged(&house, "got TLS");
	if (sys_clock(house.sys) - began < 2 * SECOND)
		logged(&house, "got TLS; and 2 more since the last such line");
	house_close(&house);
}

static void nothing_in_time(void **state)
{
	static const char *const begun[][3] = {
		{DOOR("proxy-timeout 100ms;"), "",
			"got nothing (as from an SMTP client, which waits for the banner) in 100 "
			"ms"},
		{DOOR("proxy-timeout 1s;"), "PROXY TCP4 192.",
			"got only the beginning of one in 1000 ms"},
	};

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct house house;
		struct client client;
		int64_t began;

		house_open(&house, begun[i][0]);
		began = sys_clock(house.sys);
		client_connect(&house, &client);
		says(&client, begun[i][1]);
		hears_the_end(&client);
		client_close(&client);
		assert_true(sys_clock(house.sys) - began >= 100 * MSEC);
		counts(&house, 1, 0, 0);
		logged(&house, begun[i][2]);
		empties(&house);
		house_close(&house);
	}
}

/* The time is the header's: who has sent it in time has a session. */
static void the_time_ends_with_the_header(void **state)
{
	struct house house;
	struct client client;

	(void)state;
	house_open(&house, DOOR("proxy-timeout 2s;"));
	waits(&house, &client, 1);
	says(&client, LINE);
	hears(&client, "220 mw.test");
	turn_for(&house, 2100 * MSEC);
	asks(&client, "NOOP", "250");
	counts(&house, 0, 1, 1);
	quits(&client);
	house_close(&house);
}

/* ---- leaving ---- */

/* Without a word it was a check of the port: no fault, no line. */
static void leaves_before_the_header(void **state)
{
	(void)state;
	for (int reset = 0; reset < 2; reset++) {
		struct house house;
		struct client client;

		house_open(&house, DOOR(LATER));
		waits(&house, &client, 1);
		if (reset)
			resets(&client);
		else
			client_close(&client);
		empties(&house);
		counts(&house, 0, 0, 0);
		not_logged(&house, "\"event\"");
		house_close(&house);
	}
}

static void leaves_inside_the_header(void **state)
{
	(void)state;
	for (int reset = 0; reset < 2; reset++) {
		struct house house;
		struct client client;

		house_open(&house, DOOR(LATER));
		waits(&house, &client, 1);
		says(&client, "PROXY TCP4 192.0.");
		turn_often(&house); /* a reset throws away what is unread */
		if (reset)
			resets(&client);
		else
			client_close(&client);
		empties(&house);
		counts(&house, 1, 0, 0);
		logged(&house, "got the beginning of one and the end of the connection");
		house_close(&house);
	}
}

/* It was a session, if a short one. */
static void leaves_behind_the_header(void **state)
{
	struct house house;
	struct client client;

	(void)state;
	house_open(&house, DOOR(LATER));
	waits(&house, &client, 1);
	says(&client, LINE "QUIT\r\n");
	shutdown(client.fd, SHUT_WR);
	hears(&client, "220 mw.test");
	hears(&client, "221 2.0.0 Bye");
	hears_the_end(&client);
	client_close(&client);
	empties(&house);
	counts(&house, 0, 1, 1);
	house_close(&house);
}

/* ---- what happens meanwhile ---- */

/* Until the drain's end a header is still awaited, and then no longer. */
static void drain_meanwhile(void **state)
{
	struct house house;
	struct client client, silent, half;

	(void)state;
	house_open(&house, DOOR(LATER));
	waits(&house, &client, 1);
	waits(&house, &silent, 2);
	waits(&house, &half, 3);
	says(&half, "PROXY ");
	relay_drain(house.relay, net_now(house.loop) + HOUR);
	hears_nothing(&silent);
	hears_nothing(&half);
	says(&client, LINE);
	hears(&client, "220 mw.test");
	assert_int_equal(relay_sessions(house.relay), 3);
	relay_drain(house.relay, net_now(house.loop));
	hears(&silent, DRAINING);
	hears_the_end(&silent);
	hears(&half, DRAINING);
	hears_the_end(&half);
	hears(&client, DRAINING);
	hears_the_end(&client);
	client_close(&silent);
	client_close(&half);
	client_close(&client);
	empties(&house);
	counts(&house, 0, 1, 1);
	not_logged(&house, "no PROXY header");
	logged(&house, NAMED ",\"reason\":\"drain\"");
	house_close(&house);
}

static void stop_meanwhile(void **state)
{
	struct house house;
	struct client client, silent, half, gone;

	(void)state;
	house_open(&house, DOOR(LATER));
	waits(&house, &client, 1);
	says(&client, LINE);
	hears(&client, "220 mw.test");
	waits(&house, &silent, 2);
	waits(&house, &half, 3);
	says(&half, "PROXY ");
	turn_often(&house);
	waits(&house, &gone, 4);
	says(&gone, "EHLO client.test\r\n");
	UNTIL(&house, house_sum(&house, M_LISTENER_proxy_refused) == 1);
	relay_free(&house.relay); /* perhaps before that one was swept */
	assert_null(house.relay);
	nothing_is_held(&house);
	hears(&silent, DRAINING);
	hears_the_end(&silent);
	hears(&half, DRAINING);
	hears_the_end(&half);
	hears(&client, DRAINING);
	hears_the_end(&client);
	hears_the_end(&gone);
	client_close(&silent);
	client_close(&half);
	client_close(&client);
	client_close(&gone);
	counts(&house, 1, 1, 1);
	house_close(&house);
}

/* Who is in a doorway holds a place, and keeps it as a session. */
static void max_sessions_meanwhile(void **state)
{
	struct house house;
	struct client client[3];

	(void)state;
	house_open(&house, DOOR(LATER "max-sessions 2;"));
	waits(&house, &client[0], 1);
	waits(&house, &client[1], 2);
	client_connect(&house, &client[2]);
	hears(&client[2], "421 4.7.0 Too many sessions at the moment\r\n");
	hears_the_end(&client[2]);
	client_close(&client[2]);
	assert_int_equal(house_sum(&house, M_LISTENER_sessions_refused), 1);
	assert_int_equal(house_sum(&house, M_LISTENER_sessions), 2);
	logged(&house, "\"client\":\"127.0.0.1\",\"reason\":\"too many sessions\"");
	says(&client[0], LINE);
	hears(&client[0], "220 mw.test");
	client_close(&client[1]);
	UNTIL(&house, relay_sessions(house.relay) == 1);
	assert_int_equal(house_sum(&house, M_LISTENER_sessions), 1);
	waits(&house, &client[2], 2);
	says(&client[2], LINE);
	hears(&client[2], "220 mw.test");
	quits(&client[0]);
	quits(&client[2]);
	empties(&house);
	counts(&house, 0, 2, 2);
	house_close(&house);
}

/* Counted by the address in the header, not by the proxy's. */
static void sessions_per_client_meanwhile(void **state)
{
	struct house house;
	struct client client[3];

	(void)state;
	house_open(&house, DOOR(LATER "max-sessions-per-client 1;"));
	for (unsigned i = 0; i < 3; i++)
		waits(&house, &client[i], i + 1);
	says(&client[0], LINE);
	hears(&client[0], "220 mw.test");
	says(&client[1], LINE "EHLO client.test\r\n");
	hears(&client[1], "421 4.7.0 Too many sessions from your address\r\n");
	hears_the_end(&client[1]);
	client_close(&client[1]);
	assert_int_equal(house_sum(&house, M_LISTENER_sessions_refused), 1);
	logged(&house, NAMED ",\"reason\":\"too many sessions from the address\"");
	says(&client[2], "PROXY TCP4 192.0.2.2 192.0.2.9 40000 25\r\n");
	hears(&client[2], "220 mw.test");
	UNTIL(&house, relay_sessions(house.relay) == 2);
	assert_int_equal(house_sum(&house, M_LISTENER_sessions), 2);
	counts(&house, 0, 2, 2);
	quits(&client[0]);
	quits(&client[2]);
	empties(&house);
	house_close(&house);
}

/* ---- elsewhere ---- */

/* From other addresses there is a banner at once, and a header is a foul. */
static void an_unlisted_address(void **state)
{
	struct house house;
	struct client client;

	(void)state;
	house_open(&house, ONE "listener in { send-to p; proxy-from 10.0.0.1; "
			       "relay-from 192.0.2.0/24; }");
	client_open(&house, &client);
	asks(&client, SENDER, "250");
	asks(&client, RECIPIENT, "554 5.7.1 Relay access denied");
	quits(&client);
	client_connect(&house, &client);
	hears(&client, "220 mw.test");
	says(&client, LINE "EHLO client.test\r\n");
	hears(&client, "554 5.5.0 This is an SMTP port");
	hears_the_end(&client);
	client_close(&client);
	empties(&house);
	counts(&house, 0, 2, 0);
	not_logged(&house, "\"proxy\"");
	house_close(&house);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_client_is_who_the_header_names),
		cmocka_unit_test(a_header_in_pieces),
		cmocka_unit_test(smtp_behind_the_header),
		cmocka_unit_test(local_is_the_proxy_itself),
		cmocka_unit_test(who_is_not_named_may_not_relay),
		cmocka_unit_test(what_is_no_header_is_named),
		cmocka_unit_test(a_flood_is_no_flood_of_lines),
		cmocka_unit_test(nothing_in_time),
		cmocka_unit_test(the_time_ends_with_the_header),
		cmocka_unit_test(leaves_before_the_header),
		cmocka_unit_test(leaves_inside_the_header),
		cmocka_unit_test(leaves_behind_the_header),
		cmocka_unit_test(drain_meanwhile),
		cmocka_unit_test(stop_meanwhile),
		cmocka_unit_test(max_sessions_meanwhile),
		cmocka_unit_test(sessions_per_client_meanwhile),
		cmocka_unit_test(an_unlisted_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
