/*
 * `mailweir check`: the diagnostics of a config, or a summary of what it will do: who may send
 * what where, what is a single point of failure, and what it costs at worst.  Without --offline it
 * also looks up the servers' names and looks for the addresses to bind on this machine.
 */
#include "bin/check_cmd.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "admin/admin.h"
#include "bin/settings.h"
#include "board/logline.h"
#include "edge/edge.h"
#include "health/health_conf.h"
#include "net/net.h"
#include "pool/pool_conf.h"
#include "relay/relay_conf.h"
#include "smtp/reply.h"
#include "sys/real.h"

#define RESOLVE_PATIENCE (10 * SECOND)

struct wishes {
	const char *config, *root;
	bool offline;
};

/* ---- reading, below a root if there is one ---- */

static enum err read_below(
	const char *root, const char *path, size_t max, struct buf *into, struct err_text *text)
{
	char full[4096];
	if (snprintf(full, sizeof full, "%s%s", root, path) >= (int)sizeof full)
		return err_set(text, ERR_RANGE, "%s%s: the path is too long", root, path);
	return sys_file_read(full, max, into, text);
}

static enum err read_list(void *arg, const char *path, struct buf *into, struct err_text *text)
{
	const struct wishes *wishes = arg;
	return read_below(wishes->root, path, CONF_LIST_MAX, into, text);
}

/* ---- the summary ---- */

static void print_words(const char *head, bool none, const char *if_none)
{
	printf("    %s%s", head, none ? if_none : "");
}

static void print_listener(const struct conf_block *block)
{
	const struct relay_settings *relay = conf_get(block, &relay_listener_section);
	const struct edge_settings *edge = conf_get(block, &edge_listener_section);
	const struct conf_addrs *bind = bind_addrs_of(block);
	char text[ADDR_TEXT];

	printf("listener %s on", block->name);
	for (size_t i = 0; i < bind->count; i++) {
		addr_text_port(&bind->at[i], text);
		printf(" %s", text);
	}
	printf("\n");
	print_words("may send anywhere: ", edge->relay_from.count == 0, "nobody");
	for (size_t i = 0; i < edge->relay_from.count; i++) {
		addr_text(&edge->relay_from.at[i].base, text);
		printf("%s%s/%u", i ? ", " : "", text, edge->relay_from.at[i].bits);
	}
	printf("\n");
	for (size_t i = 0; i < edge->proxy_from.count; i++) {
		addr_text(&edge->proxy_from.at[i].base, text);
		printf("%s%s/%u%s", i ? ", " : "    believes the PROXY headers of: ", text,
			edge->proxy_from.at[i].bits, i + 1 == edge->proxy_from.count ? "\n" : "");
	}
	print_words("takes mail from anybody for: ",
		edge->relay_to.count == 0 && !edge->relay_to.words, "no domain");
	if (edge->relay_to.words)
		printf("any recipient (the servers decide)");
	for (size_t i = 0; i < edge->relay_to.count && i < 10; i++)
		printf("%s%s%s", i || edge->relay_to.words ? ", " : "",
			edge->relay_to.at[i].under ? "." : "", edge->relay_to.at[i].name);
	if (edge->relay_to.count > 10)
		printf(" and %zu more", edge->relay_to.count - 10);
	printf("\n    sends to: ");
	for (size_t i = 0; i < relay->send_to.count; i++)
		printf("%s%s", i ? ", then " : "", relay->send_to.at[i]->name);
	printf("; messages up to %" PRId64 " MiB\n", relay->max_size >> 20);
}

static int64_t tier_of(const struct conf_block *server)
{
	return ((const struct pool_server_settings *)conf_get(server, &pool_server_section))->tier;
}

static void print_pool(const struct conf_block *block)
{
	const struct pool_settings *pool = conf_get(block, &pool_section);
	const struct health_check_settings *check =
		conf_get(conf_first(block, "pool.check"), &health_check_section);
	static const char *const script[] = {"smtp", "tcp", "none"};
	unsigned servers = conf_count(block, "server");

	printf("pool %s: %u server%s, %s%s%s, check %s every %" PRId64 " s, queue %" PRId64 " s\n",
		block->name, servers, servers == 1 ? "" : "s", pool->balance.ops->name,
		pool->balance.field ? " " : "", pool->balance.field ? pool->balance.field : "",
		script[check->script], check->interval / SECOND, pool->queue / SECOND);
	CONF_EACH(server, block, "server")
	{
		const struct pool_server_settings *settings =
			conf_get(server, &pool_server_section);
		printf("    %s %s weight=%" PRId64 " tier=%" PRId64 " max-connections=%" PRId64
		       "\n",
			server->name, settings->at.text, settings->weight, tier_of(server),
			settings->max_connections);
	}
	if (servers == 1)
		printf("    warning: one server only: a single point of failure\n");
}

/* Bytes that a busy session can hold at worst: its replay copy, what waits in the two streams, and
 * the buffers being read into. */
static int64_t session_bytes(const struct relay_settings *settings)
{
	return settings->replay_limit + 2 * NET_HIGH + 2 * CHUNK_LARGE;
}

static void print_cost(const struct conf *conf, unsigned workers)
{
	int64_t memory = 0, descriptors = 0;
	CONF_EACH(block, conf_root(conf), "listener")
	{
		const struct edge_settings *edge = conf_get(block, &edge_listener_section);
		memory += edge->max_sessions *
			  session_bytes(conf_get(block, &relay_listener_section));
		descriptors += edge->max_sessions;
	}
	CONF_EACH(pool, conf_root(conf), "pool")
	CONF_EACH(server, pool, "server")
	descriptors += ((const struct pool_server_settings *)conf_get(server, &pool_server_section))
			       ->max_connections;
	printf("%u workers; at worst (every session busy with the largest message it may keep) "
	       "%" PRId64 " MiB in buffers and %" PRId64 " descriptors in all\n",
		workers, memory >> 20, descriptors + 64 * workers);
}

static void print_summary(const struct conf *conf)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	CONF_EACH(block, conf_root(conf), "listener")
	print_listener(block);
	CONF_EACH(block, conf_root(conf), "pool")
	print_pool(block);
	print_cost(conf, workers_of(conf, processors > 0 ? (unsigned)processors : 1));
}

/* ---- what only this machine can tell ---- */

struct lookup {
	const struct conf_block *server;
	struct sys_answer answer;
	bool done;
};

static void answered(void *arg, const struct sys_answer *answer)
{
	struct lookup *lookup = arg;
	lookup->answer = *answer;
	lookup->done = true;
}

/* True if the name has an address. */
static bool look_up(struct sys *sys, const struct conf_block *pool, const struct conf_block *server)
{
	const struct pool_server_settings *settings = conf_get(server, &pool_server_section);
	struct lookup lookup = {.server = server};
	struct sys_event none[1];
	bool woken;
	if (!settings->at.host)
		return true;
	int64_t until = sys_clock(sys) + RESOLVE_PATIENCE;
	sys_resolve(sys, settings->at.host, answered, &lookup);
	while (!lookup.done && sys_clock(sys) < until)
		sys_wait(sys, none, 1, until, &woken);
	if (lookup.done && lookup.answer.err == ERR_OK)
		return true;
	printf("warning: server %s/%s: the name %s has no address here: %s\n", pool->name,
		server->name, settings->at.host,
		lookup.done ? err_name(lookup.answer.err) : "no answer");
	return false;
}

static void look_around(const struct conf *conf)
{
	struct sys_real_setup setup = {.row = -1};
	struct sys *sys = sys_real_new(&setup);
	CONF_EACH(pool, conf_root(conf), "pool")
	CONF_EACH(server, pool, "server")
	if (!look_up(sys, pool, server))
		break; /* a resolver that does not answer would cost the patience each time */
	sys_real_free(&sys);
}

/* ---- the commands ---- */

static int check(struct wishes *wishes)
{
	const struct conf_files files = {.read = read_list, .arg = wishes};
	struct conf_report report = {0};
	struct err_text text;
	struct buf config = {0}, words = {0};
	if (read_below(wishes->root, wishes->config, CONF_TEXT_MAX, &config, &text) != ERR_OK) {
		fprintf(stderr, "mailweir: %s\n", text.text);
		return EX_NOINPUT;
	}
	struct conf *conf =
		conf_parse(&bin_vocabulary, buf_span(&config), wishes->config, &files, &report);
	conf_report_text(&report, &words);
	fprintf(stderr, "%s", words.len ? buf_string(&words) : "");
	if (conf) {
		print_summary(conf);
		if (!wishes->offline)
			look_around(conf);
		printf("%s: good\n", wishes->config);
	}
	int status = conf ? EX_OK : EX_CONFIG;
	conf_free(&conf);
	conf_report_clear(&report);
	buf_clear(&config);
	buf_clear(&words);
	return status;
}

int check_command(int argc, char **argv)
{
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'},
		{"offline", no_argument, NULL, 'o'},
		{"root", required_argument, NULL, 'r'},
		{0},
	};
	struct wishes wishes = {.config = COMMAND_CONFIG, .root = ""};
	int option;
	while ((option = getopt_long(argc, argv, "c:", options, NULL)) != -1) {
		if (option == 'c')
			wishes.config = optarg;
		else if (option == 'o')
			wishes.offline = true;
		else if (option == 'r')
			wishes.root = optarg;
		else
			break;
	}
	if (option != -1 || optind != argc) {
		fprintf(stderr, "usage: mailweir check [-c FILE] [--offline] [--root DIR]\n");
		return EX_USAGE;
	}
	return check(&wishes);
}

static void settings_reference(struct buf *into)
{
	buf_add_text(into, "# Settings\n\nGenerated by `./dev docs` from the tables in the code. "
			   "The grammar is in "
			   "[config.md](config.md).\n\n");
	conf_reference(&bin_vocabulary, into);
}

int reference_command(int argc, char **argv)
{
	static const struct {
		const char *page;
		void (*write)(struct buf *into);
	} pages[] = {
		{"settings", settings_reference},
		{"metrics", admin_metrics_reference},
		{"log", log_reference},
		{"replies", smtp_own_reference},
	};
	struct buf text = {0};
	for (size_t i = 0; argc == 2 && i < sizeof pages / sizeof pages[0]; i++) {
		if (strcmp(argv[1], pages[i].page) != 0)
			continue;
		pages[i].write(&text);
		fwrite(text.at, 1, text.len, stdout);
		buf_clear(&text);
		return EX_OK;
	}
	fprintf(stderr, "usage: mailweir reference settings|metrics|log|replies\n");
	return EX_USAGE;
}
