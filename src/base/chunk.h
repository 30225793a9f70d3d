/*
 * Chunks: reference-counted buffers that hold what was received and what is to be sent, so that
 * a body is read once, kept for a replay and written out without being copied.  A chain is a
 * queue of pieces of chunks.
 *
 *     chunk  [ MAIL FROM:<a@b>\r\n ... DATA\r\n | Subject: x\r\n\r\nhello\r\n.\r\n ]
 *                                                 ^--- piece ---------------^
 *     holders of a reference: the stream that reads into it, each piece of each chain
 *
 * A chunk is append-only while referenced: bytes below `len` never change, so a reader may go on
 * filling the tail while earlier bytes are being sent.
 */
#ifndef BASE_CHUNK_H
#define BASE_CHUNK_H

#include <sys/queue.h>

#include "base/bytes.h"

#define CHUNK_SMALL (8u * 1024)  /* an envelope, a short message */
#define CHUNK_LARGE (64u * 1024) /* a body */

struct chunk_pool;

struct chunk {
	unsigned refs;
	uint32_t len, room; /* filled bytes, capacity */
	struct chunk_pool *pool;
	SLIST_ENTRY(chunk) free_next;
	char at[];
};

/* One pool per process; keeps a bounded number of free chunks of both sizes. */
struct chunk_pool *chunk_pool_new(void);
void chunk_pool_free(struct chunk_pool **pool); /* asserts that no chunk is out */
/* Bytes in chunks that are out; the figure that memory limits are held against. */
size_t chunk_pool_used(const struct chunk_pool *pool);

/* A chunk with one reference and CHUNK_SMALL or CHUNK_LARGE bytes of room. */
struct chunk *chunk_new(struct chunk_pool *pool, size_t room) __attribute__((returns_nonnull));
struct chunk *chunk_ref(struct chunk *chunk);
void chunk_unref(struct chunk **chunk); /* sets it to NULL; NULL inside is fine */
static inline size_t chunk_tail(const struct chunk *chunk)
{
	return chunk->room - chunk->len;
}

struct chain_piece {
	STAILQ_ENTRY(chain_piece) next;
	struct chunk *chunk;
	uint32_t at, len;
};

/* A queue of pieces.  Initialise with chain_init; a cleared chain is usable again. */
struct chain {
	STAILQ_HEAD(, chain_piece) pieces;
	size_t len; /* bytes in all */
	struct chunk_pool *pool;
};

#define CHAIN_FOREACH(piece, chain) STAILQ_FOREACH (piece, &(chain)->pieces, next)

void chain_init(struct chain *chain, struct chunk_pool *pool);
void chain_clear(struct chain *chain);
/* Append a piece, with a reference of its own; merged with the last piece if it continues it. */
void chain_add(struct chain *chain, struct chunk *chunk, size_t at, size_t len);
/* Append a copy of the bytes (short texts: commands, replies); uses the tail of the last piece's
 * chunk when the chain alone appends to it, else a new small chunk. */
void chain_add_copy(struct chain *chain, const void *bytes, size_t len);
/* Append all of `from` (references move, `from` is left empty). */
void chain_move(struct chain *to, struct chain *from);
/* Drop `len` bytes from the front; len <= chain->len. */
void chain_eat(struct chain *chain, size_t len);
/* Copy out up to `len` bytes from offset `at`; returns how many. */
size_t chain_copy(const struct chain *chain, size_t at, void *to, size_t len);

#endif
