/*
 * The settings that are nobody else's, and the table of all rooms' settings.
 */
#include "bin/settings.h"

#include <string.h>

#include "base/when.h"
#include "edge/edge.h"
#include "pool/pool_conf.h"
#include "relay/relay_conf.h"

enum { WORKERS_AUTO_MAX = 4 };

static const char *const auto_words[] = {"auto", NULL};
static const char *const format_words[] = {"auto", "json", "text", NULL};

#define AT(field) offsetof(struct bin_settings, field)

static const struct conf_directive top_rows[] = {
	{"hostname", CONF_HOST, AT(hostname),
		.help = "Our name in the banner and in EHLO. Default: the machine's host name.",
		.example = "hostname mx.example.com;"},
	{"state", CONF_PATH, AT(state),
		.help = "Directory for what should outlive a restart. Without it nothing is kept.",
		.example = "state /var/lib/mailweir;"},
	{"workers", CONF_INT, AT(workers), .fallback = "auto", .min = 1, .max = WORKERS_MAX,
		.words = auto_words,
		.help = "Processes that carry mail. `auto` is the number of processors, at most 4, "
			"since warm connections to the servers grow as workers times servers.",
		.example = "workers 2;"},
	{"drain-timeout", CONF_DURATION, AT(drain_timeout), .fallback = "11min", .min = SECOND,
		.max = DAY,
		.help = "How long the sessions of a replaced or stopping process may go on until "
			"they are ended with 421 at the next message border. Below 11 minutes a "
			"message that a server takes long to confirm may be cut off.",
		.example = "drain-timeout 2min;"},
	{"log", CONF_BLOCK, .kind = "log", .flags = CONF_ALWAYS,
		.help = "Where the log goes: one JSON object a line.",
		.example = "log /var/log/mailweir.log format=json;"},
};

static const struct conf_directive log_rows[] = {
	{"target", CONF_WORD, offsetof(struct log_settings, target), .fallback = "stderr",
		.flags = CONF_ARG, .help = "`stderr`, or the path of a file that is appended to."},
	{"format", CONF_ENUM, offsetof(struct log_settings, format), .words = format_words,
		.fallback = "auto",
		.help = "`json`, `text` for people, or `auto`: text on a terminal, else JSON.",
		.example = "format json;"},
};

static const struct conf_directive listener_rows[] = {
	{"bind", CONF_ADDR_PORT, offsetof(struct bind_settings, bind),
		.flags = CONF_LIST | CONF_REQUIRED, .help = "Addresses to listen on.",
		.example = "bind 0.0.0.0:25 [::]:25;"},
};

const struct bin_settings *bin_settings_of(const struct conf *conf)
{
	return conf_get(conf_root(conf), &bin_top_section);
}

const struct log_settings *log_settings_of(const struct conf *conf)
{
	return conf_get(conf_first(conf_root(conf), "log"), &bin_log_section);
}

const struct conf_addrs *bind_addrs_of(const struct conf_block *listener)
{
	const struct bind_settings *settings = conf_get(listener, &bin_listener_section);
	return &settings->bind;
}

unsigned workers_of(const struct conf *conf, unsigned processors)
{
	int64_t workers = bin_settings_of(conf)->workers;
	if (workers > 0)
		return (unsigned)workers;
	if (processors < 1)
		return 1;
	return processors < WORKERS_AUTO_MAX ? processors : WORKERS_AUTO_MAX;
}

static void log_check(
	const struct conf_block *block, const void *values, struct conf_report *report)
{
	const struct log_settings *settings = values;
	if (strcmp(settings->target, "stderr") == 0 || settings->target[0] == '/')
		return;
	conf_report_error(report, conf_place(block, "target"), "not a place for a log");
	conf_report_hint(report, "expected stderr, or a path that begins with /");
}

/* Whether the address stands in a listener before `block`, or before item `index` in it. */
static bool bound_before(const struct conf_block *block, size_t index, struct conf_place *first_r)
{
	const struct conf_addrs *mine = bind_addrs_of(block);
	CONF_EACH(other, block->parent, "listener")
	{
		const struct conf_addrs *theirs = bind_addrs_of(other);
		size_t end = other == block ? index : theirs->count;
		for (size_t i = 0; i < end; i++) {
			if (addr_eq(&theirs->at[i], &mine->at[index])) {
				*first_r = theirs->places[i];
				return true;
			}
		}
		if (other == block)
			return false;
	}
	return false;
}

/* Servers trust this machine's address, often as one of their own networks.  Where they aren't told
 * who the client is, they would take any stranger for us and relay for him. */
static void check_open_relay(const struct conf_block *block, struct conf_report *report)
{
	const struct edge_settings *edge = conf_get(block, &edge_listener_section);
	const struct relay_settings *relay = conf_get(block, &relay_listener_section);
	for (size_t i = 0; edge->relay_to.words && i < relay->send_to.count; i++) {
		const struct conf_block *pool = relay->send_to.at[i];
		const struct pool_settings *settings = conf_get(pool, &pool_section);
		if (settings->pass_client != POOL_PASS_NONE)
			continue;
		conf_report_error(report, conf_place(block, "relay-to"),
			"any-recipient makes an open relay: pool \"%s\" isn't told who the client "
			"is, and would take everybody for this machine",
			pool->name);
		conf_report_hint(report, "name the domains that anybody may send to, such as: "
					 "relay-to example.com;");
		conf_report_note(report, conf_place(pool, "pass-client"), "written here");
		return;
	}
}

/* Two sockets on one address would share its clients by chance. */
static void listener_check(
	const struct conf_block *block, const void *values, struct conf_report *report)
{
	check_open_relay(block, report);
	const struct bind_settings *settings = values;
	for (size_t i = 0; i < settings->bind.count; i++) {
		struct conf_place first;
		if (settings->bind.at[i].port != 0 && bound_before(block, i, &first)) {
			conf_report_error(report, settings->bind.places[i], "bound twice");
			conf_report_note(report, first, "first written here");
		}
	}
}

const struct conf_section bin_top_section = CONF_SECTION("", sizeof(struct bin_settings), top_rows);
const struct conf_section bin_log_section =
	CONF_SECTION("log", sizeof(struct log_settings), log_rows, .check = log_check);
const struct conf_section bin_listener_section = CONF_SECTION(
	"listener", sizeof(struct bind_settings), listener_rows, .check = listener_check);
