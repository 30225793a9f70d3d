/*
 * Collecting diagnostics.
 *
 * Parsing reports in the order of the file, the checks behind it in the order of blocks;
 * report_text.c sorts.  Beyond the cap they are only counted: who has made one mistake a thousand
 * times has seen it after fifty.
 */
#include "conf/diagnostic.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void conf_report_clear(struct conf_report *report)
{
	arena_clear(&report->arena);
	*report = (struct conf_report){0};
}

const struct conf_source *conf_report_source(
	struct conf_report *report, const char *name, struct span text)
{
	struct conf_source *source = arena_new(&report->arena, sizeof(*source));

	source->name = arena_string(&report->arena, span_of(name));
	source->text = arena_span(&report->arena, text);
	return source;
}

static PRINTF_LIKE(2, 0) const
	char *write_words(struct conf_report *report, const char *format, va_list args)
{
	char words[600];

	if (vsnprintf(words, sizeof(words), format, args) >= (int)sizeof(words))
		memcpy(words + sizeof(words) - 4, "...", 4);
	return arena_string(&report->arena, span_of(words));
}

static PRINTF_LIKE(5, 0) void add(struct conf_report *report, bool warning, unsigned before,
	struct conf_place place, const char *format, va_list args)
{
	struct conf_diagnostic *diagnostic;

	report->current = NULL;
	if (before >= CONF_ERRORS_KEPT)
		return;
	diagnostic = arena_new(&report->arena, sizeof(*diagnostic));
	diagnostic->warning = warning;
	diagnostic->place = place;
	diagnostic->words = write_words(report, format, args);
	if (report->last)
		report->last->next = diagnostic;
	else
		report->first = diagnostic;
	report->last = report->current = diagnostic;
}

void conf_report_error(struct conf_report *report, struct conf_place place, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	add(report, false, report->errors++, place, format, args);
	va_end(args);
}

void conf_report_warning(
	struct conf_report *report, struct conf_place place, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	add(report, true, report->warnings++, place, format, args);
	va_end(args);
}

static PRINTF_LIKE(4, 0) void attach(struct conf_report *report, bool note, struct conf_place place,
	const char *format, va_list args)
{
	struct conf_remark *remark, **end;

	if (!report->current)
		return;
	remark = arena_new(&report->arena, sizeof(*remark));
	remark->note = note;
	remark->place = place;
	remark->words = write_words(report, format, args);
	for (end = &report->current->remarks; *end;)
		end = &(*end)->next;
	*end = remark;
}

void conf_report_hint(struct conf_report *report, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	attach(report, false, (struct conf_place){0}, format, args);
	va_end(args);
}

void conf_report_note(struct conf_report *report, struct conf_place place, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	attach(report, true, place, format, args);
	va_end(args);
}
