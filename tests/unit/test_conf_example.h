/*
 * A vocabulary to try the config language with: much like Mailweir's own, with each type and
 * flag in it.
 */
#ifndef TEST_CONF_EXAMPLE_H
#define TEST_CONF_EXAMPLE_H

#include "base/when.h"
#include "conf/conf.h"

struct ex_top {
	const char *hostname, *state;
	int64_t workers;
};
struct ex_admin {
	struct conf_addrs bind;
};
struct ex_listener {
	const char *name;
	struct conf_addrs bind;
	struct conf_domains relay_to;
	int mixed;
	struct conf_refs send_to;
};
struct ex_edge { /* another room's settings in the listener */
	struct conf_networks relay_from;
	int64_t max_size, replay_limit;
	bool trace;
};
struct ex_tls {
	const char *certificate, *key;
	bool require;
};
struct ex_auth {
	uint64_t mechanisms;
	const char *users;
};
struct ex_pool {
	int64_t queue;
	char balance[64];
};
struct ex_server {
	struct conf_endpoint at;
	int64_t weight, max_connections, share;
	int pass_client;
	struct conf_texts ports;
};
struct ex_server_tls {
	int verify;
};
struct ex_check {
	int kind;
	int64_t interval;
};
struct ex_route {
	unsigned words, parens;
	struct conf_refs send_to;
	struct conf_rate limit;
};

enum { EX_ANY_RECIPIENT = 1 };
static const char *const ex_auto[] = {"auto", NULL};
static const char *const ex_off[] = {"off", NULL};
static const char *const ex_any[] = {"any-recipient", NULL};
static const char *const ex_authenticated[] = {"authenticated", NULL};
static const char *const ex_mixed[] = {"first", "452", "451", NULL};
static const char *const ex_mechanisms[] = {"plain", "login", NULL};
static const char *const ex_pass[] = {"none", "xclient", "proxy-v1", "proxy-v2", NULL};
static const char *const ex_verify[] = {"verify", "encrypt", "off", NULL};
static const char *const ex_checks[] = {"tcp", "smtp", NULL};

/* balance POLICY [FIELD]: the field with hash only. */
static inline bool ex_parse_balance(struct conf_statement *statement, void *to)
{
	static const char *const policies[] = {"least-transactions", "round-robin", "hash", NULL};
	static const struct conf_directive policy = {
		.name = "balance", .type = CONF_ENUM, .words = policies};
	struct buf text = {0};
	int which;

	if (statement->count == 0) {
		conf_report_error(
			statement->report, statement->place, "\"balance\" needs a policy");
		return false;
	}
	if (!conf_value(statement, &statement->values[0], &policy, &which))
		return false;
	if ((statement->count == 2) != (which == 2) || statement->count > 2) {
		conf_report_error(statement->report, statement->place,
			"\"balance %s\" takes %s field", policies[which], which == 2 ? "a" : "no");
		return false;
	}
	for (unsigned i = 0; i < statement->count; i++)
		buf_addf(&text, "%s%.*s", i > 0 ? " " : "", SPAN_ARG(statement->values[i].text));
	if (text.len < 64)
		__builtin_memcpy(to, buf_string(&text), text.len + 1);
	buf_clear(&text);
	return true;
}

/* when EXPR: counts, to show that the tokens arrive. */
static inline bool ex_parse_when(struct conf_statement *statement, void *to)
{
	unsigned *counts = to;

	for (unsigned i = 0; i < statement->count; i++)
		counts[statement->values[i].kind >= CONF_TOKEN_OPEN]++;
	return true;
}

static const struct conf_directive ex_top_rows[] = {
	{"hostname", CONF_HOST, offsetof(struct ex_top, hostname), .flags = CONF_REQUIRED,
		.help = "Our name, in the banner and in EHLO.",
		.example = "hostname mx.example.com;"},
	{"state", CONF_PATH, offsetof(struct ex_top, state), .fallback = "/var/lib/mailweir",
		.help = "Where state is kept.", .example = "state /var/lib/mailweir;"},
	{"workers", CONF_INT, offsetof(struct ex_top, workers), .fallback = "auto", .min = 1,
		.max = 64, .words = ex_auto, .help = "How many workers run.",
		.example = "workers 2;"},
	{"admin", CONF_BLOCK, .kind = "admin", .flags = CONF_ALWAYS,
		.help = "Where we are asked and told things.",
		.example = "admin { bind 127.0.0.1:8025; }"},
	{"listener", CONF_BLOCK, .kind = "listener", .flags = CONF_REPEATABLE | CONF_REQUIRED,
		.help = "Where clients connect.",
		.example = "listener inbound { bind 0.0.0.0:25; send-to farm; }"},
	{"pool", CONF_BLOCK, .kind = "pool", .flags = CONF_REPEATABLE,
		.help = "Servers that share the mail.",
		.example = "pool farm { server mta1 10.0.0.1:25; }"},
	{"route", CONF_BLOCK, .kind = "route", .flags = CONF_REPEATABLE,
		.help = "Which mail goes elsewhere.",
		.example = "route urgent { when (class is bulk); send-to farm; }"},
};
static const struct conf_directive ex_admin_rows[] = {
	{"bind", CONF_ADDR_PORT, offsetof(struct ex_admin, bind), .flags = CONF_LIST,
		.fallback = "127.0.0.1:8025", .help = "Addresses to listen on.",
		.example = "bind unix:/run/mailweir/admin.sock 127.0.0.1:8025;"},
};
static const struct conf_directive ex_listener_rows[] = {
	{"name", CONF_NAME, offsetof(struct ex_listener, name), .flags = CONF_ARG,
		.help = "What logs and metrics call it."},
	{"bind", CONF_ADDR_PORT, offsetof(struct ex_listener, bind),
		.flags = CONF_LIST | CONF_REPEATABLE | CONF_REQUIRED,
		.help = "Addresses to listen on.", .example = "bind 0.0.0.0:25 [::]:25;"},
	{"relay-to", CONF_DOMAIN, offsetof(struct ex_listener, relay_to),
		.flags = CONF_LIST | CONF_FILE | CONF_REPEATABLE, .words = ex_any,
		.help = "Domains that anybody may send to.", .example = "relay-to example.com;"},
	{"mixed-recipients", CONF_ENUM, offsetof(struct ex_listener, mixed), .words = ex_mixed,
		.fallback = "first", .help = "What happens to recipients of another route.",
		.example = "mixed-recipients 452;"},
	{"send-to", CONF_REF, offsetof(struct ex_listener, send_to), .kind = "pool",
		.flags = CONF_LIST | CONF_REQUIRED, .help = "Pools, in order of preference.",
		.example = "send-to farm spare;"},
	{"tls", CONF_BLOCK, .kind = "listener.tls", .help = "STARTTLS for clients.",
		.example = "tls certificate=/etc/a.pem key=/etc/a.key;"},
	{"auth", CONF_BLOCK, .kind = "listener.auth", .help = "AUTH for clients.",
		.example = "auth plain login users=/etc/users;"},
};
static const struct conf_directive ex_edge_rows[] = {
	{"relay-from", CONF_NETWORK, offsetof(struct ex_edge, relay_from),
		.flags = CONF_LIST | CONF_FILE, .words = ex_authenticated,
		.help = "Who may send to anybody.", .example = "relay-from 10.0.0.0/8;"},
	{"max-size", CONF_SIZE, offsetof(struct ex_edge, max_size), .fallback = "50MiB",
		.min = 64 * 1024, .help = "The largest message.", .example = "max-size 25MiB;"},
	{"replay-limit", CONF_SIZE, offsetof(struct ex_edge, replay_limit), .fallback = "1MiB",
		.words = ex_off, .help = "How much of a message is kept.",
		.example = "replay-limit 4MiB;"},
	{"trace", CONF_FLAG, offsetof(struct ex_edge, trace), .fallback = "yes",
		.help = "Whether a Received header is added.", .example = "trace no;"},
};
static const struct conf_directive ex_tls_rows[] = {
	{"certificate", CONF_PATH, offsetof(struct ex_tls, certificate), .flags = CONF_REQUIRED,
		.help = "The certificate chain.", .example = "certificate /etc/a.pem;"},
	{"key", CONF_PATH, offsetof(struct ex_tls, key), .flags = CONF_REQUIRED,
		.help = "The private key.", .example = "key /etc/a.key;"},
	{"require", CONF_FLAG, offsetof(struct ex_tls, require), .fallback = "no",
		.help = "Refuse mail without TLS.", .example = "require yes;"},
};
static const struct conf_directive ex_auth_rows[] = {
	{"mechanisms", CONF_ENUM, offsetof(struct ex_auth, mechanisms), .words = ex_mechanisms,
		.flags = CONF_ARG | CONF_LIST, .help = "The mechanisms offered."},
	{"users", CONF_WORD, offsetof(struct ex_auth, users), .flags = CONF_REQUIRED,
		.help = "Where the users are.", .example = "users /etc/users;"},
};
static const struct conf_directive ex_pool_rows[] = {
	{"name", CONF_NAME, .flags = CONF_ARG | CONF_NO_STORE, .help = "What send-to calls it."},
	{"queue", CONF_DURATION, offsetof(struct ex_pool, queue), .fallback = "20s",
		.max = 10 * MINUTE, .help = "How long to wait for a free connection.",
		.example = "queue 20s;"},
	{"balance", CONF_CUSTOM, offsetof(struct ex_pool, balance), .size = 64,
		.parse = ex_parse_balance, .values = "POLICY [FIELD]",
		.fallback = "least-transactions", .help = "How a server is chosen.",
		.example = "balance hash sender;"},
	{"server", CONF_BLOCK, .kind = "server", .flags = CONF_REPEATABLE | CONF_REQUIRED,
		.help = "One of the servers.", .example = "server mta1 10.0.0.1:25 weight=2;"},
	{"check", CONF_BLOCK, .kind = "pool.check", .flags = CONF_ALWAYS,
		.help = "How health is checked.", .example = "check smtp interval=5s;"},
};
static const struct conf_directive ex_server_rows[] = {
	{"name", CONF_NAME, .flags = CONF_ARG | CONF_NO_STORE | CONF_UNIQUE,
		.help = "What drain calls it."},
	{"address", CONF_ENDPOINT, offsetof(struct ex_server, at), .flags = CONF_ARG,
		.help = "Where it listens."},
	{"weight", CONF_INT, offsetof(struct ex_server, weight), .fallback = "1", .min = 1,
		.max = 256, .flags = CONF_INHERIT, .help = "Its part of the mail.",
		.example = "weight 2;"},
	{"max-connections", CONF_INT, offsetof(struct ex_server, max_connections), .fallback = "50",
		.min = 1, .max = 10000, .flags = CONF_INHERIT,
		.help = "Connections to it over all workers.", .example = "max-connections 20;"},
	{"share", CONF_PERCENT, offsetof(struct ex_server, share), .fallback = "12.5%",
		.help = "A percentage, to try that type.", .example = "share 0.3%;"},
	{"pass-client", CONF_ENUM, offsetof(struct ex_server, pass_client), .words = ex_pass,
		.flags = CONF_INHERIT | CONF_REQUIRED, .help = "How it learns who the client is.",
		.example = "pass-client xclient;"},
	{"header", CONF_STRING, offsetof(struct ex_server, ports), .flags = CONF_REPEATABLE,
		.help = "A header for it, to try repeating.", .example = "header \"X-A: b\";"},
	{"tls", CONF_BLOCK, .kind = "server.tls", .flags = CONF_INHERIT,
		.help = "TLS towards servers.", .example = "tls verify;"},
};
static const struct conf_directive ex_server_tls_rows[] = {
	{"mode", CONF_ENUM, offsetof(struct ex_server_tls, verify), .words = ex_verify,
		.flags = CONF_ARG, .fallback = "verify", .help = "How much TLS is wanted."},
};
static const struct conf_directive ex_check_rows[] = {
	{"kind", CONF_ENUM, offsetof(struct ex_check, kind), .words = ex_checks, .flags = CONF_ARG,
		.fallback = "smtp", .help = "How far a check goes."},
	{"interval", CONF_DURATION, offsetof(struct ex_check, interval), .fallback = "5s",
		.min = SECOND, .help = "How often it runs.", .example = "interval 2s;"},
};
static const struct conf_directive ex_route_rows[] = {
	{"name", CONF_NAME, .flags = CONF_ARG | CONF_NO_STORE, .help = "What the log calls it."},
	{"when", CONF_CUSTOM, offsetof(struct ex_route, words), .size = 2 * sizeof(unsigned),
		.parse = ex_parse_when, .values = "EXPR", .flags = CONF_PARENS,
		.help = "Which mail it takes.", .example = "when (class is bulk);"},
	{"send-to", CONF_REF, offsetof(struct ex_route, send_to), .kind = "pool",
		.flags = CONF_LIST, .help = "Pools, in order of preference.",
		.example = "send-to farm spare;"},
	{"limit", CONF_RATE, offsetof(struct ex_route, limit), .min = 1,
		.help = "How much of it, to try that type.", .example = "limit 14/s;"},
};

/* A check that points at a setting, and one with two places. */
static inline void ex_listener_check(
	const struct conf_block *block, const void *values, struct conf_report *report)
{
	const struct ex_listener *listener = values;

	CONF_EACH(other, block->parent, "listener")
	{
		extern const struct conf_section ex_listener_section;
		const struct ex_listener *theirs = conf_get(other, &ex_listener_section);

		if (other == block)
			break;
		for (size_t i = 0; i < listener->bind.count; i++) {
			for (size_t j = 0; j < theirs->bind.count; j++) {
				if (!addr_eq(&listener->bind.at[i], &theirs->bind.at[j]))
					continue;
				conf_report_error(report, listener->bind.places[i],
					"this address is bound twice");
				conf_report_note(report, theirs->bind.places[j], "also here");
			}
		}
	}
	if (listener->relay_to.words & EX_ANY_RECIPIENT)
		conf_report_warning(report, conf_place(block, "relay-to"), "an open relay");
}

/* A check that says the names around it. */
static inline void ex_server_check(
	const struct conf_block *block, const void *values, struct conf_report *report)
{
	assert_non_null(values);
	if (strcmp(block->parent->name, block->name) == 0)
		conf_report_warning(report, block->place, "a server called as its pool is");
}

#define EX_SECTION(id, kind, type, ...)                                                            \
	const struct conf_section id##_section = CONF_SECTION(kind, type, id##_rows, __VA_ARGS__)
EX_SECTION(ex_top, "", sizeof(struct ex_top));
EX_SECTION(ex_admin, "admin", sizeof(struct ex_admin));
EX_SECTION(ex_listener, "listener", sizeof(struct ex_listener), .check = ex_listener_check);
EX_SECTION(ex_edge, "listener", sizeof(struct ex_edge));
EX_SECTION(ex_tls, "listener.tls", sizeof(struct ex_tls));
EX_SECTION(ex_auth, "listener.auth", sizeof(struct ex_auth));
EX_SECTION(ex_pool, "pool", sizeof(struct ex_pool));
EX_SECTION(ex_server, "server", sizeof(struct ex_server), .check = ex_server_check);
EX_SECTION(ex_server_tls, "server.tls", sizeof(struct ex_server_tls));
EX_SECTION(ex_check, "pool.check", sizeof(struct ex_check));
EX_SECTION(ex_route, "route", sizeof(struct ex_route));

static const struct conf_section *const ex_sections[] = {&ex_top_section, &ex_admin_section,
	&ex_listener_section, &ex_edge_section, &ex_tls_section, &ex_auth_section, &ex_pool_section,
	&ex_server_section, &ex_server_tls_section, &ex_check_section, &ex_route_section};
static const struct conf_vocabulary ex_vocabulary = {
	.sections = ex_sections, .count = sizeof(ex_sections) / sizeof(ex_sections[0])};

/* Lists, as a file system of three files. */
static inline enum err ex_read(void *arg, const char *path, struct buf *into, struct err_text *text)
{
	if (span_is(SPAN("/lists/domains"), path)) {
		buf_add_text(into,
			"\xef\xbb\xbf# ours\r\nexample.com\r\n\r\n  .example.org  # and below\r\n");
		return ERR_OK;
	}
	if (span_is(SPAN("/lists/networks"), path)) {
		buf_add_text(into, "10.0.0.0/8\n\n2001:db8::/32");
		return ERR_OK;
	}
	if (span_is(SPAN("/lists/bad"), path)) {
		buf_add_text(
			into, "example.com\n\tbad domain\nfine.example\n*.example.net\n\xff\n");
		return ERR_OK;
	}
	return err_set(text, ERR_MISSING, "No such file or directory");
}
static const struct conf_files ex_files = {.read = ex_read};

#endif
