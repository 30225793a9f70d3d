/*
 * The judge is judged: conversations that are legal pass in all cuts, and each illegal one is
 * caught, with the right words, and not before its last step.
 *
 * A conversation is a row of steps: "!250" is a reply that has reached the sender, anything else
 * are octets that the server hears.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/rng.h"
#include "sim/legal.h"

enum { PIPE = 1, CHUNK = 2, EIGHT = 4, SIZE = 8, ALL = 15 };
enum { STEPS = 40 };

struct talk {
	const char *name;
	unsigned offers;
	const char *steps[STEPS];
	const char *words; /* of what is wrong; NULL: nothing */
	size_t nul;        /* this octet (from 1) of the last step becomes a NUL */
};

#define HELLO "!220", "EHLO weir.sim\r\n", "!250"
#define MAIL  "MAIL FROM:<m1.k1@a.sim>\r\n"
#define RCPT  "RCPT TO:<r0.m1@b.sim>\r\n"
#define X62   "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define X124  X62 X62
#define X496  X124 X124 X124 X124
#define X997  X496 X496 "12345"
#define X998  X997 "6"

/* clang-format off */
static const struct talk good[] = {
	{"only looks", ALL, {HELLO, "QUIT\r\n", "!221"}},
	{"leaves after the banner", ALL, {"!220", "QUIT\r\n", "!221"}},
	{"leaves after a refused banner", ALL, {"!554", "QUIT\r\n"}},
	{"one at a time", 0, {HELLO, MAIL, "!250", RCPT, "!250", "DATA\r\n", "!354",
		"Subject: x\r\n\r\nhello\r\n.\r\n", "!250", "QUIT\r\n", "!221"}},
	{"in groups", ALL, {HELLO, MAIL RCPT RCPT "DATA\r\n", "!250", "!250", "!550", "!354",
		"..x\r\n\r\n...\r\n.\r\n" MAIL RCPT, "!250", "!250", "!250", "RSET\r\nQUIT\r\n", "!250", "!221"}},
	{"chunks", ALL, {HELLO, MAIL RCPT "BDAT 4\r\nab\r\n", "!250", "!250", "BDAT 3 LAST\r\n.\r\n", "!250", "!250",
		MAIL RCPT, "!250", "!250", "BDAT 0 LAST\r\n", "!250"}},
	{"a CRLF over two chunks", ALL, {HELLO, MAIL RCPT "BDAT 2\r\na\rBDAT 1\r\n\n", "!250", "!250", "BDAT 1 last\r\nb"}},
	{"chunks one by one", CHUNK, {HELLO, MAIL, "!250", RCPT, "!250", "BDAT 1\r\nx", "!250", "BDAT 0 LAST\r\n", "!250"}},
	{"a chunk is refused", ALL, {HELLO, MAIL RCPT "BDAT 1\r\nx", "!250", "!250", "!452", "RSET\r\n" MAIL RCPT "BDAT 1\r\nx"}},
	{"a second chunk before it can know", ALL, {HELLO, MAIL RCPT "BDAT 1\r\nx", "!250", "!250", "!452", "BDAT 1\r\nx"}},
	{"MAIL is refused, RCPT on its way", ALL, {HELLO, MAIL, "!550", RCPT, "!503", MAIL RCPT, "!250", "!250"}},
	{"all are refused, a lone dot", ALL, {HELLO, MAIL RCPT "DATA\r\n", "!250", "!550", "!354", ".\r\n", "!554", "QUIT\r\n"}},
	{"nothing in it", 0, {HELLO, MAIL, "!250", RCPT, "!250", "DATA\r\n", "!354", ".\r\n", "!250"}},
	{"DATA is refused", ALL, {HELLO, MAIL RCPT "DATA\r\n", "!250", "!250", "!451", "RSET\r\n" MAIL}},
	{"refused inside the body", ALL, {HELLO, MAIL RCPT "DATA\r\n", "!250", "!250", "!354", "abc", "!552", "d\r\n.\r\n", "QUIT\r\n"}},
	{"HELO after EHLO was refused", ALL, {"!220", "EHLO weir.sim\r\n", "!502", "HELO weir.sim\r\n", "!250", MAIL, "!250", RCPT}},
	{"EHLO in the middle", ALL, {HELLO, MAIL "EHLO [10.0.0.1]\r\n", "!250", "!250", MAIL RCPT}},
	{"all parameters", ALL, {HELLO, "MAIL FROM:<> SIZE=12345678901234567890 BODY=8BITMIME\r\n"
		"RCPT TO:<\"a b\\\"@c\"@d>\r\nRCPT TO:<postmaster>\r\nRCPT TO:<@a,@b:u@d>\r\nRCPT TO:<u@[IPv6:::1]>\r\n"}},
	{"lower case", ALL, {HELLO, "mail from:<a@b> body=7bit\r\nrcpt to:<c@d>\r\n"}},
	{"other commands", ALL, {HELLO, "NOOP\r\n", "!250", "NOOP x y\r\n", "!250", "VRFY me\r\n", "!252", "HELP\r\n", "!214"}},
	{"the longest lines", EIGHT | SIZE, {HELLO, MAIL, "!250", RCPT, "!250", "DATA\r\n", "!354", X998 "\r\n.." X997 "\r\n" "\r\n.\r\n"}},
	{"the longest line in a chunk", CHUNK, {HELLO, MAIL, "!250", RCPT, "!250", "BDAT 1000 LAST\r\n" X998 "\r\n", "!250"}},
	{"a server that says 421 by itself", ALL, {HELLO, "!421", MAIL "QUIT\r\n"}},
	{"no last CRLF in chunks", ALL, {HELLO, MAIL RCPT, "!250", "!250", "BDAT 1 LAST\r\nx", "!250", MAIL}},
};

#define SENT HELLO, MAIL, "!250", RCPT, "!250"
#define BODY SENT, "DATA\r\n", "!354"

static const struct talk bad[] = {
	{"speaks first", ALL, {"EHLO"}, "before the banner"},
	{"MAIL without EHLO", ALL, {"!220", MAIL}, "MAIL before EHLO"},
	{"MAIL after EHLO was refused", ALL, {"!220", "EHLO a\r\n", "!502", MAIL}, "MAIL before EHLO"},
	{"goes on after a refused banner", ALL, {"!554", "EHLO a\r\n"}, "the banner was a refusal"},
	{"pipelines what was not offered", CHUNK, {HELLO, MAIL RCPT}, "PIPELINING was not offered"},
	{"pipelines one octet", 0, {HELLO, MAIL, "!250", RCPT "D"}, "PIPELINING was not offered"},
	{"pipelines after HELO", ALL, {"!220", "HELO a\r\n", "!250", MAIL "R"}, "PIPELINING was not offered"},
	{"pipelines behind EHLO", ALL, {"!220", "EHLO a\r\nM"}, "ends a group"},
	{"pipelines behind EHLO, again", ALL, {HELLO, "EHLO a\r\nM"}, "ends a group"},
	{"pipelines behind DATA", ALL, {HELLO, MAIL RCPT "DATA\r\n", "!250", "!250", "x"}, "ends a group"},
	{"pipelines behind NOOP", ALL, {HELLO, "NOOP\r\nN"}, "ends a group"},
	{"speaks behind QUIT", ALL, {HELLO, "QUIT\r\n", "!221", "N"}, "octets behind QUIT"},
	{"two MAILs", ALL, {HELLO, MAIL, "!250", MAIL}, "MAIL inside a transaction"},
	{"two MAILs at once", ALL, {HELLO, MAIL MAIL}, "MAIL inside a transaction"},
	{"MAIL after DATA was refused", ALL, {SENT, "DATA\r\n", "!451", MAIL}, "MAIL inside a transaction"},
	{"RCPT first", ALL, {HELLO, RCPT}, "RCPT without MAIL"},
	{"RCPT after the message", ALL, {BODY, ".\r\n", RCPT}, "RCPT without MAIL"},
	{"RCPT after RSET", ALL, {HELLO, MAIL "RSET\r\n" RCPT}, "RCPT without MAIL"},
	{"RCPT after MAIL was refused, in lockstep", 0, {HELLO, MAIL, "!550", RCPT}, "RCPT though MAIL was refused"},
	{"DATA first", ALL, {HELLO, "DATA\r\n"}, "DATA without MAIL"},
	{"DATA without RCPT", ALL, {HELLO, MAIL "DATA\r\n"}, "DATA without RCPT"},
	{"BDAT without RCPT", ALL, {HELLO, MAIL "BDAT 1\r\n"}, "BDAT without RCPT"},
	{"BDAT first", ALL, {HELLO, "BDAT 1\r\n"}, "BDAT without MAIL"},
	{"BDAT behind the last", ALL, {SENT, "BDAT 1 LAST\r\nx", "BDAT 1 LAST\r\n"}, "behind the last chunk"},
	{"BDAT not offered", PIPE, {SENT, "BDAT 1\r\n"}, "CHUNKING was not offered"},
	{"DATA behind BDAT", ALL, {SENT, "BDAT 1\r\nx", "DATA\r\n"}, "DATA behind BDAT"},
	{"RCPT behind BDAT", ALL, {SENT, "BDAT 1\r\nx", RCPT}, "RCPT behind BDAT"},
	{"the end before a recipient's reply", ALL, {HELLO, MAIL RCPT, "!250", "BDAT 1 LAST\r\n"}, "the replies to all RCPTs"},
	{"the end before any reply", ALL, {HELLO, MAIL RCPT RCPT "BDAT 0 LAST\r\n"}, "the replies to all RCPTs"},
	{"goes on after a refused chunk", CHUNK, {SENT, "BDAT 1\r\nx", "!452", "BDAT 1\r\n"}, "a chunk was refused"},
	{"a size in hex", ALL, {SENT, "BDAT 0x10\r\n"}, "behind the size"},
	{"no size", ALL, {SENT, "BDAT LAST\r\n"}, "without a decimal size"},
	{"a signed size", ALL, {SENT, "BDAT +1\r\n"}, "without a decimal size"},
	{"one octet more than said", ALL, {SENT, "BDAT 1\r\nxy\r\n"}, "unknown command"},
	{"a body though all are refused", ALL, {HELLO, MAIL RCPT "DATA\r\n", "!250", "!550", "!354", "x"}, "the lone dot"},
	{"a stuffed body though all are refused", ALL, {HELLO, MAIL RCPT "DATA\r\n", "!250", "!550", "!354", ".."}, "the lone dot"},
	{"a dot not stuffed", ALL, {BODY, "a\r\n.b"}, "begins with one dot"},
	{"a bare LF in the body", ALL, {BODY, "a\n"}, "bare LF in the body"},
	{"LF.LF", ALL, {BODY, "a\r\n.\n"}, "begins with one dot"},
	{"CRLF.CR", ALL, {BODY, "a\r\n.\ra"}, "bare CR in the body"},
	{"a bare CR in the body", ALL, {BODY, "a\rb"}, "bare CR in the body"},
	{"a NUL in the body", ALL, {BODY, "abc"}, "NUL in the body", 3},
	{"a bare LF in a chunk", ALL, {SENT, "BDAT 2\r\na\n"}, "bare LF in the body"},
	{"a bare CR over two chunks", ALL, {SENT, "BDAT 2\r\na\r", "BDAT 1\r\nb"}, "bare CR in the body"},
	{"a bare CR at the end of chunks", ALL, {SENT, "BDAT 2 LAST\r\na\r"}, "bare CR at the end"},
	{"an overlong line", ALL, {BODY, X998 "x"}, "more than 998 octets"},
	{"an overlong line in chunks", ALL, {SENT, "BDAT 998\r\n" X998, "BDAT 1\r\nx"}, "more than 998 octets"},
	{"a bare LF in a command", ALL, {HELLO, "NOOP\n"}, "bare LF in a command"},
	{"a bare CR in a command", ALL, {HELLO, "NOOP\rx"}, "bare CR in a command"},
	{"a NUL in a command", ALL, {HELLO, "NOOP x"}, "NUL in a command", 6},
	{"an overlong command", ALL, {HELLO, "RCPT TO:<" X496 "@b.sim>\r\n"}, "line that is too long"},
	{"no end of the line", ALL, {HELLO, "NOOP " X496 X62}, "line that is too long"},
	{"UTF-8 in a command", ALL, {HELLO, "MAIL FROM:<\xc3\xa4@b>\r\n"}, "not printable ASCII"},
	{"SIZE not offered", PIPE | EIGHT, {HELLO, "MAIL FROM:<a@b> SIZE=1\r\n"}, "SIZE, which was not offered"},
	{"BODY not offered", PIPE | SIZE, {HELLO, "MAIL FROM:<a@b> BODY=8BITMIME\r\n"}, "8BITMIME was not offered"},
	{"offers of EHLO after HELO", ALL, {"!220", "HELO a\r\n", "!250", "MAIL FROM:<a@b> SIZE=1\r\n"}, "SIZE, which was not offered"},
	{"SIZE twice", ALL, {HELLO, "MAIL FROM:<a@b> SIZE=1 SIZE=2\r\n"}, "SIZE twice"},
	{"a bad SIZE", ALL, {HELLO, "MAIL FROM:<a@b> SIZE=\r\n"}, "bad SIZE"},
	{"a bad BODY", ALL, {HELLO, "MAIL FROM:<a@b> BODY=BINARYMIME\r\n"}, "bad BODY"},
	{"another extension", ALL, {HELLO, "MAIL FROM:<a@b> RET=HDRS\r\n"}, "extension that was not offered"},
	{"another extension of RCPT", ALL, {HELLO, MAIL "RCPT TO:<a@b> NOTIFY=NEVER\r\n"}, "extension that was not offered"},
	{"a blank behind the address", ALL, {HELLO, "MAIL FROM:<a@b> \r\n"}, "a blank too many"},
	{"a blank before the address", ALL, {HELLO, "MAIL FROM: <a@b>\r\n"}, "doesn't begin with <"},
	{"no brackets", ALL, {HELLO, "MAIL FROM:a@b\r\n"}, "doesn't begin with <"},
	{"no closing bracket", ALL, {HELLO, "MAIL FROM:<a@b\r\n"}, "without its >"},
	{"no domain", ALL, {HELLO, "MAIL FROM:<a>\r\n"}, "without a domain"},
	{"an empty recipient", ALL, {HELLO, MAIL "RCPT TO:<>\r\n"}, "bad local part"},
	{"a bad domain", ALL, {HELLO, "MAIL FROM:<a@b..c>\r\n"}, "bad domain"},
	{"a bad local part", ALL, {HELLO, "MAIL FROM:<a..b@c>\r\n"}, "bad local part"},
	{"MAIL without FROM", ALL, {HELLO, "MAIL <a@b>\r\n"}, "MAIL without FROM:"},
	{"EHLO without a name", ALL, {"!220", "EHLO\r\n"}, "without one domain"},
	{"EHLO with two", ALL, {"!220", "EHLO a b\r\n"}, "without one domain"},
	{"DATA with an argument", ALL, {SENT, "DATA x\r\n"}, "an argument where none may be"},
	{"an unknown command", ALL, {HELLO, "XYZZY\r\n"}, "unknown command"},
	{"a line of the body as a command", ALL, {SENT, "DATA\r\n", "!451", "Subject: x\r\n"}, "unknown command"},
	{"an empty line", ALL, {HELLO, "\r\n"}, "unknown command"},
};
/* clang-format on */

/* ---- playing them ---- */

/* How many octets to give at once, given how many are left. */
typedef size_t cut_fn(void *arg, size_t at, size_t left);

static struct legal *begin(const struct talk *talk)
{
	struct legal_offers offers = {.pipelining = talk->offers & PIPE,
		.chunking = talk->offers & CHUNK,
		.eightbit = talk->offers & EIGHT,
		.size = talk->offers & SIZE};

	return legal_new(&offers);
}

/* What was said of one step. */
static const char *play_step(
	struct legal *legal, const struct talk *talk, unsigned step, cut_fn *cut, void *arg)
{
	const char *text = talk->steps[step], *words = NULL;
	bool last = step + 1 == STEPS || !talk->steps[step + 1];
	char bytes[4096];
	size_t len = strlen(text), at = 0;

	if (text[0] == '!') {
		legal_replied(legal,
			(unsigned)((text[1] - '0') * 100 + (text[2] - '0') * 10 + text[3] - '0'));
		return NULL;
	}
	assert_true(len < sizeof(bytes));
	memcpy(bytes, text, len);
	if (last && talk->nul > 0)
		bytes[talk->nul - 1] = '\0';
	while (at < len && !words) {
		size_t part = cut(arg, at, len - at);

		words = legal_heard(legal, (struct span){.at = bytes + at, .len = part});
		at += part;
	}
	return words;
}

static void play(const struct talk *talk, cut_fn *cut, void *arg)
{
	struct legal *legal = begin(talk);
	const char *words = NULL;
	unsigned step = 0;

	for (; step < STEPS && talk->steps[step] && !words; step++)
		words = play_step(legal, talk, step, cut, arg);
	if (!talk->words && words)
		fail_msg("%s: called illegal at step %u: %s", talk->name, step, words);
	if (talk->words && !words)
		fail_msg("%s: not caught", talk->name);
	if (talk->words && !strstr(words, talk->words))
		fail_msg("%s: wrong words: %s", talk->name, words);
	if (talk->words && step < STEPS && talk->steps[step])
		fail_msg("%s: caught at step %u already: %s", talk->name, step, words);
	/* Once is enough. */
	if (words)
		assert_null(legal_heard(legal, SPAN("\n\n")));
	legal_free(&legal);
	assert_null(legal);
}

static size_t cut_nowhere(void *arg, size_t at, size_t left)
{
	return left;
}

static size_t cut_everywhere(void *arg, size_t at, size_t left)
{
	return 1;
}

/* Once, at one offset of each step. */
static size_t cut_once(void *arg, size_t at, size_t left)
{
	size_t where = *(size_t *)arg;

	return at < where && where - at < left ? where - at : left;
}

static size_t cut_by_lot(void *arg, size_t at, size_t left)
{
	return 1 + rng_below(arg, left < 40 ? left : 40);
}

static void play_in_all_cuts(const struct talk *talk)
{
	struct rng rng;

	play(talk, cut_nowhere, NULL);
	play(talk, cut_everywhere, NULL);
	for (size_t where = 1; where < 200; where++)
		play(talk, cut_once, &where);
	for (uint64_t seed = 0; seed < 50; seed++) {
		rng_seed(&rng, seed);
		play(talk, cut_by_lot, &rng);
	}
}

static void test_legal_talks_pass(void **state)
{
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		play_in_all_cuts(&good[i]);
}

static void test_illegal_talks_are_caught(void **state)
{
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		play_in_all_cuts(&bad[i]);
}

/* Long pipelines: the queue of what is asked grows, and its ring turns. */
static void test_a_thousand_recipients(void **state)
{
	const struct talk talk = {.offers = ALL};
	struct legal *legal = begin(&talk);

	legal_replied(legal, 220);
	assert_null(legal_heard(legal, SPAN("EHLO a\r\n")));
	legal_replied(legal, 250);
	for (int round = 0; round < 3; round++) {
		assert_null(legal_heard(legal, SPAN("RSET\r\n" MAIL)));
		for (int i = 0; i < 1000; i++) {
			assert_null(legal_heard(legal, SPAN(RCPT)));
			if (i % 3 == 0)
				legal_replied(legal, 250);
		}
		/* In the last round one reply is still to come. */
		for (int i = 0; i < 1002 - 334 - (round == 2); i++)
			legal_replied(legal, 250);
	}
	assert_non_null(strstr(legal_heard(legal, SPAN("BDAT 0 LAST\r\n")), "all RCPTs"));
	legal_free(&legal);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_legal_talks_pass),
		cmocka_unit_test(test_illegal_talks_are_caught),
		cmocka_unit_test(test_a_thousand_recipients),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
