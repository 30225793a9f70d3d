/*
 * What settings become.  Everything lives in the conf's arena.
 *
 * All lists have one layout, so that one body fills them: the items, how many, where each was
 * written, and which of the row's special words (bit i: words[i]) stood among them.
 */
#ifndef CONF_VALUE_H
#define CONF_VALUE_H

#include "base/addr.h"
#include "conf/report.h"

struct conf_block;

#define CONF_LIST_OF(type)                                                                         \
	{                                                                                          \
		type *at;                                                                          \
		size_t count;                                                                      \
		const struct conf_place *places; /* of each item */                                \
		uint64_t words;                                                                    \
		size_t room; /* private */                                                         \
	}

/* "14/s", "50000/day", "100000/month" (a month is 30 days). */
struct conf_rate {
	int64_t count;
	int64_t per; /* microseconds */
};

/* Where a server listens: "mta1.internal:25", "10.0.0.1:25", "[2001:db8::1]:25", "unix:/path". */
struct conf_endpoint {
	const char *host; /* the name to look up, lower case; NULL when `addr` says it all */
	struct addr addr; /* ADDR_NONE when `host` is set; with port otherwise */
	uint16_t port;    /* in both cases; 0 for unix */
	const char *text; /* as written */
};

/* "example.com" alone, or with `under` (".example.com") that domain and all below it. */
struct conf_domain {
	const char *name; /* lower case, without the leading dot */
	bool under;
};

struct conf_numbers CONF_LIST_OF(int64_t);
struct conf_rates CONF_LIST_OF(struct conf_rate);
struct conf_texts CONF_LIST_OF(const char *); /* words, strings, names, paths, hosts */
struct conf_addrs CONF_LIST_OF(struct addr);
struct conf_endpoints CONF_LIST_OF(struct conf_endpoint);
struct conf_networks CONF_LIST_OF(struct network);
struct conf_domains CONF_LIST_OF(struct conf_domain);
struct conf_refs CONF_LIST_OF(const struct conf_block *);

/* Whether the domain (any case, no trailing dot) is the one named or lies under it. */
bool conf_domain_has(const struct conf_domain *domain, struct span name);

#endif
