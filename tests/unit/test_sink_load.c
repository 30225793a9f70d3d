/*
 * The load against a sink in the same loop: what it counts, and what the ledger says.
 */
#include "test_sink_help.h"

#include <stdio.h>

#include "sink/ledger.h"
#include "sink/load.h"

static struct play play;

struct heard {
	unsigned settled, unsure, done;
	unsigned outcomes[3];
	unsigned tries;
};

static int close_play(void **state)
{
	(void)state;
	play_close(&play);
	return 0;
}

static void on_settled(void *arg, const struct load_message *message)
{
	struct heard *heard = arg;
	heard->settled++;
	heard->unsure += message->unsure;
	heard->outcomes[message->outcome]++;
	heard->tries += message->tries;
}

static void on_done(void *arg)
{
	struct heard *heard = arg;
	heard->done++;
}

static const struct load_ops ops = {.settled = on_settled, .done = on_done};

static struct load_setup usual(uint64_t messages)
{
	return (struct load_setup){
		.to = play.stage.world.at,
		.run = "t",
		.hostname = "load.example",
		.messages = messages,
		.sessions = 5,
		.size = 300,
		.tries = 20,
		.retry_after = MSEC,
	};
}

static struct load_totals run(struct load_setup setup, struct heard *heard)
{
	struct load_totals totals;
	*heard = (struct heard){0};
	struct load *load = load_new(play.stage.world.loop, &setup, &ops, heard);
	PLAY_UNTIL(&play, heard->done > 0);
	totals = *load_totals(load);
	load_free(&load);
	assert_int_equal(heard->done, 1);
	return totals;
}

/* How often each number stands in the ledger. */
static void count_ledger(unsigned *count, uint64_t messages)
{
	struct buf lines = {0};
	assert_int_equal(sys_file_read(play.ledger, 1 << 24, &lines, NULL), ERR_OK);
	struct span rest = buf_span(&lines);
	while (rest.len > 0) {
		size_t end = span_find(rest, '\n');
		struct span id;
		assert_true(ledger_line_id((struct span){rest.at, end}, &id));
		uint64_t number = load_id_number(id, "t");
		assert_in_range(number, 1, messages);
		count[number - 1]++;
		rest = span_from(rest, end + 1);
	}
	buf_clear(&lines);
}

static void expect_each_once(uint64_t messages)
{
	unsigned *count = mem_new(messages * sizeof(*count));
	count_ledger(count, messages);
	for (uint64_t i = 0; i < messages; i++)
		assert_int_equal(count[i], 1);
	free(count);
}

static void test_all_arrive_once(void **state)
{
	(void)state;
	struct heard heard;
	play_open(&play, "");
	struct load_totals totals = run(usual(500), &heard);
	assert_int_equal(totals.accepted, 500);
	assert_int_equal(totals.begun, 500);
	assert_int_equal(totals.lost + totals.deferred + totals.failed + totals.given_up, 0);
	assert_int_equal(heard.outcomes[LOAD_ACCEPTED], 500);
	assert_true(sink_totals(play.sink)->sessions <= 5);
	expect_each_once(500);
}

static void test_without_extensions(void **state)
{
	(void)state;
	struct heard heard;
	play = (struct play){.raw = {.fd = -1}};
	play_setup(&play, (struct sink_setup){.offer = {.caps = SMTP_CAP_HELP}});
	struct load_totals totals = run(usual(50), &heard);
	assert_int_equal(totals.accepted, 50);
	assert_int_equal(sink_totals(play.sink)->unasked, 0);
}

static void test_large_messages(void **state)
{
	(void)state;
	struct heard heard;
	play_open(&play, "");
	struct load_setup setup = usual(10);
	setup.size = 300000;
	struct load_totals totals = run(setup, &heard);
	assert_int_equal(totals.accepted, 10);
	assert_in_range(sink_totals(play.sink)->octets, 10 * 300000, 10 * 300100);
	expect_each_once(10);
}

static void test_connections_are_replaced(void **state)
{
	(void)state;
	struct heard heard;
	play_open(&play, "");
	struct load_setup setup = usual(50);
	setup.sessions = 1;
	setup.per_connection = 10;
	assert_int_equal(run(setup, &heard).accepted, 50);
	assert_int_equal(sink_totals(play.sink)->sessions, 5);
}

static void test_deferred_is_tried_again(void **state)
{
	(void)state;
	struct heard heard;
	play_open(&play,
		"reply mail=451 a,count=3\nreply rcpt=450 b,count=3\nreply data=452 c,count=3\n"
		"reply end=451 d,count=3\nreply rcpt=421 bye,after=20,count=2");
	struct load_totals totals = run(usual(100), &heard);
	assert_int_equal(totals.accepted, 100);
	assert_int_equal(totals.deferred, 14);
	assert_int_equal(totals.unsure, 0);
	expect_each_once(100);
}

static void test_refused_fails(void **state)
{
	(void)state;
	struct heard heard;
	play_open(&play, "reply rcpt=550 5.1.1 no,count=2\nreply end=554 no,count=1");
	struct load_totals totals = run(usual(20), &heard);
	assert_int_equal(totals.failed, 3);
	assert_int_equal(totals.accepted, 17);
	assert_int_equal(heard.outcomes[LOAD_FAILED], 3);
	assert_int_equal(play_ledger_lines(&play), 17);
}

static void test_lost_connections_are_tried_again(void **state)
{
	(void)state;
	struct heard heard;
	play_open(&play, "drop mail,count=2\nreset rcpt,count=2\ndrop data,count=2\n"
			 "drop banner,count=2\nreset connect,count=2\ndrop idle:0s,every=7");
	struct load_totals totals = run(usual(100), &heard);
	assert_int_equal(totals.accepted, 100);
	assert_true(totals.lost >= 10);
	expect_each_once(100);
}

/* Promise 2's rule: who doubles had a try without a definite reply. */
static void test_doubles_are_unsure(void **state)
{
	(void)state;
	struct heard heard;
	unsigned count[100] = {0};
	unsigned doubled = 0;
	play_open(&play, "reset end-after-commit,every=9,count=4\n"
			 "reply end-after-commit=451 4.4.2 lost it,after=50,count=2");
	struct load_totals totals = run(usual(100), &heard);
	count_ledger(count, 100);
	for (int i = 0; i < 100; i++) {
		assert_in_range(count[i], 1, 7);
		doubled += count[i] - 1;
	}
	assert_int_equal(totals.accepted, 100);
	assert_int_equal(doubled, 6);
	assert_int_equal(totals.unsure, 6);
	assert_in_range(heard.unsure, 1, 6);
}

static void test_patience_ends(void **state)
{
	(void)state;
	struct heard heard;
	play_open(&play, "reply rcpt=451 never");
	struct load_setup setup = usual(3);
	setup.tries = 4;
	struct load_totals totals = run(setup, &heard);
	assert_int_equal(totals.given_up, 3);
	assert_int_equal(totals.deferred, 12);
	assert_int_equal(heard.tries, 12);
}

static void test_server_that_refuses(void **state)
{
	(void)state;
	struct heard heard = {0};
	play_open(&play, "");
	struct load_setup setup = usual(10);
	sink_free(&play.sink);
	close(play.stage.world.fd); /* refuses */
	struct load *load = load_new(play.stage.world.loop, &setup, &ops, &heard);
	PLAY_UNTIL(&play, load_totals(load)->lost >= 5);
	assert_int_equal(load_totals(load)->accepted, 0);
	assert_int_equal(load_totals(load)->unsure, 0);
	load_stop(load);
	PLAY_UNTIL(&play, heard.done > 0);
	assert_int_equal(heard.settled, load_totals(load)->begun);
	assert_int_equal(load_totals(load)->given_up, heard.settled);
	load_free(&load);
	play.stage.world.fd = -1;
}

static void test_rate(void **state)
{
	(void)state;
	struct heard heard = {0};
	play_open(&play, "");
	struct load_setup setup = usual(0);
	setup.rate = 100;
	struct load *load = load_new(play.stage.world.loop, &setup, &ops, &heard);
	world_turn_for(&play.stage.world, 500 * MSEC);
	assert_in_range(load_totals(load)->begun, 30, 80);
	load_stop(load);
	PLAY_UNTIL(&play, heard.done > 0);
	assert_int_equal(load_totals(load)->accepted, load_totals(load)->begun);
	load_free(&load);
}

static void test_ids(void **state)
{
	(void)state;
	assert_int_equal(load_id_number(SPAN("demo.17"), "demo"), 17);
	assert_int_equal(load_id_number(SPAN("demo.x"), "demo"), 0);
	assert_int_equal(load_id_number(SPAN("demo."), "demo"), 0);
	assert_int_equal(load_id_number(SPAN("demon.1"), "demo"), 0);
	assert_int_equal(load_id_number(SPAN("other.1"), "demo"), 0);
}

int main(void)
{
#define CASE(test) cmocka_unit_test_teardown(test, close_play)
	const struct CMUnitTest tests[] = {
		CASE(test_all_arrive_once),
		CASE(test_without_extensions),
		CASE(test_large_messages),
		CASE(test_connections_are_replaced),
		CASE(test_deferred_is_tried_again),
		CASE(test_refused_fails),
		CASE(test_lost_connections_are_tried_again),
		CASE(test_doubles_are_unsure),
		CASE(test_patience_ends),
		CASE(test_server_that_refuses),
		CASE(test_rate),
		cmocka_unit_test(test_ids),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
