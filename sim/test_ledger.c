/*
 * The oracle itself: a small world in which a naive relay is correct, and then wrong in each of
 * the ways that the ledger is there to see.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "sim/ledger.h"
#include "sim/scene.h"

#define DOUBT "4.4.2 The server was lost before it confirmed the message"

/* How the relay errs. */
enum wrong {
	RIGHT,
	EARLY_250,
	UNSAID_250,
	TWICE,
	OCTET_LOST,
	OCTET_CHANGED,
	OCTET_ADDED,
	BODIES_SWAPPED,
	RECIPIENTS_SWAPPED,
	RECIPIENT_LOST,
	RECIPIENT_DOUBLED,
	REFUSED_RECIPIENT,
	STRANGE_RECIPIENT,
	CROSSED_REPLY,
	NO_BUT_HAS,
	NO_THEN_TAKES,
	NOT_ENDED,
	SMUGGLED,
	UNKNOWN_SENDER,
	SENT_AGAIN,
	UNCOUNTED,
	NO_BUT_HAS_LOST,
};

struct town {
	struct scene scene;
	struct world world;
	struct rng rng;
	struct ledger *ledger;
	uint64_t ambiguous, accepted, deaths;
	bool chunked; /* all goes by BDAT */
};

static void build(struct town *town)
{
	memset(town, 0, sizeof(*town));
	town->scene.seed = 7;
	town->scene.calm_after = HOUR;
	world_init(&town->world, &town->scene, NULL);
	world_rng(&town->world, &town->rng, "test", 0);
	town->ledger = ledger_new(&town->world);
}

static void raze(struct town *town)
{
	ledger_free(&town->ledger);
	world_clear(&town->world);
}

static const struct mail *three_recipients(struct town *town)
{
	const struct mail *mail;
	do
		mail = ledger_mail(town->ledger, &town->rng, MAIL_PLAIN, false);
	while (mail->recipients < 3 || mail->body.len < 100);
	return mail;
}

/* What the server gets. */
struct parcel {
	char sender[LEDGER_ADDRESS];
	char address[8][LEDGER_ADDRESS];
	struct span recipient[8];
	unsigned count;
	struct buf body;
};

static void add(struct parcel *parcel, unsigned mail, unsigned index)
{
	char *address = parcel->address[parcel->count];
	ledger_recipient_address(address, mail, index);
	parcel->recipient[parcel->count++] = span_of(address);
}

static unsigned commit(struct town *town, struct parcel *parcel)
{
	return ledger_commit(town->ledger, "s1", span_of(parcel->sender), parcel->recipient,
		parcel->count, buf_span(&parcel->body), town->chunked);
}

static void err(
	struct parcel *parcel, enum wrong wrong, const struct mail *mail, const struct mail *other)
{
	struct span first = parcel->recipient[0];
	switch (wrong) {
	case OCTET_LOST:
		memmove(parcel->body.at + 50, parcel->body.at + 51, parcel->body.len - 51);
		parcel->body.len--;
		break;
	case OCTET_CHANGED:
		parcel->body.at[parcel->body.len - 1] ^= 1;
		break;
	case OCTET_ADDED:
		buf_add(&parcel->body, "\r\n", 2);
		break;
	case BODIES_SWAPPED:
		buf_reset(&parcel->body);
		buf_add_span(&parcel->body, other->body);
		break;
	case RECIPIENTS_SWAPPED:
		parcel->recipient[0] = parcel->recipient[1];
		parcel->recipient[1] = first;
		break;
	case RECIPIENT_LOST:
		parcel->count--;
		break;
	case RECIPIENT_DOUBLED:
		add(parcel, mail->number, 1);
		break;
	case REFUSED_RECIPIENT:
		add(parcel, mail->number, 2);
		break;
	case STRANGE_RECIPIENT:
		add(parcel, other->number, 2);
		break;
	case UNKNOWN_SENDER:
		ledger_sender(parcel->sender, mail->number, 9);
		break;
	default:
		break;
	}
}

/* One message of `mail`, through the relay, to the server and back.  Returns its commit. */
static unsigned carry(
	struct town *town, const struct mail *mail, const struct mail *other, enum wrong wrong)
{
	struct ledger *ledger = town->ledger;
	struct parcel parcel = {0};
	unsigned number = mail->number, taken = 0;
	unsigned attempt = ledger_attempt(ledger, number, 1, wrong != SMUGGLED);
	if (town->chunked)
		ledger_attempt_chunked(ledger, number, attempt);
	ledger_sender(parcel.sender, number, attempt);
	for (unsigned i = 0; i < mail->recipients; i++) {
		ledger_recipient(ledger, number, attempt, i, i < 2 ? 250 : 550, (struct span){0});
		if (i < 2)
			add(&parcel, number, i);
	}
	buf_add_span(&parcel.body, mail->body);
	if (wrong != NOT_ENDED)
		ledger_attempt_ended(ledger, number, attempt);
	if (wrong == NO_THEN_TAKES)
		ledger_verdict(ledger, number, attempt, 550, SPAN("5.7.1 no"));
	err(&parcel, wrong, mail, other);
	if (wrong != EARLY_250) {
		taken = commit(town, &parcel);
		if (wrong != UNSAID_250)
			ledger_commit_said(ledger, taken);
	}
	if (wrong == TWICE)
		ledger_commit_said(ledger, commit(town, &parcel));
	if (wrong == NO_BUT_HAS)
		ledger_verdict(ledger, number, attempt, 451, SPAN("4.3.0 no"));
	else if (wrong == NO_BUT_HAS_LOST)
		ledger_verdict(
			ledger, number, attempt, 451, SPAN("4.4.2 The server was lost inside"));
	else if (wrong != NO_THEN_TAKES)
		ledger_verdict(ledger, number, attempt, 250, SPAN("2.0.0 ok"));
	town->accepted += wrong != UNCOUNTED;
	buf_clear(&parcel.body);
	return taken;
}

static void settle_books(struct town *town, uint64_t ambiguous, uint64_t accepted)
{
	ledger_close(town->ledger, &(struct ledger_books){.ambiguous = ambiguous,
					   .accepted = accepted,
					   .deaths = town->deaths,
					   .resending = town->scene.resend_ambiguous});
}

static void check_caught(enum wrong wrong, const char *check)
{
	struct town town;
	build(&town);
	const struct mail *other = three_recipients(&town), *mail = three_recipients(&town);
	carry(&town, other, NULL, RIGHT);
	unsigned taken = carry(&town, mail, other, wrong);
	if (wrong == CROSSED_REPLY)
		ledger_told_commit(town.ledger, other->number, 1, taken);
	if (wrong == SENT_AGAIN)
		carry(&town, mail, other, RIGHT);
	settle_books(&town, town.ambiguous, town.accepted);
	if (!check && town.world.failed)
		print_error("%s: %s\n", town.world.check, town.world.words);
	assert_int_equal(town.world.failed, check != NULL);
	if (check)
		assert_string_equal(town.world.check, check);
	raze(&town);
}

static void right_relay_passes(void **state)
{
	(void)state;
	check_caught(RIGHT, NULL);
}

static void wrong_relays_are_caught(void **state)
{
	(void)state;
	check_caught(EARLY_250, "early-250");
	check_caught(UNSAID_250, "early-250");
	check_caught(TWICE, "doubled");
	check_caught(OCTET_LOST, "altered");
	check_caught(OCTET_CHANGED, "altered");
	check_caught(OCTET_ADDED, "altered");
	check_caught(BODIES_SWAPPED, "altered");
	check_caught(RECIPIENTS_SWAPPED, "wrong-recipients");
	check_caught(RECIPIENT_LOST, "wrong-recipients");
	check_caught(RECIPIENT_DOUBLED, "wrong-recipients");
	check_caught(REFUSED_RECIPIENT, "wrong-recipients");
	check_caught(STRANGE_RECIPIENT, "wrong-recipients");
	check_caught(CROSSED_REPLY, "crossed-reply");
	check_caught(NO_BUT_HAS, "said-no-but-has");
	check_caught(NO_THEN_TAKES, "said-no-but-has");
	check_caught(NOT_ENDED, "not-ended");
	check_caught(SMUGGLED, "smuggled");
	check_caught(UNKNOWN_SENDER, "smuggled");
	check_caught(SENT_AGAIN, "doubled");
	check_caught(UNCOUNTED, "unexplained");
	check_caught(NO_BUT_HAS_LOST, "said-no-but-has");
}

/* ---- doubt ---- */

/* A message that a server has taken; the client hears `code` and `text`, then tries again. */
static void doubt(struct town *town, unsigned code, struct span text)
{
	const struct mail *mail = three_recipients(town);
	struct ledger *ledger = town->ledger;
	struct parcel parcel = {0};
	unsigned attempt = ledger_attempt(ledger, mail->number, 1, true);
	ledger_sender(parcel.sender, mail->number, attempt);
	/* Only one reply has come through, but the server has two recipients. */
	ledger_recipient(ledger, mail->number, attempt, 0, 250, (struct span){0});
	add(&parcel, mail->number, 0);
	add(&parcel, mail->number, 1);
	buf_add_span(&parcel.body, mail->body);
	ledger_attempt_ended(ledger, mail->number, attempt);
	ledger_carried(ledger, mail->number, attempt);
	commit(town, &parcel);
	ledger_verdict(ledger, mail->number, attempt, code, text);
	carry(town, mail, NULL, RIGHT);
	buf_clear(&parcel.body);
}

static void a_double_with_a_doubt_is_right(void **state)
{
	struct town town;
	(void)state;
	for (unsigned told = 0; told < 2; told++) {
		build(&town);
		doubt(&town, told ? 451 : 0, told ? SPAN(DOUBT) : SPAN(""));
		settle_books(&town, 1, town.accepted);
		assert_false(town.world.failed);
		assert_int_equal(ledger_sums(town.ledger).doubled, 1);
		assert_int_equal(ledger_sums(town.ledger).in_doubt, 1);
		raze(&town);
	}
}

static void a_doubt_must_be_counted(void **state)
{
	struct town town;
	(void)state;
	build(&town);
	doubt(&town, 451, SPAN(DOUBT));
	settle_books(&town, 0, town.accepted + 1);
	assert_true(town.world.failed);
	assert_string_equal(town.world.check, "unexplained");
	raze(&town);
}

/* Each of: the yes is read before the client hears of a doubt, or after; no server had it. */
static void a_doubt_needs_a_cause(void **state)
{
	struct town town;
	(void)state;
	for (unsigned way = 0; way < 3; way++) {
		build(&town);
		const struct mail *mail = three_recipients(&town);
		unsigned number = mail->number,
			 attempt = ledger_attempt(town.ledger, number, 1, true);
		struct parcel parcel = {0};
		ledger_sender(parcel.sender, number, attempt);
		add(&parcel, number, 0);
		buf_add_span(&parcel.body, mail->body);
		ledger_attempt_ended(town.ledger, number, attempt);
		if (way < 2)
			ledger_carried(town.ledger, number, attempt);
		unsigned taken = way < 2 ? commit(&town, &parcel) : 0;
		if (way == 0)
			ledger_answered(town.ledger, number, attempt, taken);
		ledger_verdict(town.ledger, number, attempt, 451, SPAN(DOUBT));
		assert_int_equal(town.world.failed, way != 1);
		if (way == 1)
			ledger_answered(town.ledger, number, attempt, taken);
		assert_string_equal(town.world.check, "needless-doubt");
		buf_clear(&parcel.body);
		raze(&town);
	}
}

/* One message, accepted; the books say something else.  A death may be why. */
static void the_books_have_an_upper_side(void **state)
{
	static const struct {
		uint64_t ambiguous, accepted, deaths;
		bool wrong;
	} books[] = {{0, 1, 0, false}, {0, 2, 0, true}, {1, 1, 0, true}, {1, 0, 0, true},
		{1, 1, 1, false}, {1, 0, 1, false}, {0, 2, 1, true}, {0, 0, 1, true}};
	struct town town;
	(void)state;
	for (size_t i = 0; i < sizeof(books) / sizeof(books[0]); i++) {
		build(&town);
		carry(&town, three_recipients(&town), NULL, RIGHT);
		town.deaths = books[i].deaths;
		settle_books(&town, books[i].ambiguous, books[i].accepted);
		assert_int_equal(town.world.failed, books[i].wrong);
		raze(&town);
	}
}

static void a_recipient_accepted_too_late_is_missed(void **state)
{
	struct town town;
	(void)state;
	build(&town);
	const struct mail *mail = three_recipients(&town);
	struct parcel parcel = {0};
	unsigned attempt = ledger_attempt(town.ledger, mail->number, 1, true);
	ledger_sender(parcel.sender, mail->number, attempt);
	add(&parcel, mail->number, 0);
	buf_add_span(&parcel.body, mail->body);
	ledger_attempt_ended(town.ledger, mail->number, attempt);
	ledger_commit_said(town.ledger, commit(&town, &parcel));
	ledger_recipient(town.ledger, mail->number, attempt, 0, 250, (struct span){0});
	assert_false(town.world.failed);
	ledger_recipient(town.ledger, mail->number, attempt, 1, 250, (struct span){0});
	ledger_verdict(town.ledger, mail->number, attempt, 0, (struct span){0});
	settle_books(&town, 0, 1);
	assert_string_equal(town.world.check, "wrong-recipients");
	buf_clear(&parcel.body);
	raze(&town);
}

static void resending_may_double_an_attempt(void **state)
{
	struct town town;
	(void)state;
	build(&town);
	town.scene.resend_ambiguous = true;
	carry(&town, three_recipients(&town), NULL, TWICE);
	settle_books(&town, 0, 1);
	assert_false(town.world.failed);
	raze(&town);
}

static void resending_after_a_yes_was_heard_is_wrong(void **state)
{
	struct town town;
	(void)state;
	build(&town);
	town.scene.resend_ambiguous = true;
	const struct mail *mail = three_recipients(&town);
	unsigned taken = carry(&town, mail, NULL, TWICE);
	for (unsigned i = 0; i < 2; i++)
		ledger_carried(town.ledger, mail->number, 1);
	ledger_answered(town.ledger, mail->number, 1, taken + 1);
	assert_false(town.world.failed);
	ledger_answered(town.ledger, mail->number, 1, taken);
	assert_string_equal(town.world.check, "doubled");
	raze(&town);
}

static void a_final_crlf_may_be_added_to_what_has_none(void **state)
{
	struct town town;
	const struct mail *mail;
	(void)state;
	for (unsigned chunked = 0; chunked < 2; chunked++) {
		build(&town);
		town.chunked = chunked;
		do
			mail = ledger_mail(town.ledger, &town.rng, MAIL_PLAIN, true);
		while (mail->body.len < 100 || mail->recipients < 2 ||
			memcmp(mail->body.at + mail->body.len - 2, "\r\n", 2) == 0);
		carry(&town, mail, NULL, OCTET_ADDED);
		assert_int_equal(town.world.failed, chunked);
		raze(&town);
	}
}

/* ---- what the messages are like ---- */

static void bodies_are_sound_and_hard(void **state)
{
	struct town town;
	unsigned longest = 0, dots = 0, ends = 0, empty = 0, lacking = 0;
	(void)state;
	build(&town);
	for (unsigned i = 0; i < 2000; i++) {
		unsigned shape = i % 50 == 0  ? MAIL_LARGE
				 : i % 5 == 0 ? MAIL_FEW_WORDS
					      : MAIL_PLAIN;
		struct span body = ledger_mail(town.ledger, &town.rng, shape, i % 2)->body;
		size_t line = 0;
		empty += body.len == 0;
		for (size_t k = 0; k < body.len; k++) {
			bool crlf =
				body.at[k] == '\r' && k + 1 < body.len && body.at[k + 1] == '\n';
			assert_true(body.at[k] != '\0' && body.at[k] != '\n');
			assert_true(body.at[k] != '\r' || crlf);
			dots += line == 0 && body.at[k] == '.';
			ends += line == 0 && body.len - k >= 3 && !memcmp(body.at + k, ".\r\n", 3);
			line = crlf ? 0 : line + 1;
			longest = line > longest ? (unsigned)line : longest;
			k += crlf;
		}
		lacking += line > 0;
	}
	assert_int_equal(longest, 998);
	assert_true(dots > 1000 && ends > 50 && empty > 0 && lacking > 100);
	raze(&town);
}

static void addresses_go_there_and_back(void **state)
{
	char text[LEDGER_ADDRESS];
	unsigned a, b;
	(void)state;
	ledger_sender(text, 123, 4);
	assert_string_equal(text, "m123.k4@a.sim");
	assert_true(ledger_parse_sender(span_of(text), &a, &b) && a == 123 && b == 4);
	ledger_recipient_address(text, 123, 4);
	assert_string_equal(text, "r4.m123@b.sim");
	assert_true(ledger_parse_recipient(span_of(text), &a, &b) && a == 123 && b == 4);
	assert_false(ledger_parse_sender(SPAN("m01.k4@a.sim"), &a, &b));
	assert_false(ledger_parse_sender(SPAN("m1.k4@a.simx"), &a, &b));
	assert_false(ledger_parse_recipient(SPAN("r.m1@b.sim"), &a, &b));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(right_relay_passes),
		cmocka_unit_test(wrong_relays_are_caught),
		cmocka_unit_test(a_double_with_a_doubt_is_right),
		cmocka_unit_test(a_doubt_must_be_counted),
		cmocka_unit_test(a_doubt_needs_a_cause),
		cmocka_unit_test(the_books_have_an_upper_side),
		cmocka_unit_test(a_recipient_accepted_too_late_is_missed),
		cmocka_unit_test(resending_may_double_an_attempt),
		cmocka_unit_test(resending_after_a_yes_was_heard_is_wrong),
		cmocka_unit_test(a_final_crlf_may_be_added_to_what_has_none),
		cmocka_unit_test(bodies_are_sound_and_hard),
		cmocka_unit_test(addresses_go_there_and_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
