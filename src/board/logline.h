/*
 * Lines of the log: every field that Mailweir may write into one, declared once.  docs/log.md is
 * generated from these rows, and a field that is not here cannot be written.
 *
 *     relay, health, master --- log_begin, log_*, log_end ---> ring of the row ---> control --->
 * file
 *
 * A line is one JSON object; `time` and `event` come first.  Use:
 *
 *     struct log_line line;
 *     log_begin(&line, &buf, sys_wall(sys), LOG_EVENT_transaction);
 *     log_string(&line, LOG_outcome, "accepted");
 *     log_int(&line, LOG_recipients, 2);
 *     log_end(&line, board, row);
 *
 * The buf is the caller's to keep between lines, so that a line costs no allocation.
 */
#ifndef BOARD_LOGLINE_H
#define BOARD_LOGLINE_H

#include "board/board.h"

/* LOG_EVENT(id, "name", "when it is written") */
#define LOG_EVENTS(EVENT)                                                                          \
	EVENT(transaction, "transaction", "A client's transaction has ended")                      \
	EVENT(attempt, "attempt", "A transaction's attempt on one server has ended")               \
	EVENT(connection, "connection", "A connection to a server could not be made or greeted")   \
	EVENT(session, "session", "A client's session was turned away, ended by us, or broke")     \
	EVENT(server_state, "server-state", "A server has changed its state")                      \
	EVENT(process, "process", "A process of ours has started, is ready, leaves or has died")   \
	EVENT(reload, "reload", "A reload was asked for, has succeeded or was refused")            \
	EVENT(alarm, "alarm", "Something that a person should look at")

/* LOG_FIELD(id, TYPE, "meaning"); the name in the line is the id.  TEXT, INT, BOOL, LIST (of
 * texts), MSEC (milliseconds with three decimals, given in microseconds). */
#define LOG_FIELDS(FIELD)                                                                          \
	FIELD(time, TEXT, "When the line was written: RFC 3339, UTC, milliseconds")                \
	FIELD(event, TEXT, "What kind of line this is; the events are listed above")               \
	FIELD(session, TEXT, "The client's session, the same in all its lines")                    \
	FIELD(transaction, INT, "Which transaction of the session, counted from 1")                \
	FIELD(attempt, INT, "Which attempt of the transaction, counted from 1")                    \
	FIELD(message_id, TEXT, "The Message-ID header of the mail, if there is one near the top") \
	FIELD(listener, TEXT, "The listener that the client connected to")                         \
	FIELD(client, TEXT, "The client's address")                                                \
	FIELD(proxy, TEXT, "The proxy that the client came through, if there is one")              \
	FIELD(local, TEXT, "The address of ours that the client connected to")                     \
	FIELD(helo, TEXT, "The name the client gave in EHLO or HELO")                              \
	FIELD(sender, TEXT, "The domain of the envelope sender (the address by log-addresses)")    \
	FIELD(recipients_to, LIST,                                                                 \
		"The recipients' domains, each once (the addresses by log-addresses)")             \
	FIELD(recipients, INT, "Recipients that the client offered")                               \
	FIELD(recipients_accepted, INT, "Recipients answered by 2yz")                              \
	FIELD(size, INT, "Octets of the body, as received")                                        \
	FIELD(pool, TEXT, "The pool")                                                              \
	FIELD(server, TEXT, "The server within the pool")                                          \
	FIELD(address, TEXT, "The address of the server that was connected to")                    \
	FIELD(why, TEXT, "Why this server")                                                        \
	FIELD(reused, BOOL, "The connection to the server had carried a transaction before")       \
	FIELD(attempts, INT, "How many servers were tried")                                        \
	FIELD(outcome, TEXT,                                                                       \
		"accepted, accepted-unheard, deferred, refused, abandoned or ambiguous")           \
	FIELD(phase, TEXT, "How far it came: connect, banner, ehlo, mail, rcpt, data, body, end")  \
	FIELD(reply, TEXT, "The reply that decided, on one line")                                  \
	FIELD(own, BOOL, "The reply was ours, not a server's")                                     \
	FIELD(queue_id, TEXT, "The queue id that the server gave")                                 \
	FIELD(reason, TEXT, "Why it ended so, in a fixed word")                                    \
	FIELD(text, TEXT, "The same as a sentence for people")                                     \
	FIELD(t_wait, MSEC, "Waited for a connection, opening one included")                       \
	FIELD(t_connect, MSEC, "From connect to connected")                                        \
	FIELD(t_greeting, MSEC, "From connected to EHLO answered")                                 \
	FIELD(t_envelope, MSEC, "From MAIL to the last RCPT's reply")                              \
	FIELD(t_body, MSEC, "From the first octet of the body to the end of data")                 \
	FIELD(t_verdict, MSEC, "From the end of data to its reply")                                \
	FIELD(t_total, MSEC, "From MAIL to the final reply")                                       \
	FIELD(state, TEXT, "The new state of the server, process or reload")                       \
	FIELD(was, TEXT, "The state before")                                                       \
	FIELD(pid, INT, "The process")                                                             \
	FIELD(role, TEXT, "master, worker or control")                                             \
	FIELD(row, INT, "Its row on the board")                                                    \
	FIELD(generation, INT, "The generation it belongs to; each reload begins a new one")       \
	FIELD(status, INT, "The exit status of a process")                                         \
	FIELD(signal, INT, "The signal that ended a process")                                      \
	FIELD(ambiguous, INT, "Transactions that became ambiguous by a process's death")

enum log_event {
#define LOG_EVENT_ID(id, name, help) LOG_EVENT_##id,
	LOG_EVENTS(LOG_EVENT_ID)
#undef LOG_EVENT_ID
		LOG_EVENT_COUNT
};

enum log_field {
#define LOG_FIELD_ID(id, type, help) LOG_##id,
	LOG_FIELDS(LOG_FIELD_ID)
#undef LOG_FIELD_ID
		LOG_FIELD_COUNT
};

struct log_line {
	struct buf *buf; /* holds the line so far; each piece continues it with a comma */
};

/* Start a line in `buf` (which is emptied).  `wall` from sys_wall(). */
void log_begin(struct log_line *line, struct buf *buf, int64_t wall, enum log_event event);
/* Asserts that the field is of the function's type.  An empty text or NULL writes nothing. */
void log_text(struct log_line *line, enum log_field field, struct span value);
void log_string(struct log_line *line, enum log_field field, const char *value);
void log_int(struct log_line *line, enum log_field field, int64_t value);
void log_bool(struct log_line *line, enum log_field field, bool value);
void log_msec(struct log_line *line, enum log_field field, int64_t usec);
void log_list(
	struct log_line *line, enum log_field field, const struct span *values, unsigned count);
/* Finish the line without sending it anywhere; valid until the buf is touched. */
struct span log_finish(struct log_line *line);
/* Finish the line and put it into the row's ring.  False: dropped (and counted). */
bool log_end(struct log_line *line, struct board *board, int row);

const char *log_field_name(enum log_field field);
const char *log_event_name(enum log_event event);
/* Markdown tables of all events and fields, for docs/log.md. */
void log_reference(struct buf *into);

#endif
