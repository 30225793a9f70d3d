/*
 * A sample load: an MTA in small.  Messages, each with its own X-Ledger-Id ("RUN.NUMBER"), over
 * parallel sessions that keep their connections; what is deferred or lost is tried again.
 *
 *     new, or due again --> session --(talk_client)--> server --> settled: accepted, failed
 *                 ^                                       |
 *                 `------- 4yz, connection lost <---------'        ... or out of tries
 */
#ifndef SINK_LOAD_H
#define SINK_LOAD_H

#include "net/net.h"

struct load;

enum load_outcome {
	LOAD_ACCEPTED, /* 2yz to the end of data */
	LOAD_FAILED,   /* 5yz */
	LOAD_GIVEN_UP, /* out of tries, or stopped between two of them */
};

struct load_message {
	uint64_t number; /* 1 ... */
	unsigned tries;
	bool unsure; /* some try had no definite reply after its end of data: it may have arrived
			twice.  451 4.4.2 is such a reply: a balancer that doesn't know says so. */
	enum load_outcome outcome;
};

struct load_totals {
	uint64_t begun; /* messages tried at least once */
	uint64_t accepted, failed, given_up;
	uint64_t deferred; /* tries answered by 4yz */
	uint64_t lost;     /* tries whose connection failed or broke */
	uint64_t unsure;   /* tries without a definite reply */
};

struct load_setup {
	struct addr to;
	const char *run;      /* first part of the ids; copied, like all strings here */
	const char *hostname; /* said in EHLO */
	uint64_t messages;    /* 0: until load_stop() */
	unsigned sessions;
	unsigned per_connection; /* messages; 0: no limit */
	size_t size;             /* octets of a message, at least; the header always fits */
	unsigned rate;           /* new messages a second; 0: as fast as it goes */
	unsigned tries;
	int64_t retry_after; /* the first wait; doubled each time, up to 16 times it */
};

struct load_ops {
	void (*settled)(void *arg, const struct load_message *message); /* may be NULL */
	/* All messages are settled, or, after load_stop(), those that were under way.  Once. */
	void (*done)(void *arg);
};

struct load *load_new(struct net_loop *loop, const struct load_setup *setup,
	const struct load_ops *ops, void *arg);
void load_stop(struct load *load); /* begin no more */
const struct load_totals *load_totals(const struct load *load);
/* Closes what is open; done() is not called any more. */
void load_free(struct load **load);

/* The number in an id of this run; 0 if it is none. */
uint64_t load_id_number(struct span id, const char *run);

#endif
