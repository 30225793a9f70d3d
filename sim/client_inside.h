/*
 * What the files of the client share.
 *
 *     client.c         its life: messages, sessions, retries
 *     client_pace.c    octets out and in, at its pace; its patience
 *     client_script.c  what it says: envelopes and bodies, in as many ways as SMTP has
 *     client_prank.c   what it should not say
 *     client_read.c    what it hears, and whether that may be
 *
 *     script --say--> out --pace--> wire            each command leaves an `ask` behind:
 *        ^             asks: | MAIL | RCPT | DATA |     its reply pops the oldest
 *        '--- all answered <--- read <--- wire
 */
#ifndef SIM_CLIENT_INSIDE_H
#define SIM_CLIENT_INSIDE_H

#include "sim/actor.h"

enum {
	CLIENT_JOBS = 12, /* messages that it tries to deliver at a time */
	CLIENT_CALM_TRIES = 8,
};

/* A message on its way. */
struct job {
	const struct mail *mail; /* NULL: no job */
	unsigned attempt;        /* in flight; 0: none */
	unsigned yes, for_good;  /* recipients of the attempt: told 2xx, told 5xx */
	unsigned answered;
	unsigned calm_tries; /* failed in the calm */
	bool judged;         /* the attempt's verdict is known */
	bool accepted, refused;
	bool tricked; /* the attempt is of a trick: it says nothing about the message */
	bool plain;   /* it is made by a plain session in the calm */
	int64_t next_try;
};

/* A command without its reply. */
struct ask {
	enum ask_kind {
		ASK_BANNER,
		ASK_HELLO,
		ASK_MAIL,
		ASK_RCPT,
		ASK_DATA,
		ASK_CHUNK,
		ASK_END,
		ASK_RSET,
		ASK_QUIT,
		ASK_OTHER,
	} kind;
	uint16_t want; /* this code and no other (but 421); 0: what is legal for the kind */
	bool closes;   /* the other side ends the session with this reply */
	struct job *job;
	unsigned index; /* of the recipient */
	uint64_t end;   /* behind its last octet in the stream */
	int64_t since;  /* when that left; 0: it has not */
};

enum trick {
	TRICK_NONE,
	TRICK_SMUGGLE,
	TRICK_OVER_SIZE,     /* sends too much */
	TRICK_OVER_DECLARED, /* says that it will */
	TRICK_EARLY_BODY,
	TRICK_RSET,
	TRICK_BAD_BDAT,
};

enum prank {
	PRANK_NONE,
	PRANK_HTTP,
	PRANK_FLOOD,
	PRANK_EARLY_MAIL, /* MAIL in one write with EHLO */
	PRANK_BAD_BDAT,
};

/* What a session is like, drawn when it begins. */
struct manner {
	bool plain; /* born in the calm: no faults at all */
	bool quiet; /* nothing on the way can make it late: replies have their bounds */
	bool pipelines, bdat, bdat_pipelined, dribbles, slow_reader, half_closes, lies_size;
	bool bad_command, bad_order, helo;
	enum trick trick;
	enum prank prank;
	int64_t impatient; /* waits so long for a reply; 0: as long as it takes */
	enum { CUT_NONE, CUT_VANISH, CUT_RESET, CUT_STALL } cut;
	uint64_t cut_at; /* at this octet of the session */
	unsigned messages;
};

/* The transaction that is being said. */
struct deal {
	struct job *job;
	enum trick trick;
	bool bdat, all_at_once;
	unsigned asked;       /* recipients */
	struct span body;     /* of the job, or `fake` */
	size_t body_at;       /* chunks: so far */
	unsigned reset_after; /* recipients, TRICK_RSET */
};

enum stage {
	STAGE_GREETING,
	STAGE_HELLO,
	STAGE_READY,
	STAGE_ENVELOPE,
	STAGE_CHUNKS,
	STAGE_OVER,    /* the transaction is; `needs_rset` says whether the other side knows */
	STAGE_LEAVING, /* QUIT was said, or 421 heard: only the end is awaited */
};

struct sim_client {
	struct sim_client_setup set;
	struct world *world;
	struct rng rng;
	char who[24];
	struct job job[CLIENT_JOBS];
	unsigned made, settled; /* messages */
	uint64_t sessions;
	unsigned calm_failures; /* sessions in a row in which nothing could be tried */

	/* the session */
	struct wire_end *end; /* NULL: none */
	struct manner manner;
	enum stage stage;
	struct deal deal;
	bool pipelining, chunking, eightbit;
	uint64_t size; /* as offered; 0: not */
	bool has_size;
	bool finished, half_closed, loose, tried;
	bool needs_rset, go_ahead; /* RSET is owed; 354 was heard */
	unsigned messages, noises, step;
	struct buf out, in, fake;
	size_t out_at; /* of `out`: given to the wire */
	size_t most;   /* octets at a time of a dribble */
	uint64_t said, sent;
	int64_t last_sent, last_heard, began;
	struct ask *ask;
	size_t asks, ask_head, ask_room, unsent; /* `unsent`: the first that has not left */

	struct world_timer pace, reader, patience, rest;
};

/* ---- client_pace.c ---- */
extern const struct wire_ops client_wire_ops;
/* What was said may leave now. */
void client_flush(struct sim_client *client);
/* A session begins: its patience too. */
void client_watch(struct sim_client *client);
/* The next thing said has a reply. */
struct ask *client_expect(struct sim_client *client, enum ask_kind kind);
void client_drop_asks(struct sim_client *client);

/* ---- client.c ---- */
/* The connection ends here; attempts in flight are in doubt, or not. */
void client_hang_up(struct sim_client *client, bool reset);
/* The same when the end is gone by itself. */
void client_session_over(struct sim_client *client);
/* The attempt's last word; once. */
void client_verdict(struct sim_client *client, struct job *job, unsigned code, struct span text);
/* Nothing more of the attempt is to come: settle the job, or try later. */
void client_job_over(struct sim_client *client, struct job *job);
/* The session is in its last stage. */
void client_leave(struct sim_client *client);
/* When a message can be tried; 0: a new one at any time; NEVER: none is left. */
int64_t client_next_try(const struct sim_client *client);
/* Until then nothing is to be done. */
void client_rest(struct sim_client *client, int64_t until);

/* ---- client_script.c ---- */
/* All is answered: say what comes next. */
void client_go(struct sim_client *client);
void client_quit(struct sim_client *client);
/* A command line of its own; the ask stands for its reply. */
struct ask *client_say(struct sim_client *client, enum ask_kind kind, const char *format, ...)
	PRINTF_LIKE(3, 4);

/* ---- client_prank.c ---- */
/* Something wrong or idle between commands; true: said. */
bool client_noise(struct sim_client *client);
bool client_prank(struct sim_client *client); /* true: said; false: it is over */
struct span client_fake_body(struct sim_client *client, struct job *job, enum trick trick);
void client_bad_bdat(struct sim_client *client);

/* ---- client_read.c ---- */
struct reply {
	unsigned code;
	struct span wire, text; /* `text`: of the first line, behind the code */
};
void client_read(struct sim_client *client);
void client_heard_reply(struct sim_client *client, const struct reply *reply);
/* How long the reply to `ask` may take. */
int64_t client_bound(const struct sim_client *client, const struct ask *ask);
const char *client_ask_name(enum ask_kind kind);

#endif
