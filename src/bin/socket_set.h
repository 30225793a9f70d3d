/*
 * The listening sockets, kept by the master over all generations.
 *
 * An address is bound once, by as many SO_REUSEPORT sockets (lanes) as the generation that
 * brought it had workers.  Their number never changes while the address is in use: closing one
 * of a group resets the connections that wait in it.
 */
#ifndef BIN_SOCKET_SET_H
#define BIN_SOCKET_SET_H

#include "base/addr.h"
#include "base/when.h"

struct socket_bound {
	struct addr wanted; /* as the config writes it */
	uint16_t port;      /* as it came out, where the config says 0 */
	int fd;
	unsigned lane, lanes;
	unsigned number;   /* its bit, modulo 64, in the board's mask */
	bool admin;        /* for control, not for workers */
	int64_t retire_at; /* NEVER: in use */
};

/* Zero-initialised is empty. */
struct socket_set {
	struct socket_bound *at;
	unsigned count;
};

/* Bind the address unless it is bound already (then keep it, if it was to be retired).  `lanes` is
 * 1 for unix sockets whatever is asked.  ERR_FULL, ERR_REFUSED and words when it can't be. */
enum err socket_set_bind(struct socket_set *set, const struct addr *addr, unsigned lanes,
	bool admin, struct err_text *text) MUST_USE;
/* Try whether it could be bound, and let it go again. */
enum err socket_set_try(
	const struct socket_set *set, const struct addr *addr, struct err_text *text) MUST_USE;
struct socket_bound *socket_set_add(struct socket_set *set, const struct socket_bound *bound);
/* Stop listening on those that are due: nobody is let in any more, also not by processes that
 * hold a copy of the descriptor. */
void socket_set_retire(struct socket_set *set, int64_t now);
/* Close our descriptors (in a child, or before the end). */
void socket_set_clear(struct socket_set *set);

#endif
