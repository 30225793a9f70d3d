/*
 * Numbers and their units.
 *
 * Units are compulsory, since "timeout 30" means seconds to some and milliseconds to others; and
 * there is one spelling of each, so that a config reads the same everywhere.  Who writes another
 * is told ours: m could be minutes or months, MB could be 1,000,000 bytes or 1,048,576.
 */
#include "conf/type.h"

#include <stdio.h>
#include <string.h>

#include "base/when.h"

struct unit {
	const char *name; /* "" ends the table */
	int64_t factor;
	const char *also; /* what others write, between spaces, lower case */
};

/* The largest last: conf_number_text() looks for the largest that divides. */
static const struct unit durations[] = {
	{"ms", MSEC, " msec msecs millisecond milliseconds "},
	{"s", SECOND, " sec secs second seconds "},
	{"min", MINUTE, " m mins minute minutes "},
	{"h", HOUR, " hr hrs hour hours "},
	{"d", DAY, " day days "},
	{"", 0, NULL},
};

static const struct unit sizes[] = {
	{"B", 1, " byte bytes b "},
	{"KiB", 1024, " k kb kib "},
	{"MiB", 1024 * 1024, " m mb mib "},
	{"GiB", 1024 * 1024 * 1024, " g gb gib "},
	{"", 0, NULL},
};

static const struct unit periods[] = {
	{"s", SECOND, " sec second "},
	{"min", MINUTE, " m minute "},
	{"h", HOUR, " hr hour "},
	{"day", DAY, " d "},
	{"month", 30 * DAY, " mon "},
	{"", 0, NULL},
};

static const struct unit *unit_named(const struct unit *units, struct span name)
{
	for (; units->name[0]; units++) {
		if (span_is(name, units->name))
			return units;
	}
	return NULL;
}

/* What somebody meant by "mb"; NULL: no idea. */
static const struct unit *unit_meant(const struct unit *units, struct span name)
{
	char word[24] = " ";

	if (name.len == 0 || name.len > sizeof(word) - 3)
		return NULL;
	for (size_t i = 0; i < name.len; i++) {
		char c = name.at[i];

		word[i + 1] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
	}
	memcpy(word + 1 + name.len, " ", 2);
	for (; units->name[0]; units++) {
		if (span_is_nocase(name, units->name) || strstr(units->also, word))
			return units;
	}
	return NULL;
}

static struct span digits_of(struct span text)
{
	size_t len = 0;

	while (len < text.len && text.at[len] >= '0' && text.at[len] <= '9')
		len++;
	return (struct span){.at = text.at, .len = len};
}

void conf_number_text(enum conf_type type, int64_t value, struct buf *out)
{
	const struct unit *units = type == CONF_SIZE ? sizes : durations, *best;

	if (type == CONF_PERCENT) {
		buf_addf(out, "%lld", (long long)(value / 10000));
		if (value % 10000) {
			char digits[8];
			size_t len = 4;

			snprintf(digits, sizeof(digits), "%04lld", (long long)(value % 10000));
			while (digits[len - 1] == '0')
				len--;
			buf_addf(out, ".%.*s", (int)len, digits);
		}
		buf_add_text(out, "%");
		return;
	}
	if (type != CONF_SIZE && type != CONF_DURATION) {
		buf_addf(out, "%lld", (long long)value);
		return;
	}
	for (best = units; units->name[0]; units++) {
		if (value != 0 && value % units->factor == 0)
			best = units;
	}
	buf_addf(out, "%lld%s", (long long)(value / best->factor), best->name);
}

static bool out_of_bounds(struct conf_statement *statement, const struct conf_token *token,
	const struct conf_directive *row, const char *how)
{
	struct buf wanted = {0};

	conf_row_wanted(row, &wanted);
	conf_report_error(statement->report, token->place, CONF_SHOWN " is too %s for \"%s\"",
		CONF_SHOW(token->text), how, conf_subject(statement, row));
	conf_report_hint(statement->report, "expected %s", buf_string(&wanted));
	buf_clear(&wanted);
	return false;
}

static bool in_bounds(struct conf_statement *statement, const struct conf_token *token,
	const struct conf_directive *row, int64_t value)
{
	if (value < row->min)
		return out_of_bounds(statement, token, row, "small");
	if (row->max != 0 && value > row->max)
		return out_of_bounds(statement, token, row, "large");
	return true;
}

static bool keep(struct conf_statement *statement, const struct conf_token *token,
	const struct conf_directive *row, int64_t value, void *to)
{
	if (!in_bounds(statement, token, row, value))
		return false;
	memcpy(to, &value, sizeof(value));
	return true;
}

bool conf_read_int(struct conf_statement *statement, const struct conf_token *token,
	const struct conf_directive *row, void *to)
{
	bool negative = token->text.len > 1 && token->text.at[0] == '-';
	struct span digits = span_from(token->text, negative ? 1 : 0);
	uint64_t value;

	if (digits.len == 0 || digits_of(digits).len < digits.len)
		return conf_not_wanted(statement, token, row);
	if (!span_to_u64(digits, INT64_MAX, &value))
		return out_of_bounds(statement, token, row, "large");
	return keep(statement, token, row, negative ? -(int64_t)value : (int64_t)value, to);
}

/* Millionths, so four decimals of a percent. */
bool conf_read_percent(struct conf_statement *statement, const struct conf_token *token,
	const struct conf_directive *row, void *to)
{
	struct conf_directive bounded = *row;
	struct span whole = digits_of(token->text), rest = span_from(token->text, whole.len);
	struct span decimals = {0};
	uint64_t value, fraction = 0;

	if (rest.len > 0 && rest.at[0] == '.') {
		decimals = digits_of(span_from(rest, 1));
		rest = span_from(rest, 1 + decimals.len);
		if (decimals.len == 0 || decimals.len > 4)
			return conf_not_wanted(statement, token, row);
	}
	if (whole.len == 0 || !span_is(rest, "%"))
		return conf_not_wanted(statement, token, row);
	if (!span_to_u64(whole, 1000000, &value))
		value = 1000000;
	if (decimals.len > 0 && !span_to_u64(decimals, 9999, &fraction))
		return conf_not_wanted(statement, token, row);
	for (size_t i = decimals.len; i < 4; i++)
		fraction *= 10;
	if (bounded.max == 0)
		bounded.max = 100 * 10000;
	return keep(statement, token, &bounded, (int64_t)(value * 10000 + fraction), to);
}

/* "20m" and the like: say what is missing or what we call it. */
static bool complain_of_unit(struct conf_statement *statement, const struct conf_token *token,
	const struct conf_directive *row, const struct unit *units)
{
	struct span digits = digits_of(token->text), unit = span_from(token->text, digits.len);
	const struct unit *meant = unit_meant(units, unit);
	struct buf wanted = {0};

	if (digits.len == 0)
		return conf_not_wanted(statement, token, row);
	conf_row_wanted(row, &wanted);
	if (unit.len == 0)
		conf_report_error(statement->report, token->place, CONF_SHOWN " lacks its unit",
			CONF_SHOW(token->text));
	else
		conf_report_error(statement->report, token->place,
			CONF_SHOWN " is not a unit of \"%s\"", CONF_SHOW(unit),
			conf_subject(statement, row));
	if (meant)
		conf_report_hint(statement->report, "did you mean %.*s%s?",
			(int)(digits.len < 24 ? digits.len : 24), digits.at, meant->name);
	else
		conf_report_hint(statement->report, "expected %s", buf_string(&wanted));
	buf_clear(&wanted);
	return false;
}

static bool read_scaled(struct conf_statement *statement, const struct conf_token *token,
	const struct conf_directive *row, const struct unit *units, void *to)
{
	struct span digits = digits_of(token->text);
	const struct unit *unit = unit_named(units, span_from(token->text, digits.len));
	uint64_t value;

	if (digits.len == 0 || !unit)
		return complain_of_unit(statement, token, row, units);
	if (!span_to_u64(digits, (uint64_t)(INT64_MAX / unit->factor), &value))
		return out_of_bounds(statement, token, row, "large");
	return keep(statement, token, row, (int64_t)value * unit->factor, to);
}

bool conf_read_duration(struct conf_statement *statement, const struct conf_token *token,
	const struct conf_directive *row, void *to)
{
	return read_scaled(statement, token, row, durations, to);
}

bool conf_read_size(struct conf_statement *statement, const struct conf_token *token,
	const struct conf_directive *row, void *to)
{
	/* Nothing is nothing in any unit. */
	if (span_is(token->text, "0"))
		return keep(statement, token, row, 0, to);
	return read_scaled(statement, token, row, sizes, to);
}

bool conf_read_rate(struct conf_statement *statement, const struct conf_token *token,
	const struct conf_directive *row, void *to)
{
	struct span digits = digits_of(token->text), rest = span_from(token->text, digits.len);
	struct conf_rate rate;
	const struct unit *unit;
	uint64_t count;

	if (digits.len == 0 || rest.len == 0 || rest.at[0] != '/')
		return conf_not_wanted(statement, token, row);
	rest = span_from(rest, 1);
	unit = unit_named(periods, rest);
	if (!unit) {
		unit = unit_meant(periods, rest);
		conf_not_wanted(statement, token, row);
		if (unit)
			conf_report_hint(statement->report, "did you mean %.*s/%s?",
				(int)(digits.len < 24 ? digits.len : 24), digits.at, unit->name);
		return false;
	}
	if (!span_to_u64(digits, INT64_MAX, &count))
		return out_of_bounds(statement, token, row, "large");
	rate = (struct conf_rate){.count = (int64_t)count, .per = unit->factor};
	if (!in_bounds(statement, token, row, rate.count))
		return false;
	memcpy(to, &rate, sizeof(rate));
	return true;
}
