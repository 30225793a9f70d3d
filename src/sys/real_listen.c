/*
 * The real body, for the master only: making listening sockets.  An IPv6 wildcard takes IPv6
 * only, so that `bind 0.0.0.0:25 [::]:25` are two sockets whatever the machine's default is.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "sys/real_private.h"

/* The kernel caps it at net.core.somaxconn. */
enum { BACKLOG = 4096 };

static bool option_on(int fd, int level, int option)
{
	int on = 1;
	return setsockopt(fd, level, option, &on, sizeof(on)) == 0;
}

static bool tcp_bind(int fd, const struct addr *addr, bool reuse_port)
{
	struct sockaddr_storage at;
	socklen_t len = real_addr_out(addr, &at);
	/* TCP_NODELAY is inherited by what is accepted, also by what connects before anybody
	 * accepts: a reply behind an unacknowledged one would wait 40 ms for the peer's delayed
	 * ACK. */
	return option_on(fd, SOL_SOCKET, SO_REUSEADDR) && option_on(fd, IPPROTO_TCP, TCP_NODELAY) &&
	       (!reuse_port || option_on(fd, SOL_SOCKET, SO_REUSEPORT)) &&
	       (addr->family != ADDR_IP6 || option_on(fd, IPPROTO_IPV6, IPV6_V6ONLY)) &&
	       bind(fd, (struct sockaddr *)&at, len) == 0;
}

/* Somebody answers there: it is not stale. */
static bool unix_in_use(const struct sockaddr_storage *at, socklen_t len)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	bool used =
		fd >= 0 && (connect(fd, (const struct sockaddr *)at, len) == 0 || errno == EAGAIN);
	if (fd >= 0)
		close(fd);
	return used;
}

static bool unix_remove_stale(
	const struct addr *addr, const struct sockaddr_storage *at, socklen_t len)
{
	struct stat there;
	if (lstat(addr->path, &there) < 0)
		return errno == ENOENT;
	if (!S_ISSOCK(there.st_mode) || unix_in_use(at, len)) {
		errno = EADDRINUSE;
		return false;
	}
	return unlink(addr->path) == 0;
}

static bool unix_bind(int fd, const struct addr *addr)
{
	struct sockaddr_storage at;
	socklen_t len = real_addr_out(addr, &at);
	/* Before bind() it narrows what the new file starts with, after it the umask is undone: at
	 * no moment may others connect. */
	return unix_remove_stale(addr, &at, len) && fchmod(fd, 0660) == 0 &&
	       bind(fd, (struct sockaddr *)&at, len) == 0 && chmod(addr->path, 0660) == 0;
}

static uint16_t bound_port(int fd)
{
	struct sockaddr_storage at;
	struct addr addr = {.family = ADDR_NONE};
	socklen_t len = sizeof(at);
	if (getsockname(fd, (struct sockaddr *)&at, &len) == 0)
		real_addr_in(&at, len, &addr);
	return addr.port;
}

int sys_real_listen(
	const struct addr *addr, bool reuse_port, uint16_t *port_r, struct err_text *text)
{
	static const int families[] = {
		[ADDR_NONE] = AF_UNSPEC,
		[ADDR_IP4] = AF_INET,
		[ADDR_IP6] = AF_INET6,
		[ADDR_UNIX] = AF_UNIX,
	};
	bool local = addr->family == ADDR_UNIX;
	int fd = socket(families[addr->family], SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || !(local ? unix_bind(fd, addr) : tcp_bind(fd, addr, reuse_port)) ||
		listen(fd, BACKLOG) < 0) {
		int number = errno;
		char name[ADDR_TEXT];
		addr_text_port(addr, name);
		(void)err_set(text, number == EACCES ? ERR_REFUSED : ERR_FULL,
			"can't listen on %s: %s", name, sys_errno_text(number));
		if (fd >= 0)
			close(fd);
		return -1;
	}
	if (port_r)
		*port_r = bound_port(fd);
	return fd;
}
