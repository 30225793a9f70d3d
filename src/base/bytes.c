/*
 * Spans, growing buffers, and memory that is there or aborts.
 *
 * Comparisons without case fold ASCII only and never ask the locale: what is compared here are
 * verbs, extension names and domains in their ASCII form.
 */
#include "base/bytes.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUF_SMALLEST 64

/* ---- spans ---- */

static char fold(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

struct span span_of(const char *string)
{
	return (struct span){.at = string, .len = string ? strlen(string) : 0};
}

bool span_eq(struct span a, struct span b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

bool span_eq_nocase(struct span a, struct span b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++) {
		if (fold(a.at[i]) != fold(b.at[i]))
			return false;
	}
	return true;
}

bool span_is(struct span a, const char *string)
{
	return span_eq(a, span_of(string));
}

bool span_is_nocase(struct span a, const char *string)
{
	return span_eq_nocase(a, span_of(string));
}

bool span_starts_nocase(struct span a, const char *prefix)
{
	struct span b = span_of(prefix);

	if (a.len < b.len)
		return false;
	a.len = b.len;
	return span_eq_nocase(a, b);
}

bool span_ends_nocase(struct span a, struct span suffix)
{
	return a.len >= suffix.len && span_eq_nocase(span_from(a, a.len - suffix.len), suffix);
}

struct span span_from(struct span s, size_t skip)
{
	assert(skip <= s.len);
	if (skip == 0)
		return s;
	return (struct span){.at = s.at + skip, .len = s.len - skip};
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

struct span span_trim(struct span s)
{
	while (s.len > 0 && is_blank(s.at[0]))
		s = span_from(s, 1);
	while (s.len > 0 && is_blank(s.at[s.len - 1]))
		s.len--;
	return s;
}

size_t span_find(struct span s, char c)
{
	const char *found = s.len > 0 ? memchr(s.at, c, s.len) : NULL;

	return found ? (size_t)(found - s.at) : s.len;
}

bool span_to_u64(struct span s, uint64_t max, uint64_t *value_r)
{
	uint64_t value = 0;

	if (s.len == 0)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		if (s.at[i] < '0' || s.at[i] > '9')
			return false;
		if (__builtin_mul_overflow(value, 10, &value) ||
			__builtin_add_overflow(value, (uint64_t)(s.at[i] - '0'), &value) ||
			value > max)
			return false;
	}
	*value_r = value;
	return true;
}

/* ---- memory ---- */

void *mem_new(size_t size)
{
	void *memory = calloc(1, size > 0 ? size : 1);

	if (!memory)
		die("out of memory (%zu bytes)", size);
	return memory;
}

void *mem_grow(void *old, size_t count, size_t size)
{
	void *memory;

	if (count == 0 || size == 0)
		count = size = 1;
	memory = reallocarray(old, count, size);
	if (!memory)
		die("out of memory (%zu times %zu bytes)", count, size);
	return memory;
}

char *mem_string(struct span span)
{
	char *string = mem_new(span.len + 1);

	if (span.len > 0)
		memcpy(string, span.at, span.len);
	return string;
}

/* ---- growing bytes ---- */

void buf_clear(struct buf *buf)
{
	free(buf->at);
	*buf = (struct buf){0};
}

/* Room for `more` bytes behind the last one. */
static void make_room(struct buf *buf, size_t more)
{
	size_t room = buf->room > 0 ? buf->room : BUF_SMALLEST;
	size_t needed;

	if (__builtin_add_overflow(buf->len, more, &needed) || needed > SIZE_MAX / 2)
		die("a buffer would outgrow the address space");
	if (needed <= buf->room)
		return;
	while (room < needed)
		room *= 2;
	buf->at = mem_grow(buf->at, room, 1);
	buf->room = room;
}

void buf_add(struct buf *buf, const void *bytes, size_t len)
{
	if (len == 0)
		return;
	make_room(buf, len);
	memcpy(buf->at + buf->len, bytes, len);
	buf->len += len;
}

void buf_add_span(struct buf *buf, struct span span)
{
	buf_add(buf, span.at, span.len);
}

void buf_add_text(struct buf *buf, const char *string)
{
	buf_add_span(buf, span_of(string));
}

void buf_addf(struct buf *buf, const char *format, ...)
{
	va_list args;
	int len;

	/* A first try into the room there is, which is mostly enough. */
	make_room(buf, 1);
	va_start(args, format);
	len = vsnprintf(buf->at + buf->len, buf->room - buf->len, format, args);
	va_end(args);
	assert(len >= 0);
	if ((size_t)len >= buf->room - buf->len) {
		make_room(buf, (size_t)len + 1);
		va_start(args, format);
		vsnprintf(buf->at + buf->len, buf->room - buf->len, format, args);
		va_end(args);
	}
	buf->len += (size_t)len;
}

void buf_eat(struct buf *buf, size_t len)
{
	assert(len <= buf->len);
	if (len == 0)
		return;
	buf->len -= len;
	memmove(buf->at, buf->at + len, buf->len);
}

const char *buf_string(struct buf *buf)
{
	make_room(buf, 1);
	buf->at[buf->len] = '\0';
	return buf->at;
}
