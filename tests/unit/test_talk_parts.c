/*
 * The parts of talk that need no socket: unread bytes in chunks, patience, the words of closing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "talk/input.h"
#include "talk/patience.h"

/* ---- input ---- */

static void fill(struct chunk *chunk, size_t len, char with)
{
	assert_true(len <= chunk_tail(chunk));
	memset(chunk->at + chunk->len, with, len);
	chunk->len += (uint32_t)len;
}

static void test_input_alone_reuses_its_chunk(void **state)
{
	struct chunk_pool *pool = chunk_pool_new();
	struct talk_input input = {0};
	struct chunk *chunk = talk_input_room(&input, pool, CHUNK_SMALL);

	(void)state;
	fill(chunk, chunk->room - 10, 'a');
	talk_input_eat(&input, chunk->room - 15);
	memcpy(chunk->at + chunk->len - 5, "12345", 5);
	assert_true(talk_input_full(&input));
	assert_ptr_equal(talk_input_room(&input, pool, CHUNK_SMALL), chunk);
	assert_true(span_is(talk_input_unread(&input), "12345"));
	assert_int_equal(chunk->len, 5);
	talk_input_clear(&input);
	chunk_pool_free(&pool);
}

/* Someone keeps a piece: its bytes stay, the unread ones go on in a new chunk. */
static void test_input_never_moves_what_is_held(void **state)
{
	struct chunk_pool *pool = chunk_pool_new();
	struct talk_input input = {0};
	struct chunk *chunk = talk_input_room(&input, pool, CHUNK_SMALL), *fresh;
	struct chain kept;
	char copy[5];

	(void)state;
	chain_init(&kept, pool);
	fill(chunk, chunk->room - 10, 'a');
	memcpy(chunk->at + chunk->len - 5, "12345", 5);
	chain_add(&kept, chunk, 0, 5);
	talk_input_eat(&input, chunk->len - 5);
	fresh = talk_input_room(&input, pool, CHUNK_SMALL);
	assert_ptr_not_equal(fresh, chunk);
	assert_int_equal(fresh->room, CHUNK_SMALL);
	assert_true(span_is(talk_input_unread(&input), "12345"));
	assert_int_equal(chain_copy(&kept, 0, copy, 5), 5);
	assert_memory_equal(copy, "aaaaa", 5);
	talk_input_clear(&input);
	chain_clear(&kept);
	chunk_pool_free(&pool);
}

static void test_input_grows(void **state)
{
	struct chunk_pool *pool = chunk_pool_new();
	struct talk_input input = {0};

	(void)state;
	fill(talk_input_room(&input, pool, CHUNK_SMALL), CHUNK_SMALL, 'a');
	fill(talk_input_room(&input, pool, CHUNK_LARGE), CHUNK_LARGE - CHUNK_SMALL - 1, 'b');
	assert_int_equal(talk_input_len(&input), CHUNK_LARGE - 1);
	assert_int_equal(chunk_tail(talk_input_room(&input, pool, CHUNK_LARGE)), 1);
	assert_int_equal(chunk_pool_used(pool), CHUNK_LARGE);
	talk_input_clear(&input);
	assert_int_equal(chunk_pool_used(pool), 0);
	chunk_pool_free(&pool);
}

/* ---- patience ---- */

static const struct talk_server_times times = {
	.command = 10 * SECOND, .body = 4 * SECOND, .rate = 100};

static void check_due(const struct talk_patience *patience, int64_t due, enum talk_close why)
{
	enum talk_close said;

	assert_int_equal(talk_patience_due(patience, &said), due);
	if (due != NEVER)
		assert_int_equal(said, why);
}

static void test_patience_waits(void **state)
{
	struct talk_patience patience;

	(void)state;
	talk_patience_init(&patience, &times);
	check_due(&patience, NEVER, 0);
	talk_patience_move(&patience, PATIENCE_COMMAND, 5 * SECOND);
	check_due(&patience, 15 * SECOND, CLOSE_TIMEOUT);
	talk_patience_move(&patience, PATIENCE_COMMAND, 7 * SECOND); /* is there already */
	check_due(&patience, 15 * SECOND, CLOSE_TIMEOUT);
	talk_patience_command(&patience, 8 * SECOND);
	check_due(&patience, 18 * SECOND, CLOSE_TIMEOUT);
	talk_patience_move(&patience, PATIENCE_OFF, 9 * SECOND);
	check_due(&patience, NEVER, 0);
	talk_patience_move(&patience, PATIENCE_BODY, 20 * SECOND);
	check_due(&patience, 24 * SECOND, CLOSE_TIMEOUT);
	talk_patience_octets(&patience, 1, 22 * SECOND);
	check_due(&patience, 26 * SECOND, CLOSE_TIMEOUT);
}

static void test_patience_meters(void **state)
{
	struct talk_patience patience;

	(void)state;
	talk_patience_init(&patience, &times);
	talk_patience_move(&patience, PATIENCE_BODY, 0);
	for (int64_t now = 0; now < 9; now++) /* 50 octets a second */
		talk_patience_octets(&patience, 50, now * SECOND);
	check_due(&patience, 10 * SECOND, CLOSE_TOO_SLOW);
	talk_patience_octets(&patience, 2000, 8 * SECOND); /* 2450 in all: good for 24.5 s */
	check_due(&patience, 12 * SECOND, CLOSE_TIMEOUT);
	talk_patience_octets(&patience, 1, 11 * SECOND);
	talk_patience_octets(&patience, 1, 14 * SECOND);
	talk_patience_octets(&patience, 1, 17 * SECOND);
	talk_patience_octets(&patience, 1, 20 * SECOND);
	talk_patience_octets(&patience, 1, 23 * SECOND); /* 2455 */
	check_due(&patience, 24 * SECOND + 550 * MSEC, CLOSE_TOO_SLOW);
	talk_patience_body_over(&patience, 24 * SECOND);
	talk_patience_move(&patience, PATIENCE_COMMAND, 24 * SECOND);
	check_due(&patience, 34 * SECOND, CLOSE_TIMEOUT);
}

/* What we make a client wait isn't its slowness; what it waits between two chunks is. */
static void test_patience_meters_the_client_only(void **state)
{
	struct talk_patience patience;

	(void)state;
	talk_patience_init(&patience, &times);
	talk_patience_move(&patience, PATIENCE_BODY, 0);
	talk_patience_octets(&patience, 1, 0);
	talk_patience_octets(&patience, 1, 3 * SECOND);
	talk_patience_move(&patience, PATIENCE_OFF, 5 * SECOND);
	talk_patience_move(&patience, PATIENCE_COMMAND, 105 * SECOND);
	check_due(&patience, 110 * SECOND, CLOSE_TOO_SLOW);
	talk_patience_move(&patience, PATIENCE_BODY, 107 * SECOND);
	check_due(&patience, 110 * SECOND, CLOSE_TOO_SLOW);
}

static void test_patience_without_rate(void **state)
{
	struct talk_patience patience;
	struct talk_server_times none = times;

	(void)state;
	none.rate = 0;
	talk_patience_init(&patience, &none);
	talk_patience_move(&patience, PATIENCE_BODY, 0);
	for (int64_t now = 0; now < 1000; now++)
		talk_patience_octets(&patience, 1, now * SECOND);
	check_due(&patience, 1003 * SECOND, CLOSE_TIMEOUT);
}

/* ---- words ---- */

static void test_every_close_has_words(void **state)
{
	(void)state;
	for (int why = 0; why < TALK_CLOSE_COUNT; why++) {
		assert_non_null(talk_close_text(why));
		for (int other = 0; other < why; other++)
			assert_string_not_equal(talk_close_text(why), talk_close_text(other));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_input_alone_reuses_its_chunk),
		cmocka_unit_test(test_input_never_moves_what_is_held),
		cmocka_unit_test(test_input_grows),
		cmocka_unit_test(test_patience_waits),
		cmocka_unit_test(test_patience_meters),
		cmocka_unit_test(test_patience_meters_the_client_only),
		cmocka_unit_test(test_patience_without_rate),
		cmocka_unit_test(test_every_close_has_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
