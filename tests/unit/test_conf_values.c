/*
 * What a good config becomes: values of every type, defaults, inheritance, references.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "test_conf_example.h"

/* The least that is valid, beside what a test wants to try in a block. */
#define LEAST      "hostname a.example; listener in { bind 0.0.0.0:25; send-to p; "
#define LEAST_POOL "pool p { pass-client none; server s1 10.0.0.1:25; }"

static struct conf *parse(const char *text, struct conf_report *report)
{
	struct conf *conf =
		conf_parse(&ex_vocabulary, span_of(text), "test.conf", &ex_files, report);
	struct buf out = {0};

	if (!conf) {
		conf_report_text(report, &out);
		fprintf(stderr, "%s", buf_string(&out));
	}
	buf_clear(&out);
	assert_non_null(conf);
	return conf;
}

/* The text has exactly this one error, and is refused. */
static void refuse(const char *text, const char *words)
{
	struct conf_report report = {0};
	struct buf out = {0};
	struct conf *conf =
		conf_parse(&ex_vocabulary, span_of(text), "test.conf", &ex_files, &report);

	conf_report_text(&report, &out);
	if (report.errors != 1 || !strstr(buf_string(&out), words))
		fprintf(stderr, "wanted: %s\ngot: %s", words, buf_string(&out));
	assert_null(conf);
	assert_int_equal(report.errors, 1);
	assert_non_null(strstr(buf_string(&out), words));
	buf_clear(&out);
	conf_report_clear(&report);
}

static void defaults(void **state)
{
	struct conf_report report = {0};
	struct conf *conf = parse(LEAST "}" LEAST_POOL, &report);
	const struct conf_block *root = conf_root(conf);
	const struct conf_block *pool = conf_find(conf, "pool", "p");
	const struct ex_top *top = conf_get(root, &ex_top_section);
	const struct ex_admin *admin = conf_get(conf_first(root, "admin"), &ex_admin_section);
	const struct ex_server *server = conf_get(conf_first(pool, "server"), &ex_server_section);
	const struct ex_check *check = conf_get(conf_first(pool, "pool.check"), &ex_check_section);

	assert_string_equal(top->hostname, "a.example");
	assert_string_equal(top->state, "/var/lib/mailweir");
	assert_int_equal(top->workers, -1); /* auto */
	assert_int_equal(admin->bind.count, 1);
	assert_int_equal(admin->bind.at[0].port, 8025);
	assert_int_equal(server->weight, 1);
	assert_int_equal(server->share, 125000);
	assert_int_equal(server->pass_client, 0);
	assert_int_equal(check->kind, 1);
	assert_int_equal(check->interval, 5 * SECOND);
	assert_string_equal(((const struct ex_pool *)conf_get(pool, &ex_pool_section))->balance,
		"least-transactions");
	assert_false(conf_written(root, "state"));
	assert_true(conf_written(root, "hostname"));
	assert_int_equal(conf_place(root, "hostname").line, 1);
	conf_free(&conf);
	conf_report_clear(&report);
}

static void every_type(void **state)
{
	struct conf_report report = {0};
	struct conf *conf = parse(
		"hostname MX.Example.com;\nworkers 4;\n"
		"listener in {\n"
		"  bind 0.0.0.0:25 [::1]:2525; bind unix:/run/in.sock;\n"
		"  tls certificate=/etc/c.pem key=/etc/k.pem require=yes;\n"
		"  auth plain login { users \"file:/etc/u\"; }\n"
		"  mixed-recipients 452; max-size 25MiB; replay-limit off; trace no;\n"
		"  relay-from 10.0.0.0/8 authenticated 2001:db8::1;\n"
		"  relay-to Example.com .example.org;\n"
		"  send-to p;\n}\n"
		"route r { when (a is \"x = y\") and b; limit 50000/day; send-to p; }\n"
		"pool p { pass-client proxy-v2; queue 500ms; balance hash sender;\n"
		"  server s1 MTA.internal:25 share=0.3% { header \"a\\\"b\\\\\"; header c; }\n"
		"  server s2 [2001:db8::2]:587; server s3 unix:/run/s; }\n",
		&report);
	const struct conf_block *in = conf_find(conf, "listener", "in"), *block;
	const struct ex_listener *listener = conf_get(in, &ex_listener_section);
	const struct ex_edge *edge = conf_get(in, &ex_edge_section);
	const struct ex_tls *tls = conf_get(conf_first(in, "listener.tls"), &ex_tls_section);
	const struct ex_auth *auth = conf_get(conf_first(in, "listener.auth"), &ex_auth_section);
	const struct ex_route *route = conf_get(conf_find(conf, "route", "r"), &ex_route_section);
	const struct ex_server *server;

	assert_string_equal(
		((const struct ex_top *)conf_get(conf_root(conf), &ex_top_section))->hostname,
		"mx.example.com");
	assert_string_equal(listener->name, "in");
	assert_int_equal(listener->bind.count, 3);
	assert_int_equal(listener->bind.at[1].family, ADDR_IP6);
	assert_string_equal(listener->bind.at[2].path, "/run/in.sock");
	assert_int_equal(listener->bind.places[2].line, 4);
	assert_int_equal(listener->mixed, 1);
	assert_int_equal(listener->relay_to.count, 2);
	assert_string_equal(listener->relay_to.at[0].name, "example.com");
	assert_true(listener->relay_to.at[1].under);
	assert_int_equal(listener->send_to.count, 1);
	assert_ptr_equal(listener->send_to.at[0], conf_find(conf, "pool", "p"));
	assert_int_equal(edge->relay_from.count, 2);
	assert_int_equal(edge->relay_from.words, 1);
	assert_int_equal(edge->relay_from.at[1].bits, 128);
	assert_int_equal(edge->max_size, 25 * 1024 * 1024);
	assert_int_equal(edge->replay_limit, -1);
	assert_false(edge->trace);
	assert_string_equal(tls->key, "/etc/k.pem");
	assert_true(tls->require);
	assert_int_equal(auth->mechanisms, 3);
	assert_string_equal(auth->users, "file:/etc/u");
	assert_int_equal(route->words, 5);
	assert_int_equal(route->parens, 2);
	assert_int_equal(route->limit.count, 50000);
	assert_int_equal(route->limit.per, DAY);
	block = conf_first(conf_find(conf, "pool", "p"), "server");
	server = conf_get(block, &ex_server_section);
	assert_string_equal(server->at.host, "mta.internal");
	assert_string_equal(server->at.text, "MTA.internal:25");
	assert_int_equal(server->at.addr.family, ADDR_NONE);
	assert_int_equal(server->share, 3000);
	assert_int_equal(server->ports.count, 2);
	assert_string_equal(server->ports.at[0], "a\"b\\");
	server = conf_get(conf_next(block), &ex_server_section);
	assert_null(server->at.host);
	assert_int_equal(server->at.port, 587);
	server = conf_get(conf_next(conf_next(block)), &ex_server_section);
	assert_int_equal(server->at.addr.family, ADDR_UNIX);
	assert_null(conf_next(conf_next(conf_next(block))));
	conf_free(&conf);
	conf_report_clear(&report);
}

/* A pool's settings are its servers' defaults, wherever in the pool they stand. */
static void inheritance(void **state)
{
	struct conf_report report = {0};
	struct conf *conf =
		parse(LEAST "}\n"
			    "pool p {\n  server s1 10.0.0.1:25;\n"
			    "  server s2 10.0.0.2:25 weight=3 { tls off; pass-client xclient; }\n"
			    "  weight 7; pass-client none;\n  tls encrypt;\n}\n"
			    "pool q { server s3 10.0.0.3:25 pass-client=none; }",
			&report);
	const struct conf_block *pool = conf_find(conf, "pool", "p");
	const struct conf_block *s1 = conf_find(conf, "server", "s1");
	const struct conf_block *s2 = conf_find(conf, "server", "s2");
	const struct conf_block *s3 = conf_find(conf, "server", "s3");
	const struct ex_server *server = conf_get(s1, &ex_server_section);

	assert_int_equal(server->weight, 7);
	assert_int_equal(server->max_connections, 50);
	assert_int_equal(conf_place(s1, "weight").line, 5);
	assert_true(conf_written(s1, "weight"));
	assert_false(conf_written(s1, "max-connections"));
	assert_int_equal(conf_place(s1, "max-connections").line, 3); /* the block's own */
	server = conf_get(s2, &ex_server_section);
	assert_int_equal(server->weight, 3);
	assert_int_equal(server->pass_client, 1);
	server = conf_get(pool, &ex_server_section); /* what the pool gives its servers */
	assert_int_equal(server->weight, 7);
	server = conf_get(s3, &ex_server_section);
	assert_int_equal(server->weight, 1);
	assert_ptr_equal(conf_first(s1, "server.tls"), conf_first(pool, "server.tls"));
	assert_ptr_not_equal(conf_first(s2, "server.tls"), conf_first(pool, "server.tls"));
	assert_int_equal(((const struct ex_server_tls *)conf_get(
				  conf_first(s2, "server.tls"), &ex_server_tls_section))
				 ->verify,
		2);
	assert_null(conf_first(s3, "server.tls"));
	assert_int_equal(conf_count(pool, "server"), 2);
	conf_free(&conf);
	conf_report_clear(&report);
}

static void list_files(void **state)
{
	struct conf_report report = {0};
	struct conf *conf = parse(LEAST "relay-to a.example file:/lists/domains b.example;\n"
					"relay-from file:/lists/networks; }" LEAST_POOL,
		&report);
	const struct conf_block *in = conf_first(conf_root(conf), "listener");
	const struct ex_listener *listener = conf_get(in, &ex_listener_section);
	const struct ex_edge *edge = conf_get(in, &ex_edge_section);

	assert_int_equal(listener->relay_to.count, 4);
	assert_string_equal(listener->relay_to.at[0].name, "a.example");
	assert_string_equal(listener->relay_to.at[1].name, "example.com");
	assert_string_equal(listener->relay_to.at[2].name, "example.org");
	assert_true(listener->relay_to.at[2].under);
	assert_string_equal(listener->relay_to.at[3].name, "b.example");
	assert_string_equal(listener->relay_to.places[2].source->name, "/lists/domains");
	assert_int_equal(listener->relay_to.places[2].line, 4);
	assert_int_equal(listener->relay_to.places[2].column, 3);
	assert_int_equal(edge->relay_from.count, 2);
	conf_free(&conf);
	conf_report_clear(&report);
}

/* A byte order mark, CRLF, comments and a missing last line end change nothing. */
static void forms_of_text(void **state)
{
	struct conf_report report = {0};
	struct conf *conf = parse("\xef\xbb\xbf# caf\xc3\xa9 \xff\r\nhostname a.example;#c\r\n"
				  "listener in{bind 0.0.0.0:25;send-to p;}\r\n" LEAST_POOL " # end",
		&report);

	assert_int_equal(conf_place(conf_root(conf), "hostname").line, 2);
	assert_int_equal(conf_place(conf_root(conf), "hostname").column, 1);
	conf_free(&conf);
	conf_report_clear(&report);
}

static void domains_match(void **state)
{
	struct conf_domain exact = {.name = "example.com"}, under = {"example.com", true};

	assert_true(conf_domain_has(&exact, SPAN("EXAMPLE.com")));
	assert_false(conf_domain_has(&exact, SPAN("a.example.com")));
	assert_true(conf_domain_has(&under, SPAN("example.com")));
	assert_true(conf_domain_has(&under, SPAN("a.b.example.com")));
	assert_false(conf_domain_has(&under, SPAN("badexample.com")));
	assert_false(conf_domain_has(&exact, SPAN(".example.com")));
	assert_false(conf_domain_has(&under, SPAN("")));
}

static void value_bounds(void **state)
{
	refuse(LEAST "max-size 25MB; }" LEAST_POOL, "did you mean 25MiB?");
	refuse(LEAST "max-size 25; }" LEAST_POOL, "lacks its unit");
	refuse(LEAST "max-size 00; }" LEAST_POOL, "lacks its unit");
	refuse(LEAST "max-size 0; }" LEAST_POOL, "too small");
	refuse(LEAST "max-size 1KiB; }" LEAST_POOL, "at least 64KiB");
	refuse(LEAST "max-size 99999999999GiB; }" LEAST_POOL, "too large");
	refuse(LEAST "max-size 9223372036854775808B; }" LEAST_POOL, "too large");
	refuse(LEAST "max-size -1B; }" LEAST_POOL, "is not a value");
	refuse(LEAST "trace on; }" LEAST_POOL, "did you mean yes?");
	refuse(LEAST "trace \"\"; }" LEAST_POOL, "expected yes or no");
	refuse("workers 65;" LEAST "}" LEAST_POOL, "from 1 to 64");
	refuse("workers 0;" LEAST "}" LEAST_POOL, "too small");
	refuse("workers 99999999999999999999;" LEAST "}" LEAST_POOL, "too large");
	refuse("workers automatic;" LEAST "}" LEAST_POOL, "or auto");
	refuse("state relative/path;" LEAST "}" LEAST_POOL, "begins with \"/\"");
	refuse(LEAST "}pool p { pass-client none; queue 11min; server s 10.0.0.1:25; }",
		"at most 10min");
	refuse(LEAST "}pool p { pass-client none; queue 5m; server s 10.0.0.1:25; }",
		"did you mean 5min?");
	refuse(LEAST "}pool p { pass-client none; server s 10.0.0.1:25 share=101%; }", "too large");
	refuse(LEAST "}pool p { pass-client none; server s 10.0.0.1:25 share=0.00001%; }",
		"is not a value");
	refuse(LEAST "} route r { limit 5/fortnight; }" LEAST_POOL, "expected a rate");
	refuse(LEAST "} route r { limit 0/s; }" LEAST_POOL, "too small");
	refuse(LEAST "} route r { limit 5/m; }" LEAST_POOL, "did you mean 5/min?");
}

static void network_values(void **state)
{
	refuse(LEAST "relay-from 10.0.0.1/8; }" LEAST_POOL, "did you mean 10.0.0.0/8");
	refuse(LEAST "relay-from 10.0.0.0/33; }" LEAST_POOL, "not a network");
	refuse(LEAST "relay-from file:lists; }" LEAST_POOL, "does not begin with");
	refuse(LEAST "relay-from file:/nowhere; }" LEAST_POOL, "No such file");
	refuse(LEAST "relay-to *.example.com; }" LEAST_POOL, "did you mean \".example.com\"?");
	refuse(LEAST "relay-to joe@example.com; }" LEAST_POOL, "a mail address");
	refuse(LEAST "relay-to b\xc3\xbc.example; }" LEAST_POOL, "xn--");
	refuse(LEAST "relay-to example..com; }" LEAST_POOL, "an empty part");
	refuse(LEAST "relay-to example.com.; }" LEAST_POOL, "dot at the end");
	refuse(LEAST "bind *:26; }" LEAST_POOL, "0.0.0.0 for all");
	refuse(LEAST "bind ::1:26; }" LEAST_POOL, "in brackets");
	refuse(LEAST "bind ::1; }" LEAST_POOL, "in brackets");
	refuse(LEAST "bind 127.0.0.1; }" LEAST_POOL, "the port is missing");
	refuse(LEAST "bind 127.0.0.1:smtp; }" LEAST_POOL, "not a number");
	refuse(LEAST "bind 127.0.0.1:0; }" LEAST_POOL, "between 1 and 65535");
	refuse(LEAST "bind 127.0.0.1:65536; }" LEAST_POOL, "between 1 and 65535");
	refuse(LEAST "bind localhost:26; }" LEAST_POOL, "not an address");
	refuse(LEAST "bind unix:run/x; }" LEAST_POOL, "does not begin with");
	refuse(LEAST "bind \"\"; }" LEAST_POOL, "the port is missing");
	refuse(LEAST "bind :25; }" LEAST_POOL, "not an address");
	refuse(LEAST "}pool p { pass-client none; server s mta:; }", "not a number");
	refuse(LEAST "}pool p { pass-client none; server s 10.0.0.256:25; }", "not an address");
	refuse(LEAST "}pool p { pass-client none; server s -mta:25; }", "begins or ends with");
	refuse(LEAST "}pool p { pass-client none; server s mta1.internal; }", "port is missing");
}

static void whole_files(void **state)
{
	struct conf_report report = {0};
	struct buf text = {0};

	buf_add_text(&text, LEAST "}" LEAST_POOL);
	while (text.len <= CONF_TEXT_MAX)
		buf_add_text(&text, "# much ado about nothing, over and over and over again\n");
	refuse(buf_string(&text), "larger than 1 MiB");
	buf_clear(&text);
	refuse("\xff\xfeh", "UTF-16");
	assert_null(conf_parse(
		&ex_vocabulary, SPAN(LEAST "}\0" LEAST_POOL), "nul.conf", NULL, &report));
	assert_int_equal(report.errors, 1);
	conf_report_clear(&report);
}

/* What is reported once the cap is reached is counted only. */
static void cap(void **state)
{
	struct conf_report report = {0};
	struct buf text = {0}, out = {0};

	for (int i = 0; i < 80; i++)
		buf_addf(&text, "nonsense%d x;\n", i);
	assert_null(conf_parse(&ex_vocabulary, buf_span(&text), "many.conf", NULL, &report));
	assert_int_equal(report.errors, 82); /* hostname and a listener are missing too */
	conf_report_text(&report, &out);
	assert_non_null(strstr(buf_string(&out), "nonsense49"));
	assert_null(strstr(buf_string(&out), "nonsense50"));
	assert_non_null(strstr(buf_string(&out), "... and 32 more errors\n"));
	buf_clear(&text);
	buf_clear(&out);
	conf_report_clear(&report);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults),
		cmocka_unit_test(every_type),
		cmocka_unit_test(inheritance),
		cmocka_unit_test(list_files),
		cmocka_unit_test(forms_of_text),
		cmocka_unit_test(domains_match),
		cmocka_unit_test(value_bounds),
		cmocka_unit_test(network_values),
		cmocka_unit_test(whole_files),
		cmocka_unit_test(cap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
