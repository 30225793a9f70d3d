/*
 * The settings reference in Markdown, from the same rows that the parser reads with, so it can't
 * tell anything else.
 */
#include <string.h>

#include "conf/build.h"

/* Inside a table cell. */
static void add_cell(struct buf *out, const char *text)
{
	for (; *text; text++) {
		if (*text == '|')
			buf_add_text(out, "\\|");
		else if (*text == '\n')
			buf_add_text(out, " ");
		else
			buf_add(out, text, 1);
	}
}

static void add_code(struct buf *out, const char *text)
{
	buf_add_text(out, "`");
	add_cell(out, text);
	buf_add_text(out, "`");
}

static void add_words(struct buf *out, const struct conf_directive *row)
{
	for (unsigned i = 0; row->words && row->words[i]; i++) {
		buf_add_text(out, i > 0 ? ", " : out->len > 0 ? "; " : "");
		add_code(out, row->words[i]);
	}
}

/* What may be written as its value. */
static void add_values(struct buf *out, const struct conf_entry *entry)
{
	const struct conf_directive *row = entry->row;
	struct buf form = {0};

	if (entry->opens) {
		buf_addf(out, "a block, see [%s](#%s)", entry->opens->word,
			entry->opens->name[0] ? entry->opens->name : "top");
		return;
	}
	if (row->type == CONF_CUSTOM)
		add_code(&form, row->values);
	else if (row->type == CONF_REF)
		buf_addf(&form, "name of a %s", row->kind);
	else if (row->type == CONF_FLAG)
		buf_add_text(&form, "`yes`, `no`");
	else if (row->type != CONF_ENUM)
		add_code(&form, conf_type_form(row->type)->label);
	conf_row_bounds(row, &form);
	add_words(&form, row);
	if (row->flags & CONF_LIST)
		buf_add_text(&form, row->type == CONF_ENUM ? " (several)" : "; several");
	if (row->flags & CONF_FILE)
		buf_add_text(&form, "; `file:PATH`");
	add_cell(out, buf_string(&form));
	buf_clear(&form);
}

static void add_default(struct buf *out, const struct conf_entry *entry)
{
	const struct conf_directive *row = entry->row;

	if (row->fallback && row->fallback[0])
		add_code(out, row->fallback);
	else if ((row->flags & CONF_REQUIRED) || (conf_entry_is_arg(entry) && !row->fallback))
		buf_add_text(out, "must be written");
	else if (row->flags & CONF_ALWAYS)
		buf_add_text(out, "its own defaults");
	else
		buf_add_text(out, "none");
}

static void add_row(struct buf *out, const struct conf_kind *kind, const struct conf_entry *entry)
{
	buf_add_text(out, "| ");
	add_code(out, entry->row->name);
	buf_add_text(out, " | ");
	add_values(out, entry);
	buf_add_text(out, " | ");
	add_default(out, entry);
	buf_add_text(out, " | ");
	add_cell(out, entry->row->help);
	if (conf_entry_is_arg(entry))
		buf_add_text(out, " Stands behind the name of the block.");
	if (entry->row->flags & CONF_REPEATABLE)
		buf_add_text(out, " May be written several times.");
	if (entry->from >= 0)
		buf_addf(out, " In `%s`: the default for every `%s`.", kind->parent->word,
			kind->word);
	buf_add_text(out, " | ");
	if (entry->row->example)
		add_code(out, entry->row->example);
	buf_add_text(out, " |\n");
}

static void add_heading(struct buf *out, const struct conf_kind *kind)
{
	struct buf form = {0};

	if (!kind->parent) {
		buf_add_text(out, "## The top level\n\n");
		return;
	}
	conf_kind_synopsis(kind, &form);
	buf_addf(out, "<a id=\"%s\"></a>\n\n## `%s`\n\n", kind->name, buf_string(&form));
	buf_clear(&form);
	if (kind->parent->parent)
		buf_addf(out, "Inside `%s`. ", kind->parent->word);
	buf_addf(out, "%s\n\n", kind->opener->help);
}

/* What stands behind the block's name, or what stands in it. */
static void add_rows(struct buf *out, const struct conf_kind *kind, bool args)
{
	for (unsigned i = 0; i < kind->count; i++) {
		const struct conf_entry *entry = &kind->entries[i];

		if (!entry->lent && conf_entry_is_arg(entry) == args)
			add_row(out, kind, entry);
	}
}

static void add_kind(struct buf *out, const struct conf_kind *kind)
{
	unsigned rows = 0;

	add_heading(out, kind);
	buf_add_text(out, "| setting | values | default | meaning | example |\n"
			  "|---|---|---|---|---|\n");
	add_rows(out, kind, true);
	add_rows(out, kind, false);
	buf_add_text(out, "\n");
	/* Lent rows are described where they belong; here it is enough to name them. */
	for (unsigned i = 0; i < kind->count; i++) {
		if (!kind->entries[i].lent)
			continue;
		if (rows++ == 0)
			buf_addf(out, "In `%s` also, as defaults for every block inside it: ",
				kind->word);
		else
			buf_add_text(out, ", ");
		add_code(out, kind->entries[i].row->name);
	}
	buf_add_text(out, rows > 0 ? ".\n\n" : "");
}

static void add_legend(struct buf *out)
{
	buf_add_text(out, "## Values\n\nUnits are compulsory. A value with spaces or a \"=\" in it "
			  "stands in quotes.\n\n| written as | is |\n|---|---|\n");
	for (enum conf_type type = CONF_INT; type < CONF_REF; type++) {
		const struct conf_type_form *form = conf_type_form(type);

		if (type == CONF_ENUM)
			continue;
		buf_addf(out, "| `%s` | %s |\n", form->label, form->wanted);
	}
	buf_add_text(out, "| `file:PATH` | a list in a file, one entry a line; `#` begins a "
			  "comment |\n\n");
}

void conf_reference(const struct conf_vocabulary *vocabulary, struct buf *out)
{
	struct arena arena = {0};

	add_legend(out);
	for (struct conf_kind *kind = conf_kinds_new(vocabulary, &arena); kind; kind = kind->next)
		add_kind(out, kind);
	arena_clear(&arena);
}
