/*
 * A client's half of a dialogue, cut into pieces at will, before an owner who decides by what the
 * addresses say.  What happened becomes a transcript, so that runs can be compared as text.
 *
 *     C 1 MAIL FROM:<a@b>     a command for the owner, with its slot
 *     A 503                   answered by smtp_server itself
 *     B hello\r\n             the body, all pieces in one
 *     F 1                     a flaw
 *     E 3 last 0              the end of a body or chunk, with its slot and flaw
 *     X 554                   broken
 *     < 250 ...               what the client heard after a group
 */
#ifndef TEST_SMTP_HELP_H
#define TEST_SMTP_HELP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "smtp/server.h"

#define GROUPS 16 /* what a client sends before it waits for replies */
#define SLOTS  2048

enum when { NOW, LATER, LATER_BACKWARDS };

struct dialogue {
	struct span group[GROUPS]; /* until one with len 0 */
	struct smtp_server_rules rules;
	enum when when;
};

/* A question that the owner has not answered yet. */
struct question {
	unsigned slot;
	enum smtp_own own;
	char argument[24];
};

struct play {
	struct chunk_pool *pool;
	struct smtp_server *server;
	const struct dialogue *dialogue;
	struct buf unread, record, body, heard;
	struct question question[SLOTS];
	unsigned questions, accepted;
	uint64_t octets;
	bool broken;
	int bodies; /* whole messages */
};

static inline void note_escaped(struct buf *into, struct span text)
{
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.at[i];

		if (c == '\r' || c == '\n')
			buf_addf(into, "%s", c == '\r' ? "\\r" : "\\n");
		else if (c < ' ' || c > '~')
			buf_addf(into, "\\x%02x", c);
		else
			buf_add(into, &c, 1);
	}
}

static inline void note_body(struct play *play)
{
	if (play->body.len == 0)
		return;
	buf_add_text(&play->record, "B ");
	note_escaped(&play->record, buf_span(&play->body));
	buf_add_text(&play->record, "\n");
	buf_reset(&play->body);
}

/* ---- the owner ---- */

static inline void answer(struct play *play, const struct question *question)
{
	const struct smtp_offer offer = {.caps = SMTP_CAP_PIPELINING | SMTP_CAP_SIZE, .size = 1000};

	if (question->own == SMTP_OWN_COUNT)
		smtp_server_reply_ehlo(play->server, question->slot, "mx.example", &offer);
	else
		smtp_server_own(play->server, question->slot, question->own,
			question->argument[0] ? question->argument : NULL);
}

static inline void decide(struct play *play, unsigned slot, enum smtp_own own, const char *argument)
{
	struct question question = {.slot = slot, .own = own};

	snprintf(question.argument, sizeof(question.argument), "%s", argument ? argument : "");
	if (play->dialogue->when == NOW) {
		answer(play, &question);
		return;
	}
	assert_true(play->questions < SLOTS);
	play->question[play->questions++] = question;
}

static inline void decide_command(struct play *play, const struct smtp_server_event *event)
{
	const struct smtp_command *command = &event->command;
	bool bad;

	switch (command->verb) {
	case VERB_EHLO:
		decide(play, event->slot, SMTP_OWN_COUNT, NULL);
		break;
	case VERB_HELO:
		decide(play, event->slot, SMTP_OWN_HELO, "mx.example");
		break;
	case VERB_MAIL:
		play->accepted = 0;
		play->octets = 0;
		bad = span_starts_nocase(command->mail.from.local, "bad");
		decide(play, event->slot, bad ? SMTP_OWN_RELAY_DENIED : SMTP_OWN_SENDER_OK, NULL);
		break;
	case VERB_RCPT:
		bad = span_starts_nocase(command->rcpt.to.local, "bad");
		play->accepted += !bad;
		decide(play, event->slot, bad ? SMTP_OWN_RELAY_DENIED : SMTP_OWN_OK, NULL);
		break;
	case VERB_DATA:
		decide(play, event->slot,
			play->accepted ? SMTP_OWN_GO_AHEAD : SMTP_OWN_NO_RECIPIENTS, NULL);
		break;
	case VERB_BDAT:
		break;
	case VERB_QUIT:
		decide(play, event->slot, SMTP_OWN_BYE, NULL);
		break;
	case VERB_RSET:
		decide(play, event->slot, SMTP_OWN_OK, NULL);
		break;
	default:
		fail_msg("the owner was asked about %.*s", SPAN_ARG(command->line));
	}
}

static inline void decide_end(struct play *play, const struct smtp_server_event *event)
{
	char octets[24];

	snprintf(octets, sizeof(octets), "%llu", (unsigned long long)play->octets);
	if (event->flaw != FLAW_NONE)
		decide(play, event->slot, SMTP_OWN_BARE_NEWLINE, NULL);
	else if (!play->accepted)
		decide(play, event->slot, SMTP_OWN_NO_RECIPIENTS, NULL);
	else
		decide(play, event->slot, SMTP_OWN_CHUNK_OK, octets);
	play->bodies += event->last;
}

/* ---- events ---- */

static inline void take(struct play *play, const struct smtp_server_event *event)
{
	struct buf *record = &play->record;

	if (event->kind != SRV_BODY && event->kind != SRV_MORE)
		note_body(play);
	switch (event->kind) {
	case SRV_MORE:
		break;
	case SRV_COMMAND:
		buf_addf(record, "C %u ", event->slot);
		note_escaped(record, event->command.line);
		buf_add_text(record, "\n");
		decide_command(play, event);
		break;
	case SRV_ANSWERED:
		buf_addf(record, "A %u\n", smtp_own_code(event->own));
		break;
	case SRV_BODY:
		assert_true(event->body.len > 0);
		play->octets += event->body.len;
		buf_add_span(&play->body, event->body);
		break;
	case SRV_FLAW:
		buf_addf(record, "F %d\n", event->flaw);
		break;
	case SRV_BODY_END:
		buf_addf(record, "E %u %s %d\n", event->slot, event->last ? "last" : "more",
			event->flaw);
		decide_end(play, event);
		break;
	case SRV_BROKEN:
		buf_addf(record, "X %u\n", smtp_own_code(event->own));
		play->broken = true;
		break;
	}
}

/* The unread bytes are handed over in memory of exactly their size, for the sanitizer. */
static inline void pull(struct play *play)
{
	struct smtp_server_event event = {.kind = SRV_COMMAND};

	while (event.kind != SRV_MORE && !play->broken) {
		size_t len = play->unread.len, eaten;
		char *exact = malloc(len > 0 ? len : 1);

		assert_non_null(exact);
		if (len > 0)
			memcpy(exact, play->unread.at, len);
		eaten = smtp_server_next(
			play->server, (struct span){.at = exact, .len = len}, &event);
		assert_true(eaten <= len);
		take(play, &event);
		buf_eat(&play->unread, eaten);
		free(exact);
	}
}

/* What stands in `out` is sent. */
static inline void hear(struct play *play)
{
	struct chain *out = smtp_server_out(play->server);
	char *bytes = malloc(out->len + 1);
	size_t len = chain_copy(out, 0, bytes, out->len);

	buf_add(&play->heard, bytes, len);
	chain_eat(out, len);
	free(bytes);
}

static inline void feed(struct play *play, struct span piece)
{
	if (play->broken)
		return;
	buf_add_span(&play->unread, piece);
	pull(play);
	hear(play);
}

/* The owner answers what it owes, and what waited for that goes on. */
static inline void catch_up(struct play *play)
{
	while (play->questions > 0 && !play->broken) {
		unsigned count = play->questions;
		struct question *owed = malloc(count * sizeof(*owed));

		memcpy(owed, play->question, count * sizeof(*owed));
		play->questions = 0;
		for (unsigned i = 0; i < count; i++)
			answer(play, &owed[play->dialogue->when == LATER ? i : count - 1 - i]);
		free(owed);
		hear(play);
		pull(play);
		hear(play);
	}
}

static inline void note_heard(struct play *play)
{
	note_body(play);
	buf_add_text(&play->record, "< ");
	note_escaped(&play->record, buf_span(&play->heard));
	buf_add_text(&play->record, "\n");
	buf_reset(&play->heard);
}

/* ---- a run ---- */

static inline void play_begin(struct play *play, const struct dialogue *dialogue)
{
	*play = (struct play){.dialogue = dialogue, .pool = chunk_pool_new()};
	play->server = smtp_server_new(play->pool, &dialogue->rules);
}

static inline void play_end(struct play *play)
{
	smtp_server_free(&play->server);
	buf_clear(&play->unread);
	buf_clear(&play->body);
	buf_clear(&play->heard);
	buf_clear(&play->record);
	chunk_pool_free(&play->pool);
}

/* How a group is cut: behind octet `cut`, into single octets, or at random. */
enum cutting { WHOLE, AT_ONE, EACH, RANDOM };

static inline size_t piece_len(enum cutting how, size_t at, size_t len, size_t cut, struct rng *rng)
{
	switch (how) {
	case AT_ONE:
		return at < cut && cut < len ? cut - at : len - at;
	case EACH:
		return 1;
	case RANDOM:
		return 1 + rng_below(rng, len - at < 40 ? len - at : 40);
	default:
		return len - at;
	}
}

/* Run the dialogue; `cut` counts over all groups.  Returns the transcript, to be freed. */
static inline char *run(const struct dialogue *dialogue, enum cutting how, size_t cut)
{
	struct play play;
	struct rng rng;
	char *record;

	rng_seed(&rng, cut);
	play_begin(&play, dialogue);
	for (int i = 0; i < GROUPS && dialogue->group[i].len > 0; i++) {
		struct span group = dialogue->group[i];

		for (size_t at = 0, len; at < group.len; at += len) {
			len = piece_len(how, at, group.len, cut, &rng);
			feed(&play, (struct span){.at = group.at + at, .len = len});
		}
		catch_up(&play);
		note_heard(&play);
		cut = how == AT_ONE ? cut - (cut < group.len ? cut : group.len) : cut;
	}
	record = mem_string(buf_span(&play.record));
	play_end(&play);
	return record;
}

static inline void same_at(
	const struct dialogue *dialogue, enum cutting how, size_t cut, const char *expected)
{
	char *record = run(dialogue, how, cut);

	if (strcmp(record, expected) != 0)
		fail_msg("cutting %d at %zu:\n%s\nexpected:\n%s", how, cut, record, expected);
	free(record);
}

/* The transcript must be `expected` (NULL: whatever it is in one go) however the bytes come. */
static inline void same_at_every_cut(const struct dialogue *dialogue, const char *expected)
{
	char *whole = run(dialogue, WHOLE, 0);
	size_t len = 0;

	if (expected)
		assert_string_equal(whole, expected);
	for (int i = 0; i < GROUPS; i++)
		len += dialogue->group[i].len;
	for (size_t cut = 1; cut < len; cut++)
		same_at(dialogue, AT_ONE, cut, whole);
	same_at(dialogue, EACH, 0, whole);
	for (size_t seed = 1; seed <= 20; seed++)
		same_at(dialogue, RANDOM, seed, whole);
	free(whole);
}

#endif
