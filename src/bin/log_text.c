/*
 * A line of the log for people:
 *
 *     03:54:07  accepted   7f3a/1  a.com -> b.com, 4.1 kB, farm/mta1: 250 2.0.0 Ok (12 ms)
 *     03:54:09  farm/mta2  up -> down: connect to 10.0.0.2:25: Connection refused
 *     03:54:09  worker 1   ready (pid 4711, generation 2)
 *
 * The time is that of the JSON, UTC.  Attempts are left out: their transaction tells.
 */
#include "bin/log_text.h"

#include <jansson.h>
#include <string.h>

#include "board/logline.h"

static const char *text_of(const json_t *line, enum log_field field)
{
	const char *text = json_string_value(json_object_get(line, log_field_name(field)));
	return text ? text : "";
}

static bool has(const json_t *line, enum log_field field)
{
	return json_object_get(line, log_field_name(field)) != NULL;
}

static json_int_t int_of(const json_t *line, enum log_field field)
{
	return json_integer_value(json_object_get(line, log_field_name(field)));
}

static bool is_event(const json_t *line, enum log_event event)
{
	return strcmp(text_of(line, LOG_event), log_event_name(event)) == 0;
}

/* " NAME VALUE" pieces with a comma between them. */
static void part(struct buf *into, bool *first, const char *format, ...) PRINTF_LIKE(3, 4);
static void part(struct buf *into, bool *first, const char *format, ...)
{
	char text[600];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	buf_addf(into, "%s%s", *first ? "" : ", ", text);
	*first = false;
}

static void size_text(json_int_t size, char text_r[32])
{
	if (size < 1000)
		snprintf(text_r, 32, "%lld B", (long long)size);
	else if (size < 1000 * 1000)
		snprintf(text_r, 32, "%.1f kB", (double)size / 1e3);
	else
		snprintf(text_r, 32, "%.1f MB", (double)size / 1e6);
}

static const char *first_recipient(const json_t *line)
{
	const json_t *list = json_object_get(line, log_field_name(LOG_recipients_to));
	const char *text = json_string_value(json_array_get(list, 0));
	return text ? text : "";
}

static void transaction(const json_t *line, struct buf *into)
{
	bool first = true;
	char size[32];
	buf_addf(into, "%-10s %s/%lld  ", text_of(line, LOG_outcome), text_of(line, LOG_session),
		(long long)int_of(line, LOG_transaction));
	part(into, &first, "%s -> %s", has(line, LOG_sender) ? text_of(line, LOG_sender) : "<>",
		first_recipient(line));
	if (int_of(line, LOG_recipients) > 1)
		part(into, &first, "%lld recipients", (long long)int_of(line, LOG_recipients));
	size_text(int_of(line, LOG_size), size);
	part(into, &first, "%s", size);
	if (has(line, LOG_server))
		part(into, &first, "%s/%s", text_of(line, LOG_pool), text_of(line, LOG_server));
	if (int_of(line, LOG_attempts) > 1)
		part(into, &first, "%lld attempts", (long long)int_of(line, LOG_attempts));
	if (has(line, LOG_reply))
		buf_addf(into, ": %s", text_of(line, LOG_reply));
	else if (has(line, LOG_text))
		buf_addf(into, ": %s", text_of(line, LOG_text));
	const json_t *total = json_object_get(line, log_field_name(LOG_t_total));
	if (total)
		buf_addf(into, " (%.0f ms)", json_number_value(total));
}

static void server_state(const json_t *line, struct buf *into)
{
	buf_addf(into, "%s/%s  ", text_of(line, LOG_pool), text_of(line, LOG_server));
	if (has(line, LOG_was))
		buf_addf(into, "%s -> ", text_of(line, LOG_was));
	buf_addf(into, "%s", text_of(line, LOG_state));
	const char *why = has(line, LOG_text) ? text_of(line, LOG_text) : text_of(line, LOG_reason);
	if (*why)
		buf_addf(into, ": %s", why);
}

static void process(const json_t *line, struct buf *into)
{
	bool first = true;
	buf_addf(into, "%-10s %s (", text_of(line, LOG_role), text_of(line, LOG_state));
	part(into, &first, "pid %lld", (long long)int_of(line, LOG_pid));
	if (has(line, LOG_generation))
		part(into, &first, "generation %lld", (long long)int_of(line, LOG_generation));
	if (has(line, LOG_signal))
		part(into, &first, "by signal %lld", (long long)int_of(line, LOG_signal));
	else if (has(line, LOG_status))
		part(into, &first, "with status %lld", (long long)int_of(line, LOG_status));
	json_int_t ambiguous = int_of(line, LOG_ambiguous);
	if (ambiguous > 0)
		part(into, &first, "%lld transaction%s became ambiguous", (long long)ambiguous,
			ambiguous == 1 ? "" : "s");
	buf_add_text(into, ")");
	if (has(line, LOG_text))
		buf_addf(into, ": %s", text_of(line, LOG_text));
}

/* Any other event: its name, and what it says of itself. */
static void other(const json_t *line, struct buf *into)
{
	buf_addf(into, "%-10s", text_of(line, LOG_event));
	static const enum log_field told[] = {LOG_session, LOG_client, LOG_proxy, LOG_listener,
		LOG_pool, LOG_server, LOG_state, LOG_reason, LOG_reply};
	for (unsigned i = 0; i < sizeof(told) / sizeof(told[0]); i++) {
		if (has(line, told[i]))
			buf_addf(into, " %s", text_of(line, told[i]));
	}
	if (has(line, LOG_text))
		buf_addf(into, ": %s", text_of(line, LOG_text));
}

/* "2026-11-21T03:54:07.123Z": the clock's part of it. */
static void clock_text(const json_t *line, struct buf *into)
{
	const char *time = text_of(line, LOG_time);
	if (strlen(time) >= 19)
		buf_add(into, time + 11, 8);
	buf_add_text(into, "  ");
}

void log_text_line(struct span line, struct buf *into)
{
	json_t *object = json_loadb(line.at ? line.at : "", line.len, 0, NULL);
	if (!json_is_object(object)) {
		json_decref(object);
		buf_add_span(into, line);
		buf_add_text(into, "\n");
		return;
	}
	if (!is_event(object, LOG_EVENT_attempt)) {
		clock_text(object, into);
		if (is_event(object, LOG_EVENT_transaction))
			transaction(object, into);
		else if (is_event(object, LOG_EVENT_server_state))
			server_state(object, into);
		else if (is_event(object, LOG_EVENT_process))
			process(object, into);
		else
			other(object, into);
		buf_add_text(into, "\n");
	}
	json_decref(object);
}
