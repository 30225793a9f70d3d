/*
 * A JSON writer into a struct buf: no tree, no allocation beyond the buffer.  Commas are placed
 * by the writer.  Strings are written as UTF-8; a byte that is not valid UTF-8 becomes U+FFFD,
 * control characters are escaped, so a line of ours is always one line and always parses.
 *
 * No name here is one of jansson's: its own calls would find ours in the program instead.
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include "base/bytes.h"

struct json {
	struct buf *out;
	bool comma;
};

void json_begin(struct json *json, struct buf *out); /* appends behind what `out` holds */
/* '{' or '['; the name is NULL inside an array, here and below. */
void json_open(struct json *json, const char *name, char bracket);
void json_close(struct json *json, char bracket); /* '}' or ']' */
void json_put_text(struct json *json, const char *name, struct span value);
void json_put_string(struct json *json, const char *name, const char *value); /* NULL writes null */
void json_put_int(struct json *json, const char *name, int64_t value);
void json_put_real(struct json *json, const char *name, double value, int decimals);
void json_put_bool(struct json *json, const char *name, bool value);
/* Microseconds as milliseconds with three decimals: durations in the log. */
void json_put_msec(struct json *json, const char *name, int64_t usec);

#endif
