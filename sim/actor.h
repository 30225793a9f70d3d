/*
 * The clients and servers of a world.
 */
#ifndef SIM_ACTOR_H
#define SIM_ACTOR_H

#include "sim/ledger.h"
#include "sim/wire.h"

/* ---- clients: client.c ---- */

struct sim_client;

struct sim_client_setup {
	struct world *world;
	struct wire_net *net;
	struct ledger *ledger;
	unsigned number; /* its rng and its address, 10.2.x.y, derive from it */
	const struct addr *listeners;
	unsigned listener_count;
	unsigned mails;   /* how many messages it wants delivered */
	int64_t begin;    /* when */
	int64_t max_size; /* the listener's */
	unsigned max_recipients;
};

struct sim_client *sim_client_new(const struct sim_client_setup *setup);
void sim_client_free(struct sim_client **client);
/* All its messages are settled and its connection is closed. */
bool sim_client_done(const struct sim_client *client);
/* One line for the trace when it is not: "waits since 12 s for the reply to RCPT". */
void sim_client_describe(const struct sim_client *client, struct buf *into);
uint64_t sim_client_sessions(const struct sim_client *client); /* opened so far */

/* ---- servers: server.c ---- */

struct sim_server;

struct sim_server_setup {
	struct world *world;
	struct wire_net *net;
	struct ledger *ledger;
	const char *name;
	struct addr at;
	unsigned number;
	/* Of the config: more is a broken promise; 0: any number. */
	unsigned max_connections, messages_per_connection, max_recipients;
	bool checks;                               /* a connection of control's may be there too */
	bool chunking, pipelining, eightbit, size; /* what its EHLO offers */
};

struct sim_server *sim_server_new(const struct sim_server_setup *setup);
void sim_server_free(struct sim_server **server);
uint64_t sim_server_sessions(const struct sim_server *server);
uint64_t sim_server_commands(const struct sim_server *server);

#endif
