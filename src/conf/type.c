/*
 * One value of any scalar type, and what to say about it.
 */
#include "conf/type.h"

#include <assert.h>
#include <string.h>

static const struct conf_type_form forms[] = {
	[CONF_FLAG] = {sizeof(bool), "yes, no", "yes or no", conf_read_flag},
	[CONF_INT] = {sizeof(int64_t), "NUMBER", "a whole number", conf_read_int},
	[CONF_PERCENT] = {sizeof(int64_t), "PERCENT", "a percentage such as 3% or 0.5%",
		conf_read_percent},
	[CONF_DURATION] = {sizeof(int64_t), "DURATION",
		"a duration with its unit, such as 500ms, 20s, 10min, 2h or 30d",
		conf_read_duration},
	[CONF_SIZE] = {sizeof(int64_t), "SIZE",
		"a size with its unit, such as 512B, 64KiB, 25MiB or 1GiB", conf_read_size},
	[CONF_RATE] = {sizeof(struct conf_rate), "RATE",
		"a rate such as 14/s, 100/min, 5/h, 50000/day or 100000/month", conf_read_rate},
	[CONF_NAME] = {sizeof(const char *), "NAME",
		"a name of letters, digits, \"-\", \"_\" and \".\"", conf_read_name},
	[CONF_WORD] = {sizeof(const char *), "WORD", "a word without spaces", conf_read_word},
	[CONF_STRING] = {sizeof(const char *), "TEXT", "a text", conf_read_string},
	[CONF_PATH] = {sizeof(const char *), "PATH", "a path that begins with \"/\"",
		conf_read_path},
	[CONF_HOST] = {sizeof(const char *), "HOST", "a host name such as mx.example.com",
		conf_read_host},
	[CONF_ENUM] = {sizeof(int), "", "one of the words", conf_read_enum},
	[CONF_ADDR] = {sizeof(struct addr), "ADDRESS",
		"an address such as 192.0.2.1 or 2001:db8::1", conf_read_addr},
	[CONF_ADDR_PORT] = {sizeof(struct addr), "ADDRESS:PORT",
		"an address and port such as 0.0.0.0:25 or [::]:25, or unix:/path",
		conf_read_addr_port},
	[CONF_ENDPOINT] = {sizeof(struct conf_endpoint), "HOST:PORT",
		"a host and port such as mta1.internal:25, 10.0.0.1:25 or [2001:db8::1]:25",
		conf_read_endpoint},
	[CONF_NETWORK] = {sizeof(struct network), "NETWORK",
		"a network such as 10.0.0.0/8 or 2001:db8::/32, or an address", conf_read_network},
	[CONF_DOMAIN] = {sizeof(struct conf_domain), "DOMAIN",
		"a domain such as example.com, or .example.com for it and all below it",
		conf_read_domain},
	[CONF_REF] = {sizeof(const struct conf_block *), "NAME", "a name", conf_read_ref},
	[CONF_CUSTOM] = {0, "", "a value", NULL},
	[CONF_BLOCK] = {0, "", "a block", NULL},
};

const struct conf_type_form *conf_type_form(enum conf_type type)
{
	assert((size_t)type < sizeof(forms) / sizeof(forms[0]));
	return &forms[type];
}

size_t conf_row_size(const struct conf_directive *row)
{
	if (row->type == CONF_BLOCK || (row->flags & CONF_NO_STORE))
		return 0;
	if (row->type == CONF_CUSTOM)
		return row->size;
	if (!conf_row_is_list(row))
		return forms[row->type].size;
	return row->type == CONF_ENUM ? sizeof(uint64_t) : sizeof(struct conf_texts);
}

bool conf_row_has_word(const struct conf_directive *row, struct span text)
{
	for (unsigned i = 0; row->words && row->words[i]; i++) {
		if (span_is(text, row->words[i]))
			return true;
	}
	return false;
}

static bool is_number(const struct conf_directive *row)
{
	return row->type >= CONF_INT && row->type <= CONF_SIZE;
}

/* ---- what is wanted ---- */

static void add_words(const struct conf_directive *row, struct buf *out)
{
	for (unsigned i = 0; row->words && row->words[i]; i++) {
		if (out->len > 0)
			buf_add_text(out, row->words[i + 1]        ? ", "
					  : row->type == CONF_ENUM ? " or "
								   : ", or ");
		buf_add_text(out, row->words[i]);
	}
}

void conf_row_bounds(const struct conf_directive *row, struct buf *out)
{
	bool lower = row->min != 0 || (row->type == CONF_INT && row->max != 0);

	if (!is_number(row))
		return;
	if (lower) {
		buf_add_text(out, row->max != 0 ? ", from " : ", at least ");
		conf_number_text(row->type, row->min, out);
	}
	if (row->max != 0) {
		buf_add_text(out, lower ? " to " : ", at most ");
		conf_number_text(row->type, row->max, out);
	}
}

void conf_row_wanted(const struct conf_directive *row, struct buf *out)
{
	struct buf text = {0};

	if (row->type == CONF_CUSTOM)
		buf_add_text(&text, row->values ? row->values : "");
	else if (row->type == CONF_REF)
		buf_addf(&text, "the name of a %s", row->kind);
	else if (row->type != CONF_ENUM)
		buf_add_text(&text, forms[row->type].wanted);
	conf_row_bounds(row, &text);
	add_words(row, &text);
	buf_add_span(out, buf_span(&text));
	buf_clear(&text);
}

const char *conf_subject(const struct conf_statement *statement, const struct conf_directive *row)
{
	return row->flags & CONF_ARG ? statement->block->is->word : row->name;
}

void conf_hint_word(struct conf_statement *statement, const struct conf_token *token,
	const struct conf_directive *row)
{
	const char *near;
	size_t count = 0;

	while (row->words && row->words[count])
		count++;
	near = conf_nearest(token->text, row->words, count);
	if (near)
		conf_report_hint(statement->report, "did you mean \"%s\"?", near);
}

bool conf_not_wanted(struct conf_statement *statement, const struct conf_token *token,
	const struct conf_directive *row)
{
	struct buf wanted = {0};

	conf_row_wanted(row, &wanted);
	conf_report_error(statement->report, token->place, CONF_SHOWN " is not a value of \"%s\"",
		CONF_SHOW(token->text), conf_subject(statement, row));
	conf_report_hint(statement->report, "expected %s", buf_string(&wanted));
	conf_hint_word(statement, token, row);
	buf_clear(&wanted);
	return false;
}

/* ---- reading ---- */

bool conf_value(struct conf_statement *statement, const struct conf_token *token,
	const struct conf_directive *row, void *to)
{
	assert(forms[row->type].read);
	if (token->kind == CONF_TOKEN_OPEN || token->kind == CONF_TOKEN_CLOSE)
		return conf_not_wanted(statement, token, row);
	for (unsigned i = 0; is_number(row) && row->words && row->words[i]; i++) {
		int64_t value = -(int64_t)i - 1;

		if (span_is(token->text, row->words[i])) {
			memcpy(to, &value, sizeof(value));
			return true;
		}
	}
	return forms[row->type].read(statement, token, row, to);
}
