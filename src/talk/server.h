/*
 * A conversation with a client: smtp_server on a stream, with its time-outs.
 *
 *     client --- net_stream --- talk_server --- ops ---> owner (relay's session, the sink)
 *
 * Holds no buffer while idle.  Reads only while the owner keeps up: it stops by itself while
 * replies are unsent or SMTP waits for an answer, and when told to by talk_server_pause().
 */
#ifndef TALK_SERVER_H
#define TALK_SERVER_H

#include "net/net.h"
#include "smtp/server.h"
#include "talk/close.h"

struct talk_server;

struct talk_server_ops {
	/* A command to be answered by smtp_server_reply()/own() of talk_server_smtp(), now or
	 * later, then talk_server_go(). The command's spans are valid during the call. */
	void (*command)(void *arg, const struct smtp_command *command, unsigned slot);
	/* A command that was answered without the owner; for counting.  May be NULL. */
	void (*answered)(void *arg, enum smtp_own own);
	/* A piece of the body: take a reference to keep it. */
	void (*body)(void *arg, struct chunk *chunk, size_t at, size_t len);
	/* The body has a flaw: no further piece comes; its body_end does. */
	void (*flaw)(void *arg, enum smtp_flaw flaw);
	/* End of data or of a chunk: answer the slot. */
	void (*body_end)(void *arg, unsigned slot, bool last, enum smtp_flaw flaw);
	/* The client has closed its half, and everything it sent before was delivered; or hung up
	 * while reading was paused (then bytes may be left, which nobody will read). Once; always
	 * PEER_CLOSED, for a reset is closed(RESET).
	 * The owner finishes what has ended and calls talk_server_close(). */
	void (*hangup)(void *arg, enum talk_close why);
	/* Over, and not by talk_server_close(): QUIT, time-out, broken protocol, RESET, or LIMIT
	 * when the owner itself answered a slot by 421.  Also after hangup().  The owner frees it
	 * with talk_server_free(), now or later; no callback comes after. */
	void (*closed)(void *arg, enum talk_close why);
	/* Every reply given so far has gone to the kernel; comes before closed(QUIT) too. May be
	 * NULL. */
	void (*written)(void *arg);
};

struct talk_server_times {
	int64_t command; /* for a whole command line, and to wait for one */
	int64_t body;    /* without a byte of the body */
	uint32_t rate;   /* least octets a second over the body, after the first `command` time; 0:
			    none */
};

/* `sock` is taken over.  The banner is sent at once.  `rules` and `times` are copied; `hostname`
 * lives longer than the conversation. */
struct talk_server *talk_server_new(struct net_loop *loop, struct sys_sock *sock,
	const char *hostname, const struct smtp_server_rules *rules,
	const struct talk_server_times *times, const struct talk_server_ops *ops, void *arg);
/* The same on a stream whose beginning another owner has read; to be called where that owner may
 * hand it over. */
struct talk_server *talk_server_take(struct net_loop *loop, struct net_stream *stream,
	const char *hostname, const struct smtp_server_rules *rules,
	const struct talk_server_times *times, const struct talk_server_ops *ops, void *arg);
/* What that owner read too much: the chunk's bytes from `at` on come before all others.  The
 * reference is moved.  Once, before a callback has come. */
void talk_server_unread(struct talk_server *talk, struct chunk **chunk, size_t at);
struct smtp_server *talk_server_smtp(struct talk_server *talk);
void talk_server_go(struct talk_server *talk); /* replies were given: send them, read on */
/* Hand what was replied to the kernel now, not at the turn's end. */
void talk_server_flush(struct talk_server *talk);
void talk_server_pause(struct talk_server *talk, bool paused);
bool talk_server_gone(const struct talk_server *talk); /* hung up or closed: nobody hears us */
size_t talk_server_unsent(const struct talk_server *talk);
/* End it: what was replied is still sent (lingering), then closed. With `own` (not
 * SMTP_OWN_COUNT) that reply is the last one.  No callback after. */
void talk_server_close(struct talk_server *talk, enum smtp_own own);
void talk_server_free(struct talk_server **talk); /* closes if open */

#endif
