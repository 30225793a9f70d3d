/*
 * Bytes that belong to somebody else (struct span) and bytes that grow (struct buf).
 */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* A view; never owns, never NUL-terminated.  `at` may be NULL when `len` is 0. */
struct span {
	const char *at;
	size_t len;
};

#define SPAN(literal) ((struct span){.at = "" literal, .len = sizeof(literal) - 1})

/* For printf: "%.*s", SPAN_ARG(x). */
#define SPAN_ARG(s) (int)(s).len, (s).at ? (s).at : ""

struct span span_of(const char *string); /* NULL gives the empty span */
bool span_eq(struct span a, struct span b);
bool span_eq_nocase(struct span a, struct span b); /* ASCII only */
bool span_is(struct span a, const char *string);
bool span_is_nocase(struct span a, const char *string);
bool span_starts_nocase(struct span a, const char *prefix);
bool span_ends_nocase(struct span a, struct span suffix);
struct span span_from(struct span s, size_t skip); /* the rest behind `skip`; skip <= len */
struct span span_trim(struct span s);              /* without spaces and tabs at both ends */
/* Index of `c`, or s.len. */
size_t span_find(struct span s, char c);
/* Decimal digits only, no sign, at least one; false when empty, malformed or above max. */
bool span_to_u64(struct span s, uint64_t max, uint64_t *value_r);

/* Growing bytes.  Zero-initialised is empty.  Grows by doubling, aborts when memory runs out;
 * callers keep it bounded. */
struct buf {
	char *at;
	size_t len, room;
};

void buf_clear(struct buf *buf);              /* frees; usable again as empty */
static inline void buf_reset(struct buf *buf) /* keeps the memory */
{
	buf->len = 0;
}
void buf_add(struct buf *buf, const void *bytes, size_t len);
void buf_add_span(struct buf *buf, struct span span);
void buf_add_text(struct buf *buf, const char *string);
void buf_addf(struct buf *buf, const char *format, ...) PRINTF_LIKE(2, 3);
void buf_eat(struct buf *buf, size_t len); /* drop `len` bytes from the front */
/* NUL-terminates (the NUL is not counted) and returns buf->at. */
const char *buf_string(struct buf *buf);
static inline struct span buf_span(const struct buf *buf)
{
	return (struct span){.at = buf->at, .len = buf->len};
}

/* malloc that aborts when memory runs out; zeroed. */
void *mem_new(size_t size) __attribute__((malloc, returns_nonnull));
void *mem_grow(void *old, size_t count, size_t size) __attribute__((returns_nonnull));
char *mem_string(struct span span) __attribute__((malloc, returns_nonnull));

#endif
