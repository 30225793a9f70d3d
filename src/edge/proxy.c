/*
 * Which kind of header it is, and the one that is a line:
 *
 *     PROXY TCP4 192.0.2.1 192.0.2.2 40000 25\r\n     PROXY UNKNOWN anything\r\n
 *
 * Strict, since whoever may send this decides who may relay: one space between the words, numbers
 * without leading zeros, at most 107 octets.
 */
#include "edge/proxy.h"

#include <string.h>

static const struct span v1_begin = SPAN("PROXY ");

/* As far as both go. */
static bool agree(struct span bytes, struct span with)
{
	size_t len = bytes.len < with.len ? bytes.len : with.len;
	return memcmp(bytes.at, with.at, len) == 0;
}

/* ---- the words ---- */

static bool next_word(struct span *rest, struct span *word_r)
{
	*word_r = (struct span){.at = rest->at, .len = span_find(*rest, ' ')};
	if (word_r->len == 0)
		return false;
	/* Behind the last word the rest is empty, and there is no word to be had from that. */
	*rest = span_from(*rest, word_r->len < rest->len ? word_r->len + 1 : word_r->len);
	return true;
}

static bool is_port(struct span word, uint16_t *port_r)
{
	uint64_t port;
	if ((word.len > 1 && word.at[0] == '0') || !span_to_u64(word, 65535, &port))
		return false;
	*port_r = (uint16_t)port;
	return true;
}

/* addr_parse() takes brackets and either family: here it is one, and bare.  An IPv6 address that
 * is a mapped IPv4 one is stored as the IPv4 address. */
static bool is_address(struct span word, bool ip6, struct addr *addr_r)
{
	bool colon = span_find(word, ':') < word.len;
	return colon == ip6 && word.at[0] != '[' && addr_parse(word, addr_r) == ERR_OK;
}

static const char *parse_tcp(struct span rest, bool ip6, struct edge_proxy *proxy)
{
	struct span word[4];
	for (int i = 0; i < 4; i++)
		if (!next_word(&rest, &word[i]))
			return "a flawed one (four words between single spaces belong behind the "
			       "family)";
	const struct span last = word[3];
	if (rest.len > 0 || rest.at != last.at + last.len)
		return "a flawed one (more than two addresses and two ports)";
	if (!is_address(word[0], ip6, &proxy->client) || !is_address(word[1], ip6, &proxy->to))
		return "a flawed one (not an address of that family)";
	if (!is_port(word[2], &proxy->client.port) || !is_port(word[3], &proxy->to.port))
		return "a flawed one (not a port)";
	return NULL;
}

/* The line without its CR LF; words on what is wrong with it. */
static const char *parse_line(struct span line, struct edge_proxy *proxy)
{
	struct span rest = span_from(line, v1_begin.len), family;
	if (span_find(line, '\r') < line.len || span_find(line, '\0') < line.len)
		return "a flawed one (CR or NUL in its line)";
	if (!next_word(&rest, &family))
		return "a flawed one (no family)";
	proxy->who = PROXY_CLIENT;
	if (span_is(family, "TCP4"))
		return parse_tcp(rest, false, proxy);
	if (span_is(family, "TCP6"))
		return parse_tcp(rest, true, proxy);
	if (!span_is(family, "UNKNOWN"))
		return "a flawed one (neither TCP4, TCP6 nor UNKNOWN)";
	proxy->who = PROXY_UNNAMED;
	return NULL;
}

static enum edge_proxy_verdict parse_v1(
	struct span bytes, struct edge_proxy *proxy, struct err_text *got)
{
	if (bytes.len > EDGE_PROXY_V1_MOST)
		bytes.len = EDGE_PROXY_V1_MOST;
	size_t end = span_find(bytes, '\n');
	if (end == bytes.len) {
		if (bytes.len < EDGE_PROXY_V1_MOST)
			return PROXY_MORE;
		err_set(got, ERR_RANGE, "an overlong one (over %d octets)", EDGE_PROXY_V1_MOST);
		return PROXY_BAD;
	}
	const char *wrong = "a flawed one (bare LF)";
	*proxy = (struct edge_proxy){.len = end + 1, .version = 1};
	if (bytes.at[end - 1] == '\r')
		wrong = parse_line((struct span){.at = bytes.at, .len = end - 1}, proxy);
	if (!wrong)
		return PROXY_DONE;
	err_set(got, ERR_SYNTAX, "%s", wrong);
	return PROXY_BAD;
}

/* ---- what it is ---- */

/* Whether one of the words begins so, as far as it has come; or is it all, and more behind. */
static bool speaks(struct span bytes, const char *const *words)
{
	for (; *words; words++) {
		struct span word = span_of(*words), begin = bytes;
		if (begin.len > word.len)
			begin.len = word.len;
		word.len = begin.len;
		if (span_eq_nocase(begin, word))
			return true;
	}
	return false;
}

static const char *name_stranger(struct span bytes)
{
	static const char *const smtp[] = {"EHLO", "HELO", "LHLO", "MAIL", "RCPT", "DATA", "RSET",
		"NOOP", "QUIT", "STARTTLS", "HELP", "VRFY", "AUTH ", "XCLIENT", NULL};
	static const char *const http[] = {"GET ", "POST ", "HEAD ", "PUT ", "OPTIONS ", "CONNECT ",
		"DELETE ", "PATCH ", "TRACE ", "PRI ", NULL};
	if (bytes.at[0] == 0x16)
		return "TLS";
	if (speaks(bytes, smtp))
		return "SMTP";
	if (speaks(bytes, http))
		return "HTTP";
	return "something else";
}

enum edge_proxy_verdict edge_proxy_parse(
	struct span bytes, struct edge_proxy *proxy_r, struct err_text *got)
{
	if (bytes.len == 0)
		return PROXY_MORE;
	if (agree(bytes, v1_begin))
		return parse_v1(bytes, proxy_r, got);
	if (agree(bytes, EDGE_PROXY_V2_SIGNATURE))
		return edge_proxy_parse_v2(bytes, proxy_r, got);
	err_set(got, ERR_SYNTAX, "%s", name_stranger(bytes));
	return PROXY_BAD;
}
