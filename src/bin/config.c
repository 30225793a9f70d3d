/*
 * A config as one thing to hold.
 */
#include "bin/config.h"

#include <stdlib.h>

#include "bin/settings.h"
#include "sys/sys.h"

static enum err read_list(void *arg, const char *path, struct buf *into, struct err_text *text)
{
	(void)arg;
	return sys_file_read(path, CONF_LIST_MAX, into, text);
}

static void parse(struct config *config)
{
	static const struct conf_files files = {.read = read_list};
	config->conf = conf_parse(
		&bin_vocabulary, buf_span(&config->text), config->path, &files, &config->report);
}

struct config *config_load(const char *path, struct err_text *text)
{
	struct config *config = mem_new(sizeof(*config));
	config->path = mem_string(span_of(path));
	if (sys_file_read(path, CONF_TEXT_MAX, &config->text, text)) {
		config_free(&config);
		return NULL;
	}
	parse(config);
	return config;
}

struct config *config_parse(const char *path, struct span text)
{
	struct config *config = mem_new(sizeof(*config));
	config->path = mem_string(span_of(path));
	buf_add_span(&config->text, text);
	parse(config);
	return config;
}

void config_free(struct config **configp)
{
	struct config *config = *configp;
	*configp = NULL;
	if (!config)
		return;
	conf_free(&config->conf);
	conf_report_clear(&config->report);
	buf_clear(&config->text);
	free(config->path);
	free(config);
}

static bool keeps_a_server(const struct conf_block *pool, const struct conf_block *next)
{
	CONF_EACH(server, pool, "server")
	{
		CONF_EACH(other, next, "server")
		{
			if (span_is(span_of(server->name), other->name))
				return true;
		}
	}
	return false;
}

const char *config_emptied_pool(const struct conf *now, const struct conf *next)
{
	CONF_EACH(pool, conf_root(now), "pool")
	{
		const struct conf_block *other = conf_find(next, "pool", pool->name);
		if (!other || !keeps_a_server(pool, other))
			return pool->name;
	}
	return NULL;
}
