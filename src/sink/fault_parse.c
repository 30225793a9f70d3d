/*
 * The grammar of faults.  What surprises: a reply's text may hold commas, so it ends only where a
 * comma is followed by one of the words that may stand behind it.
 */
#include <stdlib.h>
#include <string.h>

#include "sink/fault.h"
#include "smtp/reply.h"

#define AT(phase) (1u << FAULT_AT_##phase)
#define AT_ANSWERS                                                                                 \
	(AT(EHLO) | AT(MAIL) | AT(RCPT) | AT(DATA) | AT(END) | AT(COMMIT) | AT(RSET) | AT(QUIT))
#define AT_ALL ((1u << FAULT_PHASES) - 1)

enum text_need { TEXT_NONE, TEXT_DURATION, TEXT_REPLY, TEXT_RAW };

static const struct kind_row {
	const char *name;
	enum text_need text;
	unsigned phases;
	const char *standard; /* text when none is given; NULL: one must be */
} kinds[FAULT_KINDS] = {
	[FAULT_SLOW] = {"slow", TEXT_DURATION, AT(BANNER) | AT_ANSWERS, NULL},
	[FAULT_REPLY] = {"reply", TEXT_REPLY, AT(BANNER) | AT_ANSWERS | AT(IDLE), NULL},
	[FAULT_DROP] = {"drop", TEXT_NONE, AT_ALL, NULL},
	[FAULT_RESET] = {"reset", TEXT_NONE, AT_ALL, NULL},
	[FAULT_STALL] = {"stall", TEXT_NONE, AT_ALL & ~AT(IDLE), NULL},
	[FAULT_GARBAGE] = {"garbage", TEXT_RAW, AT_ALL & ~AT(CONNECT), "25O-not a reply\\r\\n"},
	[FAULT_EXTRA] = {"extra-reply", TEXT_REPLY, AT_ALL & ~AT(CONNECT),
		"250 2.0.0 Nobody asked"},
};

static const char *const phase_names[FAULT_PHASES] = {
#define SINK_FAULT_PHASE_NAME(id, name) [FAULT_AT_##id] = name,
	SINK_FAULT_PHASES(SINK_FAULT_PHASE_NAME)
#undef SINK_FAULT_PHASE_NAME
};

enum err fault_duration(struct span text, int64_t *usec_r)
{
	static const struct {
		const char *name;
		int64_t usec;
	} units[] = {{"us", USEC}, {"ms", MSEC}, {"s", SECOND}, {"min", MINUTE}, {"h", HOUR}};
	size_t digits = 0;
	while (digits < text.len && text.at[digits] >= '0' && text.at[digits] <= '9')
		digits++;
	uint64_t number;
	if (!span_to_u64((struct span){.at = text.at, .len = digits}, UINT32_MAX, &number))
		return ERR_SYNTAX;
	for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++) {
		if (span_is(span_from(text, digits), units[i].name)) {
			*usec_r = (int64_t)number * units[i].usec;
			return ERR_OK;
		}
	}
	return ERR_SYNTAX;
}

static bool phase_of(struct span name, enum fault_phase *phase_r)
{
	for (int i = 0; i < FAULT_PHASES; i++) {
		if (span_is_nocase(name, phase_names[i])) {
			*phase_r = i;
			return true;
		}
	}
	*phase_r = FAULT_AT_END;
	return span_is_nocase(name, "end-before-reply");
}

/* ---- texts ---- */

/* \r \n \0 \\ as in C, so that a shell word can hold any octet that matters here. */
static void unescape(struct span in, struct buf *into)
{
	for (size_t i = 0; i < in.len; i++) {
		char c = in.at[i];
		if (c == '\\' && i + 1 < in.len) {
			static const char from[] = "rn0\\", to[] = "\r\n\0\\";
			const char *found = memchr(from, in.at[i + 1], sizeof(from) - 1);
			if (found) {
				c = to[found - from];
				i++;
			}
		}
		buf_add(into, &c, 1);
	}
}

/* "451-busy\n451 busy": lines divided by \n become a reply on the wire. */
static bool reply_wire(struct span in, struct buf *into, uint16_t *code_r)
{
	struct buf lines = {0};
	unescape(in, &lines);
	struct span rest = buf_span(&lines);
	while (rest.len > 0) {
		size_t end = span_find(rest, '\n');
		struct span line = {.at = rest.at, .len = end};
		if (line.len > 0 && line.at[line.len - 1] == '\r')
			line.len--;
		buf_add_span(into, line);
		buf_add_text(into, "\r\n");
		rest = span_from(rest, end < rest.len ? end + 1 : end);
	}
	buf_clear(&lines);
	struct smtp_reply reply;
	bool broken = false;
	size_t eaten = smtp_reply_parse(buf_span(into), &reply, &broken);
	*code_r = broken || eaten != into->len ? 0 : reply.code;
	return *code_r != 0;
}

static enum err fault_text(struct fault *fault, struct span given, struct err_text *text)
{
	const struct kind_row *kind = &kinds[fault->kind];
	if (!given.at && kind->standard)
		given = span_of(kind->standard);
	if (kind->text == TEXT_NONE)
		return given.at ? err_set(text, ERR_SYNTAX, "%s takes no text", kind->name)
				: ERR_OK;
	if (!given.at)
		return err_set(text, ERR_SYNTAX, "%s needs PHASE=%s", kind->name,
			kind->text == TEXT_DURATION ? "DURATION" : "TEXT");
	if (kind->text == TEXT_DURATION)
		return fault_duration(given, &fault->delay)
			       ? err_set(text, ERR_SYNTAX, "\"%.*s\" is no duration such as 200ms",
					 SPAN_ARG(given))
			       : ERR_OK;
	struct buf octets = {0};
	enum err err = ERR_OK;
	if (kind->text == TEXT_RAW)
		unescape(given, &octets);
	else if (!reply_wire(given, &octets, &fault->code))
		err = err_set(text, ERR_SYNTAX, "\"%.*s\" is no reply such as \"451 4.3.0 busy\"",
			SPAN_ARG(given));
	fault->text = mem_string(buf_span(&octets));
	fault->text_len = octets.len;
	buf_clear(&octets);
	return err;
}

/* ---- what may stand behind ---- */

static bool limit_number(struct fault *fault, struct span name, struct span value)
{
	if (span_is(name, "percent"))
		return span_to_u64(value, 100, &fault->percent);
	uint64_t *to = span_is(name, "count")   ? &fault->count
		       : span_is(name, "every") ? &fault->every
						: &fault->after;
	return span_to_u64(value, UINT32_MAX, to) && *to > 0;
}

/* The length of "name=" if one of the limits begins here, else 0. */
static size_t limit_name(struct span in)
{
	static const char *const names[] = {"count=", "every=", "after=", "percent=", "match="};
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (span_starts_nocase(in, names[i]))
			return strlen(names[i]);
	}
	return 0;
}

/* Index of the comma before the next limit, or in.len. */
static size_t limit_find(struct span in)
{
	for (size_t i = 0; i < in.len; i++) {
		if (in.at[i] == ',' && limit_name(span_from(in, i + 1)) > 0)
			return i;
	}
	return in.len;
}

static enum err fault_limits(struct fault *fault, struct span rest, struct err_text *text)
{
	while (rest.len > 0) {
		rest = span_from(rest, 1); /* the comma */
		size_t name_len = limit_name(rest);
		if (name_len == 0)
			return err_set(text, ERR_SYNTAX, "what is \",%.*s\"?", SPAN_ARG(rest));
		struct span name = {.at = rest.at, .len = name_len - 1};
		rest = span_from(rest, name_len);
		struct span value = {.at = rest.at, .len = limit_find(rest)};
		rest = span_from(rest, value.len);
		if (span_is(name, "match")) {
			free(fault->match);
			fault->match = mem_string(value);
		} else if (!limit_number(fault, name, value)) {
			return err_set(text, ERR_SYNTAX, "\"%.*s=%.*s\" is no sensible limit",
				SPAN_ARG(name), SPAN_ARG(value));
		}
	}
	return ERR_OK;
}

/* ---- one fault: PHASE[:AT][=TEXT][,limit=...] ---- */

static struct span word_until(struct span *rest, const char *stops)
{
	size_t len = 0;
	while (len < rest->len && !strchr(stops, rest->at[len]))
		len++;
	struct span word = {.at = rest->at, .len = len};
	*rest = span_from(*rest, len);
	return word;
}

static enum err fault_at(struct fault *fault, struct span *rest, struct err_text *text)
{
	if (rest->len == 0 || rest->at[0] != ':')
		return ERR_OK;
	*rest = span_from(*rest, 1);
	struct span at = word_until(rest, "=,");
	int64_t usec;
	if (fault->phase == FAULT_AT_BODY && span_to_u64(at, UINT32_MAX, &fault->at))
		return ERR_OK;
	if (fault->phase == FAULT_AT_IDLE && fault_duration(at, &usec) == ERR_OK) {
		fault->at = (uint64_t)usec;
		return ERR_OK;
	}
	return err_set(text, ERR_SYNTAX, "\":%.*s\": only body:OCTETS and idle:DURATION take one",
		SPAN_ARG(at));
}

static enum err fault_parse(struct fault *fault, struct span value, struct err_text *text)
{
	struct span rest = value;
	struct span phase = word_until(&rest, ":=,");
	if (!phase_of(phase, &fault->phase))
		return err_set(text, ERR_SYNTAX, "\"%.*s\" is no phase of a conversation",
			SPAN_ARG(phase));
	if (!(kinds[fault->kind].phases & (1u << fault->phase)))
		return err_set(text, ERR_RANGE, "%s is not possible at %s", kinds[fault->kind].name,
			phase_names[fault->phase]);
	enum err err = fault_at(fault, &rest, text);
	if (err)
		return err;
	struct span given = {0};
	if (rest.len > 0 && rest.at[0] == '=') {
		rest = span_from(rest, 1);
		given = (struct span){.at = rest.at, .len = limit_find(rest)};
		rest = span_from(rest, given.len);
	}
	err = fault_text(fault, given, text);
	return err ? err : fault_limits(fault, rest, text);
}

static enum err fault_add(
	struct faults *faults, enum fault_kind kind, struct span value, struct err_text *text)
{
	struct fault fault = {.kind = kind, .percent = 100};
	enum err err = fault_parse(&fault, value, text);
	if (err) {
		free(fault.text);
		free(fault.match);
		return err;
	}
	faults->fault = mem_grow(faults->fault, faults->fault_count + 1, sizeof(fault));
	faults->fault[faults->fault_count++] = fault;
	return ERR_OK;
}

/* ---- options ---- */

enum err faults_option(
	struct faults *faults, struct span name, struct span value, struct err_text *text)
{
	for (int i = 0; i < FAULT_KINDS; i++) {
		if (span_is(name, kinds[i].name))
			return fault_add(faults, i, value, text);
	}
	bool percent = span_is(name, "slow-percent"), sessions = span_is(name, "max-sessions");
	if (!percent && !sessions && !span_is(name, "latency-ms"))
		return err_set(text, ERR_MISSING, "no such fault: %.*s", SPAN_ARG(name));
	uint64_t number;
	if (!span_to_u64(value, percent ? 100 : 1000000, &number))
		return err_set(text, ERR_RANGE, "%.*s: \"%.*s\" is no sensible number",
			SPAN_ARG(name), SPAN_ARG(value));
	if (percent)
		faults->slow_percent = (unsigned)number;
	else if (sessions)
		faults->max_sessions = (unsigned)number;
	else
		faults->latency = (int64_t)number * MSEC;
	return ERR_OK;
}

enum err faults_lines(struct faults *faults, struct span lines, struct err_text *text)
{
	for (unsigned number = 1; lines.len > 0; number++) {
		size_t end = span_find(lines, '\n');
		struct span line = {.at = lines.at, .len = end};
		lines = span_from(lines, end < lines.len ? end + 1 : end);
		if (end > 0 && line.at[end - 1] == '\r')
			line.len--;
		line = span_trim(line);
		if (line.len == 0 || line.at[0] == '#')
			continue;
		if (span_starts_nocase(line, "--"))
			line = span_from(line, 2);
		struct span value = line;
		struct span name = word_until(&value, " \t=");
		struct err_text why = {0};
		enum err err = faults_option(
			faults, name, value.len ? span_trim(span_from(value, 1)) : value, &why);
		if (err)
			return err_set(text, err, "line %u: %s", number, why.text);
	}
	return ERR_OK;
}
