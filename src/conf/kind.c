/*
 * The vocabulary made ready for reading.
 *
 *     section "pool"   { name, queue, server }  --.
 *     section "server" { name, weight* }        --+-->  kind pool   { name, queue, server, weight
 * (lent) } section "server" { tls-name }  (net's)    --'     kind server { name, weight (from
 * pool), tls-name }
 *
 * The surprise is the lent row: `weight` (CONF_INHERIT) stands in kind pool as well, with a slot
 * of its own for the server's struct there, which is what conf_get(pool, &server_section) gives.
 */
#include "conf/kind.h"

#include <assert.h>
#include <ctype.h>
#include <string.h>

#include "conf/lexer.h"

#define MANY 400 /* names among which the nearest is looked for */

struct making {
	const struct conf_vocabulary *vocabulary;
	struct arena *arena;
	struct conf_kind *last;
};

static void make_kind(struct making *making, struct conf_kind *kind);

static const struct conf_directive *row_of(
	const struct conf_vocabulary *vocabulary, size_t section, size_t row)
{
	return &vocabulary->sections[section]->rows[row];
}

/* The values of a default, without places: they were not written anywhere. */
static void lex_fallback(struct making *making, struct conf_entry *entry)
{
	struct conf_source source = {.name = "default", .text = span_of(entry->row->fallback)};
	struct conf_report report = {0};
	struct conf_lexer lexer;
	struct conf_token *tokens;
	unsigned count = 0;

	tokens = arena_new(making->arena, (source.text.len + 1) * sizeof(*tokens));
	conf_lexer_init(&lexer, &source, making->arena, &report);
	for (;;) {
		struct conf_lexeme lexeme = conf_lexer_next(&lexer);

		if (lexeme.kind == LEX_END)
			break;
		tokens[count].text = lexeme.text;
		tokens[count++].kind = lexeme.kind == LEX_STRING        ? CONF_TOKEN_STRING
				       : lexeme.kind == LEX_PAREN_OPEN  ? CONF_TOKEN_OPEN
				       : lexeme.kind == LEX_PAREN_CLOSE ? CONF_TOKEN_CLOSE
									: CONF_TOKEN_WORD;
	}
	assert(report.errors == 0);
	conf_report_clear(&report);
	entry->fallback = tokens;
	entry->fallback_count = count;
}

static unsigned slot_for(struct conf_kind *kind, const struct conf_section *section)
{
	unsigned slot = 0;

	while (slot < kind->slot_count && kind->slots[slot] != section)
		slot++;
	if (slot == kind->slot_count)
		kind->slots[kind->slot_count++] = section;
	return slot;
}

static struct conf_entry *add_entry(struct making *making, struct conf_kind *kind,
	const struct conf_section *section, const struct conf_directive *row)
{
	struct conf_entry *entry = &kind->entries[kind->count++];

	entry->row = row;
	entry->section = section;
	entry->slot = slot_for(kind, section);
	entry->from = -1;
	if (row->fallback)
		lex_fallback(making, entry);
	return entry;
}

static struct conf_kind *new_kind(struct making *making, const char *name, struct conf_kind *parent,
	const struct conf_directive *opener)
{
	const struct conf_vocabulary *vocabulary = making->vocabulary;
	struct conf_kind *kind = arena_new(making->arena, sizeof(*kind));
	size_t rows = 0;

	/* Generous: as many as there are rows, since lent ones come on top. */
	for (size_t i = 0; i < vocabulary->count; i++)
		rows += vocabulary->sections[i]->count;
	kind->name = name;
	kind->word = opener ? opener->name : "";
	kind->opener = opener;
	kind->parent = parent;
	kind->entries = arena_new(making->arena, (rows + 1) * sizeof(kind->entries[0]));
	kind->slots = arena_new(making->arena, (vocabulary->count + 1) * sizeof(void *));
	if (making->last)
		making->last->next = kind;
	making->last = kind;
	return kind;
}

/* The inheritable rows of a child kind, into its parent. */
static void lend_rows(struct making *making, struct conf_kind *child)
{
	for (unsigned i = 0; i < child->count; i++) {
		struct conf_entry *own = &child->entries[i], *lent;

		if (own->lent || !(own->row->flags & CONF_INHERIT))
			continue;
		own->from = (int)child->parent->count;
		lent = add_entry(making, child->parent, own->section, own->row);
		lent->lent = true;
		lent->opens = own->opens;
	}
}

static void make_kind(struct making *making, struct conf_kind *kind)
{
	const struct conf_vocabulary *vocabulary = making->vocabulary;
	unsigned own;

	for (size_t i = 0; i < vocabulary->count; i++) {
		const struct conf_section *section = vocabulary->sections[i];

		if (strcmp(section->block, kind->name) != 0)
			continue;
		slot_for(kind, section); /* also one without rows has its struct */
		for (size_t j = 0; j < section->count; j++)
			add_entry(making, kind, section, row_of(vocabulary, i, j));
	}
	own = kind->count;
	for (unsigned i = 0; i < own; i++) {
		struct conf_entry *entry = &kind->entries[i];

		if (entry->row->type != CONF_BLOCK)
			continue;
		entry->opens = new_kind(making, entry->row->kind, kind, entry->row);
		make_kind(making, entry->opens);
		lend_rows(making, entry->opens);
	}
}

struct conf_kind *conf_kinds_new(const struct conf_vocabulary *vocabulary, struct arena *arena)
{
	struct making making = {.vocabulary = vocabulary, .arena = arena};
	struct conf_kind *top = new_kind(&making, "", NULL, NULL);

	make_kind(&making, top);
	return top;
}

static struct conf_entry *find(const struct conf_kind *kind, struct span name, bool arg)
{
	for (unsigned i = 0; i < kind->count; i++) {
		struct conf_entry *entry = &kind->entries[i];

		if (conf_entry_is_arg(entry) == arg && span_is(name, entry->row->name))
			return entry;
	}
	return NULL;
}

struct conf_entry *conf_kind_find(const struct conf_kind *kind, struct span name)
{
	return find(kind, name, false);
}

struct conf_entry *conf_kind_find_arg(const struct conf_kind *kind, struct span name)
{
	return find(kind, name, true);
}

struct conf_entry *conf_kind_nearest(const struct conf_kind *kind, struct span name)
{
	const char *names[MANY], *nearest;
	size_t count = 0;

	for (unsigned i = 0; i < kind->count && count < MANY; i++) {
		if (!conf_entry_is_arg(&kind->entries[i]))
			names[count++] = kind->entries[i].row->name;
	}
	nearest = conf_nearest(name, names, count);
	return nearest ? conf_kind_find(kind, span_of(nearest)) : NULL;
}

void conf_kind_synopsis(const struct conf_kind *kind, struct buf *out)
{
	buf_add_text(out, kind->word);
	for (unsigned i = 0; i < kind->count; i++) {
		const struct conf_entry *entry = &kind->entries[i];
		bool optional = entry->row->fallback != NULL;

		if (!conf_entry_is_arg(entry))
			continue;
		buf_add_text(out, optional ? " [" : " ");
		for (const char *c = entry->row->name; *c; c++)
			buf_addf(out, "%c", toupper((unsigned char)*c));
		if (entry->row->flags & CONF_LIST)
			buf_add_text(out, " ...");
		if (optional)
			buf_add_text(out, "]");
	}
}
