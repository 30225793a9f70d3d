/*
 * A worker: the assembly of loop, pools and relay that carries mail.  Nothing here knows of
 * signals, fork or descriptors, so that a simulated world can run it as it is:
 *
 *     sys ──► net loop ──► listeners ──► relay ──► pools ──► servers
 *                 │                        ▲          ▲
 *                 └── tick: heartbeat, the master's orders, listening, waits
 *
 *     assembled ──► ready ──► (its generation becomes the current one) ──► listening
 *               ──► (ordered to drain) ──► sessions end ──► connections end ──► it leaves
 *
 * The surprise: it does not accept before its generation is the current one, so a generation
 * that fails to start can be taken away and no client was ever on it.
 */
#ifndef BIN_WORKER_H
#define BIN_WORKER_H

#include "board/board.h"
#include "conf/conf.h"
#include "sys/sys.h"

/* A listening socket; its index in the table is the one sys_listener() counts by. */
struct worker_socket {
	struct addr wanted;   /* as the config writes it */
	unsigned lane, lanes; /* which of how many sockets of this address */
	unsigned number;      /* its bit (modulo 64) in the board's mask of uncovered ones */
};

/* Everything outlives the worker. */
struct worker_setup {
	struct sys *sys;
	struct board *board;
	int row, master_row;
	const struct conf *conf;
	const char *hostname;
	const struct worker_socket *sockets;
	int socket_count;
	unsigned index, workers; /* which of how many of its generation */
	unsigned generation;
};

struct worker;

struct worker *worker_new(const struct worker_setup *setup);
/* One turn.  False: it has drained, or was told to stop; free it. */
bool worker_turn(struct worker *worker);
/* As if the master had ordered it. */
void worker_drain(struct worker *worker);
void worker_free(struct worker **worker);

#endif
