/*
 * An arena: small things that live and die together (a session, a transaction, a config).
 * An empty arena holds no memory; blocks are taken from malloc and all given back by clear.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/bytes.h"

struct arena_block;

struct arena {
	struct arena_block *blocks;
	size_t used; /* bytes handed out since the last clear, for caps */
};

/* Zeroed, aligned for any type; aborts when memory runs out. */
void *arena_new(struct arena *arena, size_t size) __attribute__((malloc, returns_nonnull));
char *arena_string(struct arena *arena, struct span span) __attribute__((returns_nonnull));
struct span arena_span(struct arena *arena, struct span span); /* a copy that lives in the arena */
void arena_clear(struct arena *arena); /* frees everything; usable again as empty */

#endif
