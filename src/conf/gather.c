/*
 * A directive's values and options, and where it ends.
 *
 * The end is the interesting part: a ";" or "{" that is missing should be reported behind the
 * value that lacks it, and what follows be read as what it is.  The sign is a word that begins a
 * line and is a setting here, or is one value too many.
 */
#include "conf/parser.h"

#include <string.h>

struct conf_lexeme conf_take(struct conf_parser *parser)
{
	struct conf_lexeme taken = parser->here;

	parser->before = taken.place;
	parser->here = conf_lexer_next(&parser->lexer);
	return taken;
}

/* ---- what is missing ---- */

static void complain_of_end(struct conf_parser *parser, struct span name)
{
	conf_report_error(parser->report, conf_place_behind(parser->before),
		"\";\" is missing at the end of " CONF_SHOWN, CONF_SHOW(name));
	if (conf_at_end(parser))
		conf_report_hint(parser->report, "expected \";\" before the end of the file");
	else if (parser->here.kind == LEX_BRACE_CLOSE)
		conf_report_hint(parser->report, "expected \";\" before \"}\"");
	else
		conf_report_hint(parser->report,
			"expected \";\" before " CONF_SHOWN
			" (if that is a value, put it in quotes)",
			CONF_SHOW(parser->here.text));
}

bool conf_takes_list(const struct conf_entry *entry)
{
	return entry->row->type == CONF_CUSTOM || (entry->row->flags & CONF_LIST) != 0;
}

/* How many values an entry can have. */
static unsigned most_values(const struct conf_entry *entry)
{
	unsigned most = 0;

	if (!entry->opens)
		return conf_takes_list(entry) ? UINT32_MAX : 1;
	for (unsigned i = 0; i < entry->opens->count; i++) {
		const struct conf_entry *arg = &entry->opens->entries[i];

		if (conf_entry_is_arg(arg) && conf_takes_list(arg))
			return UINT32_MAX;
		most += conf_entry_is_arg(arg);
	}
	return most;
}

/* A word that is a value of this entry, whatever else it may be. */
static bool is_own_word(const struct conf_entry *entry, struct span text)
{
	bool own = conf_row_has_word(entry->row, text);

	for (unsigned i = 0; entry->opens && i < entry->opens->count; i++) {
		const struct conf_entry *arg = &entry->opens->entries[i];

		own |= conf_entry_is_arg(arg) && conf_row_has_word(arg->row, text);
	}
	return own;
}

/* A word that could only be a misspelled setting: it stands no deeper than the directive in hand,
 * as no continued line does, and is nearly a setting here. */
static bool is_nearly_setting(const struct conf_parser *parser, const struct conf_block *block,
	const struct conf_lexeme *name)
{
	const struct conf_lexeme *here = &parser->here;

	return name->first && here->place.column <= name->place.column &&
	       conf_kind_nearest(block->is, here->text);
}

/* The next lexeme begins a line: does it begin another directive?  `entry` NULL: unknown. */
static bool begins_directive(const struct conf_parser *parser, const struct conf_block *block,
	const struct conf_entry *entry, const struct conf_lexeme *name, unsigned values)
{
	const struct conf_lexeme *here = &parser->here;

	if (here->kind != LEX_WORD || !here->first)
		return false;
	if (entry && values >= most_values(entry))
		return true;
	if (entry && is_own_word(entry, here->text))
		return false;
	return conf_kind_find(block->is, here->text) || is_nearly_setting(parser, block, name) ||
	       (here->place.column == 1 && conf_kind_find(parser->conf->kinds, here->text));
}

/* The next lexeme begins a line inside the block that `entry` opens, and the "{" is missing. */
static bool begins_body(const struct conf_parser *parser, const struct conf_block *block,
	const struct conf_entry *entry)
{
	const struct conf_lexeme *here = &parser->here;

	return entry && entry->opens && here->kind == LEX_WORD && here->first &&
	       !conf_kind_find(block->is, here->text) && conf_kind_find(entry->opens, here->text);
}

/* ---- values and options ---- */

static void add_value(
	struct conf_parser *parser, struct conf_gathered *gathered, struct conf_lexeme lexeme)
{
	struct conf_token *token;

	if (gathered->count == gathered->room) {
		/* In the arena: custom types may keep pointers to them. */
		unsigned room = gathered->room ? 2 * gathered->room : 4;
		struct conf_token *values = arena_new(&parser->conf->arena, room * sizeof(*values));

		if (gathered->count > 0)
			memcpy(values, gathered->values, gathered->count * sizeof(*values));
		gathered->values = values;
		gathered->room = room;
	}
	token = &gathered->values[gathered->count++];
	token->place = lexeme.place;
	token->text = lexeme.text;
	token->kind = lexeme.kind == LEX_STRING        ? CONF_TOKEN_STRING
		      : lexeme.kind == LEX_PAREN_OPEN  ? CONF_TOKEN_OPEN
		      : lexeme.kind == LEX_PAREN_CLOSE ? CONF_TOKEN_CLOSE
						       : CONF_TOKEN_WORD;
}

static void add_option(struct conf_gathered *gathered, struct conf_lexeme lexeme)
{
	if (gathered->option_count == gathered->option_room) {
		gathered->option_room = gathered->option_room ? 2 * gathered->option_room : 4;
		gathered->options = mem_grow(
			gathered->options, gathered->option_room, sizeof(gathered->options[0]));
	}
	gathered->options[gathered->option_count++] = lexeme;
}

/* False when the directive ends here: a string swallowed the rest of its line, and with it most
 * likely the ";". */
static bool gather_one(struct conf_parser *parser, struct conf_gathered *gathered)
{
	struct conf_lexeme lexeme = conf_take(parser);

	gathered->bad |= lexeme.bad;
	if (lexeme.kind == LEX_OPTION) {
		add_option(gathered, lexeme);
	} else if (gathered->option_count > 0 && !gathered->bad) {
		conf_report_error(parser->report, lexeme.place,
			CONF_SHOWN " stands behind an option", CONF_SHOW(lexeme.text));
		conf_report_hint(parser->report, "expected values first, then options");
		gathered->bad = true;
	} else {
		add_value(parser, gathered, lexeme);
	}
	return !lexeme.unclosed;
}

/* Everything up to the directive's end or body. */
void conf_gather(struct conf_parser *parser, const struct conf_block *block,
	const struct conf_entry *entry, const struct conf_lexeme *name,
	struct conf_gathered *gathered)
{
	bool malformed = false;

	for (;;) {
		struct conf_lexeme *here = &parser->here;

		if (here->kind == LEX_SEMICOLON) {
			conf_take(parser);
			return;
		}
		if (here->kind == LEX_BRACE_OPEN) {
			gathered->ending = CONF_BODY;
			return;
		}
		if (begins_body(parser, block, entry)) {
			conf_report_error(parser->report, conf_place_behind(parser->before),
				"\"{\" is missing behind " CONF_SHOWN, CONF_SHOW(name->text));
			gathered->ending = CONF_BODY_INSIDE;
			return;
		}
		if (conf_at_end(parser) || here->kind == LEX_BRACE_CLOSE ||
			begins_directive(parser, block, entry, name, gathered->count)) {
			if (!malformed)
				complain_of_end(parser, name->text);
			return;
		}
		malformed |= here->bad;
		if (!gather_one(parser, gathered))
			return;
	}
}
