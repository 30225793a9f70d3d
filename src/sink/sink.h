/*
 * The sink: a throwaway SMTP server.  It takes what comes, writes it down, and misbehaves to
 * order (fault.h).  For the demo, for tests, and later in the simulator: it knows no signals, no
 * processes, and no sockets but those of its loop.
 *
 *     client --- net_stream --- session (smtp_server) --- step: delay? fault? ---> answer
 *                                                           |
 *                                              commit: file, ledger, then 250
 *
 * It speaks through smtp_server on a stream of its own, not through talk_server: a well-behaved
 * conversation can't say half a banner, reset, or answer garbage.
 */
#ifndef SINK_SINK_H
#define SINK_SINK_H

#include "net/net.h"
#include "sink/fault.h"
#include "smtp/caps.h"

#define SINK_OFFER                                                                                 \
	(SMTP_CAP_PIPELINING | SMTP_CAP_SIZE | SMTP_CAP_8BITMIME | SMTP_CAP_SMTPUTF8 |             \
		SMTP_CAP_DSN | SMTP_CAP_CHUNKING | SMTP_CAP_ENHANCED | SMTP_CAP_HELP)

#define SINK_LISTENERS 64 /* at most */

struct sink;

/* Counted by one sink; may lie in memory that other processes read. */
struct sink_totals {
	uint64_t sessions;   /* connections taken, those answered by 421 included */
	uint64_t open;       /* now */
	uint64_t over_limit; /* answered by 421: max-sessions */
	uint64_t accepted;   /* messages committed */
	uint64_t octets;     /* of those */
	uint64_t refused;    /* commands and messages answered by 4yz or 5yz */
	uint64_t faults;     /* acted out, delays not counted */
	uint64_t broken;     /* sessions that ended by a client's protocol error */
	uint64_t unasked; /* commands and parameters that need an extension which isn't offered */
};

/* Strings are copied. */
struct sink_setup {
	const char *name; /* in the banner, EHLO, queue ids and the ledger */
	struct smtp_offer offer;
	bool lax;                       /* take bare CR, bare LF and overlong lines as they come */
	const char *write_dir;          /* NULL: none */
	const char *ledger;             /* NULL: none */
	int listen_first, listen_count; /* indices of the process's listening sockets */
	uint64_t seed;
	struct sink_totals *totals; /* NULL: the sink's own; outlives it */
};

/* NULL and words when the ledger can't be opened. */
struct sink *sink_new(struct net_loop *loop, const struct sink_setup *setup, struct err_text *text);
/* From now on these; `faults` is taken over and left empty.  Delays under way go on. */
void sink_set_faults(struct sink *sink, struct faults *faults);
const struct sink_totals *sink_totals(const struct sink *sink);
/* As one line of JSON, newline included. */
void sink_totals_text(const struct sink_totals *totals, struct buf *into);
/* Resets what is open. */
void sink_free(struct sink **sink);

#endif
