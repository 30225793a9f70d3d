/*
 * Which worker polls which listening socket.  An address has as many sockets (lanes) as the
 * generation that bound it had workers; later ones may have more or fewer.
 */
#ifndef BIN_SHARE_H
#define BIN_SHARE_H

#include <stdbool.h>

/* A listening socket as a worker sees it: its number on the board, its place among the sockets
 * of the same address. */
static inline bool share_serves(unsigned worker, unsigned workers, unsigned lane, unsigned lanes)
{
	/* Fewer workers than sockets: several each.  More: they share. */
	return workers <= lanes ? lane % workers == worker : worker % lanes == lane;
}

#endif
