/*
 * The real body: sockets.  TCP sockets have Nagle's algorithm off, since whole messages are
 * written at once and waiting for an acknowledgement would cost 40 ms.
 *
 * Listening sockets belong to the master and are shared with other processes: here they are
 * polled, never closed.
 */
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "sys/real_private.h"

static bool is_tcp(const struct addr *addr)
{
	return addr->family == ADDR_IP4 || addr->family == ADDR_IP6;
}

static void nagle_off(int fd)
{
	int on = 1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static struct sys_sock *sock_new(struct sys *sys, enum real_kind kind, int fd, void *owner)
{
	struct sys_sock *sock = mem_new(sizeof(*sock));
	*sock = (struct sys_sock){
		.item = {.kind = kind, .fd = fd},
		.sys = sys,
		.owner = owner,
	};
	return sock;
}

static struct sys_sock *sock_watched(struct sys *sys, int fd, void *owner)
{
	struct sys_sock *sock = sock_new(sys, REAL_SOCK, fd, owner);
	real_poll(sys, &sock->item, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
	sys->sockets++;
	return sock;
}

unsigned real_sock_ready(struct sys_sock *sock, unsigned epoll_events)
{
	unsigned ready = 0;
	/* An error shows at the next call of either kind; a reset is a peer that has closed. */
	if (epoll_events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		ready |= SYS_READ;
	if (epoll_events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
		ready |= SYS_WRITE;
	if (epoll_events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		ready |= SYS_HANGUP;
	if (ready & SYS_WRITE)
		sock->connecting = false;
	return ready;
}

void sys_sock_own(struct sys_sock *sock, void *owner)
{
	sock->owner = owner;
}

/* ---- connecting ---- */

static bool bind_from(int fd, const struct addr *from)
{
	struct sockaddr_storage local;
	socklen_t len = real_addr_out(from, &local);
	if (len == 0)
		return true;
	/* The port is then chosen at connect(), per destination: 28,000 to each server, not in all.
	 */
	int on = 1;
	if (is_tcp(from) && from->port == 0)
		setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	return bind(fd, (struct sockaddr *)&local, len) == 0;
}

enum io sys_open(struct sys *sys, const struct sys_endpoint *endpoint, void *owner,
	struct sys_sock **sock_r, int *errno_r)
{
	struct sockaddr_storage to;
	socklen_t len = real_addr_out(&endpoint->to, &to);
	assert(len > 0);
	int fd = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		*errno_r = errno;
		return IO_FAILED;
	}
	if (is_tcp(&endpoint->to))
		nagle_off(fd);
	if (!bind_from(fd, &endpoint->from) ||
		(connect(fd, (struct sockaddr *)&to, len) < 0 && errno != EINPROGRESS)) {
		*errno_r = errno;
		close(fd);
		return IO_FAILED;
	}
	*sock_r = sock_watched(sys, fd, owner);
	(*sock_r)->connecting = true;
	return IO_OK;
}

enum io sys_connected(struct sys_sock *sock, int *errno_r)
{
	if (sock->connecting)
		return IO_AGAIN;
	int failure = 0;
	socklen_t len = sizeof(failure);
	if (getsockopt(sock->item.fd, SOL_SOCKET, SO_ERROR, &failure, &len) < 0)
		failure = errno;
	*errno_r = failure;
	return failure ? IO_FAILED : IO_OK;
}

/* ---- accepting ---- */

static bool is_wildcard(const struct addr *addr)
{
	static const uint8_t zero[16];
	return (addr->family == ADDR_IP4 && memcmp(addr->ip4, zero, sizeof(addr->ip4)) == 0) ||
	       (addr->family == ADDR_IP6 && memcmp(addr->ip6, zero, sizeof(addr->ip6)) == 0);
}

static void local_addr(int fd, struct addr *addr_r)
{
	struct sockaddr_storage local;
	socklen_t len = sizeof(local);
	*addr_r = (struct addr){.family = ADDR_NONE};
	if (getsockname(fd, (struct sockaddr *)&local, &len) == 0)
		real_addr_in(&local, len, addr_r);
}

struct sys_sock *sys_listener(struct sys *sys, int index, void *owner)
{
	if (index < 0 || index >= sys->setup.listener_count)
		return NULL;
	struct sys_sock *sock = sock_new(sys, REAL_LISTENER, sys->listeners[index], owner);
	local_addr(sock->item.fd, &sock->local);
	if (is_tcp(&sock->local))
		nagle_off(sock->item.fd); /* inherited by what is accepted */
	if (is_wildcard(&sock->local))
		sock->local.family = ADDR_NONE;
	/* Where several processes poll one socket, one of them is woken, not all. */
	real_poll(sys, &sock->item, EPOLLIN | EPOLLEXCLUSIVE);
	return sock;
}

enum io sys_accept(struct sys_sock *listener, void *owner, struct sys_sock **sock_r,
	struct addr *peer_r, struct addr *local_r, int *errno_r)
{
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer);
	int fd;
	do {
		len = sizeof(peer);
		fd = accept4(listener->item.fd, (struct sockaddr *)&peer, &len,
			SOCK_NONBLOCK | SOCK_CLOEXEC);
	} while (fd < 0 && errno == EINTR);
	if (fd < 0) {
		*errno_r = errno;
		return errno == EAGAIN ? IO_AGAIN : IO_FAILED;
	}
	real_addr_in(&peer, len, peer_r);
	*local_r = listener->local;
	if (local_r->family == ADDR_NONE)
		local_addr(fd, local_r);
	*sock_r = sock_watched(listener->sys, fd, owner);
	return IO_OK;
}

/* ---- bytes ---- */

enum io sys_recv(struct sys_sock *sock, void *bytes, size_t room, size_t *got_r, int *errno_r)
{
	ssize_t got;
	assert(room > 0);
	do {
		got = recv(sock->item.fd, bytes, room, 0);
	} while (got < 0 && errno == EINTR);
	if (got > 0) {
		*got_r = (size_t)got;
		return IO_OK;
	}
	if (got == 0)
		return IO_EOF;
	*errno_r = errno;
	return errno == EAGAIN ? IO_AGAIN : IO_FAILED;
}

enum io sys_sendv(
	struct sys_sock *sock, const struct iovec *iov, int count, size_t *sent_r, int *errno_r)
{
	struct msghdr msg = {.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)count};
	ssize_t sent;
	do {
		sent = sendmsg(sock->item.fd, &msg, MSG_NOSIGNAL);
	} while (sent < 0 && errno == EINTR);
	if (sent >= 0) {
		*sent_r = (size_t)sent;
		return IO_OK;
	}
	*errno_r = errno;
	return errno == EAGAIN ? IO_AGAIN : IO_FAILED;
}

void sys_shutdown(struct sys_sock *sock)
{
	shutdown(sock->item.fd, SHUT_WR);
}

void sys_close(struct sys_sock **sockp, bool reset)
{
	struct sys_sock *sock = *sockp;
	struct sys *sys = sock->sys;
	*sockp = NULL;
	if (sock->item.kind == REAL_LISTENER) {
		/* Other processes hold the socket, so closing ours would leave it in epoll. */
		epoll_ctl(sys->epoll, EPOLL_CTL_DEL, sock->item.fd, NULL);
	} else {
		struct linger now = {.l_onoff = 1, .l_linger = 0};
		if (reset)
			setsockopt(sock->item.fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
		close(sock->item.fd);
		sys->sockets--;
	}
	real_bury(sys, &sock->item);
}
