/*
 * The lint of declarations, and the reference made from them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "test_conf_example.h"

static void example_is_sound(void **state)
{
	struct err_text text = {{0}};
	enum err err = conf_vocabulary_check(&ex_vocabulary, &text);

	if (err != ERR_OK)
		fprintf(stderr, "%s\n", text.text);
	assert_int_equal(err, ERR_OK);
}

struct room {
	int64_t number;
	struct conf_texts texts;
	const char *word;
};

static bool parse_nothing(struct conf_statement *statement, void *to)
{
	return true;
}

/* A vocabulary of one row must be refused for this reason; NULL: must be sound. */
static void lint(struct conf_directive row, const char *reason)
{
	struct conf_directive inner = {"inner", CONF_INT, offsetof(struct room, number),
		.help = "A number, so that there is one.", .example = "inner 1;"};
	struct conf_section top = {"", sizeof(struct room), &row, 1, NULL};
	struct conf_section block = {"block", sizeof(struct room), &inner, 1, NULL};
	const struct conf_section *const sections[] = {&top, &block};
	const struct conf_vocabulary vocabulary = {
		sections, row.type == CONF_BLOCK && row.kind ? 2 : 1};
	struct err_text text = {{0}};
	enum err err = conf_vocabulary_check(&vocabulary, &text);

	if (!reason) {
		assert_string_equal(text.text, "");
		assert_int_equal(err, ERR_OK);
		return;
	}
	if (err == ERR_OK || !strstr(text.text, reason))
		fprintf(stderr, "wanted: %s\ngot: %s\n", reason, text.text);
	assert_int_equal(err, ERR_SYNTAX);
	assert_non_null(strstr(text.text, reason));
}

#define ROW(...)                                                                                   \
	(struct conf_directive)                                                                    \
	{                                                                                          \
		.name = "row", .help = "Some words of help.", .example = "row 1;",                 \
		.offset = offsetof(struct room, number), __VA_ARGS__                               \
	}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init"
#ifdef __clang__
#pragma clang diagnostic ignored "-Winitializer-overrides"
#endif
static void faults_of_rows(void **state)
{
	static const char *const words[] = {"one", "two", NULL};

	lint(ROW(.type = CONF_INT), NULL);
	lint(ROW(.type = CONF_INT, .help = NULL), "no help");
	lint(ROW(.type = CONF_INT, .help = "short"), "no help");
	lint(ROW(.type = CONF_INT, .example = NULL), "no example");
	lint(ROW(.type = CONF_INT, .example = "row x;"), "example is wrong");
	lint(ROW(.type = CONF_INT, .example = "row 1"), "example is wrong");
	lint(ROW(.type = CONF_INT, .example = "# row"), "does not show it");
	lint(ROW(.type = CONF_INT, .example = "other 1;"), "example is wrong");
	lint(ROW(.type = CONF_INT, .fallback = "many"), "default is wrong");
	lint(ROW(.type = CONF_INT, .fallback = "7", .max = 6), "default is wrong");
	lint(ROW(.type = CONF_INT, .min = 7, .max = 6), "max is below min");
	lint(ROW(.type = CONF_INT, .name = "Row"), "lower case");
	lint(ROW(.type = CONF_INT, .name = ""), "lower case");
	lint(ROW(.type = CONF_INT, .offset = sizeof(struct room)), "outside its struct");
	lint(ROW(.type = CONF_WORD, .offset = offsetof(struct room, word)), NULL);
	lint(ROW(.type = CONF_WORD, .offset = offsetof(struct room, word), .flags = CONF_LIST),
		"outside its struct");
	lint(ROW(.type = CONF_INT, .fallback = "1", .flags = CONF_REQUIRED), "no default");
	lint(ROW(.type = CONF_ENUM), "enum without words");
	lint(ROW(.type = CONF_ENUM, .words = words, .example = "row two;"), NULL);
	lint(ROW(.type = CONF_FLAG, .words = words, .example = "row yes;"), "nobody looks at");
	lint(ROW(.type = CONF_REF), "have a kind");
	lint(ROW(.type = CONF_REF, .kind = "nothing"), "opens \"nothing\"");
	lint(ROW(.type = CONF_NAME), "stands behind it");
	lint(ROW(.type = CONF_INT, .flags = CONF_INHERIT), "the top inherits from nobody");
	lint(ROW(.type = CONF_INT, .flags = CONF_FILE), "FILE is for lists");
	lint(ROW(.type = CONF_INT, .flags = CONF_PARENS), "PARENS is for custom");
	lint(ROW(.type = CONF_INT, .flags = CONF_ALWAYS), "ALWAYS is for a single block");
	lint(ROW(.type = CONF_CUSTOM), "needs parse");
	lint(ROW(.type = CONF_CUSTOM, .parse = parse_nothing, .size = 8, .values = "ANY"), NULL);
	lint(ROW(.type = CONF_CUSTOM, .parse = parse_nothing, .size = 8, .values = "ANY",
		     .flags = CONF_LIST),
		"not a list");
	lint(ROW(.type = CONF_BLOCK, .kind = "block", .example = "row { inner 1; }"), NULL);
	lint(ROW(.type = CONF_BLOCK, .kind = "block", .example = "row { inner; }"),
		"example is wrong");
	lint(ROW(.type = CONF_BLOCK, .kind = "elsewhere", .example = "row;"),
		"opens its kind of block");
}
#pragma GCC diagnostic pop

static void faults_of_vocabularies(void **state)
{
	static const struct conf_directive twice[] = {
		{"row", CONF_INT, .help = "Some words of help.", .example = "row 1;"},
	};
	static const struct conf_directive again[] = {
		{"row", CONF_INT, .help = "Some words of help.", .example = "row 1;"},
	};
	static const struct conf_directive loop[] = {
		{"block", CONF_BLOCK, .kind = "block", .help = "It opens itself.",
			.example = "block;"},
	};
	static const struct conf_directive args[] = {
		{"many", CONF_INT, offsetof(struct room, texts), .flags = CONF_ARG | CONF_LIST,
			.help = "All of the values."},
		{"last", CONF_INT, .flags = CONF_ARG, .help = "None is left for it."},
	};
	static const struct conf_section a = CONF_SECTION("", sizeof(struct room), twice);
	static const struct conf_section c = CONF_SECTION("block", sizeof(struct room), loop);
	static const struct conf_section d = CONF_SECTION("", sizeof(struct room), args);
	static const struct conf_section e = CONF_SECTION("", sizeof(struct room), again);
	const struct conf_section *const same[] = {&a, &e}, *const self[] = {&c},
					 *const last[] = {&d};
	struct err_text text;

	assert_int_equal(
		conf_vocabulary_check(&(struct conf_vocabulary){same, 2}, &text), ERR_SYNTAX);
	assert_non_null(strstr(text.text, "another setting has this name"));
	assert_int_equal(
		conf_vocabulary_check(&(struct conf_vocabulary){self, 1}, &text), ERR_SYNTAX);
	assert_non_null(strstr(text.text, "opens its kind"));
	assert_int_equal(
		conf_vocabulary_check(&(struct conf_vocabulary){last, 1}, &text), ERR_SYNTAX);
	assert_non_null(strstr(text.text, "stands behind a list"));
}

static void reference(void **state)
{
	static const char *const lines[] = {
		"## The top level\n",
		"| `DURATION` | a duration with its unit, such as 500ms, 20s, 10min, 2h or 30d |\n",
		"| `workers` | `NUMBER`, from 1 to 64; `auto` | `auto` | How many workers "
		"run. | `workers 2;` |\n",
		"| `listener` | a block, see [listener](#listener) | must be written |",
		"## `server NAME ADDRESS`\n\nInside `pool`. One of the servers.\n",
		"| `balance` | `POLICY [FIELD]` | `least-transactions` |",
		"| `weight` | `NUMBER`, from 1 to 256 | `1` | Its part of the mail. In "
		"`pool`: the default for every `server`. | `weight 2;` |\n",
		"In `pool` also, as defaults for every block inside it: `weight`, "
		"`max-connections`, `pass-client`, `tls`.\n",
		"## `check [KIND]`\n",
		"| `relay-from` | `NETWORK`; "
		"`authenticated`; several; `file:PATH` | none |",
		"| `mixed-recipients` | `first`, `452`, `451` | `first` |",
	};
	struct buf out = {0};

	conf_reference(&ex_vocabulary, &out);
	buf_string(&out);
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		if (!strstr(out.at, lines[i]))
			fprintf(stderr, "%s\nlacks: %s\n", out.at, lines[i]);
		assert_non_null(strstr(out.at, lines[i]));
	}
	buf_clear(&out);
}

static void nearest(void **state)
{
	static const char *const names[] = {"bind", "relay-to", "tls", "max-connections"};

	assert_string_equal(conf_nearest(SPAN("bnd"), names, 4), "bind");
	assert_string_equal(conf_nearest(SPAN("tsl"), names, 4), "tls");
	assert_string_equal(conf_nearest(SPAN("RELAY_TO"), names, 4), "relay-to");
	assert_string_equal(conf_nearest(SPAN("max-conections"), names, 4), "max-connections");
	assert_null(conf_nearest(SPAN("blind-ones"), names, 4));
	assert_null(conf_nearest(SPAN("t"), names, 4));
	assert_null(conf_nearest(SPAN(""), names, 4));
	assert_null(conf_nearest(SPAN("xyz"), names, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(example_is_sound),
		cmocka_unit_test(faults_of_rows),
		cmocka_unit_test(faults_of_vocabularies),
		cmocka_unit_test(reference),
		cmocka_unit_test(nearest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
