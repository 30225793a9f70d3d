/*
 * Taking inputs apart.
 */
#include "input.h"

#include <sanitizer/asan_interface.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SUB = 0x1a, ESC = 0x1b };

#define USUAL_MOST 4096

/* ---- taking apart ---- */

static struct pattern take_line(const uint8_t **bytes, size_t *len)
{
	const uint8_t *end = memchr(*bytes, '\n', *len);
	struct pattern line = {.at = *bytes, .len = end ? (size_t)(end - *bytes) : *len};
	size_t skip = end ? line.len + 1 : line.len;

	*bytes += skip;
	*len -= skip;
	return line;
}

static void repeat_octet(struct buf *text, size_t times, size_t most)
{
	if (text->len == 0)
		return;
	for (size_t i = 0; i < times && text->len < most; i++) {
		char octet = text->at[text->len - 1];

		buf_add(text, &octet, 1);
	}
}

static void repeat_line(struct buf *text, size_t times, size_t most)
{
	size_t begin = text->len > 0 ? text->len - 1 : 0;
	size_t len;

	while (begin > 0 && text->at[begin - 1] != '\n')
		begin--;
	len = text->len - begin;
	for (size_t i = 0; i < times && text->len + len <= most && len > 0; i++) {
		char *line = malloc(len);

		memcpy(line, text->at + begin, len);
		buf_add(text, line, len);
		free(line);
	}
}

void input_take(const uint8_t *bytes, size_t len, size_t most, struct input *input_r)
{
	struct buf text = {0};

	/* libFuzzer begins with no octets at all. */
	*input_r = (struct input){0};
	if (len > 0) {
		input_r->choices = take_line(&bytes, &len);
		input_r->cuts = take_line(&bytes, &len);
	}
	if (most > USUAL_MOST && (input_r->cuts.len < 2 || memcmp(input_r->cuts.at, "~~", 2) != 0))
		most = USUAL_MOST;
	for (size_t i = 0; i < len && text.len < most; i++) {
		if (bytes[i] == SUB && i + 1 < len) {
			i++;
			repeat_octet(&text, (size_t)bytes[i] * bytes[i], most);
		} else if (bytes[i] == ESC && i + 1 < len) {
			repeat_line(&text, bytes[++i], most);
		} else {
			buf_add(&text, &bytes[i], 1);
		}
	}
	input_r->text = malloc(text.len > 0 ? text.len : 1);
	input_r->len = text.len;
	if (text.len > 0)
		memcpy(input_r->text, text.at, text.len);
	buf_clear(&text);
}

void input_clear(struct input *input)
{
	input_hide(input, input->len);
	free(input->text);
	*input = (struct input){0};
}

void input_hide(const struct input *input, size_t fed)
{
	ASAN_UNPOISON_MEMORY_REGION(input->text, input->len);
	ASAN_POISON_MEMORY_REGION(input->text + fed, input->len - fed);
}

/* ---- patterns ---- */

static unsigned next_number(struct pattern *pattern)
{
	if (pattern->len == 0)
		return 0;
	if (pattern->next == pattern->len)
		pattern->next = 0;
	return (uint8_t)(pattern->at[pattern->next++] - '0');
}

unsigned pattern_choose(struct pattern *pattern, unsigned below)
{
	return next_number(pattern) % below;
}

size_t pattern_cut(struct pattern *pattern, size_t left)
{
	/* A long text is not looked at octet by octet: that is dear, and short ones show as much.
	 */
	size_t number = next_number(pattern), piece = number * (1 + left / 2048);

	return number == 0 || piece > left ? left : piece;
}

/* ---- findings ---- */

void finding(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fprintf(stderr, "FINDING: ");
	vfprintf(stderr, format, args);
	fprintf(stderr, "\n");
	va_end(args);
	abort();
}

void show(struct buf *into, const char *at, size_t len)
{
	static const char hex[] = "0123456789abcdef";
	char *text = malloc(4 * len + 1), *end = text;

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)at[i];

		if (c == '\r' || c == '\n') {
			*end++ = '\\';
			*end++ = c == '\r' ? 'r' : 'n';
		} else if (c < ' ' || c > '~') {
			*end++ = '\\';
			*end++ = 'x';
			*end++ = hex[c / 16];
			*end++ = hex[c % 16];
		} else {
			*end++ = (char)c;
		}
	}
	buf_add(into, text, (size_t)(end - text));
	free(text);
}

/* ---- chains ---- */

void chain_add_cut(struct chain *chain, struct pattern *cuts, const char *at, size_t len)
{
	struct chunk *chunk = NULL;

	while (len > 0) {
		size_t part = pattern_cut(cuts, len);

		/* Now and then a chunk begins although the last one has room. */
		if (chunk && (chunk_tail(chunk) == 0 || part % 3 == 0))
			chunk_unref(&chunk);
		if (!chunk)
			chunk = chunk_new(chain->pool, CHUNK_SMALL);
		/* Or the next piece doesn't continue the last one. */
		if (part % 3 == 1 && chunk_tail(chunk) > 1)
			chunk->at[chunk->len++] = '#';
		if (part > chunk_tail(chunk))
			part = chunk_tail(chunk);
		memcpy(chunk->at + chunk->len, at, part);
		chunk->len += (uint32_t)part;
		chain_add(chain, chunk, chunk->len - part, part);
		at += part;
		len -= part;
	}
	chunk_unref(&chunk);
}
