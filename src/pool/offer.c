/*
 * What others ask of a pool: whether it could serve, and what its servers can do.
 */
#include "pool/private.h"

static bool is_usable(struct pool_server *server)
{
	const struct board *board = server->pool->pools->world.board;
	enum server_state state = board_verdict(board, server->column).state;

	/* Ejected ones are the last resort, so mail still has a way. */
	return state != SERVER_DOWN && state != SERVER_UNUSABLE && !pool_server_drained(server) &&
	       pool_server_named(server);
}

bool pool_has_another(const struct pool *pool, const struct pool_tried *tried, int column)
{
	for (unsigned i = 0; i < pool->servers; i++) {
		struct pool_server *server = &pool->server[i];
		bool out = server->column == column || !is_usable(server);

		for (unsigned j = 0; j < tried->count && !out; j++)
			out = tried->column[j] == server->column;
		if (!out)
			return true;
	}
	return false;
}

struct smtp_offer pool_offer(const struct pool *pool)
{
	struct smtp_offer all = {0};
	bool seen = false;

	for (unsigned i = 0; i < pool->servers; i++) {
		const struct pool_server *server = &pool->server[i];
		struct smtp_offer one;

		if (server->settings->tier != pool->first_tier)
			continue;
		one.caps = board_offered(pool->pools->world.board, server->column, &one.size);
		if (one.caps == 0)
			continue;
		all.caps = seen ? all.caps & one.caps : one.caps;
		if (one.size > 0 && (all.size == 0 || one.size < all.size))
			all.size = one.size;
		seen = true;
	}
	return all;
}

bool pool_could(const struct pool *pool, uint32_t needs, uint64_t size)
{
	for (unsigned i = 0; i < pool->servers; i++) {
		if (!pool_server_lacks(&pool->server[i], needs, size))
			return true;
	}
	return false;
}

const char *pool_hash_field(const struct pool *pool)
{
	return pool->settings->balance.field;
}

int pool_column(const struct pool *pool)
{
	return pool->column;
}
