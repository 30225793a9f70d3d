/*
 * The unread bytes of a conversation: the tail of the chunk that was read into.
 *
 *     chunk  [ eaten ......... | unread ....... | free tail ... ]
 *                              ^at              ^chunk->len
 *
 * Pieces of the eaten part may live on in other hands (a body that is kept for a replay), so the
 * bytes never move; only what is unread is copied on to a new chunk when the tail has run out.
 * Private to talk/.
 */
#ifndef TALK_INPUT_H
#define TALK_INPUT_H

#include "base/chunk.h"

#define TALK_INPUT_LEAST 1024 /* a shorter free tail isn't worth a read */

/* Zero-initialised is empty. */
struct talk_input {
	struct chunk *chunk; /* one reference; NULL: nothing unread, no buffer held */
	size_t at;
};

static inline size_t talk_input_len(const struct talk_input *input)
{
	return input->chunk ? input->chunk->len - input->at : 0;
}
struct span talk_input_unread(const struct talk_input *input);
void talk_input_eat(struct talk_input *input, size_t len);
/* Whether there is a chunk, and its tail is too short to read into. */
bool talk_input_full(const struct talk_input *input);
/* The chunk to read into, with free tail.  When a new one is needed it has `size` bytes, of which
 * the unread bytes take less than all.  Spans of unread bytes are void after this. */
struct chunk *talk_input_room(struct talk_input *input, struct chunk_pool *pool, size_t size);
void talk_input_clear(struct talk_input *input);

#endif
