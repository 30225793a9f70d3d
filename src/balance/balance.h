/*
 * Balancing policies: which of the servers that could take this transaction shall.  Pure: no
 * clock, no board, no memory of its own; what a policy remembers is in the candidates' credit,
 * which its caller keeps per server.
 */
#ifndef BALANCE_BALANCE_H
#define BALANCE_BALANCE_H

#include "base/bytes.h"

/* One server that may be picked: up, in the lowest tier that has any, not tried yet, capable. */
struct candidate {
	uint32_t weight; /* > 0; configured weight x 256, slow start applied */
	uint32_t live;   /* transactions in progress, over all workers */
	int64_t latency; /* peak-sensitive moving average of a transaction's time, usec; 0: unknown
			  */
	uint64_t id;     /* stable over reloads and machines: hash of pool and server name */
	int64_t *credit; /* the caller's cell; starts at 0, and again after an outage */
};

struct balance_ops {
	const char *name;
	const char *help; /* one line for the settings reference */
	/* Index of the chosen, 0 ... n-1; n > 0.  `key`: hash of the field (policy "hash");
	 * `random`: fresh random bits. */
	int (*pick)(struct candidate *candidate, int n, uint64_t key, uint64_t random);
	bool keyed; /* "hash FIELD": needs a key */
};

/* By name ("least-transactions", "round-robin", "latency", "hash", "random"); NULL if unknown. */
const struct balance_ops *balance_find(struct span name);
const struct balance_ops *balance_at(int index); /* to list them; NULL behind the last */

/* The moving average behind `latency`: jumps up at once to a slower sample, falls slowly. */
int64_t balance_latency(int64_t average, int64_t sample, int64_t since_last);

#endif
