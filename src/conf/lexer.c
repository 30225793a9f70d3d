/*
 * Text into lexemes.
 *
 * A WORD is anything but space and ; { } ( ) ", so [::]:25 and 10.0.0.0/8 need no quotes, and a
 * # begins a comment only where a lexeme may begin.  A word with a "=" in it is an option; its
 * value may be a string.  Columns count characters; a byte that is not UTF-8 counts as one.
 */
#include "conf/lexer.h"

#include <string.h>

size_t conf_utf8_len(struct span text)
{
	const unsigned char *s = (const unsigned char *)text.at;
	size_t len;

	if (text.len == 0)
		return 0;
	if (s[0] < 0x80)
		return 1;
	len = s[0] >= 0xc2 && s[0] <= 0xdf   ? 2
	      : (s[0] & 0xf0) == 0xe0        ? 3
	      : s[0] >= 0xf0 && s[0] <= 0xf4 ? 4
					     : 0;
	if (len == 0 || text.len < len)
		return 0;
	for (size_t i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	}
	/* RFC 3629 section 4: no overlong forms, no surrogates, nothing above U+10FFFF. */
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
		(s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return len;
}

struct conf_place conf_place_behind(struct conf_place place)
{
	struct span text;

	if (!conf_placed(place))
		return place;
	text = (struct span){.at = place.source->text.at + place.offset, .len = place.len};
	while (text.len > 0) {
		size_t len = conf_utf8_len(text);

		text = span_from(text, len > 0 ? len : 1);
		place.column++;
	}
	place.offset += place.len;
	place.len = 1;
	return place;
}

void conf_lexer_init(struct conf_lexer *lexer, const struct conf_source *source,
	struct arena *arena, struct conf_report *report)
{
	*lexer = (struct conf_lexer){
		.source = source, .report = report, .arena = arena, .line = 1, .column = 1};
}

/* ---- characters ---- */

static int peek(const struct conf_lexer *lexer, size_t ahead)
{
	struct span text = lexer->source->text;

	return lexer->at + ahead < text.len ? (unsigned char)text.at[lexer->at + ahead] : -1;
}

static struct conf_place here(const struct conf_lexer *lexer)
{
	return (struct conf_place){.source = lexer->source,
		.line = lexer->line,
		.column = lexer->column,
		.offset = (uint32_t)lexer->at,
		.len = 1};
}

static bool is_space(const struct conf_lexer *lexer)
{
	int c = peek(lexer, 0);

	return c == ' ' || c == '\t' || c == '\n' || (c == '\r' && peek(lexer, 1) == '\n');
}

static bool is_control(int c)
{
	return (c >= 0 && c < ' ' && c != '\t') || c == 0x7f;
}

static void complain_of_control(struct conf_lexer *lexer, int c)
{
	if (lexer->told_control)
		return;
	lexer->told_control = true;
	if (c == 0)
		conf_report_error(lexer->report, here(lexer), "NUL byte: this is not a text file");
	else if (c == '\r')
		conf_report_error(lexer->report, here(lexer), "carriage return inside a line");
	else
		conf_report_error(
			lexer->report, here(lexer), "control character 0x%02x", (unsigned)c);
	conf_report_hint(lexer->report, "expected plain text in UTF-8");
}

/* Step over one character. */
static void advance(struct conf_lexer *lexer)
{
	struct span rest = span_from(lexer->source->text, lexer->at);
	size_t len = conf_utf8_len(rest);

	if (rest.at[0] == '\n') {
		lexer->line++;
		lexer->column = 0;
		lexer->line_has_text = false;
	}
	lexer->column++;
	lexer->at += len > 0 ? len : 1;
}

/* Step over one character of a word or string: here, unlike in a comment, it must be UTF-8. */
static void advance_text(struct conf_lexer *lexer)
{
	if (conf_utf8_len(span_from(lexer->source->text, lexer->at)) == 0 && !lexer->told_utf8) {
		lexer->told_utf8 = true;
		conf_report_error(lexer->report, here(lexer), "byte 0x%02x is not UTF-8",
			(unsigned)peek(lexer, 0));
	}
	advance(lexer);
}

static void skip_comment(struct conf_lexer *lexer)
{
	while (peek(lexer, 0) >= 0 && peek(lexer, 0) != '\n') {
		if (peek(lexer, 0) == 0)
			complain_of_control(lexer, 0);
		advance(lexer);
	}
}

static void skip_blank(struct conf_lexer *lexer)
{
	for (;;) {
		int c = peek(lexer, 0);

		if (c == '#') {
			skip_comment(lexer);
		} else if (is_space(lexer)) {
			advance(lexer);
		} else if (is_control(c)) {
			complain_of_control(lexer, c);
			advance(lexer);
		} else {
			return;
		}
	}
}

/* ---- lexemes ---- */

static bool ends_word(const struct conf_lexer *lexer)
{
	int c = peek(lexer, 0);

	return c < 0 || is_space(lexer) || is_control(c) || strchr(";{}()\"", c);
}

static struct conf_place place_from(const struct conf_lexer *lexer, struct conf_place start)
{
	start.len = (uint32_t)(lexer->at - start.offset);
	return start;
}

static struct span text_from(const struct conf_lexer *lexer, size_t start)
{
	return (struct span){.at = lexer->source->text.at + start, .len = lexer->at - start};
}

/* Behind the opening quote, up to the closing one or the end of the line. */
static void scan_string(struct conf_lexer *lexer, struct conf_lexeme *lexeme, bool *escapes_r)
{
	*escapes_r = false;
	for (;;) {
		int c = peek(lexer, 0);

		if (c == '"')
			return;
		if (c < 0 || is_control(c)) {
			lexeme->unclosed = c < 0 || c == '\n' || (c == '\r' && is_space(lexer));
			lexeme->bad = true;
			if (!lexeme->unclosed)
				complain_of_control(lexer, c);
			return;
		}
		if (c == '\\') {
			*escapes_r = true;
			if (peek(lexer, 1) != '"' && peek(lexer, 1) != '\\') {
				struct conf_place place = here(lexer);

				conf_report_error(lexer->report, place,
					"a backslash in a string stands before \" or \\ only");
				conf_report_hint(lexer->report, "write \\\\ for a backslash");
				lexeme->bad = true;
			} else {
				advance(lexer);
			}
		}
		advance_text(lexer);
	}
}

/* An unclosed string has run to the end of its line.  The ";" and "}" there were most likely not
 * meant to be in it: give them back, so that the directive ends where it should. */
static void give_back_end(struct conf_lexer *lexer, struct conf_lexeme *lexeme, size_t start)
{
	struct span text = lexer->source->text;
	size_t at = lexer->at;
	bool signs = false;

	while (at > start && strchr(" \t\r;}", text.at[at - 1])) {
		at--;
		signs |= text.at[at] == ';' || text.at[at] == '}';
	}
	if (!signs)
		return;
	lexer->column -= (uint32_t)(lexer->at - at);
	lexer->at = at;
	lexeme->unclosed = false;
}

static struct span unescape(struct conf_lexer *lexer, struct span raw)
{
	char *text = arena_string(lexer->arena, raw);
	size_t len = 0;

	for (size_t i = 0; i < raw.len; i++) {
		if (raw.at[i] == '\\' && i + 1 < raw.len)
			i++;
		text[len++] = raw.at[i];
	}
	text[len] = '\0';
	return (struct span){.at = text, .len = len};
}

/* At the opening quote. */
static void lex_string(struct conf_lexer *lexer, struct conf_lexeme *lexeme)
{
	struct conf_place start = here(lexer);
	size_t inside = lexer->at + 1;
	bool escapes;

	lexeme->quoted = true;
	advance(lexer);
	scan_string(lexer, lexeme, &escapes);
	lexeme->text = text_from(lexer, inside);
	if (escapes)
		lexeme->text = unescape(lexer, lexeme->text);
	if (peek(lexer, 0) == '"')
		advance(lexer);
	lexeme->text_place = place_from(lexer, start);
	if (lexeme->unclosed) {
		conf_report_error(lexer->report, start, "string without its closing quote");
		conf_report_hint(lexer->report, "expected \" on the same line");
		give_back_end(lexer, lexeme, inside);
	} else if (!lexeme->bad && (!ends_word(lexer) || peek(lexer, 0) == '"')) {
		conf_report_error(lexer->report, here(lexer), "no space after a string");
		conf_report_hint(lexer->report, "expected a space or \";\" behind the quote");
		lexeme->bad = true;
	}
}

/* A quote in the middle of a word: take what looks like the string with it, as one bad lexeme. */
static void complain_of_quote(struct conf_lexer *lexer, struct conf_lexeme *lexeme)
{
	size_t start;

	conf_report_error(lexer->report, here(lexer), "quote inside a word");
	conf_report_hint(
		lexer->report, "put the whole value in quotes, and write \\\" inside them");
	lexeme->bad = true;
	start = lexer->at;
	for (advance(lexer); peek(lexer, 0) >= 0 && peek(lexer, 0) != '\n'; advance(lexer)) {
		if (peek(lexer, 0) == '"') {
			advance(lexer);
			return;
		}
	}
	lexeme->unclosed = true;
	give_back_end(lexer, lexeme, start);
}

static void lex_word(struct conf_lexer *lexer, struct conf_lexeme *lexeme)
{
	struct conf_place start = here(lexer), value = start;
	size_t equals = 0;

	while (!ends_word(lexer)) {
		bool is_equals = peek(lexer, 0) == '=' && lexeme->kind == LEX_WORD;

		if (is_equals) {
			lexeme->kind = LEX_OPTION;
			equals = lexer->at;
		}
		advance_text(lexer);
		if (is_equals)
			value = here(lexer);
	}
	lexeme->text = text_from(lexer, value.offset);
	lexeme->text_place = place_from(lexer, value);
	if (lexeme->kind == LEX_OPTION) {
		lexeme->name = (struct span){
			.at = lexer->source->text.at + start.offset, .len = equals - start.offset};
		if (lexeme->text.len == 0 && peek(lexer, 0) == '"')
			lex_string(lexer, lexeme);
		else if (lexeme->text.len == 0)
			lexeme->text_place.len = 1;
	}
	if (!lexeme->quoted && peek(lexer, 0) == '"')
		complain_of_quote(lexer, lexeme);
	lexeme->place = place_from(lexer, start);
}

struct conf_lexeme conf_lexer_next(struct conf_lexer *lexer)
{
	static const char signs[] = ";{}()";
	static const enum conf_lexeme_kind kinds[] = {
		LEX_SEMICOLON, LEX_BRACE_OPEN, LEX_BRACE_CLOSE, LEX_PAREN_OPEN, LEX_PAREN_CLOSE};
	struct conf_lexeme lexeme = {.kind = LEX_WORD};
	const char *sign;
	int c;

	skip_blank(lexer);
	c = peek(lexer, 0);
	lexeme.first = !lexer->line_has_text;
	lexer->line_has_text = true;
	lexeme.place = lexeme.text_place = here(lexer);
	if (c < 0) {
		lexeme.kind = LEX_END;
		return lexeme;
	}
	sign = strchr(signs, c);
	if (sign) {
		advance(lexer);
		lexeme.kind = kinds[sign - signs];
		lexeme.text = text_from(lexer, lexeme.place.offset);
	} else if (c == '"') {
		lexeme.kind = LEX_STRING;
		lex_string(lexer, &lexeme);
		lexeme.place = lexeme.text_place;
	} else {
		lex_word(lexer, &lexeme);
	}
	return lexeme;
}
