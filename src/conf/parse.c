/*
 * Directives, blocks, and going on after a mistake.
 *
 *     directive = NAME { value } { option } ( ";" | "{" { directive } "}" )
 *
 * A person who has made five mistakes wants five diagnostics from one run, and not fifty about
 * the consequences of one.  So:
 *
 * - After a mistake inside a directive the rest of it is skipped up to ";", "{" or "}".
 * - A misspelled block is read as the one that was meant, so that its settings are checked and
 *   references to its name are not wrong as well.
 * - A missing ";" is told by a word that begins a line and is a setting here (or is one value too
 *   many), and is reported behind the value that lacks it, not where the parser stumbles.
 * - A missing "}" is told by a word that begins a line, no deeper than the block does, and is
 *   legal only further out.
 */
#include <stdlib.h>
#include <string.h>

#include "conf/parser.h"

static void parse_body(
	struct conf_parser *parser, struct conf_block *block, const struct conf_lexeme *opener);

/* ---- skipping ---- */

/* From "{" (next) to behind its "}".  A counter and no recursion: any depth is fine. */
static void skip_body(struct conf_parser *parser)
{
	unsigned depth = 0;

	do {
		enum conf_lexeme_kind kind = conf_take(parser).kind;

		if (kind == LEX_BRACE_OPEN)
			depth++;
		else if (kind == LEX_BRACE_CLOSE)
			depth--;
	} while (depth > 0 && !conf_at_end(parser));
}

/* The rest of something that could not be a directive. */
static void skip_statement(struct conf_parser *parser)
{
	while (!conf_at_end(parser)) {
		if (parser->here.kind == LEX_BRACE_CLOSE)
			return;
		if (parser->here.kind == LEX_BRACE_OPEN) {
			skip_body(parser);
			return;
		}
		if (conf_take(parser).kind == LEX_SEMICOLON)
			return;
	}
}

/* ---- settings ---- */

/* One value, or the list of values, into the block, unless it was written before. */
static void set(struct conf_parser *parser, struct conf_block *block,
	const struct conf_entry *entry, struct conf_place place, const struct conf_token *values,
	unsigned count)
{
	struct conf_place *written = conf_block_place(block, entry);

	if (conf_placed(*written) && !(entry->row->flags & CONF_REPEATABLE)) {
		conf_report_error(parser->report, place, "\"%s\" twice", entry->row->name);
		conf_report_note(parser->report, *written, "first written here");
		return;
	}
	if (!conf_placed(*written))
		*written = place;
	conf_apply(parser->conf, block, entry, place, values, count);
}

static void complain_of_body(struct conf_parser *parser, const struct conf_entry *entry)
{
	conf_report_error(
		parser->report, parser->here.place, "\"%s\" takes no block", entry->row->name);
	conf_report_hint(parser->report, "expected \";\"");
}

static void parse_setting(struct conf_parser *parser, struct conf_block *block,
	const struct conf_entry *entry, const struct conf_lexeme *name,
	struct conf_gathered *gathered)
{
	struct conf_place *written = conf_block_place(block, entry);

	if (gathered->option_count > 0 && !gathered->bad) {
		conf_report_error(parser->report, gathered->options[0].place,
			"\"%s\" takes no options", entry->row->name);
		conf_report_hint(parser->report,
			"if this is a value, put it in quotes because of its \"=\"");
		gathered->bad = true;
	}
	if (gathered->ending == CONF_BODY) {
		complain_of_body(parser, entry);
		skip_body(parser);
		gathered->bad = true;
	}
	if (!gathered->bad)
		set(parser, block, entry, name->place, gathered->values, gathered->count);
	else if (!conf_placed(*written))
		*written = name->place; /* so that it isn't missing as well */
}

/* ---- blocks ---- */

static bool is_twin(const struct conf_block *a, const struct conf_block *b)
{
	return a != b && a->is == b->is && a->name && strcmp(a->name, b->name) == 0;
}

static const struct conf_block *find_twin(
	const struct conf_block *below, const struct conf_block *block, bool anywhere)
{
	for (const struct conf_block *each = below->first; each; each = each->next) {
		const struct conf_block *twin = is_twin(each, block) ? each : NULL;

		if (!twin && anywhere)
			twin = find_twin(each, block, true);
		if (twin)
			return twin;
	}
	return NULL;
}

static void check_name(
	struct conf_parser *parser, const struct conf_block *block, const struct conf_entry *name)
{
	bool anywhere = (name->row->flags & CONF_UNIQUE) != 0;
	const struct conf_block *twin =
		find_twin(anywhere ? parser->conf->root : block->parent, block, anywhere);

	if (!twin)
		return;
	conf_report_error(
		parser->report, block->place, "%s \"%s\" twice", block->is->word, block->name);
	conf_report_note(parser->report, twin->place, "first written here");
}

static void complain_of_values(struct conf_parser *parser, const struct conf_kind *kind,
	struct conf_place place, const char *missing)
{
	struct buf form = {0};

	conf_kind_synopsis(kind, &form);
	if (missing)
		conf_report_error(
			parser->report, place, "\"%s\" needs its %s", kind->word, missing);
	else
		conf_report_error(parser->report, place, "too many values for \"%s\"", kind->word);
	conf_report_hint(parser->report, "expected %s", buf_string(&form));
	buf_clear(&form);
}

/* One of the values behind the block's name: `values` may be none. */
static void apply_arg(struct conf_parser *parser, struct conf_block *block,
	const struct conf_entry *entry, const struct conf_token *values, unsigned count, bool bad)
{
	struct conf_place place = count > 0 ? values[0].place : block->place;

	if (count == 0 && entry->row->fallback)
		return;
	if (count == 0 && !bad)
		complain_of_values(parser, block->is, place, entry->row->name);
	if (count > 0 && entry->row->type == CONF_NAME) {
		block->name = arena_string(&parser->conf->arena, values[0].text);
		block->place = place;
	}
	if (count == 0 || (bad && entry->row->type != CONF_NAME)) {
		*conf_block_place(block, entry) = place;
		return;
	}
	set(parser, block, entry, place, values, count);
	if (entry->row->type == CONF_NAME)
		check_name(parser, block, entry);
}

static void apply_args(
	struct conf_parser *parser, struct conf_block *block, const struct conf_gathered *gathered)
{
	unsigned next = 0, errors = parser->report->errors;

	for (unsigned i = 0; i < block->is->count; i++) {
		const struct conf_entry *entry = &block->is->entries[i];
		unsigned left = gathered->count - next;
		unsigned count = conf_takes_list(entry) || left == 0 ? left : 1;
		bool bad = gathered->bad || parser->report->errors > errors;

		if (!conf_entry_is_arg(entry))
			continue;
		apply_arg(parser, block, entry, count > 0 ? &gathered->values[next] : NULL, count,
			bad);
		next += count;
	}
	if (next < gathered->count && !gathered->bad)
		complain_of_values(parser, block->is, gathered->values[next].place, NULL);
}

static void apply_option(
	struct conf_parser *parser, struct conf_block *block, const struct conf_lexeme *option)
{
	struct conf_place place = option->place;
	const struct conf_entry *entry;
	struct conf_token *value;

	place.len = (uint32_t)option->name.len;
	if (option->name.len == 0 || (option->text.len == 0 && !option->quoted)) {
		conf_report_error(parser->report, option->place, "%s is missing at the \"=\"",
			option->name.len == 0 ? "the name" : "the value");
		conf_report_hint(parser->report, "expected NAME=value, without spaces");
		return;
	}
	entry = conf_kind_find(block->is, option->name);
	if (!entry) {
		entry = conf_unknown_setting(parser->conf, block, block->is, option->name, place);
		if (entry)
			*conf_block_place(block, entry) = place;
		return;
	}
	if (entry->opens || (entry->row->flags & CONF_LIST)) {
		conf_report_error(parser->report, place,
			"\"%s\" takes several values and can't be an option", entry->row->name);
		conf_report_hint(parser->report, "write it inside { }");
		return;
	}
	value = arena_new(&parser->conf->arena, sizeof(*value));
	value->kind = option->quoted ? CONF_TOKEN_STRING : CONF_TOKEN_WORD;
	value->text = option->text;
	value->place = option->text_place;
	set(parser, block, entry, place, value, 1);
}

static void parse_block(struct conf_parser *parser, struct conf_block *parent,
	const struct conf_entry *entry, const struct conf_lexeme *name,
	struct conf_gathered *gathered)
{
	struct conf_place *written = conf_block_place(parent, entry);
	struct conf_block *block;
	unsigned errors = parser->report->errors;

	if (!conf_placed(*written)) {
		*written = name->place;
	} else if (!(entry->row->flags & CONF_REPEATABLE)) {
		conf_report_error(parser->report, name->place, "\"%s\" twice", entry->row->name);
		conf_report_note(parser->report, *written, "first written here");
	}
	block = conf_block_new(parser->conf, parent, entry->opens);
	block->place = name->place;
	apply_args(parser, block, gathered);
	for (unsigned i = 0; i < gathered->option_count && !gathered->bad; i++)
		apply_option(parser, block, &gathered->options[i]);
	if (gathered->ending == CONF_BODY)
		conf_take(parser);
	if (gathered->ending != CONF_ENDED)
		parse_body(parser, block, name);
	if (parser->report->errors > errors || gathered->bad)
		block->flags |= CONF_BLOCK_DIRTY;
}

/* ---- directives ---- */

static void parse_directive(struct conf_parser *parser, struct conf_block *block)
{
	struct conf_lexeme name = conf_take(parser);
	const struct conf_entry *entry = conf_kind_find(block->is, name.text);
	struct conf_gathered gathered = {.bad = name.bad};

	if (!entry && !name.bad) {
		entry = conf_unknown_setting(parser->conf, block, block->is, name.text, name.place);
		/* The values of a setting that we only guess are not worth a look. */
		gathered.bad = !entry || !entry->opens;
	}
	conf_gather(parser, block, entry, &name, &gathered);
	if (entry && entry->opens)
		parse_block(parser, block, entry, &name, &gathered);
	else if (entry)
		parse_setting(parser, block, entry, &name, &gathered);
	else if (gathered.ending == CONF_BODY)
		skip_body(parser);
	free(gathered.options);
}

/* What can't begin a directive. */
static void complain_of_start(struct conf_parser *parser)
{
	switch (parser->here.kind) {
	case LEX_SEMICOLON:
		conf_report_error(parser->report, parser->here.place,
			parser->before.source && parser->before.len == 1 &&
					parser->before.source->text.at[parser->before.offset] == '}'
				? "no \";\" behind \"}\""
				: "\";\" without a setting");
		conf_take(parser);
		return;
	case LEX_BRACE_OPEN:
		conf_report_error(
			parser->report, parser->here.place, "\"{\" without a block's name");
		break;
	case LEX_OPTION:
		conf_report_error(
			parser->report, parser->here.place, "an option without its setting");
		conf_report_hint(parser->report,
			"inside { } write " CONF_SHOWN ", a space, the value",
			CONF_SHOW(parser->here.name));
		break;
	default:
		if (!parser->here.bad)
			conf_report_error(parser->report, parser->here.place,
				"expected the name of a setting");
		break;
	}
	skip_statement(parser);
}

static void complain_of_stray_brace(struct conf_parser *parser)
{
	struct conf_lexeme brace = conf_take(parser);

	if (parser->unclosed > 0)
		parser->unclosed--;
	else
		conf_report_error(parser->report, brace.place, "\"}\" without its \"{\"");
}

/* Whether the "}" is missing before the next lexeme. */
static bool leaves_block(const struct conf_parser *parser, const struct conf_block *block,
	const struct conf_lexeme *opener)
{
	const struct conf_lexeme *here = &parser->here;

	if (!opener || !opener->first || here->kind != LEX_WORD || !here->first ||
		here->place.column > opener->place.column || conf_kind_find(block->is, here->text))
		return false;
	for (const struct conf_block *out = block->parent; out; out = out->parent) {
		if (conf_kind_find(out->is, here->text))
			return true;
	}
	return false;
}

static void complain_of_unclosed(struct conf_parser *parser, const struct conf_block *block)
{
	struct buf which = {0};

	conf_block_describe(block, &which);
	conf_report_error(parser->report, block->place, "%s is not closed", buf_string(&which));
	conf_report_hint(parser->report, "expected \"}\" before %s",
		conf_at_end(parser) ? "the end of the file" : "this:");
	if (!conf_at_end(parser))
		conf_report_note(parser->report, parser->here.place,
			CONF_SHOWN " belongs further out", CONF_SHOW(parser->here.text));
	buf_clear(&which);
	parser->unclosed++;
}

/* Directives up to the block's "}", or for the top to the end of the text. */
static void parse_body(
	struct conf_parser *parser, struct conf_block *block, const struct conf_lexeme *opener)
{
	while (!conf_at_end(parser) && !leaves_block(parser, block, opener)) {
		unsigned errors = parser->report->errors;

		if (parser->here.kind == LEX_BRACE_CLOSE && block->parent) {
			conf_take(parser);
			return;
		}
		if (parser->here.kind == LEX_BRACE_CLOSE)
			complain_of_stray_brace(parser);
		else if (parser->here.kind == LEX_WORD)
			parse_directive(parser, block);
		else
			complain_of_start(parser);
		if (parser->report->errors > errors)
			block->flags |= CONF_BLOCK_DIRTY;
	}
	if (block->parent)
		complain_of_unclosed(parser, block);
}

void conf_parse_text(struct conf *conf, const struct conf_source *source, struct conf_block *block)
{
	struct conf_parser parser = {.conf = conf, .report = conf->report};

	conf_lexer_init(&parser.lexer, source, &conf->arena, conf->report);
	parser.here = conf_lexer_next(&parser.lexer);
	parse_body(&parser, block, NULL);
}
