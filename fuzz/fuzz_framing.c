/*
 * Bodies on the wire, both ways and in both forms, in random cuts, against one who looks at the
 * whole.
 *
 *      client --> unframe DATA:  the exact end, the dots taken off, the first flaw
 *             --> unframe BDAT:  the first flaw
 *      server <-- DATA:          dots put on, the end of data; and unframed again it is the same
 *             <-- BDAT:          frames that say their length, LAST on the last
 */
#include <stdlib.h>
#include <string.h>

#include "input.h"
#include "naive_wire.h"
#include "smtp/client.h"
#include "smtp/framing.h"

#define TEXT_MOST 140000

static const struct naive_rules rule_sets[] = {
	{0},
	{.max_size = 10},
	{.pass_long = true},
	{.pass_bare = true, .pass_long = true},
	{.max_size = 1000, .pass_bare = true, .pass_long = true},
};

static enum naive_flaw flaw_of(enum smtp_flaw flaw)
{
	switch (flaw) {
	case FLAW_NONE:
		break;
	case FLAW_BARE_NEWLINE:
		return NAIVE_BARE;
	case FLAW_NUL:
		return NAIVE_NUL;
	case FLAW_LONG_LINE:
		return NAIVE_LONG;
	case FLAW_TOO_LARGE:
		return NAIVE_LARGE;
	}
	return NAIVE_SOUND;
}

static bool same_octets(const struct buf *a, const struct buf *b)
{
	return a->len == b->len && (a->len == 0 || memcmp(a->at, b->at, a->len) == 0);
}

/* ---- from the client: DATA ---- */

/* All steps that the octets up to `fed` allow; returns where it stands. */
static size_t pull_data(struct smtp_unframe *unframe, const struct smtp_server_rules *rules,
	const struct input *input, size_t at, size_t fed, struct buf *body)
{
	enum smtp_flaw before;
	struct span piece;
	size_t eaten;

	input_hide(input, fed);
	do {
		before = unframe->flaw;
		eaten = smtp_unframe_data(unframe, rules,
			(struct span){.at = input->text + at, .len = fed - at}, &piece);
		MUST(eaten <= fed - at, "%zu of %zu octets eaten", eaten, fed - at);
		MUST(before == FLAW_NONE || piece.len == 0, "a piece of the body behind a flaw");
		buf_add_span(body, piece);
		at += eaten;
	} while (eaten > 0 || unframe->flaw != before);
	MUST(unframe->done || fed - at <= 2, "%zu octets wait", fed - at);
	input_hide(input, input->len);
	return at;
}

static void check_data(struct input *input, const struct naive_rules *naive_rules)
{
	const struct smtp_server_rules rules = {.max_size = naive_rules->max_size,
		.pass_bare_newlines = naive_rules->pass_bare,
		.pass_long_lines = naive_rules->pass_long};
	struct pattern cuts = pattern_again(input->cuts);
	struct smtp_unframe unframe = {0};
	struct naive_body naive;
	struct buf body = {0};
	size_t at = 0, fed = 0;

	naive_data(input->text, input->len, naive_rules, &naive);
	while (fed < input->len && !unframe.done) {
		fed += pattern_cut(&cuts, input->len - fed);
		at = pull_data(&unframe, &rules, input, at, fed, &body);
	}
	MUST(unframe.done == naive.ended, "the end of data was %s",
		unframe.done ? "seen" : "missed");
	if (naive.ended) {
		MUST(at == naive.eaten, "%zu octets eaten, expected %zu", at, naive.eaten);
		MUST(flaw_of(unframe.flaw) == naive.flaw, "flaw %d, expected %d",
			flaw_of(unframe.flaw), naive.flaw);
		MUST(same_octets(&body, &naive.body), "the body differs");
	} else {
		/* What waits may turn out to be a flaw, the end, or the body's. */
		MUST(body.len <= naive.body.len && body.len + 2 >= naive.body.len &&
				(body.len == 0 || memcmp(body.at, naive.body.at, body.len) == 0),
			"the body so far differs: %zu octets, expected %zu", body.len,
			naive.body.len);
		MUST(unframe.flaw == FLAW_NONE || flaw_of(unframe.flaw) == naive.flaw,
			"flaw %d, expected %d", flaw_of(unframe.flaw), naive.flaw);
	}
	if (naive.flaw == NAIVE_SOUND && naive.ended)
		MUST(unframe.octets == naive.body.len, "%llu octets counted",
			(unsigned long long)unframe.octets);
	buf_clear(&body);
	buf_clear(&naive.body);
}

/* ---- from the client: BDAT ---- */

static void check_chunks(struct input *input, const struct naive_rules *naive_rules)
{
	const struct smtp_server_rules rules = {.max_size = naive_rules->max_size,
		.pass_bare_newlines = naive_rules->pass_bare,
		.pass_long_lines = naive_rules->pass_long};
	struct pattern cuts = pattern_again(input->cuts);
	struct smtp_unframe unframe = {0};
	struct naive_body naive;
	size_t at = 0, fed = 0, sound = 0;

	naive_chunks(input->text, input->len, true, naive_rules, &naive);
	while (fed < input->len && unframe.flaw == FLAW_NONE) {
		fed += pattern_cut(&cuts, input->len - fed);
		input_hide(input, fed);
		sound = smtp_unframe_chunk(
			&unframe, &rules, (struct span){.at = input->text + at, .len = fed - at});
		input_hide(input, input->len);
		MUST(sound == fed - at || unframe.flaw != FLAW_NONE, "octets of a chunk wait");
		at += sound;
	}
	smtp_unframe_end(&unframe, &rules);
	MUST(flaw_of(unframe.flaw) == naive.flaw, "chunks: flaw %d, expected %d",
		flaw_of(unframe.flaw), naive.flaw);
	MUST(at == naive.body.len, "chunks: %zu octets pass, expected %zu", at, naive.body.len);
	buf_clear(&naive.body);
}

/* ---- towards the server ---- */

struct line {
	struct chunk_pool *pool;
	struct smtp_client *client;
	struct buf wire;
};

/* The kernel takes up to `len` octets. */
static void take(struct line *line, size_t len)
{
	struct chain *out = smtp_client_out(line->client);
	char *octets;

	len = len < out->len ? len : out->len;
	octets = malloc(len > 0 ? len : 1);
	chain_copy(out, 0, octets, len);
	chain_eat(out, len);
	buf_add(&line->wire, octets, len);
	smtp_client_sent(line->client, len);
	free(octets);
}

static void hear(struct line *line, const char *reply, enum smtp_phase phase)
{
	struct smtp_client_event event;
	size_t len = strlen(reply);

	take(line, SIZE_MAX);
	MUST(smtp_client_next(line->client, (struct span){.at = reply, .len = len}, &event) == len,
		"%s: not taken", reply);
	MUST(event.phase == phase, "%s: phase %d", reply, event.phase);
}

static void give(struct line *line, struct input *input, struct chain *body)
{
	struct chain_piece *piece;

	CHAIN_FOREACH (piece, body) {
		smtp_client_body(line->client, piece->chunk, piece->at, piece->len);
		if (pattern_choose(&input->choices, 2) == 1)
			take(line, 1 + pattern_choose(&input->choices, 200));
	}
}

static void check_stuffed(struct line *line, const struct input *input, size_t from)
{
	const struct smtp_server_rules lax = {.pass_bare_newlines = true, .pass_long_lines = true};
	struct smtp_unframe unframe = {0};
	struct buf expected = {0}, again = {0};
	struct span rest = span_from(buf_span(&line->wire), from), piece;
	struct span got = rest;
	enum smtp_flaw before;
	size_t end, eaten;

	naive_stuff(input->text, input->len, &expected, &end);
	MUST(got.len == expected.len && memcmp(got.at, expected.at, got.len) == 0,
		"the stuffed body differs: %zu octets, expected %zu", got.len, expected.len);
	/* Nobody may see an end in it but the last one; unframed it is what it was. */
	do {
		before = unframe.flaw;
		eaten = smtp_unframe_data(&unframe, &lax, rest, &piece);
		buf_add_span(&again, piece);
		rest = span_from(rest, eaten);
	} while (eaten > 0 || unframe.flaw != before);
	if (input->len == 0 || !memchr(input->text, '\0', input->len)) {
		MUST(unframe.flaw == FLAW_NONE, "unframed again it has flaw %d", unframe.flaw);
		MUST(again.len >= input->len && again.len - input->len <= 2 &&
				(input->len == 0 || memcmp(again.at, input->text, input->len) == 0),
			"unframed again it differs");
	}
	MUST(unframe.done && rest.len == 0, "unframed again it ends elsewhere");
	buf_clear(&expected);
	buf_clear(&again);
}

static void check_frames(struct line *line, const struct input *input, size_t from)
{
	const char *at = line->wire.at + from;
	size_t left = line->wire.len - from, got = 0;
	bool last = false;

	while (left > 0) {
		char *behind;
		size_t octets, head;

		MUST(!last, "octets behind the last frame");
		MUST(left > 6 && memcmp(at, "BDAT ", 5) == 0, "no frame begins here");
		octets = strtoull(at + 5, &behind, 10);
		last = strncmp(behind, " LAST\r\n", 7) == 0;
		MUST(last || strncmp(behind, "\r\n", 2) == 0, "a bad frame line");
		head = (size_t)(behind - at) + (last ? 7 : 2);
		MUST(left - head >= octets, "a frame is short");
		MUST(last ? octets <= 65536 : octets == 65536, "a frame of %zu octets", octets);
		MUST(input->len - got >= octets &&
				(octets == 0 || memcmp(at + head, input->text + got, octets) == 0),
			"a frame's octets differ");
		MUST(octets > 0 || input->len == 0, "an empty frame");
		at += head + octets;
		left -= head + octets;
		got += octets;
	}
	MUST(last && got == input->len, "%zu octets in frames, expected %zu", got, input->len);
}

static void check_outward(struct input *input, bool chunking)
{
	struct line line = {.pool = chunk_pool_new()};
	struct chain body;
	struct pattern cuts = pattern_again(input->cuts);
	unsigned when = pattern_choose(&input->choices, 3);
	size_t from = chunking ? 0 : strlen("DATA\r\n");

	line.client = smtp_client_new(line.pool);
	chain_init(&body, line.pool);
	chain_add_cut(&body, &cuts, input->text, input->len);
	hear(&line, "220 hi\r\n", PHASE_BANNER);
	smtp_client_body_begin(line.client, chunking, 1);
	if (!chunking && when == 0)
		hear(&line, "354 go\r\n", PHASE_DATA);
	give(&line, input, &body);
	if (!chunking && when == 1)
		hear(&line, "354 go\r\n", PHASE_DATA);
	smtp_client_body_end(line.client);
	if (!chunking && when == 2)
		hear(&line, "354 go\r\n", PHASE_DATA);
	MUST(smtp_client_held(line.client) == 0, "octets are held behind the end");
	take(&line, SIZE_MAX);
	MUST(smtp_client_fate(line.client) == FATE_ENDED, "all is sent and the fate open");
	buf_string(&line.wire);
	if (chunking)
		check_frames(&line, input, from);
	else
		check_stuffed(&line, input, from);
	chain_clear(&body);
	smtp_client_free(&line.client);
	buf_clear(&line.wire);
	MUST(chunk_pool_used(line.pool) == 0, "chunks are left");
	chunk_pool_free(&line.pool);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	const struct naive_rules *rules;
	struct input input;

	input_take(bytes, len, TEXT_MOST, &input);
	rules = &rule_sets[pattern_choose(
		&input.choices, sizeof(rule_sets) / sizeof(rule_sets[0]))];
	check_data(&input, rules);
	check_chunks(&input, rules);
	check_outward(&input, false);
	check_outward(&input, true);
	input_clear(&input);
	return 0;
}
