/*
 * A config as one thing to hold: its text, its diagnostics, and what it says.
 */
#ifndef BIN_CONFIG_H
#define BIN_CONFIG_H

#include "conf/conf.h"

struct config {
	char *path; /* as diagnostics and logs call it */
	struct buf text;
	struct conf_report report;
	struct conf *conf; /* NULL: it has errors, or was never read */
};

/* Read and parse.  NULL and words when the file can't be read; the caller looks at ->conf. */
struct config *config_load(const char *path, struct err_text *text);
/* Parse a text that is there already; file:PATH lists are read from the disk. */
struct config *config_parse(const char *path, struct span text);
void config_free(struct config **config);

/*
 * The pool that a change from `now` to `next` would empty: it disappears, or keeps none of its
 * servers (compared by pool and server name: those are what the board's columns are called).
 * NULL: none.
 */
const char *config_emptied_pool(const struct conf *now, const struct conf *next);

#endif
