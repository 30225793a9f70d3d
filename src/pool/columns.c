/*
 * The columns of pools and servers on the board, made by the master before it forks.
 */
#include <stdio.h>

#include "pool/pool.h"
#include "pool/pool_conf.h"

static enum err full(struct err_text *text, const char *name)
{
	return err_set(text, ERR_FULL,
		"the board has no room for %s: at most %d pools, servers and listeners", name,
		BOARD_COLUMNS);
}

static enum err server_column(struct board *board, const struct conf_block *pool,
	const struct conf_block *block, bool *known, struct err_text *text)
{
	const struct pool_server_settings *settings = conf_get(block, &pool_server_section);
	char name[BOARD_NAME];
	int column;

	snprintf(name, sizeof(name), "%s/%s", pool->name, block->name);
	column = board_column(board, BOARD_SERVER, name);
	if (column < 0)
		return full(text, name);
	known[column] = true;
	/* A host name's addresses come from control, which looks it up. */
	if (!settings->at.host)
		board_addresses(board, column, &settings->at.addr, 1);
	return ERR_OK;
}

enum err pool_columns(
	struct board *board, const struct conf *conf, bool *known, struct err_text *text)
{
	CONF_EACH(pool, conf_root(conf), "pool")
	{
		int column = board_column(board, BOARD_POOL, pool->name);

		if (column < 0)
			return full(text, pool->name);
		known[column] = true;
		CONF_EACH(server, pool, "server")
		{
			enum err err = server_column(board, pool, server, known, text);

			if (err)
				return err;
		}
	}
	return ERR_OK;
}
