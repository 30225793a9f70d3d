/*
 * The config language: blocks and settings as rooms declare them, typed values as they get them.
 *
 * This room knows no other.  A room declares its settings in const tables beside its code, also
 * into a block that another room opens, and its values lie in its own struct:
 *
 *	struct pool_settings { int64_t queue; int policy; };
 *	struct server_settings { const char *name; struct conf_endpoint at; int64_t weight; };
 *
 *	static const char *const policies[] = {"least-transactions", "round-robin", NULL};
 *	static const struct conf_directive top_rows[] = {
 *		{"pool", CONF_BLOCK, .kind = "pool", .flags = CONF_REPEATABLE | CONF_REQUIRED,
 *			.help = "Servers that share the mail sent to them.",
 *			.example = "pool farm { server mta1 10.0.0.1:25; }"},
 *	};
 *	static const struct conf_directive pool_rows[] = {
 *		{"name", CONF_NAME, .flags = CONF_ARG | CONF_NO_STORE, .help = "What send-to calls
 *it."},
 *		{"queue", CONF_DURATION, offsetof(struct pool_settings, queue), .fallback = "20s",
 *			.max = 10 * MINUTE, .help = "How long ...", .example = "queue 20s;"},
 *		{"balance", CONF_ENUM, offsetof(struct pool_settings, policy), .words = policies,
 *			.fallback = "least-transactions", .help = "...", .example = "balance
 *round-robin;"},
 *		{"server", CONF_BLOCK, .kind = "server", .flags = CONF_REPEATABLE | CONF_REQUIRED,
 *			.help = "...", .example = "server mta1 10.0.0.1:25 weight=2;"},
 *	};
 *	static const struct conf_directive server_rows[] = {
 *		{"name", CONF_NAME, offsetof(struct server_settings, name), .flags = CONF_ARG, .help
 *=
 *"..."},
 *		{"address", CONF_ENDPOINT, offsetof(struct server_settings, at), .flags = CONF_ARG,
 *			.help = "..."},
 *		{"weight", CONF_INT, offsetof(struct server_settings, weight), .fallback = "1", .min
 *= 1, .max = 256, .flags = CONF_INHERIT, .help = "...", .example = "weight 2;"},
 *	};
 *	const struct conf_section pool_top = CONF_SECTION("", 0, top_rows);
 *	const struct conf_section pool_section =
 *		CONF_SECTION("pool", sizeof(struct pool_settings), pool_rows, .check = pool_check);
 *	const struct conf_section server_section =
 *		CONF_SECTION("server", sizeof(struct server_settings), server_rows);
 *
 * bin gathers the sections of all rooms into one vocabulary and parses; a room then reads:
 *
 *	CONF_EACH (block, conf_root(conf), "pool") {
 *		const struct pool_settings *pool = conf_get(block, &pool_section);
 *		CONF_EACH (child, block, "server") {
 *			const struct server_settings *server = conf_get(child, &server_section);
 *			...
 *
 * A kind of block ("", "pool", "server") is opened by exactly one row.  Its CONF_ARG rows are the
 * values behind the directive, in the order of the table; every other row of it may be written
 * inside { } or, when it has one value, as an option: `server mta1 10.0.0.1:25 weight=2;`.  So a
 * setting with options is a kind of its own: `tls certificate=A key=B;` in a listener is
 * {"tls", CONF_BLOCK, .kind = "listener.tls"}; the kinds' names are free, this form is a custom.
 *
 * After the whole text is read: defaults and inheritance, references, required ones, and then the
 * sections' checks, children first.  A check runs only over blocks without an error in them or
 * in what they refer to, so it need not fear half a value; and only where all blocks around have
 * their names.
 */
#ifndef CONF_CONF_H
#define CONF_CONF_H

#include "conf/report.h"
#include "conf/value.h"

#define CONF_TEXT_MAX (1024u * 1024)      /* of a config */
#define CONF_LIST_MAX (16u * 1024 * 1024) /* of a file:PATH list */

/* What a setting is, and what lies at its offset. */
enum conf_type {
	CONF_FLAG,      /* yes, no                            bool */
	CONF_INT,       /* 25                                 int64_t */
	CONF_PERCENT,   /* 0.3%                               int64_t, in millionths: 3000 */
	CONF_DURATION,  /* 20s; units ms s min h d            int64_t, microseconds */
	CONF_SIZE,      /* 25MiB; units B KiB MiB GiB         int64_t, bytes */
	CONF_RATE,      /* 14/s; per s min h day month        struct conf_rate */
	CONF_NAME,      /* a block's own name                 const char *; also block->name */
	CONF_WORD,      /* printable, no space                const char * */
	CONF_STRING,    /* any text                           const char * */
	CONF_PATH,      /* begins with /                      const char * */
	CONF_HOST,      /* a host name                        const char *, lower case */
	CONF_ENUM,      /* one of `words`                     int (or an enum), the word's index */
	CONF_ADDR,      /* an address, no port                struct addr */
	CONF_ADDR_PORT, /* 0.0.0.0:25 [::]:25 unix:/path      struct addr */
	CONF_ENDPOINT,  /* host name or address, and port     struct conf_endpoint */
	CONF_NETWORK,   /* 10.0.0.0/8                         struct network */
	CONF_DOMAIN,    /* example.com .example.com           struct conf_domain */
	CONF_REF,       /* name of a block of `kind`          const struct conf_block * */
	CONF_CUSTOM,    /* what `parse` makes of it           `size` bytes */
	CONF_BLOCK,     /* opens a block of `kind`            nothing */
};

/* Flags of a row. */
enum {
	/* Stands behind the block's name, not inside it; required unless it has a fallback. */
	CONF_ARG = 1 << 0,
	/* Several values: a struct conf_...s of value.h.  With CONF_ENUM instead the chosen words
	 * as bits of a uint64_t. */
	CONF_LIST = 1 << 1,
	/* May be written several times: a list that grows, or several blocks. */
	CONF_REPEATABLE = 1 << 2,
	/* No default: must be written (inherited counts). */
	CONF_REQUIRED = 1 << 3,
	/* May stand in the parent block too, as the default of all its children of this kind.  A
	 * block is inherited as a whole. */
	CONF_INHERIT = 1 << 4,
	/* A list that takes file:PATH, one entry a line. */
	CONF_FILE = 1 << 5,
	/* A CONF_NAME that no other block of this kind anywhere may have; else names must differ
	 * within their parent only. */
	CONF_UNIQUE = 1 << 6,
	/* A CONF_NAME that is wanted in block->name only. */
	CONF_NO_STORE = 1 << 7,
	/* A block that exists, with its defaults, when it isn't written. */
	CONF_ALWAYS = 1 << 8,
	/* A CONF_CUSTOM whose values may contain ( ). */
	CONF_PARENS = 1 << 9,
};

struct conf_statement;

struct conf_directive {
	const char *name;
	enum conf_type type;
	size_t offset;        /* in the section's struct */
	const char *fallback; /* default, as it would be written; NULL: zeroes */
	/* Bounds of numbers in their stored unit.  max 0: no upper bound. */
	int64_t min, max;
	/* CONF_ENUM: the choices, NULL-terminated.  Numbers: words accepted instead, stored as -1,
	 * -2, ... ("auto").  Other lists: words accepted among the items, stored as bits. */
	const char *const *words;
	unsigned flags;
	const char *kind; /* CONF_BLOCK: opened; CONF_REF: referred to */
	/* CONF_CUSTOM: reads statement->values into `to` (zeroed at first).  False after it has
	 * reported what is wrong.  Also called for the fallback. */
	bool (*parse)(struct conf_statement *statement, void *to);
	size_t size;        /* CONF_CUSTOM */
	const char *values; /* CONF_CUSTOM: how the reference writes its values, "POLICY [FIELD]" */
	const char *help;   /* a sentence or two */
	const char *example; /* as it would be written; not for CONF_ARG */
};

struct conf_section {
	const char *block; /* kind; "" is the top */
	size_t size;       /* of the struct; zeroed at first */
	const struct conf_directive *rows;
	size_t count;
	/* After the block is complete.  `values` is what conf_get() gives. */
	void (*check)(
		const struct conf_block *block, const void *values, struct conf_report *report);
};

#define CONF_SECTION(block_, size_, rows_, ...)                                                    \
	{                                                                                          \
		.block = block_, .size = size_, .rows = rows_,                                     \
		.count = sizeof(rows_) / sizeof((rows_)[0]), __VA_ARGS__                           \
	}

struct conf_vocabulary {
	const struct conf_section *const *sections;
	size_t count;
};

/* ---- reading a config ---- */

struct conf;

/* How file:PATH is read; the text goes to `into`, at most CONF_LIST_MAX bytes. */
struct conf_files {
	enum err (*read)(void *arg, const char *path, struct buf *into, struct err_text *text);
	void *arg;
};

/* NULL when there is an error; the report says which (and holds warnings otherwise).  The text
 * is copied.  `files` may be NULL: then file:PATH is an error.  The report must outlive
 * the conf. */
struct conf *conf_parse(const struct conf_vocabulary *vocabulary, struct span text,
	const char *file_name, const struct conf_files *files, struct conf_report *report);
void conf_free(struct conf **conf);

/* ---- what was read ---- */

struct conf_block {
	const char *kind;                /* "" for the top */
	const char *name;                /* NULL where the kind has none */
	struct conf_place place;         /* of the name, or of the directive where there is none */
	const struct conf_block *parent; /* NULL at the top */
	/* The rest is for conf_... */
	struct conf_block *first, *last, *next;
	const struct conf_kind *is;
	void **values;
	struct conf_place *places;
	unsigned flags;
};

const struct conf_block *conf_root(const struct conf *conf);
/* The section's struct in this block; the section must belong to this kind, or to a kind inside
 * it and have CONF_INHERIT rows (then: the defaults given to the children). */
const void *conf_get(const struct conf_block *block, const struct conf_section *section)
	__attribute__((returns_nonnull));
/* First child of this kind, in the order of the file; for a kind with CONF_INHERIT the parent's
 * if the block has none of its own.  NULL: none. */
const struct conf_block *conf_first(const struct conf_block *block, const char *kind);
const struct conf_block *conf_next(const struct conf_block *block); /* sibling of the same kind */
#define CONF_EACH(child, block, kind)                                                              \
	for (const struct conf_block *child = conf_first(block, kind); child;                      \
		child = conf_next(child))
unsigned conf_count(const struct conf_block *block, const char *kind);
/* A block anywhere in the config; NULL: none. */
const struct conf_block *conf_find(const struct conf *conf, const char *kind, const char *name);
/* Where a setting was written, for a diagnostic; the block's own place when it is a default. */
struct conf_place conf_place(const struct conf_block *block, const char *setting);
bool conf_written(
	const struct conf_block *block, const char *setting); /* in the file, inherited counts */

/* ---- types of your own ---- */

enum conf_token_kind {
	CONF_TOKEN_WORD,
	CONF_TOKEN_STRING, /* was in quotes; the text is without them */
	CONF_TOKEN_OPEN,   /* ( */
	CONF_TOKEN_CLOSE,  /* ) */
};

struct conf_token {
	enum conf_token_kind kind;
	struct span text;
	struct conf_place place;
};

/* One setting as it stands: all its values, in the order of the file. */
struct conf_statement {
	const struct conf_directive *row;
	const struct conf_block *block;
	struct conf_place place; /* of the setting's name */
	const struct conf_token *values;
	unsigned count;
	struct arena *arena; /* the conf's: for what `to` points to */
	struct conf_report *report;
	struct conf *conf;
};

/* Read one value as any of the scalar types above, CONF_NAME to CONF_REF included (bounds and
 * words from `row`, which need not be in a table but must live as long as the conf); false after
 * it has reported.  A CONF_REF is filled in later: `to` must stay where it is. */
bool conf_value(struct conf_statement *statement, const struct conf_token *token,
	const struct conf_directive *row, void *to);
/* The name nearest to `text` among `count` ones, near enough to ask "did you mean"; else NULL. */
const char *conf_nearest(struct span text, const char *const *names, size_t count);

/* ---- the vocabulary itself ---- */

/* The settings reference in Markdown: a table per kind of block. */
void conf_reference(const struct conf_vocabulary *vocabulary, struct buf *out);
/* Every row has help and an example, fallbacks and examples parse, names are unique, kinds are
 * opened once.  ERR_SYNTAX and the first fault otherwise. */
enum err conf_vocabulary_check(
	const struct conf_vocabulary *vocabulary, struct err_text *text) MUST_USE;

#endif
