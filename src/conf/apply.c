/*
 * One setting's values into its block.
 */
#include <assert.h>
#include <string.h>

#include "conf/list.h"

/* ---- how many values ---- */

static bool too_few(struct conf_statement *statement)
{
	struct buf wanted = {0};

	conf_row_wanted(statement->row, &wanted);
	conf_report_error(
		statement->report, statement->place, "\"%s\" needs a value", statement->row->name);
	conf_report_hint(statement->report, "expected %s", buf_string(&wanted));
	buf_clear(&wanted);
	return false;
}

static bool too_many(struct conf_statement *statement)
{
	conf_report_error(statement->report, statement->values[1].place, "\"%s\" takes one value",
		statement->row->name);
	conf_report_hint(statement->report, "expected \";\" behind " CONF_SHOWN,
		CONF_SHOW(statement->values[0].text));
	return false;
}

/* ---- into the struct ---- */

static bool apply_scalar(struct conf_statement *statement, void *to)
{
	const char *ignored;

	if (statement->count == 0)
		return too_few(statement);
	if (statement->count > 1)
		return too_many(statement);
	if (statement->row->flags & CONF_NO_STORE)
		to = &ignored;
	return conf_value(statement, &statement->values[0], statement->row, to);
}

/* Several words of an enum: bits. */
static bool apply_set(struct conf_statement *statement, void *to)
{
	bool good = true;
	uint64_t set;

	memcpy(&set, to, sizeof(set));
	for (unsigned i = 0; i < statement->count; i++) {
		const struct conf_token *token = &statement->values[i];
		int word = 0;

		if (!conf_value(statement, token, statement->row, &word)) {
			good = false;
		} else if (set & (uint64_t)1 << word) {
			conf_report_error(statement->report, token->place, CONF_SHOWN " twice",
				CONF_SHOW(token->text));
			good = false;
		} else {
			set |= (uint64_t)1 << word;
		}
	}
	memcpy(to, &set, sizeof(set));
	return good;
}

static uint64_t word_bit(const struct conf_directive *row, struct span text)
{
	for (unsigned i = 0; row->words && row->words[i]; i++) {
		if (span_is(text, row->words[i]))
			return (uint64_t)1 << i;
	}
	return 0;
}

static bool add_item(
	struct conf_statement *statement, const struct conf_token *token, struct conf_list *list)
{
	uint64_t bit = word_bit(statement->row, token->text);

	list->words |= bit;
	if (bit)
		return true;
	if ((statement->row->flags & CONF_FILE) && token->text.len > 5 &&
		memcmp(token->text.at, "file:", 5) == 0)
		return conf_list_add_file(statement, token, list);
	/* A file may have filled the room. */
	conf_list_reserve(statement->arena, list, conf_type_form(statement->row->type)->size, 1);
	return conf_list_add(statement, token, list);
}

static bool apply_list(struct conf_statement *statement, void *to)
{
	struct conf_list list;
	bool good = true;

	memcpy(&list, to, sizeof(list));
	conf_list_reserve(statement->arena, &list, conf_type_form(statement->row->type)->size,
		statement->count);
	for (unsigned i = 0; i < statement->count; i++)
		good &= add_item(statement, &statement->values[i], &list);
	memcpy(to, &list, sizeof(list));
	return good;
}

/* ---- the statement ---- */

static bool has_parens(struct conf_statement *statement)
{
	if (statement->row->flags & CONF_PARENS)
		return false;
	for (unsigned i = 0; i < statement->count; i++) {
		const struct conf_token *token = &statement->values[i];

		if (token->kind == CONF_TOKEN_OPEN || token->kind == CONF_TOKEN_CLOSE) {
			conf_report_error(statement->report, token->place,
				"\"%s\" takes no parentheses", statement->row->name);
			return true;
		}
	}
	return false;
}

static bool apply_values(struct conf_statement *statement, void *to)
{
	const struct conf_directive *row = statement->row;

	if (has_parens(statement))
		return false;
	if (row->type == CONF_CUSTOM)
		return row->parse(statement, to);
	if (!conf_row_is_list(row))
		return apply_scalar(statement, to);
	if (statement->count == 0)
		return too_few(statement);
	if (!(row->flags & CONF_LIST) && statement->count > 1)
		return too_many(statement);
	return row->type == CONF_ENUM ? apply_set(statement, to) : apply_list(statement, to);
}

bool conf_apply(struct conf *conf, struct conf_block *block, const struct conf_entry *entry,
	struct conf_place place, const struct conf_token *tokens, unsigned count)
{
	struct conf_statement statement = {.row = entry->row,
		.block = block,
		.place = place,
		.values = tokens,
		.count = count,
		.arena = &conf->arena,
		.report = conf->report,
		.conf = conf};

	assert(entry->row->type != CONF_BLOCK);
	return apply_values(&statement, conf_block_slot(block, entry));
}
