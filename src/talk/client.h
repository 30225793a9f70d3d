/*
 * A conversation with a server: smtp_client on a stream, with a time-out per phase.  Connects
 * (each address in turn until one answers), reads the banner, says EHLO, and is ready.
 *
 *     owner --- talk_client --- net_stream --- server
 *
 * While nothing is outstanding it watches: a server that closes, or says anything unasked, ends
 * the conversation (CLOSE_STALE / CLOSE_POISONED).
 */
#ifndef TALK_CLIENT_H
#define TALK_CLIENT_H

#include "net/net.h"
#include "smtp/client.h"
#include "talk/close.h"

struct talk_client;

/* How it ended. */
struct talk_end {
	enum talk_close why;
	enum smtp_phase phase; /* what was outstanding; MAIL if nothing was after the greeting */
	enum smtp_fate fate;
	bool answered;           /* some reply came in since talk_client_mark() */
	struct smtp_reply reply; /* GREETING_REFUSED: banner's or EHLO's; valid during the call */
	char text[160];          /* for people: "connect to 10.0.0.1:25: Connection refused" */
};

struct talk_client_ops {
	/* EHLO was answered: talk_client_offer() is known.  Once. */
	void (*greeted)(void *arg);
	/* A reply to something the owner sent.  event->reply is valid during the call. */
	void (*reply)(void *arg, const struct smtp_client_event *event);
	/* Over.  No callback comes after; the owner frees it, now or later. */
	void (*ended)(void *arg, const struct talk_end *end);
	/* Unsent bytes fell below the low mark.  May be NULL. */
	void (*drained)(void *arg);
};

struct talk_client_times {
	int64_t connect, banner, ehlo, mail, rcpt, data, block, end, quit;
};
/* RFC 5321 4.5.3.2 and the commit rule: connect 5 s, banner 10 s, EHLO 10 s, MAIL 30 s, RCPT 30 s,
 * DATA 120 s, block 180 s, end 600 s, QUIT 5 s. */
extern const struct talk_client_times talk_client_default_times;

struct talk_client_setup {
	const struct addr *addr; /* with ports; tried in this order; copied */
	unsigned addr_count;
	struct addr from;     /* ADDR_NONE: the kernel chooses */
	const char *hostname; /* said in EHLO; lives longer than the conversation */
	const struct talk_client_times *times; /* likewise */
};

/* Never fails: ended() tells, from a later turn. */
struct talk_client *talk_client_new(struct net_loop *loop, const struct talk_client_setup *setup,
	const struct talk_client_ops *ops, void *arg);
void talk_client_hand_over(struct talk_client *talk, const struct talk_client_ops *ops, void *arg);
/* To queue commands and body on; then talk_client_go().  Greeted only.  What is queued inside a
 * callback leaves after it. */
struct smtp_client *talk_client_smtp(struct talk_client *talk);
void talk_client_go(struct talk_client *talk);
void talk_client_mark(struct talk_client *talk); /* a transaction begins: resets `answered` */
const struct smtp_offer *talk_client_offer(const struct talk_client *talk);
const struct addr *talk_client_peer(const struct talk_client *talk);
size_t talk_client_unsent(const struct talk_client *talk); /* without smtp_client_held() */
bool talk_client_clean(
	const struct talk_client *talk); /* greeted, nothing outstanding, unsent or unread */
/* Everything is answered, and yet there are bytes: STALE if they say good-bye, else POISONED. */
bool talk_client_unasked(const struct talk_client *talk, enum talk_close *why_r);
/* Microseconds it took to connect, and from there to EHLO's answer. */
int64_t talk_client_time_connect(const struct talk_client *talk);
int64_t talk_client_time_greeting(const struct talk_client *talk);
/* Say QUIT, wait for its answer (at most times.quit), close; ended(CLOSE_QUIT) follows.  One that
 * isn't clean is closed at once. */
void talk_client_quit(struct talk_client *talk);
void talk_client_free(struct talk_client **talk); /* closes at once if open */

#endif
