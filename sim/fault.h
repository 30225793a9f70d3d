/*
 * What can go wrong in a world, by name.  A scene gives each kind a rate; the world counts how
 * often each happened; whoever shrinks a failure turns kinds off until it goes away.
 */
#ifndef SIM_FAULT_H
#define SIM_FAULT_H

/* clang-format off */
#define SIM_FAULTS(X)                                                                              \
	/* ---- the network, rolled per connection, or per write where it says so ---- */          \
	X(segments, "bytes arrive in segments of random length")                                   \
	X(octets, "bytes arrive one by one")                                                       \
	X(small_window, "the peer's window is a few octets")                                       \
	X(short_write, "a write takes less than there is room for (per write)")                    \
	X(delays, "segments are late by up to a second")                                           \
	X(long_stall, "a segment is late by up to 15 minutes (per write)")                         \
	X(network_reset, "the connection is reset at some octet")                                  \
	X(reset_eats, "a reset throws away what was not read yet")                                 \
	X(spurious, "events that nobody promised (per turn)")                                      \
	/* ---- clients ---- */                                                                    \
	X(client_pipelines, "sends MAIL, RCPT, DATA in one write")                                 \
	X(client_bdat, "sends BDAT")                                                               \
	X(client_bdat_pipelined, "sends the envelope and all chunks in one write")                 \
	X(client_dribbles, "sends octet by octet, with pauses")                                    \
	X(client_slow_reader, "reads seldom and little")                                           \
	X(client_vanishes, "closes at some octet")                                                 \
	X(client_resets, "resets at some octet")                                                   \
	X(client_half_closes, "sends FIN after its last command and reads on")                     \
	X(client_impatient, "closes when a reply takes 5 to 30 s, and tries again")                \
	X(client_lies_size, "declares another SIZE than it sends")                                 \
	X(client_over_size, "sends more than max-size")                                            \
	X(client_smuggles, "has bare CR, LF, NUL or a false end of data in its body")              \
	X(client_bad_command, "sends nonsense between")                                            \
	X(client_bad_order, "sends commands out of order")                                         \
	X(client_bad_bdat, "sends a malformed or oversized BDAT")                                  \
	X(client_floods, "sends hundreds of NOOPs")                                                \
	X(client_rset, "gives a transaction up by RSET")                                           \
	X(client_many_recipients, "sends up to 150 recipients")                                    \
	X(client_large, "sends a body of up to 300 kB")                                            \
	X(client_stalls, "stops inside a command or body for good")                                \
	X(client_http, "speaks HTTP or TLS")                                                       \
	X(client_early_body, "sends the body before 354")                                          \
	/* ---- servers, rolled per connection ---- */                                             \
	X(server_refuses_connection, "connection refused")                                         \
	X(server_silent_connect, "the SYN is never answered")                                      \
	X(server_closes_at_once, "accepts and closes")                                             \
	X(server_banner_bad, "a banner of 4xx, 5xx or nonsense")                                   \
	X(server_banner_slow, "a banner after 1 s to 10 min, or never")                            \
	X(server_ehlo_bad, "EHLO is refused, or answered with nonsense")                           \
	X(server_too_many, "421 too many connections from you")                                    \
	X(server_idle_close, "closes when idle")                                                   \
	X(server_idle_421, "says 421 and closes when idle")                                        \
	X(server_unasked, "a reply that nobody asked for, when idle")                              \
	/* ---- servers, rolled per command ---- */                                                \
	X(server_mail_refused, "4xx or 5xx to MAIL")                                               \
	X(server_mail_trouble, "451 or 452 4.3.1 to MAIL")                                         \
	X(server_rcpt_refused, "450, 550 or 452 to a RCPT")                                        \
	X(server_rcpt_trouble, "451 without a code, or 4.3.x, to a RCPT")                          \
	X(server_rcpt_limit, "452 from the 101st RCPT on")                                         \
	X(server_conduct, "500 to 504, 530 or 555 to MAIL, RCPT or DATA")                          \
	X(server_421, "421 and a close at some command")                                           \
	X(server_closes, "a close at some command, in the body, or inside a reply")                \
	X(server_resets, "a reset there")                                                          \
	X(server_stalls, "no answer for 1 s to 20 min, or never")                                  \
	X(server_slow, "answers after up to 3 s")                                                  \
	X(server_malformed, "a reply with two codes, no digits, or no CRLF")                       \
	X(server_long_line, "a reply line of 600 octets to 1 MB")                                  \
	X(server_extra_reply, "one reply more than asked, with it or behind it")                   \
	X(server_multiline, "a reply of many lines")                                               \
	X(server_splits_reply, "a reply in several writes with pauses")                            \
	/* ---- servers, in a body ---- */                                                         \
	X(server_data_refused, "4xx or 5xx to DATA")                                               \
	X(server_chunk_refused, "4xx or 5xx to a chunk that is not the last")                      \
	X(server_early_reply, "4xx or 5xx inside the body")                                        \
	X(server_early_yes, "2xx before the end of data")                                          \
	X(server_354_closes, "354, then a close")                                                  \
	X(server_stops_reading, "stops reading in the body for a while, or for good")              \
	X(server_end_refused, "4xx or 5xx after the end, about the message")                       \
	X(server_end_trouble, "4xx after the end, about itself")                                   \
	X(server_end_lost, "takes the message and closes without a reply")                         \
	X(server_end_dropped, "closes after the end without having taken the message")             \
	X(server_end_late, "takes the message and answers after 1 s to 20 min")                    \
	/* ---- the house ---- */                                                                  \
	X(kill_worker, "a worker dies between two turns")                                          \
	X(kill_control, "control dies between two turns")                                          \
	X(kill_at_point, "a process dies inside a board operation or at a sys call")               \
	X(stop_process, "a process stands still for up to 30 s")                                   \
	X(reload, "a reload with the same or a changed config")                                    \
	X(drain_by_hand, "a server is drained by hand, and later undrained")                       \
	X(log_full, "the log's disk is full for a while")                                          \
	X(state_full, "the state's disk is full")                                                  \
	X(name_fails, "a look-up fails or times out")                                              \
	X(name_moves, "a name gets another address")                                               \
	X(no_descriptors, "opening or accepting fails for want of descriptors")
/* clang-format on */

enum sim_fault {
#define X(name, text) FAULT_##name,
	SIM_FAULTS(X)
#undef X
		FAULTS
};

const char *fault_name(enum sim_fault fault); /* "server_end_lost" */
const char *fault_text(enum sim_fault fault);
enum sim_fault fault_by_name(const char *name); /* FAULTS: no such */

#endif
