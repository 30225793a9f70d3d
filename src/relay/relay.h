/*
 * Joins clients' sessions to servers: one struct relay is all the mail of one worker.
 *
 *     client -- talk_server -- session -- transaction -- attempt -- loan -- talk_client -- server
 *
 * The commit rule (what a server's answer, or its silence, means for the message) is commit.c.
 */
#ifndef RELAY_RELAY_H
#define RELAY_RELAY_H

#include "board/board.h"
#include "conf/conf.h"
#include "net/net.h"
#include "pool/pool.h"

struct relay;

/* What a relay needs; everything outlives it. */
struct relay_world {
	struct net_loop *loop;
	struct board *board;
	int row;
	const struct conf *conf;
	struct pools *pools;
	const char *hostname; /* banner and EHLO */
	uint64_t seed;        /* session ids */
};

/* The listeners' columns, before the master forks; known[column] is set for each. */
enum err relay_columns(
	struct board *board, const struct conf *conf, bool *known, struct err_text *text) MUST_USE;

struct relay *relay_new(const struct relay_world *world);
/* A client connected to the listener of this name; `sock` is taken over. */
void relay_accept(struct relay *relay, const char *listener, struct sys_sock *sock,
	const struct addr *peer, const struct addr *local);
/* Take no new session; those in progress go on until they QUIT or fall idle; from the moment
 * `until` on they end with 421 at the next message border. */
void relay_drain(struct relay *relay, int64_t until);
unsigned relay_sessions(const struct relay *relay);
void relay_free(struct relay **relay); /* what is left hears 421 */

#endif
