/*
 * The JSON writer (RFC 8259).
 *
 * Strings come from strangers: mail addresses, replies of servers.  Beside what JSON demands,
 * everything that a terminal or a line reader could take for a control or for the end of a line
 * is escaped: DEL, the C1 controls and U+2028, U+2029.
 */
#include "base/json.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>

static void add_text(struct buf *out, struct span value);

/* What stands before a value: a comma if it is not the first, and its name. */
static void begin_value(struct json *json, const char *name)
{
	if (json->comma)
		buf_add(json->out, ",", 1);
	json->comma = true;
	if (name) {
		add_text(json->out, span_of(name));
		buf_add(json->out, ":", 1);
	}
}

void json_begin(struct json *json, struct buf *out)
{
	*json = (struct json){.out = out};
}

void json_open(struct json *json, const char *name, char bracket)
{
	assert(bracket == '{' || bracket == '[');
	begin_value(json, name);
	buf_add(json->out, &bracket, 1);
	json->comma = false;
}

void json_close(struct json *json, char bracket)
{
	assert(bracket == '}' || bracket == ']');
	buf_add(json->out, &bracket, 1);
	json->comma = true;
}

void json_put_string(struct json *json, const char *name, const char *value)
{
	if (value) {
		json_put_text(json, name, span_of(value));
		return;
	}
	begin_value(json, name);
	buf_add_text(json->out, "null");
}

void json_put_int(struct json *json, const char *name, int64_t value)
{
	begin_value(json, name);
	buf_addf(json->out, "%" PRId64, value);
}

void json_put_real(struct json *json, const char *name, double value, int decimals)
{
	begin_value(json, name);
	/* JSON has no word for these two. */
	if (isnan(value) || isinf(value))
		buf_add_text(json->out, "null");
	else
		buf_addf(json->out, "%.*f", decimals, value);
}

void json_put_bool(struct json *json, const char *name, bool value)
{
	begin_value(json, name);
	buf_add_text(json->out, value ? "true" : "false");
}

void json_put_msec(struct json *json, const char *name, int64_t usec)
{
	uint64_t size = usec < 0 ? -(uint64_t)usec : (uint64_t)usec;

	begin_value(json, name);
	buf_addf(json->out, "%s%" PRIu64 ".%03u", usec < 0 ? "-" : "", size / 1000,
		(unsigned)(size % 1000));
}

void json_put_text(struct json *json, const char *name, struct span value)
{
	begin_value(json, name);
	add_text(json->out, value);
}

/* ---- strings ---- */

/* Length and value of the UTF-8 character that `s` begins with; 0 when it is not valid by the
 * table of RFC 3629 section 4 (no overlong form, no surrogate, nothing above U+10FFFF). */
static size_t utf8_length(struct span s, uint32_t *point_r)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	uint8_t lead = (uint8_t)s.at[0];
	size_t len = lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
	uint32_t point = len == 1 ? lead : lead & (0x7fu >> len);

	if (len == 0 || len > s.len || lead > 0xf4)
		return 0;
	for (size_t i = 1; i < len; i++) {
		uint8_t byte = (uint8_t)s.at[i];

		if ((byte & 0xc0) != 0x80)
			return 0;
		point = point << 6 | (byte & 0x3f);
	}
	if (point < least[len] || (point >= 0xd800 && point <= 0xdfff) || point > 0x10ffff)
		return 0;
	*point_r = point;
	return len;
}

static bool is_plain(uint32_t point)
{
	return point >= 0x20 && point != '"' && point != '\\' && !(point >= 0x7f && point < 0xa0) &&
	       point != 0x2028 && point != 0x2029;
}

static void add_escaped(struct buf *out, uint32_t point)
{
	switch (point) {
	case '"':
		buf_add_text(out, "\\\"");
		break;
	case '\\':
		buf_add_text(out, "\\\\");
		break;
	case '\n':
		buf_add_text(out, "\\n");
		break;
	case '\r':
		buf_add_text(out, "\\r");
		break;
	case '\t':
		buf_add_text(out, "\\t");
		break;
	default:
		buf_addf(out, "\\u%04x", (unsigned)point);
	}
}

static void add_text(struct buf *out, struct span value)
{
	size_t plain = 0; /* bytes at the front of `value` that are fine as they are */

	buf_add(out, "\"", 1);
	while (value.len > plain) {
		struct span rest = span_from(value, plain);
		uint32_t point = 0;
		size_t len = utf8_length(rest, &point);

		if (len > 0 && is_plain(point)) {
			plain += len;
			continue;
		}
		buf_add(out, value.at, plain);
		if (len > 0)
			add_escaped(out, point);
		else
			buf_add_text(out, "\xef\xbf\xbd");
		value = span_from(rest, len > 0 ? len : 1);
		plain = 0;
	}
	buf_add_span(out, value);
	buf_add(out, "\"", 1);
}
