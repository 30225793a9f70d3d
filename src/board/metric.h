/*
 * Every number that Mailweir keeps, declared once: the board lays out its cells from these rows,
 * /metrics and status render them, docs/metrics.md is generated from them.
 *
 * A row: METRIC(KIND, TYPE, id, unit, "meaning").  KIND is the kind of named thing (the column)
 * that the number belongs to.  The exported name is mailweir_<kind>_<id>[_<unit>][_total].
 * COUNTER and GAUGE take one cell, HISTOGRAM takes BOARD_BUCKETS + 1 cells (the last is the sum
 * of the observed values, in microseconds).  A gauge is what one process holds now: the master
 * zeroes a dead row's gauges.
 */
#ifndef BOARD_METRIC_H
#define BOARD_METRIC_H

#include <stdint.h>

enum board_kind { BOARD_PROCESS, BOARD_LISTENER, BOARD_POOL, BOARD_SERVER, BOARD_KINDS };
enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

/* Bucket i counts values below 2^(i+6) us (64 us ... 268 s); the last takes the rest. */
#define BOARD_BUCKETS 24

#define METRICS(METRIC)                                                                            \
	METRIC(PROCESS, COUNTER, loop_turns, "", "Turns of the event loop")                        \
	METRIC(PROCESS, GAUGE, memory_chunks, "bytes",                                             \
		"Bytes in buffers that hold mail or replies")                                      \
	METRIC(PROCESS, GAUGE, sockets, "", "Open sockets")                                        \
	METRIC(PROCESS, COUNTER, log_dropped, "", "Log lines dropped because the ring was full")   \
	METRIC(PROCESS, COUNTER, deaths, "", "Processes in this row that died and were buried")    \
	METRIC(LISTENER, GAUGE, sessions, "", "Open client sessions")                              \
	METRIC(LISTENER, COUNTER, sessions_opened, "", "Client sessions accepted")                 \
	METRIC(LISTENER, COUNTER, sessions_refused, "",                                            \
		"Client connections answered by 421 at a limit")                                   \
	METRIC(LISTENER, COUNTER, sessions_proxied, "",                                            \
		"Client sessions that came through a proxy and its PROXY header")                  \
	METRIC(LISTENER, COUNTER, proxy_refused, "",                                               \
		"Connections of proxies closed for want of a good PROXY header")                   \
	METRIC(LISTENER, COUNTER, commands, "", "Commands read from clients")                      \
	METRIC(LISTENER, COUNTER, protocol_errors, "", "Commands answered by 5yz of our own")      \
	METRIC(LISTENER, COUNTER, relay_denied, "", "Recipients refused by relay control")         \
	METRIC(LISTENER, COUNTER, recipients_accepted, "", "Recipients answered by 2yz")           \
	METRIC(LISTENER, COUNTER, recipients_deferred, "", "Recipients answered by 4yz")           \
	METRIC(LISTENER, COUNTER, recipients_refused, "", "Recipients answered by 5yz")            \
	METRIC(LISTENER, COUNTER, accepted, "",                                                    \
		"Transactions that a server accepted and the client was told so")                  \
	METRIC(LISTENER, COUNTER, accepted_unheard, "",                                            \
		"Transactions that a server accepted when the client had gone")                    \
	METRIC(LISTENER, COUNTER, deferred, "", "Transactions that ended in 4yz")                  \
	METRIC(LISTENER, COUNTER, refused, "", "Transactions that ended in 5yz")                   \
	METRIC(LISTENER, COUNTER, abandoned, "", "Transactions that the client gave up")           \
	METRIC(LISTENER, COUNTER, ambiguous, "",                                                   \
		"Transactions whose outcome nobody can know: ended, and no reply")                 \
	METRIC(LISTENER, GAUGE, in_gap, "",                                                        \
		"Transactions ended towards a server, our reply not yet written")                  \
	METRIC(LISTENER, COUNTER, bytes_in, "bytes", "Body bytes received")                        \
	METRIC(LISTENER, COUNTER, replays, "",                                                     \
		"Attempts given up for another server, whether one was left or not")               \
	METRIC(LISTENER, HISTOGRAM, time_envelope, "seconds",                                      \
		"From MAIL to the last RCPT's reply")                                              \
	METRIC(LISTENER, HISTOGRAM, time_total, "seconds", "From MAIL to the final reply")         \
	METRIC(POOL, GAUGE, waiting, "", "Transactions waiting for a free connection")             \
	METRIC(POOL, COUNTER, lent, "", "Connections lent to transactions")                        \
	METRIC(POOL, COUNTER, queue_timeouts, "", "Waits for a free connection that ran out")      \
	METRIC(POOL, HISTOGRAM, time_waiting, "seconds",                                           \
		"Wait for a connection, opening one included")                                     \
	METRIC(SERVER, COUNTER, connects, "", "Connections begun")                                 \
	METRIC(SERVER, COUNTER, connects_failed, "", "Connections that failed at connect")         \
	METRIC(SERVER, COUNTER, greetings_failed, "", "Connections that failed at banner or EHLO") \
	METRIC(SERVER, COUNTER, reused, "",                                                        \
		"Transactions on a connection that had been used before")                          \
	METRIC(SERVER, COUNTER, stale, "", "Idle connections found closed by the server")          \
	METRIC(SERVER, COUNTER, attempts, "", "Transactions begun on this server")                 \
	METRIC(SERVER, COUNTER, accepted, "", "Transactions that this server accepted")            \
	METRIC(SERVER, COUNTER, passed_4yz, "", "4yz verdicts of this server passed on")           \
	METRIC(SERVER, COUNTER, passed_5yz, "", "5yz verdicts of this server passed on")           \
	METRIC(SERVER, COUNTER, own_trouble, "",                                                   \
		"Replies about the server's own trouble: another server was tried")                \
	METRIC(SERVER, COUNTER, broken, "", "Connections that broke inside a transaction")         \
	METRIC(SERVER, COUNTER, timeouts, "", "Time-outs inside a transaction")                    \
	METRIC(SERVER, COUNTER, too_many, "", "421 too many connections from you")                 \
	METRIC(SERVER, COUNTER, our_conduct, "", "Replies that complained about our own conduct")  \
	METRIC(SERVER, COUNTER, poisoned, "",                                                      \
		"Connections closed because of a reply nobody asked for or one that is malformed") \
	METRIC(SERVER, COUNTER, ambiguous, "", "Ended on this server, and no complete reply")      \
	METRIC(SERVER, COUNTER, bytes_out, "bytes",                                                \
		"Body bytes handed to a connection, held back ones too")                           \
	METRIC(SERVER, COUNTER, checks, "", "Health checks made")                                  \
	METRIC(SERVER, COUNTER, checks_failed, "", "Health checks that failed")                    \
	METRIC(SERVER, COUNTER, transitions, "", "Changes of state")                               \
	METRIC(SERVER, COUNTER, ejections, "", "Ejections by passive signs")                       \
	METRIC(SERVER, HISTOGRAM, time_connect, "seconds", "From connect to connected")            \
	METRIC(SERVER, HISTOGRAM, time_greeting, "seconds", "From connected to EHLO answered")     \
	METRIC(SERVER, HISTOGRAM, time_envelope, "seconds", "From MAIL to the last RCPT's reply")  \
	METRIC(SERVER, HISTOGRAM, time_verdict, "seconds", "From the end of data to its reply")

/* enum ids: M_LISTENER_accepted ... */
enum metric {
#define METRIC_ID(kind, type, id, unit, help) M_##kind##_##id,
	METRICS(METRIC_ID)
#undef METRIC_ID
		METRIC_COUNT
};

struct metric_row {
	enum board_kind kind;
	enum metric_type type;
	const char *id, *unit, *help;
	unsigned cell; /* first cell of the metric within a column of its kind */
};

const struct metric_row *metric_row(enum metric metric);
unsigned metric_cells(enum board_kind kind); /* cells a column of this kind takes in each row */

#endif
