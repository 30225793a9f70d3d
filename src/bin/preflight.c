/*
 * The preflight.
 */
#include "bin/preflight.h"

#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "admin/admin.h"
#include "bin/handover.h"
#include "bin/process_numbers.h"
#include "bin/settings.h"
#include "pool/pool.h"
#include "relay/relay.h"

static int say(int status, const char *text)
{
	fprintf(stderr, "%s\n", text);
	return status;
}

static int say_report(const struct config *config)
{
	struct buf words = {0};
	conf_report_text(&config->report, &words);
	fputs(buf_string(&words), stderr);
	buf_clear(&words);
	return EX_CONFIG;
}

/* `board` is a private copy: what is taken on it, nobody sees. */
static enum err try_columns(struct board *board, const struct conf *conf, struct err_text *text)
{
	bool known[BOARD_COLUMNS] = {0};
	enum err err = process_columns(board, known, text);
	if (!err)
		err = pool_columns(board, conf, known, text);
	if (!err)
		err = relay_columns(board, conf, known, text);
	return err;
}

static enum err try_addresses(
	const struct socket_set *set, const struct conf *conf, struct err_text *text)
{
	const struct conf_addrs *admin = admin_addrs_of(conf);
	enum err err = ERR_OK;
	for (size_t i = 0; i < admin->count && !err; i++)
		err = socket_set_try(set, &admin->at[i], text);
	CONF_EACH(listener, conf_root(conf), "listener")
	{
		const struct conf_addrs *bind = bind_addrs_of(listener);
		for (size_t i = 0; i < bind->count && !err; i++)
			err = socket_set_try(set, &bind->at[i], text);
	}
	return err;
}

static int compare(const struct config *running, const struct config *candidate, bool force)
{
	/* An older binary's config that this one can't read: its workers could not be replaced. */
	if (!running->conf)
		return say(EX_CONFIG, "this binary can't read the running config: restart instead");
	const char *pool = config_emptied_pool(running->conf, candidate->conf);
	if (!pool || force)
		return EX_OK;
	fprintf(stderr,
		"pool \"%s\" would lose all of its servers; reload --force if that is meant\n",
		pool);
	return EX_CONFIG;
}

static int try_all(struct master *master, const struct handover *handover)
{
	struct err_text text;
	struct board *board;
	if (board_map(master->board_fd, false, &board, &text))
		return say(EX_UNAVAILABLE, text.text);
	struct config *running = config_parse(handover->path, buf_span(&handover->running));
	struct config *candidate = config_parse(handover->path, buf_span(&handover->candidate));
	int status = EX_OK;
	if (!candidate->conf)
		status = say_report(candidate);
	else if (try_columns(board, candidate->conf, &text) ||
		 try_addresses(&master->sockets, candidate->conf, &text))
		status = say(EX_UNAVAILABLE, text.text);
	else
		status = compare(running, candidate, handover->force);
	config_free(&running);
	config_free(&candidate);
	return status;
}

int preflight_run(int fd)
{
	struct err_text text;
	struct handover handover;
	struct master master = {.board_fd = -1};
	struct generation *generation;
	LIST_INIT(&master.generations);
	int status = EX_UNAVAILABLE;
	if (handover_read(fd, &master, &handover, &text))
		say(status, text.text);
	else
		status = try_all(&master, &handover);
	handover_clear(&handover);
	while ((generation = LIST_FIRST(&master.generations)))
		generation_free(&generation);
	free(master.sockets.at);
	free(master.binary);
	return status;
}
