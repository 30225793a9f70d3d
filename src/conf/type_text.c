/*
 * Words, strings and names.  All are handed out NUL-terminated, which loses nothing: the lexer
 * lets no NUL byte through.
 */
#include "conf/type.h"

#include <string.h>

static bool keep(struct conf_statement *statement, struct span text, void *to)
{
	const char *copy = arena_string(statement->arena, text);

	memcpy(to, &copy, sizeof(copy));
	return true;
}

bool conf_read_flag(struct conf_statement *statement, const struct conf_token *token,
	const struct conf_directive *row, void *to)
{
	static const char *const meant[] = {
		"on", "true", "1", "enable", "enabled", "off", "false", "0", "disable", "disabled"};
	bool yes = span_is(token->text, "yes");

	if (yes || span_is(token->text, "no")) {
		memcpy(to, &yes, sizeof(yes));
		return true;
	}
	conf_not_wanted(statement, token, row);
	for (size_t i = 0; i < sizeof(meant) / sizeof(meant[0]); i++) {
		if (span_is_nocase(token->text, meant[i]))
			conf_report_hint(
				statement->report, "did you mean %s?", i < 5 ? "yes" : "no");
	}
	return false;
}

bool conf_read_enum(struct conf_statement *statement, const struct conf_token *token,
	const struct conf_directive *row, void *to)
{
	int count = 0;

	for (; row->words[count]; count++) {
		if (span_is(token->text, row->words[count])) {
			memcpy(to, &count, sizeof(count));
			return true;
		}
	}
	return conf_not_wanted(statement, token, row);
}

static bool is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Names go into logs, metrics, URLs and command lines: keep them plain. */
bool conf_read_name(struct conf_statement *statement, const struct conf_token *token,
	const struct conf_directive *row, void *to)
{
	struct span text = token->text;
	bool good = text.len > 0 && text.len <= 63 && is_alnum(text.at[0]);

	for (size_t i = 0; good && i < text.len; i++)
		good = is_alnum(text.at[i]) || strchr("-_.", text.at[i]);
	if (good)
		return keep(statement, text, to);
	conf_report_error(
		statement->report, token->place, CONF_SHOWN " can't be a name", CONF_SHOW(text));
	conf_report_hint(statement->report,
		"expected up to 63 letters, digits, \"-\", \"_\" and \".\", the first a letter or "
		"digit");
	return false;
}

bool conf_read_word(struct conf_statement *statement, const struct conf_token *token,
	const struct conf_directive *row, void *to)
{
	struct span text = token->text;
	bool good = text.len > 0;

	for (size_t i = 0; good && i < text.len; i++)
		good = text.at[i] != ' ' && text.at[i] != '\t';
	if (!good)
		return conf_not_wanted(statement, token, row);
	return keep(statement, text, to);
}

bool conf_read_string(struct conf_statement *statement, const struct conf_token *token,
	const struct conf_directive *row, void *to)
{
	return keep(statement, token->text, to);
}

/* Absolute, so that it means the same from every working directory and under check --root. */
bool conf_read_path(struct conf_statement *statement, const struct conf_token *token,
	const struct conf_directive *row, void *to)
{
	if (token->text.len == 0 || token->text.at[0] != '/')
		return conf_not_wanted(statement, token, row);
	return keep(statement, token->text, to);
}

bool conf_read_ref(struct conf_statement *statement, const struct conf_token *token,
	const struct conf_directive *row, void *to)
{
	struct conf_pending *pending = arena_new(statement->arena, sizeof(*pending));

	/* The block is ours to mark: conf_statement shows it to rooms as const. */
	pending->block = (struct conf_block *)statement->block;
	pending->row = row;
	pending->token = *token;
	pending->to = to;
	*statement->conf->pending_end = pending;
	statement->conf->pending_end = &pending->next;
	return true;
}
