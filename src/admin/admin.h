/*
 * The admin address, in the control process: /metrics, /healthz, /readyz and the JSON calls that
 * the command line makes.  HTTP by libmicrohttpd on sockets that the master bound.
 */
#ifndef ADMIN_ADMIN_H
#define ADMIN_ADMIN_H

#include "board/board.h"
#include "conf/conf.h"
#include "net/net.h"

struct admin;

struct admin_world {
	struct net_loop *loop;
	struct board *board;
	int row; /* control's */
	const struct conf *conf;
	const int *listeners; /* bound descriptors, borrowed */
	const bool *is_unix;  /* per listener: a peer's credentials decide there */
	int listener_count;
};

/* NULL and words when the library can't start. */
struct admin *admin_new(const struct admin_world *world, struct err_text *text);
void admin_free(struct admin **admin);

/* The settings of the admin block. */
struct admin_settings {
	struct conf_addrs bind;
};
extern const struct conf_section admin_top_section; /* opens "admin" */
extern const struct conf_section admin_section;
/* What it binds; empty without an admin block. */
const struct conf_addrs *admin_addrs_of(const struct conf *conf);

/* ---- pure renderings of the board, also for tests ---- */
void admin_metrics(const struct board *board, int64_t now,
	struct buf *into);                      /* Prometheus text format 0.0.4 */
void admin_metrics_reference(struct buf *into); /* Markdown, for docs/metrics.md */
void admin_status(const struct board *board, const struct conf *conf, int64_t now,
	struct buf *into); /* JSON */
/* NULL: mail can be taken; else the first reason why not. */
const char *admin_unready(const struct board *board, const struct conf *conf, int64_t now);

#endif
