/*
 * Network addresses and networks, as values.  The translation to and from sockaddr is in sys.
 */
#ifndef BASE_ADDR_H
#define BASE_ADDR_H

#include "base/bytes.h"

enum addr_family { ADDR_NONE, ADDR_IP4, ADDR_IP6, ADDR_UNIX };

/* IPv4-mapped IPv6 addresses are stored as IPv4.  `path` is NUL-terminated. */
struct addr {
	enum addr_family family;
	uint16_t port; /* host order; 0 where none was given */
	union {
		uint8_t ip4[4];
		uint8_t ip6[16];
		char path[104];
	};
};

#define ADDR_TEXT 128
/* "192.0.2.1", "2001:db8::1", "unix:/run/x". */
void addr_text(const struct addr *addr, char text_r[ADDR_TEXT]);
/* "192.0.2.1:25", "[2001:db8::1]:25". */
void addr_text_port(const struct addr *addr, char text_r[ADDR_TEXT]);

/* An address without a port: IPv4, IPv6, with or without brackets. */
enum err addr_parse(struct span text, struct addr *addr_r) MUST_USE;
/* "ADDRESS:PORT", "[IPV6]:PORT" or "unix:PATH". */
enum err addr_parse_port(struct span text, struct addr *addr_r) MUST_USE;

bool addr_eq(const struct addr *a, const struct addr *b);      /* with port */
bool addr_host_eq(const struct addr *a, const struct addr *b); /* without */
bool addr_is_loopback(const struct addr *addr);

struct network {
	struct addr base;
	unsigned bits;
};

/* "10.0.0.0/8", "2001:db8::/32", or a lone address.  ERR_SYNTAX for a malformed one, ERR_RANGE
 * for host bits that are set below the mask. */
enum err network_parse(struct span text, struct network *network_r) MUST_USE;
bool network_has(const struct network *network, const struct addr *addr);
/* Loopback, link-local, RFC 1918, RFC 4193, RFC 6598: the opposite of public space. */
bool network_is_private(const struct network *network);

#endif
