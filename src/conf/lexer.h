/*
 * Text into lexemes.  The lexer keeps places, and never fails: what is malformed is reported and
 * comes back marked, so that the parser can go on.
 */
#ifndef CONF_LEXER_H
#define CONF_LEXER_H

#include "conf/report.h"

enum conf_lexeme_kind {
	LEX_WORD,
	LEX_STRING,      /* `text` without quotes and escapes */
	LEX_OPTION,      /* NAME=value: `name` and `text` */
	LEX_SEMICOLON,   /* ; */
	LEX_BRACE_OPEN,  /* { */
	LEX_BRACE_CLOSE, /* } */
	LEX_PAREN_OPEN,  /* ( */
	LEX_PAREN_CLOSE, /* ) */
	LEX_END,
};

struct conf_lexeme {
	enum conf_lexeme_kind kind;
	struct span text;
	struct span name;
	struct conf_place place;      /* all of it */
	struct conf_place text_place; /* of `text`; the same but for an option */
	bool quoted;                  /* `text` was a string */
	bool first;                   /* on its line */
	bool bad;                     /* malformed, and reported */
	bool unclosed;                /* a string took all of its line */
};

struct conf_lexer {
	const struct conf_source *source;
	struct conf_report *report;
	struct arena *arena; /* for the texts of strings with escapes */
	size_t at;
	uint32_t line, column;
	bool line_has_text;           /* a lexeme has begun on this line */
	bool told_control, told_utf8; /* reported once a file */
};

void conf_lexer_init(struct conf_lexer *lexer, const struct conf_source *source,
	struct arena *arena, struct conf_report *report);
struct conf_lexeme conf_lexer_next(struct conf_lexer *lexer);

/* The single character right behind a place: where something is missing. */
struct conf_place conf_place_behind(struct conf_place place);

/* Bytes of the UTF-8 sequence at the start of `text`, 0 if it is malformed or empty. */
size_t conf_utf8_len(struct span text);

#endif
