/*
 * The vocabulary made ready for reading: per kind of block all its rows, from all sections, with
 * the rows that its children lend it (CONF_INHERIT).
 */
#ifndef CONF_KIND_H
#define CONF_KIND_H

#include "conf/conf.h"

/* One row as it is legal in one kind. */
struct conf_entry {
	const struct conf_directive *row;
	const struct conf_section *section;
	unsigned slot;           /* of the section's struct in block->values */
	struct conf_kind *opens; /* CONF_BLOCK */
	bool lent;               /* a CONF_INHERIT row of a kind inside this one */
	int from; /* CONF_INHERIT: index of the same row in the parent's entries, or -1 */
	const struct conf_token *fallback;
	unsigned fallback_count;
};

struct conf_kind {
	const char *name;                    /* "listener.tls" */
	const char *word;                    /* "tls"; "" for the top */
	const struct conf_directive *opener; /* NULL for the top */
	struct conf_kind *parent;            /* NULL for the top */
	struct conf_entry *entries;
	unsigned count;
	const struct conf_section **slots;
	unsigned slot_count;
	struct conf_kind *next;
};

/* The top's kind, all others chained behind it, in the order in which they are opened.  The
 * vocabulary must be sound (conf_vocabulary_check). */
struct conf_kind *conf_kinds_new(const struct conf_vocabulary *vocabulary, struct arena *arena);

/* What may be written as a directive in this kind; NULL: not legal.  Values behind the block's
 * name (CONF_ARG) are found by the other one. */
struct conf_entry *conf_kind_find(const struct conf_kind *kind, struct span name);
struct conf_entry *conf_kind_find_arg(const struct conf_kind *kind, struct span name);
static inline bool conf_entry_is_arg(const struct conf_entry *entry)
{
	return !entry->lent && (entry->row->flags & CONF_ARG) != 0;
}
static inline unsigned conf_entry_index(
	const struct conf_kind *kind, const struct conf_entry *entry)
{
	return (unsigned)(entry - kind->entries);
}

/* The directive that was most likely meant; NULL: nobody can tell. */
struct conf_entry *conf_kind_nearest(const struct conf_kind *kind, struct span name);

/* "server NAME ADDRESS": how a block of this kind begins. */
void conf_kind_synopsis(const struct conf_kind *kind, struct buf *out);

#endif
