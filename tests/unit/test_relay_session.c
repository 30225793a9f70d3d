/*
 * Sessions: who is let in, what is too much, how they end, and what becomes of a message whose
 * client has gone.
 */
#include "test_relay_help.h"

static void connects(struct house *house, struct client *client)
{
	client_connect(house, client);
	hears(client, "220 mw.test");
}

/* ---- coming in ---- */

static void too_many_are_turned_away(void **state)
{
	static const char *const configs[][2] = {
		{ONE "listener in { max-sessions 2; send-to p; }",
			"421 4.7.0 Too many sessions at the moment\r\n"},
		{ONE "listener in { max-sessions-per-client 2; send-to p; }",
			"421 4.7.0 Too many sessions from your address\r\n"},
	};

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct house house;
		struct client client[3];

		house_open(&house, configs[i][0]);
		connects(&house, &client[0]);
		connects(&house, &client[1]);
		client_connect(&house, &client[2]);
		hears(&client[2], configs[i][1]);
		hears_the_end(&client[2]);
		client_close(&client[2]);
		assert_int_equal(house_sum(&house, M_LISTENER_sessions_refused), 1);
		assert_int_equal(house_sum(&house, M_LISTENER_sessions), 2);
		quits(&client[0]);
		UNTIL(&house, relay_sessions(house.relay) == 1);
		connects(&house, &client[2]);
		quits(&client[1]);
		quits(&client[2]);
		house_close(&house);
	}
}

/* A name as long as one may be is kept whole. */
static void the_longest_name(void **state)
{
	struct house house;
	struct client client;
	char line[300] = "EHLO ", logs[400];

	(void)state;
	memset(line + 5, 'n', 255);
	house_open(&house, ONE "listener in { max-errors 1; send-to p; relay-from 127.0.0.0/8; }");
	client_open(&house, &client);
	asks(&client, line, "250-mw.test");
	says(&client, "NONSENSE\r\nNONSENSE\r\n");
	hears(&client, "500");
	hears(&client, "500");
	hears(&client, "421 4.7.0 Too many errors");
	client_close(&client);
	snprintf(logs, sizeof(logs), "\"helo\":\"%s\"", line + 5);
	logged(&house, logs);
	house_close(&house);
}

static void strangers_may_not_relay(void **state)
{
	struct house house;
	struct client client;

	(void)state;
	house_open(&house, ONE "listener in { relay-to to.test; send-to p; }");
	client_open(&house, &client);
	asks(&client, SENDER, "250");
	asks(&client, "RCPT TO:<r@elsewhere.test>", "554 5.7.1 Relay access denied");
	asks(&client, "RCPT TO:<r%elsewhere.test@to.test>", "554 5.7.1 Relay access denied");
	asks(&client, RECIPIENT, "250 2.1.5");
	assert_int_equal(house_sum(&house, M_LISTENER_relay_denied), 2);
	quits(&client);
	house_close(&house);
}

/* Listeners are found by their names. */
static void each_listener_has_its_own_numbers(void **state)
{
	struct house house;
	struct client client;

	(void)state;
	house_open(&house, ONE "listener out { send-to p; }" LISTENER);
	client_open(&house, &client);
	assert_int_equal(house_sum(&house, M_LISTENER_sessions), 1);
	assert_int_equal(board_sum(house.board, board_find(house.board, BOARD_LISTENER, "out"),
				 M_LISTENER_sessions),
		0);
	quits(&client);
	house_close(&house);
}

static void a_full_board_is_said(void **state)
{
	static bool known[BOARD_COLUMNS];
	struct house house;
	struct err_text text;
	char name[16];

	(void)state;
	house_open(&house, ONE LISTENER);
	board_forget(house.board, known);
	for (int i = 0; i < BOARD_COLUMNS; i++) {
		snprintf(name, sizeof(name), "p%d", i);
		assert_int_equal(board_column(house.board, BOARD_POOL, name), i);
	}
	assert_int_equal(relay_columns(house.board, house.conf, known, &text), ERR_FULL);
	assert_string_equal(text.text, "no room for listener in on the board");
	board_forget(house.board, known);
	assert_int_equal(relay_columns(house.board, house.conf, known, &text), ERR_OK);
	assert_true(known[board_find(house.board, BOARD_LISTENER, "in")]);
	house_close(&house);
}

/* ---- too much of nothing (hostile-input 22) ---- */

static void errors_are_limited(void **state)
{
	struct house house;
	struct client client;
	int64_t began;

	(void)state;
	house_open(&house, ONE "listener in { max-errors 3; send-to p; relay-from 127.0.0.0/8; }");
	client_open(&house, &client);
	asks(&client, "NONSENSE", "500");
	asks(&client, "NONSENSE", "500");
	began = sys_clock(house.sys);
	asks(&client, "NONSENSE", "500"); /* slowed down: it is read a second later */
	assert_true(sys_clock(house.sys) - began >= 900 * MSEC);
	asks(&client, "NONSENSE", "500");
	hears(&client, "421 4.7.0 Too many errors");
	hears_the_end(&client);
	client_close(&client);
	assert_int_equal(house_sum(&house, M_LISTENER_protocol_errors), 4);
	logged(&house, "\"reason\":\"errors\"");
	house_close(&house);
}

static void refusals_count_and_accepted_mail_forgives(void **state)
{
	struct house house;
	struct client client;

	(void)state;
	house_open(&house, ONE "listener in { max-errors 3; send-to p; relay-from 127.0.0.0/8; }");
	client_open(&house, &client);
	for (int i = 0; i < 3; i++) {
		asks(&client, "NONSENSE", "500");
		envelope(&client);
		asks(&client, "BDAT 3 LAST\r\nx", "250 2.0.0 Ok: queued");
	}
	/* The server's refusals are errors too. */
	asks(&client, SENDER, "250");
	says(&client, "RCPT TO:<bad@to.test>\r\nRCPT TO:<bad@to.test>\r\n"
		      "RCPT TO:<bad@to.test>\r\nRCPT TO:<bad@to.test>\r\nNONSENSE\r\n");
	for (int i = 0; i < 4; i++)
		hears(&client, "550 5.1.1");
	hears(&client, "500");
	asks(&client, "NOOP", "250"); /* what came before it counts now */
	hears(&client, "421 4.7.0 Too many errors");
	hears_the_end(&client);
	client_close(&client);
	house_close(&house);
}

static void idle_commands_are_limited(void **state)
{
	struct house house;
	struct client client;

	(void)state;
	house_open(&house,
		ONE "listener in { max-idle-commands 10; send-to p; relay-from 127.0.0.0/8; }");
	client_open(&house, &client);
	for (int i = 0; i < 3; i++)
		asks(&client, "NOOP", "250");
	envelope(&client); /* mail makes up for it */
	asks(&client, "RSET", "250");
	says(&client, "NOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\n"
		      "RSET\r\n");
	for (int i = 0; i < 10; i++)
		hears(&client, "250");
	hears(&client, "421 4.7.0 Too many commands without a message");
	hears_the_end(&client);
	client_close(&client);
	logged(&house, "\"reason\":\"idle commands\"");
	house_close(&house);
}

/* ---- the end of a session ---- */

static void what_a_client_gives_up(void **state)
{
	static const char *const words[] = {"RSET", "EHLO again", "HELO again", "QUIT"};
	static const char *const reasons[] = {"reset", "greeted again", "greeted again", "quit"};

	(void)state;
	for (int i = 0; i < 5; i++) {
		struct house house;
		struct client client;
		char logs[64];

		house_open(&house, ONE LISTENER);
		client_open(&house, &client);
		envelope(&client);
		if (i < 4)
			asks(&client, words[i], i < 3 ? "250" : "221");
		client_close(&client);
		UNTIL(&house, relay_sessions(house.relay) == 0);
		assert_int_equal(house_sum(&house, M_LISTENER_abandoned), 1);
		snprintf(logs, sizeof(logs),
			"\"outcome\":\"abandoned\",\"phase\":\"rcpt\",\"reason\":\"%s\"",
			i < 4 ? reasons[i] : "client closed");
		if (i < 4)
			logged(&house, logs);
		else
			logged(&house, "\"outcome\":\"abandoned\"");
		house_close(&house);
	}
}

/* All were refused: that was its outcome, whatever the client says then. */
static void all_refused_is_no_giving_up(void **state)
{
	struct house house;
	struct client client;

	(void)state;
	house_open(&house, ONE LISTENER);
	client_open(&house, &client);
	asks(&client, SENDER, "250");
	asks(&client, "RCPT TO:<bad@to.test>", "550");
	asks(&client, "RSET", "250");
	assert_int_equal(house_sum(&house, M_LISTENER_refused), 1);
	house.server[0].bad = "450 4.2.1 later\r\n";
	asks(&client, SENDER, "250");
	asks(&client, "RCPT TO:<bad@to.test>", "450");
	asks(&client, "RSET", "250");
	assert_int_equal(house_sum(&house, M_LISTENER_deferred), 1);
	assert_int_equal(house_sum(&house, M_LISTENER_abandoned), 0);
	quits(&client);
	house_close(&house);
}

/* A client that is silent hears so. */
static void a_silent_client_is_told(void **state)
{
	struct house house;
	struct client client;

	(void)state;
	house_open(&house,
		ONE "listener in { command-timeout 3s; send-to p; relay-from 127.0.0.0/8; }");
	client_open(&house, &client);
	envelope(&client);
	hears(&client, "421 4.4.2 Time-out waiting for a command");
	hears_the_end(&client);
	client_close(&client);
	UNTIL(&house, relay_sessions(house.relay) == 0);
	assert_int_equal(house_sum(&house, M_LISTENER_abandoned), 1);
	logged(&house, "\"event\":\"session\"");
	house_close(&house);
}

/* ---- a client that leaves its message behind ---- */

/* The whole message, and the server thinks. */
static void leaves_a_verdict_open(struct house *house, struct client *client, const char *config)
{
	house_open(house, config);
	client_open(house, client);
	house->server[0].end = NULL;
	envelope(client);
	asks(client, "DATA", "354");
	says(client, "x\r\n.\r\n");
	UNTIL(house, server_knows(&house->server[0], "LAST") && house->server[0].body.len == 3 &&
			     house_sum(house, M_LISTENER_in_gap) == 1);
}

static void accepted_and_unheard(void **state)
{
	(void)state;
	for (int half = 0; half < 3; half++) {
		struct house house;
		struct client client;

		leaves_a_verdict_open(&house, &client, TWO LISTENER);
		if (half == 1)
			shutdown(client.fd, SHUT_WR);
		else if (half == 0)
			client_close(&client);
		turn_for(&house, 20 * MSEC);
		if (half == 2) { /* a reset: what is unread is thrown away */
			setsockopt(client.fd, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1},
				sizeof(struct linger));
			client_close(&client);
			turn_for(&house, 20 * MSEC);
		}
		assert_int_equal(house_sum(&house, M_LISTENER_in_gap), 1);
		server_says(&house.server[0], "250 2.0.0 Ok: queued as LATE\r\n");
		UNTIL(&house, relay_sessions(house.relay) == 0);
		logged(&house, "\"outcome\":\"accepted-unheard\"");
		assert_int_equal(house_sum(&house, M_LISTENER_accepted_unheard), 1);
		assert_int_equal(house_sum(&house, M_LISTENER_in_gap), 0);
		assert_int_equal(house.server[1].opened, 0);
		if (half == 1)
			client_close(&client);
		house_close(&house);
	}
}

/* Without PIPELINING the next transaction waits for RSET's reply; its client doesn't. */
static void a_client_that_leaves_while_the_connection_is_cleared(void **state)
{
	struct house house;
	struct client client;

	(void)state;
	house_open(&house, ONE LISTENER);
	house.server[0].ehlo = "250 server\r\n";
	client_open(&house, &client);
	envelope(&client);
	asks(&client, "RSET", "250");
	house.server[0].rset = NULL;
	says(&client, SENDER "\r\n" RECIPIENT "\r\n");
	UNTIL(&house, server_knows(&house.server[0], "RSET"));
	client_close(&client);
	UNTIL(&house, relay_sessions(house.relay) == 0);
	assert_int_equal(house_sum(&house, M_LISTENER_abandoned), 2);
	/* A reply is outstanding on it. */
	UNTIL(&house, house.server[0].open == 0);
	house_close(&house);
}

/* The server refuses, or dies, when nobody listens: no further server is asked. */
static void unheard_and_not_accepted(void **state)
{
	static const struct {
		const char *config, *end, *outcome;
	} cases[] = {
		{TWO LISTENER, "451 local error\r\n", "\"outcome\":\"deferred\""},
		{TWO LISTENER, "550 5.7.1 no\r\n", "\"outcome\":\"refused\""},
		{TWO LISTENER, "!", "\"outcome\":\"ambiguous\""},
		{TWO "listener in { resend-ambiguous yes; send-to p; relay-from 127.0.0.0/8; }",
			"!", "\"outcome\":\"ambiguous\""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct house house;
		struct client client;

		leaves_a_verdict_open(&house, &client, cases[i].config);
		client_close(&client);
		turn_for(&house, 20 * MSEC);
		server_says(&house.server[0], cases[i].end);
		UNTIL(&house, relay_sessions(house.relay) == 0);
		logged(&house, cases[i].outcome);
		assert_int_equal(house.server[1].opened, 0);
		house_close(&house);
	}
}

static void a_client_that_leaves_before_the_end(void **state)
{
	struct house house;
	struct client client;

	(void)state;
	house_open(&house, ONE LISTENER);
	house.server[0].ehlo = "250 server\r\n";
	client_open(&house, &client);
	envelope(&client);
	asks(&client, "DATA", "354");
	says(&client, "part of it\r\n");
	UNTIL(&house, house.server[0].conversation[0].body.len > 0);
	client_close(&client);
	UNTIL(&house, relay_sessions(house.relay) == 0);
	UNTIL(&house, house.server[0].open == 0); /* in the middle of a body there is no way back */
	assert_int_equal(house.server[0].committed, 0);
	assert_int_equal(house_sum(&house, M_LISTENER_abandoned), 1);
	house_close(&house);
}

/* ---- the end of the process ---- */

static void draining_ends_sessions_at_their_borders(void **state)
{
	struct house house;
	struct client idle, busy, late;

	(void)state;
	house_open(&house, ONE LISTENER);
	client_open(&house, &idle);
	client_open(&house, &busy);
	client_open(&house, &late);
	envelope(&busy);
	relay_drain(house.relay, net_now(house.loop) + HOUR);
	turn_for(&house, 20 * MSEC);
	envelope(&late); /* what comes in time is taken */
	asks(&late, "BDAT 3 LAST\r\nx", "250 2.0.0 Ok: queued");
	assert_int_equal(relay_sessions(house.relay), 3); /* they have just been active */
	asks(&late, "NOOP", "250");
	relay_drain(house.relay, net_now(house.loop));
	hears(&idle, "421 4.3.2 This balancer is going down");
	hears_the_end(&idle);
	client_close(&idle);
	hears(&late, "421 4.3.2 This balancer is going down");
	client_close(&late);
	asks(&busy, "BDAT 3 LAST\r\nx", "250 2.0.0 Ok: queued");
	says(&busy, SENDER "\r\n");
	hears(&busy, "421 4.3.2 This balancer is going down");
	hears_the_end(&busy);
	client_close(&busy);
	UNTIL(&house, relay_sessions(house.relay) == 0);
	logged(&house, "\"reason\":\"drain\"");
	house_close(&house);
}

/* What is left when the process ends hears 421; what was ended is ambiguous. */
static void the_process_ends(void **state)
{
	struct house house;
	struct client client, idle, gone;
	struct relay *none = NULL;

	(void)state;
	leaves_a_verdict_open(&house, &client, ONE LISTENER);
	client_open(&house, &idle);
	client_open(&house, &gone);
	envelope(&gone);
	relay_free(&house.relay);
	assert_null(house.relay);
	assert_int_equal(house_sum(&house, M_LISTENER_ambiguous), 1);
	assert_int_equal(house_sum(&house, M_LISTENER_abandoned), 1);
	hears(&client, "451 4.4.2 The server was lost before it confirmed the message");
	hears(&client, "421 4.3.2 This balancer is going down");
	hears(&idle, "421 4.3.2 This balancer is going down");
	hears(&gone, "421 4.3.2 This balancer is going down");
	client_close(&client);
	client_close(&idle);
	client_close(&gone);
	house_close(&house);
	relay_free(&none);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(too_many_are_turned_away),
		cmocka_unit_test(the_longest_name),
		cmocka_unit_test(strangers_may_not_relay),
		cmocka_unit_test(each_listener_has_its_own_numbers),
		cmocka_unit_test(a_full_board_is_said),
		cmocka_unit_test(errors_are_limited),
		cmocka_unit_test(refusals_count_and_accepted_mail_forgives),
		cmocka_unit_test(idle_commands_are_limited),
		cmocka_unit_test(what_a_client_gives_up),
		cmocka_unit_test(all_refused_is_no_giving_up),
		cmocka_unit_test(a_silent_client_is_told),
		cmocka_unit_test(accepted_and_unheard),
		cmocka_unit_test(a_client_that_leaves_while_the_connection_is_cleared),
		cmocka_unit_test(unheard_and_not_accepted),
		cmocka_unit_test(a_client_that_leaves_before_the_end),
		cmocka_unit_test(draining_ends_sessions_at_their_borders),
		cmocka_unit_test(the_process_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
