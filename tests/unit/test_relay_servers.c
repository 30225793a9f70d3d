/*
 * What servers do to a message, and what the client hears of it: the commit rule at work.
 */
#include "test_relay_help.h"

#define PLAIN_EHLO "250 server\r\n"
#define SMALL      "hello\r\n"

/* The message by DATA; its last reply begins so. */
static void sends(struct client *client, const char *expected)
{
	asks(client, "DATA", "354");
	says(client, SMALL);
	asks(client, ".", expected);
}

static void open_both(struct house *house, struct client *client)
{
	house_open(house, TWO LISTENER);
	client_open(house, client);
}

static void close_both(struct house *house, struct client *client)
{
	quits(client);
	house_close(house);
}

/* The second server has it, once, and the client noticed nothing. */
static void went_to_the_second(struct house *house)
{
	assert_int_equal(house->server[1].committed, 1);
	server_has(&house->server[1], SMALL);
	assert_int_equal(house->server[0].committed, 0);
	assert_int_equal(house_sum(house, M_LISTENER_accepted), 1);
}

/* ---- before the message ---- */

static void a_server_that_is_down(void **state)
{
	struct house house;
	struct client client;

	(void)state;
	open_both(&house, &client);
	server_shut(&house.server[0]);
	envelope(&client);
	sends(&client, "250 2.0.0 Ok: queued");
	went_to_the_second(&house);
	close_both(&house, &client);
}

/* Each of these at MAIL or RCPT is the server's own matter: the next one is asked. */
static void trouble_in_the_envelope(void **state)
{
	struct {
		const char *mail, *rcpt, *reason;
	} const cases[] = {
		{"421 4.3.2 going down\r\n", NULL, "envelope_421"},
		{"421 4.7.0 too many connections\r\n", NULL, "too_many_connections"},
		{"452 4.3.1 disk full\r\n", NULL, "envelope_server_trouble"},
		{"503 5.5.1 bad sequence\r\n", NULL, "our_conduct"},
		{"!", NULL, "envelope_lost"},
		{"what?\r\n", NULL, "malformed_reply"},
		{"250 ok\r\n", "451 try later\r\n", "envelope_server_trouble"},
		{"250 ok\r\n", "530 5.7.0 Must issue STARTTLS first\r\n", "our_conduct"},
		{"250 ok\r\n", "!421 bye\r\n", "envelope_421"},
		{"250 ok\r\n", "354 what?\r\n", "malformed_reply"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct house house;
		struct client client;

		open_both(&house, &client);
		house.server[0].mail = cases[i].mail;
		house.server[0].rcpt = cases[i].rcpt;
		envelope(&client);
		sends(&client, "250 2.0.0 Ok: queued");
		went_to_the_second(&house);
		logged(&house, cases[i].reason);
		assert_int_equal(house_sum(&house, M_LISTENER_replays), 1);
		if (strcmp(cases[i].reason, "our_conduct") == 0)
			logged(&house, "\"event\":\"alarm\"");
		else
			not_logged(&house, "\"event\":\"alarm\"");
		close_both(&house, &client);
	}
}

/* Every attempt meets the same complaint: a person is told once. */
static void one_alarm_is_enough(void **state)
{
	struct house house;
	struct client client;

	(void)state;
	open_both(&house, &client);
	house.server[0].mail = house.server[1].mail = "535 5.7.8 who are you?\r\n";
	asks(&client, SENDER, "250");
	asks(&client, RECIPIENT, "451 4.4.1 No server available at the moment");
	logged(&house, "\"event\":\"alarm\"");
	assert_null(strstr(strstr(house.log.at, "\"event\":\"alarm\"") + 1, "\"event\":\"alarm\""));
	close_both(&house, &client);
}

/* Both refuse one recipient for reasons of their own: where nobody else is left that is its
 * answer, and costs the other nothing. */
static void the_last_word_on_a_recipient(void **state)
{
	struct house house;
	struct client client;

	(void)state;
	open_both(&house, &client);
	house.server[0].bad = house.server[1].bad = "452 4.3.1 no room for this one\r\n";
	asks(&client, SENDER, "250");
	asks(&client, "RCPT TO:<bad@to.test>", "452 4.3.1 no room for this one");
	asks(&client, RECIPIENT, "250 2.1.5");
	sends(&client, "250 2.0.0 Ok: queued");
	went_to_the_second(&house);
	assert_int_equal(house_sum(&house, M_LISTENER_recipients_deferred), 1);
	close_both(&house, &client);
}

static void refusals_of_recipients_pass_word_for_word(void **state)
{
	struct house house;
	struct client client;

	(void)state;
	open_both(&house, &client);
	house.server[0].bad = "550-5.1.1 <bad@to.test>\r\n550 5.1.1 no such user\r\n";
	asks(&client, SENDER, "250");
	asks(&client, "RCPT TO:<bad@to.test>", house.server[0].bad);
	/* A complaint that quotes the client's address is about that. */
	house.server[0].bad = "504 5.5.2 <bad@unqualified>: need a full address\r\n";
	asks(&client, "RCPT TO:<bad@unqualified>", house.server[0].bad);
	house.server[0].bad = "504 5.5.2 from.test: sender rejected\r\n";
	asks(&client, "RCPT TO:<bad2@to.test>", house.server[0].bad);
	house.server[0].bad = "450 4.2.1 greylisted\r\n";
	asks(&client, "RCPT TO:<bad3@to.test>", house.server[0].bad);
	asks(&client, "DATA", "503 5.5.1 Bad sequence: RCPT");
	assert_int_equal(house_sum(&house, M_LISTENER_recipients_refused), 3);
	assert_int_equal(house_sum(&house, M_LISTENER_recipients_deferred), 1);
	assert_int_equal(server_sum(&house, "p/a", M_SERVER_passed_5yz), 3);
	assert_int_equal(server_sum(&house, "p/a", M_SERVER_passed_4yz), 1);
	close_both(&house, &client);
	assert_int_equal(house.server[1].opened, 0);
}

/* Its answer to MAIL answers every recipient, those to come too. */
static void a_refused_sender_answers_every_recipient(void **state)
{
	struct {
		const char *reply;
		enum metric metric;
		bool closes;
	} const cases[] = {
		{"550 5.7.1 not from there\r\n", M_LISTENER_recipients_refused, false},
		{"450 4.7.1 come again\r\n", M_LISTENER_recipients_deferred, false},
		{"!550 5.7.1 not from there\r\n", M_LISTENER_recipients_refused, true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct house house;
		struct client client;

		open_both(&house, &client);
		house.server[0].mail = cases[i].reply;
		says(&client, SENDER "\r\n" RECIPIENT "\r\n" RECIPIENT "\r\n");
		hears(&client, "250 2.1.0");
		hears(&client, cases[i].reply + cases[i].closes);
		hears(&client, cases[i].reply + cases[i].closes);
		asks(&client, RECIPIENT, cases[i].reply + cases[i].closes);
		asks(&client, "DATA", "503 5.5.1 Bad sequence: RCPT");
		UNTIL(&house,
			board_places(house.board, board_find(house.board, BOARD_SERVER, "p/a"),
				PLACE_LIVE) == 0); /* the last of its replies were read */
		asks(&client, "RSET", "250");
		assert_int_equal(house_sum(&house, cases[i].metric), 3);
		assert_int_equal(house.server[1].opened, 0);
		house.server[0].mail = "250 ok\r\n";
		envelope(&client);
		sends(&client, "250 2.0.0 Ok: queued");
		/* The connection is as good as new, if there still is one. */
		assert_int_equal(house.server[0].opened, cases[i].closes ? 2 : 1);
		close_both(&house, &client);
	}
}

/* ---- connections that were used before ---- */

/* The server has closed it meanwhile: the next connection, and nobody notices. */
static void a_stale_connection_is_nobodys_fault(void **state)
{
	struct house house;
	struct client client, other;

	(void)state;
	open_both(&house, &client);
	client_open(&house, &other);
	envelope(&client);
	envelope(&other);
	sends(&client, "250 2.0.0 Ok: queued");
	sends(&other, "250 2.0.0 Ok: queued");
	assert_int_equal(house.server[0].opened, 2);
	/* Both idle ones die at the next MAIL; a third connection is asked for, a fresh one. */
	house.server[0].mail = "!";
	asks(&client, SENDER, "250");
	says(&client, RECIPIENT "\r\n");
	UNTIL(&house, house.server[0].open == 0);
	house.server[0].mail = "250 ok\r\n";
	hears(&client, "250 2.1.5");
	sends(&client, "250 2.0.0 Ok: queued");
	assert_int_equal(house.server[0].opened, 3);
	assert_int_equal(house.server[0].committed, 3);
	assert_int_equal(house_sum(&house, M_LISTENER_replays), 0);
	assert_int_equal(server_sum(&house, "p/a", M_SERVER_broken), 0);
	logged(&house, "idle_connection_closed");
	quits(&other);
	close_both(&house, &client);
}

/* While the client dawdles between RCPT and DATA the server says goodbye. */
static void closed_while_the_client_dawdles(void **state)
{
	static const char *const words[] = {"!", "!421 4.4.2 timeout exceeded\r\n"};

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct house house;
		struct client client;

		open_both(&house, &client);
		envelope(&client);
		server_says(&house.server[0], words[i]);
		UNTIL(&house, server_knows(&house.server[1], "RCPT"));
		sends(&client, "250 2.0.0 Ok: queued");
		went_to_the_second(&house);
		assert_int_equal(server_sum(&house, "p/a", M_SERVER_broken), 0);
		close_both(&house, &client);
	}
}

static void a_refused_reset_is_out_of_step(void **state)
{
	static const char *const replies[][2] = {
		{"500 what?\r\n", "our_conduct"}, {"450 not now\r\n", "rset_refused"}};

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct house house;
		struct client client;

		open_both(&house, &client);
		envelope(&client);
		asks(&client, "RSET", "250");
		house.server[0].rset = replies[i][0];
		envelope(&client);
		sends(&client, "250 2.0.0 Ok: queued");
		went_to_the_second(&house);
		logged(&house, replies[i][1]);
		close_both(&house, &client);
	}
}

/* ---- inside the message ---- */

/* Not ended: the body so far goes to the next server. */
static void trouble_in_the_body(void **state)
{
	struct {
		const char *ehlo, *data, *reason;
	} const cases[] = {
		{PLAIN_EHLO, "!", "body_lost"},
		{PLAIN_EHLO, "451 4.3.0 no room\r\n", "chunk_server_trouble"},
		{PLAIN_EHLO, "421 4.3.2 going down\r\n", "chunk_server_trouble"},
		{PLAIN_EHLO, "421 4.7.0 too many connections\r\n", "body_too_many"},
		{PLAIN_EHLO, "503 5.5.1 no recipients?\r\n", "chunk_our_conduct"},
		{PLAIN_EHLO, "250 ok\r\n", "malformed_reply_in_body"},
		{PLAIN_EHLO, "354 go\r\n!", "malformed_reply_in_body"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct house house;
		struct client client;

		open_both(&house, &client);
		house.server[0].ehlo = cases[i].ehlo;
		house.server[0].data = cases[i].data;
		envelope(&client);
		asks(&client, "DATA", "354");
		UNTIL(&house, server_knows(&house.server[1], "RCPT"));
		says(&client, SMALL);
		asks(&client, ".", "250 2.0.0 Ok: queued");
		went_to_the_second(&house);
		logged(&house, cases[i].reason);
		close_both(&house, &client);
	}
}

static void a_refused_data_is_the_clients_answer(void **state)
{
	(void)state;
	for (int waits = 0; waits < 2; waits++) {
		struct house house;
		struct client client;

		open_both(&house, &client);
		house.server[0].ehlo = PLAIN_EHLO;
		house.server[0].data = "550 5.7.1 not today\r\n";
		envelope(&client);
		asks(&client, "DATA", "354");
		if (waits)
			UNTIL(&house, strstr(house_log(&house), "data_refused") != NULL);
		says(&client, SMALL ".\r\n");
		hears(&client, "550 5.7.1 not today\r\n");
		assert_int_equal(house_sum(&house, M_LISTENER_refused), 1);
		logged(&house, "data_refused");
		/* From a body that was begun there is no way back to a command. */
		house.server[0].data = "354 go\r\n";
		envelope(&client);
		sends(&client, "250 2.0.0 Ok: queued");
		assert_int_equal(house.server[0].opened, 2);
		assert_int_equal(house.server[1].opened, 0);
		close_both(&house, &client);
	}
}

/* The server has had enough inside the body; the client hears it when it has sent all. */
static void refused_inside_the_body(void **state)
{
	struct house house;
	struct client client;

	(void)state;
	open_both(&house, &client);
	house.server[0].ehlo = PLAIN_EHLO;
	envelope(&client);
	asks(&client, "DATA", "354");
	says(&client, SMALL);
	UNTIL(&house, house.server[0].conversation[0].body.len > 0);
	server_says(&house.server[0], "552 5.2.3 too much\r\n");
	UNTIL(&house, house.server[0].open == 0);
	says(&client, SMALL);
	asks(&client, ".", "552 5.2.3 too much");
	assert_int_equal(house.server[1].opened, 0);
	logged(&house, "chunk_refused");
	close_both(&house, &client);
}

#define LARGE 300000

static void says_large(struct client *client)
{
	char line[102];

	memset(line, 'x', sizeof(line));
	memcpy(line + 100, "\r\n", 2);
	for (int i = 0; i < LARGE / 102; i++)
		says_bytes(client, line, sizeof(line));
}

/* A frame is refused, or its server lost: replayed if a copy was kept. */
static void a_large_body_is_replayed_if_it_was_kept(void **state)
{
	struct {
		const char *limit, *chunk, *verdict, *reason;
	} const cases[] = {
		{"1MiB", "!", "250 2.0.0 Ok: queued", "body_lost"},
		{"1MiB", "452 4.3.1 disk full\r\n", "250 2.0.0 Ok: queued", "chunk_server_trouble"},
		{"100KiB", "!", "451 4.4.2 The server was lost inside the message", "body_lost"},
		{"100KiB", "452 4.3.1 disk full\r\n", "452 4.3.1 disk full",
			"chunk_server_trouble"},
		{"100KiB", "503 5.5.1 what?\r\n",
			"451 4.4.2 The server was lost inside the message", "chunk_our_conduct"},
		{"1MiB", "552 5.2.2 over quota\r\n", "552 5.2.2 over quota", "chunk_refused"},
		{"100KiB", "552 5.2.2 over quota\r\n", "552 5.2.2 over quota", "chunk_refused"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct house house;
		struct client client;
		char config[300];

		snprintf(config, sizeof(config),
			"%slistener in { replay-limit %s; send-to p; relay-from 127.0.0.0/8; }",
			TWO, cases[i].limit);
		house_open(&house, config);
		client_open(&house, &client);
		house.server[0].chunk = cases[i].chunk;
		envelope(&client);
		asks(&client, "DATA", "354");
		says_large(&client);
		UNTIL(&house, strstr(house_log(&house), cases[i].reason) != NULL);
		asks(&client, ".", cases[i].verdict);
		assert_int_equal(house.server[1].committed, cases[i].verdict[0] == '2');
		close_both(&house, &client);
	}
}

/* ---- after the end ---- */

static void verdicts(void **state)
{
	struct {
		const char *end, *heard, *reason;
		bool second; /* the second server has it */
	} const cases[] = {
		{"550-5.7.1 spam\r\n550 5.7.1 says who?\r\n",
			"550-5.7.1 spam\r\n550 5.7.1 says who?\r\n", "ended_refused", false},
		{"450 4.2.0 later\r\n", "450 4.2.0 later\r\n", "ended_refused", false},
		{"421 4.7.0 go away\r\n", "451 4.7.0 go away\r\n", "ended_refused_421", false},
		{"421 going down\r\n", "250 2.0.0 Ok", "ended_server_trouble", true},
		{"452 4.3.1 disk full\r\n", "250 2.0.0 Ok", "ended_server_trouble", true},
		{"451 local error\r\n", "250 2.0.0 Ok", "ended_server_trouble", true},
		{"503 5.5.1 what?\r\n", "250 2.0.0 Ok", "ended_our_conduct", true},
		{"!", "451 4.4.2 The server was lost before it confirmed", "ended_no_reply", false},
		{"!garbage\r\n", "451 4.4.2 The server was lost before", "ended_no_reply", false},
		{"!25", "451 4.4.2 The server was lost before", "ended_no_reply", false},
	};

	(void)state;
	for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
		struct house house;
		struct client client;

		open_both(&house, &client);
		if (i % 2)
			house.server[0].ehlo = PLAIN_EHLO;
		house.server[0].end = cases[i / 2].end;
		envelope(&client);
		sends(&client, cases[i / 2].heard);
		assert_int_equal(house.server[1].committed, cases[i / 2].second);
		logged(&house, cases[i / 2].reason);
		assert_int_equal(house_sum(&house, M_LISTENER_ambiguous),
			strcmp(cases[i / 2].reason, "ended_no_reply") == 0);
		assert_int_equal(house_sum(&house, M_LISTENER_in_gap), 0);
		close_both(&house, &client);
	}
}

static void ambiguous_ones_are_sent_again_if_wanted(void **state)
{
	struct house house;
	struct client client;

	(void)state;
	house_open(&house,
		TWO "listener in { resend-ambiguous yes; send-to p; relay-from 127.0.0.0/8; }");
	client_open(&house, &client);
	house.server[0].end = "!";
	envelope(&client);
	sends(&client, "250 2.0.0 Ok: queued");
	went_to_the_second(&house);
	assert_int_equal(server_sum(&house, "p/a", M_SERVER_ambiguous), 1);
	assert_int_equal(house_sum(&house, M_LISTENER_ambiguous), 0);
	close_both(&house, &client);
}

/* Once a server may have it, nobody can say for certain that it was not accepted. */
static void after_an_ambiguous_one_nothing_is_certain(void **state)
{
	static const char *const ends[] = {"550 5.7.1 spam\r\n", "452 4.3.1 full\r\n", "!"};

	(void)state;
	for (int i = 0; i < 4; i++) {
		struct house house;
		struct client client;
		char config[300];

		snprintf(config, sizeof(config),
			"%slistener in { resend-ambiguous yes; replay-limit %s; send-to p;"
			" relay-from 127.0.0.0/8; }",
			TWO, i < 3 ? "1MiB" : "0B");
		house_open(&house, config);
		client_open(&house, &client);
		house.server[0].end = "!";
		if (i < 3)
			house.server[1].end = ends[i];
		envelope(&client);
		sends(&client, "451 4.4.2 The server was lost before it confirmed");
		assert_int_equal(house_sum(&house, M_LISTENER_ambiguous), 1);
		assert_int_equal(house.server[1].opened, i < 3); /* what was not kept is not sent */
		close_both(&house, &client);
	}
}

/* The recipients that were told so must be accepted at the next server as well. */
static void a_replay_that_differs(void **state)
{
	(void)state;
	for (int at_mail = 0; at_mail < 2; at_mail++) {
		struct house house;
		struct client client;

		open_both(&house, &client);
		house.server[0].end = "451 local error\r\n";
		if (at_mail)
			house.server[1].mail = "550 5.7.1 not from there\r\n";
		else
			house.server[1].rcpt = "550 5.1.1 not here\r\n";
		envelope(&client);
		asks(&client, "RCPT TO:<bad@to.test>", "550 5.1.1 no such user");
		sends(&client, "451 4.3.0 The servers disagree about the recipients");
		assert_int_equal(house.server[1].committed, 0);
		/* Who was refused is not offered again. */
		assert_false(server_knows(&house.server[1], "<bad@to.test>"));
		assert_int_equal(house_sum(&house, M_LISTENER_deferred), 1);
		close_both(&house, &client);
	}
}

/* All refuse for their own reasons: the last one's words, if they mean "try again". */
static void the_last_reply_is_kept(void **state)
{
	struct house house;
	struct client client;

	(void)state;
	open_both(&house, &client);
	house.server[0].end = "451 local error\r\n";
	house.server[1].end = "452 4.3.1 disk full\r\n";
	envelope(&client);
	sends(&client, "452 4.3.1 disk full");
	logged(&house, "\"outcome\":\"deferred\"");
	close_both(&house, &client);
}

/* ---- time ---- */

#define HASTY                                                                                      \
	"listener in { answer-within 2s; replay-within 2s; send-to p; relay-from 127.0.0.0/8; }"

static void a_silent_server_is_left_for_another(void **state)
{
	(void)state;
	for (int at = 0; at < 3; at++) {
		struct house house;
		struct client client;
		int64_t began;

		house_open(&house, TWO HASTY);
		client_open(&house, &client);
		if (at == 0)
			house.server[0].mail = NULL;
		if (at == 1)
			house.server[0].rcpt = NULL;
		if (at == 2) {
			house.server[0].ehlo = PLAIN_EHLO;
			house.server[0].data = NULL;
		}
		began = sys_clock(house.sys);
		envelope(&client);
		sends(&client, "250 2.0.0 Ok: queued");
		went_to_the_second(&house);
		assert_true(sys_clock(house.sys) - began >= 950 * MSEC);
		assert_int_equal(server_sum(&house, "p/a", M_SERVER_timeouts), 1);
		logged(&house, at == 2 ? "body_timed_out" : "envelope_timed_out");
		close_both(&house, &client);
	}
}

static void the_recipient_is_answered_in_time(void **state)
{
	struct house house;
	struct client client;

	(void)state;
	house_open(&house, ONE HASTY);
	client_open(&house, &client);
	house.server[0].rcpt = NULL;
	says(&client, SENDER "\r\n" RECIPIENT "\r\nDATA\r\n");
	hears(&client, "250 2.1.0");
	hears(&client, "451 4.4.1 No server answered in time");
	hears(&client, "554 5.5.1 No valid recipients");
	assert_int_equal(server_sum(&house, "p/a", M_SERVER_timeouts), 1);
	close_both(&house, &client);
	/* So it is while a connection is awaited. */
	house_open(&house, ONE HASTY);
	house.server[0].banner = NULL;
	client_open(&house, &client);
	asks(&client, SENDER, "250");
	asks(&client, RECIPIENT, "451 4.4.1 No server answered in time");
	close_both(&house, &client);
}

/* Patience is with a server that owes an answer, not with a client that dawdles. */
static void a_client_that_dawdles_keeps_its_server(void **state)
{
	static const char *const limits[] = {"1MiB", "0B"};

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct house house;
		struct client client;
		char config[300];

		snprintf(config, sizeof(config),
			"%slistener in { answer-within 2s; replay-within 2s; replay-limit %s;"
			" send-to p; relay-from 127.0.0.0/8; }",
			TWO, limits[i]);
		house_open(&house, config);
		client_open(&house, &client);
		envelope(&client);
		if (i == 0)
			turn_for(&house, 1200 * MSEC);
		asks(&client, "DATA", "354");
		says(&client, SMALL);
		if (i == 1)
			turn_for(&house, 1200 * MSEC);
		asks(&client, ".", "250 2.0.0 Ok: queued");
		assert_int_equal(house.server[0].committed, 1);
		assert_int_equal(house.server[1].opened, 0);
		close_both(&house, &client);
	}
}

/* Once the end was sent there is no other server, however long it takes. */
static void a_verdict_is_waited_for(void **state)
{
	struct house house;
	struct client client;

	(void)state;
	house_open(&house, TWO HASTY);
	client_open(&house, &client);
	house.server[0].end = NULL;
	envelope(&client);
	asks(&client, "DATA", "354");
	says(&client, SMALL ".\r\n");
	UNTIL(&house, house_sum(&house, M_LISTENER_in_gap) == 1);
	turn_for(&house, 2300 * MSEC);
	assert_int_equal(house.server[1].opened, 0);
	server_says(&house.server[0], "250 2.0.0 Ok: queued as LATE\r\n");
	hears(&client, "250 2.0.0 Ok: queued as LATE");
	/* A refusal that comes so late is the client's: it may have given up waiting. */
	envelope(&client);
	asks(&client, "DATA", "354");
	says(&client, SMALL ".\r\n");
	UNTIL(&house, house_sum(&house, M_LISTENER_in_gap) == 1);
	turn_for(&house, 2300 * MSEC);
	server_says(&house.server[0], "451 local error\r\n");
	hears(&client, "451 local error");
	assert_int_equal(house.server[1].opened, 0);
	close_both(&house, &client);
}

/* A refused sender's connection whose last replies never come is no attempt. */
static void dregs_that_never_come(void **state)
{
	struct house house;
	struct client client;

	(void)state;
	house_open(&house, TWO HASTY);
	client_open(&house, &client);
	house.server[0].mail = "550 5.7.1 not from there\r\n";
	house.server[0].rcpt = NULL;
	says(&client, SENDER "\r\n" RECIPIENT "\r\n");
	hears(&client, "250 2.1.0");
	hears(&client, "550 5.7.1 not from there");
	turn_for(&house, 1200 * MSEC);
	asks(&client, "RSET", "250");
	UNTIL(&house, house.server[0].open == 0);
	assert_int_equal(house.server[1].opened, 0);
	assert_int_equal(house_sum(&house, M_LISTENER_refused), 1);
	close_both(&house, &client);
}

static void a_connections_own_time_runs_out(void **state)
{
	struct house house;
	struct client client;

	(void)state;
	house_open(&house, "pool p { mail-timeout 100ms; pass-client none; server a $0;"
			   " server b $1 tier=2; }" LISTENER);
	client_open(&house, &client);
	house.server[0].mail = house.server[0].rcpt = NULL;
	envelope(&client);
	sends(&client, "250 2.0.0 Ok: queued");
	went_to_the_second(&house);
	logged(&house, "envelope_timed_out");
	assert_int_equal(server_sum(&house, "p/a", M_SERVER_timeouts), 1);
	close_both(&house, &client);
}

/* It answered MAIL and then went: that is no idle connection that had been closed. */
static void a_used_connection_that_breaks(void **state)
{
	struct house house;
	struct client client;

	(void)state;
	open_both(&house, &client);
	envelope(&client);
	asks(&client, "RSET", "250");
	house.server[0].rcpt = "!";
	envelope(&client);
	sends(&client, "250 2.0.0 Ok: queued");
	went_to_the_second(&house);
	logged(&house, "envelope_lost");
	assert_int_equal(server_sum(&house, "p/a", M_SERVER_broken), 1);
	close_both(&house, &client);
}

/* Nobody waits for anything when the server goes: the next recipient begins anew. */
static void lost_when_nobody_waits(void **state)
{
	struct house house;
	struct client client;

	(void)state;
	open_both(&house, &client);
	asks(&client, SENDER, "250");
	asks(&client, "RCPT TO:<bad@to.test>", "550 5.1.1");
	server_says(&house.server[0], "!");
	UNTIL(&house, board_places(house.board, board_find(house.board, BOARD_SERVER, "p/a"),
			      PLACE_OPEN) == 0);
	assert_int_equal(house.server[1].opened, 0);
	asks(&client, RECIPIENT, "250 2.1.5");
	sends(&client, "250 2.0.0 Ok: queued");
	went_to_the_second(&house);
	close_both(&house, &client);
}

/* A further server could not be reached in the time that is left. */
static void no_server_in_time_for_a_replay(void **state)
{
	struct house house;
	struct client client;

	(void)state;
	house_open(&house, TWO HASTY);
	client_open(&house, &client);
	house.server[0].end = "503 5.5.1 what?\r\n";
	house.server[1].banner = NULL;
	envelope(&client);
	sends(&client, "451 4.4.1 No server answered in time");
	close_both(&house, &client);
}

/* Forty servers that are all in trouble: after 32 it is enough. */
static void try_forty(bool chunks)
{
	struct house house;
	struct client client;
	struct buf config = {0};

	buf_add_text(&config, "pool p { pass-client none;");
	for (int i = 0; i < 40; i++)
		buf_addf(&config, " server s%d $0;", i);
	buf_add_text(&config, " } " LISTENER);
	house_open(&house, buf_string(&config));
	client_open(&house, &client);
	house.server[0].mail = "452 4.3.1 disk full\r\n";
	says(&client, SENDER "\r\n" RECIPIENT "\r\n");
	hears(&client, "250 2.1.0");
	hears(&client, "452 4.3.1 disk full");
	assert_int_equal(house.server[0].opened, 32);
	asks(&client, RECIPIENT, "452 4.3.1 disk full");
	assert_int_equal(house.server[0].opened, 32);
	asks(&client, "RSET", "250");
	/* Each takes the recipient and goes: DATA finds no way. */
	house.server[0].mail = "250 ok\r\n";
	asks(&client, SENDER, "250");
	asks(&client, RECIPIENT, "250 2.1.5");
	for (int i = 0; i < 32; i++) {
		int64_t replays = house_sum(&house, M_LISTENER_replays);

		buf_reset(&house.server[0].heard);
		server_hang_up(&house.server[0]);
		UNTIL(&house, house_sum(&house, M_LISTENER_replays) > replays);
		if (i < 31)
			UNTIL(&house, server_knows(&house.server[0], "RCPT"));
	}
	if (chunks)
		asks(&client, "BDAT 3 LAST\r\nx", "451 4.4.1 No server available at the moment");
	else
		asks(&client, "DATA", "451 4.4.1 No server available at the moment");
	logged(&house, "\"outcome\":\"deferred\"");
	buf_clear(&config);
	close_both(&house, &client);
}

static void many_servers_in_trouble(void **state)
{
	(void)state;
	try_forty(false);
	try_forty(true);
}

/* Its only server is lost when the client has seen its recipient accepted; a chunk asks again. */
static void a_chunk_finds_the_next_server(void **state)
{
	struct house house;
	struct client client;

	(void)state;
	house_open(
		&house, TWO "listener in { replay-limit 0B; send-to p; relay-from 127.0.0.0/8; }");
	client_open(&house, &client);
	envelope(&client);
	server_hang_up(&house.server[0]);
	UNTIL(&house, server_knows(&house.server[1], "RCPT"));
	server_hang_up(&house.server[1]);
	asks(&client, "BDAT 7 LAST\r\nhello", "451 4.");
	asks(&client, "RSET", "250");
	envelope(&client);
	server_hang_up(&house.server[0]);
	asks(&client, "BDAT 7 LAST\r\nhello", "250 2.0.0 Ok: queued");
	went_to_the_second(&house);
	close_both(&house, &client);
}

/* A chunk that comes while one recipient's answer is still awaited. */
static void a_chunk_between_two_answers(void **state)
{
	struct house house;
	struct client client;

	(void)state;
	open_both(&house, &client);
	envelope(&client);
	house.server[0].rcpt = NULL;
	says(&client, RECIPIENT "\r\nBDAT 7 LAST\r\nhello\r\n");
	UNTIL(&house, house_sum(&house, M_LISTENER_bytes_in) == 7);
	assert_int_equal(house.server[0].body.len, 0);
	server_says(&house.server[0], "550 5.1.1 no such user\r\n");
	hears(&client, "550 5.1.1 no such user");
	hears(&client, "250 2.0.0 Ok: queued");
	server_has(&house.server[0], SMALL);
	close_both(&house, &client);
}

/* ---- pools ---- */

static void the_next_pool_is_used(void **state)
{
	static const char config[] =
		"pool p { queue 0s; max-connections 1; pass-client none; server a $0; }"
		"pool q { pass-client none; server b $1; }"
		"listener in { send-to p q; relay-from 127.0.0.0/8; }";
	struct house house;
	struct client client, other;

	(void)state;
	house_open(&house, config);
	client_open(&house, &client);
	client_open(&house, &other);
	envelope(&client); /* holds the only place of p */
	envelope(&other);
	sends(&other, "250 2.0.0 Ok: queued");
	assert_int_equal(house.server[1].committed, 1);
	sends(&client, "250 2.0.0 Ok: queued");
	assert_int_equal(house.server[0].committed, 1);
	/* Down at its verdict as well. */
	house.server[0].end = "451 local error\r\n";
	envelope(&client);
	sends(&client, "250 2.0.0 Ok: queued");
	assert_int_equal(house.server[1].committed, 2);
	quits(&other);
	close_both(&house, &client);
}

static void all_are_full_or_down(void **state)
{
	struct house house;
	struct client client, other;

	(void)state;
	house_open(&house,
		"pool p { queue 0s; max-connections 1; pass-client none; server a $0; }" LISTENER);
	client_open(&house, &client);
	client_open(&house, &other);
	envelope(&client);
	asks(&other, SENDER, "250");
	asks(&other, RECIPIENT, "451 4.3.2 All servers are busy, try again later");
	asks(&other, "RSET", "250");
	board_judge(house.board, board_find(house.board, BOARD_SERVER, "p/a"),
		&(struct verdict){.state = SERVER_DOWN, .weight = 256});
	asks(&other, SENDER, "250");
	says(&other, RECIPIENT "\r\nBDAT 3 LAST\r\nx\r\n");
	hears(&other, "451 4.4.1 No server available at the moment");
	hears(&other, "451 4.4.1 No server available at the moment");
	quits(&other);
	close_both(&house, &client);
}

/* No attempt is left for a DATA that comes after its server has gone. */
static void no_server_is_left_for_data(void **state)
{
	struct house house;
	struct client client;

	(void)state;
	house_open(&house, ONE LISTENER);
	client_open(&house, &client);
	envelope(&client);
	server_hang_up(&house.server[0]);
	server_shut(&house.server[0]);
	UNTIL(&house, strstr(house_log(&house), "\"phase\":\"rcpt\"") != NULL);
	turn_for(&house, 20 * MSEC);
	says(&client, "DATA\r\n");
	hears(&client, "");
	if (client.reply[0] == '3')
		asks(&client, "x\r\n.", "451 4.4.1 No server available");
	else
		assert_memory_equal(client.reply, "451 4.4.1", 9);
	assert_int_equal(house_sum(&house, M_LISTENER_deferred), 1);
	close_both(&house, &client);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_server_that_is_down),
		cmocka_unit_test(trouble_in_the_envelope),
		cmocka_unit_test(one_alarm_is_enough),
		cmocka_unit_test(the_last_word_on_a_recipient),
		cmocka_unit_test(refusals_of_recipients_pass_word_for_word),
		cmocka_unit_test(a_refused_sender_answers_every_recipient),
		cmocka_unit_test(a_stale_connection_is_nobodys_fault),
		cmocka_unit_test(closed_while_the_client_dawdles),
		cmocka_unit_test(a_refused_reset_is_out_of_step),
		cmocka_unit_test(trouble_in_the_body),
		cmocka_unit_test(a_refused_data_is_the_clients_answer),
		cmocka_unit_test(refused_inside_the_body),
		cmocka_unit_test(a_large_body_is_replayed_if_it_was_kept),
		cmocka_unit_test(verdicts),
		cmocka_unit_test(ambiguous_ones_are_sent_again_if_wanted),
		cmocka_unit_test(after_an_ambiguous_one_nothing_is_certain),
		cmocka_unit_test(a_replay_that_differs),
		cmocka_unit_test(the_last_reply_is_kept),
		cmocka_unit_test(a_silent_server_is_left_for_another),
		cmocka_unit_test(the_recipient_is_answered_in_time),
		cmocka_unit_test(a_client_that_dawdles_keeps_its_server),
		cmocka_unit_test(a_verdict_is_waited_for),
		cmocka_unit_test(dregs_that_never_come),
		cmocka_unit_test(a_connections_own_time_runs_out),
		cmocka_unit_test(a_used_connection_that_breaks),
		cmocka_unit_test(lost_when_nobody_waits),
		cmocka_unit_test(no_server_in_time_for_a_replay),
		cmocka_unit_test(many_servers_in_trouble),
		cmocka_unit_test(a_chunk_finds_the_next_server),
		cmocka_unit_test(a_chunk_between_two_answers),
		cmocka_unit_test(the_next_pool_is_used),
		cmocka_unit_test(all_are_full_or_down),
		cmocka_unit_test(no_server_is_left_for_data),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
