/*
 * The settings of a listener that are the relay's business.
 */
#ifndef RELAY_RELAY_CONF_H
#define RELAY_RELAY_CONF_H

#include "conf/conf.h"

enum relay_long_lines { LONG_LINES_REFUSE, LONG_LINES_PASS };
enum relay_log_addresses { LOG_DOMAINS, LOG_ADDRESSES };

/* What EHLO offers, when it is not left to the servers. */
struct relay_offer {
	bool set;
	uint32_t caps; /* SMTP_CAP_ bits */
};

struct relay_settings {
	const char *name;
	struct conf_refs send_to; /* pools, in order */
	int64_t max_size;         /* octets of a body */
	int64_t max_recipients;   /* of a transaction */
	int64_t max_errors;       /* 5yz replies in a session without an accepted message between */
	int64_t max_idle_commands; /* commands in a session without a transaction between */
	int64_t replay_limit;      /* octets kept for a replay */
	int64_t answer_within;     /* a recipient's verdict */
	int64_t replay_within;     /* after the end of data no attempt begins later */
	int64_t command_timeout;
	int64_t body_timeout;
	int64_t min_rate; /* octets a second */
	bool resend_ambiguous;
	enum relay_long_lines long_lines;
	enum relay_log_addresses log_addresses;
	struct relay_offer offer;
};

extern const struct conf_section relay_top_section; /* opens "listener" */
extern const struct conf_section relay_listener_section;

#endif
