/*
 * The settings that are nobody else's: the process as a whole, its log, and what listeners bind.
 */
#ifndef BIN_SETTINGS_H
#define BIN_SETTINGS_H

#include "conf/conf.h"

#define WORKERS_MAX 24 /* two generations, control and the master share the board's rows */

enum log_format { LOG_AUTO, LOG_JSON, LOG_TEXT };

struct bin_settings {
	const char *hostname; /* NULL: the machine's */
	const char *state;    /* directory; NULL: nothing is kept */
	int64_t workers;      /* -1: auto */
	int64_t drain_timeout;
};

struct log_settings {
	const char *target; /* "stderr" or a path */
	enum log_format format;
};

struct bind_settings {
	struct conf_addrs bind;
};

extern const struct conf_section bin_top_section;
extern const struct conf_section bin_log_section;
extern const struct conf_section bin_listener_section;

/* Every section of every room: the language of our config files. */
extern const struct conf_vocabulary bin_vocabulary;

const struct bin_settings *bin_settings_of(const struct conf *conf);
const struct log_settings *log_settings_of(const struct conf *conf);
/* What one listener block binds. */
const struct conf_addrs *bind_addrs_of(const struct conf_block *listener);
/* `auto` is min(processors, 4): warm connections grow as workers times servers. */
unsigned workers_of(const struct conf *conf, unsigned processors);

#endif
