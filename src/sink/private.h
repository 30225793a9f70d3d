/*
 * What the files of the sink share.
 *
 *     session.c   octets in:  net_stream -> smtp_server -> events
 *     step.c      each event is a step, or several: think, then act: the fault, or the answer
 *     out.c       octets out, late if the line is long; and the end of a session
 *     sink.c      the house: listening, the limit, commits, the dead
 */
#ifndef SINK_PRIVATE_H
#define SINK_PRIVATE_H

#include <sys/queue.h>

#include "sink/ledger.h"
#include "sink/sink.h"
#include "smtp/server.h"

/* What a session is about to answer. */
struct step {
	enum fault_phase phase;
	enum smtp_verb verb; /* BDAT: of a chunk */
	unsigned slot;
	bool last;           /* END: the message is complete; DATA with BDAT: END comes next */
	enum smtp_flaw flaw; /* END */
	uint64_t size;       /* MAIL: SIZE= */
	uint32_t needs;      /* MAIL, RCPT, BDAT: extensions */
};

struct late;

struct session {
	LIST_ENTRY(session) next;
	struct sink *sink;
	uint64_t number;
	struct net_stream *stream; /* NULL: ended, waits for the reaper */
	struct smtp_server *smtp;

	/* session.c */
	struct chunk *input; /* NULL: nothing unread */
	uint32_t eaten;      /* octets of `input` */
	bool in_data;        /* the body is one of DATA, not of BDAT */
	bool body_begun, data_asked;
	bool finished; /* a message was answered; for the idle fault */
	bool choked;   /* the client doesn't read its replies */
	const struct fault *body_fault, *idle_fault;
	struct net_timer idle;
	struct sink_mail mail;

	/* step.c */
	struct step step;
	struct buf about;          /* the addresses that the step is about */
	struct buf said;           /* END: the reply that COMMIT will give */
	const struct fault *extra; /* behind the next answer */
	struct net_timer think;
	bool thinking, stalled;

	/* out.c */
	struct chain out; /* to be sent at the end of this go */
	STAILQ_HEAD(, late) late;
	struct net_timer late_due;
	bool ending;
	enum net_close ending_how;
};
LIST_HEAD(sessions, session);

struct sink {
	struct net_loop *loop;
	char *name, *write_dir;
	struct smtp_offer offer;
	bool lax;
	int ledger; /* -1: none */
	struct net_listener *listeners[SINK_LISTENERS];
	int listener_count;
	struct rng rng;
	struct faults faults;
	struct sink_totals own_totals, *totals;
	uint64_t number; /* of the last message */
	struct sessions open, dead;
	struct net_timer reaper;
};

/* ---- sink.c ---- */
/* Write the session's message down.  False: it can't be, and must not be accepted. */
bool sink_commit(struct sink *sink, const struct session *session);
void sink_bury(struct sink *sink, struct session *session);

/* ---- session.c ---- */
struct session *sink_session_new(struct sink *sink, struct sys_sock *sock);
void sink_session_greet(struct session *session);
void sink_session_free(struct session *session);
void sink_session_forget_faults(struct session *session);
/* Go on with what was read, and read on. */
void sink_session_resume(struct session *session);

/* ---- step.c ---- */
void step_begin(struct session *session, const struct step *step);
/* Act out a fault other than reply and slow, where nobody waits for an answer: body, idle. */
void step_interrupt(struct session *session, const struct fault *fault);

/* ---- out.c ---- */
void sink_session_out_init(struct session *session);
void sink_session_out_clear(struct session *session);
void sink_session_say(
	struct session *session, struct span octets); /* with the next sink_session_send() */
void sink_session_send(struct session *session);
/* What was said is still sent first, but with NET_CLOSE_NOW. */
void sink_session_end(struct session *session, enum net_close how);

#endif
