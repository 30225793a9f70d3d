/*
 * Configs, in Mailweir's own language: whatever they hold, there is a config or there are
 * diagnostics that can be printed; and a config that is good means the same when it is read again,
 * and when only its blanks, line ends and comments are others.
 *
 * No file is touched: what file:PATH names is the text behind a line with FS alone, or isn't there.
 */
#include <stdlib.h>
#include <string.h>

#include "bin/settings.h"
#include "dump.h"
#include "input.h"
#include "naive_path.h"

#define TEXT_MOST 20000

static enum err read_list(void *arg, const char *path, struct buf *into, struct err_text *text)
{
	const struct span *list = arg;

	if (!list->at || strstr(path, "missing"))
		return err_set(text, ERR_MISSING, "%s: no such file", path);
	buf_add_span(into, *list);
	return ERR_OK;
}

/* ---- diagnostics ---- */

static void check_printable(const struct buf *text)
{
	for (size_t i = 0; i < text->len;) {
		unsigned char c = (unsigned char)text->at[i];
		size_t wide = naive_utf8(text->at + i, text->len - i);

		MUST(wide > 0 || c == '\n' || c == '\t' || (c >= ' ' && c < 0x7f),
			"octet 0x%02x in a diagnostic", c);
		MUST(wide != 2 || c != 0xc2 || (unsigned char)text->at[i + 1] >= 0xa0,
			"a control character in a diagnostic");
		i += wide > 0 ? wide : 1;
	}
}

static void check_report(
	const struct conf_report *report, const struct conf *conf, const struct buf *text)
{
	MUST((conf == NULL) == (report->errors > 0), "%u errors, and the config is %s",
		report->errors, conf ? "good" : "bad");
	MUST((text->len > 0) == (report->errors + report->warnings > 0), "nothing is said");
	MUST(text->len < 400000, "a report of %zu octets", text->len);
	MUST(text->len == 0 || text->at[text->len - 1] == '\n', "half a line is said");
	MUST(report->errors == 0 || memmem(text->at, text->len, "error: ", 7), "no error is said");
	check_printable(text);
}

/* ---- reading ---- */

struct reading {
	bool good;
	unsigned warnings;
	struct buf dump, report;
};

static struct reading read_config(struct span text, const struct span *list)
{
	const struct conf_files files = {.read = read_list, .arg = (void *)(uintptr_t)list};
	struct conf_report report = {0};
	struct reading reading = {0};
	struct conf *conf;

	conf = conf_parse(&bin_vocabulary, text, "mailweir.conf", list ? &files : NULL, &report);
	conf_report_text(&report, &reading.report);
	check_report(&report, conf, &reading.report);
	if (conf)
		dump_conf(&bin_vocabulary, conf, &reading.dump);
	reading.good = conf != NULL;
	reading.warnings = report.warnings;
	buf_string(&reading.dump);
	buf_string(&reading.report);
	conf_free(&conf);
	conf_report_clear(&report);
	return reading;
}

static void reading_clear(struct reading *reading)
{
	buf_clear(&reading->dump);
	buf_clear(&reading->report);
}

/* ---- the same config, written otherwise ---- */

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Behind the string that begins at `at`. */
static size_t string_end(struct span text, size_t at)
{
	for (at++; at < text.len && text.at[at] != '"'; at++)
		at += text.at[at] == '\\';
	return at + 1;
}

/* Behind the lexeme that begins at `at`: a sign, or a word that may hold one string. */
static size_t lexeme_end(struct span text, size_t at)
{
	if (memchr(";{}()", text.at[at], 5))
		return at + 1;
	while (at < text.len && !is_blank(text.at[at]) && !memchr(";{}()", text.at[at], 5))
		at = text.at[at] == '"' ? string_end(text, at) : at + 1;
	return at;
}

static void add_blank(struct buf *into, struct pattern *pattern)
{
	static const char *const blanks[] = {
		" ", "\n", "\t", "\r\n", "  ", " # no; {\"\n", "\n\n#\n"};

	buf_add_text(into, blanks[pattern_choose(pattern, sizeof(blanks) / sizeof(blanks[0]))]);
}

static void rewrite(struct span text, struct pattern *pattern, struct buf *into)
{
	size_t at = text.len >= 3 && memcmp(text.at, "\xef\xbb\xbf", 3) == 0 ? 3 : 0, end;

	while (at < text.len) {
		if (is_blank(text.at[at])) {
			at++;
			continue;
		}
		if (text.at[at] == '#') {
			while (at < text.len && text.at[at] != '\n')
				at++;
			continue;
		}
		end = lexeme_end(text, at);
		MUST(end <= text.len, "a good config ends inside a string");
		add_blank(into, pattern);
		buf_add(into, text.at + at, end - at);
		at = end;
	}
	add_blank(into, pattern);
}

static void check_again(struct span text, const struct span *list, const struct reading *first)
{
	struct reading again = read_config(text, list);

	MUST(strcmp(again.report.at, first->report.at) == 0, "said again, otherwise:\n%s\n%s",
		first->report.at, again.report.at);
	MUST(strcmp(again.dump.at, first->dump.at) == 0, "read again it means something else");
	reading_clear(&again);
}

static void check_without_files(struct span text)
{
	struct reading without = read_config(text, NULL);

	MUST(!without.good, "good without its files only");
	reading_clear(&without);
}

/* The blanks of a good config don't matter. */
static void check_rewritten(struct span text, const struct span *list, const struct reading *first,
	struct pattern *pattern)
{
	struct buf other = {0};
	struct reading again;

	rewrite(text, pattern, &other);
	again = read_config(buf_span(&other), list);
	MUST(again.good, "rewritten it is bad:\n%s\n%s", buf_string(&other), again.report.at);
	MUST(strcmp(again.dump.at, first->dump.at) == 0,
		"rewritten it means something else:\n%s\n%s", first->dump.at, again.dump.at);
	MUST(again.warnings == first->warnings, "%u warnings, %u when rewritten", first->warnings,
		again.warnings);
	reading_clear(&again);
	buf_clear(&other);
}

/* What stands behind a line with FS alone is a list's file. */
static struct span split_list(const struct input *input, struct span *list_r)
{
	const char *sign = input->len > 0 ? memmem(input->text, input->len, "\n\x1c\n", 3) : NULL;
	size_t len = sign ? (size_t)(sign - input->text) + 1 : input->len;

	*list_r = (struct span){.at = NULL};
	if (sign)
		*list_r = (struct span){.at = sign + 3, .len = input->len - len - 2};
	return (struct span){.at = input->text, .len = len};
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct reading first;
	struct input input;
	struct span text, list;

	input_take(bytes, len, TEXT_MOST, &input);
	text = split_list(&input, &list);
	first = read_config(text, &list);
	/* To read a config is dear: a bad one is read once more only here and there. */
	if (first.good || pattern_choose(&input.choices, 4) == 1)
		check_again(text, &list, &first);
	if (first.good)
		check_rewritten(text, &list, &first, &input.cuts);
	else if (text.len > 0 && memmem(text.at, text.len, "file:", 5))
		check_without_files(text);
	reading_clear(&first);
	input_clear(&input);
	return 0;
}
