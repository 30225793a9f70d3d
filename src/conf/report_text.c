/*
 * Diagnostics as text.
 *
 *     mailweir.conf:4:9: error: unknown setting "relayto" in listener "inbound"
 *             relayto example.com;
 *             ^~~~~~~
 *         did you mean "relay-to"?
 *
 * The line is shown as it is, tabs too, and the caret's line repeats its tabs, so the caret
 * stands below its character whatever the terminal makes of a tab.  Only what could steer the
 * terminal is replaced by a question mark.
 */
#include "conf/diagnostic.h"

#include <stdlib.h>
#include <string.h>

#include "conf/lexer.h"

#define SHOWN 150 /* characters of a long line */

/* The first character, or a question mark for it; returns how many bytes it took. */
static size_t show_char(struct buf *out, struct span text)
{
	size_t len = conf_utf8_len(text);
	unsigned char c = (unsigned char)text.at[0];
	bool control =
		c < ' ' || c == 0x7f || (len == 2 && c == 0xc2 && (unsigned char)text.at[1] < 0xa0);

	if (len == 0 || (control && c != '\t'))
		buf_add_text(out, "?");
	else
		buf_add(out, text.at, len);
	return len > 0 ? len : 1;
}

static void show_words(struct buf *out, struct span words)
{
	while (words.len > 0)
		words = span_from(words, show_char(out, words));
}

static struct span line_of(struct conf_place place)
{
	struct span text = place.source->text;
	size_t start = place.offset, end = place.offset;

	while (start > 0 && text.at[start - 1] != '\n')
		start--;
	while (end < text.len && text.at[end] != '\n')
		end++;
	if (end > start && text.at[end - 1] == '\r')
		end--;
	return (struct span){.at = text.at + start, .len = end - start};
}

/* How many characters to leave out at the start of a line, so that the place is to be seen. */
static size_t left_out(struct span line, uint32_t column)
{
	return line.len > SHOWN && column > SHOWN / 2 ? column - SHOWN / 2 : 0;
}

static void show_line(struct buf *out, struct conf_place place)
{
	struct span line = line_of(place), marks = line;
	size_t skip = left_out(line, place.column), shown = 0;
	size_t at = place.offset - (size_t)(line.at - place.source->text.at);
	struct buf caret = {0};

	for (size_t i = 0; i < skip && marks.len > 0; i++) {
		size_t len = conf_utf8_len(marks);

		marks = span_from(marks, len > 0 ? len : 1);
	}
	buf_add_text(out, skip > 0 ? "    ..." : "    ");
	buf_add_text(&caret, skip > 0 ? "       " : "    ");
	while (marks.len > 0 && shown++ < SHOWN) {
		size_t offset = line.len - marks.len;
		char c = marks.at[0];

		marks = span_from(marks, show_char(out, marks));
		if (offset < at)
			buf_add_text(&caret, c == '\t' ? "\t" : " ");
		else if (offset > at && offset < at + place.len)
			buf_add_text(&caret, "~");
		else if (offset == at)
			buf_add_text(&caret, "^");
	}
	if (at >= line.len) /* behind the line's last character */
		buf_add_text(&caret, "^");
	buf_addf(out, "%s\n%s\n", marks.len > 0 ? "..." : "", buf_string(&caret));
	buf_clear(&caret);
}

static void show_heading(
	struct buf *out, struct conf_place place, const char *grade, const char *words)
{
	if (conf_placed(place)) {
		show_words(out, span_of(place.source->name));
		if (place.line > 0)
			buf_addf(out, ":%u:%u", place.line, place.column);
		buf_add_text(out, ": ");
	}
	buf_addf(out, "%s: ", grade);
	show_words(out, span_of(words));
	buf_add_text(out, "\n");
	if (conf_placed(place) && place.line > 0)
		show_line(out, place);
}

static void show(struct buf *out, const struct conf_diagnostic *diagnostic)
{
	show_heading(out, diagnostic->place, diagnostic->warning ? "warning" : "error",
		diagnostic->words);
	for (const struct conf_remark *remark = diagnostic->remarks; remark;
		remark = remark->next) {
		if (remark->note) {
			show_heading(out, remark->place, "note", remark->words);
			continue;
		}
		buf_add_text(out, "    ");
		show_words(out, span_of(remark->words));
		buf_add_text(out, "\n");
	}
}

/* ---- order ---- */

struct ranked {
	const struct conf_diagnostic *diagnostic;
	size_t group; /* the first diagnostic about the same source */
	size_t nth;   /* as reported: equals keep their order */
};

static int by_place(const void *left, const void *right)
{
	const struct ranked *a = left, *b = right;
	uint32_t at = a->diagnostic->place.offset, bt = b->diagnostic->place.offset;

	if (a->group != b->group)
		return a->group < b->group ? -1 : 1;
	if (at != bt)
		return at < bt ? -1 : 1;
	return a->nth < b->nth ? -1 : a->nth > b->nth;
}

static void count_rest(struct buf *out, unsigned all, const char *what)
{
	if (all > CONF_ERRORS_KEPT)
		buf_addf(out, "... and %u more %s%s\n", all - CONF_ERRORS_KEPT, what,
			all - CONF_ERRORS_KEPT == 1 ? "" : "s");
}

void conf_report_text(const struct conf_report *report, struct buf *out)
{
	struct ranked ranked[2 * CONF_ERRORS_KEPT];
	size_t count = 0;

	for (const struct conf_diagnostic *each = report->first; each; each = each->next) {
		size_t group = 0;

		while (group < count &&
			ranked[group].diagnostic->place.source != each->place.source)
			group++;
		ranked[count] = (struct ranked){.diagnostic = each, .group = group, .nth = count};
		count++;
	}
	qsort(ranked, count, sizeof(ranked[0]), by_place);
	for (size_t i = 0; i < count; i++)
		show(out, ranked[i].diagnostic);
	count_rest(out, report->errors, "error");
	count_rest(out, report->warnings, "warning");
}
