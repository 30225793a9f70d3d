/*
 * See naive_proxy.h.
 */
#include "naive_proxy.h"

#include <arpa/inet.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct naive_proxy verdict(char which)
{
	return (struct naive_proxy){.verdict = which};
}

static bool is_mapped(const uint8_t ip[16])
{
	for (int i = 0; i < 12; i++)
		if (ip[i] != (i < 10 ? 0 : 0xff))
			return false;
	return true;
}

static void map(const uint8_t *ip4, uint8_t ip_r[16])
{
	memset(ip_r, 0, 10);
	memset(ip_r + 10, 0xff, 2);
	memcpy(ip_r + 12, ip4, 4);
}

/* ---- the line ---- */

/* Compiling is dear, so each is compiled once. */
static bool matches(bool unknown, const char *text)
{
	static regex_t regex[2];
	static bool ready;
	if (!ready &&
		(regcomp(&regex[0],
			 "^PROXY TCP[46] [^ ]+ [^ ]+ (0|[1-9][0-9]{0,4}) "
			 "(0|[1-9][0-9]{0,4})$",
			 REG_EXTENDED | REG_NOSUB) != 0 ||
			regcomp(&regex[1], "^PROXY UNKNOWN( .*)?$", REG_EXTENDED | REG_NOSUB) != 0))
		abort();
	ready = true;
	return regexec(&regex[unknown], text, 0, NULL, 0) == 0;
}

static bool take_address(const char *word, int family, int side, struct naive_proxy *proxy)
{
	uint8_t ip[16];
	if (inet_pton(family, word, ip) != 1)
		return false;
	if (family == AF_INET)
		map(ip, proxy->ip[side]);
	else
		memcpy(proxy->ip[side], ip, 16);
	proxy->family[side] = is_mapped(proxy->ip[side]) ? 4 : 6;
	return true;
}

static struct naive_proxy judge_line(const char *line, size_t len)
{
	struct naive_proxy proxy = {.verdict = 'd', .who = 'u', .len = len + 2};
	char word[2][108];
	int family = strncmp(line, "PROXY TCP4", 10) == 0 ? AF_INET : AF_INET6;
	if (strlen(line) != len || strchr(line, '\r'))
		return verdict('b');
	if (matches(true, line))
		return proxy;
	if (!matches(false, line))
		return verdict('b');
	proxy.who = 'c';
	/* NOLINTNEXTLINE(cert-err34-c): the expression has seen to it */
	if (sscanf(line + 11, "%107s %107s %u %u", word[0], word[1], &proxy.port[0],
		    &proxy.port[1]) != 4)
		return verdict('b');
	for (int side = 0; side < 2; side++)
		if (proxy.port[side] > 65535 || !take_address(word[side], family, side, &proxy))
			return verdict('b');
	return proxy;
}

static struct naive_proxy judge_v1(const uint8_t *at, size_t len)
{
	char line[108] = "";
	size_t end = 0;
	while (end < len && end < 107 && at[end] != '\n')
		end++;
	if (end == 107)
		return verdict('b');
	if (end == len)
		return verdict('m');
	if (at[end - 1] != '\r')
		return verdict('b');
	memcpy(line, at, end - 1);
	return judge_line(line, end - 1);
}

/* ---- the binary one ---- */

static uint32_t crc32c(const uint8_t *at, size_t len)
{
	uint32_t crc = 0xffffffff;
	for (size_t i = 0; i < len; i++) {
		uint32_t entry = (crc ^ at[i]) & 255;
		for (int bit = 0; bit < 8; bit++)
			entry = (entry >> 1) ^ (0x82f63b78 * (entry & 1));
		crc = entry ^ (crc >> 8);
	}
	return crc ^ 0xffffffff;
}

/* The TLVs between `from` and `to`: false if they don't fill it; where sums are. */
static bool list_tlvs(
	const uint8_t *at, size_t from, size_t to, size_t *sum_r, unsigned *sums_r, bool *odd_r)
{
	*sums_r = 0;
	*odd_r = false;
	while (from + 3 <= to) {
		size_t len = at[from + 1] * 256u + at[from + 2];
		if (at[from] == 3 && from + 3 + len <= to) {
			++*sums_r;
			*odd_r |= len != 4;
			*sum_r = from + 3;
		}
		from += 3 + len;
	}
	return from == to;
}

static uint32_t sum_of(const uint8_t *at, size_t len, size_t sum)
{
	uint8_t *copy = malloc(len);
	uint32_t crc;
	memcpy(copy, at, len);
	memset(copy + sum, 0, 4);
	crc = crc32c(copy, len);
	free(copy);
	return crc;
}

static int addresses_of(uint8_t family)
{
	return family == 0      ? 0
	       : family == 0x11 ? 12
	       : family == 0x21 ? 36
	       : family == 0x31 ? 216
				: -1;
}

static void take_block(const uint8_t *at, struct naive_proxy *proxy)
{
	size_t size = at[13] == 0x11 ? 4 : at[13] == 0x21 ? 16 : 108;
	for (size_t side = 0; side < 2; side++) {
		const uint8_t *one = at + 16 + side * size;
		if (size == 108) {
			snprintf(proxy->path[side], 104, "%.103s", (const char *)one);
			proxy->family[side] = 1;
			continue;
		}
		if (size == 4)
			map(one, proxy->ip[side]);
		else
			memcpy(proxy->ip[side], one, 16);
		proxy->family[side] = is_mapped(proxy->ip[side]) ? 4 : 6;
		proxy->port[side] =
			at[16 + 2 * size + 2 * side] * 256u + at[17 + 2 * size + 2 * side];
	}
}

static struct naive_proxy judge_whole_v2(const uint8_t *at, size_t whole)
{
	struct naive_proxy proxy = {.verdict = 'd', .who = 'l', .len = whole};
	size_t sum = 0;
	unsigned sums;
	bool odd;
	if (at[12] == 0x20)
		return proxy;
	if (!list_tlvs(at, 16u + (unsigned)addresses_of(at[13]), whole, &sum, &sums, &odd) || odd ||
		sums > 1)
		return verdict('b');
	if (sums == 1 && sum_of(at, whole, sum) != ((uint32_t)at[sum] << 24 | at[sum + 1] << 16 |
							   at[sum + 2] << 8 | at[sum + 3]))
		return verdict('b');
	proxy.checksum = sums == 1;
	proxy.who = at[13] == 0 ? 'u' : 'c';
	if (proxy.who == 'c')
		take_block(at, &proxy);
	return proxy;
}

static struct naive_proxy judge_v2(const uint8_t *at, size_t len)
{
	bool local = len > 12 && at[12] == 0x20;
	size_t says = len >= 16 ? at[14] * 256u + at[15] : 0;
	if (len > 12 && (at[12] & 0xfe) != 0x20)
		return verdict('b');
	if (len > 13 && !local && addresses_of(at[13]) < 0)
		return verdict('b');
	if (len >= 16 && (says + 16 > 4096 || (!local && (int)says < addresses_of(at[13]))))
		return verdict('b');
	if (len < 16 || len < says + 16)
		return verdict('m');
	return judge_whole_v2(at, says + 16);
}

struct naive_proxy naive_proxy(const uint8_t *at, size_t len)
{
	static const char signature[12] = "\r\n\r\n\0\r\nQUIT\n";
	if (len == 0)
		return verdict('m');
	if (memcmp(at, "PROXY ", len < 6 ? len : 6) == 0)
		return judge_v1(at, len);
	if (memcmp(at, signature, len < 12 ? len : 12) == 0)
		return judge_v2(at, len);
	return verdict('b');
}

void naive_proxy_sign(uint8_t *at, size_t len)
{
	size_t whole = len >= 16 ? at[14] * 256u + at[15] + 16u : 0, sum = 0;
	unsigned sums;
	bool odd;
	if (whole == 0 || whole > len || addresses_of(at[13]) < 0)
		return;
	list_tlvs(at, 16u + (unsigned)addresses_of(at[13]), whole, &sum, &sums, &odd);
	if (sums != 1 || odd)
		return;
	uint32_t crc = sum_of(at, whole, sum);
	for (int i = 0; i < 4; i++)
		at[sum + (size_t)i] = (uint8_t)(crc >> (24 - 8 * i));
}
