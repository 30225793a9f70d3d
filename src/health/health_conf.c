/*
 * Settings of health.
 */
#include "health/health_conf.h"

#include <stdio.h>

#include "smtp/address.h"

#define CHECK(field)   offsetof(struct health_check_settings, field)
#define OUTLIER(field) offsetof(struct health_outlier_settings, field)

static const char *const scripts[] = {"smtp", "tcp", "none", NULL};

static const struct conf_directive pool_rows[] = {
	{"check", CONF_BLOCK, .kind = "pool.check", .flags = CONF_ALWAYS,
		.help = "How the pool's servers are asked whether they are well. smtp reads the "
			"banner, says EHLO and "
			"QUIT; tcp connects only; none trusts them.",
		.example = "check smtp interval=10s fall=3;"},
	{"outliers", CONF_BLOCK, .kind = "pool.outliers", .flags = CONF_ALWAYS,
		.help = "When a server is taken out because real mail fails on it, whatever its "
			"check says. The last "
			"server of a tier is never taken out so.",
		.example = "outliers failures=10 eject-for=1min;"},
	{"slow-start", CONF_DURATION, offsetof(struct health_pool_settings, slow_start),
		.fallback = "30s", .min = 0, .max = HOUR,
		.help = "A server that comes back gets its full weight only after this time.",
		.example = "slow-start 1min;"},
};

static const struct conf_directive check_rows[] = {
	{"script", CONF_ENUM, CHECK(script), .words = scripts, .fallback = "smtp",
		.flags = CONF_ARG, .help = "smtp, tcp or none."},
	{"recipient", CONF_WORD, CHECK(recipient),
		.help = "With smtp: MAIL FROM:<> and RCPT for this address too, then RSET; no "
			"message is sent.",
		.example = "recipient postmaster@example.com;"},
	{"interval", CONF_DURATION, CHECK(interval), .fallback = "5s", .min = 100 * MSEC,
		.max = HOUR, .help = "From one check to the next, give or take a tenth.",
		.example = "interval 10s;"},
	{"fast-interval", CONF_DURATION, CHECK(fast_interval), .fallback = "1s", .min = 100 * MSEC,
		.max = HOUR,
		.help = "The same after a failed check, while the server is coming back, or when "
			"real mail failed on it.",
		.example = "fast-interval 2s;"},
	{"timeout", CONF_DURATION, CHECK(timeout), .fallback = "3s", .min = 100 * MSEC,
		.max = 10 * MINUTE, .help = "A whole check may take this long.",
		.example = "timeout 10s;"},
	{"rise", CONF_INT, CHECK(rise), .fallback = "2", .min = 1, .max = 100,
		.help = "Checks in a row that must pass before a server that is down is used "
			"again.",
		.example = "rise 3;"},
	{"fall", CONF_INT, CHECK(fall), .fallback = "2", .min = 1, .max = 100,
		.help = "Checks in a row that must fail before a server is down.",
		.example = "fall 3;"},
};

static const struct conf_directive outlier_rows[] = {
	{"enforce", CONF_FLAG, OUTLIER(enforce), .fallback = "yes",
		.help = "no decides and logs, and changes nothing.", .example = "enforce no;"},
	{"failures", CONF_INT, OUTLIER(failures), .fallback = "5", .min = 1, .max = 1000000,
		.help = "At least so many failures within the window, or in a row.",
		.example = "failures 10;"},
	{"over", CONF_PERCENT, OUTLIER(over), .fallback = "50%", .min = 1, .max = 1000000,
		.help = "And more than this share of what was tried on the server.",
		.example = "over 20%;"},
	{"window", CONF_DURATION, OUTLIER(window), .fallback = "10s", .min = SECOND, .max = HOUR,
		.help = "How far back is counted.", .example = "window 1min;"},
	{"eject-for", CONF_DURATION, OUTLIER(eject_for), .fallback = "10s", .min = SECOND,
		.max = HOUR,
		.help = "How long it is out before one message at a time may try it; doubled each "
			"time in a row, to at "
			"most 10min.",
		.example = "eject-for 30s;"},
};

static void check_check(
	const struct conf_block *block, const void *values, struct conf_report *report)
{
	const struct health_check_settings *settings = values;
	if (settings->recipient) {
		char text[512];
		struct smtp_path path;
		int len = snprintf(text, sizeof text, "<%s>", settings->recipient);
		struct span all = {.at = text, .len = (size_t)len};
		if (len >= (int)sizeof text ||
			smtp_path_parse(all, SMTP_FORWARD_PATH, &path) != all.len)
			conf_report_error(report, conf_place(block, "recipient"),
				"not an address: \"%s\"", settings->recipient);
		if (settings->script != HEALTH_SMTP)
			conf_report_error(report, conf_place(block, "recipient"),
				"recipient needs the script smtp");
	}
	if (settings->fast_interval > settings->interval)
		conf_report_warning(report, conf_place(block, "fast-interval"),
			"fast-interval is longer than interval");
}

const struct conf_section health_pool_section =
	CONF_SECTION("pool", sizeof(struct health_pool_settings), pool_rows);
const struct conf_section health_check_section = CONF_SECTION(
	"pool.check", sizeof(struct health_check_settings), check_rows, .check = check_check);
const struct conf_section health_outlier_section =
	CONF_SECTION("pool.outliers", sizeof(struct health_outlier_settings), outlier_rows);
