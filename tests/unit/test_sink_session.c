/*
 * The sink as a healthy server: what it says, what it writes down, what it refuses.
 */
#include "test_sink_help.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>

static struct play play;

static int close_play(void **state)
{
	(void)state;
	if (play.sink)
		play_close(&play);
	return 0;
}

static void test_data(void **state)
{
	(void)state;
	struct buf line = {0};
	play_open(&play, "");
	play_greet(&play);
	play_envelope(&play);
	play_say(&play, "DATA\r\n");
	play_expect_last(&play, "354 ");
	play_say(&play, "X-Ledger-Id: t.1\r\n\r\n..dot\r\n.\r\n");
	play_expect(&play, "250 2.0.0 Ok: queued as s1-1\r\n");
	assert_int_equal(sys_file_read(play.ledger, 4096, &line, NULL), ERR_OK);
	assert_non_null(strstr(buf_string(&line), "\"id\":\"t.1\",\"octets\":26,"));
	assert_non_null(strstr(
		buf_string(&line), "\"sender\":\"<a@x.org>\",\"recipients\":[\"<b@y.org>\"]}\n"));
	buf_clear(&line);
	play_say(&play, "QUIT\r\n");
	play_expect(&play, "221 2.0.0 Bye\r\n");
	play_expect_eof(&play, false);
	PLAY_UNTIL(&play, sink_totals(play.sink)->open == 0);
	assert_int_equal(sink_totals(play.sink)->accepted, 1);
	assert_int_equal(sink_totals(play.sink)->octets, 26);
}

static void test_chunks(void **state)
{
	(void)state;
	play_open(&play, "");
	play_greet(&play);
	play_say(&play, MAIL_ONE RCPT_ONE "BDAT 5\r\nX: y\rBDAT 1\r\n\nBDAT 2 LAST\r\n\r\n");
	play_expect(&play, "250 2.1.0 Sender ok\r\n250 2.1.5 Recipient ok\r\n"
			   "250 2.0.0 5 octets received\r\n250 2.0.0 6 octets received\r\n"
			   "250 2.0.0 Ok: queued as s1-1\r\n");
	play_say(&play, MAIL_ONE RCPT_ONE "BDAT 2 LAST\r\n\r\n");
	play_expect(&play, "250 2.1.0 Sender ok\r\n250 2.1.5 Recipient ok\r\n"
			   "250 2.0.0 Ok: queued as s1-2\r\n");
	assert_int_equal(play_ledger_lines(&play), 2);
}

static void test_every_cut(void **state)
{
	(void)state;
	static const char talk[] = "EHLO c\r\n";
	static const char rest[] = MAIL_ONE RCPT_ONE "RCPT TO:<c@y.org>\r\nDATA\r\n";
	static const char body[] = BODY_ONE ".\r\n" MAIL_ONE "RSET\r\n";
	play_open(&play, "");
	for (size_t cut = 1; cut < sizeof(body); cut += 3) {
		const char *const texts[] = {talk, rest, body};
		play_connect(&play);
		play_expect_last(&play, "220 ");
		for (int i = 0; i < 3; i++) {
			size_t len = strlen(texts[i]), first = cut < len ? cut : len;
			raw_say_bytes(&play.raw, texts[i], first);
			world_turn_for(&play.stage.world, 2 * MSEC);
			raw_say_bytes(&play.raw, texts[i] + first, len - first);
			play_expect_last(&play, i == 1 ? "354 " : "250 ");
		}
	}
	assert_int_equal(sink_totals(play.sink)->accepted, play_ledger_lines(&play));
	assert_true(sink_totals(play.sink)->accepted > 10);
	assert_int_equal(sink_totals(play.sink)->refused, 0);
}

static void test_disconnect_in_body_commits_nothing(void **state)
{
	(void)state;
	play_open(&play, "");
	play_greet(&play);
	play_say(&play, MAIL_ONE RCPT_ONE "BDAT 5000 LAST\r\n" BODY_ONE);
	play_expect_last(&play, "250 2.1.5 ");
	raw_finish(&play.raw);
	play_expect_eof(&play, false);
	assert_int_equal(play_ledger_lines(&play), 0);
}

static void test_flaws_are_refused(void **state)
{
	(void)state;
	play_open(&play, "");
	play_greet(&play);
	play_envelope(&play);
	play_say(&play, "DATA\r\n");
	play_expect_last(&play, "354 ");
	play_say(&play, "a\nb\r\n.\r\n");
	play_expect_last(&play, "550 5.5.2 ");
	assert_int_equal(play_ledger_lines(&play), 0);
	assert_int_equal(sink_totals(play.sink)->refused, 1);
}

static void test_lax_takes_bare_newlines(void **state)
{
	(void)state;
	play = (struct play){.raw = {.fd = -1}};
	play_setup(&play, (struct sink_setup){.lax = true});
	play_greet(&play);
	play_envelope(&play);
	play_say(&play, "DATA\r\n");
	play_expect_last(&play, "354 ");
	play_say(&play, "a\nb\r\n.\r\n");
	play_expect_last(&play, "250 ");
	assert_int_equal(sink_totals(play.sink)->octets, 5);
}

static void test_what_is_not_offered_is_refused(void **state)
{
	(void)state;
	play = (struct play){.raw = {.fd = -1}};
	play_setup(&play, (struct sink_setup){.offer = {.caps = SMTP_CAP_SIZE | SMTP_CAP_ENHANCED,
						      .size = 1000}});
	play_greet(&play);
	play_say(&play, "MAIL FROM:<a@x.org> SMTPUTF8\r\n");
	play_expect_last(&play, "555 5.5.4 Unsupported parameter: SMTPUTF8\r\n");
	play_say(&play, "MAIL FROM:<a@x.org> BODY=8BITMIME\r\n");
	play_expect_last(&play, "555 ");
	play_say(&play, "MAIL FROM:<a@x.org> SIZE=1001\r\n");
	play_expect_last(&play, "552 ");
	play_say(&play, "MAIL FROM:<a@x.org> SIZE=1000\r\n");
	play_expect_last(&play, "250 ");
	play_say(&play, "RCPT TO:<b@y.org> NOTIFY=NEVER\r\n");
	play_expect_last(&play, "555 ");
	assert_int_equal(sink_totals(play.sink)->unasked, 3);
	/* PIPELINING is not offered either. */
	play_say(&play, RCPT_ONE "NOOP\r\n");
	play_expect_last(&play, "250 2.0.0 ");
	assert_int_equal(sink_totals(play.sink)->unasked, 4);
	play_say(&play, "BDAT 2 LAST\r\n\r\n");
	play_expect_last(&play, "502 ");
	assert_int_equal(sink_totals(play.sink)->accepted, 0);
}

static void test_broken_protocol_ends(void **state)
{
	(void)state;
	play_open(&play, "");
	play_greet(&play);
	play_say(&play, MAIL_ONE RCPT_ONE "DATA\r\ntoo early\r\n.\r\n");
	PLAY_UNTIL(&play, raw_closed(&play.raw));
	assert_int_equal(sink_totals(play.sink)->broken, 1);
	assert_int_equal(play_ledger_lines(&play), 0);
}

static void test_client_that_reads_nothing(void **state)
{
	(void)state;
	struct buf many = {0};
	play_open(&play, "");
	play_connect(&play);
	play_expect_last(&play, "220 ");
	for (int i = 0; i < 1000; i++)
		buf_add_text(&many, "HELP\r\n");
	/* Replies are larger than commands: were they not held against the reader, they would pile
	 * up here. */
	for (int i = 0; i < 2000; i++) {
		ssize_t sent = send(play.raw.fd, many.at, many.len, MSG_NOSIGNAL);
		(void)sent;
		net_turn(play.stage.world.loop);
	}
	assert_true(chunk_pool_used(net_chunks(play.stage.world.loop)) < 4 * NET_HIGH);
	buf_clear(&many);
}

static void test_write_dir(void **state)
{
	(void)state;
	char dir[] = "/tmp/mailweir-sink.XXXXXX", name[64];
	assert_non_null(mkdtemp(dir));
	/* Twice: the second sink must not write over what the first has taken. */
	for (int round = 1; round <= 2; round++) {
		struct buf got = {0};
		play = (struct play){.raw = {.fd = -1}};
		play_setup(&play, (struct sink_setup){.write_dir = dir});
		play_greet(&play);
		play_envelope(&play);
		play_say(&play, "DATA\r\n");
		play_expect_last(&play, "354 ");
		play_say(&play, BODY_ONE "..\r\n.\r\n");
		play_expect_last(&play, "250 ");
		snprintf(name, sizeof(name), "%s/%d.eml", dir, round);
		assert_int_equal(sys_file_read(name, 4096, &got, NULL), ERR_OK);
		assert_string_equal(buf_string(&got), BODY_ONE ".\r\n");
		buf_clear(&got);
		play_close(&play);
	}
	for (int round = 1; round <= 2; round++) {
		snprintf(name, sizeof(name), "%s/%d.eml", dir, round);
		unlink(name);
	}
	assert_int_equal(rmdir(dir), 0);
}

static void test_what_can_not_be_written_is_not_accepted(void **state)
{
	(void)state;
	play = (struct play){.raw = {.fd = -1}};
	play_setup(&play, (struct sink_setup){.write_dir = "/nonexistent/mailweir"});
	play_greet(&play);
	play_say(&play, MAIL_ONE RCPT_ONE "BDAT 2 LAST\r\n\r\n");
	play_expect_last(&play, "451 4.3.0 ");
	assert_int_equal(sink_totals(play.sink)->accepted, 0);
}

static void test_ledger_that_can_not_be_opened(void **state)
{
	(void)state;
	struct stage stage;
	struct err_text why;
	stage_open(&stage);
	assert_null(sink_new(stage.world.loop,
		&(struct sink_setup){.name = "s", .ledger = "/nonexistent/ledger"}, &why));
	assert_non_null(strstr(why.text, "/nonexistent/ledger"));
	stage_close(&stage);
}

int main(void)
{
#define CASE(test) cmocka_unit_test_teardown(test, close_play)
	const struct CMUnitTest tests[] = {
		CASE(test_data),
		CASE(test_chunks),
		CASE(test_every_cut),
		CASE(test_disconnect_in_body_commits_nothing),
		CASE(test_flaws_are_refused),
		CASE(test_lax_takes_bare_newlines),
		CASE(test_what_is_not_offered_is_refused),
		CASE(test_broken_protocol_ends),
		CASE(test_client_that_reads_nothing),
		CASE(test_write_dir),
		CASE(test_what_can_not_be_written_is_not_accepted),
		CASE(test_ledger_that_can_not_be_opened),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
