/*
 * Addresses as text and as values.
 *
 * Parsed here and not by libc, so that one strict grammar holds everywhere: IPv4 is four decimal
 * numbers without leading zeros (libc's looser calls take "010.1" for octal), IPv6 is RFC 4291
 * section 2.2 without a zone.
 */
#include "base/addr.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* ---- to text ---- */

static unsigned group_of(const uint8_t ip6[16], int i)
{
	return (unsigned)ip6[2 * i] << 8 | ip6[2 * i + 1];
}

/* The first longest run of two or more zero groups, which is written "::" (RFC 5952 section 4.2);
 * its length, 0 if there is none. */
static int zero_run(const uint8_t ip6[16], int *start_r)
{
	int longest = 0, run = 0;

	for (int i = 0; i < 8; i++) {
		run = group_of(ip6, i) == 0 ? run + 1 : 0;
		if (run > longest) {
			longest = run;
			*start_r = i - run + 1;
		}
	}
	return longest >= 2 ? longest : 0;
}

/* Both write into an array of ADDR_TEXT and return the length. */
static size_t ip4_text(const uint8_t ip4[4], char *text_r)
{
	return (size_t)snprintf(text_r, ADDR_TEXT, "%u.%u.%u.%u", ip4[0], ip4[1], ip4[2], ip4[3]);
}

static size_t ip6_text(const uint8_t ip6[16], char *text_r)
{
	int start = 8, run = zero_run(ip6, &start);
	size_t len = 0;

	for (int i = 0; i < 8; i++) {
		if (run > 0 && i == start) {
			text_r[len++] = ':';
			i += run - 1;
			if (i == 7)
				text_r[len++] = ':';
			continue;
		}
		if (i > 0)
			text_r[len++] = ':';
		len += (size_t)snprintf(text_r + len, ADDR_TEXT - len, "%x", group_of(ip6, i));
	}
	text_r[len] = '\0';
	return len;
}

void addr_text(const struct addr *addr, char text_r[ADDR_TEXT])
{
	switch (addr->family) {
	case ADDR_IP4:
		ip4_text(addr->ip4, text_r);
		return;
	case ADDR_IP6:
		ip6_text(addr->ip6, text_r);
		return;
	case ADDR_UNIX:
		snprintf(text_r, ADDR_TEXT, "unix:%.*s", (int)sizeof(addr->path) - 1, addr->path);
		return;
	case ADDR_NONE:
		break;
	}
	snprintf(text_r, ADDR_TEXT, "none");
}

void addr_text_port(const struct addr *addr, char text_r[ADDR_TEXT])
{
	char host[ADDR_TEXT];

	addr_text(addr, host);
	if (addr->family == ADDR_IP4)
		snprintf(text_r, ADDR_TEXT, "%.15s:%u", host, addr->port);
	else if (addr->family == ADDR_IP6)
		snprintf(text_r, ADDR_TEXT, "[%.45s]:%u", host, addr->port);
	else
		memcpy(text_r, host, ADDR_TEXT);
}

/* ---- from text ---- */

static bool parse_ip4(struct span text, uint8_t ip4_r[4])
{
	for (int i = 0; i < 4; i++) {
		struct span number = text;
		uint64_t value;

		number.len = i < 3 ? span_find(text, '.') : text.len;
		if (number.len > 1 && number.at[0] == '0')
			return false;
		if (!span_to_u64(number, 255, &value))
			return false;
		ip4_r[i] = (uint8_t)value;
		if (i < 3) {
			if (number.len == text.len)
				return false;
			text = span_from(text, number.len + 1);
		}
	}
	return true;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static bool parse_group(struct span text, uint8_t *two_r)
{
	unsigned value = 0;

	if (text.len == 0 || text.len > 4)
		return false;
	for (size_t i = 0; i < text.len; i++) {
		int digit = hex_digit(text.at[i]);

		if (digit < 0)
			return false;
		value = value << 4 | (unsigned)digit;
	}
	two_r[0] = (uint8_t)(value >> 8);
	two_r[1] = (uint8_t)value;
	return true;
}

/* Groups with single colons between them, the last one perhaps an IPv4 address; the number of
 * bytes, or -1.  An empty text has none. */
static int parse_groups(struct span text, uint8_t bytes_r[16])
{
	int len = 0;

	while (text.len > 0) {
		struct span group = {.at = text.at, .len = span_find(text, ':')};
		bool last = group.len == text.len;

		if (last && span_find(group, '.') < group.len) {
			if (len > 12 || !parse_ip4(group, bytes_r + len))
				return -1;
			return len + 4;
		}
		if (len > 14 || !parse_group(group, bytes_r + len))
			return -1;
		len += 2;
		if (last)
			break;
		text = span_from(text, group.len + 1);
		if (text.len == 0) /* a colon at the end */
			return -1;
	}
	return len;
}

static bool parse_ip6(struct span text, uint8_t ip6_r[16])
{
	uint8_t tail[16];
	int front_len, tail_len;
	size_t gap;

	for (gap = 0; gap + 1 < text.len; gap++) {
		if (text.at[gap] == ':' && text.at[gap + 1] == ':')
			break;
	}
	memset(ip6_r, 0, 16);
	if (gap + 1 >= text.len)
		return parse_groups(text, ip6_r) == 16;
	/* Around the "::", which stands for one zero group at least; what is in front of it can't
	 * be an IPv4 address. */
	front_len = parse_groups((struct span){.at = text.at, .len = gap}, ip6_r);
	if (span_find((struct span){.at = text.at, .len = gap}, '.') < gap)
		return false;
	tail_len = parse_groups(span_from(text, gap + 2), tail);
	if (front_len < 0 || tail_len < 0 || front_len + tail_len > 14)
		return false;
	memcpy(ip6_r + 16 - tail_len, tail, (size_t)tail_len);
	return true;
}

static bool is_mapped(const uint8_t ip6[16])
{
	static const uint8_t prefix[12] = {[10] = 0xff, [11] = 0xff};

	return memcmp(ip6, prefix, sizeof(prefix)) == 0;
}

enum err addr_parse(struct span text, struct addr *addr_r)
{
	struct addr addr = {0};
	bool bracketed = text.len >= 2 && text.at[0] == '[' && text.at[text.len - 1] == ']';

	if (!bracketed && parse_ip4(text, addr.ip4)) {
		addr.family = ADDR_IP4;
		*addr_r = addr;
		return ERR_OK;
	}
	if (bracketed)
		text = (struct span){.at = text.at + 1, .len = text.len - 2};
	if (!parse_ip6(text, addr.ip6))
		return ERR_SYNTAX;
	if (is_mapped(addr.ip6)) {
		memmove(addr.ip4, addr.ip6 + 12, 4);
		memset(addr.ip6 + 4, 0, 12);
		addr.family = ADDR_IP4;
	} else {
		addr.family = ADDR_IP6;
	}
	*addr_r = addr;
	return ERR_OK;
}

static enum err parse_unix(struct span path, struct addr *addr_r)
{
	struct addr addr = {.family = ADDR_UNIX};

	if (path.len == 0 || span_find(path, '\0') < path.len)
		return ERR_SYNTAX;
	if (path.len >= sizeof(addr.path))
		return ERR_RANGE;
	memcpy(addr.path, path.at, path.len);
	*addr_r = addr;
	return ERR_OK;
}

enum err addr_parse_port(struct span text, struct addr *addr_r)
{
	struct span host = text, port;
	struct addr addr;
	uint64_t value;

	if (text.len >= 5 && memcmp(text.at, "unix:", 5) == 0)
		return parse_unix(span_from(text, 5), addr_r);
	while (host.len > 0 && host.at[host.len - 1] != ':')
		host.len--;
	if (host.len == 0)
		return ERR_SYNTAX;
	port = span_from(text, host.len);
	host.len--;
	/* An IPv6 address needs its brackets here: "::1:25" would be ambiguous. */
	if (span_find(host, ':') < host.len && host.at[0] != '[')
		return ERR_SYNTAX;
	if (!span_to_u64(port, UINT64_MAX, &value) || addr_parse(host, &addr) != ERR_OK)
		return ERR_SYNTAX;
	if (value > UINT16_MAX)
		return ERR_RANGE;
	addr.port = (uint16_t)value;
	*addr_r = addr;
	return ERR_OK;
}

/* ---- comparing ---- */

bool addr_host_eq(const struct addr *a, const struct addr *b)
{
	if (a->family != b->family)
		return false;
	switch (a->family) {
	case ADDR_IP4:
		return memcmp(a->ip4, b->ip4, sizeof(a->ip4)) == 0;
	case ADDR_IP6:
		return memcmp(a->ip6, b->ip6, sizeof(a->ip6)) == 0;
	case ADDR_UNIX:
		return strncmp(a->path, b->path, sizeof(a->path)) == 0;
	case ADDR_NONE:
		break;
	}
	return true;
}

bool addr_eq(const struct addr *a, const struct addr *b)
{
	return a->port == b->port && addr_host_eq(a, b);
}
