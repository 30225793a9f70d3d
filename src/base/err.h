/*
 * Expected failures.  A bug asserts, memory that runs out aborts; what a caller
 * must be ready for comes back as one of these, with words for a person beside it.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stdnoreturn.h>

enum err {
	ERR_OK = 0,
	ERR_AGAIN,   /* not now; the header says who calls when it is time */
	ERR_DOWN,    /* the peer, or every server that could serve, is not usable */
	ERR_FULL,    /* a limit of ours or of the peer's is reached */
	ERR_SYNTAX,  /* the input does not follow its grammar */
	ERR_RANGE,   /* well formed, but outside what is allowed */
	ERR_MISSING, /* something named does not exist */
	ERR_REFUSED, /* permission, or the peer said no */
	ERR_BROKEN,  /* the connection or file can't be used any more */
	ERR_TIMEOUT,
};

#define MUST_USE                      __attribute__((warn_unused_result))
#define PRINTF_LIKE(format_at, first) __attribute__((format(printf, format_at, first)))

/* Words for a person; always NUL-terminated, truncated rather than grown. */
struct err_text {
	char text[400];
};

/* Write the words and return `err`, so a function can say `return err_set(...)`.
 * `text` may be NULL. */
enum err err_set(struct err_text *text, enum err err, const char *format, ...) PRINTF_LIKE(3, 4);

/* A short fixed name ("time-out"), for logs. */
const char *err_name(enum err err);

/* For what must not happen: memory that ran out, a broken invariant of the
 * process.  Writes to stderr and aborts. */
noreturn void die(const char *format, ...) PRINTF_LIKE(1, 2);

#endif
