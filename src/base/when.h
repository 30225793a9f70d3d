/*
 * Time.  Everywhere in the code a moment or a duration is an int64_t in microseconds.
 * Moments on the monotonic clock come from sys_now(); wall time only for people's eyes.
 */
#ifndef BASE_WHEN_H
#define BASE_WHEN_H

#include <stdint.h>

#define USEC   ((int64_t)1)
#define MSEC   (1000 * USEC)
#define SECOND (1000 * MSEC)
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)
#define NEVER  INT64_MAX

/* "2026-11-21T03:54:07.123Z" (RFC 3339, UTC, milliseconds) from microseconds since 1970. */
#define WHEN_TEXT 32
void when_text(int64_t wall, char text_r[WHEN_TEXT]);

#endif
