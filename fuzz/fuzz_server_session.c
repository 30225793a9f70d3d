/*
 * A client's whole session, in random cuts: before an owner who answers at
 * once, later, backwards, well and badly, and before a witness who knows the
 * rules.
 *
 * FS in the text means that the client waits there for the replies to all that
 * it has said; between two of these it sends without reading, so how its octets
 * are cut must make no difference.
 */
#include <sanitizer/allocator_interface.h>
#include <stdlib.h>
#include <string.h>

#include "input.h"
#include "smtp/server.h"
#include "witness.h"

#define TEXT_MOST   9000
#define GROUPS_MOST 64
#define OWED_MOST   1100
#define KEPT_MOST   1000 /* commands behind one that has no answer; then reading stops */

enum { FS = 0x1c };

struct script {
	struct input input;
	size_t end[GROUPS_MOST]; /* of each group */
	unsigned count;
	struct smtp_server_rules rules;
	struct naive_rules naive_rules;
};

struct play {
	const struct script *script;
	struct chunk_pool *pool;
	struct smtp_server *server;
	struct witness *witness;
	struct pattern choices, cuts;
	bool octet_by_octet;
	bool at_once; /* what is answered is sent before anything more is read */
	size_t at, fed;
	unsigned owed[OWED_MOST], owed_count; /* slots */
	struct buf heard, body, record;
};

/* What stands in `out` is sent. */
static void hear(struct play *play)
{
	struct chain *out = smtp_server_out(play->server);
	size_t len = out->len;
	char *octets = malloc(len > 0 ? len : 1);

	chain_copy(out, 0, octets, len);
	chain_eat(out, len);
	buf_add(&play->heard, octets, len);
	free(octets);
	witness_heard(play->witness, buf_span(&play->heard));
}

/* ---- the owner ---- */

static const enum smtp_own refusals[] = {
	SMTP_OWN_NO_SERVER, SMTP_OWN_RELAY_DENIED, SMTP_OWN_DRAINING};

static enum smtp_own good_own(const struct owed *owed)
{
	if (owed->verb == VERB_DATA && !owed->is_end)
		return SMTP_OWN_GO_AHEAD;
	return owed->verb == VERB_QUIT ? SMTP_OWN_BYE : SMTP_OWN_OK;
}

/* Answer the owed slot at `index`. */
static void answer(struct play *play, unsigned index)
{
	const struct smtp_offer offer = {.caps = SMTP_CAP_PIPELINING | SMTP_CAP_CHUNKING};
	unsigned slot = play->owed[index], choice = pattern_choose(&play->choices, 8);
	const struct owed *owed = witness_owed(play->witness, slot);
	bool good = choice < 5 || owed->verb == VERB_RSET || owed->verb == VERB_QUIT;
	enum smtp_own own = good ? good_own(owed) : refusals[choice - 5];

	memmove(&play->owed[index], &play->owed[index + 1],
		(play->owed_count - index - 1) * sizeof(play->owed[0]));
	play->owed_count--;
	witness_answer(play->witness, slot, smtp_own_code(own));
	if (good && owed->verb == VERB_EHLO)
		smtp_server_reply_ehlo(play->server, slot, "mx.example", &offer);
	else
		smtp_server_own(play->server, slot, own, NULL);
	if (play->at_once)
		hear(play);
}

/* A new question: some owners answer at once, some answer an older one then, or
 * the newest. */
static void ask(struct play *play, unsigned slot)
{
	MUST(play->owed_count < OWED_MOST, "%u questions at once", play->owed_count);
	play->owed[play->owed_count++] = slot;
	switch (pattern_choose(&play->choices, 4)) {
	case 0:
		answer(play, play->owed_count - 1);
		break;
	case 1:
		answer(play, 0);
		break;
	default:
		break;
	}
}

static void answer_all(struct play *play)
{
	bool backwards = pattern_choose(&play->choices, 2) == 1;

	while (play->owed_count > 0)
		answer(play, backwards ? play->owed_count - 1 : 0);
}

/* Nobody hears what is answered behind the last word. */
static void answer_in_vain(struct play *play)
{
	while (play->owed_count > 0)
		smtp_server_own(play->server, play->owed[--play->owed_count], SMTP_OWN_OK, NULL);
	MUST(smtp_server_pending(play->server) == 0, "questions behind the last word");
}

/* The owner's patience ends, whatever is owed. */
static void lose_patience(struct play *play)
{
	if (smtp_server_quitting(play->server))
		return;
	smtp_server_say(play->server, SMTP_OWN_IDLE, NULL);
	witness_last_word(play->witness, smtp_own_code(SMTP_OWN_IDLE));
	MUST(smtp_server_quitting(play->server), "a last word and it goes on");
	answer_in_vain(play);
}

/* ---- what is seen ---- */

static void note_body(struct play *play)
{
	if (play->body.len == 0)
		return;
	buf_add_text(&play->record, "B ");
	show(&play->record, play->body.at, play->body.len);
	buf_add_text(&play->record, "\n");
	buf_reset(&play->body);
}

static void note(struct play *play, const struct smtp_server_event *event)
{
	static const char names[] = {[SRV_MORE] = '-',
		[SRV_COMMAND] = 'C',
		[SRV_ANSWERED] = 'A',
		[SRV_BODY] = 'B',
		[SRV_FLAW] = 'F',
		[SRV_BODY_END] = 'E',
		[SRV_BROKEN] = 'X'};
	size_t at = play->at;

	if (event->kind == SRV_BODY) {
		buf_add_span(&play->body, event->body);
		return;
	}
	note_body(play);
	/* How much of a body is eaten when its flaw is seen, or behind a last word,
	 * is nobody's business. */
	if (event->kind == SRV_FLAW || event->kind == SRV_BROKEN)
		at = 0;
	buf_addf(&play->record, "%c %zu slot %u own %d flaw %d last %d ", names[event->kind], at,
		event->slot, event->own, event->flaw, event->last);
	show(&play->record, event->command.line.at, event->command.line.len);
	buf_add_text(&play->record, "\n");
}

static void check_bounds(struct play *play)
{
	size_t waiting = smtp_server_out(play->server)->len;
	bool asks_open_chunk = play->witness->reading == READ_CHUNK;

	MUST(chunk_pool_used(play->pool) <= waiting + 2 * CHUNK_SMALL,
		"%zu octets in chunks for %zu that wait", chunk_pool_used(play->pool), waiting);
	MUST(witness_waiting(play->witness) <= KEPT_MOST, "%u commands are kept",
		witness_waiting(play->witness));
	MUST(smtp_server_quitting(play->server) ||
			smtp_server_pending(play->server) == play->owed_count,
		"%u pending, %u owed, chunk open %d", smtp_server_pending(play->server),
		play->owed_count, asks_open_chunk);
	MUST(!smtp_server_between(play->server) ||
			(play->owed_count == 0 && play->witness->reading == READ_LINES &&
				!play->witness->open && !smtp_server_quitting(play->server)),
		"said to be between messages and isn't");
}

static void take(struct play *play, const struct smtp_server_event *event)
{
	if (event->kind == SRV_MORE)
		return;
	note(play, event);
	witness_event(play->witness, event, play->at);
	if (event->kind == SRV_BROKEN) {
		MUST(smtp_server_quitting(play->server), "broken and goes on");
		answer_in_vain(play);
	}
	if (event->kind == SRV_BODY_END ||
		(event->kind == SRV_COMMAND && event->command.verb != VERB_BDAT))
		ask(play, event->slot);
}

/* ---- a run ---- */

/* All events out of what was fed. */
static void pull(struct play *play)
{
	struct smtp_server_event event;

	input_hide(&play->script->input, play->fed);
	do {
		struct span in = {
			.at = play->script->input.text + play->at, .len = play->fed - play->at};
		size_t eaten = smtp_server_next(play->server, in, &event);

		MUST(eaten <= in.len, "%zu of %zu octets eaten", eaten, in.len);
		play->at += eaten;
		take(play, &event);
		check_bounds(play);
	} while (event.kind != SRV_MORE);
	input_hide(&play->script->input, play->script->input.len);
}

static void group(struct play *play, size_t end)
{
	while (play->fed < end) {
		play->fed += play->octet_by_octet ? 1 : pattern_cut(&play->cuts, end - play->fed);
		pull(play);
	}
	while (play->owed_count > 0) {
		if (pattern_choose(&play->choices, 16) == 15)
			lose_patience(play);
		else
			answer_all(play);
		pull(play);
	}
	hear(play);
	pull(play);
	note_body(play);
	buf_add_text(&play->record, "|\n");
	if (smtp_server_quitting(play->server))
		MUST(play->at == end, "octets are left behind the last word");
	else
		MUST(end - play->at < SMTP_SERVER_WINDOW, "%zu octets wait", end - play->at);
}

enum manner { CUT, OCTET_BY_OCTET, IN_ONE_GO, IN_ONE_GO_AT_ONCE };

/* The transcript, with what was heard; to be freed. */
static char *run(const struct script *script, enum manner manner)
{
	struct play *play = mem_new(sizeof(*play));
	char *record;

	play->script = script;
	play->choices = pattern_again(script->input.choices);
	if (manner == CUT)
		play->cuts = script->input.cuts;
	play->octet_by_octet = manner == OCTET_BY_OCTET;
	play->at_once = manner == IN_ONE_GO_AT_ONCE;
	play->pool = chunk_pool_new();
	play->server = smtp_server_new(play->pool, &script->rules);
	play->witness = mem_new(sizeof(*play->witness));
	witness_begin(play->witness, script->input.text, &script->naive_rules);
	for (unsigned i = 0; i < script->count; i++)
		group(play, script->end[i]);
	show(&play->record, play->heard.at, play->heard.len);
	record = mem_string(buf_span(&play->record));
	witness_end(play->witness);
	smtp_server_free(&play->server);
	MUST(chunk_pool_used(play->pool) == 0, "chunks are left");
	chunk_pool_free(&play->pool);
	buf_clear(&play->heard);
	buf_clear(&play->body);
	buf_clear(&play->record);
	free(play->witness);
	free(play);
	return record;
}

/* ---- the script ---- */

/* FS is taken out of the text. */
static void find_groups(struct script *script)
{
	struct input *input = &script->input;
	size_t len = 0;

	for (size_t i = 0; i < input->len; i++) {
		if (input->text[i] != FS)
			input->text[len++] = input->text[i];
		else if (script->count + 1 < GROUPS_MOST)
			script->end[script->count++] = len;
	}
	script->end[script->count++] = len;
}

static void choose_rules(struct script *script)
{
	static const struct naive_rules sets[] = {
		{0},
		{.max_size = 20},
		{.pass_long = true},
		{.pass_bare = true, .pass_long = true},
	};
	unsigned choice = script->input.choices.len > 0 ? script->input.choices.at[0] % 4 : 0;

	script->naive_rules = sets[choice];
	script->rules = (struct smtp_server_rules){.max_size = sets[choice].max_size,
		.pass_bare_newlines = sets[choice].pass_bare,
		.pass_long_lines = sets[choice].pass_long};
}

static void same(const struct script *script, enum manner manner, const char *expected)
{
	char *record = run(script, manner);

	MUST(strcmp(record, expected) == 0, "manner %d:\n%s\nin one go:\n%s", manner, record,
		expected);
	free(record);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct script script = {0};
	char *whole;

	input_take(bytes, len, TEXT_MOST, &script.input);
	choose_rules(&script);
	find_groups(&script);
	whole = run(&script, IN_ONE_GO);
	same(&script, CUT, whole);
	same(&script, IN_ONE_GO_AT_ONCE, whole);
	if (script.input.len < 1000)
		same(&script, OCTET_BY_OCTET, whole);
	free(whole);
	input_clear(&script.input);
	return 0;
}
