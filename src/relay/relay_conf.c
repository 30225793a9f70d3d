/*
 * Settings of a listener, as the relay reads them.
 */
#include "relay/relay_conf.h"

#include "relay/session.h"
#include "smtp/caps.h"

static bool parse_offer(struct conf_statement *statement, void *to)
{
	const uint32_t known = SMTP_CAP_PIPELINING | SMTP_CAP_SIZE | SMTP_CAP_8BITMIME |
			       SMTP_CAP_SMTPUTF8 | SMTP_CAP_DSN | SMTP_CAP_CHUNKING |
			       SMTP_CAP_ENHANCED | SMTP_CAP_HELP;
	struct relay_offer *offer = to;
	offer->set = true;
	for (unsigned i = 0; i < statement->count; i++) {
		uint32_t cap = smtp_cap_of(statement->values[i].text) & known;
		if (cap == 0) {
			conf_report_error(statement->report, statement->values[i].place,
				"not an extension that can be offered");
			conf_report_hint(statement->report,
				"expected some of PIPELINING SIZE 8BITMIME SMTPUTF8 DSN "
				"CHUNKING ENHANCEDSTATUSCODES HELP");
			return false;
		}
		offer->caps |= cap;
	}
	return true;
}

#define AT(field) offsetof(struct relay_settings, field)

static const char *const long_lines_words[] = {"refuse", "pass", NULL};
static const char *const log_words[] = {"domain", "full", NULL};

static const struct conf_directive top_rows[] = {
	{"listener", CONF_BLOCK, .kind = "listener", .flags = CONF_REPEATABLE | CONF_REQUIRED,
		.help = "Addresses that clients connect to, who may send what there, and where it "
			"goes.",
		.example =
			"listener inbound { bind 0.0.0.0:25; relay-to example.com; send-to mx; }"},
};

static const struct conf_directive rows[] = {
	{"name", CONF_NAME, AT(name), .flags = CONF_ARG, .help = "Its name in log and metrics."},
	{"send-to", CONF_REF, AT(send_to), .kind = "pool", .flags = CONF_LIST | CONF_REQUIRED,
		.help = "The pool that takes the mail; further ones are used in order when all "
			"servers of those "
			"before are down or full.",
		.example = "send-to farm spare;"},
	{"max-size", CONF_SIZE, AT(max_size), .fallback = "50MiB", .min = 1024,
		.max = INT64_C(1) << 40,
		.help = "Largest message; offered as SIZE unless a server allows less.",
		.example = "max-size 25MiB;"},
	{"max-recipients", CONF_INT, AT(max_recipients), .fallback = "1000", .min = 1,
		.max = 100000, .help = "Recipients of one message; further ones are answered 452.",
		.example = "max-recipients 100;"},
	{"max-errors", CONF_INT, AT(max_errors), .fallback = "20", .min = 1, .max = 100000,
		.help = "Refusals (5yz) in a session since its last accepted message; at half of "
			"them it is slowed "
			"down, above them it ends with 421.",
		.example = "max-errors 50;"},
	{"max-idle-commands", CONF_INT, AT(max_idle_commands), .fallback = "100", .min = 10,
		.max = 100000,
		.help = "NOOP, RSET, EHLO and the like in a session without a message between; at "
			"half of them it is "
			"slowed down, above them it ends with 421.",
		.example = "max-idle-commands 200;"},
	{"replay-limit", CONF_SIZE, AT(replay_limit), .fallback = "1MiB", .min = 0, .max = 1 << 30,
		.help = "How much of a message is kept so that it can be replayed on another "
			"server; 0: nothing. A larger one is "
			"passed on as it comes, and a server lost inside it means 451.",
		.example = "replay-limit 4MiB;"},
	{"answer-within", CONF_DURATION, AT(answer_within), .fallback = "20s", .min = SECOND,
		.max = 5 * MINUTE,
		.help = "A recipient is answered within this time, waiting for a free connection "
			"included.",
		.example = "answer-within 10s;"},
	{"replay-within", CONF_DURATION, AT(replay_within), .fallback = "15s", .min = 0,
		.max = 10 * MINUTE,
		.help = "No attempt on a further server begins later than this after the client's "
			"end of data: a "
			"client that has given up by then would send the message again.",
		.example = "replay-within 30s;"},
	{"command-timeout", CONF_DURATION, AT(command_timeout), .fallback = "5min", .min = SECOND,
		.max = HOUR,
		.help = "A client's whole command line must come within this time (RFC 5321 "
			"4.5.3.2.7).",
		.example = "command-timeout 2min;"},
	{"body-timeout", CONF_DURATION, AT(body_timeout), .fallback = "3min", .min = SECOND,
		.max = HOUR, .help = "How long a client may send nothing inside a message.",
		.example = "body-timeout 1min;"},
	{"min-rate", CONF_INT, AT(min_rate), .fallback = "100", .min = 0, .max = 1000000,
		.help = "Octets a second that a client must send inside a message, on average; 0: "
			"any.",
		.example = "min-rate 1000;"},
	{"long-lines", CONF_ENUM, AT(long_lines), .words = long_lines_words, .fallback = "refuse",
		.help = "What becomes of a message with a line over 998 octets (RFC 5322 2.1.1); "
			"it is never split.",
		.example = "long-lines pass;"},
	{"resend-ambiguous", CONF_FLAG, AT(resend_ambiguous), .fallback = "no",
		.help = "Offer a message to another server although the one before may have it: "
			"for who prefers "
			"doubles to delays.",
		.example = "resend-ambiguous yes;"},
	{"log-addresses", CONF_ENUM, AT(log_addresses), .words = log_words, .fallback = "domain",
		.help = "Whether the log holds whole addresses or their domains only.",
		.example = "log-addresses full;"},
	{"offer", CONF_CUSTOM, AT(offer), .parse = parse_offer, .size = sizeof(struct relay_offer),
		.values = "EXTENSION ...",
		.help = "Extensions that EHLO offers, instead of those that all servers of the "
			"first tier have.",
		.example = "offer PIPELINING SIZE 8BITMIME;"},
};

static void check(const struct conf_block *block, const void *values, struct conf_report *report)
{
	const struct relay_settings *settings = values;
	if (settings->send_to.count > RELAY_POOLS)
		conf_report_error(report, settings->send_to.places[RELAY_POOLS],
			"at most %d pools in send-to", RELAY_POOLS);
	if (settings->replay_limit > settings->max_size && conf_written(block, "replay-limit"))
		conf_report_warning(report, conf_place(block, "replay-limit"),
			"more than max-size is never kept");
}

const struct conf_section relay_top_section = CONF_SECTION("", 0, top_rows);
const struct conf_section relay_listener_section =
	CONF_SECTION("listener", sizeof(struct relay_settings), rows, .check = check);
