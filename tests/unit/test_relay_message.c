/*
 * Messages on their good way: by DATA and BDAT, small and large, to servers that can less; and what
 * a client may ask for at all.
 */
#include "test_relay_help.h"

#define PLAIN_EHLO "250 server\r\n"
#define RICH_EHLO                                                                                  \
	"250-server\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n"              \
	"250-SIZE 5000\r\n250 ENHANCEDSTATUSCODES\r\n"

static void a_message_arrives(void **state)
{
	struct house house;
	struct client client;

	(void)state;
	house_open(&house, ONE LISTENER);
	client_open(&house, &client);
	envelope(&client);
	asks(&client, "DATA", "354");
	asks(&client, "Message-ID: <m@from.test>\r\n\r\n..hello\r\n.",
		"250 2.0.0 Ok: queued as 4D1F2A0C31\r\n");
	server_has(&house.server[0], "Message-ID: <m@from.test>\r\n\r\n.hello\r\n");
	server_heard(&house.server[0],
		"EHLO mw.test\nMAIL FROM:<s@from.test>\nRCPT TO:<r@to.test>\nBDAT 37 LAST\n");
	assert_int_equal(house_sum(&house, M_LISTENER_accepted), 1);
	assert_int_equal(house_sum(&house, M_LISTENER_recipients_accepted), 1);
	assert_int_equal(house_sum(&house, M_LISTENER_in_gap), 0);
	assert_int_equal(house_sum(&house, M_LISTENER_bytes_in), 37);
	assert_int_equal(server_sum(&house, "p/a", M_SERVER_bytes_out), 37);
	logged(&house, "\"outcome\":\"accepted\"");
	logged(&house, "\"message_id\":\"<m@from.test>\"");
	logged(&house, "\"queue_id\":\"4D1F2A0C31\"");
	/* The next one goes over the same connection, and nothing has to be cleared. */
	envelope(&client);
	server_heard(&house.server[0], "MAIL FROM:<s@from.test>\nRCPT TO:<r@to.test>\n");
	quits(&client);
	house_close(&house);
}

static void all_in_one_write(void **state)
{
	struct house house;
	struct client client;

	(void)state;
	house_open(&house, ONE LISTENER);
	client_open(&house, &client);
	says(&client, SENDER "\r\n" RECIPIENT "\r\nRCPT TO:<bad@to.test>\r\nDATA\r\n");
	hears(&client, "250 2.1.0 Sender ok");
	hears(&client, "250 2.1.5 recipient ok");
	hears(&client, "550 5.1.1 no such user");
	hears(&client, "354");
	says(&client, "hi\r\n.\r\nQUIT\r\n");
	hears(&client, "250 2.0.0 Ok: queued");
	hears(&client, "221");
	hears_the_end(&client);
	client_close(&client);
	assert_int_equal(house.server[0].committed, 1);
	assert_int_equal(house_sum(&house, M_LISTENER_recipients_refused), 1);
	assert_int_equal(server_sum(&house, "p/a", M_SERVER_passed_5yz), 1);
	house_close(&house);
}

static void chunks_in_one_write(void **state)
{
	struct house house;
	struct client client;

	(void)state;
	house_open(&house, ONE LISTENER);
	client_open(&house, &client);
	house.server[0].rcpt = NULL; /* all of it is here before the recipient's answer */
	says(&client, SENDER "\r\n" RECIPIENT "\r\n");
	for (int i = 0; i < 10; i++)
		says(&client, "BDAT 1\r\nx");
	says(&client, "BDAT 3 LAST\r\ny\r\n");
	hears(&client, "250 2.1.0");
	UNTIL(&house, house_sum(&house, M_LISTENER_bytes_in) == 13 &&
			      server_knows(&house.server[0], "RCPT"));
	server_says(&house.server[0], "250 2.1.5 late\r\n");
	hears(&client, "250 2.1.5 late");
	for (int i = 0; i < 10; i++)
		hears(&client, "250 2.0.0 13 octets received");
	hears(&client, "250 2.0.0 Ok: queued");
	server_has(&house.server[0], "xxxxxxxxxxy\r\n");
	quits(&client);
	house_close(&house);
}

static void chunks_one_by_one(void **state)
{
	struct house house;
	struct client client;

	(void)state;
	house_open(&house, ONE LISTENER);
	client_open(&house, &client);
	envelope(&client);
	asks(&client, "BDAT 4\r\nab", "250 2.0.0 4 octets received");
	asks(&client, "BDAT 3\r\n.", "250 2.0.0 7 octets received");
	asks(&client, "BDAT 0 LAST", "250 2.0.0 Ok: queued");
	server_has(&house.server[0], "ab\r\n.\r\n");
	quits(&client);
	house_close(&house);
}

/* A server of the last century gets one command at a time, and DATA. */
static void a_server_without_extensions(void **state)
{
	struct house house;
	struct client client;

	(void)state;
	house_open(&house, ONE LISTENER);
	house.server[0].ehlo = PLAIN_EHLO;
	client_open(&house, &client);
	says(&client, SENDER " SIZE=10\r\n" RECIPIENT "\r\n" RECIPIENT "\r\n");
	says(&client, "BDAT 7 LAST\r\n.a\r\n..b");
	hears(&client, "250 2.1.0");
	hears(&client, "250 2.1.5");
	hears(&client, "250 2.1.5");
	hears(&client, "250 2.0.0 Ok: queued");
	server_heard(&house.server[0],
		"EHLO mw.test\nMAIL FROM:<s@from.test>\n" RECIPIENT "\n" RECIPIENT "\nDATA\n");
	server_has(&house.server[0], ".a\r\n..b\r\n");
	/* What was left unfinished is cleared before the next one, command by command too. */
	envelope(&client);
	asks(&client, "RSET", "250 2.0.0 Ok");
	envelope(&client);
	server_heard(&house.server[0], SENDER "\n" RECIPIENT "\nRSET\n" SENDER "\n" RECIPIENT "\n");
	quits(&client);
	house_close(&house);
}

/* ---- large ones ---- */

/* Lines that say where they are. */
static void make_body(struct buf *body, size_t len)
{
	buf_add_text(body, "Message-ID: <large@from.test>\r\n\r\n");
	while (body->len < len)
		buf_addf(body, "%08zu and what belongs to it, up to the line's end\r\n", body->len);
}

static void sends_by_data(struct client *client, const struct buf *body)
{
	asks(client, "DATA", "354");
	says_bytes(client, body->at, body->len);
	says(client, ".\r\n");
}

static void large_ones_stream(void **state)
{
	static const char *const configs[] = {
		ONE "listener in { replay-limit 64KiB; send-to p; relay-from 127.0.0.0/8; }",
		ONE "listener in { replay-limit 0B; send-to p; relay-from 127.0.0.0/8; }",
		ONE "listener in { replay-limit 8MiB; send-to p; relay-from 127.0.0.0/8; }",
	};
	struct buf body = {0};

	(void)state;
	make_body(&body, 3000000);
	for (int i = 0; i < 6; i++) {
		struct house house;
		struct client client;

		house_open(&house, configs[i / 2]);
		if (i % 2)
			house.server[0].ehlo = PLAIN_EHLO;
		client_open(&house, &client);
		envelope(&client);
		sends_by_data(&client, &body);
		hears(&client, "250 2.0.0 Ok: queued");
		assert_true(span_eq(buf_span(&house.server[0].body), buf_span(&body)));
		logged(&house, "\"message_id\":\"<large@from.test>\"");
		quits(&client);
		house_close(&house);
	}
	buf_clear(&body);
}

/* Octets that the kernels and we take before nothing more goes in. */
static size_t says_until_stuck(struct client *client, const struct buf *body)
{
	size_t at = 0;

	for (int patience = 0; patience < 300 && at < body->len; patience++) {
		ssize_t sent = send(client->fd, body->at + at, body->len - at, MSG_NOSIGNAL);

		if (sent > 0)
			patience = 0;
		at += sent > 0 ? (size_t)sent : 0;
		house_turn(client->house);
	}
	return at;
}

/* A server that doesn't read holds its client back, and costs us a bounded piece of memory. */
static void a_slow_server_holds_the_client_back(void **state)
{
	struct buf body = {0};

	(void)state;
	make_body(&body, 16 * 1024 * 1024);
	for (int plain = 0; plain < 2; plain++) {
		struct house house;
		struct client client;
		size_t sent;

		house_open(&house, ONE LISTENER);
		if (plain)
			house.server[0].ehlo = PLAIN_EHLO;
		client_open(&house, &client);
		envelope(&client);
		asks(&client, "DATA", "354");
		house.server[0].deaf = true;
		sent = says_until_stuck(&client, &body);
		assert_true(sent < body.len);
		assert_true(chunk_pool_used(net_chunks(house.loop)) < 4 * 1024 * 1024);
		house.server[0].deaf = false;
		says_bytes(&client, body.at + sent, body.len - sent);
		says(&client, ".\r\n");
		hears(&client, "250 2.0.0 Ok: queued");
		assert_true(span_eq(buf_span(&house.server[0].body), buf_span(&body)));
		quits(&client);
		house_close(&house);
	}
	buf_clear(&body);
}

/* A large chunk that comes before the recipient's answer waits at its client once there is more of
 * it than may be kept; one that goes nowhere is read to its end. */
static void a_large_chunk_that_comes_too_early(void **state)
{
	struct buf body = {0};

	(void)state;
	make_body(&body, 16 * 1024 * 1024);
	for (int refused = 0; refused < 2; refused++) {
		struct house house;
		struct client client;
		size_t sent;
		char line[64];

		house_open(&house, ONE
			"listener in { replay-limit 64KiB; send-to p; relay-from 127.0.0.0/8; }");
		client_open(&house, &client);
		house.server[0].rcpt = refused ? house.server[0].bad : NULL;
		snprintf(line, sizeof(line), "BDAT %zu LAST\r\n", body.len);
		says(&client, SENDER "\r\n" RECIPIENT "\r\n");
		says(&client, line);
		sent = says_until_stuck(&client, &body);
		hears(&client, "250 2.1.0");
		if (refused) {
			assert_int_equal(sent, body.len);
			hears(&client, "550 5.1.1");
			hears(&client, "5");
			asks(&client, "RSET", "250");
		} else {
			assert_true(sent < body.len);
			server_says(&house.server[0], "250 2.1.5 late\r\n");
			says_bytes(&client, body.at + sent, body.len - sent);
			hears(&client, "250 2.1.5 late");
			hears(&client, "250 2.0.0 Ok: queued");
			assert_true(span_eq(buf_span(&house.server[0].body), buf_span(&body)));
		}
		assert_true(chunk_pool_used(net_chunks(house.loop)) < 4 * 1024 * 1024);
		quits(&client);
		house_close(&house);
	}
	buf_clear(&body);
}

/* ---- flaws ---- */

static void flaws_are_refused(void **state)
{
	struct {
		const char *body, *reply;
	} cases[] = {
		{"a\nb\r\n.\r\n", "550 5.5.2 Bare CR or bare LF in the message"},
		{"%s\r\n.\r\n", "550 5.6.0 Line longer than 998 octets in the message"},
	};

	(void)state;
	for (int i = 0; i < 4; i++) {
		struct house house;
		struct client client;
		char line[1200], body[1300];

		memset(line, 'x', 999);
		line[999] = '\0';
		house_open(&house, ONE LISTENER);
		client_open(&house, &client);
		envelope(&client);
		snprintf(body, sizeof(body), cases[i / 2].body, line);
		if (i % 2) { /* as a chunk */
			body[strlen(body) - 3] = '\0';
			snprintf(line, sizeof(line), "BDAT %zu LAST\r\n", strlen(body));
			says(&client, line);
		} else {
			asks(&client, "DATA", "354");
		}
		says(&client, body);
		hears(&client, cases[i / 2].reply);
		hears_the_end(&client);
		client_close(&client);
		logged(&house, "\"reason\":\"message refused\"");
		assert_int_equal(house_sum(&house, M_LISTENER_refused), 1);
		assert_int_equal(house.server[0].committed, 0);
		house_close(&house);
	}
}

/* A NUL, in a chunk that came before the recipient was answered. */
static void a_flaw_answers_who_waits(void **state)
{
	struct house house;
	struct client client;

	(void)state;
	house_open(&house, ONE LISTENER);
	client_open(&house, &client);
	house.server[0].rcpt = NULL;
	says(&client, SENDER "\r\n" RECIPIENT "\r\nBDAT 1\r\nxBDAT 3 LAST\r\n");
	says_bytes(&client, "a\0b", 3);
	hears(&client, "250 2.1.0");
	hears(&client, "550 5.6.0 NUL in the message");
	hears(&client, "554 5.5.1 No valid recipients");
	hears(&client, "503 5.5.1 Bad sequence: what came before was refused");
	hears_the_end(&client);
	client_close(&client);
	house_close(&house);
}

/* Too large is no crime: the session goes on. */
static void too_large_is_said_and_the_session_goes_on(void **state)
{
	struct house house;
	struct client client;
	struct buf body = {0};

	(void)state;
	house_open(&house, ONE "listener in { max-size 2KiB; send-to p; relay-from 127.0.0.0/8; }");
	client_open(&house, &client);
	asks(&client, SENDER " SIZE=2049", "552 5.3.4 Message larger than 2048 bytes");
	make_body(&body, 3000);
	envelope(&client);
	sends_by_data(&client, &body);
	hears(&client, "552 5.3.4 Message larger than 2048 bytes");
	body.len = 1000;
	buf_add_text(&body, "\r\n");
	envelope(&client);
	sends_by_data(&client, &body);
	hears(&client, "250 2.0.0 Ok: queued");
	/* The same as a chunk, while the recipient waits. */
	house.server[0].rcpt = NULL;
	says(&client, SENDER "\r\n" RECIPIENT "\r\nBDAT 2049 LAST\r\n");
	buf_reset(&body);
	make_body(&body, 2049);
	says_bytes(&client, body.at, 2049);
	hears(&client, "250 2.1.0");
	hears(&client, "552 5.3.4 Message larger than 2048 bytes");
	hears(&client, "552 5.3.4 Message larger than 2048 bytes");
	asks(&client, "NOOP", "250");
	quits(&client);
	buf_clear(&body);
	house_close(&house);
}

static void long_lines_pass_where_they_may(void **state)
{
	struct house house;
	struct client client;
	char line[2000];

	(void)state;
	memset(line, 'x', sizeof(line));
	memcpy(line + sizeof(line) - 3, "\r\n", 3);
	house_open(
		&house, ONE "listener in { long-lines pass; send-to p; relay-from 127.0.0.0/8; }");
	client_open(&house, &client);
	envelope(&client);
	asks(&client, "DATA", "354");
	says(&client, line);
	asks(&client, ".", "250 2.0.0 Ok: queued");
	server_has(&house.server[0], line);
	quits(&client);
	house_close(&house);
}

/* ---- what a client may ask for ---- */

/* Before a server was seen only what we do ourselves is offered. */
static void what_is_not_offered_is_refused_at_once(void **state)
{
	struct house house;
	struct client client;

	(void)state;
	house_open(&house, ONE LISTENER);
	client_open(&house, &client);
	assert_string_equal(client.reply,
		"250-mw.test\r\n250-PIPELINING\r\n250-SIZE 52428800\r\n250-CHUNKING\r\n"
		"250-ENHANCEDSTATUSCODES\r\n250 HELP\r\n");
	asks(&client, SENDER " SMTPUTF8", "550 5.6.7 No server that offers SMTPUTF8");
	asks(&client, SENDER " BODY=8BITMIME", "555 5.5.4 Unsupported parameter: BODY=8BITMIME");
	asks(&client, SENDER " RET=HDRS", "555 5.5.4 Unsupported parameter: RET");
	asks(&client, SENDER " ENVID=x", "555 5.5.4 Unsupported parameter: ENVID");
	asks(&client, SENDER " BODY=7BIT", "250 2.1.0");
	asks(&client, RECIPIENT " NOTIFY=NEVER", "555 5.5.4 Unsupported parameter: NOTIFY");
	asks(&client, RECIPIENT " ORCPT=a;b", "555 5.5.4 Unsupported parameter: ORCPT");
	asks(&client, "HELO client.test", "250 mw.test");
	asks(&client, SENDER " RET=HDRS", "555 5.5.4 Unsupported parameter: RET");
	quits(&client);
	house_close(&house);
}

static void parameters_travel_to_the_server(void **state)
{
	struct house house;
	struct client client;

	(void)state;
	house_open(&house, ONE LISTENER);
	house.server[0].ehlo = RICH_EHLO;
	client_open(&house, &client);
	envelope(&client);
	asks(&client, "EHLO client.test", "250-mw.test\r\n250-PIPELINING\r\n250-SIZE 5000\r\n");
	assert_non_null(strstr(client.reply, "250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n"));
	buf_reset(&house.server[0].heard);
	asks(&client, SENDER " SIZE=100 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=x", "250 2.1.0");
	asks(&client, "RCPT TO:<@a,@b:\xc3\xa4@to.test> NOTIFY=NEVER ORCPT=rfc822;r@to.test",
		"250 2.1.5");
	server_heard(&house.server[0],
		"RSET\n" SENDER " SIZE=100 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=x\n"
		"RCPT TO:<@a,@b:\xc3\xa4@to.test> NOTIFY=NEVER ORCPT=rfc822;r@to.test\n");
	asks(&client, "RSET", "250");
	asks(&client, SENDER " BODY=7BIT", "250 2.1.0");
	asks(&client, RECIPIENT, "250 2.1.5");
	server_heard(&house.server[0], "RSET\n" SENDER " BODY=7BIT\n" RECIPIENT "\n");
	asks(&client, "RSET", "250");
	asks(&client, SENDER " ENVID=x", "250 2.1.0");
	asks(&client, RECIPIENT " ORCPT=rfc822;r@to.test", "250 2.1.5");
	server_heard(&house.server[0],
		"RSET\n" SENDER " ENVID=x\n" RECIPIENT " ORCPT=rfc822;r@to.test\n");
	quits(&client);
	house_close(&house);
}

/* What the client was offered and no server has any more is a matter of time, not of the message.
 */
static void what_was_offered_and_is_gone(void **state)
{
	struct house house;
	struct client client;

	(void)state;
	house_open(&house, ONE LISTENER);
	house.server[0].ehlo = RICH_EHLO;
	client_open(&house, &client);
	envelope(&client);
	asks(&client, "EHLO client.test", "250-mw.test");
	server_hang_up(&house.server[0]);
	house.server[0].ehlo = PLAIN_EHLO;
	asks(&client, SENDER " BODY=8BITMIME", "250 2.1.0");
	asks(&client, RECIPIENT, "451 4.4.1 No server available");
	asks(&client, "RSET", "250");
	asks(&client, SENDER " SMTPUTF8", "250 2.1.0");
	asks(&client, RECIPIENT, "451 4.4.1 No server available");
	quits(&client);
	house_close(&house);
}

/* What a server has less than we is what is offered; what it has more, or doesn't say, is not. */
static void the_smaller_size_is_offered(void **state)
{
	static const char *const cases[][2] = {
		{"250-server\r\n250 SIZE 5000\r\n", "250-SIZE 5000\r\n"},
		{"250-server\r\n250 SIZE 50000\r\n", "250-SIZE 10240\r\n"},
		{"250-server\r\n250 SIZE\r\n", "250-SIZE 10240\r\n"},
	};

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct house house;
		struct client client;

		house_open(&house,
			ONE "listener in { max-size 10KiB; send-to p; relay-from 127.0.0.0/8; }");
		house.server[0].ehlo = cases[i][0];
		client_open(&house, &client);
		envelope(&client);
		asks(&client, "EHLO again", "250-mw.test");
		assert_non_null(strstr(client.reply, cases[i][1]));
		quits(&client);
		house_close(&house);
	}
}

/* `offer` promises what the servers don't have: then the recipient hears it. */
static void no_server_has_what_is_needed(void **state)
{
	struct {
		const char *mail, *rcpt, *reply;
	} const cases[] = {
		{SENDER " SMTPUTF8", RECIPIENT, "550 5.6.7 No server that offers SMTPUTF8"},
		{SENDER, RECIPIENT " NOTIFY=NEVER", "555 5.5.4 Unsupported parameter: DSN"},
		{SENDER " BODY=8BITMIME", RECIPIENT,
			"555 5.5.4 Unsupported parameter: BODY=8BITMIME"},
		{SENDER " SIZE=6000", RECIPIENT, "552 5.3.4 Message larger than 5000 bytes"},
	};
	struct house house;
	struct client client;

	(void)state;
	house_open(&house, ONE "listener in { offer SIZE 8BITMIME SMTPUTF8 DSN; send-to p;"
			       " relay-from 127.0.0.0/8; }");
	house.server[0].ehlo = "250-server\r\n250 SIZE 5000\r\n";
	client_open(&house, &client);
	assert_string_equal(client.reply,
		"250-mw.test\r\n250-SIZE 52428800\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 DSN\r\n");
	for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
		asks(&client, cases[i / 2].mail, "250 2.1.0");
		asks(&client, cases[i / 2].rcpt, cases[i / 2].reply);
		asks(&client, "RSET", "250");
	}
	quits(&client);
	house_close(&house);
}

static void recipients_are_limited(void **state)
{
	struct house house;
	struct client client;
	char line[64];

	(void)state;
	house_open(
		&house, ONE "listener in { max-recipients 9; send-to p; relay-from 127.0.0.0/8; }");
	client_open(&house, &client);
	asks(&client, SENDER, "250");
	for (int i = 0; i < 9; i++) {
		snprintf(line, sizeof(line), "RCPT TO:<r%d@to.test>", i);
		asks(&client, line, "250");
	}
	asks(&client, "RCPT TO:<one@too.many>", "452 4.5.3 Too many recipients");
	asks(&client, "BDAT 3 LAST\r\nx", "250 2.0.0 Ok: queued");
	logged(&house, "\"recipients\":9,\"recipients_accepted\":9");
	quits(&client);
	house_close(&house);
}

/* Nobody to send it to: whatever comes as a body goes nowhere. */
static void bodies_without_a_recipient(void **state)
{
	struct house house;
	struct client client;

	(void)state;
	house_open(&house, ONE LISTENER);
	client_open(&house, &client);
	says(&client, SENDER "\r\nRCPT TO:<bad@to.test>\r\nDATA\r\n");
	hears(&client, "250 2.1.0");
	hears(&client, "550 5.1.1");
	hears(&client, "554 5.5.1 No valid recipients");
	asks(&client, "RSET", "250");
	says(&client, SENDER "\r\nRCPT TO:<bad@to.test>\r\nBDAT 1\r\nxBDAT 3 LAST\r\ny\r\n");
	hears(&client, "250 2.1.0");
	hears(&client, "550 5.1.1");
	hears(&client, "554 5.5.1 No valid recipients");
	hears(&client, "5"); /* nothing can be expected behind a refused chunk */
	asks(&client, "RSET", "250");
	assert_int_equal(house.server[0].committed, 0);
	assert_int_equal(house_sum(&house, M_LISTENER_refused), 2);
	quits(&client);
	house_close(&house);
}

/* ---- the log's words ---- */

static void addresses_in_the_log(void **state)
{
	static const char *const configs[] = {
		LISTENER, "listener in { log-addresses full; send-to p; relay-from 127.0.0.0/8; }"};

	(void)state;
	for (int full = 0; full < 2; full++) {
		struct house house;
		struct client client;
		char config[300], line[64];

		snprintf(config, sizeof(config), "%s%s", ONE, configs[full]);
		house_open(&house, config);
		client_open(&house, &client);
		asks(&client, "MAIL FROM:<@relay.test:s@from.test>", "250");
		for (int i = 0; i < 25; i++) {
			snprintf(line, sizeof(line), "RCPT TO:<r%d@to%d.test>", i, i / 2);
			asks(&client, line, "250");
		}
		asks(&client, "RCPT TO:<Postmaster>", "250");
		asks(&client, "BDAT 3 LAST\r\nx", "250 2.0.0 Ok: queued");
		logged(&house, full ? "\"sender\":\"s@from.test\"" : "\"sender\":\"from.test\"");
		logged(&house,
			full ? "[\"r0@to0.test\",\"r1@to0.test\"," : "[\"to0.test\",\"to1.test\",");
		logged(&house, "\"recipients\":26");
		if (full)
			not_logged(&house, "r20@");
		asks(&client, "MAIL FROM:<>", "250");
		asks(&client, RECIPIENT, "250");
		asks(&client, "BDAT 3 LAST\r\nx", "250 2.0.0 Ok: queued");
		logged(&house, "\"helo\":\"client.test\",\"recipients_to\":");
		quits(&client);
		house_close(&house);
	}
}

/* The same value of the field leads to the same server. */
static void hashing_by_each_field(void **state)
{
	static const char *const fields[] = {
		"client", "sender", "sender-domain", "recipient", "recipient-domain"};

	(void)state;
	for (int i = 0; i < 5; i++) {
		struct house house;
		struct client client;
		char config[300];

		snprintf(config, sizeof(config),
			"pool p { balance hash %s; pass-client none; server a $0; server b $1;"
			" server c $2; }" LISTENER,
			fields[i]);
		house_open(&house, config);
		client_open(&house, &client);
		for (int n = 0; n < 4; n++) {
			envelope(&client);
			asks(&client, "BDAT 3 LAST\r\nx", "250 2.0.0 Ok: queued");
		}
		assert_true(house.server[0].committed == 4 || house.server[1].committed == 4 ||
			    house.server[2].committed == 4);
		quits(&client);
		house_close(&house);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_arrives),
		cmocka_unit_test(all_in_one_write),
		cmocka_unit_test(chunks_in_one_write),
		cmocka_unit_test(chunks_one_by_one),
		cmocka_unit_test(a_server_without_extensions),
		cmocka_unit_test(large_ones_stream),
		cmocka_unit_test(a_slow_server_holds_the_client_back),
		cmocka_unit_test(a_large_chunk_that_comes_too_early),
		cmocka_unit_test(flaws_are_refused),
		cmocka_unit_test(a_flaw_answers_who_waits),
		cmocka_unit_test(too_large_is_said_and_the_session_goes_on),
		cmocka_unit_test(long_lines_pass_where_they_may),
		cmocka_unit_test(what_is_not_offered_is_refused_at_once),
		cmocka_unit_test(parameters_travel_to_the_server),
		cmocka_unit_test(what_was_offered_and_is_gone),
		cmocka_unit_test(the_smaller_size_is_offered),
		cmocka_unit_test(no_server_has_what_is_needed),
		cmocka_unit_test(recipients_are_limited),
		cmocka_unit_test(bodies_without_a_recipient),
		cmocka_unit_test(addresses_in_the_log),
		cmocka_unit_test(hashing_by_each_field),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
