/*
 * Hosts, addresses, networks and domains.
 */
#include "conf/type.h"

#include <stdio.h>
#include <string.h>

static bool complain(struct conf_statement *statement, const struct conf_token *token,
	const struct conf_directive *row, const char *why)
{
	struct buf wanted = {0};

	conf_row_wanted(row, &wanted);
	conf_report_error(
		statement->report, token->place, CONF_SHOWN ": %s", CONF_SHOW(token->text), why);
	conf_report_hint(statement->report, "expected %s", buf_string(&wanted));
	conf_hint_word(statement, token, row);
	buf_clear(&wanted);
	return false;
}

/* ---- names of hosts and domains ---- */

static bool is_label_char(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       c == '-' || c == '_';
}

/* What is wrong with one label of a name, or NULL.  An underscore is against RFC 1123 section 2.1
 * but found in the wild (Docker, Windows), and harmless. */
static const char *label_fault(struct span label)
{
	if (label.len == 0)
		return "an empty part between dots";
	if (label.len > 63)
		return "a part is longer than 63 characters";
	for (size_t i = 0; i < label.len; i++) {
		if ((unsigned char)label.at[i] >= 0x80)
			return "write the name in its ASCII form (xn--...)";
		if (!is_label_char(label.at[i]))
			return "not a host name";
	}
	if (label.at[0] == '-' || label.at[label.len - 1] == '-')
		return "a part begins or ends with \"-\"";
	return NULL;
}

static const char *name_fault(struct span name)
{
	uint64_t number;

	if (name.len == 0)
		return "the name is empty";
	if (name.len > 253)
		return "longer than 253 characters";
	if (name.at[name.len - 1] == '.')
		return "leave out the dot at the end";
	for (struct span rest = name;;) {
		struct span label = {.at = rest.at, .len = span_find(rest, '.')};
		const char *fault = label_fault(label);

		if (fault)
			return fault;
		if (label.len == rest.len) /* the last label of a name is never a number */
			return span_to_u64(label, UINT64_MAX, &number) ? "not an address" : NULL;
		rest = span_from(rest, label.len + 1);
	}
}

static const char *lower(struct arena *arena, struct span text)
{
	char *copy = arena_string(arena, text);

	for (char *c = copy; *c; c++) {
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c - 'A' + 'a');
	}
	return copy;
}

bool conf_read_host(struct conf_statement *statement, const struct conf_token *token,
	const struct conf_directive *row, void *to)
{
	const char *fault = name_fault(token->text), *name;

	if (fault)
		return complain(statement, token, row, fault);
	name = lower(statement->arena, token->text);
	memcpy(to, &name, sizeof(name));
	return true;
}

bool conf_read_domain(struct conf_statement *statement, const struct conf_token *token,
	const struct conf_directive *row, void *to)
{
	struct span name = token->text;
	struct conf_domain domain = {.under = name.len > 1 && name.at[0] == '.'};
	const char *fault;

	if (name.len > 2 && name.at[0] == '*' && name.at[1] == '.') {
		complain(statement, token, row, "no wildcards here");
		conf_report_hint(statement->report, "did you mean " CONF_SHOWN "?",
			CONF_SHOW(span_from(name, 1)));
		return false;
	}
	if (span_find(name, '@') < name.len)
		return complain(statement, token, row, "a mail address, not a domain");
	if (domain.under)
		name = span_from(name, 1);
	fault = name_fault(name);
	if (fault)
		return complain(statement, token, row, fault);
	domain.name = lower(statement->arena, name);
	memcpy(to, &domain, sizeof(domain));
	return true;
}

bool conf_domain_has(const struct conf_domain *domain, struct span name)
{
	struct span own = span_of(domain->name);

	if (span_eq_nocase(own, name))
		return true;
	return domain->under && name.len > own.len + 1 && span_ends_nocase(name, own) &&
	       name.at[name.len - own.len - 1] == '.';
}

/* ---- addresses ---- */

bool conf_read_addr(struct conf_statement *statement, const struct conf_token *token,
	const struct conf_directive *row, void *to)
{
	struct addr addr;

	if (addr_parse(token->text, &addr) != ERR_OK)
		return complain(statement, token, row, "not an address");
	memcpy(to, &addr, sizeof(addr));
	return true;
}

/* Everything in front of the last colon, and what is behind it; without one the host is all. */
static struct span split_port(struct span text, struct span *port_r)
{
	struct span host = text;

	*port_r = (struct span){0};
	while (host.len > 0 && host.at[host.len - 1] != ':')
		host.len--;
	if (host.len == 0)
		return text;
	*port_r = span_from(text, host.len);
	host.len--;
	return host;
}

static bool is_bare_ip6(struct span text)
{
	struct addr addr;

	return span_find(text, '[') == text.len && addr_parse(text, &addr) == ERR_OK &&
	       span_find(text, ':') < text.len;
}

/* Why "HOST:PORT" can't be one; NULL when nothing can be said. */
static const char *port_fault(struct span text)
{
	struct span port, host = split_port(text, &port);
	uint64_t number;

	if (span_starts_nocase(text, "unix:"))
		return text.len == 5 ? "the path is missing" : "the path is longer than 103 bytes";
	if (is_bare_ip6(text) || (is_bare_ip6(host) && port.len > 0))
		return "an IPv6 address stands in brackets";
	if (host.len == text.len || (host.at[0] == '[' && host.at[host.len - 1] != ']'))
		return "the port is missing";
	if (span_is(host, "*"))
		return "write 0.0.0.0 for all IPv4 addresses, [::] for all IPv6 ones";
	if (!span_to_u64(port, UINT64_MAX, &number))
		return "the port is not a number";
	if (number == 0 || number > UINT16_MAX)
		return "the port is not between 1 and 65535";
	return NULL;
}

static bool unix_is_absolute(const struct addr *addr)
{
	return addr->family != ADDR_UNIX || addr->path[0] == '/';
}

bool conf_read_addr_port(struct conf_statement *statement, const struct conf_token *token,
	const struct conf_directive *row, void *to)
{
	struct addr addr = {0};
	const char *fault;

	if (addr_parse_port(token->text, &addr) == ERR_OK &&
		(addr.family == ADDR_UNIX || addr.port > 0)) {
		if (!unix_is_absolute(&addr))
			return complain(
				statement, token, row, "the path does not begin with \"/\"");
		memcpy(to, &addr, sizeof(addr));
		return true;
	}
	fault = port_fault(token->text);
	return complain(statement, token, row, fault ? fault : "not an address");
}

bool conf_read_endpoint(struct conf_statement *statement, const struct conf_token *token,
	const struct conf_directive *row, void *to)
{
	struct conf_endpoint endpoint = {0};
	struct span port, host = split_port(token->text, &port);
	const char *fault = NULL;
	uint64_t number;

	if (addr_parse_port(token->text, &endpoint.addr) == ERR_OK &&
		(endpoint.addr.family == ADDR_UNIX || endpoint.addr.port > 0)) {
		if (!unix_is_absolute(&endpoint.addr))
			fault = "the path does not begin with \"/\"";
		endpoint.port = endpoint.addr.port;
	} else {
		fault = port_fault(token->text);
		if (!fault)
			fault = name_fault(host);
		if (!fault && span_to_u64(port, UINT16_MAX, &number)) {
			endpoint.host = lower(statement->arena, host);
			endpoint.port = (uint16_t)number;
		}
	}
	if (fault)
		return complain(statement, token, row, fault);
	endpoint.text = arena_string(statement->arena, token->text);
	memcpy(to, &endpoint, sizeof(endpoint));
	return true;
}

/* ---- networks ---- */

static void clear_host_bits(struct addr *addr, unsigned bits)
{
	uint8_t *bytes = addr->family == ADDR_IP4 ? addr->ip4 : addr->ip6;
	unsigned width = addr->family == ADDR_IP4 ? 32 : 128;

	for (unsigned bit = bits; bit < width; bit++)
		bytes[bit / 8] &= (uint8_t) ~(0x80u >> bit % 8);
}

/* "10.0.0.1/8": a slip, and which of the two was meant can't be told. */
static void suggest_network(struct conf_statement *statement, struct span text)
{
	size_t slash = span_find(text, '/');
	struct span host = {.at = text.at, .len = slash};
	char base[ADDR_TEXT];
	struct addr addr;
	uint64_t bits;

	if (slash == text.len || addr_parse(host, &addr) != ERR_OK ||
		!span_to_u64(span_from(text, slash + 1), 128, &bits))
		return;
	if (addr.family == ADDR_IP4 && bits > 32)
		return;
	clear_host_bits(&addr, (unsigned)bits);
	addr_text(&addr, base);
	conf_report_hint(statement->report, "did you mean %s/%u, or the address %.*s alone?", base,
		(unsigned)bits, SPAN_ARG(host));
}

bool conf_read_network(struct conf_statement *statement, const struct conf_token *token,
	const struct conf_directive *row, void *to)
{
	struct network network;

	switch (network_parse(token->text, &network)) {
	case ERR_OK:
		memcpy(to, &network, sizeof(network));
		return true;
	case ERR_RANGE:
		complain(statement, token, row, "bits are set behind the prefix");
		suggest_network(statement, token->text);
		return false;
	default:
		return complain(statement, token, row, "not a network");
	}
}
