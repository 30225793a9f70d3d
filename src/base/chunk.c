/*
 * Chunks and chains.
 *
 * The pool keeps freed chunks and pieces for the next user, up to a bound; beyond it they go back
 * to malloc.  Under the address sanitizer it keeps none, so that a chunk used after its last
 * reference is caught.
 */
#include "base/chunk.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/testing.h"

#if defined(__SANITIZE_ADDRESS__)
#define KEEP_NONE 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define KEEP_NONE 1
#endif
#endif

#ifdef KEEP_NONE
#define KEEP_BYTES  0
#define KEEP_PIECES 0
#else
#define KEEP_BYTES  (4u * 1024 * 1024) /* of free chunks, for each size */
#define KEEP_PIECES 4096
#endif

SLIST_HEAD(chunk_list, chunk);

struct chunk_pool {
	struct chunk_list small, large;
	size_t small_kept, large_kept; /* bytes of room in the two lists */
	SLIST_HEAD(, free_piece) pieces;
	unsigned pieces_kept, pieces_out;
	size_t used;
};

/* What a piece's memory holds while it is free. */
struct free_piece {
	SLIST_ENTRY(free_piece) next;
};

_Static_assert(sizeof(struct free_piece) <= sizeof(struct chain_piece), "a free piece fits");

/* ---- the pool ---- */

struct chunk_pool *chunk_pool_new(void)
{
	struct chunk_pool *pool = mem_new(sizeof(*pool));

	SLIST_INIT(&pool->small);
	SLIST_INIT(&pool->large);
	SLIST_INIT(&pool->pieces);
	return pool;
}

static void free_list(struct chunk_list *list)
{
	struct chunk *chunk;

	while ((chunk = SLIST_FIRST(list))) {
		SLIST_REMOVE_HEAD(list, free_next);
		free(chunk);
	}
}

void chunk_pool_free(struct chunk_pool **pool)
{
	struct free_piece *piece;

	if (!*pool)
		return;
	assert((*pool)->used == 0 && (*pool)->pieces_out == 0);
	free_list(&(*pool)->small);
	free_list(&(*pool)->large);
	while ((piece = SLIST_FIRST(&(*pool)->pieces))) {
		SLIST_REMOVE_HEAD(&(*pool)->pieces, next);
		free(piece);
	}
	free(*pool);
	*pool = NULL;
}

size_t chunk_pool_used(const struct chunk_pool *pool)
{
	return pool->used;
}

/* ---- chunks ---- */

struct chunk *chunk_new(struct chunk_pool *pool, size_t room)
{
	bool large = room > CHUNK_SMALL;
	struct chunk_list *list = large ? &pool->large : &pool->small;
	struct chunk *chunk = SLIST_FIRST(list);

	assert(room <= CHUNK_LARGE);
	room = large ? CHUNK_LARGE : CHUNK_SMALL;
	if (chunk) {
		SLIST_REMOVE_HEAD(list, free_next);
		*(large ? &pool->large_kept : &pool->small_kept) -= room;
	} else {
		/* Not zeroed: nobody may read beyond `len`, and zeroing 64 KiB is work. */
		chunk = mem_grow(NULL, sizeof(*chunk) + room, 1);
	}
	chunk->refs = 1;
	chunk->len = 0;
	chunk->room = (uint32_t)room;
	chunk->pool = pool;
	pool->used += room;
	return chunk;
}

struct chunk *chunk_ref(struct chunk *chunk)
{
	assert(chunk->refs > 0);
	chunk->refs++;
	return chunk;
}

static void put_back(struct chunk *chunk)
{
	struct chunk_pool *pool = chunk->pool;
	bool large = chunk->room > CHUNK_SMALL;
	size_t *kept = large ? &pool->large_kept : &pool->small_kept;

	pool->used -= chunk->room;
	if (*kept + chunk->room > KEEP_BYTES) {
		free(chunk);
		return;
	}
	*kept += chunk->room;
	SLIST_INSERT_HEAD(large ? &pool->large : &pool->small, chunk, free_next);
}

void chunk_unref(struct chunk **chunk)
{
	struct chunk *held = *chunk;

	*chunk = NULL;
	if (!held)
		return;
	assert(held->refs > 0);
	if (--held->refs == 0)
		put_back(held);
}

/* ---- pieces ---- */

static struct chain_piece *piece_new(struct chunk_pool *pool)
{
	struct free_piece *kept = SLIST_FIRST(&pool->pieces);

	pool->pieces_out++;
	if (!kept)
		return mem_new(sizeof(struct chain_piece));
	SLIST_REMOVE_HEAD(&pool->pieces, next);
	pool->pieces_kept--;
	return (struct chain_piece *)kept;
}

static void piece_free(struct chunk_pool *pool, struct chain_piece *piece)
{
	struct free_piece *kept = (struct free_piece *)piece;

	chunk_unref(&piece->chunk);
	pool->pieces_out--;
	if (pool->pieces_kept + 1 > KEEP_PIECES) {
		free(piece);
		return;
	}
	pool->pieces_kept++;
	SLIST_INSERT_HEAD(&pool->pieces, kept, next);
}

static struct chain_piece *last_piece(const struct chain *chain)
{
	/* glibc's queue.h has no STAILQ_LAST; the head points to the last piece's own `next`. */
	if (STAILQ_EMPTY(&chain->pieces))
		return NULL;
	return (struct chain_piece *)((char *)chain->pieces.stqh_last -
				      offsetof(struct chain_piece, next.stqe_next));
}

/* ---- chains ---- */

void chain_init(struct chain *chain, struct chunk_pool *pool)
{
	STAILQ_INIT(&chain->pieces);
	chain->len = 0;
	chain->pool = pool;
}

void chain_clear(struct chain *chain)
{
	chain_eat(chain, chain->len);
}

void chain_add(struct chain *chain, struct chunk *chunk, size_t at, size_t len)
{
	struct chain_piece *last = last_piece(chain);

	assert(at <= chunk->len && len <= chunk->len - at);
	if (len == 0)
		return;
	chain->len += len;
	if (last && last->chunk == chunk && (size_t)last->at + last->len == at) {
		last->len += (uint32_t)len;
		return;
	}
	last = piece_new(chain->pool);
	last->chunk = chunk_ref(chunk);
	last->at = (uint32_t)at;
	last->len = (uint32_t)len;
	STAILQ_INSERT_TAIL(&chain->pieces, last, next);
}

/* The chunk behind the last piece, if nobody but that piece holds it: then no reader and no other
 * chain can append to it. */
static struct chunk *own_tail(const struct chain *chain)
{
	struct chain_piece *last = last_piece(chain);

	if (!last || (last->chunk->refs != 1 && !PLANTED(shared_tail)))
		return NULL;
	return chunk_tail(last->chunk) > 0 ? last->chunk : NULL;
}

void chain_add_copy(struct chain *chain, const void *bytes, size_t len)
{
	const char *from = bytes;

	while (len > 0) {
		struct chunk *tail = own_tail(chain);
		struct chunk *chunk = tail ? chunk_ref(tail)
					   : chunk_new(chain->pool,
						     len > CHUNK_SMALL ? CHUNK_LARGE : CHUNK_SMALL);
		size_t part = len < chunk_tail(chunk) ? len : chunk_tail(chunk);

		memcpy(chunk->at + chunk->len, from, part);
		chunk->len += (uint32_t)part;
		chain_add(chain, chunk, chunk->len - part, part);
		chunk_unref(&chunk);
		from += part;
		len -= part;
	}
}

void chain_move(struct chain *to, struct chain *from)
{
	assert(to != from && to->pool == from->pool);
	STAILQ_CONCAT(&to->pieces, &from->pieces);
	to->len += from->len;
	from->len = 0;
}

void chain_eat(struct chain *chain, size_t len)
{
	assert(len <= chain->len);
	chain->len -= len;
	while (len > 0) {
		struct chain_piece *first = STAILQ_FIRST(&chain->pieces);

		if (len < first->len) {
			first->at += (uint32_t)len;
			first->len -= (uint32_t)len;
			return;
		}
		len -= first->len;
		STAILQ_REMOVE_HEAD(&chain->pieces, next);
		piece_free(chain->pool, first);
	}
}

size_t chain_copy(const struct chain *chain, size_t at, void *to, size_t len)
{
	struct chain_piece *piece;
	char *out = to;
	size_t done = 0;

	CHAIN_FOREACH (piece, chain) {
		size_t part;

		if (at >= piece->len) {
			at -= piece->len;
			continue;
		}
		if (done == len)
			break;
		part = piece->len - at < len - done ? piece->len - at : len - done;
		memcpy(out + done, piece->chunk->at + piece->at + at, part);
		done += part;
		at = 0;
	}
	return done;
}
