/*
 * Lists: values that accumulate, from the config and from files with one entry a line.
 */
#include "conf/list.h"

#include <string.h>

#include "conf/lexer.h"

void conf_list_reserve(struct arena *arena, struct conf_list *list, size_t item_size, size_t more)
{
	struct conf_place *places;
	void *at;

	if (list->count + more <= list->room)
		return;
	list->room = list->count + (more > list->count ? more : list->count);
	at = arena_new(arena, list->room * item_size);
	places = arena_new(arena, list->room * sizeof(*places));
	if (list->count > 0) {
		memcpy(at, list->at, list->count * item_size);
		memcpy(places, list->places, list->count * sizeof(*places));
	}
	list->at = at;
	list->places = places;
}

bool conf_list_add(
	struct conf_statement *statement, const struct conf_token *token, struct conf_list *list)
{
	size_t size = conf_type_form(statement->row->type)->size;

	if (!conf_value(statement, token, statement->row, (char *)list->at + list->count * size))
		return false;
	list->places[list->count++] = token->place;
	return true;
}

/* ---- file:PATH ---- */

/* The entry of a line: without spaces, and without a comment, which begins the line or follows a
 * space. */
static struct span entry_of(struct span line)
{
	for (size_t i = 0; i < line.len; i++) {
		bool may_begin = i == 0 || line.at[i - 1] == ' ' || line.at[i - 1] == '\t';

		if (line.at[i] == '#' && may_begin)
			line.len = i;
	}
	if (line.len > 0 && line.at[line.len - 1] == '\r')
		line.len--;
	return span_trim(line);
}

static uint32_t column_of(struct span line, struct span entry)
{
	struct span before = {.at = line.at, .len = (size_t)(entry.at - line.at)};
	uint32_t column = 1;

	while (before.len > 0) {
		size_t len = conf_utf8_len(before);

		before = span_from(before, len > 0 ? len : 1);
		column++;
	}
	return column;
}

static bool is_text(struct span entry)
{
	while (entry.len > 0) {
		size_t len = conf_utf8_len(entry);

		if (len == 0 || (unsigned char)entry.at[0] < ' ' || entry.at[0] == 0x7f)
			return false;
		entry = span_from(entry, len);
	}
	return true;
}

static bool add_entry(
	struct conf_statement *statement, const struct conf_token *token, struct conf_list *list)
{
	if (is_text(token->text))
		return conf_list_add(statement, token, list);
	conf_report_error(statement->report, token->place, "an entry is not plain text in UTF-8");
	return false;
}

static bool add_lines(
	struct conf_statement *statement, const struct conf_source *source, struct conf_list *list)
{
	struct span rest = source->text;
	bool good = true;

	for (uint32_t number = 1; rest.len > 0; number++) {
		struct span line = {.at = rest.at, .len = span_find(rest, '\n')};
		struct span entry = entry_of(line);
		struct conf_token token = {.kind = CONF_TOKEN_WORD, .text = entry};

		rest = span_from(rest, line.len < rest.len ? line.len + 1 : line.len);
		if (entry.len == 0)
			continue;
		token.place = (struct conf_place){.source = source,
			.line = number,
			.column = column_of(line, entry),
			.offset = (uint32_t)(entry.at - source->text.at),
			.len = (uint32_t)entry.len};
		good &= add_entry(statement, &token, list);
	}
	return good;
}

static size_t lines_in(struct span text)
{
	size_t lines = 1;

	for (size_t i = 0; i < text.len; i++)
		lines += text.at[i] == '\n';
	return lines;
}

static enum err read_list(
	struct conf_statement *statement, const char *path, struct buf *text, struct err_text *why)
{
	const struct conf_files *files = statement->conf->files;
	enum err err;

	if (path[0] != '/')
		return err_set(why, ERR_SYNTAX, "the path does not begin with \"/\"");
	if (!files)
		return err_set(why, ERR_REFUSED, "files are not read here");
	err = files->read(files->arg, path, text, why);
	if (err == ERR_OK && text->len > CONF_LIST_MAX)
		return err_set(why, ERR_FULL, "the file is larger than 16 MiB");
	return err;
}

bool conf_list_add_file(
	struct conf_statement *statement, const struct conf_token *token, struct conf_list *list)
{
	const char *path = arena_string(statement->arena, span_from(token->text, 5));
	const struct conf_source *source;
	struct err_text why = {{0}};
	struct buf text = {0};
	struct span span;

	if (read_list(statement, path, &text, &why) != ERR_OK) {
		conf_report_error(statement->report, token->place,
			"can't read the list " CONF_SHOWN, CONF_SHOW(span_of(path)));
		conf_report_hint(statement->report, "%s", why.text);
		buf_clear(&text);
		return false;
	}
	span = buf_span(&text);
	if (span.len >= 3 && memcmp(span.at, "\xef\xbb\xbf", 3) == 0)
		span = span_from(span, 3);
	source = conf_report_source(statement->report, path, span);
	buf_clear(&text);
	conf_list_reserve(statement->arena, list, conf_type_form(statement->row->type)->size,
		lines_in(source->text));
	return add_lines(statement, source, list);
}
