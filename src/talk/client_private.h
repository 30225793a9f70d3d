/*
 * What the files of talk_client share.
 *
 *     client.c       from READY on: what the owner asks, what the server answers, how it ends
 *     client_greet.c CONNECT and GREET
 *     client_wait.c  which time-out runs
 *
 *     CONNECT --connected--> GREET --EHLO answered--> READY --talk_client_quit()--> QUIT
 *        |  ^ next address     |                        |                            |
 *        `--+------------------+----- talk_end() -------+----------------------------'--> OVER
 */
#ifndef TALK_CLIENT_PRIVATE_H
#define TALK_CLIENT_PRIVATE_H

#include "talk/client.h"
#include "talk/input.h"

/* A failed write is told before the reply that the server may have left behind; so long it has. */
#define LAST_WORDS (100 * MSEC)

enum talk_stage { STAGE_CONNECT, STAGE_GREET, STAGE_READY, STAGE_QUIT, STAGE_OVER };

struct talk_client {
	struct net_loop *loop;
	struct net_stream *stream; /* NULL: between two addresses, or over */
	struct smtp_client *smtp;
	const struct talk_client_ops *ops;
	void *arg;
	struct talk_input in;

	struct addr *addr;
	unsigned addr_count, addr_at;
	struct addr from;
	const char *hostname;
	const struct talk_client_times *times;

	struct smtp_offer offer;
	bool hello; /* EHLO was said */
	bool helo;  /* EHLO was refused, HELO was said */
	int64_t time_connect, time_greeting;
	int64_t began; /* this connect, or from connected on the greeting; by sys_clock() */

	enum talk_stage stage;
	struct net_timer timer, kick;
	int64_t since;    /* the oldest outstanding command became that */
	int64_t progress; /* the kernel last took something, or was first offered it */
	int64_t leave_by; /* QUIT: when patience ends */

	unsigned asked; /* outstanding commands that were given to the stream, not only queued */
	bool unheard;   /* and nothing of them has gone to the kernel, nor anything before them */
	bool body_open; /* 354 was read and the end of data isn't queued */
	bool answered;
	bool busy;       /* inside a callback from the net */
	bool freed;      /* by the owner, while busy */
	bool eof;        /* no more comes from the server */
	bool failed;     /* and that was an error of the socket */
	bool unwritable; /* writing has failed: what came before may still be read */
};

/* ---- client.c ---- */
extern const struct net_stream_ops talk_stream_ops;
/* Over: tell the owner, unless it has freed the talk.  `reply` may be NULL. */
void talk_end(struct talk_client *talk, enum talk_close why, const struct smtp_reply *reply,
	const char *format, ...) PRINTF_LIKE(4, 5);
/* The server has spoken without being asked; it has closed, or the socket failed. */
void talk_end_unasked(struct talk_client *talk);
void talk_end_closed(struct talk_client *talk);
/* Give what SMTP has ready to the stream. */
void talk_push(struct talk_client *talk);

/* ---- client_greet.c ---- */
void talk_connect(struct talk_client *talk);
void talk_connect_next(struct talk_client *talk, enum talk_close why, const char *failure);
void talk_connected(struct talk_client *talk, int err);
/* The banner, or the answer to EHLO or HELO. */
void talk_greet(struct talk_client *talk, const struct smtp_client_event *event);

/* ---- client_wait.c ---- */
/* When the wait that runs now ends; NEVER if nothing is waited for. */
int64_t talk_wait_due(const struct talk_client *talk);
void talk_waited_enough(struct talk_client *talk);

#endif
