/*
 * A config while it is being read: what parser, types and finish share.
 */
#ifndef CONF_BUILD_H
#define CONF_BUILD_H

#include "conf/kind.h"

enum { CONF_BLOCK_DIRTY = 1 }; /* conf_block.flags: an error was reported inside it */

/* A reference whose target may come later in the file. */
struct conf_pending {
	struct conf_pending *next;
	struct conf_block *block; /* that refers */
	const struct conf_directive *row;
	struct conf_token token;
	const struct conf_block **to;
};

struct conf {
	struct arena arena;
	struct conf_kind *kinds; /* the top's first */
	struct conf_block *root;
	const struct conf_files *files;
	struct conf_report *report;
	struct conf_pending *pending, **pending_end;
};

/* ---- block.c ---- */
struct conf_block *conf_block_new(
	struct conf *conf, struct conf_block *parent, const struct conf_kind *kind);
static inline void *conf_block_slot(const struct conf_block *block, const struct conf_entry *entry)
{
	return (char *)block->values[entry->slot] + entry->row->offset;
}
static inline struct conf_place *conf_block_place(
	const struct conf_block *block, const struct conf_entry *entry)
{
	return &block->places[conf_entry_index(block->is, entry)];
}
/* 'listener "inbound"', "the top level". */
void conf_block_describe(const struct conf_block *block, struct buf *out);

/* ---- type.c ---- */
/* How one scalar type is read, and what a person is told about it. */
struct conf_type_form {
	size_t size;
	const char *label;  /* for the reference: "DURATION" */
	const char *wanted; /* for diagnostics: "a duration with its unit, such as 20s or 10min" */
	bool (*read)(struct conf_statement *statement, const struct conf_token *token,
		const struct conf_directive *row, void *to);
};
const struct conf_type_form *conf_type_form(enum conf_type type);
/* Bytes that a row takes in its struct, as a list or not. */
size_t conf_row_size(const struct conf_directive *row);
static inline bool conf_row_is_list(const struct conf_directive *row)
{
	return row->type != CONF_BLOCK && row->type != CONF_CUSTOM &&
	       (row->flags & (CONF_LIST | CONF_REPEATABLE)) != 0;
}
bool conf_row_has_word(const struct conf_directive *row, struct span text);
/* ", from 1s to 10min" behind a number's type; nothing where there are no bounds. */
void conf_row_bounds(const struct conf_directive *row, struct buf *out);
/* What may be written: "yes or no", "a number from 1 to 256 or auto". */
void conf_row_wanted(const struct conf_directive *row, struct buf *out);

/* ---- apply.c ---- */
/* One setting's values into its block; false after it has reported.  `tokens` and what they
 * point to live as long as the conf. */
bool conf_apply(struct conf *conf, struct conf_block *block, const struct conf_entry *entry,
	struct conf_place place, const struct conf_token *tokens, unsigned count);
/* ---- parse.c ---- */
/* Directives up to the end of the text, into a block. */
void conf_parse_text(struct conf *conf, const struct conf_source *source, struct conf_block *block);

/* ---- unknown.c ---- */
/* Report a name that isn't legal here; the entry that was most likely meant, or NULL. */
const struct conf_entry *conf_unknown_setting(struct conf *conf, const struct conf_block *block,
	const struct conf_kind *kind, struct span name, struct conf_place place);

/* ---- finish.c ---- */
/* References, defaults, inheritance, what is missing, and the checks. */
void conf_finish(struct conf *conf);

/* Words of a person's in a message: quoted, and not too long. */
#define CONF_SHOWN "\"%.*s%s\""
#define CONF_SHOW(text)                                                                            \
	(int)((text).len < 64 ? (text).len : 61), (text).len ? (text).at : "",                     \
		(text).len < 64 ? "" : "..."

#endif
