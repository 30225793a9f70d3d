/*
 * The settings of pools and servers: the blocks `pool` and `server` are opened here.
 */
#ifndef POOL_POOL_CONF_H
#define POOL_POOL_CONF_H

#include "balance/balance.h"
#include "conf/conf.h"

/* `balance POLICY [FIELD]` */
struct pool_balance {
	const struct balance_ops *ops;
	const char *field; /* of "hash FIELD"; NULL for policies without a key */
};

enum pool_pass_client { POOL_PASS_NONE };

struct pool_settings {
	struct pool_balance balance;
	int64_t queue; /* longest wait for a free connection */
	enum pool_pass_client pass_client;
};

/* All but the first four may stand in the pool too, as its servers' default. */
struct pool_server_settings {
	const char *name;
	struct conf_endpoint at;
	int64_t weight, tier;
	int64_t max_connections;         /* over all workers */
	int64_t messages_per_connection; /* 0: no limit */
	int64_t idle_timeout;
	int64_t connect_timeout, greeting_timeout, mail_timeout, rcpt_timeout, data_timeout,
		end_timeout;
};

extern const struct conf_section pool_top_section;    /* opens "pool" */
extern const struct conf_section pool_section;        /* "pool", opens "server" */
extern const struct conf_section pool_server_section; /* "server" */

#endif
