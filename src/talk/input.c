/*
 * Unread bytes in a chunk.
 */
#include "talk/input.h"

#include <assert.h>
#include <string.h>

struct span talk_input_unread(const struct talk_input *input)
{
	if (!input->chunk)
		return (struct span){.at = NULL, .len = 0};
	return (struct span){.at = input->chunk->at + input->at, .len = talk_input_len(input)};
}

void talk_input_eat(struct talk_input *input, size_t len)
{
	assert(len <= talk_input_len(input));
	input->at += len;
}

bool talk_input_full(const struct talk_input *input)
{
	return input->chunk && chunk_tail(input->chunk) < TALK_INPUT_LEAST;
}

/* Nobody else holds the chunk, so its eaten part can be written over. */
static void compact(struct talk_input *input)
{
	size_t len = talk_input_len(input);

	memmove(input->chunk->at, input->chunk->at + input->at, len);
	input->chunk->len = (uint32_t)len;
	input->at = 0;
}

static void renew(struct talk_input *input, struct chunk_pool *pool, size_t size)
{
	struct span unread = talk_input_unread(input);
	struct chunk *fresh = chunk_new(pool, size);

	assert(unread.len < fresh->room);
	if (unread.len > 0)
		memcpy(fresh->at, unread.at, unread.len);
	fresh->len = (uint32_t)unread.len;
	chunk_unref(&input->chunk);
	input->chunk = fresh;
	input->at = 0;
}

struct chunk *talk_input_room(struct talk_input *input, struct chunk_pool *pool, size_t size)
{
	if (!input->chunk)
		renew(input, pool, size);
	if (!talk_input_full(input))
		return input->chunk;
	if (input->chunk->refs == 1 && input->chunk->room >= size)
		compact(input);
	else
		renew(input, pool, size);
	assert(chunk_tail(input->chunk) > 0);
	return input->chunk;
}

void talk_input_clear(struct talk_input *input)
{
	chunk_unref(&input->chunk);
	input->at = 0;
}
