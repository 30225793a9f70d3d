/*
 * Header fields, found in a body that lies in pieces, against one who copies it together first and
 * unfolds all of it.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "input.h"
#include "mail/header.h"

#define TEXT_MOST 20000

static const char *const names[] = {"Message-ID", "Subject", "x", "From"};
static const size_t rooms[] = {256, 1, 2, 16, 64};

static bool blank(char c)
{
	return c == ' ' || c == '\t';
}

static struct span trim(struct span text)
{
	while (text.len > 0 && blank(text.at[0])) {
		text.at++;
		text.len--;
	}
	while (text.len > 0 && blank(text.at[text.len - 1]))
		text.len--;
	return text;
}

/* The line at `at`, without its end; *next_r: where the next one begins. */
static struct span line_at(struct span text, size_t at, size_t *next_r)
{
	const char *begin = text.at + at;
	const char *end = memchr(begin, '\n', text.len - at);
	size_t len = end ? (size_t)(end - begin) : text.len - at;

	*next_r = at + len + (end ? 1 : 0);
	if (len > 0 && begin[len - 1] == '\r')
		len--;
	return (struct span){.at = begin, .len = len};
}

/* Each field behind an LF, each of its folds that has words as one blank, up to the header's end.
 */
static void unfold(struct span text, struct buf *into)
{
	bool is_field = false;
	size_t next;

	for (size_t at = 0; at < text.len; at = next) {
		struct span line = line_at(text, at, &next);

		if (line.len == 0)
			return;
		/* A line without a colon is no field, and what follows it no fold of one. */
		if (!blank(line.at[0]))
			is_field = memchr(line.at, ':', line.len) != NULL;
		if (!is_field)
			continue;
		if (blank(line.at[0])) {
			struct span words = trim(line);

			buf_add(into, line.at, words.len > 0 ? 1 : 0);
			buf_add_span(into, words);
		} else {
			buf_add_text(into, "\n");
			buf_add_span(into, trim(line));
		}
	}
}

static void keep(struct span value, char *value_r, size_t room)
{
	value = trim(value);
	if (value.len > room - 1)
		value.len = room - 1;
	memcpy(value_r, value.at, value.len);
	value_r[value.len] = '\0';
}

static bool naive_find(struct span text, const char *name, char *value_r, size_t room)
{
	struct buf fields = {0};
	size_t name_len = strlen(name);
	bool found = false;

	unfold(text, &fields);
	value_r[0] = '\0';
	for (size_t at = 0; at < fields.len && !found; at++) {
		const char *begin = fields.at + at + 1;
		size_t left = fields.len - at - 1;
		const char *end = left > 0 ? memchr(begin, '\n', left) : NULL;
		struct span field = {.at = begin, .len = end ? (size_t)(end - begin) : left};
		const char *colon = field.len > 0 ? memchr(begin, ':', field.len) : NULL;
		struct span word = {.at = begin, .len = colon ? (size_t)(colon - begin) : 0};

		word = trim(word);
		if (fields.at[at] != '\n' || !colon || word.len != name_len ||
			strncasecmp(word.at, name, name_len) != 0)
			continue;
		found = true;
		keep((struct span){.at = colon + 1, .len = field.len - (size_t)(colon + 1 - begin)},
			value_r, room);
	}
	buf_clear(&fields);
	return found;
}

static void try_one(const struct chain *body, struct span top, const char *name, size_t room)
{
	char *got = malloc(room), *expected = malloc(room);
	bool found = mail_header_find(body, name, got, room);
	bool is = naive_find(top, name, expected, room);

	MUST(found == is, "%s: %s", name, found ? "found" : "not found");
	MUST(strcmp(got, expected) == 0, "%s: \"%s\", expected \"%s\"", name, got, expected);
	free(got);
	free(expected);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct chunk_pool *pool = chunk_pool_new();
	struct input input;
	struct chain body;
	struct span top;

	input_take(bytes, len, TEXT_MOST, &input);
	chain_init(&body, pool);
	chain_add_cut(&body, &input.cuts, input.text, input.len);
	top = (struct span){.at = input.text, .len = input.len};
	if (top.len > MAIL_HEADER_LOOK)
		top.len = MAIL_HEADER_LOOK;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		try_one(&body, top, names[i],
			rooms[pattern_choose(&input.choices, sizeof(rooms) / sizeof(rooms[0]))]);
	chain_clear(&body);
	chunk_pool_free(&pool);
	input_clear(&input);
	return 0;
}
