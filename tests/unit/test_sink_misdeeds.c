/*
 * The sink's faults, as a client sees them on the wire.
 */
#include "test_sink_help.h"

#include <stdio.h>

static struct play play;

static int close_play(void **state)
{
	(void)state;
	play_close(&play);
	return 0;
}

static void again(const char *faults)
{
	if (play.sink)
		play_close(&play);
	play_open(&play, faults);
}

static void turn_faults(const char *lines)
{
	struct faults faults = {0};
	assert_int_equal(faults_lines(&faults, span_of(lines), NULL), ERR_OK);
	sink_set_faults(play.sink, &faults);
}

/* Up to where the fault waits, nothing heard yet of what it is about. */
static void until(const char *phase)
{
	play_connect(&play);
	if (strcmp(phase, "connect") == 0)
		return;
	play_expect_last(&play, "220 ");
	if (strcmp(phase, "banner") == 0)
		return;
	play_say(&play, "EHLO c\r\n");
	if (strcmp(phase, "ehlo") == 0)
		return;
	play_expect_last(&play, "250 ");
	play_say(&play, MAIL_ONE);
	if (strcmp(phase, "mail") == 0)
		return;
	play_expect_last(&play, "250 ");
	play_say(&play, RCPT_ONE);
	if (strcmp(phase, "rcpt") == 0)
		return;
	play_expect_last(&play, "250 ");
	play_say(&play, "DATA\r\n");
	if (strcmp(phase, "data") == 0)
		return;
	play_expect_last(&play, "354 ");
	play_say(&play, BODY_ONE);
	if (strcmp(phase, "body:10") == 0)
		return;
	play_say(&play, ".\r\n");
}

static const char *const phases[] = {"connect", "banner", "ehlo", "mail", "rcpt", "data", "body:10",
	"end-before-reply", "end-after-commit"};

static void each_phase(const char *kind, bool reset)
{
	for (size_t i = 0; i < sizeof(phases) / sizeof(*phases); i++) {
		char line[64];
		snprintf(line, sizeof(line), "%s %s,count=1", kind, phases[i]);
		again(line);
		until(phases[i]);
		play_expect_eof(&play, reset);
		bool committed = strcmp(phases[i], "end-after-commit") == 0;
		assert_int_equal(play_ledger_lines(&play), committed);
		assert_int_equal(sink_totals(play.sink)->faults, 1);
		PLAY_UNTIL(&play, sink_totals(play.sink)->open == 0);
		/* Ordered once: the next client is served. */
		until("");
		play_expect_last(&play, "250 2.0.0 Ok");
	}
}

static void test_drop_at_each_phase(void **state)
{
	(void)state;
	each_phase("drop", false);
}

static void test_reset_at_each_phase(void **state)
{
	(void)state;
	each_phase("reset", true);
}

static void test_stall_at_each_phase(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(phases) / sizeof(*phases); i++) {
		char line[64];
		snprintf(line, sizeof(line), "stall %s", phases[i]);
		again(line);
		if (strcmp(phases[i], "banner") == 0)
			play_connect(&play);
		else
			until(phases[i]);
		world_turn_for(&play.stage.world, 20 * MSEC);
		assert_string_equal(raw_text(&play.raw), "");
		assert_false(play.raw.eof);
		assert_int_equal(sink_totals(play.sink)->open, 1);
		raw_finish(&play.raw);
		play_expect_eof(&play, false);
		assert_int_equal(sink_totals(play.sink)->open, 0);
	}
}

static void test_replies_in_place(void **state)
{
	(void)state;
	again("reply rcpt=451 4.3.0 busy,count=1\nreply mail=550-5.7.1 a\\n550 5.7.1 b,match=bad@");
	play_greet(&play);
	play_say(&play, "MAIL FROM:<bad@x.org>\r\n");
	play_expect(&play, "550-5.7.1 a\r\n550 5.7.1 b\r\n");
	play_say(&play, MAIL_ONE RCPT_ONE RCPT_ONE);
	play_expect(&play, "250 2.1.0 Sender ok\r\n451 4.3.0 busy\r\n250 2.1.5 Recipient ok\r\n");
	play_say(&play, "BDAT 2 LAST\r\n\r\n");
	play_expect_last(&play, "250 ");
	assert_int_equal(sink_totals(play.sink)->refused, 2);
}

static void test_reply_at_the_end(void **state)
{
	(void)state;
	again("reply end=451 4.3.1 disk full,count=1\nreply end=250 2.0.0 queued as X1,count=1");
	play_greet(&play);
	play_say(&play, MAIL_ONE RCPT_ONE "BDAT 2 LAST\r\n\r\n");
	play_expect_last(&play, "451 4.3.1 disk full\r\n");
	assert_int_equal(play_ledger_lines(&play), 0);
	play_say(&play, MAIL_ONE RCPT_ONE "BDAT 2 LAST\r\n\r\n");
	play_expect_last(&play, "250 2.0.0 queued as X1\r\n");
	assert_int_equal(play_ledger_lines(&play), 1);
}

static void test_reply_to_a_chunk(void **state)
{
	(void)state;
	again("reply data=452 4.3.1 full,count=1");
	play_greet(&play);
	play_say(&play, MAIL_ONE RCPT_ONE "BDAT 2\r\n\r\n");
	play_expect_last(&play, "452 4.3.1 full\r\n");
	play_say(&play, "RSET\r\n" MAIL_ONE RCPT_ONE "BDAT 2\r\n\r\nBDAT 0 LAST\r\n");
	play_expect_last(&play, "250 2.0.0 Ok: queued");
}

static void test_banner_421(void **state)
{
	(void)state;
	again("reply banner=421 4.3.2 not now");
	play_connect(&play);
	play_expect(&play, "421 4.3.2 not now\r\n");
	play_expect_eof(&play, false);
}

static void test_garbage_goes_on(void **state)
{
	(void)state;
	again("garbage rcpt=wh\\0t?\\n,count=1");
	play_greet(&play);
	play_say(&play, MAIL_ONE RCPT_ONE);
	PLAY_UNTIL(&play, (raw_hear(&play.raw), play.raw.got.len >= 27));
	assert_memory_equal(play.raw.got.at, "250 2.1.0 Sender ok\r\nwh\0t?\n", 27);
	buf_reset(&play.raw.got);
	play_say(&play, RCPT_ONE);
	play_expect(&play, "250 2.1.5 Recipient ok\r\n");
}

static void test_extra_reply(void **state)
{
	(void)state;
	again("extra-reply end=250 2.0.0 mine\nextra-reply body:1=451 early,after=1,count=1");
	play_greet(&play);
	play_say(&play, MAIL_ONE RCPT_ONE "BDAT 2 LAST\r\n\r\n");
	play_expect(&play, "250 2.1.0 Sender ok\r\n250 2.1.5 Recipient ok\r\n"
			   "250 2.0.0 Ok: queued as s1-1\r\n250 2.0.0 mine\r\n");
	play_envelope(&play);
	play_say(&play, "DATA\r\n");
	play_expect_last(&play, "354 ");
	play_say(&play, BODY_ONE);
	play_expect(&play, "451 early\r\n");
}

static void test_idle_faults(void **state)
{
	(void)state;
	again("extra-reply idle:0s=250 boo,count=1\nreply idle:5ms=421 4.4.2 bored,count=1");
	play_greet(&play);
	play_say(&play, MAIL_ONE RCPT_ONE "BDAT 2 LAST\r\n\r\n");
	play_expect_last(&play, "250 boo\r\n");
	play_say(&play, MAIL_ONE RCPT_ONE "BDAT 2 LAST\r\n\r\n");
	play_expect_last(&play, "421 4.4.2 bored\r\n");
	play_expect_eof(&play, false);
	again("drop idle:0s");
	play_greet(&play);
	play_say(&play, MAIL_ONE RCPT_ONE "BDAT 2 LAST\r\n\r\n");
	play_expect_last(&play, "250 2.0.0 Ok");
	play_expect_eof(&play, false);
}

static void test_idle_fault_waits_for_silence(void **state)
{
	(void)state;
	again("drop idle:500ms");
	play_greet(&play);
	for (int i = 0; i < 5; i++) {
		play_say(&play, MAIL_ONE RCPT_ONE "BDAT 2 LAST\r\n\r\n");
		play_expect_last(&play, "250 2.0.0 Ok");
		world_turn_for(&play.stage.world, 150 * MSEC);
	}
	assert_int_equal(play_ledger_lines(&play), 5);
	play_expect_eof(&play, false);
}

static void test_slow_is_serial(void **state)
{
	(void)state;
	again("slow rcpt=40ms");
	play_greet(&play);
	int64_t began = net_now(play.stage.world.loop);
	play_say(&play, MAIL_ONE RCPT_ONE RCPT_ONE RCPT_ONE);
	play_expect(&play, "250 2.1.0 Sender ok\r\n250 2.1.5 Recipient ok\r\n"
			   "250 2.1.5 Recipient ok\r\n250 2.1.5 Recipient ok\r\n");
	assert_in_range(net_now(play.stage.world.loop) - began, 60 * MSEC, SECOND);
}

static void test_latency_is_not(void **state)
{
	(void)state;
	again("latency-ms 50");
	play_greet(&play);
	int64_t began = net_now(play.stage.world.loop);
	play_say(&play, MAIL_ONE RCPT_ONE RCPT_ONE RCPT_ONE "QUIT\r\n");
	play_expect_last(&play, "221 ");
	assert_in_range(net_now(play.stage.world.loop) - began, 49 * MSEC, 190 * MSEC);
	play_expect_eof(&play, false);
}

/* As real servers do: what was taken is committed, though nobody will hear of it. */
static void test_hang_up_while_it_thinks(void **state)
{
	(void)state;
	again("slow end=400ms");
	play_greet(&play);
	play_say(&play, MAIL_ONE RCPT_ONE "BDAT 2 LAST\r\n\r\n");
	play_expect_last(&play, "250 2.1.5 ");
	raw_reset(&play.raw);
	world_turn_for(&play.stage.world, 10 * MSEC);
	assert_int_equal(play_ledger_lines(&play), 0);
	PLAY_UNTIL(&play, sink_totals(play.sink)->open == 0);
	assert_int_equal(play_ledger_lines(&play), 1);
}

static void test_too_many_sessions(void **state)
{
	(void)state;
	struct raw first;
	again("max-sessions 1");
	play_greet(&play);
	first = play.raw;
	play.raw = (struct raw){.fd = -1};
	play_connect(&play);
	play_expect(&play, "421 4.3.2 The maximum number of concurrent connections has exceeded a "
			   "limit, closing transmission channel\r\n");
	play_expect_eof(&play, false);
	raw_clear(&first);
	PLAY_UNTIL(&play, sink_totals(play.sink)->open == 0);
	play_greet(&play);
	assert_int_equal(sink_totals(play.sink)->over_limit, 1);
}

static void test_faults_turn_at_run_time(void **state)
{
	(void)state;
	again("");
	play_greet(&play);
	play_envelope(&play);
	turn_faults("reply rcpt=451 4.3.0 busy\nslow mail=10ms");
	play_say(&play, "RSET\r\n" MAIL_ONE RCPT_ONE);
	play_expect_last(&play, "451 4.3.0 busy\r\n");
	play_say(&play, "RSET\r\n" MAIL_ONE);
	world_turn_for(&play.stage.world, 2 * MSEC);
	turn_faults(""); /* while it thinks */
	play_expect_last(&play, "250 2.1.0 ");
	play_say(&play, RCPT_ONE);
	play_expect_last(&play, "250 2.1.5 ");
}

int main(void)
{
#define CASE(test) cmocka_unit_test_teardown(test, close_play)
	const struct CMUnitTest tests[] = {
		CASE(test_drop_at_each_phase),
		CASE(test_reset_at_each_phase),
		CASE(test_stall_at_each_phase),
		CASE(test_replies_in_place),
		CASE(test_reply_at_the_end),
		CASE(test_reply_to_a_chunk),
		CASE(test_banner_421),
		CASE(test_garbage_goes_on),
		CASE(test_extra_reply),
		CASE(test_idle_faults),
		CASE(test_idle_fault_waits_for_silence),
		CASE(test_slow_is_serial),
		CASE(test_latency_is_not),
		CASE(test_hang_up_while_it_thinks),
		CASE(test_too_many_sessions),
		CASE(test_faults_turn_at_run_time),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
