/*
 * `mailweir status`: the running daemon's state as tables, or with --json as it came.
 */
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "bin/admin_cli.h"
#include "bin/config.h"
#include "bin/http.h"

static long long number(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

static const char *text(const json_t *object, const char *name)
{
	const char *value = json_string_value(json_object_get(object, name));
	return value ? value : "";
}

static bool yes(const json_t *object, const char *name)
{
	return json_is_true(json_object_get(object, name));
}

static void print_head(const json_t *root)
{
	const json_t *reload = json_object_get(root, "reload");
	printf("generation %lld, %s%s\n", number(root, "generation"),
		yes(root, "ready") ? "ready" : "NOT READY: ", text(root, "reason"));
	if (number(reload, "number") > 0)
		printf("last reload %s: %s\n", yes(reload, "good") ? "succeeded" : "FAILED",
			text(reload, "message"));
}

static void print_processes(const json_t *root)
{
	size_t i;
	const json_t *process;
	printf("\n%-10s %8s %11s %s\n", "PROCESS", "PID", "GENERATION", "STATE");
	json_array_foreach(json_object_get(root, "processes"), i, process)
	{
		const char *state = !yes(process, "alive")     ? "no heartbeat"
				    : yes(process, "draining") ? "draining"
				    : yes(process, "ready")    ? "ready"
							       : "starting";
		printf("%-10s %8lld %11lld %s\n", text(process, "role"), number(process, "pid"),
			number(process, "generation"), state);
	}
}

static void print_listeners(const json_t *root)
{
	size_t i;
	const json_t *listener;
	printf("\n%-16s %9s %9s %9s %9s %9s %9s\n", "LISTENER", "SESSIONS", "ACCEPTED", "DEFERRED",
		"REFUSED", "ABANDONED", "AMBIGUOUS");
	json_array_foreach(json_object_get(root, "listeners"), i, listener)
		printf("%-16s %9lld %9lld %9lld %9lld %9lld %9lld\n", text(listener, "name"),
			number(listener, "sessions"),
			number(listener, "accepted") + number(listener, "accepted_unheard"),
			number(listener, "deferred"), number(listener, "refused"),
			number(listener, "abandoned"), number(listener, "ambiguous"));
}

static void print_server(const json_t *pool, const json_t *server, long long accepted_in_all)
{
	char name[128], state[64];
	long long accepted = number(server, "accepted");
	long long failures = number(server, "connects_failed") +
			     number(server, "greetings_failed") + number(server, "own_trouble") +
			     number(server, "broken") + number(server, "timeouts");
	snprintf(name, sizeof name, "%s/%s", text(pool, "name"), text(server, "name"));
	snprintf(state, sizeof state, "%s%s", yes(server, "drained") ? "drained, " : "",
		text(server, "state"));
	printf("%-24s %-14s %6lld %5lld %5lld %9lld %6.1f%% %9lld  %s\n", name, state,
		number(server, "connections"), number(server, "idle"),
		number(server, "transactions"), accepted,
		accepted_in_all ? 100.0 * (double)accepted / (double)accepted_in_all : 0.0,
		failures, strcmp(text(server, "state"), "up") == 0 ? "" : text(server, "reason"));
}

static void print_pools(const json_t *root)
{
	size_t i, j;
	const json_t *pool, *server;
	printf("\n%-24s %-14s %6s %5s %5s %9s %7s %9s  %s\n", "SERVER", "STATE", "CONNS", "IDLE",
		"LIVE", "ACCEPTED", "SHARE", "FAILURES", "REASON");
	json_array_foreach(json_object_get(root, "pools"), i, pool)
	{
		long long accepted = 0;
		json_array_foreach(json_object_get(pool, "servers"), j, server) accepted +=
			number(server, "accepted");
		json_array_foreach(json_object_get(pool, "servers"), j, server)
			print_server(pool, server, accepted);
	}
}

static int show(const struct buf *body, bool raw)
{
	json_t *root = json_loadb(body->at, body->len, 0, NULL);
	if (!root) {
		fprintf(stderr, "mailweir: the answer is not JSON\n");
		return EX_PROTOCOL;
	}
	if (raw) {
		fwrite(body->at, 1, body->len, stdout);
		fputc('\n', stdout);
	} else {
		print_head(root);
		print_processes(root);
		print_listeners(root);
		print_pools(root);
	}
	json_decref(root);
	return EX_OK;
}

static int ask(const char *path, bool raw)
{
	struct err_text why;
	struct addr addr;
	struct buf body = {0};
	int status, result = EX_UNAVAILABLE;
	struct config *config = config_load(path, &why);
	if (!config) {
		fprintf(stderr, "mailweir: %s\n", why.text);
		return EX_NOINPUT;
	}
	enum err err =
		config->conf ? http_admin_addr(config->conf, &addr, &why)
			     : err_set(&why, ERR_SYNTAX, "%s has errors: see mailweir check", path);
	config_free(&config);
	if (err == ERR_OK)
		err = http_ask(&addr, "GET", "/api/v1/status", &status, &body, &why);
	if (err != ERR_OK)
		fprintf(stderr, "mailweir: %s\n", why.text);
	else
		result = show(&body, raw);
	buf_clear(&body);
	return result;
}

int status_command(int argc, char **argv)
{
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'},
		{"json", no_argument, NULL, 'j'},
		{0},
	};
	const char *path = COMMAND_CONFIG;
	bool raw = false;
	int option;
	while ((option = getopt_long(argc, argv, "c:j", options, NULL)) != -1) {
		if (option == 'c')
			path = optarg;
		else if (option == 'j')
			raw = true;
		else
			break;
	}
	if (option != -1 || optind != argc) {
		fprintf(stderr, "usage: mailweir status [-c FILE] [--json]\n");
		return EX_USAGE;
	}
	return ask(path, raw);
}
