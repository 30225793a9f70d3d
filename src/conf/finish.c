/*
 * After the whole text is read: what refers to what, defaults, inheritance, what is missing, and
 * the rooms' own checks.
 *
 * In this order, since an inherited reference must be resolved before it is copied, and a check
 * may look anywhere.
 */
#include <string.h>

#include "conf/build.h"

/* ---- references ---- */

static const char *nearest_name(
	const struct conf_block *block, const char *kind, struct span text, const char *best)
{
	for (const struct conf_block *each = block->first; each; each = each->next) {
		if (each->name && strcmp(each->kind, kind) == 0) {
			const char *two[] = {each->name, best};

			best = conf_nearest(text, two, best ? 2 : 1);
		}
		best = nearest_name(each, kind, text, best);
	}
	return best;
}

/* The words of the kind: "pool". */
static const char *word_of(const struct conf *conf, const char *kind)
{
	for (const struct conf_kind *each = conf->kinds; each; each = each->next) {
		if (strcmp(each->name, kind) == 0)
			return each->word;
	}
	return kind;
}

static void complain_of_reference(struct conf *conf, const struct conf_pending *pending)
{
	const char *kind = pending->row->kind;
	const char *near = nearest_name(conf->root, kind, pending->token.text, NULL);

	conf_report_error(conf->report, pending->token.place, "there is no %s " CONF_SHOWN,
		word_of(conf, kind), CONF_SHOW(pending->token.text));
	if (near) {
		conf_report_hint(conf->report, "did you mean \"%s\"?", near);
		conf_report_note(conf->report, conf_find(conf, kind, near)->place,
			"\"%s\" is written here", near);
	} else {
		conf_report_hint(conf->report, "expected the name of a %s written in this file",
			word_of(conf, kind));
	}
	pending->block->flags |= CONF_BLOCK_DIRTY;
}

static void resolve(struct conf *conf)
{
	for (struct conf_pending *each = conf->pending; each; each = each->next) {
		const char *name = arena_string(&conf->arena, each->token.text);
		const struct conf_block *found = conf_find(conf, each->row->kind, name);

		if (found)
			*each->to = found;
		else
			complain_of_reference(conf, each);
	}
}

/* ---- defaults and inheritance ---- */

static bool has_child(const struct conf_block *block, const struct conf_kind *kind)
{
	for (const struct conf_block *child = block->first; child; child = child->next) {
		if (child->is == kind)
			return true;
	}
	return false;
}

static bool is_covered(const struct conf_block *block, const struct conf_entry *entry)
{
	return has_child(block, entry->opens) ||
	       (entry->from >= 0 && has_child(block->parent, entry->opens));
}

/* A row that nobody wrote, in the block or above it. */
static void complain_of_missing(
	struct conf *conf, struct conf_block *block, const struct conf_entry *entry)
{
	struct conf_place *above = entry->from >= 0 ? &block->parent->places[entry->from] : NULL;
	struct buf which = {0};

	conf_block_describe(block, &which);
	conf_report_error(conf->report, block->place, "\"%s\" is missing %s %s", entry->row->name,
		block->parent ? "in" : "at", buf_string(&which));
	buf_reset(&which);
	if (above) {
		conf_block_describe(block->parent, &which);
		buf_addf(&which, " for every %s, or here", block->is->word);
		*above = block->place; /* once is enough: its siblings may lack it too */
	}
	if (above)
		conf_report_hint(conf->report, "expected it in %s, such as: %s", buf_string(&which),
			entry->row->example);
	else
		conf_report_hint(conf->report, "expected, for example: %s", entry->row->example);
	block->flags |= CONF_BLOCK_DIRTY;
	for (struct conf_block *each = above ? block->parent->first : NULL; each;
		each = each->next) {
		if (each->is == block->is)
			each->flags |= CONF_BLOCK_DIRTY;
	}
	buf_clear(&which);
}

static void inherit(struct conf_block *block, const struct conf_entry *entry)
{
	const struct conf_entry *above = &block->parent->is->entries[entry->from];

	memcpy(conf_block_slot(block, entry), conf_block_slot(block->parent, above),
		conf_row_size(entry->row));
	*conf_block_place(block, entry) = *conf_block_place(block->parent, above);
}

static void finish_setting(
	struct conf *conf, struct conf_block *block, const struct conf_entry *entry)
{
	bool above = entry->from >= 0 && conf_placed(block->parent->places[entry->from]);

	if (conf_placed(*conf_block_place(block, entry)))
		return;
	if (above)
		inherit(block, entry);
	else if (entry->fallback_count > 0)
		conf_apply(conf, block, entry, (struct conf_place){0}, entry->fallback,
			entry->fallback_count);
	else if ((entry->row->flags & CONF_REQUIRED) && !entry->lent)
		complain_of_missing(conf, block, entry);
}

static void finish_child(
	struct conf *conf, struct conf_block *block, const struct conf_entry *entry)
{
	unsigned flags = entry->row->flags;

	if (is_covered(block, entry) || conf_placed(*conf_block_place(block, entry)))
		return;
	/* An inheritable one is made where its parent is, once for all. */
	if ((flags & CONF_ALWAYS) && entry->from < 0)
		conf_block_new(conf, block, entry->opens);
	else if ((flags & CONF_REQUIRED) && !entry->lent)
		complain_of_missing(conf, block, entry);
}

/* The block before its children, which inherit from it. */
static void finish_block(struct conf *conf, struct conf_block *block)
{
	for (unsigned i = 0; i < block->is->count; i++) {
		const struct conf_entry *entry = &block->is->entries[i];

		if (entry->opens)
			finish_child(conf, block, entry);
		else
			finish_setting(conf, block, entry);
	}
	for (struct conf_block *child = block->first; child; child = child->next)
		finish_block(conf, child);
}

/* ---- checks ---- */

/* A block is as dirty as what lies in it. */
static bool spread_dirt(struct conf_block *block)
{
	for (struct conf_block *child = block->first; child; child = child->next) {
		if (spread_dirt(child))
			block->flags |= CONF_BLOCK_DIRTY;
	}
	return (block->flags & CONF_BLOCK_DIRTY) != 0;
}

static void spread_dirt_of_targets(struct conf *conf)
{
	for (struct conf_pending *each = conf->pending; each; each = each->next) {
		if (*each->to && ((*each->to)->flags & CONF_BLOCK_DIRTY))
			each->block->flags |= CONF_BLOCK_DIRTY;
	}
}

/* Whether it should have a name and has none: whoever checks what lies in it would want to say it.
 */
static bool is_nameless(const struct conf_block *block)
{
	for (unsigned i = 0; i < block->is->count; i++) {
		const struct conf_entry *entry = &block->is->entries[i];

		if (conf_entry_is_arg(entry) && entry->row->type == CONF_NAME)
			return !block->name;
	}
	return false;
}

static void check_block(struct conf *conf, struct conf_block *block)
{
	if (is_nameless(block))
		return;
	for (struct conf_block *child = block->first; child; child = child->next)
		check_block(conf, child);
	if (block->flags & CONF_BLOCK_DIRTY)
		return;
	for (unsigned i = 0; i < block->is->slot_count; i++) {
		const struct conf_section *section = block->is->slots[i];

		if (section->check && strcmp(section->block, block->kind) == 0)
			section->check(block, block->values[i], conf->report);
	}
}

void conf_finish(struct conf *conf)
{
	resolve(conf);
	finish_block(conf, conf->root);
	spread_dirt(conf->root);
	spread_dirt_of_targets(conf);
	spread_dirt(conf->root);
	check_block(conf, conf->root);
}
