/*
 * The binary header:
 *
 *     0           12   13      14       16
 *     signature   2C   family  length   addresses and ports   TLV TLV ...
 *                 |                     `------------- length ----------'
 *                 C: 0 LOCAL, 1 PROXY
 *
 * Of the TLVs only the checksum is ours to judge; the others are walked, so that none of them says
 * more octets than there are.  LOCAL's block is skipped unread, as the specification (2.2) has it.
 */
#include <string.h>

#include "edge/proxy.h"

#define FIXED      16 /* octets in front of the addresses */
#define TLV_CRC32C 0x03

static const uint8_t *octets(struct span bytes)
{
	return (const uint8_t *)bytes.at;
}

static unsigned two(const uint8_t *at)
{
	return (unsigned)at[0] << 8 | at[1];
}

/* ---- addresses ---- */

static void take_ip4(const uint8_t *at, const uint8_t *port, struct addr *addr_r)
{
	*addr_r = (struct addr){.family = ADDR_IP4, .port = (uint16_t)two(port)};
	memcpy(addr_r->ip4, at, 4);
}

static void take_ip6(const uint8_t *at, const uint8_t *port, struct addr *addr_r)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	if (memcmp(at, mapped, sizeof mapped) == 0) {
		take_ip4(at + sizeof mapped, port, addr_r);
		return;
	}
	*addr_r = (struct addr){.family = ADDR_IP6, .port = (uint16_t)two(port)};
	memcpy(addr_r->ip6, at, 16);
}

/* Most clients of a unix socket have no path, and abstract ones begin with NUL: an empty path. */
static void take_unix(const uint8_t *at, struct addr *addr_r)
{
	*addr_r = (struct addr){.family = ADDR_UNIX};
	memcpy(addr_r->path, at, strnlen((const char *)at, sizeof addr_r->path - 1));
}

static void take_inet(const uint8_t *block, struct edge_proxy *proxy)
{
	take_ip4(block, block + 8, &proxy->client);
	take_ip4(block + 4, block + 10, &proxy->to);
}

static void take_inet6(const uint8_t *block, struct edge_proxy *proxy)
{
	take_ip6(block, block + 32, &proxy->client);
	take_ip6(block + 16, block + 34, &proxy->to);
}

static void take_paths(const uint8_t *block, struct edge_proxy *proxy)
{
	take_unix(block, &proxy->client);
	take_unix(block + 108, &proxy->to);
}

static const struct family {
	uint8_t octet; /* family and transport */
	unsigned len;  /* of both addresses, with ports */
	void (*take)(const uint8_t *block, struct edge_proxy *proxy);
} families[] = {
	{0x00, 0, NULL},
	{0x11, 12, take_inet},
	{0x21, 36, take_inet6},
	{0x31, 216, take_paths},
};

/* NULL for datagrams too: nobody can have come here by one. */
static const struct family *find_family(uint8_t octet)
{
	for (size_t i = 0; i < sizeof families / sizeof families[0]; i++)
		if (families[i].octet == octet)
			return &families[i];
	return NULL;
}

/* ---- TLVs ---- */

/* RFC 3720 B.4: the Castagnoli polynomial, reflected. */
static uint32_t crc32c_add(uint32_t crc, uint8_t octet)
{
	crc ^= octet;
	for (int bit = 0; bit < 8; bit++)
		crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
	return crc;
}

/* Of the whole header, its four octets at `sum` taken for zero. */
static bool sum_is_right(struct span header, size_t sum)
{
	const uint8_t *at = octets(header);
	uint32_t crc = ~0u, said = 0;
	for (size_t i = 0; i < header.len; i++) {
		bool inside = i >= sum && i < sum + 4;
		crc = crc32c_add(crc, inside ? 0 : at[i]);
		said = inside ? said << 8 | at[i] : said;
	}
	return ~crc == said;
}

/* Those of the header from `at` on; words on what is wrong with them. */
static const char *walk(struct span header, size_t at, struct edge_proxy *proxy)
{
	size_t sum = 0;
	while (at < header.len) {
		const uint8_t *tlv = octets(header) + at;
		if (header.len - at < 3 || header.len - at - 3 < two(tlv + 1))
			return "a flawed one (a TLV goes beyond its end)";
		if (tlv[0] == TLV_CRC32C) {
			if (two(tlv + 1) != 4 || sum != 0)
				return "a flawed one (CRC32c twice, or not of 4 octets)";
			sum = at + 3;
		}
		at += 3 + two(tlv + 1);
	}
	if (sum != 0 && !sum_is_right(header, sum))
		return "a flawed one (wrong CRC32c)";
	proxy->checksum = sum != 0;
	return NULL;
}

/* ---- the header ---- */

/* The fixed octets, as far as they have come. */
static const char *judge_front(struct span bytes)
{
	const uint8_t *at = octets(bytes);
	const struct family *family = NULL;
	if (bytes.len > 12 && at[12] != 0x20 && at[12] != 0x21)
		return "a flawed one (unknown version or command)";
	bool local = bytes.len > 12 && at[12] == 0x20;
	if (bytes.len > 13 && !local && !(family = find_family(at[13])))
		return "a flawed one (unknown family, or one of datagrams)";
	if (bytes.len < FIXED)
		return NULL;
	if (family && two(at + 14) < family->len)
		return "a flawed one (shorter than its addresses)";
	if (two(at + 14) > EDGE_PROXY_MOST - FIXED)
		return "an overlong one";
	return NULL;
}

static const char *take_block(struct span header, struct edge_proxy *proxy)
{
	const uint8_t *at = octets(header);
	proxy->who = PROXY_LOCAL;
	if (at[12] == 0x20)
		return NULL;
	const struct family *family = find_family(at[13]);
	proxy->who = PROXY_UNNAMED;
	if (family->take) {
		proxy->who = PROXY_CLIENT;
		family->take(at + FIXED, proxy);
	}
	return walk(header, FIXED + family->len, proxy);
}

enum edge_proxy_verdict edge_proxy_parse_v2(
	struct span bytes, struct edge_proxy *proxy_r, struct err_text *got)
{
	const char *wrong = judge_front(bytes);
	if (!wrong) {
		if (bytes.len < FIXED || bytes.len - FIXED < two(octets(bytes) + 14))
			return PROXY_MORE;
		bytes.len = FIXED + two(octets(bytes) + 14);
		*proxy_r = (struct edge_proxy){.len = bytes.len, .version = 2};
		wrong = take_block(bytes, proxy_r);
	}
	if (!wrong)
		return PROXY_DONE;
	err_set(got, ERR_SYNTAX, "%s", wrong);
	return PROXY_BAD;
}
