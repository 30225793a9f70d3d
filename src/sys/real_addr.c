/*
 * The real body: addresses to and from the kernel's form.  An IPv4 address that arrives mapped
 * into IPv6 becomes IPv4, so that one host has one address everywhere above.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

#include "sys/real_private.h"

static socklen_t unix_out(const struct addr *addr, struct sockaddr_un *out)
{
	static_assert(sizeof(addr->path) <= sizeof(out->sun_path), "a path of ours fits");
	size_t len = strnlen(addr->path, sizeof(addr->path) - 1);
	out->sun_family = AF_UNIX;
	memcpy(out->sun_path, addr->path, len);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
}

socklen_t real_addr_out(const struct addr *addr, struct sockaddr_storage *out_r)
{
	memset(out_r, 0, sizeof(*out_r));
	struct sockaddr_in *in4 = (struct sockaddr_in *)out_r;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out_r;
	switch (addr->family) {
	case ADDR_NONE:
		return 0;
	case ADDR_IP4:
		in4->sin_family = AF_INET;
		in4->sin_port = htons(addr->port);
		memcpy(&in4->sin_addr, addr->ip4, sizeof(addr->ip4));
		return sizeof(*in4);
	case ADDR_IP6:
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(addr->port);
		memcpy(&in6->sin6_addr, addr->ip6, sizeof(addr->ip6));
		return sizeof(*in6);
	case ADDR_UNIX:
		return unix_out(addr, (struct sockaddr_un *)out_r);
	}
	return 0;
}

void real_addr_ip4(const void *bytes, struct addr *addr_r)
{
	*addr_r = (struct addr){.family = ADDR_IP4};
	memcpy(addr_r->ip4, bytes, sizeof(addr_r->ip4));
}

void real_addr_ip6(const void *bytes, struct addr *addr_r)
{
	if (IN6_IS_ADDR_V4MAPPED((const struct in6_addr *)bytes)) {
		real_addr_ip4((const char *)bytes + 12, addr_r);
		return;
	}
	*addr_r = (struct addr){.family = ADDR_IP6};
	memcpy(addr_r->ip6, bytes, sizeof(addr_r->ip6));
}

static void unix_in(const struct sockaddr_un *in, socklen_t len, struct addr *addr_r)
{
	*addr_r = (struct addr){.family = ADDR_UNIX};
	size_t head = offsetof(struct sockaddr_un, sun_path);
	size_t room = len > head ? len - head : 0;
	if (room > sizeof(addr_r->path) - 1)
		room = sizeof(addr_r->path) - 1;
	/* The other end of an accepted socket is unnamed: the path stays empty. */
	memcpy(addr_r->path, in->sun_path, strnlen(in->sun_path, room));
}

void real_addr_in(const struct sockaddr_storage *in, socklen_t len, struct addr *addr_r)
{
	const struct sockaddr_in *in4 = (const struct sockaddr_in *)in;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)in;
	switch (in->ss_family) {
	case AF_INET:
		real_addr_ip4(&in4->sin_addr, addr_r);
		addr_r->port = ntohs(in4->sin_port);
		break;
	case AF_INET6:
		real_addr_ip6(&in6->sin6_addr, addr_r);
		addr_r->port = ntohs(in6->sin6_port);
		break;
	case AF_UNIX:
		unix_in((const struct sockaddr_un *)in, len, addr_r);
		break;
	default:
		*addr_r = (struct addr){.family = ADDR_NONE};
	}
}
