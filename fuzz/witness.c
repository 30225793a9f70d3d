/*
 * What must be true of a session, from outside.
 */
#include "witness.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "input.h"

void witness_begin(struct witness *witness, const char *text, const struct naive_rules *rules)
{
	memset(witness, 0, sizeof(*witness));
	witness->text = text;
	witness->rules = *rules;
}

void witness_end(struct witness *witness)
{
	buf_clear(&witness->body);
	buf_clear(&witness->raw);
	free(witness->owed);
}

static struct owed *find(struct witness *witness, unsigned slot)
{
	for (unsigned i = witness->count; i-- > 0;) {
		if (witness->owed[i].slot == slot)
			return &witness->owed[i];
	}
	finding("slot %u was never given", slot);
}

const struct owed *witness_owed(const struct witness *witness, unsigned slot)
{
	return find((struct witness *)witness, slot);
}

static struct owed *owe(struct witness *witness, unsigned slot, enum smtp_verb verb)
{
	struct owed *owed;

	if (witness->count == witness->room) {
		witness->room = witness->room > 0 ? 2 * witness->room : 16;
		witness->owed = mem_grow(witness->owed, witness->room, sizeof(*owed));
	}
	owed = &witness->owed[witness->count++];
	MUST(slot == witness->count - 1, "slot %u, expected %u", slot, witness->count - 1);
	*owed = (struct owed){.slot = slot, .verb = verb, .transaction = witness->transaction};
	return owed;
}

/* ---- octets ---- */

/* Behind the line that begins at `at`. */
static size_t line_end(const struct witness *witness, size_t at, size_t end)
{
	const char *crlf = memmem(witness->text + at, end - at, "\r\n", 2);

	MUST(crlf, "a command without a line");
	return (size_t)(crlf - witness->text) + 2;
}

/* A chunk that comes out of order is eaten with its command. */
static uint64_t swallowed(const char *line)
{
	char *end;
	uint64_t octets;

	if (strncasecmp(line, "BDAT ", 5) != 0)
		return 0;
	octets = strtoull(line + 5, &end, 10);
	return octets;
}

static void check_line(const struct witness *witness, struct span line, size_t at)
{
	size_t end = line_end(witness, witness->mark, at);

	MUST(end == at, "a command took %zu octets beyond its line", at - end);
	MUST(line.at == witness->text + witness->mark && line.len == end - 2 - witness->mark,
		"a command's line isn't what was written");
	MUST(line.len <= 1048 - 2, "a command of %zu octets", line.len);
	for (size_t i = 0; i < line.len; i++)
		MUST(line.at[i] != '\r' && line.at[i] != '\n' && line.at[i] != '\0',
			"a bare CR, LF or NUL in a command");
}

static void check_body(struct witness *witness, const struct smtp_server_event *event, size_t at)
{
	struct naive_body naive;

	if (witness->reading == READ_DATA) {
		naive_data(witness->text + witness->body_at, at - witness->body_at, &witness->rules,
			&naive);
		MUST(naive.ended && witness->body_at + naive.eaten == at,
			"the end of data is not where it ought to be");
		MUST(event->last, "an end of data and not the last");
	} else {
		MUST(at - witness->body_at == witness->chunk, "a chunk of %zu octets, not %llu",
			at - witness->body_at, (unsigned long long)witness->chunk);
		buf_add(&witness->raw, witness->text + witness->body_at, at - witness->body_at);
		if (!event->last)
			return;
		naive_chunks(witness->raw.at, witness->raw.len, true, &witness->rules, &naive);
	}
	MUST((enum naive_flaw)event->flaw == naive.flaw, "flaw %d, expected %d", event->flaw,
		naive.flaw);
	MUST(naive.body.len == witness->body.len &&
			(naive.body.len == 0 ||
				memcmp(naive.body.at, witness->body.at, naive.body.len) == 0),
		"the body differs: %zu octets, expected %zu", witness->body.len, naive.body.len);
	MUST((event->flaw != FLAW_NONE) == witness->flawed, "a flaw that was not told of at once");
	buf_clear(&naive.body);
}

/* ---- order ---- */

static void close_transaction(struct witness *witness)
{
	witness->transaction++;
	witness->open = witness->failed = witness->chunks = witness->flawed = false;
	witness->recipients = witness->alive = 0;
	buf_reset(&witness->body);
	buf_reset(&witness->raw);
}

static void take_command(struct witness *witness, const struct smtp_server_event *event)
{
	switch (event->command.verb) {
	case VERB_EHLO:
	case VERB_HELO:
	case VERB_RSET:
		close_transaction(witness);
		break;
	case VERB_MAIL:
		MUST(witness->greeted, "MAIL before EHLO");
		MUST(!witness->open && !witness->failed, "MAIL within a transaction");
		witness->open = true;
		break;
	case VERB_RCPT:
		MUST(witness->open && !witness->failed, "RCPT without MAIL");
		MUST(!witness->chunks, "RCPT behind a chunk");
		witness->recipients++;
		witness->alive++;
		break;
	case VERB_DATA:
		MUST(witness->alive > 0 && witness->open && !witness->failed,
			"DATA without a recipient");
		MUST(!witness->chunks, "DATA behind a chunk");
		break;
	case VERB_BDAT:
		MUST((witness->alive > 0 || witness->chunks) && witness->open && !witness->failed,
			"BDAT without a recipient");
		witness->chunks = true;
		break;
	case VERB_QUIT:
		break;
	default:
		finding("the owner was asked about verb %d", event->command.verb);
	}
}

/* ---- events ---- */

static void on_command(struct witness *witness, const struct smtp_server_event *event, size_t at)
{
	MUST(witness->reading == READ_LINES, "a command out of a body: %.*s",
		SPAN_ARG(event->command.line));
	check_line(witness, event->command.line, at);
	owe(witness, event->slot, event->command.verb);
	take_command(witness, event);
	/* The transaction that it opens or closes is the one it belongs to. */
	witness->owed[witness->count - 1].transaction = witness->transaction;
	if (event->command.verb != VERB_BDAT)
		return;
	witness->owed[witness->count - 1].is_chunk = true;
	witness->reading = READ_CHUNK;
	witness->chunk = event->command.bdat.size;
	witness->body_at = at;
}

static void on_answered(struct witness *witness, const struct smtp_server_event *event, size_t at)
{
	size_t end = line_end(witness, witness->mark, at);
	struct owed *owed;

	MUST(witness->reading == READ_LINES, "an answer inside a body");
	if (end != at)
		MUST(smtp_own_code(event->own) == 503 &&
				at - end == swallowed(witness->text + witness->mark),
			"%zu octets were eaten behind a command", at - end);
	owed = owe(witness, event->slot, VERB_UNKNOWN);
	owed->code = smtp_own_code(event->own);
	owed->is_ours = true;
	MUST(owed->code >= 200 && owed->code != 354, "%d by ours", owed->code);
}

static void on_end(struct witness *witness, const struct smtp_server_event *event, size_t at)
{
	struct owed *owed;

	MUST(witness->reading != READ_LINES, "an end of nothing");
	check_body(witness, event, at);
	if (witness->reading == READ_DATA)
		owed = owe(witness, event->slot, VERB_DATA);
	else
		owed = find(witness, event->slot);
	MUST(owed->code == 0, "an end whose slot has been answered");
	owed->is_end = event->last;
	owed->is_chunk = false;
	witness->reading = READ_LINES;
	if (event->last)
		close_transaction(witness);
}

void witness_last_word(struct witness *witness, int code)
{
	witness->last_word = code;
	while (witness->heard_before < witness->count &&
		witness->owed[witness->heard_before].code != 0)
		witness->heard_before++;
}

void witness_event(struct witness *witness, const struct smtp_server_event *event, size_t at)
{
	MUST(witness->last_word == 0 || event->kind == SRV_MORE, "event %d behind the last word",
		event->kind);
	switch (event->kind) {
	case SRV_MORE:
		return;
	case SRV_COMMAND:
		on_command(witness, event, at);
		break;
	case SRV_ANSWERED:
		on_answered(witness, event, at);
		break;
	case SRV_BODY:
		MUST(witness->reading != READ_LINES, "a body without 354");
		MUST(event->body.len > 0 && !witness->flawed, "a piece of the body behind a flaw");
		buf_add_span(&witness->body, event->body);
		break;
	case SRV_FLAW:
		MUST(witness->reading != READ_LINES && !witness->flawed, "a flaw twice");
		witness->flawed = true;
		break;
	case SRV_BODY_END:
		on_end(witness, event, at);
		break;
	case SRV_BROKEN:
		witness_last_word(witness, smtp_own_code(event->own));
		break;
	}
	witness->mark = at;
}

/* ---- answers ---- */

/* What was built on this is answered 503. */
static void make_void(struct witness *witness, const struct owed *refused)
{
	for (unsigned i = 0; i < witness->count; i++) {
		struct owed *owed = &witness->owed[i];
		bool inside = owed->verb == VERB_RCPT || owed->verb == VERB_DATA ||
			      owed->verb == VERB_BDAT;

		if (owed <= refused || !inside || owed->transaction != refused->transaction)
			continue;
		owed->is_void = true;
		/* A 354 that was given too soon never leaves. */
		if (owed->code == 354)
			witness->reading = READ_LINES;
		if (owed->code != 0 && owed->code != 421)
			owed->code = 503;
	}
}

static void refuse(struct witness *witness, const struct owed *owed)
{
	bool current = owed->transaction == witness->transaction;

	if (owed->verb == VERB_MAIL || (owed->verb == VERB_BDAT && !owed->is_end))
		make_void(witness, owed);
	if (!current)
		return;
	if (owed->verb == VERB_MAIL)
		close_transaction(witness);
	if (owed->verb == VERB_RCPT)
		witness->alive--;
	if ((owed->verb == VERB_DATA || owed->verb == VERB_BDAT) && !owed->is_end)
		witness->failed = true;
}

void witness_answer(struct witness *witness, unsigned slot, int code)
{
	struct owed *owed = find(witness, slot);

	MUST(owed->code == 0, "an answer twice");
	owed->code = owed->is_void && code != 421 ? 503 : code;
	if (owed->is_void)
		return;
	if (code >= 400) {
		refuse(witness, owed);
		return;
	}
	if (owed->verb == VERB_EHLO || owed->verb == VERB_HELO)
		witness->greeted = true;
	if (owed->verb == VERB_DATA && !owed->is_end) {
		witness->reading = READ_DATA;
		witness->body_at = witness->mark;
	}
}

unsigned witness_waiting(struct witness *witness)
{
	while (witness->settled < witness->count && witness->owed[witness->settled].code != 0)
		witness->settled++;
	return witness->count - witness->settled;
}

/* ---- replies ---- */

void witness_heard(struct witness *witness, struct span heard)
{
	unsigned count = witness->last_word != 0 ? witness->heard_before : witness->count;
	size_t at = 0;

	for (unsigned i = 0; i <= count; i++) {
		int expected = i < count ? witness->owed[i].code : witness->last_word;
		struct naive_reply reply;

		if (expected == 0)
			break;
		reply = naive_reply(heard.at + at, heard.len - at);
		MUST(reply.verdict == NAIVE_WHOLE, "reply %u of %u is missing: %d", i, count,
			expected);
		MUST((int)reply.code == expected, "reply %u is %u, expected %d", i, reply.code,
			expected);
		at += reply.len;
		if (expected == 421)
			break;
	}
	MUST(at == heard.len, "%zu octets of replies to nothing", heard.len - at);
}
