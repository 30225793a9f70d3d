/*
 * A line of the log for people: what a terminal shows instead of JSON.
 */
#ifndef BIN_LOG_TEXT_H
#define BIN_LOG_TEXT_H

#include "base/bytes.h"

/* Append `line` (one JSON object of ours, no newline) as text with a newline; as it is when it
 * does not parse. */
void log_text_line(struct span line, struct buf *into);

#endif
