/*
 * The trace: octets are kept as they came, and joined to lines when a speaker or a moment's
 * listener changes.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "sim/process.h"
#include "sim/trace_inside.h"
#include "sim/world.h"

enum { SHOWN_OCTETS = 90 };

struct trace *trace_new(void)
{
	struct trace *trace = mem_new(sizeof(*trace));
	trace->heap = sim_heap_current();
	return trace;
}

void trace_free(struct trace **tracep)
{
	struct trace *trace = *tracep;
	*tracep = NULL;
	if (!trace)
		return;
	for (size_t i = 0; i < trace->count; i++)
		buf_clear(&trace->at[i].text);
	free(trace->at);
	free(trace);
}

static struct trace_entry *entry_new(struct trace *trace, int64_t now, const char *who)
{
	if (trace->count == trace->room) {
		trace->room = trace->room ? trace->room * 2 : 1024;
		trace->at = mem_grow(trace->at, trace->room, sizeof(*trace->at));
	}
	struct trace_entry *entry = &trace->at[trace->count++];
	*entry = (struct trace_entry){.now = now};
	snprintf(entry->who, sizeof(entry->who), "%s", who);
	return entry;
}

/* The last thing said by, or to, this one, if it can be gone on with: an unfinished line. */
static struct trace_entry *entry_open(struct trace *trace, const char *who, bool heard)
{
	for (size_t i = trace->count; i > 0 && i + 200 > trace->count; i--) {
		struct trace_entry *entry = &trace->at[i - 1];
		if (strcmp(entry->who, who) != 0)
			continue;
		if (entry->note || entry->heard != heard)
			return NULL;
		return entry->text.len > 0 && entry->text.at[entry->text.len - 1] == '\n' ? NULL
											  : entry;
	}
	return NULL;
}

void trace_bytes(struct trace *trace, int64_t now, const char *who, bool heard, struct span bytes)
{
	struct sim_heap *outside = sim_heap_current();
	sim_heap_enter(trace->heap);
	while (bytes.len > 0) {
		size_t end = span_find(bytes, '\n');
		size_t len = end < bytes.len ? end + 1 : end;
		struct trace_entry *entry = entry_open(trace, who, heard);
		if (!entry) {
			entry = entry_new(trace, now, who);
			entry->heard = heard;
		}
		entry->octets += len;
		if (entry->text.len < 4 * SHOWN_OCTETS || len == end + 1)
			buf_add(&entry->text, bytes.at, len);
		bytes = span_from(bytes, len);
	}
	sim_heap_enter(outside);
}

void trace_note(struct trace *trace, int64_t now, const char *who, const char *format, ...)
{
	char text[400];
	va_list args;
	if (!trace)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	struct sim_heap *outside = sim_heap_current();
	sim_heap_enter(trace->heap);
	struct trace_entry *entry = entry_new(trace, now, who);
	entry->note = true;
	buf_add_text(&entry->text, text);
	sim_heap_enter(outside);
}

static void print_octets(FILE *out, struct span text)
{
	struct span shown = text;
	if (shown.len >= 2 && memcmp(shown.at + shown.len - 2, "\r\n", 2) == 0)
		shown.len -= 2;
	for (size_t i = 0; i < shown.len && i < SHOWN_OCTETS; i++) {
		unsigned char c = (unsigned char)shown.at[i];
		if (c >= ' ' && c < 0x7f)
			fputc(c, out);
		else if (c == '\r')
			fputs("\\r", out);
		else if (c == '\n')
			fputs("\\n", out);
		else
			fprintf(out, "\\x%02x", c);
	}
	if (shown.len > SHOWN_OCTETS)
		fprintf(out, " ...");
}

void trace_print_entry(const struct trace_entry *entry, FILE *out)
{
	int64_t since = entry->now - WORLD_EPOCH;
	fprintf(out, "%6" PRId64 ".%06" PRId64 "  %-16s %s ", since / SECOND, since % SECOND,
		entry->who, entry->note ? "*" : (entry->heard ? "<" : ">"));
	print_octets(out, buf_span(&entry->text));
	if (entry->more > 0)
		fprintf(out, "  ... and %u more like this", entry->more);
	fputc('\n', out);
}

void trace_print(const struct trace *trace, FILE *out)
{
	for (size_t i = 0; i < trace->count; i++)
		trace_print_entry(&trace->at[i], out);
}
