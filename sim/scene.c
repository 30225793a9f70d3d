/*
 * Drawing a scene.  A third of the worlds is almost honest (one or two kinds of faults), so that
 * a failure there is small; the others have many kinds at once, since the worst things happen
 * when two meet.
 */
#include "sim/scene.h"

#include <stdio.h>
#include <string.h>

#include "sim/world.h"

/* Per 10,000 rolls of the kind; how often a kind is rolled differs, see fault.h. */
static const unsigned usual_rate[FAULTS] = {
	[FAULT_segments] = 4000,
	[FAULT_octets] = 150,
	[FAULT_small_window] = 300,
	[FAULT_short_write] = 1000,
	[FAULT_delays] = 500,
	[FAULT_long_stall] = 2,
	[FAULT_network_reset] = 150,
	[FAULT_reset_eats] = 5000,
	[FAULT_spurious] = 300,
	[FAULT_client_pipelines] = 4000,
	[FAULT_client_bdat] = 3000,
	[FAULT_client_bdat_pipelined] = 4000,
	[FAULT_client_dribbles] = 100,
	[FAULT_client_slow_reader] = 200,
	[FAULT_client_vanishes] = 300,
	[FAULT_client_resets] = 200,
	[FAULT_client_half_closes] = 300,
	[FAULT_client_impatient] = 500,
	[FAULT_client_lies_size] = 200,
	[FAULT_client_over_size] = 20,
	[FAULT_client_smuggles] = 300,
	[FAULT_client_bad_command] = 300,
	[FAULT_client_bad_order] = 200,
	[FAULT_client_bad_bdat] = 200,
	[FAULT_client_floods] = 60,
	[FAULT_client_rset] = 300,
	[FAULT_client_many_recipients] = 100,
	[FAULT_client_large] = 100,
	[FAULT_client_stalls] = 100,
	[FAULT_client_http] = 50,
	[FAULT_client_early_body] = 100,
	[FAULT_server_refuses_connection] = 300,
	[FAULT_server_silent_connect] = 100,
	[FAULT_server_closes_at_once] = 200,
	[FAULT_server_banner_bad] = 100,
	[FAULT_server_banner_slow] = 100,
	[FAULT_server_ehlo_bad] = 100,
	[FAULT_server_too_many] = 100,
	[FAULT_server_idle_close] = 800,
	[FAULT_server_idle_421] = 500,
	[FAULT_server_unasked] = 300,
	[FAULT_server_mail_refused] = 40,
	[FAULT_server_mail_trouble] = 60,
	[FAULT_server_rcpt_refused] = 200,
	[FAULT_server_rcpt_trouble] = 60,
	[FAULT_server_rcpt_limit] = 3000,
	[FAULT_server_conduct] = 20,
	[FAULT_server_421] = 40,
	[FAULT_server_closes] = 60,
	[FAULT_server_resets] = 40,
	[FAULT_server_stalls] = 20,
	[FAULT_server_slow] = 300,
	[FAULT_server_malformed] = 20,
	[FAULT_server_long_line] = 10,
	[FAULT_server_extra_reply] = 40,
	[FAULT_server_multiline] = 300,
	[FAULT_server_splits_reply] = 300,
	[FAULT_server_data_refused] = 60,
	[FAULT_server_chunk_refused] = 60,
	[FAULT_server_early_reply] = 60,
	[FAULT_server_early_yes] = 20,
	[FAULT_server_354_closes] = 60,
	[FAULT_server_stops_reading] = 30,
	[FAULT_server_end_refused] = 150,
	[FAULT_server_end_trouble] = 150,
	[FAULT_server_end_lost] = 80,
	[FAULT_server_end_dropped] = 80,
	[FAULT_server_end_late] = 60,
	[FAULT_kill_worker] = 1500,
	[FAULT_kill_control] = 500,
	[FAULT_kill_at_point] = 2500,
	[FAULT_stop_process] = 500,
	[FAULT_reload] = 700,
	[FAULT_drain_by_hand] = 1500,
	[FAULT_log_full] = 1000,
	[FAULT_state_full] = 1000,
	[FAULT_name_fails] = 1500,
	[FAULT_name_moves] = 1500,
	[FAULT_no_descriptors] = 50,
};

static void draw_rates(struct scene *scene, struct rng *rng)
{
	/* How many of a hundred kinds are on: few, some or most. */
	static const unsigned moods[] = {2, 5, 30, 60, 90};
	unsigned share = moods[rng_below(rng, 5)];
	for (int i = 0; i < FAULTS; i++) {
		bool on = rng_below(rng, 100) < share;
		unsigned rate = usual_rate[i] * (unsigned)rng_between(rng, 1, 16) / 4;
		scene->rate[i] = on ? (rate > 9500 ? 9500 : rate) : 0;
	}
}

static void draw_limits(struct scene *scene, struct rng *rng)
{
	static const unsigned recipients[] = {40, 90, 1000};
	static const unsigned replay[] = {0, 512, 8 * 1024, 128 * 1024, 1024 * 1024};
	scene->max_size = SCENE_SIZE;
	scene->replay_limit = replay[rng_below(rng, 5)];
	scene->messages_per_connection = (unsigned)rng_skewed(rng, 1, 200);
	scene->max_recipients = recipients[rng_below(rng, 3)];
	/* A worker takes no client when fewer than 64 are left for the rest. */
	scene->descriptors = rng_one_in(rng, 10) ? (unsigned)rng_between(rng, 66, 90) : 1000;
}

/* Few clients send much to few servers, which often don't read: who kept it all would hold more
 * than the bound of so few sockets.  Octet by octet it would take too long. */
static void make_large(struct scene *scene)
{
	unsigned mails = scene->mails * scene->clients;
	scene->clients = scene->clients > 3 ? 3 : scene->clients;
	scene->mails = (mails + scene->clients - 1) / scene->clients;
	scene->max_connections = scene->max_connections > 2 ? 2 : scene->max_connections;
	scene->max_size = SCENE_LARGE_SIZE;
	scene->replay_limit = scene->replay_limit > 8192 ? 8192 : scene->replay_limit;
	scene->rate[FAULT_client_large] = 700;
	scene->rate[FAULT_server_stops_reading] = 1000;
	scene->rate[FAULT_octets] = scene->rate[FAULT_small_window] = 0;
	scene->rate[FAULT_client_dribbles] = scene->rate[FAULT_client_slow_reader] = 0;
}

void scene_draw(struct scene *scene, uint64_t seed, unsigned mails)
{
	struct rng rng;
	memset(scene, 0, sizeof(*scene));
	scene->seed = seed;
	world_rng(&(struct world){.seed = seed}, &rng, "scene", 0);
	scene->clients = (unsigned)rng_between(&rng, 1, SCENE_CLIENTS);
	if (scene->clients > mails)
		scene->clients = mails;
	scene->mails = (mails + scene->clients - 1) / scene->clients;
	scene->servers = (unsigned)rng_between(&rng, 1, SCENE_SERVERS);
	scene->workers = (unsigned)rng_between(&rng, 1, 4);
	scene->max_connections = (unsigned)rng_skewed(&rng, 1, 40);
	scene->spare = scene->servers > 2 && rng_one_in(&rng, 3) ? 1 : 0;
	scene->named_servers = rng_one_in(&rng, 4);
	scene->resend_ambiguous = rng_one_in(&rng, 8);
	scene->checks = !rng_one_in(&rng, 5);
	scene->calm_after = rng_skewed(&rng, MINUTE, 20 * MINUTE);
	draw_rates(scene, &rng);
	draw_limits(scene, &rng);
	if (rng_one_in(&rng, 20))
		make_large(scene);
}

/* ---- who lives where ---- */

void scene_listener(unsigned index, struct addr *addr)
{
	*addr = (struct addr){
		.family = ADDR_IP4, .port = 25, .ip4 = {10, 0, 0, (uint8_t)(index + 1)}};
}

void scene_server(unsigned index, struct addr *addr)
{
	*addr = (struct addr){
		.family = ADDR_IP4, .port = 25, .ip4 = {10, 0, 1, (uint8_t)(index + 1)}};
}

static const char *const server_names[SCENE_SERVERS] = {"s1", "s2", "s3", "s4", "s5", "s6"};
static const char *const host_names[SCENE_SERVERS] = {
	"s1.sim", "s2.sim", "s3.sim", "s4.sim", "s5.sim", "s6.sim"};

const char *scene_server_name(unsigned index)
{
	return server_names[index];
}

const char *scene_host_name(unsigned index)
{
	return host_names[index];
}

struct scene_offers scene_offers(const struct scene *scene, unsigned server)
{
	struct rng rng;
	world_rng(&(struct world){.seed = scene->seed}, &rng, "offers", server);
	return (struct scene_offers){
		.pipelining = !rng_one_in(&rng, 6),
		.chunking = rng_one_in(&rng, 2),
		.eightbit = !rng_one_in(&rng, 8),
		.size = !rng_one_in(&rng, 4),
	};
}

/* ---- the config ---- */

static void add_listener(const struct scene *scene, struct buf *into)
{
	buf_addf(into, "listener in {\n    bind");
	for (unsigned i = 0; i < SCENE_LISTENERS; i++) {
		struct addr addr;
		char text[ADDR_TEXT];
		scene_listener(i, &addr);
		addr_text_port(&addr, text);
		buf_addf(into, " %s", text);
	}
	buf_addf(into, ";\n    relay-from 10.0.0.0/8;\n    send-to main%s;\n",
		scene->spare ? " spare" : "");
	buf_addf(into, "    max-size %uKiB;\n    replay-limit %uB;\n", scene->max_size / 1024,
		scene->replay_limit);
	buf_addf(into, "    resend-ambiguous %s;\n", scene->resend_ambiguous ? "yes" : "no");
	buf_addf(into, "    max-recipients %u;\n}\n", scene->max_recipients);
}

/* A reload may take servers away, and the next one bring them back; one always stays. */
static void add_servers(const struct scene *scene, struct rng *rng, unsigned edition,
	unsigned first, unsigned count, struct buf *into)
{
	unsigned keep = first + (unsigned)rng_below(rng, count);
	for (unsigned i = first; i < first + count; i++) {
		struct addr addr;
		char text[ADDR_TEXT];
		bool left_out = edition > 0 && i != keep && rng_one_in(rng, 5);
		if (left_out)
			continue;
		scene_server(i, &addr);
		addr_text_port(&addr, text);
		if (scene->named_servers)
			snprintf(text, sizeof(text), "%s:25", host_names[i]);
		int weight = rng_one_in(rng, 2) ? 1 : (int)rng_between(rng, 1, 9);
		int tier = rng_one_in(rng, 4) ? 2 : 1;
		buf_addf(into, "    server %s %s weight=%d tier=%d;\n", server_names[i], text,
			weight, tier);
	}
}

static void add_pool(const struct scene *scene, struct rng *rng, unsigned edition, const char *name,
	unsigned first, unsigned count, struct buf *into)
{
	static const char *const policies[] = {
		"least-transactions", "round-robin", "latency", "hash recipient", "random"};
	static const char *const scripts[] = {
		"smtp", "smtp interval=30s fall=3", "smtp recipient=check@b.sim", "tcp"};
	buf_addf(into, "pool %s {\n    pass-client none;\n    balance %s;\n", name,
		policies[rng_below(rng, 5)]);
	buf_addf(into, "    max-connections %u;\n    queue %ds;\n", scene->max_connections,
		(int)rng_between(rng, 2, 30));
	/* One draw a statement: compilers differ in the order of arguments. */
	buf_addf(into, "    messages-per-connection %u;\n", scene->messages_per_connection);
	buf_addf(into, "    idle-timeout %ds;\n", (int)rng_skewed(rng, 1, 60));
	buf_addf(into, "    check %s;\n",
		scene->checks ? scripts[rng_below(rng, sizeof(scripts) / sizeof(*scripts))]
			      : "none");
	buf_addf(into, "    outliers enforce=%s;\n", rng_one_in(rng, 4) ? "no" : "yes");
	add_servers(scene, rng, edition, first, count, into);
	buf_addf(into, "}\n");
}

void scene_config(const struct scene *scene, unsigned edition, struct buf *into)
{
	struct rng rng;
	world_rng(&(struct world){.seed = scene->seed}, &rng, "config", edition);
	unsigned workers = edition == 0 ? scene->workers : (unsigned)rng_between(&rng, 1, 4);
	buf_addf(into, "hostname weir.sim;\nworkers %u;\nlog /log;\n", workers);
	buf_addf(into, "drain-timeout %ds;\n", (int)rng_skewed(&rng, 5, 660));
	if (rng_one_in(&rng, 2))
		buf_addf(into, "state /state;\n");
	add_listener(scene, into);
	add_pool(scene, &rng, edition, "main", 0, scene->servers - scene->spare, into);
	if (scene->spare)
		add_pool(scene, &rng, edition, "spare", scene->servers - scene->spare, scene->spare,
			into);
}
