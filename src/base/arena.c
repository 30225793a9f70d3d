/*
 * The arena: a list of blocks, the newest in front, filled from their start.
 *
 * A request too large for a block gets one of its own, put behind the front one, so that the
 * room left in front is still used.
 */
#include "base/arena.h"

#include <assert.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

/* One block serves the envelope of a usual message. */
#define BLOCK_ROOM 2000

struct arena_block {
	struct arena_block *next;
	size_t used, room;
	alignas(max_align_t) char at[];
};

static struct arena_block *block_new(size_t room)
{
	struct arena_block *block;

	/* Keeps the sum of header and room, and the rounding up below, from wrapping. */
	if (room > SIZE_MAX / 2)
		die("an arena was asked for %zu bytes", room);
	block = mem_new(sizeof(*block) + room);
	block->room = room;
	return block;
}

static struct arena_block *block_with_room(struct arena *arena, size_t size)
{
	struct arena_block *front = arena->blocks;
	struct arena_block *block;

	if (front && size <= front->room - front->used)
		return front;
	block = block_new(size > BLOCK_ROOM / 4 ? size : BLOCK_ROOM);
	if (front && block->room == size) {
		block->next = front->next;
		front->next = block;
	} else {
		block->next = front;
		arena->blocks = block;
	}
	return block;
}

void *arena_new(struct arena *arena, size_t size)
{
	size_t step = alignof(max_align_t);
	size_t rounded = size > SIZE_MAX / 2 ? size : (size + step - 1) / step * step;
	struct arena_block *block;
	void *memory;

	/* Every thing has an address of its own, one of no size too. */
	if (rounded == 0)
		rounded = step;
	block = block_with_room(arena, rounded);
	memory = block->at + block->used;
	block->used += rounded;
	arena->used += rounded;
	return memory;
}

char *arena_string(struct arena *arena, struct span span)
{
	char *string = arena_new(arena, span.len + 1);

	if (span.len > 0)
		memcpy(string, span.at, span.len);
	return string;
}

struct span arena_span(struct arena *arena, struct span span)
{
	if (span.len == 0)
		return (struct span){0};
	return (struct span){.at = arena_string(arena, span), .len = span.len};
}

void arena_clear(struct arena *arena)
{
	struct arena_block *block;

	while ((block = arena->blocks)) {
		arena->blocks = block->next;
		free(block);
	}
	arena->used = 0;
}
