/*
 * Diagnostics: what is wrong in a config, where, and what was expected instead.
 *
 *     mailweir.conf:12:5: error: unknown setting "relayto" in listener "inbound"
 *         relayto example.com;
 *         ^~~~~~~
 *     did you mean "relay-to"?
 *     mailweir.conf:9:1: note: ...                  a second place, when one belongs to it
 *
 * A report owns the sources that places point into, so it outlives the conf it was made with.
 * It keeps CONF_ERRORS_KEPT errors and as many warnings and counts the rest.
 */
#ifndef CONF_REPORT_H
#define CONF_REPORT_H

#include "base/arena.h"
#include "base/bytes.h"

#define CONF_ERRORS_KEPT 50

/* A file (or a list file, or a default of ours) as it was read. */
struct conf_source {
	const char *name;
	struct span text;
};

/* Where something was written.  `source` NULL: nowhere, it is a default.  `line` 0: the file as
 * a whole. */
struct conf_place {
	const struct conf_source *source;
	uint32_t line, column; /* from 1; a column is a character, a tab is one */
	uint32_t offset, len;  /* bytes in source->text */
};

static inline bool conf_placed(struct conf_place place)
{
	return place.source != NULL;
}

struct conf_diagnostic;

/* Zero-initialised is empty. */
struct conf_report {
	struct arena arena;
	struct conf_diagnostic *first, *last;
	struct conf_diagnostic *current; /* what hint and note add to; NULL if it was not kept */
	unsigned errors, warnings;       /* all, kept or not */
};

void conf_report_clear(struct conf_report *report);

void conf_report_error(struct conf_report *report, struct conf_place place, const char *format, ...)
	PRINTF_LIKE(3, 4);
void conf_report_warning(struct conf_report *report, struct conf_place place, const char *format,
	...) PRINTF_LIKE(3, 4);
/* Add to the error or warning just reported: a line below the caret ("expected ...", "did you
 * mean ...?"), and a second place with its own line and caret ("first written here").  A note at
 * an unplaced place prints its words alone. */
void conf_report_hint(struct conf_report *report, const char *format, ...) PRINTF_LIKE(2, 3);
void conf_report_note(struct conf_report *report, struct conf_place place, const char *format, ...)
	PRINTF_LIKE(3, 4);

/* Everything, in the order of the file, for a terminal or a log.  What strangers could have put
 * into the file is printed without control characters. */
void conf_report_text(const struct conf_report *report, struct buf *out);

/* For those who read a config: a copy of the text that lives as long as the report. */
const struct conf_source *conf_report_source(struct conf_report *report, const char *name,
	struct span text) __attribute__((returns_nonnull));

#endif
