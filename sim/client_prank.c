/*
 * What a client should not say (facts: hostile input 1 to 9, 19 to 22, 25), each with the reply
 * that must come back.  None of it may ever reach a server as a message.
 *
 * Noise is what stands between the commands of an honest session and leaves it as it was; a prank
 * is a session of its own; a trick is played within a transaction, and the script plays it.
 */
#include "sim/client_inside.h"

#include <stdio.h>
#include <string.h>

enum { NOISES = 6 }; /* errors are counted, at ten the session is slowed down */

static struct ask *say_raw(struct sim_client *client, struct span octets, unsigned want)
{
	buf_add_span(&client->out, octets);
	client->said += octets.len;
	struct ask *ask = client_expect(client, ASK_OTHER);
	ask->want = (uint16_t)want;
	return ask;
}

/* ---- noise ---- */

enum {
	AT_START = 1,
	AT_READY = 2,
	AT_MAIL = 4, /* no recipient yet */
	AT_RCPT = 8, /* one at least is accepted */
	AT_CHUNK = 16,
	AT_ANY = 31,
};

struct noise {
	unsigned where;
	unsigned want;
	struct span octets;
};

static const struct noise idle[] = {
	{AT_ANY, 250, SPAN("NOOP\r\n")},
	{AT_ANY, 250, SPAN("noop what ever\r\n")},
	{AT_READY, 250, SPAN("RSET\r\n")},
	{AT_ANY, 252, SPAN("VRFY somebody\r\n")},
	{AT_ANY, 214, SPAN("HELP\r\n")},
	{AT_ANY, 214, SPAN("help me\r\n")},
};

static const struct noise nonsense[] = {
	{AT_ANY, 500, SPAN("XYZZY\r\n")},
	{AT_ANY, 500, SPAN("\r\n")},
	{AT_ANY, 500, SPAN(".\r\n")},
	{AT_ANY, 500, SPAN("MAILFROM:<m@trap.sim>\r\n")},
	{AT_ANY, 500, SPAN("STARTTLS\r\n")},
	{AT_ANY, 500, SPAN("AUTH PLAIN AGEAYg==\r\n")},
	{AT_ANY, 500, SPAN("XCLIENT ADDR=192.0.2.1\r\n")},
	{AT_ANY, 500, SPAN("XFORWARD ADDR=192.0.2.1\r\n")},
	{AT_ANY, 500, SPAN("MAIL FROM:<m@trap.sim>\rRCPT TO:<r@trap.sim>\r\n")},
	{AT_ANY, 500, SPAN("MAIL FROM:<m@trap.sim>\nRCPT TO:<r@trap.sim>\r\n")},
	{AT_ANY, 500, SPAN("MAIL FROM:<m@trap.sim>\0RCPT TO:<r@trap.sim>\r\n")},
	{AT_ANY, 500, SPAN("RCPT TO:<r@trap.sim>\n\rDATA\r\n")},
	{AT_ANY, 502, SPAN("EXPN everybody\r\n")},
	{AT_ANY, 502, SPAN("TURN\r\n")},
	{AT_ANY, 502, SPAN("ETRN trap.sim\r\n")},
	{AT_ANY, 501, SPAN("VRFY\r\n")},
	{AT_ANY, 501, SPAN("EHLO\r\n")},
	{AT_ANY, 501, SPAN("HELO <name>\r\n")},
	{AT_ANY, 501, SPAN("RSET now\r\n")},
	{AT_ANY, 501, SPAN("QUIT now\r\n")},
	{AT_READY, 501, SPAN("MAIL FROM:<m@trap.sim\r\n")},
	{AT_READY, 501, SPAN("MAIL FROM:m@@trap.sim\r\n")},
	{AT_READY, 501, SPAN("MAIL TO:<m@trap.sim>\r\n")},
	{AT_READY, 501, SPAN("MAIL FROM:<m@trap.sim> SIZE=1x\r\n")},
	{AT_READY, 501, SPAN("MAIL FROM:<m@trap.sim> SIZE=1 SIZE=2\r\n")},
	{AT_READY, 501, SPAN("MAIL FROM:<m@trap.sim> BODY=9BIT\r\n")},
	{AT_READY, 555, SPAN("MAIL FROM:<m@trap.sim> FOO=BAR\r\n")},
	{AT_READY, 552, SPAN("MAIL FROM:<m@trap.sim> SIZE=999999999\r\n")},
	{AT_MAIL | AT_RCPT, 501, SPAN("RCPT TO:<r@trap.sim\r\n")},
	{AT_MAIL | AT_RCPT, 501, SPAN("RCPT TO:r trap.sim\r\n")},
	{AT_MAIL | AT_RCPT, 501, SPAN("RCPT FROM:<r@trap.sim>\r\n")},
	{AT_MAIL | AT_RCPT, 555, SPAN("RCPT TO:<r@trap.sim> FOO=BAR\r\n")},
	{AT_RCPT, 501, SPAN("DATA now\r\n")},
};

/* Octets behind BDAT are its chunk's, expected or not. */
static const struct noise disorder[] = {
	{AT_START, 503, SPAN("MAIL FROM:<m@trap.sim>\r\n")},
	{AT_START | AT_READY, 503, SPAN("RCPT TO:<r@trap.sim>\r\n")},
	{AT_START | AT_READY | AT_MAIL, 503, SPAN("DATA\r\n")},
	{AT_START | AT_READY | AT_MAIL, 503, SPAN("BDAT 4\r\nQUIT")},
	{AT_START | AT_READY | AT_MAIL, 503, SPAN("BDAT 6 LAST\r\nQUIT\r\n")},
	{AT_START | AT_READY | AT_MAIL, 503, SPAN("BDAT 0 LAST\r\n")},
	{AT_MAIL | AT_RCPT | AT_CHUNK, 503, SPAN("MAIL FROM:<m@trap.sim>\r\n")},
	{AT_CHUNK, 503, SPAN("RCPT TO:<r@trap.sim>\r\n")},
	{AT_CHUNK, 503, SPAN("DATA\r\n")},
};

static unsigned place(const struct sim_client *client)
{
	const struct job *job = client->deal.job;
	switch (client->stage) {
	case STAGE_GREETING:
		return AT_START;
	case STAGE_HELLO:
	case STAGE_READY:
		return AT_READY;
	case STAGE_ENVELOPE:
		if (job->judged || client->go_ahead)
			return 0;
		return job->yes > 0 ? AT_RCPT : AT_MAIL;
	case STAGE_CHUNKS:
		return job->judged ? 0 : AT_CHUNK;
	default:
		return 0;
	}
}

static bool say_one(
	struct sim_client *client, const struct noise *rows, size_t count, unsigned where)
{
	/* From a random one on, the first that fits. */
	size_t begin = rng_below(&client->rng, count);
	for (size_t i = 0; i < count; i++) {
		const struct noise *row = &rows[(begin + i) % count];
		if (!(row->where & where))
			continue;
		say_raw(client, row->octets, row->want);
		client->noises++;
		return true;
	}
	return false;
}

/* Its tail must never be taken for a command. */
static bool say_long(struct sim_client *client)
{
	static const char *const begins[] = {"NOOP ", "RCPT TO:<", "MAIL FROM:<", "EHLO ", "X"};
	static const char *const ends[] = {
		">\r\n", "\rQUIT\r\n", "\nMAIL FROM:<m@trap.sim>\r\n", "\r\n"};
	struct buf line = {0};
	size_t len = (size_t)rng_skewed(&client->rng, 1100, 6000);
	buf_add_text(&line, begins[rng_below(&client->rng, 5)]);
	while (line.len < len)
		buf_add_text(&line, "0123456789abcdef");
	buf_add_text(&line, ends[rng_below(&client->rng, 4)]);
	say_raw(client, buf_span(&line), 500);
	buf_clear(&line);
	client->noises++;
	return true;
}

bool client_noise(struct sim_client *client)
{
	const struct manner *manner = &client->manner;
	struct rng *rng = &client->rng;
	unsigned where = place(client);
	if (where == 0 || client->noises >= NOISES || manner->prank == PRANK_HTTP)
		return false;
	if (manner->bad_command && rng_one_in(rng, 3))
		return rng_one_in(rng, 8) ? say_long(client)
					  : say_one(client, nonsense,
						    sizeof(nonsense) / sizeof(*nonsense), where);
	if (manner->bad_order && rng_one_in(rng, 2))
		return say_one(client, disorder, sizeof(disorder) / sizeof(*disorder), where);
	if (rng_one_in(rng, 40))
		return say_one(client, idle, sizeof(idle) / sizeof(*idle), where);
	return false;
}

/* ---- pranks ---- */

static bool say_foreign(struct sim_client *client)
{
	static const struct span talks[] = {
		SPAN("GET / HTTP/1.1\r\nHost: weir.sim\r\n\r\n"),
		SPAN("POST /?RSET HTTP/1.1\r\nHost: weir.sim\r\n\r\nEHLO a\r\n"
		     "MAIL FROM:<m@trap.sim>\r\nRCPT TO:<r@trap.sim>\r\nDATA\r\nx\r\n.\r\n"),
		SPAN("CONNECT weir.sim:25 HTTP/1.1\r\n\r\n"),
		SPAN("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
		SPAN("PROXY TCP4 192.0.2.1 192.0.2.2 1000 25\r\nEHLO a\r\n"),
		SPAN("OPTIONS * HTTP/1.0\r\n\r\n"),
		SPAN("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\nEHLO a\r\n"),
	};
	if (client->step++ > 0)
		return false;
	say_raw(client, talks[rng_below(&client->rng, sizeof(talks) / sizeof(*talks))], 554)
		->closes = true;
	return true;
}

/* A hundred commands without a message are borne, not more. */
static bool say_flood(struct sim_client *client)
{
	static const struct noise floods[] = {
		{0, 250, SPAN("NOOP\r\n")},
		{0, 250, SPAN("RSET\r\n")},
		{0, 214, SPAN("HELP\r\n")},
		{0, 252, SPAN("VRFY a\r\n")},
		{0, 250, SPAN("EHLO a\r\n")},
	};
	enum { FLOOD = 150, ONE_BY_ONE = 4 };
	unsigned kind = (unsigned)client->sessions % 5;
	bool at_once = kind != ONE_BY_ONE && client->set.number % 2 == 0;
	if (client->step >= FLOOD) {
		world_fail(client->world, "wrong-reply", "%s: %u commands without a message",
			client->who, client->step);
		return false;
	}
	do {
		say_raw(client, floods[kind].octets, floods[kind].want);
		client->step++;
	} while (at_once && client->step < FLOOD);
	return true;
}

/* RFC 2920 3.1: nothing may follow EHLO before its reply. */
static bool say_early_mail(struct sim_client *client)
{
	if (client->step++ > 0)
		return false;
	client_say(client, ASK_HELLO, "EHLO early.sim");
	say_raw(client, SPAN("MAIL FROM:<m@trap.sim>\r\n"), 0);
	return true;
}

static bool say_bad_bdat(struct sim_client *client)
{
	if (client->step++ > 0)
		return false;
	client_bad_bdat(client);
	return true;
}

bool client_prank(struct sim_client *client)
{
	bool greeted = client->stage == STAGE_READY || client->stage == STAGE_HELLO;
	switch (client->manner.prank) {
	case PRANK_HTTP:
		return client->stage == STAGE_GREETING && say_foreign(client);
	case PRANK_FLOOD:
		return greeted && say_flood(client);
	case PRANK_EARLY_MAIL:
		return client->stage == STAGE_GREETING && say_early_mail(client);
	case PRANK_BAD_BDAT:
		return greeted && say_bad_bdat(client);
	case PRANK_NONE:
		break;
	}
	return false;
}

/* ---- tricks ---- */

void client_bad_bdat(struct sim_client *client)
{
	static const struct span sizes[] = {
		SPAN("BDAT 18446744073709551616\r\n"),
		SPAN("BDAT 18446744073709551626 LAST\r\n"),
		SPAN("BDAT 4294967297 LAST\r\n"),
		SPAN("BDAT -1\r\n"),
		SPAN("BDAT +10\r\n"),
		SPAN("BDAT 0x10\r\n"),
		SPAN("BDAT\r\n"),
		SPAN("BDAT LAST\r\n"),
		SPAN("BDAT 10 LAST now\r\n"),
		SPAN("BDAT 10 FIRST\r\n"),
		SPAN("BDAT 1 0\r\n"),
		SPAN("BDAT 10\nLAST\r\n"),
	};
	size_t lot = rng_below(&client->rng, sizeof(sizes) / sizeof(*sizes) + 3);
	if (lot < sizeof(sizes) / sizeof(*sizes)) {
		say_raw(client, sizes[lot], 501)->closes = true;
		return;
	}
	/* A last chunk that is cut off: it has no end, whatever it looks like. */
	static const struct span half =
		SPAN("BDAT 500 LAST\r\nSubject: half\r\n\r\nx\r\n.\r\nQUIT\r\n");
	buf_add_span(&client->out, half);
	client->said += half.len;
	client_flush(client);
	client_hang_up(client, lot % 2 == 0);
}

/* What some take for the end of data (SMTP smuggling; hostile input 1), a form each. */
static const struct span false_ends[] = {
	SPAN("\n.\n"),
	SPAN("\n.\r\n"),
	SPAN("\r\n.\n"),
	SPAN("\r.\r"),
	SPAN("\r.\n"),
	SPAN("\n.\r"),
	SPAN("\r.\r\n"),
	SPAN("\r\n.\r"),
	SPAN("\n.\r\r\n"),
	SPAN("\r\n.\r\r\n"),
	SPAN("\r\r\n.\r\r\n"),
	SPAN("\r\n\0.\r\n"),
	SPAN("\r\n.\0\r\n"),
	/* No end at all, but nothing that may pass. */
	SPAN("\n"),
	SPAN("\r"),
	SPAN("\0"),
};

/* A whole second transaction stands behind the false end; its sender is one whom the ledger knows,
 * and from whom nobody may take anything. */
static void smuggle(struct sim_client *client, struct job *job)
{
	char sender[LEDGER_ADDRESS], recipient[LEDGER_ADDRESS];
	struct ledger *ledger = client->set.ledger;
	unsigned mail = job->mail->number;
	unsigned attempt = ledger_attempt(ledger, mail, client->set.number, false);
	ledger_verdict(ledger, mail, attempt, 0, (struct span){0});
	ledger_sender(sender, mail, attempt);
	ledger_recipient_address(recipient, mail, 0);
	buf_addf(&client->fake, "Subject: a disguise\r\n\r\nnothing to see here");
	buf_add_span(&client->fake,
		false_ends[rng_below(&client->rng, sizeof(false_ends) / sizeof(*false_ends))]);
	buf_addf(&client->fake, "MAIL FROM:<%s>\r\nRCPT TO:<%s>\r\n%s", sender, recipient,
		rng_one_in(&client->rng, 2) ? "DATA\r\nSubject: smuggled\r\n\r\nhere\r\n"
					    : "BDAT 6 LAST\r\nhere\r\n");
}

struct span client_fake_body(struct sim_client *client, struct job *job, enum trick trick)
{
	buf_reset(&client->fake);
	if (trick == TRICK_SMUGGLE)
		smuggle(client, job);
	while (trick == TRICK_OVER_SIZE && client->fake.len <= (size_t)client->set.max_size)
		buf_add_text(&client->fake, "0123456789 much more than was agreed on\r\n");
	return buf_span(&client->fake);
}
