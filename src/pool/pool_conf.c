/*
 * The settings of pools and servers.
 */
#include "pool/pool_conf.h"

#include <assert.h>
#include <string.h>

#include "base/when.h"
#include "board/board.h"

#define POOL(field)   offsetof(struct pool_settings, field)
#define SERVER(field) offsetof(struct pool_server_settings, field)

/* ---- balance POLICY [FIELD] ---- */

/* What the relay knows of a message when its first recipient is there. */
static const char *const fields[] = {
	"client", "sender", "sender-domain", "recipient", "recipient-domain", NULL};

static void expect_policy(struct conf_report *report, struct span text)
{
	const char *names[16];
	size_t count = 0;
	const char *near;

	while (balance_at((int)count)) {
		assert(count < sizeof(names) / sizeof(names[0]));
		names[count] = balance_at((int)count)->name;
		count++;
	}
	near = conf_nearest(text, names, count);
	if (near)
		conf_report_hint(report, "did you mean \"%s\"?", near);
	else
		conf_report_hint(report, "expected least-transactions, round-robin, latency, "
					 "hash FIELD or random");
}

static bool parse_field(struct conf_statement *statement, struct pool_balance *balance)
{
	const struct conf_directive row = {"FIELD", CONF_ENUM, .words = fields};
	int index = 0;

	if (statement->count < 2) {
		conf_report_error(statement->report, statement->values[0].place,
			"\"%s\" needs a field of the message", balance->ops->name);
		conf_report_hint(statement->report, "expected client, sender, sender-domain, "
						    "recipient or recipient-domain behind it");
		return false;
	}
	if (!conf_value(statement, &statement->values[1], &row, &index))
		return false;
	balance->field = fields[index];
	return true;
}

static bool parse_balance(struct conf_statement *statement, void *to)
{
	struct pool_balance *balance = to;
	unsigned most;

	if (statement->count == 0) {
		conf_report_error(statement->report, statement->place, "a policy is missing");
		expect_policy(statement->report, SPAN(""));
		return false;
	}
	balance->ops = balance_find(statement->values[0].text);
	if (!balance->ops) {
		conf_report_error(statement->report, statement->values[0].place,
			"unknown policy \"%.*s\"", SPAN_ARG(statement->values[0].text));
		expect_policy(statement->report, statement->values[0].text);
		return false;
	}
	most = balance->ops->keyed ? 2 : 1;
	if (statement->count > most) {
		conf_report_error(statement->report, statement->values[most].place,
			"\"%s\" takes %s", balance->ops->name,
			balance->ops->keyed ? "one field only" : "no field");
		return false;
	}
	return !balance->ops->keyed || parse_field(statement, balance);
}

/* ---- the tables ---- */

static const char *const pass_client_words[] = {"none", NULL};

static const struct conf_directive top_rows[] = {
	{"pool", CONF_BLOCK, .kind = "pool", .flags = CONF_REPEATABLE | CONF_REQUIRED,
		.help = "Servers that share the mail sent to them.",
		.example = "pool farm { pass-client none; server mta1 10.0.0.1:25; }"},
};

static const struct conf_directive pool_rows[] = {
	{"name", CONF_NAME, .flags = CONF_ARG | CONF_UNIQUE | CONF_NO_STORE,
		.help = "What `send-to`, the log and the metrics call it."},
	{"balance", CONF_CUSTOM, POOL(balance), .parse = parse_balance,
		.size = sizeof(struct pool_balance), .values = "POLICY [FIELD]",
		.fallback = "least-transactions",
		.help = "Which server takes the next message. least-transactions: the one with the "
			"fewest transactions in progress for its weight, evened out over time. "
			"round-robin: in turn, by weight. latency: of two drawn by weight, the one "
			"whose recent times and load promise to be done sooner. hash: the same "
			"value "
			"of FIELD (client, sender, sender-domain, recipient, recipient-domain) to "
			"the "
			"same server, unless that has 1.25 times its share of the load. random: a "
			"draw by weight.",
		.example = "balance hash recipient-domain;"},
	{"queue", CONF_DURATION, POOL(queue), .fallback = "20s", .min = 0, .max = 10 * MINUTE,
		.help = "How long a transaction waits for a free connection when all servers are "
			"at their limits, first come, first served. Then it is answered 451.",
		.example = "queue 10s;"},
	{"pass-client", CONF_ENUM, POOL(pass_client), .words = pass_client_words,
		.flags = CONF_REQUIRED,
		.help = "How the servers are told who the client is. none: not at all, to them "
			"all mail comes from us.",
		.example = "pass-client none;"},
	{"server", CONF_BLOCK, .kind = "server", .flags = CONF_REPEATABLE | CONF_REQUIRED,
		.help = "A server of the pool.",
		.example = "server mta1 mta1.internal:25 weight=2;"},
};

static const struct conf_directive server_rows[] = {
	{"name", CONF_NAME, SERVER(name), .flags = CONF_ARG,
		.help = "What the log, the metrics and `drain` call it, together with its pool."},
	{"address", CONF_ENDPOINT, SERVER(at), .flags = CONF_ARG,
		.help = "Where it listens. A host name is looked up again as its TTL passes, and "
			"all its addresses are used in turn."},
	{"weight", CONF_INT, SERVER(weight), .fallback = "1", .min = 1, .max = 256,
		.help = "Its share of the mail, relative to the other servers'.",
		.example = "weight 2;"},
	{"tier", CONF_INT, SERVER(tier), .fallback = "1", .min = 1, .max = 1000,
		.help = "Servers of a higher tier are used only when none of a lower one is "
			"usable; "
			"those of one tier share.",
		.example = "tier 2;"},
	{"max-connections", CONF_INT, SERVER(max_connections), .fallback = "50", .min = 1,
		.max = 100000, .flags = CONF_INHERIT,
		.help = "Connections to one server at a time, over all workers, idle ones "
			"included.",
		.example = "max-connections 20;"},
	{"messages-per-connection", CONF_INT, SERVER(messages_per_connection), .fallback = "100",
		.min = 0, .max = 1000000, .flags = CONF_INHERIT,
		.help = "A connection is ended by QUIT after so many messages; 0: never.",
		.example = "messages-per-connection 50;"},
	{"idle-timeout", CONF_DURATION, SERVER(idle_timeout), .fallback = "30s", .min = 100 * MSEC,
		.max = HOUR, .flags = CONF_INHERIT,
		.help = "A connection that nobody has used for so long is ended by QUIT.",
		.example = "idle-timeout 10s;"},
	{"connect-timeout", CONF_DURATION, SERVER(connect_timeout), .fallback = "5s",
		.min = 10 * MSEC, .max = 5 * MINUTE, .flags = CONF_INHERIT,
		.help = "For one address of the server to accept the connection.",
		.example = "connect-timeout 2s;"},
	{"greeting-timeout", CONF_DURATION, SERVER(greeting_timeout), .fallback = "10s",
		.min = 10 * MSEC, .max = 5 * MINUTE, .flags = CONF_INHERIT,
		.help = "For the banner, and again for the answer to EHLO.",
		.example = "greeting-timeout 5min;"},
	{"mail-timeout", CONF_DURATION, SERVER(mail_timeout), .fallback = "30s", .min = 10 * MSEC,
		.max = 10 * MINUTE, .flags = CONF_INHERIT,
		.help = "For the reply to MAIL or RSET; then the message goes to another server.",
		.example = "mail-timeout 10s;"},
	{"rcpt-timeout", CONF_DURATION, SERVER(rcpt_timeout), .fallback = "30s", .min = 10 * MSEC,
		.max = 10 * MINUTE, .flags = CONF_INHERIT,
		.help = "For the reply to one RCPT; then the message goes to another server.",
		.example = "rcpt-timeout 10s;"},
	{"data-timeout", CONF_DURATION, SERVER(data_timeout), .fallback = "2min", .min = 10 * MSEC,
		.max = 10 * MINUTE, .flags = CONF_INHERIT,
		.help = "For the reply to DATA; then the message goes to another server.",
		.example = "data-timeout 30s;"},
	{"end-timeout", CONF_DURATION, SERVER(end_timeout), .fallback = "10min", .min = 10 * MINUTE,
		.max = HOUR, .flags = CONF_INHERIT,
		.help = "For the verdict after the end of a message. Never below 10 minutes "
			"(RFC 5321 4.5.3.2.6): who gives up earlier makes doubles.",
		.example = "end-timeout 15min;"},
};

/* "pool/server" and its NUL are a name on the board. */
static void server_check(
	const struct conf_block *block, const void *values, struct conf_report *report)
{
	const struct pool_server_settings *server = values;

	if (strlen(block->parent->name) + strlen(server->name) + 2 > BOARD_NAME) {
		conf_report_error(report, block->place, "the names are too long: %s/%s",
			block->parent->name, server->name);
		conf_report_hint(
			report, "expected at most %d characters in both together", BOARD_NAME - 2);
	}
}

const struct conf_section pool_top_section = CONF_SECTION("", 0, top_rows);
const struct conf_section pool_section =
	CONF_SECTION("pool", sizeof(struct pool_settings), pool_rows);
const struct conf_section pool_server_section = CONF_SECTION(
	"server", sizeof(struct pool_server_settings), server_rows, .check = server_check);
