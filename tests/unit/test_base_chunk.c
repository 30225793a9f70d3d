/*
 * Chunks and chains: what is kept, shared, merged and given back.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/chunk.h"
#include "base/rng.h"

static unsigned pieces_of(const struct chain *chain)
{
	struct chain_piece *piece;
	unsigned count = 0;

	CHAIN_FOREACH (piece, chain)
		count++;
	return count;
}

static void assert_chain_is(const struct chain *chain, const char *expected, size_t len)
{
	char *copy = mem_new(len + 1);
	struct chain_piece *piece;
	size_t sum = 0;

	CHAIN_FOREACH (piece, chain)
		sum += piece->len;
	assert_int_equal(sum, chain->len);
	assert_int_equal(chain->len, len);
	assert_int_equal(chain_copy(chain, 0, copy, len + 1), len);
	assert_memory_equal(copy, expected, len);
	free(copy);
}

static void assert_chain_text(const struct chain *chain, const char *expected)
{
	assert_chain_is(chain, expected, strlen(expected));
}

static struct chunk *chunk_with(struct chunk_pool *pool, const char *text)
{
	struct chunk *chunk = chunk_new(pool, CHUNK_SMALL);

	memcpy(chunk->at, text, strlen(text));
	chunk->len = (uint32_t)strlen(text);
	return chunk;
}

static void a_pool_counts_what_is_out(void **state)
{
	struct chunk_pool *pool = chunk_pool_new();
	struct chunk *small = chunk_new(pool, CHUNK_SMALL), *large = chunk_new(pool, CHUNK_LARGE);
	struct chunk *again;

	(void)state;
	assert_int_equal(small->room, CHUNK_SMALL);
	assert_int_equal(large->room, CHUNK_LARGE);
	assert_int_equal(chunk_tail(large), CHUNK_LARGE);
	assert_int_equal(chunk_pool_used(pool), CHUNK_SMALL + CHUNK_LARGE);
	memset(large->at, 'x', CHUNK_LARGE);
	large->len = CHUNK_LARGE;
	again = chunk_ref(large);
	chunk_unref(&large);
	assert_null(large);
	assert_int_equal(chunk_pool_used(pool), CHUNK_SMALL + CHUNK_LARGE);
	chunk_unref(&again);
	chunk_unref(&again);
	assert_int_equal(chunk_pool_used(pool), CHUNK_SMALL);
	large = chunk_new(pool, CHUNK_LARGE);
	assert_int_equal(large->len, 0);
	assert_int_equal(large->refs, 1);
	chunk_unref(&large);
	chunk_unref(&small);
	assert_int_equal(chunk_pool_used(pool), 0);
	chunk_pool_free(&pool);
	assert_null(pool);
	chunk_pool_free(&pool);
}

/* More than the pool keeps, so that both ways of giving back are walked. */
static void a_pool_survives_a_rush(void **state)
{
	struct chunk_pool *pool = chunk_pool_new();
	static struct chunk *out[1000];

	(void)state;
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < 1000; i++) {
			out[i] = chunk_new(pool, i % 10 ? CHUNK_SMALL : CHUNK_LARGE);
			memset(out[i]->at, 'x', out[i]->room);
		}
		assert_int_equal(chunk_pool_used(pool), 900 * CHUNK_SMALL + 100 * CHUNK_LARGE);
		for (size_t i = 0; i < 1000; i++)
			chunk_unref(&out[i]);
		assert_int_equal(chunk_pool_used(pool), 0);
	}
	chunk_pool_free(&pool);
}

static void a_chain_merges_what_continues(void **state)
{
	struct chunk_pool *pool = chunk_pool_new();
	struct chunk *chunk = chunk_with(pool, "0123456789");
	struct chain chain;

	(void)state;
	chain_init(&chain, pool);
	chain_add(&chain, chunk, 0, 3);
	chain_add(&chain, chunk, 3, 2);
	chain_add(&chain, chunk, 5, 0);
	assert_int_equal(pieces_of(&chain), 1);
	assert_int_equal(chunk->refs, 2);
	chain_add(&chain, chunk, 6, 2);
	chain_add(&chain, chunk, 0, 1);
	assert_int_equal(pieces_of(&chain), 3);
	assert_int_equal(chunk->refs, 4);
	assert_chain_text(&chain, "01234670");
	chain_eat(&chain, 0);
	chain_eat(&chain, 4);
	assert_chain_text(&chain, "4670");
	assert_int_equal(pieces_of(&chain), 3);
	chain_eat(&chain, 2);
	assert_chain_text(&chain, "70");
	assert_int_equal(chunk->refs, 3);
	chain_clear(&chain);
	assert_int_equal(chunk->refs, 1);
	assert_int_equal(chain.len, 0);
	chain_add(&chain, chunk, 9, 1);
	assert_chain_text(&chain, "9");
	chunk_unref(&chunk);
	assert_chain_text(&chain, "9");
	chain_clear(&chain);
	chain_clear(&chain);
	chunk_pool_free(&pool);
}

/* A reader goes on filling the tail while earlier bytes wait to be sent. */
static void a_chunk_grows_under_a_chain(void **state)
{
	struct chunk_pool *pool = chunk_pool_new();
	struct chunk *chunk = chunk_with(pool, "abc");
	struct chain chain;

	(void)state;
	chain_init(&chain, pool);
	chain_add(&chain, chunk, 0, 3);
	/* The reader holds the chunk: a copy must not go into its tail. */
	chain_add_copy(&chain, "!", 1);
	assert_int_equal(chunk->len, 3);
	memcpy(chunk->at + 3, "def", 3);
	chunk->len = 6;
	chain_add(&chain, chunk, 3, 3);
	assert_chain_text(&chain, "abc!def");
	chunk_unref(&chunk);
	/* Its chunk still has two pieces, so the copy gets a new one. */
	chain_add_copy(&chain, "?", 1);
	assert_int_equal(pieces_of(&chain), 4);
	chain_add_copy(&chain, "?", 1);
	assert_int_equal(pieces_of(&chain), 4);
	assert_chain_text(&chain, "abc!def??");
	assert_int_equal(chunk_pool_used(pool), 3 * CHUNK_SMALL);
	chain_clear(&chain);
	chunk_pool_free(&pool);
}

/* A second holder of all that `from` holds. */
static void share(struct chain *to, const struct chain *from)
{
	struct chain_piece *piece;

	CHAIN_FOREACH (piece, from)
		chain_add(to, piece->chunk, piece->at, piece->len);
}

static void copies_fill_a_tail_that_is_the_chains_own(void **state)
{
	struct chunk_pool *pool = chunk_pool_new();
	struct chain one, two;

	(void)state;
	chain_init(&one, pool);
	chain_init(&two, pool);
	for (int i = 0; i < 100; i++)
		chain_add_copy(&one, "0123456789", 10);
	assert_int_equal(pieces_of(&one), 1);
	assert_int_equal(chunk_pool_used(pool), CHUNK_SMALL);
	/* Shared: what either appends must not be seen by the other. */
	share(&two, &one);
	chain_add_copy(&one, "a", 1);
	chain_add_copy(&two, "b", 1);
	assert_int_equal(one.len, 1001);
	assert_int_equal(two.len, 1001);
	assert_int_equal(STAILQ_FIRST(&one.pieces)->chunk->len, 1000);
	chain_eat(&one, 1000);
	chain_eat(&two, 1000);
	assert_chain_text(&one, "a");
	assert_chain_text(&two, "b");
	chain_clear(&one);
	chain_clear(&two);
	chunk_pool_free(&pool);
}

static void a_long_copy_spans_chunks(void **state)
{
	static const size_t sizes[] = {1, CHUNK_SMALL - 1, CHUNK_SMALL, CHUNK_SMALL + 1,
		CHUNK_LARGE, CHUNK_LARGE + 1, 3 * CHUNK_LARGE + 5};
	struct chunk_pool *pool = chunk_pool_new();

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		char *text = mem_new(2 * sizes[i]);
		struct chain chain;

		for (size_t j = 0; j < 2 * sizes[i]; j++)
			text[j] = (char)(j * 31 >> 3);
		chain_init(&chain, pool);
		chain_add_copy(&chain, text, sizes[i]);
		chain_add_copy(&chain, text + sizes[i], sizes[i]);
		assert_chain_is(&chain, text, 2 * sizes[i]);
		chain_clear(&chain);
		free(text);
	}
	chunk_pool_free(&pool);
}

static void chains_move_and_share(void **state)
{
	struct chunk_pool *pool = chunk_pool_new();
	struct chunk *chunk = chunk_with(pool, "abcdef");
	struct chain from, to;

	(void)state;
	chain_init(&from, pool);
	chain_init(&to, pool);
	chain_move(&to, &from);
	assert_int_equal(pieces_of(&to), 0);
	chain_add(&from, chunk, 0, 2);
	chain_add(&from, chunk, 4, 2);
	chain_move(&to, &from);
	assert_int_equal(chunk->refs, 3);
	assert_int_equal(from.len, 0);
	assert_int_equal(pieces_of(&from), 0);
	assert_chain_text(&to, "abef");
	/* The emptied one is usable, and moving behind something keeps the order. */
	chain_add(&from, chunk, 2, 1);
	chain_move(&to, &from);
	assert_chain_text(&to, "abefc");
	chain_add_copy(&to, "x", 1);
	assert_chain_text(&to, "abefcx");
	share(&from, &to);
	assert_chain_text(&from, "abefcx");
	chain_clear(&to);
	assert_chain_text(&from, "abefcx");
	chain_clear(&from);
	assert_int_equal(chunk->refs, 1);
	chunk_unref(&chunk);
	chunk_pool_free(&pool);
}

static void copying_out_starts_and_ends_anywhere(void **state)
{
	struct chunk_pool *pool = chunk_pool_new();
	struct chunk *chunk = chunk_with(pool, "0123456789");
	struct chain chain;
	const char *whole = "0124567989";
	char out[20];

	(void)state;
	chain_init(&chain, pool);
	chain_add(&chain, chunk, 0, 3);
	chain_add(&chain, chunk, 4, 4);
	chain_add(&chain, chunk, 9, 1);
	chain_add(&chain, chunk, 8, 2);
	for (size_t at = 0; at <= 11; at++) {
		for (size_t len = 0; len <= 12; len++) {
			size_t rest = at < 10 ? 10 - at : 0;
			size_t expected = len < rest ? len : rest;

			memset(out, '~', sizeof(out));
			assert_int_equal(chain_copy(&chain, at, out, len), expected);
			if (expected > 0)
				assert_memory_equal(out, whole + at, expected);
			assert_int_equal(out[expected], '~');
		}
	}
	chain_clear(&chain);
	chunk_unref(&chunk);
	chunk_pool_free(&pool);
}

/* Random operations against a plain buffer as the model. */
static void chains_agree_with_a_model(void **state)
{
	struct chunk_pool *pool = chunk_pool_new();
	struct chain chain, other;
	struct buf model = {0};
	struct rng rng;
	char text[300];

	(void)state;
	rng_seed(&rng, 42);
	chain_init(&chain, pool);
	for (int step = 0; step < 4000; step++) {
		size_t len = rng_below(&rng, sizeof(text));

		for (size_t i = 0; i < len; i++)
			text[i] = (char)rng_next(&rng);
		switch (rng_below(&rng, 4)) {
		case 0:
			chain_add_copy(&chain, text, len);
			buf_add(&model, text, len);
			break;
		case 1:
			len = rng_below(&rng, chain.len + 1);
			if (rng_below(&rng, 2))
				len = len < 500 ? len : 500;
			chain_eat(&chain, len);
			buf_eat(&model, len);
			break;
		case 2:
			chain_init(&other, pool);
			chain_add_copy(&other, text, len);
			chain_move(&chain, &other);
			buf_add(&model, text, len);
			break;
		case 3:
			/* A holder beside it that appends must not disturb it. */
			chain_init(&other, pool);
			share(&other, &chain);
			chain_add_copy(&other, text, len);
			chain_clear(&other);
			break;
		}
		if (step % 50 == 0)
			assert_chain_is(&chain, model.at ? model.at : "", model.len);
	}
	chain_clear(&chain);
	buf_clear(&model);
	chunk_pool_free(&pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_pool_counts_what_is_out),
		cmocka_unit_test(a_pool_survives_a_rush),
		cmocka_unit_test(a_chain_merges_what_continues),
		cmocka_unit_test(a_chunk_grows_under_a_chain),
		cmocka_unit_test(copies_fill_a_tail_that_is_the_chains_own),
		cmocka_unit_test(a_long_copy_spans_chunks),
		cmocka_unit_test(chains_move_and_share),
		cmocka_unit_test(copying_out_starts_and_ends_anywhere),
		cmocka_unit_test(chains_agree_with_a_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
