/*
 * The lint of the vocabulary: what a room declares must be complete and must work, and a test
 * holds all rooms to it.
 *
 * First the tables as they are, since making kinds of a broken vocabulary would crash; then
 * every example is read as a config would be.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "conf/build.h"

struct lint {
	const struct conf_vocabulary *vocabulary;
	const struct conf_section *section; /* in hand */
	const struct conf_directive *row;
	struct err_text *text;
};

static PRINTF_LIKE(2, 3) enum err fault(const struct lint *lint, const char *format, ...)
{
	char words[200];
	va_list args;

	va_start(args, format);
	vsnprintf(words, sizeof(words), format, args);
	va_end(args);
	return err_set(lint->text, ERR_SYNTAX, "setting \"%s\" of block \"%s\": %s",
		lint->row ? lint->row->name : "", lint->section->block, words);
}

/* ---- a row by itself ---- */

static bool is_plain_name(const char *name)
{
	for (const char *c = name; *c; c++) {
		if (!(*c >= 'a' && *c <= 'z') && !(*c >= '0' && *c <= '9') && *c != '-')
			return false;
	}
	return name[0] != '\0';
}

static bool may_have_words(const struct conf_directive *row)
{
	return (row->type >= CONF_INT && row->type <= CONF_SIZE) || row->type == CONF_ENUM ||
	       row->type == CONF_CUSTOM || conf_row_is_list(row);
}

static bool has_too_many_words(const struct conf_directive *row)
{
	unsigned count = 0;

	while (row->words && row->words[count])
		count++;
	return count > 63;
}

static enum err check_texts(const struct lint *lint)
{
	const struct conf_directive *row = lint->row;
	bool arg = (row->flags & CONF_ARG) != 0;

	if (!is_plain_name(row->name))
		return fault(lint, "a name is of lower case letters, digits and \"-\"");
	if (!row->help || strlen(row->help) < 10)
		return fault(lint, "it has no help");
	if (!arg && (!row->example || !row->example[0]))
		return fault(lint, "it has no example");
	if (arg && row->example)
		return fault(lint, "a value behind the block's name needs no example");
	return ERR_OK;
}

static enum err check_type(const struct lint *lint)
{
	const struct conf_directive *row = lint->row;
	bool custom = row->type == CONF_CUSTOM;

	if (row->type == CONF_ENUM && (!row->words || !row->words[0]))
		return fault(lint, "an enum without words");
	if (has_too_many_words(row))
		return fault(lint, "more than 63 words");
	if (row->words && !may_have_words(row))
		return fault(lint, "words that nobody looks at");
	if (custom && (!row->parse || !row->size || !row->values))
		return fault(lint, "a custom type needs parse, size and values");
	if (!custom && (row->parse || row->size || row->values))
		return fault(lint, "parse, size and values are for custom types");
	if ((row->type == CONF_BLOCK || row->type == CONF_REF) != (row->kind != NULL))
		return fault(lint, "blocks and references have a kind, others have not");
	if (row->max != 0 && row->max < row->min)
		return fault(lint, "max is below min");
	if (row->offset + conf_row_size(row) > lint->section->size)
		return fault(lint, "it lies outside its struct");
	return ERR_OK;
}

static enum err check_flags(const struct lint *lint)
{
	const struct conf_directive *row = lint->row;
	unsigned flags = row->flags;
	bool block = row->type == CONF_BLOCK, name = row->type == CONF_NAME;

	if ((flags & CONF_ALWAYS) && (!block || (flags & (CONF_REPEATABLE | CONF_REQUIRED))))
		return fault(lint, "ALWAYS is for a single block");
	if ((flags & (CONF_UNIQUE | CONF_NO_STORE)) && !name)
		return fault(lint, "UNIQUE and NO_STORE are for names");
	if (name && !(flags & CONF_ARG))
		return fault(lint, "a block's name stands behind it (ARG)");
	if (name && (flags & CONF_LIST))
		return fault(lint, "a block has one name");
	if ((flags & CONF_ARG) &&
		(block || (flags & (CONF_REPEATABLE | CONF_INHERIT | CONF_REQUIRED))))
		return fault(lint, "ARG goes with no block, REPEATABLE, INHERIT or REQUIRED");
	if ((flags & CONF_FILE) &&
		!(conf_row_is_list(row) && row->type != CONF_ENUM && row->type != CONF_REF))
		return fault(lint, "FILE is for lists");
	if (row->type == CONF_CUSTOM && (flags & (CONF_LIST | CONF_REPEATABLE)))
		return fault(lint, "a custom type is not a list, nor repeatable");
	if ((flags & CONF_PARENS) && row->type != CONF_CUSTOM)
		return fault(lint, "PARENS is for custom types");
	if (row->type == CONF_REF && (flags & CONF_REPEATABLE))
		return fault(lint, "references are a LIST, not REPEATABLE");
	if (row->fallback && (block || row->type == CONF_REF || (flags & CONF_REQUIRED)))
		return fault(lint, "a block, a reference or a required one has no default");
	return ERR_OK;
}

/* ---- a row among the others ---- */

/* Whether the same name is legal in the same kind by another row. */
static bool is_taken(const struct lint *lint)
{
	for (size_t i = 0; i < lint->vocabulary->count; i++) {
		const struct conf_section *section = lint->vocabulary->sections[i];

		for (size_t j = 0; j < section->count; j++) {
			if (&section->rows[j] != lint->row &&
				strcmp(section->block, lint->section->block) == 0 &&
				strcmp(section->rows[j].name, lint->row->name) == 0)
				return true;
		}
	}
	return false;
}

static unsigned openers_of(const struct conf_vocabulary *vocabulary, const char *kind,
	const struct conf_section **home_r)
{
	unsigned count = 0;

	for (size_t i = 0; i < vocabulary->count; i++) {
		const struct conf_section *section = vocabulary->sections[i];

		for (size_t j = 0; j < section->count; j++) {
			if (section->rows[j].type != CONF_BLOCK ||
				strcmp(section->rows[j].kind, kind) != 0)
				continue;
			count++;
			*home_r = section;
		}
	}
	return count;
}

/* From a kind up to the top, each opened once; a kind that opens itself never gets there. */
static enum err check_descent(const struct lint *lint)
{
	const struct conf_section *at = lint->section;

	for (size_t steps = 0; strcmp(at->block, "") != 0; steps++) {
		if (openers_of(lint->vocabulary, at->block, &at) != 1 ||
			steps > lint->vocabulary->count)
			return fault(lint, "not exactly one setting opens its kind of block");
	}
	return ERR_OK;
}

static enum err check_among(const struct lint *lint)
{
	const struct conf_section *home = NULL;

	if (is_taken(lint))
		return fault(lint, "another setting has this name");
	if (lint->row->kind && openers_of(lint->vocabulary, lint->row->kind, &home) != 1)
		return fault(lint, "not exactly one setting opens \"%s\"", lint->row->kind);
	if ((lint->row->flags & CONF_INHERIT) && !lint->section->block[0])
		return fault(lint, "the top inherits from nobody");
	return ERR_OK;
}

/* Values behind a block's name: optional ones last, a list last of all. */
static enum err check_args(const struct lint *lint)
{
	const struct conf_directive *before = NULL;

	for (size_t i = 0; i < lint->section->count; i++) {
		const struct conf_directive *row = &lint->section->rows[i];
		struct lint here = *lint;

		here.row = row;
		if (!(row->flags & CONF_ARG))
			continue;
		if (before && (before->type == CONF_CUSTOM || (before->flags & CONF_LIST)))
			return fault(&here, "it stands behind a list");
		if (before && before->fallback && !row->fallback)
			return fault(&here, "it stands behind an optional value");
		before = row;
	}
	return ERR_OK;
}

static enum err check_tables(struct lint *lint)
{
	enum err err = ERR_OK;

	for (size_t i = 0; i < lint->vocabulary->count && err == ERR_OK; i++) {
		lint->section = lint->vocabulary->sections[i];
		lint->row = NULL;
		err = check_descent(lint);
		if (err == ERR_OK)
			err = check_args(lint);
		for (size_t j = 0; j < lint->section->count && err == ERR_OK; j++) {
			lint->row = &lint->section->rows[j];
			err = check_texts(lint);
			if (err == ERR_OK)
				err = check_type(lint);
			if (err == ERR_OK)
				err = check_flags(lint);
			if (err == ERR_OK)
				err = check_among(lint);
		}
	}
	return err;
}

/* ---- defaults and examples, read ---- */

static enum err read_nothing(void *arg, const char *path, struct buf *into, struct err_text *text)
{
	return ERR_OK;
}

static enum err first_fault(const struct lint *lint, struct conf_report *report, const char *what)
{
	struct buf out = {0};
	enum err err = ERR_OK;

	if (report->errors > 0) {
		conf_report_text(report, &out);
		err = fault(lint, "its %s is wrong: %.120s", what, buf_string(&out));
	}
	buf_clear(&out);
	return err;
}

static enum err try_row(
	const struct lint *lint, const struct conf_kind *kind, const struct conf_entry *entry)
{
	static const struct conf_files files = {.read = read_nothing};
	struct conf_report report = {0};
	struct conf conf = {.files = &files, .report = &report};
	struct conf_block *root, *block;
	enum err err = ERR_OK;

	conf.pending_end = &conf.pending;
	conf.kinds = (struct conf_kind *)kind; /* names of the top are told apart nowhere here */
	conf.root = root = conf_block_new(&conf, NULL, kind);
	block = conf_block_new(&conf, root, kind);
	if (entry->fallback_count > 0) {
		conf_apply(&conf, block, entry, (struct conf_place){0}, entry->fallback,
			entry->fallback_count);
		err = first_fault(lint, &report, "default");
	}
	if (err == ERR_OK && entry->row->example) {
		conf_parse_text(&conf,
			conf_report_source(&report, "example", span_of(entry->row->example)), root);
		err = first_fault(lint, &report, "example");
		if (err == ERR_OK && !conf_placed(*conf_block_place(root, entry)))
			err = fault(lint, "its example does not show it");
	}
	arena_clear(&conf.arena);
	conf_report_clear(&report);
	return err;
}

static enum err check_kinds(struct lint *lint)
{
	struct arena arena = {0};
	enum err err = ERR_OK;

	for (struct conf_kind *kind = conf_kinds_new(lint->vocabulary, &arena);
		kind && err == ERR_OK; kind = kind->next) {
		for (unsigned i = 0; i < kind->count && err == ERR_OK; i++) {
			const struct conf_entry *entry = &kind->entries[i];

			lint->section = entry->section;
			lint->row = entry->row;
			for (unsigned j = 0; j < i; j++) {
				if (strcmp(kind->entries[j].row->name, entry->row->name) == 0)
					err = fault(lint, "inherited, it has the name of another");
			}
			if (err == ERR_OK)
				err = try_row(lint, kind, entry);
		}
	}
	arena_clear(&arena);
	return err;
}

enum err conf_vocabulary_check(const struct conf_vocabulary *vocabulary, struct err_text *text)
{
	struct lint lint = {.vocabulary = vocabulary, .text = text};
	enum err err = check_tables(&lint);

	return err == ERR_OK ? check_kinds(&lint) : err;
}
