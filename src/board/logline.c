/*
 * Lines of the log: the builder over the table in logline.h.
 */
#include "board/logline.h"

#include <assert.h>

#include "base/json.h"

enum log_type { TYPE_TEXT, TYPE_INT, TYPE_BOOL, TYPE_LIST, TYPE_MSEC };

static const struct {
	const char *name;
	enum log_type type;
	const char *help;
} fields[LOG_FIELD_COUNT] = {
#define FIELD_ROW(id, type, help) {#id, TYPE_##type, help},
	LOG_FIELDS(FIELD_ROW)
#undef FIELD_ROW
};

static const struct {
	const char *name, *help;
} events[LOG_EVENT_COUNT] = {
#define EVENT_ROW(id, name, help) {name, help},
	LOG_EVENTS(EVENT_ROW)
#undef EVENT_ROW
};

const char *log_field_name(enum log_field field)
{
	assert((unsigned)field < LOG_FIELD_COUNT);
	return fields[field].name;
}

const char *log_event_name(enum log_event event)
{
	assert((unsigned)event < LOG_EVENT_COUNT);
	return events[event].name;
}

static const char *field_of(enum log_field field, enum log_type type)
{
	assert((unsigned)field < LOG_FIELD_COUNT);
	assert(fields[field].type == type);
	return fields[field].name;
}

void log_begin(struct log_line *line, struct buf *buf, int64_t wall, enum log_event event)
{
	char when[WHEN_TEXT];
	when_text(wall, when);

	buf_reset(buf);
	line->buf = buf;
	struct json json;
	json_begin(&json, buf);
	json_open(&json, NULL, '{');
	json_put_text(&json, fields[LOG_time].name, span_of(when));
	json_put_text(&json, fields[LOG_event].name, span_of(log_event_name(event)));
}

/* The writer goes on behind a field: only its comma is remembered between two calls. */
static struct json writer_of(struct log_line *line)
{
	return (struct json){.out = line->buf, .comma = true};
}

void log_text(struct log_line *line, enum log_field field, struct span value)
{
	const char *name = field_of(field, TYPE_TEXT);
	struct json json = writer_of(line);
	if (value.len)
		json_put_text(&json, name, value);
}

void log_string(struct log_line *line, enum log_field field, const char *value)
{
	log_text(line, field, span_of(value));
}

void log_int(struct log_line *line, enum log_field field, int64_t value)
{
	struct json json = writer_of(line);
	json_put_int(&json, field_of(field, TYPE_INT), value);
}

void log_bool(struct log_line *line, enum log_field field, bool value)
{
	struct json json = writer_of(line);
	json_put_bool(&json, field_of(field, TYPE_BOOL), value);
}

void log_msec(struct log_line *line, enum log_field field, int64_t usec)
{
	struct json json = writer_of(line);
	json_put_msec(&json, field_of(field, TYPE_MSEC), usec);
}

void log_list(
	struct log_line *line, enum log_field field, const struct span *values, unsigned count)
{
	struct json json = writer_of(line);
	json_open(&json, field_of(field, TYPE_LIST), '[');
	for (unsigned i = 0; i < count; i++)
		json_put_text(&json, NULL, values[i]);
	json_close(&json, ']');
}

struct span log_finish(struct log_line *line)
{
	struct json json = writer_of(line);
	json_close(&json, '}');
	return buf_span(line->buf);
}

bool log_end(struct log_line *line, struct board *board, int row)
{
	return board_log(board, row, log_finish(line));
}

static const char *type_name(enum log_type type)
{
	switch (type) {
	case TYPE_TEXT:
		return "text";
	case TYPE_INT:
		return "whole number";
	case TYPE_BOOL:
		return "true or false";
	case TYPE_LIST:
		return "list of texts";
	case TYPE_MSEC:
		return "milliseconds";
	}
	return ""; /* unreachable: each type has a name */
}

void log_reference(struct buf *into)
{
	buf_add_text(into, "| event | when |\n|---|---|\n");
	for (unsigned i = 0; i < LOG_EVENT_COUNT; i++)
		buf_addf(into, "| `%s` | %s |\n", events[i].name, events[i].help);
	buf_add_text(into, "\n| field | type | meaning |\n|---|---|---|\n");
	for (unsigned i = 0; i < LOG_FIELD_COUNT; i++)
		buf_addf(into, "| `%s` | %s | %s |\n", fields[i].name, type_name(fields[i].type),
			fields[i].help);
}
