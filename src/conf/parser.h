/*
 * The parser's state, and a directive's first line as it was gathered.
 */
#ifndef CONF_PARSER_H
#define CONF_PARSER_H

#include "conf/build.h"
#include "conf/lexer.h"

struct conf_parser {
	struct conf *conf;
	struct conf_report *report;
	struct conf_lexer lexer;
	struct conf_lexeme here;  /* the next one */
	struct conf_place before; /* the one taken last */
	unsigned unclosed; /* blocks that were taken for closed: as many "}" may be too many */
};

/* How a directive's first line came to its end. */
enum conf_ending {
	CONF_ENDED,       /* by ";", or where one is missing and that was reported */
	CONF_BODY,        /* "{" is next */
	CONF_BODY_INSIDE, /* as if behind "{": it is missing and that was reported */
};

struct conf_gathered {
	struct conf_token *values;
	unsigned count, room;
	struct conf_lexeme *options;
	unsigned option_count, option_room;
	bool bad; /* something was reported: the values are not worth a look */
	enum conf_ending ending;
};

/* The next lexeme, taken. */
struct conf_lexeme conf_take(struct conf_parser *parser);
static inline bool conf_at_end(const struct conf_parser *parser)
{
	return parser->here.kind == LEX_END;
}

/* Everything behind a directive's name, up to its ";" (taken), its "{" (not taken) or where one
 * of them is missing (reported).  `entry` NULL: nobody knows the directive.  `options` are the
 * caller's to free. */
void conf_gather(struct conf_parser *parser, const struct conf_block *block,
	const struct conf_entry *entry, const struct conf_lexeme *name,
	struct conf_gathered *gathered);

/* Whether it takes all values that are left. */
bool conf_takes_list(const struct conf_entry *entry);

#endif
