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
	struct conf_networks proxy_from; /* proxies that say who the client is; default none */
	int64_t proxy_timeout;           /* for their header */
	int64_t max_sessions;            /* of this listener, over all workers */
	int64_t max_sessions_per_client; /* from one address, per worker */
};

extern const struct conf_section edge_listener_section;

/* One worker's view: how many sessions each address has open. */
struct edge;

struct edge *edge_new(struct sys *sys);
void edge_free(struct edge **edge);

/* Whether one more fits.  `open`: sessions of the listener over all workers, without this one. */
bool edge_room(const struct edge *edge, const struct edge_settings *settings, int64_t open);
/* False: too many from this address.  Else it is counted, until edge_leave(). */
bool edge_enter(struct edge *edge, const struct edge_settings *settings, const struct addr *peer);
void edge_leave(struct edge *edge, const struct addr *peer);

/* A proxy in proxy-from: its connections begin with a PROXY header. */
bool edge_is_proxy(const struct edge_settings *settings, const struct addr *peer);
/* A client in relay-from. */
bool edge_trusted(const struct edge_settings *settings, const struct addr *peer);
/*
 * Whether a recipient may be handed on: anything for the trusted; for others its domain must be
 * in relay-to, without a source route and without a local part that could be routed on ("u%b").
 * "<postmaster>" without a domain is for whoever takes mail for a domain here (RFC 5321 4.5.1).
 */
bool edge_may_relay(const struct edge_settings *settings, bool trusted, const struct smtp_path *to);

#endif
