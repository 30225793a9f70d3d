/*
 * drain, undrain, weight, reload: each is one POST, but reload also waits for the outcome.
 */
#include "bin/admin_cli.h"

#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

#include "bin/config.h"
#include "bin/http.h"

#define RELOAD_PATIENCE 60 /* seconds; the master gives a new generation 30 to start */

/* ---- what all have in common ---- */

struct wishes {
	const char *config;
	bool force;
};

static bool read_options(int argc, char **argv, struct wishes *wishes_r)
{
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'},
		{"force", no_argument, NULL, 'f'},
		{0},
	};
	int option;
	*wishes_r = (struct wishes){.config = COMMAND_CONFIG};
	while ((option = getopt_long(argc, argv, "c:f", options, NULL)) != -1) {
		if (option == 'c')
			wishes_r->config = optarg;
		else if (option == 'f')
			wishes_r->force = true;
		else
			return false;
	}
	return true;
}

static int find_admin(const struct wishes *wishes, struct addr *addr_r)
{
	struct err_text text;
	struct config *config = config_load(wishes->config, &text);
	if (!config) {
		fprintf(stderr, "mailweir: %s\n", text.text);
		return EX_NOINPUT;
	}
	enum err err = config->conf ? http_admin_addr(config->conf, addr_r, &text)
				    : err_set(&text, ERR_SYNTAX,
					      "%s has errors: see mailweir check", wishes->config);
	config_free(&config);
	if (err != ERR_OK)
		fprintf(stderr, "mailweir: %s\n", text.text);
	return err == ERR_OK ? EX_OK : EX_CONFIG;
}

static int post(const struct addr *addr, const char *path)
{
	struct err_text text;
	struct buf body = {0};
	int status;
	if (http_ask(addr, "POST", path, &status, &body, &text) != ERR_OK) {
		fprintf(stderr, "mailweir: %s\n", text.text);
		buf_clear(&body);
		return EX_UNAVAILABLE;
	}
	bool good = status / 100 == 2;
	fprintf(good ? stdout : stderr, "%s", buf_string(&body));
	buf_clear(&body);
	return good ? EX_OK : status == 403 ? EX_NOPERM : status == 404 ? EX_DATAERR : EX_USAGE;
}

/* ---- servers by hand ---- */

/* Names may hold anything but what the config language takes for itself. */
static void add_escaped(struct buf *path, const char *text)
{
	for (; *text; text++) {
		bool plain = (*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z') ||
			     (*text >= '0' && *text <= '9') || strchr("-._~/", *text);
		if (plain)
			buf_add(path, text, 1);
		else
			buf_addf(path, "%%%02X", (unsigned char)*text);
	}
}

static int change(int argc, char **argv, const char *action, bool value)
{
	struct wishes wishes;
	struct addr addr;
	if (!read_options(argc, argv, &wishes) || argc - optind != (value ? 2 : 1) ||
		!strchr(argv[optind], '/')) {
		fprintf(stderr, "usage: mailweir %s [-c FILE] POOL/SERVER%s\n", action,
			value ? " 0...256|configured" : "");
		return EX_USAGE;
	}
	int status = find_admin(&wishes, &addr);
	if (status != EX_OK)
		return status;
	struct buf path = {0};
	buf_add_text(&path, "/api/v1/servers/");
	add_escaped(&path, argv[optind]);
	buf_addf(&path, "/%s", action);
	if (value) {
		buf_add_text(&path, "?value=");
		add_escaped(&path, argv[optind + 1]);
	}
	status = post(&addr, buf_string(&path));
	buf_clear(&path);
	return status;
}

int drain_command(int argc, char **argv)
{
	return change(argc, argv, "drain", false);
}

int undrain_command(int argc, char **argv)
{
	return change(argc, argv, "undrain", false);
}

int weight_command(int argc, char **argv)
{
	return change(argc, argv, "weight", true);
}

/* ---- reload ---- */

struct outcome {
	json_int_t number;
	bool good;
	char message[512];
};

static bool ask_outcome(const struct addr *addr, struct outcome *outcome_r)
{
	struct err_text text;
	struct buf body = {0};
	int status;
	bool good = http_ask(addr, "GET", "/api/v1/status", &status, &body, &text) == ERR_OK &&
		    status == 200;
	json_t *root = good ? json_loadb(body.at, body.len, 0, NULL) : NULL;
	json_t *reload = json_object_get(root, "reload");
	buf_clear(&body);
	if (reload) {
		const char *message = json_string_value(json_object_get(reload, "message"));
		outcome_r->number = json_integer_value(json_object_get(reload, "number"));
		outcome_r->good = json_is_true(json_object_get(reload, "good"));
		snprintf(outcome_r->message, sizeof outcome_r->message, "%s",
			message ? message : "");
	}
	bool known = reload != NULL;
	json_decref(root);
	return known;
}

static int await_outcome(const struct addr *addr, json_int_t before)
{
	/* Control is replaced on the way, so an answer that fails is only asked for again. */
	for (int i = 0; i < RELOAD_PATIENCE * 10; i++) {
		struct outcome outcome;
		nanosleep(&(struct timespec){.tv_nsec = 100 * 1000 * 1000}, NULL);
		if (!ask_outcome(addr, &outcome) || outcome.number == before)
			continue;
		fprintf(outcome.good ? stdout : stderr, "%s\n", outcome.message);
		return outcome.good ? EX_OK : EX_CONFIG;
	}
	fprintf(stderr, "mailweir: no word about the reload within %d s\n", RELOAD_PATIENCE);
	return EX_TEMPFAIL;
}

int reload_command(int argc, char **argv)
{
	struct wishes wishes;
	struct addr addr;
	struct outcome before = {0};
	if (!read_options(argc, argv, &wishes) || argc != optind) {
		fprintf(stderr, "usage: mailweir reload [-c FILE] [--force]\n");
		return EX_USAGE;
	}
	int status = find_admin(&wishes, &addr);
	if (status != EX_OK)
		return status;
	if (!ask_outcome(&addr, &before)) {
		fprintf(stderr,
			"mailweir: nobody answers at the admin address (is mailweir running?)\n");
		return EX_UNAVAILABLE;
	}
	status = post(&addr, wishes.force ? "/api/v1/reload?force=1" : "/api/v1/reload");
	return status == EX_OK ? await_outcome(&addr, before.number) : status;
}
