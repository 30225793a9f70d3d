/*
 * What a client hears.  Each reply is judged by the command it answers: its form, its code, whose
 * addresses it names, whether it is late.
 *
 * Only 421 may come for anything; it is the last reply.  A reply to what was not sent in whole yet
 * is one too many, but for the few with which the other side ends a broken session (`closes`).
 */
#include "sim/client_inside.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum { REPLY_LINE = 512, REPLY_MAX = 64 * 1024 };

/* ---- the form of a reply (RFC 5321 4.2) ---- */

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Length of the first line with its CRLF; 0: not whole yet.  */
static size_t line_length(struct span in, const char **wrong_r)
{
	const char *lf = memchr(in.at, '\n', in.len);
	size_t len = lf ? (size_t)(lf - in.at) + 1 : in.len;
	if (len > REPLY_LINE) {
		*wrong_r = "a reply line of more than 512 octets";
		return 0;
	}
	if (!lf)
		return 0;
	if (len < 2 || in.at[len - 2] != '\r')
		*wrong_r = "a reply line that ends in a bare LF";
	else if (memchr(in.at, '\r', len - 2) || memchr(in.at, '\0', len))
		*wrong_r = "a bare CR or a NUL in a reply";
	else if (len < 5 || in.at[0] < '2' || in.at[0] > '5' || !is_digit(in.at[1]) ||
		 !is_digit(in.at[2]))
		*wrong_r = "a reply without a code";
	else if (len > 5 && in.at[3] != ' ' && in.at[3] != '-')
		*wrong_r = "neither blank nor hyphen behind a code";
	return len;
}

static unsigned code_of(const char *at)
{
	return (unsigned)(at[0] - '0') * 100 + (unsigned)(at[1] - '0') * 10 +
	       (unsigned)(at[2] - '0');
}

/* Octets of the first whole reply; 0: not whole yet, or wrong. */
static size_t take_reply(struct span in, struct reply *reply_r, const char **wrong_r)
{
	size_t at = 0, len;
	*wrong_r = NULL;
	do {
		if (at == in.len)
			return 0;
		len = line_length(span_from(in, at), wrong_r);
		if (*wrong_r || len == 0)
			return 0;
		if (at == 0) {
			size_t front = len > 5 ? 4 : 3;
			reply_r->code = code_of(in.at);
			reply_r->text = (struct span){.at = in.at + front, .len = len - front - 2};
		} else if (code_of(in.at + at) != reply_r->code) {
			*wrong_r = "a reply with two codes";
			return 0;
		}
		at += len;
		if (at > REPLY_MAX) {
			*wrong_r = "a reply of more than 64 KiB";
			return 0;
		}
	} while (in.at[at - len + 3] == '-');
	reply_r->wire = (struct span){.at = in.at, .len = at};
	return at;
}

/* ---- failures ---- */

static const char *const ask_names[] = {
	[ASK_BANNER] = "banner",
	[ASK_HELLO] = "EHLO",
	[ASK_MAIL] = "MAIL",
	[ASK_RCPT] = "RCPT",
	[ASK_DATA] = "DATA",
	[ASK_CHUNK] = "BDAT",
	[ASK_END] = "end of data",
	[ASK_RSET] = "RSET",
	[ASK_QUIT] = "QUIT",
	[ASK_OTHER] = "command",
};

const char *client_ask_name(enum ask_kind kind)
{
	return ask_names[kind];
}

static int shown(struct span text)
{
	size_t len = text.len;
	while (len > 0 && (text.at[len - 1] == '\n' || text.at[len - 1] == '\r'))
		len--;
	return len < 120 ? (int)len : 120;
}

static void fail_reply(struct sim_client *client, const char *check, const struct ask *ask,
	const struct reply *reply, const char *words)
{
	char whose[40] = "";
	if (ask->job && ask->job->attempt)
		snprintf(whose, sizeof(whose), " of m%u.k%u", ask->job->mail->number,
			ask->job->attempt);
	world_fail(client->world, check, "%s, %s%s: %s: \"%.*s\"", client->who,
		ask_names[ask->kind], whose, words, shown(reply->wire), reply->wire.at);
}

/* ---- whose words are they? ---- */

/* The next "<...>" of `text`; false: none. */
static bool next_address(struct span *text, struct span *address_r)
{
	size_t open = span_find(*text, '<');
	if (open == text->len)
		return false;
	*text = span_from(*text, open + 1);
	size_t close = span_find(*text, '>');
	*address_r = (struct span){.at = text->at, .len = close};
	*text = span_from(*text, close == text->len ? close : close + 1);
	return true;
}

enum { NAMES_NOBODY, NAMES_US, NAMES_OTHERS };

/*
 * Servers name in their replies whom they speak of.  A 451 may name another recipient of the same
 * message: it is what the last server said of its own trouble, handed to all that wait when there
 * is no further server.
 */
static int names_whom(const struct ask *ask, const struct reply *reply)
{
	struct span text = reply->wire, address;
	bool anyone = ask->kind != ASK_RCPT || reply->code == 451;
	unsigned mail, number;
	int whom = NAMES_NOBODY;
	while (next_address(&text, &address)) {
		bool ours;
		if (ledger_parse_recipient(address, &mail, &number))
			ours = anyone || number == ask->index;
		else if (ledger_parse_sender(address, &mail, &number))
			ours = number == ask->job->attempt;
		else
			continue;
		if (!ours || mail != ask->job->mail->number)
			return NAMES_OTHERS;
		whom = NAMES_US;
	}
	return whom;
}

static bool find_commit(struct span text, unsigned *commit_r)
{
	static const char mark[] = "queued as C";
	const char *at = memmem(text.at, text.len, mark, sizeof(mark) - 1);
	if (!at)
		return false;
	struct span digits = span_from(text, (size_t)(at - text.at) + sizeof(mark) - 1);
	uint64_t number;
	size_t len = 0;
	while (len < digits.len && is_digit(digits.at[len]))
		len++;
	digits.len = len;
	if (!span_to_u64(digits, 1u << 30, &number))
		return false;
	*commit_r = (unsigned)number;
	return true;
}

/* What Mailweir says of a body that is not as it should be; ours is. */
static bool calls_flawed(const struct reply *reply)
{
	static const char *const flaws[] = {
		"5.5.2 Bare", "5.6.0 NUL", "5.6.0 Line longer", "5.3.4 Message larger"};
	for (size_t i = 0; i < sizeof(flaws) / sizeof(flaws[0]); i++)
		if (span_starts_nocase(reply->text, flaws[i]))
			return true;
	return false;
}

static bool is_early_input(const struct reply *reply)
{
	return reply->code == 503 && span_starts_nocase(reply->text, "5.5.0");
}

/* ---- is the code legal? ---- */

static bool legal(const struct sim_client *client, const struct ask *ask, unsigned code)
{
	bool refusal = code >= 400;
	/* A body whose recipients were all refused is refused for that. */
	bool for_nobody = ask->kind == ASK_END && ask->job && ask->job->yes == 0;
	if (ask->want != 0)
		return code == ask->want || (for_nobody && refusal);
	switch (ask->kind) {
	case ASK_BANNER:
		return code == 220;
	case ASK_HELLO:
	case ASK_MAIL:
	case ASK_RSET:
		return code == 250;
	case ASK_RCPT:
		/* One too many is not offered to any server. */
		if (ask->index >= client->set.max_recipients && client->set.max_recipients > 0)
			return refusal;
		return code == 250 || code == 251 || refusal;
	case ASK_DATA:
		return refusal || (code == 354 && ask->job->yes > 0);
	case ASK_CHUNK:
		return (code == 250 && ask->job->yes > 0) || refusal;
	case ASK_END:
		/* What is wrong with it may have been said to a chunk or recipient before. */
		if (ask->job->tricked)
			return code >= 500;
		return (code == 250 && !ask->job->judged && ask->job->yes > 0) || refusal;
	case ASK_QUIT:
		return code == 221;
	case ASK_OTHER:
		break;
	}
	return client->manner.prank == PRANK_EARLY_MAIL;
}

static void judge_words(struct sim_client *client, const struct ask *ask, const struct reply *reply)
{
	bool yes = reply->code / 100 == 2;
	int whom;
	if (!ask->job || ask->job->tricked)
		return;
	whom = names_whom(ask, reply);
	if (whom == NAMES_OTHERS)
		fail_reply(client, "crossed-reply", ask, reply, "names somebody else's");
	if (ask->kind == ASK_RCPT && yes && whom == NAMES_NOBODY)
		fail_reply(client, "crossed-reply", ask, reply, "no server has said this");
	if (ask->kind == ASK_RCPT && reply->code >= 500 && whom == NAMES_NOBODY)
		fail_reply(client, "wrong-reply", ask, reply,
			"a recipient is refused for good, and not by a server");
	if (ask->kind == ASK_END && calls_flawed(reply))
		fail_reply(client, "wrong-reply", ask, reply, "the message is sound");
}

/* ---- is it late? ---- */

/*
 * A promise each; asked for only where nothing between here and there can be the cause.  Between
 * the end of data and the verdict stand the time in which a further server may be begun and the
 * time that the last one has.
 */
int64_t client_bound(const struct sim_client *client, const struct ask *ask)
{
	if (!client->manner.quiet || client->manner.slow_reader)
		return NEVER;
	switch (ask->kind) {
	case ASK_BANNER:
		return 2 * MINUTE;
	case ASK_RCPT:
	case ASK_DATA:
		return 25 * SECOND;
	case ASK_CHUNK:
	case ASK_END:
		return 20 * MINUTE;
	default:
		return 10 * SECOND;
	}
}

static void judge_time(struct sim_client *client, const struct ask *ask, const struct reply *reply)
{
	int64_t since = ask->since > client->last_heard ? ask->since : client->last_heard;
	char words[60];
	if (ask->since == 0 || client->world->now - since <= client_bound(client, ask))
		return;
	snprintf(words, sizeof(words), "comes after %lld s",
		(long long)((client->world->now - since) / SECOND));
	fail_reply(client, "late-reply", ask, reply, words);
}

/* Who is told "time-out" must have been slow. */
static void judge_goodbye(
	struct sim_client *client, const struct ask *ask, const struct reply *reply)
{
	if (!client->manner.quiet || client->manner.cut == CUT_STALL ||
		!span_starts_nocase(reply->text, "4.4.2") ||
		client->world->now - client->last_sent > 100 * SECOND)
		return;
	fail_reply(client, "hasty-timeout", ask, reply, "a client that has just sent something");
}

/* ---- what it means ---- */

static void take_offers(struct sim_client *client, const struct reply *reply)
{
	struct span rest = reply->wire;
	client->pipelining = client->chunking = client->eightbit = client->has_size = false;
	client->size = 0;
	while (rest.len > 0) {
		size_t end = span_find(rest, '\n');
		struct span word = {.at = rest.at, .len = end > 0 ? end - 1 : 0};
		rest = span_from(rest, end + 1);
		if (word.len < 4)
			continue;
		word = span_from(word, 4);
		client->pipelining |= span_is_nocase(word, "PIPELINING");
		client->chunking |= span_is_nocase(word, "CHUNKING");
		client->eightbit |= span_is_nocase(word, "8BITMIME");
		if (span_starts_nocase(word, "SIZE")) {
			client->has_size = true;
			if (word.len > 5 &&
				!span_to_u64(span_from(word, 5), UINT64_MAX, &client->size))
				client->size = 0;
		}
	}
}

static void took_recipient(
	struct sim_client *client, const struct ask *ask, const struct reply *reply)
{
	struct job *job = ask->job;
	ledger_recipient(client->set.ledger, job->mail->number, job->attempt, ask->index,
		reply->code, reply->text);
	job->answered++;
	job->yes += reply->code < 300;
	job->for_good += reply->code >= 500;
	if (job->for_good == job->mail->recipients && !job->tricked)
		job->refused = true;
}

static void took_end(struct sim_client *client, const struct ask *ask, const struct reply *reply)
{
	struct job *job = ask->job;
	unsigned commit;
	if (reply->code < 300) {
		if (find_commit(reply->wire, &commit))
			ledger_told_commit(
				client->set.ledger, job->mail->number, job->attempt, commit);
		else
			fail_reply(client, "early-250", ask, reply, "no server has said this");
	}
	client->needs_rset |= reply->code >= 300;
	client_verdict(client, job, reply->code, reply->text);
	client_job_over(client, job);
}

static void took(struct sim_client *client, const struct ask *ask, const struct reply *reply)
{
	struct job *job = ask->job;
	switch (ask->kind) {
	case ASK_HELLO:
		take_offers(client, reply);
		break;
	case ASK_MAIL:
		if (job && reply->code >= 300)
			client_verdict(client, job, reply->code, reply->text);
		break;
	case ASK_RCPT:
		took_recipient(client, ask, reply);
		break;
	case ASK_DATA:
	case ASK_CHUNK:
		client->go_ahead = reply->code == 354;
		if (reply->code >= 400) {
			client->needs_rset = true;
			client_verdict(client, job, reply->code, reply->text);
		}
		break;
	case ASK_END:
		took_end(client, ask, reply);
		break;
	case ASK_QUIT:
		client_leave(client);
		break;
	default:
		break;
	}
}

/* ---- one reply ---- */

static struct ask pop(struct sim_client *client)
{
	struct ask ask = client->ask[client->ask_head++];
	if (client->unsent < client->ask_head)
		client->unsent = client->ask_head;
	if (client->ask_head == client->asks)
		client->ask_head = client->asks = client->unsent = 0;
	return ask;
}

/*
 * The last reply of a session: 421.  It is the verdict on the transaction whose command it answers
 * (nothing of it can be at a server behind the end of data: that is answered first, and alone).
 */
static void take_goodbye(struct sim_client *client, const struct reply *reply)
{
	static const struct ask nothing = {.kind = ASK_OTHER};
	struct ask ask = nothing;
	if (client->ask_head < client->asks)
		ask = pop(client);
	judge_goodbye(client, &ask, reply);
	if (ask.job && ask.job->attempt)
		client_verdict(client, ask.job, reply->code, reply->text);
	client_leave(client);
}

/* The body is on its way and will be taken for commands; what comes back is not looked at. */
static void loosen(struct sim_client *client)
{
	client->loose = true;
	client_rest(client, client->world->now + 10 * SECOND);
}

void client_heard_reply(struct sim_client *client, const struct reply *reply)
{
	struct ask ask;
	if (client->loose) {
		if (reply->code == 421)
			client_leave(client);
		return;
	}
	if (client->stage == STAGE_LEAVING) {
		world_fail(client->world, "surplus-reply", "%s, after the last reply: \"%.*s\"",
			client->who, shown(reply->wire), reply->wire.at);
		return;
	}
	if (reply->code == 421) {
		take_goodbye(client, reply);
		return;
	}
	if (client->ask_head == client->asks) {
		world_fail(client->world, "surplus-reply", "%s, nothing asked: \"%.*s\"",
			client->who, shown(reply->wire), reply->wire.at);
		return;
	}
	ask = pop(client);
	bool early = is_early_input(reply) && (client->manner.trick == TRICK_EARLY_BODY ||
						      client->manner.prank == PRANK_EARLY_MAIL);
	/* A chunk with something false in it ends the session as the end of data would. */
	bool flawed = ask.job && ask.job->tricked && reply->code == 550 &&
		      (ask.kind == ASK_CHUNK || ask.kind == ASK_END);
	if (ask.since == 0 && !ask.closes && !early && !flawed)
		fail_reply(client, "surplus-reply", &ask, reply, "the command was not sent yet");
	if (!early && !legal(client, &ask, reply->code))
		fail_reply(client, "wrong-reply", &ask, reply, "not legal here");
	judge_time(client, &ask, reply);
	client->last_heard = client->world->now;
	if (!early)
		judge_words(client, &ask, reply);
	if (early && ask.job && ask.job->attempt)
		client_verdict(client, ask.job, reply->code, reply->text);
	else if (!early)
		took(client, &ask, reply);
	if (early || ask.closes || flawed)
		client_leave(client);
	else if (ask.kind == ASK_DATA && reply->code >= 400 &&
		 client->manner.trick == TRICK_EARLY_BODY)
		loosen(client);
}

/* ---- octets ---- */

static void take_octets(struct sim_client *client)
{
	struct span heard = wire_heard(client->end);
	size_t len = heard.len;
	if (client->manner.slow_reader && len > 0) {
		size_t most = 1 + len / 16 + rng_below(&client->rng, 20);
		len = len < most ? len : most;
	}
	buf_add(&client->in, heard.at, len);
	wire_eat(client->end, len);
}

void client_read(struct sim_client *client)
{
	uint64_t session = client->sessions;
	const char *wrong = NULL;
	size_t at = 0, len;
	struct reply reply;
	take_octets(client);
	for (;;) {
		len = take_reply(span_from(buf_span(&client->in), at), &reply, &wrong);
		if (wrong)
			world_fail(client->world, "malformed-reply", "%s: %s", client->who, wrong);
		if (len == 0)
			break;
		at += len;
		client_heard_reply(client, &reply);
		if (!client->end || client->sessions != session)
			return;
	}
	buf_eat(&client->in, at);
}
