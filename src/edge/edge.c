/*
 * The edge's settings and its decisions.  Sessions are counted per address in a table keyed by a
 * secret: the keys are strangers' addresses.
 */
#include "edge/edge.h"

#include <stdlib.h>
#include <string.h>

#define SPARE_SOCKETS 64 /* for servers, the log, checks: never given to clients */
#define ANY_RECIPIENT 1u /* bit of the word in relay-to */

/* ---- settings ---- */

static const char *const any_words[] = {"any-recipient", NULL};

static const struct conf_directive rows[] = {
	{"relay-from", CONF_NETWORK, offsetof(struct edge_settings, relay_from),
		.flags = CONF_LIST | CONF_FILE | CONF_REPEATABLE,
		.help = "Networks whose clients may send to any recipient. Nobody by default.",
		.example = "relay-from 10.0.0.0/8 2001:db8::/32;"},
	{"relay-to", CONF_DOMAIN, offsetof(struct edge_settings, relay_to), .words = any_words,
		.flags = CONF_LIST | CONF_FILE | CONF_REPEATABLE,
		.help = "Domains that anybody may send to: exact names, or with a leading dot the "
			"domain and all "
			"below it. None by default. The word any-recipient hands every recipient "
			"on and leaves "
			"the decision to the servers; not with `pass-client none`, since they "
			"would take every client for this machine.",
		.example = "relay-to example.com .lists.example.com;"},
	{"proxy-from", CONF_NETWORK, offsetof(struct edge_settings, proxy_from),
		.flags = CONF_LIST | CONF_FILE | CONF_REPEATABLE,
		.help = "Proxies in front of this listener. Their connections must begin with a "
			"PROXY header (version 1 or 2), and the client it names is the client for "
			"relay-from, limits, balancing and log; without one they are closed. From "
			"elsewhere a PROXY header ends the session. None by default.",
		.example = "proxy-from 10.0.0.5 10.0.0.6;"},
	{"proxy-timeout", CONF_DURATION, offsetof(struct edge_settings, proxy_timeout),
		.fallback = "5s", .min = SECOND / 10, .max = MINUTE,
		.help = "The PROXY header must come within this time; the banner waits for it.",
		.example = "proxy-timeout 3s;"},
	{"max-sessions", CONF_INT, offsetof(struct edge_settings, max_sessions), .fallback = "5000",
		.min = 1, .max = 1000000,
		.help = "Sessions open at once on this listener, over all workers, give or take "
			"one a worker; one more is answered 421.",
		.example = "max-sessions 2000;"},
	{"max-sessions-per-client", CONF_INT,
		offsetof(struct edge_settings, max_sessions_per_client), .fallback = "200",
		.min = 1, .max = 1000000,
		.help = "Sessions open at once from one address, counted by each worker on its "
			"own.",
		.example = "max-sessions-per-client 50;"},
};

/* Trust in more of the internet than anybody owns. */
static void check_trust(const struct conf_networks *networks, const char *name, const char *hint,
	struct conf_report *report)
{
	for (size_t i = 0; i < networks->count; i++) {
		const struct network *network = &networks->at[i];
		if (network_is_private(network) ||
			network->bits >= (network->base.family == ADDR_IP4 ? 16u : 32u))
			continue;
		conf_report_error(
			report, networks->places[i], "%s covers public address space", name);
		conf_report_hint(report, "%s", hint);
	}
}

static void check(const struct conf_block *block, const void *values, struct conf_report *report)
{
	const struct edge_settings *settings = values;
	check_trust(&settings->relay_from, "relay-from",
		"name the networks of your own clients; a wider one makes an open relay", report);
	check_trust(&settings->proxy_from, "proxy-from",
		"name your own proxies; whoever is in it may say that it is any client", report);
	if (settings->proxy_from.count == 0 && conf_written(block, "proxy-timeout"))
		conf_report_warning(report, conf_place(block, "proxy-timeout"),
			"without proxy-from nobody sends a PROXY header");
	if ((settings->relay_to.words & ANY_RECIPIENT) && settings->relay_to.count > 0)
		conf_report_warning(report, conf_place(block, "relay-to"),
			"any-recipient makes the domains beside it superfluous");
	if (settings->relay_from.count == 0 && settings->relay_to.count == 0 &&
		settings->relay_to.words == 0) {
		conf_report_warning(
			report, block->place, "nobody may send anything through this listener");
		conf_report_hint(report, "relay-from NETWORK; lets clients send out, relay-to "
					 "DOMAIN; takes mail in");
	}
}

const struct conf_section edge_listener_section =
	CONF_SECTION("listener", sizeof(struct edge_settings), rows, .check = check);

/* ---- admission ---- */

struct visitor {
	struct visitor *next; /* in its bucket */
	struct addr addr;
	int64_t sessions;
};

#define BUCKETS 4096

struct edge {
	struct sys *sys;
	struct hash_key key;
	struct visitor *bucket[BUCKETS];
};

struct edge *edge_new(struct sys *sys)
{
	struct edge *edge = mem_new(sizeof *edge);
	edge->sys = sys;
	sys_random(sys, &edge->key, sizeof edge->key);
	return edge;
}

void edge_free(struct edge **edge)
{
	if (!*edge)
		return;
	for (size_t i = 0; i < BUCKETS; i++)
		for (struct visitor *visitor = (*edge)->bucket[i], *next; visitor; visitor = next) {
			next = visitor->next;
			free(visitor);
		}
	free(*edge);
	*edge = NULL;
}

/* The link that points to the address's visitor, or the NULL at the end of its bucket. */
static struct visitor **find(struct edge *edge, const struct addr *addr)
{
	size_t len = addr->family == ADDR_IP4 ? 4 : addr->family == ADDR_IP6 ? 16 : 0;
	uint64_t hash = hash_bytes(&edge->key, addr->ip6, len);
	struct visitor **link = &edge->bucket[hash % BUCKETS];
	while (*link && !addr_host_eq(&(*link)->addr, addr))
		link = &(*link)->next;
	return link;
}

bool edge_room(const struct edge *edge, const struct edge_settings *settings, int64_t open)
{
	return open < settings->max_sessions &&
	       sys_sockets(edge->sys) + SPARE_SOCKETS <= sys_sockets_limit(edge->sys);
}

bool edge_enter(struct edge *edge, const struct edge_settings *settings, const struct addr *peer)
{
	struct visitor **link = find(edge, peer);
	if (*link && (*link)->sessions >= settings->max_sessions_per_client)
		return false;
	if (!*link) {
		*link = mem_new(sizeof **link);
		(*link)->addr = *peer;
	}
	(*link)->sessions++;
	return true;
}

void edge_leave(struct edge *edge, const struct addr *peer)
{
	struct visitor **link = find(edge, peer), *visitor = *link;
	if (!visitor || --visitor->sessions > 0)
		return;
	*link = visitor->next;
	free(visitor);
}

/* ---- relay control ---- */

static bool any_has(const struct conf_networks *networks, const struct addr *peer)
{
	for (size_t i = 0; i < networks->count; i++)
		if (network_has(&networks->at[i], peer))
			return true;
	return false;
}

bool edge_is_proxy(const struct edge_settings *settings, const struct addr *peer)
{
	return any_has(&settings->proxy_from, peer);
}

bool edge_trusted(const struct edge_settings *settings, const struct addr *peer)
{
	return any_has(&settings->relay_from, peer);
}

bool edge_may_relay(const struct edge_settings *settings, bool trusted, const struct smtp_path *to)
{
	if (trusted || (settings->relay_to.words & ANY_RECIPIENT))
		return true;
	if (to->source_route || smtp_local_reroutes(to->local))
		return false;
	if (to->domain.len == 0)
		return settings->relay_to.count > 0;
	for (size_t i = 0; i < settings->relay_to.count; i++)
		if (conf_domain_has(&settings->relay_to.at[i], to->domain))
			return true;
	return false;
}
