/*
 * The settings of pools and servers: what they become, and what is said of mistakes.
 */
#include "test_pool_help.h"

static struct conf_report report;

static struct conf *parse(const char *text)
{
	report = (struct conf_report){0};
	return conf_parse(&pool_vocabulary, span_of(text), "test", NULL, &report);
}

/* The config is refused, and the words say this. */
static void refused(const char *text, const char *part)
{
	struct buf words = {0};
	struct conf *conf = parse(text);

	assert_null(conf);
	conf_report_text(&report, &words);
	if (!strstr(buf_string(&words), part))
		fail_msg("\"%s\" is not in:\n%s", part, buf_string(&words));
	buf_clear(&words);
	conf_report_clear(&report);
}

static void vocabulary_is_sound(void **state)
{
	struct err_text text = {{0}};

	if (conf_vocabulary_check(&pool_vocabulary, &text))
		fail_msg("%s", text.text);
}

static const struct pool_server_settings *server_of(const struct conf *conf, const char *name)
{
	return conf_get(conf_find(conf, "server", name), &pool_server_section);
}

static void defaults(void **state)
{
	struct conf *conf = parse("pool p { pass-client none; server a 10.0.0.1:25; }");
	const struct pool_settings *pool;
	const struct pool_server_settings *server;

	assert_non_null(conf);
	pool = conf_get(conf_find(conf, "pool", "p"), &pool_section);
	assert_string_equal(pool->balance.ops->name, "least-transactions");
	assert_null(pool->balance.field);
	assert_int_equal(pool->queue, 20 * SECOND);
	server = server_of(conf, "a");
	assert_string_equal(server->name, "a");
	assert_int_equal(server->at.port, 25);
	assert_int_equal(server->weight, 1);
	assert_int_equal(server->tier, 1);
	assert_int_equal(server->max_connections, 50);
	assert_int_equal(server->messages_per_connection, 100);
	assert_int_equal(server->idle_timeout, 30 * SECOND);
	assert_int_equal(server->rcpt_timeout, 30 * SECOND);
	assert_int_equal(server->end_timeout, 600 * SECOND);
	conf_free(&conf);
	conf_report_clear(&report);
}

static void servers_inherit_from_their_pool(void **state)
{
	struct conf *conf = parse("pool p { pass-client none; max-connections 7; rcpt-timeout 5s;\n"
				  "  server a mta1.internal:25 weight=2 tier=3 max-connections=9;\n"
				  "  server b 10.0.0.2:25 { rcpt-timeout 6s; } }");

	assert_non_null(conf);
	assert_string_equal(server_of(conf, "a")->at.host, "mta1.internal");
	assert_int_equal(server_of(conf, "a")->weight, 2);
	assert_int_equal(server_of(conf, "a")->tier, 3);
	assert_int_equal(server_of(conf, "a")->max_connections, 9);
	assert_int_equal(server_of(conf, "b")->max_connections, 7);
	assert_int_equal(server_of(conf, "a")->rcpt_timeout, 5 * SECOND);
	assert_int_equal(server_of(conf, "b")->rcpt_timeout, 6 * SECOND);
	conf_free(&conf);
	conf_report_clear(&report);
}

static void mistakes_are_named(void **state)
{
	refused("pool p { server a 10.0.0.1:25; }", "pass-client");
	refused("pool p { pass-client none; }", "server");
	refused("pool p { pass-client xclient; server a 10.0.0.1:25; }", "xclient");
	refused("pool p { pass-client none; server a 10.0.0.1:25; server a 10.0.0.2:25; }", "a");
	refused("pool p { pass-client none; server a 10.0.0.1:25; }"
		"pool p { pass-client none; server b 10.0.0.1:25; }",
		"p");
	refused("pool p { pass-client none; weight 2; server a 10.0.0.1:25; }", "weight");
	refused("pool p { pass-client none; server a 10.0.0.1:25 weight=257; }", "256");
	refused("pool p { pass-client none; end-timeout 5min; server a 10.0.0.1:25; }", "10min");
}

static void balance_and_its_field(void **state)
{
	struct conf *conf = parse("pool p { balance hash recipient-domain; pass-client none;"
				  " server a 10.0.0.1:25; }");
	const struct pool_settings *pool;

	assert_non_null(conf);
	pool = conf_get(conf_find(conf, "pool", "p"), &pool_section);
	assert_string_equal(pool->balance.ops->name, "hash");
	assert_string_equal(pool->balance.field, "recipient-domain");
	conf_free(&conf);
	conf_report_clear(&report);
	refused("pool p { balance least-transaction; pass-client none; server a 10.0.0.1:25; }",
		"did you mean \"least-transactions\"?");
	refused("pool p { balance fastest; pass-client none; server a 10.0.0.1:25; }",
		"expected least-transactions, round-robin, latency, hash FIELD or random");
	refused("pool p { balance; pass-client none; server a 10.0.0.1:25; }",
		"expected least-transactions, round-robin, latency, hash FIELD or random");
	refused("pool p { balance hash; pass-client none; server a 10.0.0.1:25; }",
		"\"hash\" needs a field of the message");
	refused("pool p { balance hash recipients; pass-client none; server a 10.0.0.1:25; }",
		"recipient");
	refused("pool p { balance random sender; pass-client none; server a 10.0.0.1:25; }",
		"\"random\" takes no field");
	refused("pool p { balance hash sender client; pass-client none; server a 10.0.0.1:25; }",
		"\"hash\" takes one field only");
}

/* A name may have 63 characters, both together what a name on the board has room for. */
static void names_must_fit_the_board(void **state)
{
	static const char x[] = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";
	enum { SERVER = 60, POOL = BOARD_NAME - 2 - SERVER };
	struct conf *conf;
	char text[512];

	snprintf(text, sizeof(text), "pool %.*s { pass-client none; server %.*s 10.0.0.1:25; }",
		POOL, x, SERVER, x);
	conf = parse(text);
	assert_non_null(conf);
	conf_free(&conf);
	conf_report_clear(&report);
	snprintf(text, sizeof(text), "pool %.*s { pass-client none; server %.*s 10.0.0.1:25; }",
		POOL, x, SERVER + 1, x);
	refused(text, "the names are too long");
}

/* A board that is full is a mistake of the config, in words that name what had no room. */
static void a_full_board_is_said(void **state)
{
	static bool known[BOARD_COLUMNS];
	static const char *const missing[] = {"for p:", "for p/a:"};
	struct conf *conf = parse("pool p { pass-client none; server a 10.0.0.1:25; }");
	void *map = mmap(NULL, board_size(), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct board *board;
	struct err_text text;
	char name[16];

	(void)state;
	assert_non_null(conf);
	assert_ptr_not_equal(map, MAP_FAILED);
	for (int room = 0; room < 3; room++) {
		memset(known, 0, sizeof(known));
		assert_int_equal(board_attach(map, &board, &text), ERR_OK);
		board_forget(board, known);
		for (int i = 0; i < BOARD_COLUMNS - room; i++) {
			snprintf(name, sizeof(name), "l%d", i);
			assert_int_equal(board_column(board, BOARD_LISTENER, name), i);
		}
		if (room == 2) {
			assert_int_equal(pool_columns(board, conf, known, &text), ERR_OK);
			continue;
		}
		assert_int_equal(pool_columns(board, conf, known, &text), ERR_FULL);
		assert_non_null(strstr(text.text, missing[room]));
	}
	munmap(map, board_size());
	conf_free(&conf);
	conf_report_clear(&report);
}

static void columns_are_made_and_kept(void **state)
{
	static bool known[BOARD_COLUMNS];
	struct farm farm;
	struct err_text text;
	struct addr addr[BOARD_ADDRESSES];
	int column, columns;

	farm_open(
		&farm, 1, "pool p { pass-client none; server a 10.0.0.1:25; server b b.test:25; }");
	column = farm_server(&farm, "p/a");
	columns = board_columns(farm.board);
	assert_int_equal(columns, 3);
	assert_int_equal(board_addresses_of(farm.board, column, addr), 1);
	assert_int_equal(addr[0].port, 25);
	assert_int_equal(board_addresses_of(farm.board, farm_server(&farm, "p/b"), addr), 0);
	/* The next generation finds them again. */
	assert_int_equal(pool_columns(farm.board, farm.conf, known, &text), ERR_OK);
	assert_int_equal(board_columns(farm.board), columns);
	assert_true(known[column]);
	/* No room is a mistake that is told. */
	for (int i = columns; i < BOARD_COLUMNS; i++) {
		char name[32];

		snprintf(name, sizeof(name), "filler%d", i);
		assert_true(board_column(farm.board, BOARD_POOL, name) >= 0);
	}
	{
		struct conf *more = parse("pool q { pass-client none; server a 10.0.0.1:25; }");

		assert_non_null(more);
		assert_int_equal(pool_columns(farm.board, more, known, &text), ERR_FULL);
		assert_non_null(strstr(text.text, "no room for q"));
		conf_free(&more);
		conf_report_clear(&report);
	}
	farm_close(&farm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vocabulary_is_sound),
		cmocka_unit_test(defaults),
		cmocka_unit_test(servers_inherit_from_their_pool),
		cmocka_unit_test(mistakes_are_named),
		cmocka_unit_test(balance_and_its_field),
		cmocka_unit_test(names_must_fit_the_board),
		cmocka_unit_test(a_full_board_is_said),
		cmocka_unit_test(columns_are_made_and_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
