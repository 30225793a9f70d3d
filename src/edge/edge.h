/*
 * Who may come in and what they may ask for: admission of sessions, and relay control.  Says yes
 * or no; the relay words the replies.
 */
#ifndef EDGE_EDGE_H
#define EDGE_EDGE_H

#include "base/rng.h"
#include "conf/conf.h"
#include "net/net.h"
#include "smtp/address.h"

/* The settings of a listener that are the edge's business. */
struct edge_settings {
	struct conf_networks relay_from; /* clients that may send anywhere; default nobody */
	struct conf_domains relay_to;    /* domains that anybody may send to; default none */
	int64_t max_sessions;            /* of this listener, over all workers */
	int64_t max_sessions_per_client; /* from one address, per worker */
};

extern const struct conf_section edge_listener_section;

/* One worker's view: how many sessions each address has open. */
struct edge;

struct edge *edge_new(struct sys *sys);
void edge_free(struct edge **edge);

enum edge_answer {
	EDGE_WELCOME,       /* counted; edge_leave() at its end */
	EDGE_TOO_MANY,      /* sessions, or descriptors, in all */
	EDGE_TOO_MANY_HERE, /* from this address */
};
/* `open`: sessions of the listener over all workers, without this one. */
enum edge_answer edge_admit(struct edge *edge, const struct edge_settings *settings,
	const struct addr *peer, int64_t open);
void edge_leave(struct edge *edge, const struct addr *peer);

/* A client in relay-from. */
bool edge_trusted(const struct edge_settings *settings, const struct addr *peer);
/*
 * Whether a recipient may be handed on: anything for the trusted; for others its domain must be
 * in relay-to, without a source route and without a local part that could be routed on ("u%b").
 * "<postmaster>" without a domain is for whoever takes mail for a domain here (RFC 5321 4.5.1).
 */
bool edge_may_relay(const struct edge_settings *settings, bool trusted, const struct smtp_path *to);

#endif
