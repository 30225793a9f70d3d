/*
 * Every row of the commit rule, by its name; and that no row is without a test.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "relay/commit.h"

static struct smtp_reply reply_of(const char *wire)
{
	struct smtp_reply reply;
	bool broken;
	assert_int_equal(smtp_reply_parse(span_of(wire), &reply, &broken), strlen(wire));
	assert_false(broken);
	return reply;
}

static const struct commit_row *replied(
	enum smtp_phase phase, enum smtp_fate fate, const char *wire)
{
	struct smtp_reply reply = reply_of(wire);
	struct commit_case what = {
		.event = COMMIT_REPLIED, .phase = phase, .fate = fate, .reply = &reply};
	return commit_judge(&what);
}

static const struct commit_row *lost(enum smtp_phase phase, enum smtp_fate fate)
{
	struct commit_case what = {.event = COMMIT_LOST, .phase = phase, .fate = fate};
	return commit_judge(&what);
}

static void expect(const struct commit_row *row, const char *name, enum commit_action action,
	enum pool_outcome outcome, bool drop)
{
	assert_string_equal(row->name, name);
	assert_int_equal(row->action, action);
	assert_int_equal(row->outcome, outcome);
	assert_int_equal(row->drop, drop);
}

/* ---- after the end of data ---- */

static void accepted(void **state)
{
	(void)state;
	expect(replied(PHASE_END, FATE_ENDED, "250 2.0.0 Ok: queued as 1\r\n"), "accepted",
		COMMIT_ACCEPT, POOL_ACCEPTED, false);
	expect(replied(PHASE_END, FATE_ENDED, "250-a\r\n250 b\r\n"), "accepted", COMMIT_ACCEPT,
		POOL_ACCEPTED, false);
}

static void ended_no_reply(void **state)
{
	(void)state;
	expect(lost(PHASE_BODY, FATE_ENDED), "ended_no_reply", COMMIT_AMBIGUOUS, POOL_BROKE, true);
	/* A malformed reply is no reply; and whatever was outstanding, the fate decides. */
	struct commit_case what = {
		.event = COMMIT_LOST, .phase = PHASE_BODY, .fate = FATE_ENDED, .poisoned = true};
	expect(commit_judge(&what), "ended_no_reply", COMMIT_AMBIGUOUS, POOL_BROKE, true);
	/* A reused connection too: once ended, nobody can know. */
	what = (struct commit_case){.event = COMMIT_LOST,
		.phase = PHASE_RCPT,
		.fate = FATE_ENDED,
		.greeted_before = true};
	expect(commit_judge(&what), "ended_no_reply", COMMIT_AMBIGUOUS, POOL_BROKE, true);
}

static void ended_timed_out(void **state)
{
	(void)state;
	struct commit_case what = {
		.event = COMMIT_TIMED_OUT, .phase = PHASE_BODY, .fate = FATE_ENDED};
	expect(commit_judge(&what), "ended_timed_out", COMMIT_AMBIGUOUS, POOL_TIMED_OUT, true);
}

static void ended_server_trouble(void **state)
{
	(void)state;
	static const char *const replies[] = {"451 4.3.0 Temporary failure\r\n",
		"452 4.3.1 Insufficient storage\r\n", "421 4.3.2 shutting down\r\n",
		"421 closing\r\n", "451 local error\r\n", "554 5.3.0 config error\r\n",
		"421 4.4.2 time-out\r\n"};
	for (size_t i = 0; i < sizeof replies / sizeof replies[0]; i++)
		expect(replied(PHASE_END, FATE_ENDED, replies[i]), "ended_server_trouble",
			COMMIT_NEXT, POOL_OWN_TROUBLE, true);
}

static void ended_our_conduct(void **state)
{
	(void)state;
	const struct commit_row *row = replied(PHASE_END, FATE_ENDED, "503 5.5.1 Error\r\n");
	expect(row, "ended_our_conduct", COMMIT_NEXT, POOL_OUR_CONDUCT, true);
	assert_true(row->alarm);
}

static void ended_refused_421(void **state)
{
	(void)state;
	expect(replied(PHASE_END, FATE_ENDED, "421 4.7.28 unusual rate\r\n"), "ended_refused_421",
		COMMIT_PASS, POOL_REFUSED, true);
}

static void ended_refused(void **state)
{
	(void)state;
	static const char *const replies[] = {"550 5.7.1 spam\r\n", "552 5.3.4 too big\r\n",
		"451 4.7.1 greylisted\r\n", "554 no\r\n", "450 4.2.1 later\r\n"};
	for (size_t i = 0; i < sizeof replies / sizeof replies[0]; i++)
		expect(replied(PHASE_END, FATE_ENDED, replies[i]), "ended_refused", COMMIT_PASS,
			POOL_REFUSED, false);
}

/* ---- the envelope ---- */

static void go_on(void **state)
{
	(void)state;
	expect(replied(PHASE_MAIL, FATE_UNSENT, "250 2.1.0 Ok\r\n"), "go_on", COMMIT_ACCEPT,
		POOL_ACCEPTED, false);
	expect(replied(PHASE_RCPT, FATE_UNSENT, "251 forwarded\r\n"), "go_on", COMMIT_ACCEPT,
		POOL_ACCEPTED, false);
	expect(replied(PHASE_DATA, FATE_UNSENT, "354 go\r\n"), "go_on", COMMIT_ACCEPT,
		POOL_ACCEPTED, false);
	expect(replied(PHASE_BODY, FATE_OPEN, "250 chunk\r\n"), "go_on", COMMIT_ACCEPT,
		POOL_ACCEPTED, false);
}

static void too_many_connections(void **state)
{
	(void)state;
	expect(replied(PHASE_MAIL, FATE_UNSENT,
		       "421 4.7.0 mx Error: too many connections from 192.0.2.1\r\n"),
		"too_many_connections", COMMIT_NEXT, POOL_TOO_MANY, true);
	expect(replied(PHASE_RCPT, FATE_UNSENT,
		       "421 4.3.2 The maximum number of concurrent connections has exceeded a "
		       "limit\r\n"),
		"too_many_connections", COMMIT_NEXT, POOL_TOO_MANY, true);
}

static void envelope_421(void **state)
{
	(void)state;
	expect(replied(PHASE_MAIL, FATE_UNSENT, "421 4.3.2 bye\r\n"), "envelope_421", COMMIT_NEXT,
		POOL_OWN_TROUBLE, true);
	expect(replied(PHASE_RCPT, FATE_UNSENT, "421 bye\r\n"), "envelope_421", COMMIT_NEXT,
		POOL_OWN_TROUBLE, true);
}

static void idle_connection_closed(void **state)
{
	(void)state;
	struct commit_case what = {.event = COMMIT_LOST,
		.phase = PHASE_RCPT,
		.fate = FATE_UNSENT,
		.greeted_before = true};
	expect(commit_judge(&what), "idle_connection_closed", COMMIT_STALE, POOL_STALE, true);
}

static void malformed_reply(void **state)
{
	(void)state;
	struct commit_case what = {.event = COMMIT_LOST,
		.phase = PHASE_RCPT,
		.fate = FATE_UNSENT,
		.greeted_before = true,
		.poisoned = true};
	expect(commit_judge(&what), "malformed_reply", COMMIT_NEXT, POOL_POISONED, true);
}

static void envelope_lost(void **state)
{
	(void)state;
	expect(lost(PHASE_MAIL, FATE_UNSENT), "envelope_lost", COMMIT_NEXT, POOL_BROKE, true);
	expect(lost(PHASE_RCPT, FATE_UNSENT), "envelope_lost", COMMIT_NEXT, POOL_BROKE, true);
}

static void envelope_timed_out(void **state)
{
	(void)state;
	struct commit_case what = {
		.event = COMMIT_TIMED_OUT, .phase = PHASE_RCPT, .fate = FATE_UNSENT};
	expect(commit_judge(&what), "envelope_timed_out", COMMIT_NEXT, POOL_TIMED_OUT, true);
}

static void envelope_server_trouble(void **state)
{
	(void)state;
	static const char *const replies[] = {"451 try later\r\n", "451 4.3.0 trouble\r\n",
		"452 4.3.1 disk\r\n", "554 5.3.5 misconfigured\r\n"};
	for (size_t i = 0; i < sizeof replies / sizeof replies[0]; i++) {
		expect(replied(PHASE_RCPT, FATE_UNSENT, replies[i]), "envelope_server_trouble",
			COMMIT_NEXT, POOL_OWN_TROUBLE, false);
		expect(replied(PHASE_MAIL, FATE_UNSENT, replies[i]), "envelope_server_trouble",
			COMMIT_NEXT, POOL_OWN_TROUBLE, false);
	}
}

static void our_conduct(void **state)
{
	(void)state;
	static const char *const replies[] = {"500 what\r\n", "501 syntax\r\n", "502 no\r\n",
		"503 5.5.1 sequence\r\n", "504 no\r\n",
		"530 5.7.0 Must issue a STARTTLS command first\r\n", "535 5.7.8 no\r\n",
		"538 no\r\n", "555 5.5.4 Unsupported option\r\n"};
	for (size_t i = 0; i < sizeof replies / sizeof replies[0]; i++) {
		const struct commit_row *row = replied(PHASE_RCPT, FATE_UNSENT, replies[i]);
		expect(row, "our_conduct", COMMIT_NEXT, POOL_OUR_CONDUCT, true);
		assert_true(row->alarm);
	}
}

static void mail_refused(void **state)
{
	(void)state;
	expect(replied(PHASE_MAIL, FATE_UNSENT, "550 5.7.1 go away\r\n"), "mail_refused",
		COMMIT_PASS_MAIL, POOL_REFUSED, false);
	expect(replied(PHASE_MAIL, FATE_UNSENT, "450 4.1.8 sender domain\r\n"), "mail_refused",
		COMMIT_PASS_MAIL, POOL_REFUSED, false);
	/* Postfix's wording for an unqualified sender: with a code that complains about us
	 * otherwise. */
	struct smtp_reply reply = reply_of(
		"504 5.5.2 <x>: Sender address rejected: need fully-qualified address\r\n");
	struct commit_case what = {.event = COMMIT_REPLIED,
		.phase = PHASE_MAIL,
		.fate = FATE_UNSENT,
		.reply = &reply,
		.names_client_input = true};
	expect(commit_judge(&what), "mail_refused", COMMIT_PASS_MAIL, POOL_REFUSED, false);
}

static void rcpt_refused(void **state)
{
	(void)state;
	static const char *const replies[] = {"450 4.2.0 greylisted\r\n", "450 later\r\n",
		"452 4.2.2 full\r\n", "550 5.1.1 unknown\r\n", "554 5.7.1 Relay access denied\r\n",
		"451 4.7.1 later\r\n", "451 4.1.8 dns\r\n", "501 5.1.3 bad address\r\n",
		"552 5.3.4 too big\r\n", "571 odd\r\n", "452 4.5.3 too many recipients\r\n"};
	for (size_t i = 0; i < sizeof replies / sizeof replies[0]; i++)
		expect(replied(PHASE_RCPT, FATE_UNSENT, replies[i]), "rcpt_refused", COMMIT_PASS,
			POOL_REFUSED, false);
	struct smtp_reply reply = reply_of("555 5.5.4 NOTIFY\r\n");
	struct commit_case what = {.event = COMMIT_REPLIED,
		.phase = PHASE_RCPT,
		.fate = FATE_UNSENT,
		.reply = &reply,
		.parameters = true};
	expect(commit_judge(&what), "rcpt_refused", COMMIT_PASS, POOL_REFUSED, false);
}

static void rset_refused(void **state)
{
	(void)state;
	expect(replied(PHASE_RSET, FATE_UNSENT, "550 5.7.1 no\r\n"), "rset_refused", COMMIT_NEXT,
		POOL_POISONED, true);
}

/* ---- DATA and the body ---- */

static void malformed_reply_in_body(void **state)
{
	(void)state;
	struct commit_case what = {
		.event = COMMIT_LOST, .phase = PHASE_BODY, .fate = FATE_OPEN, .poisoned = true};
	expect(commit_judge(&what), "malformed_reply_in_body", COMMIT_REPLAY, POOL_POISONED, true);
}

static void body_lost(void **state)
{
	(void)state;
	expect(lost(PHASE_BODY, FATE_OPEN), "body_lost", COMMIT_REPLAY, POOL_BROKE, true);
	expect(lost(PHASE_BODY, FATE_UNSENT), "body_lost", COMMIT_REPLAY, POOL_BROKE, true);
	expect(lost(PHASE_DATA, FATE_UNSENT), "body_lost", COMMIT_REPLAY, POOL_BROKE, true);
}

static void body_timed_out(void **state)
{
	(void)state;
	struct commit_case what = {
		.event = COMMIT_TIMED_OUT, .phase = PHASE_DATA, .fate = FATE_OPEN};
	expect(commit_judge(&what), "body_timed_out", COMMIT_REPLAY, POOL_TIMED_OUT, true);
}

static void body_too_many(void **state)
{
	(void)state;
	expect(replied(PHASE_DATA, FATE_UNSENT, "421 4.7.0 too many connections\r\n"),
		"body_too_many", COMMIT_REPLAY, POOL_TOO_MANY, true);
}

static void chunk_server_trouble(void **state)
{
	(void)state;
	expect(replied(PHASE_BODY, FATE_OPEN, "452 4.3.1 disk\r\n"), "chunk_server_trouble",
		COMMIT_REPLAY, POOL_OWN_TROUBLE, true);
	expect(replied(PHASE_DATA, FATE_UNSENT, "421 bye\r\n"), "chunk_server_trouble",
		COMMIT_REPLAY, POOL_OWN_TROUBLE, true);
}

static void chunk_our_conduct(void **state)
{
	(void)state;
	const struct commit_row *row = replied(PHASE_DATA, FATE_UNSENT, "503 5.5.1 need RCPT\r\n");
	expect(row, "chunk_our_conduct", COMMIT_REPLAY, POOL_OUR_CONDUCT, true);
	assert_true(row->alarm);
}

static void data_refused(void **state)
{
	(void)state;
	expect(replied(PHASE_DATA, FATE_UNSENT, "550 5.7.1 no data from you\r\n"), "data_refused",
		COMMIT_PASS, POOL_REFUSED, false);
}

static void chunk_refused(void **state)
{
	(void)state;
	expect(replied(PHASE_BODY, FATE_OPEN, "552 5.3.4 too big\r\n"), "chunk_refused",
		COMMIT_PASS, POOL_REFUSED, true);
}

static void out_of_step(void **state)
{
	(void)state;
	expect(replied(PHASE_QUIT, FATE_UNSENT, "500 what\r\n"), "out_of_step", COMMIT_NEXT,
		POOL_POISONED, true);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(accepted),
	cmocka_unit_test(ended_no_reply),
	cmocka_unit_test(ended_timed_out),
	cmocka_unit_test(ended_server_trouble),
	cmocka_unit_test(ended_our_conduct),
	cmocka_unit_test(ended_refused_421),
	cmocka_unit_test(ended_refused),
	cmocka_unit_test(go_on),
	cmocka_unit_test(too_many_connections),
	cmocka_unit_test(envelope_421),
	cmocka_unit_test(idle_connection_closed),
	cmocka_unit_test(malformed_reply),
	cmocka_unit_test(envelope_lost),
	cmocka_unit_test(envelope_timed_out),
	cmocka_unit_test(envelope_server_trouble),
	cmocka_unit_test(our_conduct),
	cmocka_unit_test(mail_refused),
	cmocka_unit_test(rcpt_refused),
	cmocka_unit_test(rset_refused),
	cmocka_unit_test(malformed_reply_in_body),
	cmocka_unit_test(body_lost),
	cmocka_unit_test(body_timed_out),
	cmocka_unit_test(body_too_many),
	cmocka_unit_test(chunk_server_trouble),
	cmocka_unit_test(chunk_our_conduct),
	cmocka_unit_test(data_refused),
	cmocka_unit_test(chunk_refused),
	cmocka_unit_test(out_of_step),
};

static void every_row_has_a_test(void **state)
{
	(void)state;
	for (unsigned i = 0; commit_row(i); i++) {
		bool found = false;
		for (size_t j = 0; j < sizeof tests / sizeof tests[0]; j++)
			found |= strcmp(tests[j].name, commit_row(i)->name) == 0;
		if (!found)
			fail_msg("no test is named after the row %s", commit_row(i)->name);
	}
}

/* Nothing after the end of data may ever lead to another server without a complete reply, and a
 * lost connection before it never to anything the client would see as a verdict. */
static void ended_never_replays_without_a_reply(void **state)
{
	(void)state;
	for (int phase = 0; phase < SMTP_PHASES; phase++) {
		for (int bits = 0; bits < 16; bits++) {
			struct commit_case what = {
				.event = bits & 1 ? COMMIT_TIMED_OUT : COMMIT_LOST,
				.phase = (enum smtp_phase)phase,
				.poisoned = bits & 2,
				.greeted_before = bits & 4,
				.fate = bits & 8 ? FATE_ENDED : FATE_OPEN,
			};
			const struct commit_row *row = commit_judge(&what);
			if (what.fate == FATE_ENDED)
				assert_int_equal(row->action, COMMIT_AMBIGUOUS);
			else
				assert_true(row->action == COMMIT_NEXT ||
					    row->action == COMMIT_REPLAY ||
					    row->action == COMMIT_STALE);
			assert_true(row->drop);
		}
	}
}

int main(void)
{
	static const struct CMUnitTest more[] = {
		cmocka_unit_test(every_row_has_a_test),
		cmocka_unit_test(ended_never_replays_without_a_reply),
	};
	int failed = cmocka_run_group_tests_name("rows", tests, NULL, NULL);
	return failed + cmocka_run_group_tests_name("rule", more, NULL, NULL);
}
