/*
 * What tests need inside the product: defects planted on purpose, and points at which a simulated
 * process may die.
 *
 * Only a build with -Dtesting=true has them.  In any other PLANTED() is the constant false and
 * KILL_POINT() is nothing: nobody can switch on what isn't there (tools/check-plants looks).
 */
#ifndef BASE_TESTING_H
#define BASE_TESTING_H

#include <stdbool.h>

/*
 * A suite that can't fail proves nothing: each of these is a mistake that somebody could have made,
 * and the simulator must find it.  To come with TLS: plaintext kept over STARTTLS.
 */
/* clang-format off */
#define TESTING_PLANTS(X)                                                                          \
	X(early_250, "250 as soon as the end of data is with the kernel")                          \
	X(shortcut_421, "an ambiguous end is told as a definite 451")                              \
	X(replay_after_end, "a message whose end went unanswered is offered elsewhere")            \
	X(gap_not_counted, "a message that is ended and unanswered is not counted as such")        \
	X(needless_doubt, "a server's yes to a message for several is told as doubtful")           \
	X(counted_twice, "a message that was accepted is counted as two")                          \
	X(counted_ambiguous, "a message that was accepted is counted as ambiguous")                \
	X(end_before_rcpt, "in a replay the end of data doesn't wait for every RCPT's reply")      \
	X(recipient_added, "in a replay a refused recipient is offered again")                     \
	X(unheard_reset, "a transaction that was given up is not cleared by RSET")                 \
	X(crossed_reply, "RSET's reply is taken for that to the next client's MAIL")               \
	X(poisoned_reused, "a connection with an unasked reply is lent again")                     \
	X(end_at_lf_dot_lf, "LF.LF ends the data")                                                 \
	X(dot_not_stuffed, "no dot is doubled at the beginning of a piece")                        \
	X(dropped_byte, "the last octet of a buffer filled to its end is lost")                    \
	X(shared_tail, "what is sent is written behind what somebody else still reads")            \
	X(lost_wakeup, "reading isn't resumed when the body may flow again")                       \
	X(lost_place_wakeup, "a place that is given back is offered to nobody")                    \
	X(timer_leak, "the session of a client that resets never ends")                            \
	X(claim_not_returned, "a connection that never carried a message keeps its place")         \
	X(limit_off_by_one, "one connection over max-connections")                                 \
	X(recipients_unlimited, "max-recipients is forgotten")                                     \
	X(connection_overused, "messages-per-connection is forgotten")                             \
	X(no_backpressure, "a client is read however much waits for the server")                   \
	X(row_not_buried, "a process that dies keeps its places and gauges")                       \
	X(verdict_lost_on_reload, "a new control takes every server for up")                       \
	X(log_line_torn, "a log line is shown before it is copied")
/* clang-format on */

enum plant {
	PLANT_NONE,
#define X(name, text) PLANT_##name,
	TESTING_PLANTS(X)
#undef X
		PLANT_COUNT
};

#ifdef MAILWEIR_TESTING

struct testing {
	enum plant plant; /* the defect that is there */
	/* NULL: nobody dies.  It may longjmp away, and nothing of the process goes on. */
	void (*kill_point)(const char *where);
	void (*died)(void); /* die() calls it instead of aborting, if it doesn't return */
};
extern struct testing testing;

void testing_kill_point(const char *where);
void testing_died(void);

#define PLANTED(name)     (testing.plant == PLANT_##name)
#define KILL_POINT(where) testing_kill_point(where)
#define DIED()            testing_died()

#else

#define PLANTED(name)     (PLANT_##name == PLANT_NONE) /* false, and the name is a real one */
#define KILL_POINT(where) ((void)0)
#define DIED()            ((void)0)

#endif

#endif
