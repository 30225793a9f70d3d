/*
 * A config: its blocks, and how rooms look into them.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "conf/build.h"

/* ---- the whole ---- */

/* Editors on Windows put one in front; nobody sees it. */
static struct span without_mark(struct span text)
{
	return text.len >= 3 && memcmp(text.at, "\xef\xbb\xbf", 3) == 0 ? span_from(text, 3) : text;
}

static bool is_utf16(struct span text)
{
	return text.len >= 2 &&
	       (memcmp(text.at, "\xff\xfe", 2) == 0 || memcmp(text.at, "\xfe\xff", 2) == 0);
}

static void read_text(struct conf *conf, struct span text, const char *file_name)
{
	struct conf_place whole = {.source = conf_report_source(conf->report, file_name, SPAN(""))};

	if (text.len > CONF_TEXT_MAX) {
		conf_report_error(conf->report, whole, "the file is larger than 1 MiB");
		return;
	}
	if (is_utf16(text)) {
		conf_report_error(conf->report, whole, "the file is in UTF-16");
		conf_report_hint(conf->report, "expected plain text in UTF-8");
		return;
	}
	whole.source = conf_report_source(conf->report, file_name, without_mark(text));
	conf->root = conf_block_new(conf, NULL, conf->kinds);
	conf->root->place = whole;
	conf_parse_text(conf, whole.source, conf->root);
	conf_finish(conf);
}

struct conf *conf_parse(const struct conf_vocabulary *vocabulary, struct span text,
	const char *file_name, const struct conf_files *files, struct conf_report *report)
{
	struct conf *conf = mem_new(sizeof(*conf));
	unsigned errors = report->errors;

	conf->files = files;
	conf->report = report;
	conf->pending_end = &conf->pending;
	conf->kinds = conf_kinds_new(vocabulary, &conf->arena);
	read_text(conf, text, file_name);
	conf->report = NULL;
	conf->files = NULL;
	if (report->errors > errors)
		conf_free(&conf);
	return conf;
}

void conf_free(struct conf **conf)
{
	if (!*conf)
		return;
	arena_clear(&(*conf)->arena);
	free(*conf);
	*conf = NULL;
}

/* ---- blocks ---- */

struct conf_block *conf_block_new(
	struct conf *conf, struct conf_block *parent, const struct conf_kind *kind)
{
	struct conf_block *block = arena_new(&conf->arena, sizeof(*block));

	block->kind = kind->name;
	block->is = kind;
	block->parent = parent;
	block->values = arena_new(&conf->arena, (kind->slot_count + 1) * sizeof(void *));
	block->places = arena_new(&conf->arena, (kind->count + 1) * sizeof(block->places[0]));
	for (unsigned i = 0; i < kind->slot_count; i++)
		block->values[i] = arena_new(&conf->arena, kind->slots[i]->size + 1);
	if (parent && parent->last)
		parent->last->next = block;
	else if (parent)
		parent->first = block;
	if (parent)
		parent->last = block;
	return block;
}

void conf_block_describe(const struct conf_block *block, struct buf *out)
{
	if (!block->parent)
		buf_add_text(out, "the top level");
	else if (block->name)
		buf_addf(out, "%s \"%s\"", block->is->word, block->name);
	else
		buf_add_text(out, block->is->word);
}

/* ---- what rooms ask ---- */

const struct conf_block *conf_root(const struct conf *conf)
{
	return conf->root;
}

const void *conf_get(const struct conf_block *block, const struct conf_section *section)
{
	for (unsigned i = 0; i < block->is->slot_count; i++) {
		if (block->is->slots[i] == section)
			return block->values[i];
	}
	die("conf: a section of \"%s\" was asked from a block of \"%s\"", section->block,
		block->kind);
}

static const struct conf_block *first_of(const struct conf_block *from, const char *kind)
{
	while (from && strcmp(from->kind, kind) != 0)
		from = from->next;
	return from;
}

static bool inherits(const struct conf_block *block, const char *kind)
{
	for (unsigned i = 0; i < block->is->count; i++) {
		const struct conf_entry *entry = &block->is->entries[i];

		if (entry->opens && entry->from >= 0 && strcmp(entry->opens->name, kind) == 0)
			return true;
	}
	return false;
}

const struct conf_block *conf_first(const struct conf_block *block, const char *kind)
{
	const struct conf_block *child = first_of(block->first, kind);

	if (!child && inherits(block, kind))
		child = first_of(block->parent->first, kind);
	return child;
}

const struct conf_block *conf_next(const struct conf_block *block)
{
	return first_of(block->next, block->kind);
}

unsigned conf_count(const struct conf_block *block, const char *kind)
{
	unsigned count = 0;

	CONF_EACH(child, block, kind)
	count++;
	return count;
}

static const struct conf_block *find_below(
	const struct conf_block *block, const char *kind, const char *name)
{
	for (const struct conf_block *child = block->first; child; child = child->next) {
		const struct conf_block *found;

		if (strcmp(child->kind, kind) == 0 && child->name && strcmp(child->name, name) == 0)
			return child;
		found = find_below(child, kind, name);
		if (found)
			return found;
	}
	return NULL;
}

const struct conf_block *conf_find(const struct conf *conf, const char *kind, const char *name)
{
	return find_below(conf->root, kind, name);
}

static struct conf_place place_of(const struct conf_block *block, const char *setting)
{
	const struct conf_entry *entry = conf_kind_find(block->is, span_of(setting));

	if (!entry)
		entry = conf_kind_find_arg(block->is, span_of(setting));
	assert(entry);
	return *conf_block_place(block, entry);
}

struct conf_place conf_place(const struct conf_block *block, const char *setting)
{
	struct conf_place place = place_of(block, setting);

	return conf_placed(place) ? place : block->place;
}

bool conf_written(const struct conf_block *block, const char *setting)
{
	return conf_placed(place_of(block, setting));
}
