/*
 * Dialogues with a well-behaved client, whole and at every cut; the order of commands; replies that
 * the owner gives late.
 */
#include "test_smtp_help.h"

#include "smtp/client_private.h"
#include "smtp/server_private.h"

#define EHLO_HEARD "< 250-mx.example\\r\\n250-PIPELINING\\r\\n250 SIZE 1000\\r\\n\n"

static void one_message(enum when when)
{
	const struct dialogue dialogue = {
		.when = when,
		.group = {SPAN("EHLO c.example\r\n"), SPAN("MAIL FROM:<a@b>\r\n"),
			SPAN("RCPT TO:<c@d>\r\n"), SPAN("DATA\r\n"),
			SPAN("Subject: x\r\n\r\n..hi\r\n.\r\n"), SPAN("QUIT\r\n")},
	};

	same_at_every_cut(&dialogue, "C 0 EHLO c.example\n" EHLO_HEARD "C 1 MAIL FROM:<a@b>\n"
				     "< 250 2.1.0 Sender ok\\r\\n\n"
				     "C 2 RCPT TO:<c@d>\n"
				     "< 250 2.0.0 Ok\\r\\n\n"
				     "C 3 DATA\n"
				     "< 354 End data with <CR><LF>.<CR><LF>\\r\\n\n"
				     "B Subject: x\\r\\n\\r\\n.hi\\r\\n\n"
				     "E 4 last 0\n"
				     "< 250 2.0.0 19 octets received\\r\\n\n"
				     "C 5 QUIT\n"
				     "< 221 2.0.0 Bye\\r\\n\n");
}

static void test_one_message(void **state)
{
	(void)state;
	one_message(NOW);
	one_message(LATER);
}

static void test_pipelined(void **state)
{
	struct dialogue dialogue = {
		.group = {SPAN("EHLO c.example\r\n"),
			SPAN("MAIL FROM:<> SIZE=10\r\nRCPT TO:<c@d>\r\nRCPT TO:<bad@d>\r\n"
			     "rcpt to:<e@f>\r\nDATA\r\n"),
			SPAN("x\r\n.\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n"),
			SPAN(".\r\nRSET\r\nQUIT\r\n")},
	};

	(void)state;
	for (int when = NOW; when <= LATER_BACKWARDS; when++) {
		dialogue.when = (enum when)when;
		same_at_every_cut(&dialogue,
			"C 0 EHLO c.example\n" EHLO_HEARD
			"C 1 MAIL FROM:<> SIZE=10\nC 2 RCPT TO:<c@d>\nC 3 RCPT TO:<bad@d>\n"
			"C 4 rcpt to:<e@f>\nC 5 DATA\n"
			"< 250 2.1.0 Sender ok\\r\\n250 2.0.0 Ok\\r\\n"
			"554 5.7.1 Relay access denied\\r\\n250 2.0.0 Ok\\r\\n"
			"354 End data with <CR><LF>.<CR><LF>\\r\\n\n"
			"B x\\r\\n\nE 6 last 0\n"
			"C 7 MAIL FROM:<a@b>\nC 8 RCPT TO:<c@d>\nC 9 DATA\n"
			"< 250 2.0.0 3 octets received\\r\\n250 2.1.0 Sender ok\\r\\n"
			"250 2.0.0 Ok\\r\\n354 End data with <CR><LF>.<CR><LF>\\r\\n\n"
			"E 10 last 0\nC 11 RSET\nC 12 QUIT\n"
			"< 250 2.0.0 0 octets received\\r\\n250 2.0.0 Ok\\r\\n"
			"221 2.0.0 Bye\\r\\n\n");
	}
}

static void test_chunks(void **state)
{
	struct dialogue dialogue = {
		.group = {SPAN("EHLO c.example\r\n"),
			SPAN("MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 6\r\nab\r\n.\rBDAT 0\r\n"
			     "NOOP\r\nBDAT 3\r\n\nQUBDAT 4 LAST\r\nIT\r\nRSET\r\n"),
			SPAN("MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 0 LAST\r\nQUIT\r\n")},
	};

	(void)state;
	for (int when = NOW; when <= LATER_BACKWARDS; when++) {
		dialogue.when = (enum when)when;
		same_at_every_cut(&dialogue,
			"C 0 EHLO c.example\n" EHLO_HEARD
			"C 1 MAIL FROM:<a@b>\nC 2 RCPT TO:<c@d>\nC 3 BDAT 6\n"
			"B ab\\r\\n.\\r\nE 3 more 0\nC 4 BDAT 0\nE 4 more 0\nA 250\n"
			"C 6 BDAT 3\nB \\nQU\nE 6 more 0\nC 7 BDAT 4 LAST\n"
			"B IT\\r\\n\nE 7 last 0\nC 8 RSET\n"
			"< 250 2.1.0 Sender ok\\r\\n250 2.0.0 Ok\\r\\n"
			"250 2.0.0 6 octets received\\r\\n250 2.0.0 6 octets received\\r\\n"
			"250 2.0.0 Ok\\r\\n250 2.0.0 9 octets received\\r\\n"
			"250 2.0.0 13 octets received\\r\\n250 2.0.0 Ok\\r\\n\n"
			"C 9 MAIL FROM:<a@b>\nC 10 RCPT TO:<c@d>\nC 11 BDAT 0 LAST\n"
			"E 11 last 0\nC 12 QUIT\n"
			"< 250 2.1.0 Sender ok\\r\\n250 2.0.0 Ok\\r\\n"
			"250 2.0.0 0 octets received\\r\\n221 2.0.0 Bye\\r\\n\n");
	}
}

static void test_rset_amid_chunks(void **state)
{
	const struct dialogue dialogue = {
		.group = {SPAN("HELO c\r\n"),
			SPAN("MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 2\r\nxyRSET\r\n"
			     "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 1 LAST\r\nz")},
	};

	(void)state;
	same_at_every_cut(&dialogue,
		"C 0 HELO c\n< 250 mx.example\\r\\n\n"
		"C 1 MAIL FROM:<a@b>\nC 2 RCPT TO:<c@d>\nC 3 BDAT 2\nB xy\nE 3 more 0\n"
		"C 4 RSET\nC 5 MAIL FROM:<a@b>\nC 6 RCPT TO:<c@d>\nC 7 BDAT 1 LAST\nB z\n"
		"E 7 last 0\n"
		"< 250 2.1.0 Sender ok\\r\\n250 2.0.0 Ok\\r\\n250 2.0.0 2 octets received\\r\\n"
		"250 2.0.0 Ok\\r\\n250 2.1.0 Sender ok\\r\\n250 2.0.0 Ok\\r\\n"
		"250 2.0.0 1 octets received\\r\\n\n");
}

/* What depends on a refused MAIL is refused with it, by us, though the owner said otherwise. */
static void test_refused_mail_voids_what_follows(void **state)
{
	struct dialogue dialogue = {
		.when = LATER,
		.group = {SPAN("EHLO c\r\n"),
			SPAN("MAIL FROM:<bad@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n"),
			SPAN("MAIL FROM:<bad@b>\r\nRCPT TO:<c@d>\r\nBDAT 1 LAST\r\nxNOOP\r\n"),
			SPAN("MAIL FROM:<a@b>\r\n")},
	};
	static const char expected[] =
		"C 0 EHLO c\n" EHLO_HEARD "C 1 MAIL FROM:<bad@b>\nC 2 RCPT TO:<c@d>\nC 3 DATA\n"
		"< 554 5.7.1 Relay access denied\\r\\n"
		"503 5.5.1 Bad sequence: what came before was refused\\r\\n"
		"503 5.5.1 Bad sequence: what came before was refused\\r\\n\n"
		"C 4 MAIL FROM:<bad@b>\nC 5 RCPT TO:<c@d>\nC 6 BDAT 1 LAST\nB x\nE 6 last 0\n"
		"A 250\n"
		"< 554 5.7.1 Relay access denied\\r\\n"
		"503 5.5.1 Bad sequence: what came before was refused\\r\\n"
		"503 5.5.1 Bad sequence: what came before was refused\\r\\n250 2.0.0 Ok\\r\\n\n"
		"C 8 MAIL FROM:<a@b>\n< 250 2.1.0 Sender ok\\r\\n\n";

	(void)state;
	same_at_every_cut(&dialogue, expected);
	dialogue.when = LATER_BACKWARDS;
	same_at_every_cut(&dialogue, expected);
	/* Answered at once, the rest is judged when it comes. */
	dialogue.when = NOW;
	same_at_every_cut(&dialogue,
		"C 0 EHLO c\n" EHLO_HEARD "C 1 MAIL FROM:<bad@b>\nA 503\nA 503\n"
		"< 554 5.7.1 Relay access denied\\r\\n503 5.5.1 Bad sequence: MAIL first\\r\\n"
		"503 5.5.1 Bad sequence: MAIL first\\r\\n\n"
		"C 4 MAIL FROM:<bad@b>\nA 503\nA 503\nA 250\n"
		"< 554 5.7.1 Relay access denied\\r\\n503 5.5.1 Bad sequence: MAIL first\\r\\n"
		"503 5.5.1 Bad sequence: this chunk was not expected\\r\\n250 2.0.0 Ok\\r\\n\n"
		"C 8 MAIL FROM:<a@b>\n< 250 2.1.0 Sender ok\\r\\n\n");
}

/* ---- a server by hand ---- */

struct desk {
	struct chunk_pool *pool;
	struct smtp_server *server;
	struct smtp_server_event event;
};

static void desk_open(struct desk *desk)
{
	const struct smtp_server_rules rules = {0};

	*desk = (struct desk){.pool = chunk_pool_new()};
	desk->server = smtp_server_new(desk->pool, &rules);
}

static void desk_close(struct desk *desk)
{
	smtp_server_free(&desk->server);
	chunk_pool_free(&desk->pool);
}

static size_t desk_next(struct desk *desk, const char *text)
{
	return smtp_server_next(desk->server, span_of(text), &desk->event);
}

/* Feed one line, which must come to the owner; returns its slot. */
static unsigned desk_ask(struct desk *desk, const char *line)
{
	assert_int_equal(desk_next(desk, line), strlen(line));
	assert_int_equal(desk->event.kind, SRV_COMMAND);
	return desk->event.slot;
}

static void desk_hears(struct desk *desk, const char *expected)
{
	struct chain *out = smtp_server_out(desk->server);
	char text[1024] = "";

	assert_true(out->len < sizeof(text));
	text[chain_copy(out, 0, text, out->len)] = '\0';
	chain_eat(out, out->len);
	assert_string_equal(text, expected);
}

static void desk_greet(struct desk *desk)
{
	smtp_server_own(desk->server, desk_ask(desk, "HELO c\r\n"), SMTP_OWN_HELO, "h");
	desk_hears(desk, "250 h\r\n");
}

static void test_replies_leave_in_order(void **state)
{
	struct desk desk;
	unsigned mail, one, two, data;

	(void)state;
	desk_open(&desk);
	desk_greet(&desk);
	mail = desk_ask(&desk, "MAIL FROM:<a@b>\r\n");
	one = desk_ask(&desk, "RCPT TO:<a@b>\r\n");
	two = desk_ask(&desk, "RCPT TO:<c@d>\r\n");
	data = desk_ask(&desk, "DATA\r\n");
	assert_int_equal(smtp_server_pending(desk.server), 4);
	smtp_server_own(desk.server, data, SMTP_OWN_GO_AHEAD, NULL);
	smtp_server_own(desk.server, two, SMTP_OWN_RELAY_DENIED, NULL);
	desk_hears(&desk, "");
	smtp_server_own(desk.server, mail, SMTP_OWN_SENDER_OK, NULL);
	desk_hears(&desk, "250 2.1.0 Sender ok\r\n");
	assert_false(smtp_server_in_body(desk.server));
	smtp_server_own(desk.server, one, SMTP_OWN_OK, NULL);
	assert_true(smtp_server_in_body(desk.server));
	desk_hears(&desk, "250 2.0.0 Ok\r\n554 5.7.1 Relay access denied\r\n"
			  "354 End data with <CR><LF>.<CR><LF>\r\n");
	assert_int_equal(smtp_server_pending(desk.server), 0);
	desk_close(&desk);
}

static void test_words_of_a_server_pass_as_they_are(void **state)
{
	const struct smtp_reply reply = {
		.code = 550, .wire = SPAN("550-5.1.1 No\r\n550 5.1.1 b\r\n")};
	struct desk desk;

	(void)state;
	desk_open(&desk);
	desk_greet(&desk);
	smtp_server_own(desk.server, desk_ask(&desk, "MAIL FROM:<>\r\n"), SMTP_OWN_SENDER_OK, NULL);
	smtp_server_reply(desk.server, desk_ask(&desk, "RCPT TO:<a@b>\r\n"), &reply);
	desk_hears(&desk, "250 2.1.0 Sender ok\r\n550-5.1.1 No\r\n550 5.1.1 b\r\n");
	/* The only recipient is gone, so there is nobody to send data to. */
	assert_int_equal(desk_next(&desk, "DATA\r\n"), 6);
	assert_int_equal(desk.event.kind, SRV_ANSWERED);
	desk_hears(&desk, "503 5.5.1 Bad sequence: RCPT or RSET first\r\n");
	desk_close(&desk);
}

static void test_421_is_the_last_reply(void **state)
{
	struct desk desk;
	unsigned mail, one, two;

	(void)state;
	desk_open(&desk);
	desk_greet(&desk);
	mail = desk_ask(&desk, "MAIL FROM:<a@b>\r\n");
	one = desk_ask(&desk, "RCPT TO:<a@b>\r\n");
	two = desk_ask(&desk, "RCPT TO:<c@d>\r\n");
	smtp_server_own(desk.server, two, SMTP_OWN_OK, NULL);
	smtp_server_own(desk.server, one, SMTP_OWN_DRAINING, NULL);
	assert_true(smtp_server_quitting(desk.server));
	assert_int_equal(smtp_server_pending(desk.server), 1);
	smtp_server_own(desk.server, mail, SMTP_OWN_SENDER_OK, NULL);
	desk_hears(&desk, "250 2.1.0 Sender ok\r\n"
			  "421 4.3.2 This balancer is going down, please come back at once\r\n");
	assert_int_equal(smtp_server_pending(desk.server), 0);
	assert_int_equal(desk_next(&desk, "NOOP\r\n"), 6);
	assert_int_equal(desk.event.kind, SRV_MORE);
	desk_hears(&desk, "");
	desk_close(&desk);
}

static void test_a_last_word_drops_the_slots(void **state)
{
	struct desk desk;
	unsigned mail, one;

	(void)state;
	desk_open(&desk);
	smtp_server_say(desk.server, SMTP_OWN_BANNER, "mx.example");
	desk_hears(&desk, "220 mx.example ESMTP Mailweir\r\n");
	desk_greet(&desk);
	mail = desk_ask(&desk, "MAIL FROM:<a@b>\r\n");
	one = desk_ask(&desk, "RCPT TO:<a@b>\r\n");
	smtp_server_own(desk.server, one, SMTP_OWN_OK, NULL);
	smtp_server_say(desk.server, SMTP_OWN_IDLE, NULL);
	assert_int_equal(smtp_server_pending(desk.server), 0);
	smtp_server_own(desk.server, mail, SMTP_OWN_SENDER_OK, NULL); /* too late, and no error */
	desk_hears(&desk, "421 4.4.2 Time-out waiting for a command\r\n");
	assert_true(smtp_server_quitting(desk.server));
	desk_close(&desk);
}

/* A message whose verdict is open holds the next one back, and QUIT and RSET what is pending. */
static void test_one_transaction_at_a_time(void **state)
{
	struct desk desk;
	unsigned rcpt, end;

	(void)state;
	desk_open(&desk);
	desk_greet(&desk);
	smtp_server_own(desk.server, desk_ask(&desk, "MAIL FROM:<>\r\n"), SMTP_OWN_SENDER_OK, NULL);
	rcpt = desk_ask(&desk, "RCPT TO:<a@b>\r\n");
	assert_int_equal(desk_next(&desk, "RSET\r\n"), 0);
	assert_int_equal(desk.event.kind, SRV_MORE);
	assert_int_equal(desk_next(&desk, "QUIT\r\n"), 0);
	assert_int_equal(desk_next(&desk, "EHLO x\r\n"), 0);
	smtp_server_own(desk.server, rcpt, SMTP_OWN_OK, NULL);
	desk_ask(&desk, "BDAT 1 LAST\r\n");
	assert_int_equal(smtp_server_pending(desk.server), 0); /* its octets are still to come */
	assert_int_equal(desk_next(&desk, "xMAIL FROM:<>\r\n"), 1);
	assert_int_equal(desk.event.kind, SRV_BODY);
	assert_int_equal(desk_next(&desk, "MAIL FROM:<>\r\n"), 0);
	assert_int_equal(desk.event.kind, SRV_BODY_END);
	end = desk.event.slot;
	assert_int_equal(smtp_server_pending(desk.server), 1);
	assert_int_equal(desk_next(&desk, "MAIL FROM:<>\r\n"), 0);
	assert_int_equal(desk.event.kind, SRV_MORE);
	assert_false(smtp_server_between(desk.server));
	smtp_server_own(desk.server, end, SMTP_OWN_OK, NULL);
	assert_true(smtp_server_between(desk.server));
	desk_ask(&desk, "MAIL FROM:<>\r\n");
	assert_false(smtp_server_between(desk.server));
	desk_close(&desk);
}

static void test_refused_data_leaves_the_transaction_open(void **state)
{
	struct desk desk;

	(void)state;
	desk_open(&desk);
	desk_greet(&desk);
	smtp_server_own(desk.server, desk_ask(&desk, "MAIL FROM:<>\r\n"), SMTP_OWN_SENDER_OK, NULL);
	smtp_server_own(desk.server, desk_ask(&desk, "RCPT TO:<a@b>\r\n"), SMTP_OWN_OK, NULL);
	smtp_server_own(desk.server, desk_ask(&desk, "DATA\r\n"), SMTP_OWN_NO_SERVER, NULL);
	desk_hears(&desk, "250 2.1.0 Sender ok\r\n250 2.0.0 Ok\r\n"
			  "451 4.4.1 No server available at the moment\r\n");
	desk_next(&desk, "MAIL FROM:<>\r\n");
	assert_int_equal(desk.event.kind, SRV_ANSWERED);
	desk_hears(&desk, "503 5.5.1 Bad sequence: RSET first\r\n");
	smtp_server_own(desk.server, desk_ask(&desk, "RSET\r\n"), SMTP_OWN_OK, NULL);
	smtp_server_own(desk.server, desk_ask(&desk, "MAIL FROM:<>\r\n"), SMTP_OWN_SENDER_OK, NULL);
	desk_close(&desk);
}

/* RFC 3030 2: a refused chunk ends the message; those behind it are swallowed. */
static void test_refused_chunk(void **state)
{
	struct desk desk;
	unsigned first, second;

	(void)state;
	desk_open(&desk);
	desk_greet(&desk);
	smtp_server_own(desk.server, desk_ask(&desk, "MAIL FROM:<>\r\n"), SMTP_OWN_SENDER_OK, NULL);
	smtp_server_own(desk.server, desk_ask(&desk, "RCPT TO:<a@b>\r\n"), SMTP_OWN_OK, NULL);
	first = desk_ask(&desk, "BDAT 0\r\n");
	desk_next(&desk, "");
	assert_int_equal(desk.event.kind, SRV_BODY_END);
	second = desk_ask(&desk, "BDAT 0\r\n");
	desk_next(&desk, "");
	assert_int_equal(desk.event.kind, SRV_BODY_END);
	desk_hears(&desk, "250 2.1.0 Sender ok\r\n250 2.0.0 Ok\r\n");
	smtp_server_own(desk.server, first, SMTP_OWN_NO_SERVER, NULL);
	smtp_server_own(desk.server, second, SMTP_OWN_OK, NULL);
	desk_hears(&desk, "451 4.4.1 No server available at the moment\r\n"
			  "503 5.5.1 Bad sequence: what came before was refused\r\n");
	assert_int_equal(desk_next(&desk, "BDAT 6 LAST\r\n"), 13);
	assert_int_equal(desk.event.kind, SRV_MORE);
	assert_true(smtp_server_in_body(desk.server));
	assert_int_equal(desk_next(&desk, "QUIT\r\nRSET\r\n"), 6);
	assert_int_equal(desk.event.kind, SRV_ANSWERED);
	desk_hears(&desk, "503 5.5.1 Bad sequence: this chunk was not expected\r\n");
	desk_ask(&desk, "RSET\r\n");
	desk_close(&desk);
}

/* A message whose end is answered before its first chunk: the next waits for both. */
static void test_the_next_transaction_waits_for_every_answer(void **state)
{
	struct desk desk;
	unsigned first, last;

	(void)state;
	desk_open(&desk);
	desk_greet(&desk);
	smtp_server_own(desk.server, desk_ask(&desk, "MAIL FROM:<>\r\n"), SMTP_OWN_SENDER_OK, NULL);
	smtp_server_own(desk.server, desk_ask(&desk, "RCPT TO:<a@b>\r\n"), SMTP_OWN_OK, NULL);
	first = desk_ask(&desk, "BDAT 0\r\n");
	desk_next(&desk, "");
	last = desk_ask(&desk, "BDAT 0 LAST\r\n");
	desk_next(&desk, "");
	smtp_server_own(desk.server, last, SMTP_OWN_OK, NULL);
	assert_int_equal(desk_next(&desk, "MAIL FROM:<>\r\n"), 0);
	assert_int_equal(desk.event.kind, SRV_MORE);
	smtp_server_own(desk.server, first, SMTP_OWN_NO_SERVER, NULL);
	desk_hears(&desk, "250 2.1.0 Sender ok\r\n250 2.0.0 Ok\r\n"
			  "451 4.4.1 No server available at the moment\r\n"
			  "503 5.5.1 Bad sequence: what came before was refused\r\n");
	desk_ask(&desk, "MAIL FROM:<>\r\n");
	desk_close(&desk);
}

/* What a refused MAIL takes with it is answered 503, but who says 421 means the session. */
static void test_421_is_said_behind_a_refused_sender(void **state)
{
	struct desk desk;
	unsigned mail, rcpt;

	(void)state;
	for (int early = 0; early < 2; early++) {
		desk_open(&desk);
		desk_greet(&desk);
		mail = desk_ask(&desk, "MAIL FROM:<a@b>\r\n");
		rcpt = desk_ask(&desk, "RCPT TO:<a@b>\r\n");
		if (early)
			smtp_server_own(desk.server, rcpt, SMTP_OWN_DRAINING, NULL);
		smtp_server_own(desk.server, mail, SMTP_OWN_RELAY_DENIED, NULL);
		if (!early)
			smtp_server_own(desk.server, rcpt, SMTP_OWN_DRAINING, NULL);
		desk_hears(&desk,
			"554 5.7.1 Relay access denied\r\n"
			"421 4.3.2 This balancer is going down, please come back at once\r\n");
		assert_true(smtp_server_quitting(desk.server));
		desk_close(&desk);
	}
}

static void test_a_refused_greeting_greets_nobody(void **state)
{
	const struct smtp_reply no = {.code = 550, .wire = SPAN("550 Not you\r\n")};
	struct desk desk;

	(void)state;
	desk_open(&desk);
	smtp_server_reply(desk.server, desk_ask(&desk, "EHLO c\r\n"), &no);
	desk_hears(&desk, "550 Not you\r\n");
	desk_next(&desk, "MAIL FROM:<>\r\n");
	assert_int_equal(desk.event.kind, SRV_ANSWERED);
	desk_hears(&desk, "503 5.5.1 Bad sequence: EHLO or HELO first\r\n");
	desk_close(&desk);
}

static void test_none_is_freed(void **state)
{
	struct smtp_server *server = NULL;

	(void)state;
	smtp_server_free(&server);
	assert_null(server);
}

/* Neither inside a chunk that nobody expected, nor once QUIT is read, is a message border. */
static void test_not_between(void **state)
{
	struct desk desk;

	(void)state;
	desk_open(&desk);
	desk_greet(&desk);
	assert_true(smtp_server_between(desk.server));
	desk_next(&desk, "BDAT 2\r\n");
	assert_false(smtp_server_between(desk.server));
	desk_next(&desk, "xy");
	assert_int_equal(desk.event.kind, SRV_ANSWERED);
	assert_true(smtp_server_between(desk.server));
	smtp_server_own(desk.server, desk_ask(&desk, "QUIT\r\n"), SMTP_OWN_BYE, NULL);
	assert_false(smtp_server_between(desk.server));
	desk_close(&desk);
}

/* It is asked again when nothing has come, as after a time-out that was not one. */
static void test_no_octets_within_a_long_line(void **state)
{
	struct desk desk;
	char piece[SMTP_COMMAND_LINE + 1];

	(void)state;
	memset(piece, 'x', sizeof(piece) - 1);
	piece[sizeof(piece) - 2] = '\r';
	piece[sizeof(piece) - 1] = '\0';
	desk_open(&desk);
	desk_greet(&desk);
	assert_int_equal(desk_next(&desk, piece), sizeof(piece) - 1);
	assert_int_equal(desk_next(&desk, ""), 0);
	assert_int_equal(desk.event.kind, SRV_MORE);
	assert_false(smtp_server_between(desk.server));
	/* The CR before it still counts. */
	assert_int_equal(desk_next(&desk, "\nNOOP\r\n"), 1);
	assert_int_equal(desk.event.own, SMTP_OWN_LINE_TOO_LONG);
	assert_true(smtp_server_between(desk.server));
	desk_close(&desk);
}

static void test_between(void **state)
{
	struct desk desk;
	unsigned slot;

	(void)state;
	desk_open(&desk);
	assert_true(smtp_server_between(desk.server));
	assert_int_equal(desk_next(&desk, "EHL"), 0);
	assert_false(smtp_server_between(desk.server));
	slot = desk_ask(&desk, "EHLO c\r\n");
	assert_false(smtp_server_between(desk.server));
	smtp_server_own(desk.server, slot, SMTP_OWN_HELO, "h");
	desk_hears(&desk, "250 h\r\n");
	assert_true(smtp_server_between(desk.server));
	smtp_server_own(desk.server, desk_ask(&desk, "MAIL FROM:<>\r\n"), SMTP_OWN_SENDER_OK, NULL);
	assert_false(smtp_server_between(desk.server));
	smtp_server_own(desk.server, desk_ask(&desk, "QUIT\r\n"), SMTP_OWN_BYE, NULL);
	assert_true(smtp_server_quitting(desk.server));
	assert_false(smtp_server_between(desk.server));
	desk_close(&desk);
}

static void test_ehlo_reply(void **state)
{
	const struct smtp_offer all = {
		.caps = SMTP_CAP_SEEN | SMTP_CAP_SIZE | SMTP_CAP_PIPELINING | SMTP_CAP_HELP,
		.size = 10240000};
	const struct smtp_offer some = {.caps = SMTP_CAP_SIZE};
	const struct smtp_offer none = {0};
	struct desk desk;

	(void)state;
	desk_open(&desk);
	smtp_server_reply_ehlo(desk.server, desk_ask(&desk, "EHLO a\r\n"), "h", &all);
	desk_hears(&desk, "250-h\r\n250-PIPELINING\r\n250-SIZE 10240000\r\n250 HELP\r\n");
	smtp_server_reply_ehlo(desk.server, desk_ask(&desk, "ehlo [IPv6:::1]\r\n"), "h", &some);
	desk_hears(&desk, "250-h\r\n250 SIZE\r\n");
	smtp_server_reply_ehlo(desk.server, desk_ask(&desk, "EHLO a_b\r\n"), "h", &none);
	desk_hears(&desk, "250 h\r\n");
	desk_close(&desk);
}

/* An idle session holds no chunk, and little memory of its own. */
static void test_idle_is_small(void **state)
{
	struct desk desk;

	(void)state;
	desk_open(&desk);
	desk_greet(&desk);
	assert_int_equal(chunk_pool_used(desk.pool), 0);
	assert_true(sizeof(struct smtp_server) <= 256);
	assert_true(sizeof(struct smtp_client) <= 256);
	desk_close(&desk);
}

/* A client that never waits for replies is held back, not stored. */
static void test_unanswered_commands_are_bounded(void **state)
{
	struct desk desk;
	unsigned first = 0, count = 0;

	(void)state;
	desk_open(&desk);
	desk_greet(&desk);
	smtp_server_own(desk.server, desk_ask(&desk, "MAIL FROM:<>\r\n"), SMTP_OWN_SENDER_OK, NULL);
	first = desk_ask(&desk, "RCPT TO:<a@b>\r\n");
	while (desk_next(&desk, "RCPT TO:<a@b>\r\n") > 0)
		count++;
	assert_int_equal(desk.event.kind, SRV_MORE);
	assert_int_equal(count, 999);
	assert_int_equal(desk_next(&desk, "NOOP\r\n"), 0);
	for (unsigned i = count; i > 0; i--)
		smtp_server_own(desk.server, first + i, SMTP_OWN_OK, NULL);
	assert_int_equal(desk_next(&desk, "NOOP\r\n"), 0);
	smtp_server_own(desk.server, first, SMTP_OWN_OK, NULL);
	assert_int_equal(smtp_server_pending(desk.server), 0);
	assert_int_equal(desk_next(&desk, "NOOP\r\n"), 6);
	assert_int_equal(desk.event.kind, SRV_ANSWERED);
	desk_close(&desk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_message),
		cmocka_unit_test(test_pipelined),
		cmocka_unit_test(test_chunks),
		cmocka_unit_test(test_rset_amid_chunks),
		cmocka_unit_test(test_refused_mail_voids_what_follows),
		cmocka_unit_test(test_replies_leave_in_order),
		cmocka_unit_test(test_words_of_a_server_pass_as_they_are),
		cmocka_unit_test(test_421_is_the_last_reply),
		cmocka_unit_test(test_a_last_word_drops_the_slots),
		cmocka_unit_test(test_one_transaction_at_a_time),
		cmocka_unit_test(test_refused_data_leaves_the_transaction_open),
		cmocka_unit_test(test_refused_chunk),
		cmocka_unit_test(test_the_next_transaction_waits_for_every_answer),
		cmocka_unit_test(test_421_is_said_behind_a_refused_sender),
		cmocka_unit_test(test_a_refused_greeting_greets_nobody),
		cmocka_unit_test(test_none_is_freed),
		cmocka_unit_test(test_between),
		cmocka_unit_test(test_not_between),
		cmocka_unit_test(test_no_octets_within_a_long_line),
		cmocka_unit_test(test_ehlo_reply),
		cmocka_unit_test(test_idle_is_small),
		cmocka_unit_test(test_unanswered_commands_are_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
