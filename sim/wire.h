/*
 * Connections of the simulated network.  An end belongs either to an actor (a client or server of
 * the world, told by callbacks) or to a process of the product (through the second body of sys).
 *
 *     end A  --send--> [in flight, in segments] --arrives--> [inbox] --read--> end B
 *              <---------------------------- the same -----------------------
 *
 * Octets in flight and unread together stay within the receiver's window, as with TCP.  A close
 * with unread octets is a reset, as with Linux.
 */
#ifndef SIM_WIRE_H
#define SIM_WIRE_H

#include "base/addr.h"
#include "sim/world.h"

struct wire_net; /* all addresses and connections of a world */
struct wire_end;
struct wire_listener;

/* How an actor is told.  Any may be NULL.  A callback may send, close, and forget its end. */
struct wire_ops {
	void (*opened)(void *arg);             /* our wire_connect() was accepted */
	void (*failed)(void *arg, int number); /* it was not; the end is gone */
	void (*heard)(void *arg);              /* wire_heard() has more */
	void (*finished)(void *arg);           /* the peer's FIN, after all it sent was heard */
	void (*reset)(void *arg);              /* the connection is gone, and so is the end */
};

struct wire_net *wire_net_new(struct world *world);
void wire_net_free(struct wire_net **net);

/* ---- actors ---- */

/* `who` is for the trace and is copied. */
struct wire_end *wire_connect(struct wire_net *net, const struct addr *to, const struct addr *from,
	const char *who, const struct wire_ops *ops, void *arg);
/* What a server's side looks like to who connects; asked at each connection. */
enum wire_answer { WIRE_ACCEPTS, WIRE_REFUSES, WIRE_SILENT };
struct wire_server_ops {
	enum wire_answer (*asked)(void *arg);
	/* A connection came: set its owner by wire_own() at once; it may be sent to at once. */
	void (*accepted)(void *arg, struct wire_end *end, const struct addr *peer);
};
/* `ops` NULL: a listening socket of the house, with a queue of 512; see struct sim_box. */
struct wire_listener *wire_listen(
	struct wire_net *net, const struct addr *at, const struct wire_server_ops *ops, void *arg);
void wire_unlisten(struct wire_listener **listener);
void wire_own(struct wire_end *end, const char *who, const struct wire_ops *ops, void *arg);

/* Takes all: what the window doesn't let out waits in the end. */
void wire_send(struct wire_end *end, struct span bytes);
/* Octets of wire_send() that have not arrived in the peer's inbox yet. */
size_t wire_unsent(const struct wire_end *end);
/* What has arrived and was not eaten.  Valid until the next call for this end. */
struct span wire_heard(const struct wire_end *end);
void wire_eat(struct wire_end *end, size_t len); /* opens the window */
void wire_finish(struct wire_end *end);          /* FIN, after what was sent */
/* As close(): FIN (after what was sent), or a reset if something is unread; `reset`: now, and
 * what has not left is lost.  The end is gone for its owner; sets it to NULL. */
void wire_close(struct wire_end **end, bool reset);

/* ---- what the second body of sys needs ---- */

/* Ends that processes hold, accept and connect: see wire_inside.h and sys_sock.c. */

/* ---- for the sweep ---- */
unsigned wire_ends_open(const struct wire_net *net);
/* Connections that processes of the product hold open to this address (connecting ones too). */
unsigned wire_open_to(const struct wire_net *net, const struct addr *to);

#endif
