/*
 * The second body of sys: sockets.
 *
 * An event is due when a call that has said IO_AGAIN would say something else now (`wants`), or
 * when there is news that is told once whatever was asked (`edge`): FIN, reset, the end of
 * connecting.  No other event comes, but those that FAULT_spurious makes up.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sim/sys_inside.h"

/* ---- events ---- */

static unsigned ready_of(const struct sys_sock *sock)
{
	const struct wire_end *end = sock->end;
	unsigned ready = sock->edge;
	if (!end) {
		const struct wire_listener *listener = sock->poller.listener;
		bool offered = sock->poller.offered && listener && listener->waiting > 0;
		return offered ? SYS_READ : ready;
	}
	if (end->pair->phase != WIRE_OPEN && end == &end->pair->end[0])
		return ready;
	if ((sock->wants & SYS_READ) && wire_octets_len(&end->inbox) > 0)
		ready |= SYS_READ;
	if ((sock->wants & SYS_WRITE) && !end->reset_heard && wire_room_is_worth_it(end))
		ready |= SYS_WRITE;
	return ready;
}

unsigned sim_sock_ready(const struct sys_sock *sock)
{
	return ready_of(sock) | sock->stray;
}

static void sock_look(struct sys_sock *sock)
{
	if (!sim_sock_ready(sock))
		return;
	if (!sock->stirred)
		TAILQ_INSERT_TAIL(&sock->sys->stirred, sock, stirred_next);
	sock->stirred = true;
	sim_notify(sock->sys);
}

static void sock_unstir(struct sys_sock *sock)
{
	if (sock->stirred)
		TAILQ_REMOVE(&sock->sys->stirred, sock, stirred_next);
	sock->stirred = false;
}

static void sock_stir(void *arg, unsigned what)
{
	struct sys_sock *sock = arg;
	if (what & WIRE_STIR_OPEN) {
		sock->edge |= SYS_WRITE;
		if (sock->end->pair->phase == WIRE_FAILED) {
			sock->failure = sock->end->pair->failure;
			sock->edge |= SYS_READ | SYS_HANGUP;
		}
	}
	if (what & WIRE_STIR_FIN)
		sock->edge |= SYS_READ | SYS_HANGUP;
	if (what & WIRE_STIR_RESET) {
		/* As Linux has it: a reset after their FIN is told as a broken pipe. */
		sock->failure = sock->end->fin_heard ? EPIPE : ECONNRESET;
		sock->edge |= SYS_READ | SYS_WRITE | SYS_HANGUP;
	}
	sock_look(sock);
}

static void want(struct sys_sock *sock, unsigned what)
{
	sock->wants |= what;
	if ((what & SYS_WRITE) && sock->end)
		sock->end->lane.blocked = true;
	sock_look(sock);
}

/* Events of chance: to anybody, of anything but a hangup, which is the peer's doing. */
static void stray_events(struct sys *sys)
{
	struct rng *rng = &sys->luck;
	unsigned all = 0;
	struct sys_sock *sock;
	if (!world_fault(sys->world, rng, FAULT_spurious))
		return;
	LIST_FOREACH (sock, &sys->socks, next)
		all++;
	for (int64_t left = rng_between(rng, 1, 3); left > 0 && all > 0; left--) {
		uint64_t skip = rng_below(rng, all);
		LIST_FOREACH (sock, &sys->socks, next) {
			if (skip-- == 0)
				break;
		}
		sock->stray |= sock->end ? (unsigned)rng_between(rng, 1, 3) : SYS_READ;
		sock_look(sock);
	}
}

/* A listener is level-triggered: a turn that comes anyway may find what another was offered. */
static void look_at_listeners(struct sys *sys)
{
	struct sys_sock *sock;
	LIST_FOREACH (sock, &sys->socks, next) {
		const struct wire_listener *listener = sock->poller.listener;
		if (!sock->end && listener && listener->waiting > 0 && rng_one_in(&sys->luck, 2))
			sock->edge |= SYS_READ;
		if (!sock->end)
			sock_look(sock);
	}
}

static struct sys_event deliver(struct sys_sock *sock)
{
	struct sys_event event = {.owner = sock->owner, .ready = sim_sock_ready(sock)};
	unsigned promised = ready_of(sock);
	sock_unstir(sock);
	sock->edge = sock->stray = 0;
	sock->wants &= ~promised;
	if (promised & SYS_WRITE)
		sock->connecting = false;
	if (!sock->owner)
		world_fail(sock->sys->world, "sys-owner", "a socket without an owner has an event");
	if (!sock->end) {
		/* The next offer is drawn anew, perhaps for the same. */
		sock->poller.offered = false;
		if (sock->poller.listener)
			wire_offer(sock->poller.listener);
	} else if (promised & SYS_WRITE) {
		sock->end->lane.blocked = false;
	}
	return event;
}

static unsigned stirred_ready(struct sys *sys)
{
	struct sys_sock *sock = TAILQ_FIRST(&sys->stirred);
	unsigned count = 0;
	while (sock) {
		struct sys_sock *after = TAILQ_NEXT(sock, stirred_next);
		if (sim_sock_ready(sock))
			count++;
		else
			sock_unstir(sock);
		sock = after;
	}
	return count;
}

int sim_socks_events(struct sys *sys, struct sys_event *event_r, int max)
{
	struct rng *rng = &sys->luck;
	look_at_listeners(sys);
	stray_events(sys);
	unsigned all = stirred_ready(sys);
	if (all == 0)
		return 0;
	struct sys_sock **socks = mem_grow(NULL, all, sizeof(*socks)), *sock;
	unsigned filled = 0;
	TAILQ_FOREACH (sock, &sys->stirred, stirred_next)
		socks[filled++] = sock;
	unsigned wanted = rng_one_in(rng, 4) ? (unsigned)rng_between(rng, 1, all) : all;
	if (wanted > (unsigned)max)
		wanted = (unsigned)max;
	for (unsigned i = 0; i < wanted; i++) {
		unsigned chosen = i + (unsigned)rng_below(rng, all - i);
		sock = socks[chosen];
		socks[chosen] = socks[i];
		event_r[i] = deliver(sock);
	}
	free(socks);
	return (int)wanted;
}

/* ---- making and closing ---- */

static struct sys_sock *sock_new(struct sys *sys, void *owner)
{
	struct sys_sock *sock = mem_new(sizeof(*sock));
	sock->sys = sys;
	sock->owner = owner;
	LIST_INSERT_HEAD(&sys->socks, sock, next);
	return sock;
}

static void sock_close(struct sys_sock *sock, bool reset)
{
	sock_unstir(sock);
	LIST_REMOVE(sock, next);
	if (sock->end) {
		sock->sys->sockets--;
		wire_close(&sock->end, reset);
	} else {
		wire_unpoll(&sock->poller);
	}
	free(sock);
}

void sim_socks_close(struct sys *sys)
{
	struct sys_sock *sock;
	while ((sock = LIST_FIRST(&sys->socks)))
		sock_close(sock, false);
}

void sys_close(struct sys_sock **sockp, bool reset)
{
	struct sys_sock *sock = *sockp;
	struct sim_heap *was = sim_enter(sock->sys, "close");
	*sockp = NULL;
	sock_close(sock, reset);
	sim_leave(was, "close");
}

void sys_sock_own(struct sys_sock *sock, void *owner)
{
	sock->owner = owner;
}

unsigned sys_sockets(const struct sys *sys)
{
	return sys->sockets;
}

unsigned sys_sockets_limit(const struct sys *sys)
{
	return sys->box->descriptors;
}

static bool out_of_descriptors(struct sys *sys)
{
	return sys->sockets >= sys->box->descriptors ||
	       world_fault(sys->world, &sys->luck, FAULT_no_descriptors);
}

/* ---- connecting ---- */

enum io sys_open(struct sys *sys, const struct sys_endpoint *endpoint, void *owner,
	struct sys_sock **sock_r, int *errno_r)
{
	struct sim_heap *was = sim_enter(sys, "open");
	enum io io = IO_FAILED;
	if (sim_call_fails(sys) || out_of_descriptors(sys)) {
		*errno_r = EMFILE;
	} else {
		struct sys_sock *sock = sock_new(sys, owner);
		sock->end = wire_process_connect(
			sys->box->net, &endpoint->to, &endpoint->from, sock_stir, sock);
		sock->connecting = true;
		sock->wants = SYS_READ; /* what is writable the end of connecting tells */
		sys->sockets++;
		*sock_r = sock;
		io = IO_OK;
	}
	sim_leave(was, "open");
	return io;
}

/* The failure, once; afterwards the connection is only at its end. */
static bool failure_told(struct sys_sock *sock, int *errno_r)
{
	if (!sock->failure)
		return false;
	*errno_r = sock->failure;
	sock->failure = 0;
	return true;
}

enum io sys_connected(struct sys_sock *sock, int *errno_r)
{
	struct sim_heap *was = sim_enter(sock->sys, NULL);
	enum io io = IO_OK;
	if (sim_call_fails(sock->sys)) {
		wire_sever_here(sock->end);
		sock->failure = ECONNREFUSED;
		sock->connecting = false;
	}
	*errno_r = 0;
	bool decided = sock->end->pair->phase == WIRE_OPEN || sock->end->pair->phase == WIRE_FAILED;
	if (sock->connecting || !decided)
		io = IO_AGAIN;
	else if (failure_told(sock, errno_r))
		io = IO_FAILED;
	sim_leave(was, NULL);
	return io;
}

/* ---- accepting ---- */

struct sys_sock *sys_listener(struct sys *sys, int index, void *owner)
{
	if (index < 0 || index >= sys->box->listener_count || !sys->box->listeners[index])
		return NULL;
	struct sim_heap *was = sim_enter(sys, NULL);
	struct sys_sock *sock = sock_new(sys, owner);
	sock->poller.stir = sock_stir;
	sock->poller.arg = sock;
	wire_poll(&sock->poller, sys->box->listeners[index]);
	sim_leave(was, NULL);
	return sock;
}

/* What came while it waited in the queue is news now. */
static struct sys_sock *sock_accepted(struct sys *sys, void *owner, struct wire_listener *listener)
{
	struct sys_sock *sock = sock_new(sys, owner);
	sock->end = wire_process_accept(listener, sock_stir, sock);
	sys->sockets++;
	if (sock->end->fin_heard)
		sock_stir(sock, WIRE_STIR_FIN);
	if (sock->end->reset_heard)
		sock_stir(sock, WIRE_STIR_RESET);
	want(sock, SYS_READ | SYS_WRITE);
	return sock;
}

static enum io accept_fails(struct sys *sys, struct wire_listener *listener, int *errno_r)
{
	if (sim_call_fails(sys)) {
		*errno_r = sys->calls % 2 ? ECONNABORTED : EMFILE;
		if (*errno_r == ECONNABORTED && listener->waiting > 0) {
			struct wire_end *end = &TAILQ_FIRST(&listener->queue)->end[1];
			wire_close(&end, true);
		}
		return IO_FAILED;
	}
	*errno_r = EAGAIN;
	if (listener->waiting == 0)
		return IO_AGAIN;
	*errno_r = EMFILE;
	return out_of_descriptors(sys) ? IO_FAILED : IO_OK;
}

enum io sys_accept(struct sys_sock *sock, void *owner, struct sys_sock **sock_r,
	struct addr *peer_r, struct addr *local_r, int *errno_r)
{
	struct sys *sys = sock->sys;
	struct sim_heap *was = sim_enter(sys, "accept");
	struct wire_listener *listener = sock->poller.listener;
	enum io io = listener ? accept_fails(sys, listener, errno_r) : IO_AGAIN;
	if (io == IO_OK) {
		*sock_r = sock_accepted(sys, owner, listener);
		*peer_r = (*sock_r)->end->pair->client;
		*local_r = (*sock_r)->end->pair->server;
	}
	sim_leave(was, "accept");
	return io;
}

/* ---- bytes ---- */

static enum io sock_broken(struct sys_sock *sock, int *errno_r)
{
	wire_sever_here(sock->end);
	sock_stir(sock, WIRE_STIR_RESET);
	sock->failure = 0; /* told here */
	*errno_r = ECONNRESET;
	return IO_FAILED;
}

static bool is_open(const struct sys_sock *sock)
{
	const struct wire_pair *pair = sock->end->pair;
	return pair->phase == WIRE_OPEN || sock->end == &pair->end[1];
}

static enum io sock_recv(
	struct sys_sock *sock, void *bytes, size_t room, size_t *got_r, int *errno_r)
{
	struct wire_end *end = sock->end;
	if (sim_call_fails(sock->sys))
		return sock_broken(sock, errno_r);
	struct span unread = wire_octets_span(&end->inbox);
	if (unread.len > 0) {
		size_t got = unread.len < room ? unread.len : room;
		memcpy(bytes, unread.at, got);
		wire_eat(end, got);
		*got_r = got;
		if (got < room)
			want(sock, SYS_READ);
		return IO_OK;
	}
	if (failure_told(sock, errno_r))
		return IO_FAILED;
	if (end->fin_heard || end->reset_heard)
		return IO_EOF;
	*errno_r = EAGAIN;
	want(sock, SYS_READ);
	return IO_AGAIN;
}

enum io sys_recv(struct sys_sock *sock, void *bytes, size_t room, size_t *got_r, int *errno_r)
{
	assert(room > 0);
	struct sim_heap *was = sim_enter(sock->sys, "recv");
	enum io io = sock_recv(sock, bytes, room, got_r, errno_r);
	sim_leave(was, "recv");
	return io;
}

static size_t may_send(struct sys_sock *sock, size_t len)
{
	struct world *world = sock->sys->world;
	size_t room = wire_room(sock->end);
	size_t take = len < room ? len : room;
	if (take > 0 && world_fault(world, &sock->sys->luck, FAULT_short_write))
		take = (size_t)rng_below(&sock->sys->luck, take);
	return take;
}

static struct span gather(struct buf *into, const struct iovec *iov, int count)
{
	buf_reset(into);
	for (int i = 0; i < count; i++)
		buf_add(into, iov[i].iov_base, iov[i].iov_len);
	return buf_span(into);
}

static enum io sock_sendv(
	struct sys_sock *sock, const struct iovec *iov, int count, size_t *sent_r, int *errno_r)
{
	if (sim_call_fails(sock->sys))
		return sock_broken(sock, errno_r);
	if (failure_told(sock, errno_r))
		return IO_FAILED;
	*errno_r = EPIPE;
	if (sock->shut || sock->end->reset_heard)
		return IO_FAILED;
	struct span bytes = gather(&sock->sys->box->net->scratch, iov, count);
	size_t len = bytes.len;
	bytes.len = is_open(sock) ? may_send(sock, len) : 0;
	if (bytes.len > 0)
		wire_put(sock->end, bytes);
	if (bytes.len < len)
		want(sock, SYS_WRITE);
	*sent_r = bytes.len;
	*errno_r = EAGAIN;
	return bytes.len == 0 && len > 0 ? IO_AGAIN : IO_OK;
}

enum io sys_sendv(
	struct sys_sock *sock, const struct iovec *iov, int count, size_t *sent_r, int *errno_r)
{
	struct sim_heap *was = sim_enter(sock->sys, "sendv");
	enum io io = sock_sendv(sock, iov, count, sent_r, errno_r);
	sim_leave(was, "sendv");
	return io;
}

void sys_shutdown(struct sys_sock *sock)
{
	struct sim_heap *was = sim_enter(sock->sys, "shutdown");
	sock->shut = true;
	wire_finish(sock->end);
	sim_leave(was, "shutdown");
}
