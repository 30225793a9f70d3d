/*
 * The command line's side of the admin address: one HTTP request, one answer.  Blocking.
 */
#ifndef BIN_HTTP_H
#define BIN_HTTP_H

#include "base/addr.h"
#include "conf/conf.h"

/* The admin address of a config: a unix socket if it has one, which is needed for changes. */
enum err http_admin_addr(
	const struct conf *conf, struct addr *addr_r, struct err_text *text) MUST_USE;

/* `method` "GET" or "POST"; `path` with its query.  The body replaces what `body_r` holds. */
enum err http_ask(const struct addr *addr, const char *method, const char *path, int *status_r,
	struct buf *body_r, struct err_text *text) MUST_USE;

#endif
