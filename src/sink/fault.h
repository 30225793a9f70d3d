/*
 * Faults to order: what a sink does wrong, when, and how often.  Pure: text in, decisions out.
 *
 *     OPTION       VALUE                                       options of the command line; a
 *     slow         PHASE=DURATION                              faults file has one a line,
 *     reply        PHASE=TEXT                                  "reply rcpt=451 4.3.0 busy,count=3"
 *     drop reset stall   PHASE
 *     garbage extra-reply   PHASE[=TEXT]
 *     slow-percent max-sessions latency-ms   NUMBER
 *
 * Behind a value may stand, each introduced by a comma: count=N (only the first N times), every=N
 * (each Nth time), after=N (not the first N times), percent=N (so many of a hundred), match=TEXT
 * (only where the addresses hold TEXT).  Of several faults that fit, the first one listed acts;
 * delays add up.
 */
#ifndef SINK_FAULT_H
#define SINK_FAULT_H

#include "base/bytes.h"
#include "base/rng.h"
#include "base/when.h"

/* Where a conversation stands.  With CHUNKING, `data` is the end of the first chunk. */
#define SINK_FAULT_PHASES(PHASE)                                                                   \
	PHASE(CONNECT, "connect") /* accepted; not a byte was said */                              \
	PHASE(BANNER, "banner")   /* drop, reset: right behind the banner */                       \
	PHASE(EHLO, "ehlo")       /* here and below: the command was read, not answered */         \
	PHASE(MAIL, "mail")                                                                        \
	PHASE(RCPT, "rcpt")                                                                        \
	PHASE(DATA, "data")                                                                        \
	PHASE(BODY, "body")               /* body:OCTETS, so many octets of it were read */        \
	PHASE(END, "end")                 /* also end-before-reply: not committed */               \
	PHASE(COMMIT, "end-after-commit") /* committed, not answered */                            \
	PHASE(RSET, "rset")                                                                        \
	PHASE(QUIT, "quit")                                                                        \
	PHASE(IDLE, "idle") /* idle:DURATION after a message, nothing is going on */

enum fault_phase {
#define SINK_FAULT_PHASE_ID(id, name) FAULT_AT_##id,
	SINK_FAULT_PHASES(SINK_FAULT_PHASE_ID)
#undef SINK_FAULT_PHASE_ID
		FAULT_PHASES
};

enum fault_kind {
	FAULT_SLOW,
	FAULT_REPLY,   /* this reply instead of the right one; a 2yz one takes effect */
	FAULT_DROP,    /* FIN */
	FAULT_RESET,   /* RST */
	FAULT_STALL,   /* never answer, never read again */
	FAULT_GARBAGE, /* octets that are no reply, instead of one */
	FAULT_EXTRA,   /* the right reply, and behind it one that nobody asked for */
	FAULT_KINDS
};

struct fault {
	enum fault_kind kind;
	enum fault_phase phase;
	uint64_t at;   /* body: octets; idle: microseconds */
	int64_t delay; /* FAULT_SLOW: the average; each is between half and one and a half of it */
	uint16_t code; /* FAULT_REPLY */
	char *text;    /* octets to send */
	size_t text_len;
	char *match;    /* NULL: any */
	uint64_t count; /* 0: no limit */
	uint64_t every; /* 0: each time */
	uint64_t after;
	uint64_t percent; /* 100: always */
	uint64_t seen, done;
};

/* Zero-initialised is a healthy server. */
struct faults {
	struct fault *fault;
	unsigned fault_count;
	unsigned slow_percent; /* 0: every time */
	unsigned max_sessions; /* 0: no limit */
	int64_t latency;       /* every reply is so late, as over a long line */
};

/* Add one option.  ERR_MISSING: no such option; ERR_SYNTAX, ERR_RANGE: a bad value. */
enum err faults_option(
	struct faults *faults, struct span name, struct span value, struct err_text *text) MUST_USE;
/* Add the options of a file's text, one a line; "#" begins a comment, "--" may stand in front. */
enum err faults_lines(struct faults *faults, struct span lines, struct err_text *text) MUST_USE;
void faults_clear(struct faults *faults);

/* How long to think at this phase.  `about`: the addresses that `match` looks into. */
int64_t faults_delay(
	struct faults *faults, enum fault_phase phase, struct span about, struct rng *rng);
/* The fault that acts now, or NULL; counts the occasion.  Never FAULT_SLOW. */
const struct fault *faults_pick(
	struct faults *faults, enum fault_phase phase, struct span about, struct rng *rng);

/* "250us", "40ms", "5s", "2min", "1h" */
enum err fault_duration(struct span text, int64_t *usec_r) MUST_USE;

#endif
