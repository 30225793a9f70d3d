/*
 * One world: everybody is put into it, it goes on until all clients have got what they wanted and
 * the house has shut, and then it must be as empty as before.
 */
#include "sim/run.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sim/actor.h"
#include "sim/house.h"

#define PATIENCE     (6 * HOUR)    /* from the calm until the last client is done */
#define REST_AFTER   (40 * MINUTE) /* from the last client's end until no session is left */
#define CLOSED_AFTER (40 * MINUTE) /* from the order to stop until nothing is open */

struct cast {
	struct world world;
	struct wire_net *net;
	struct sim_files *files;
	struct sim_names *names;
	struct ledger *ledger;
	struct house *house;
	struct sim_client *client[SCENE_CLIENTS];
	struct sim_server *server[SCENE_SERVERS];
	struct addr listener[SCENE_LISTENERS]; /* where the clients connect to, for as long */
};

static void put_servers(struct cast *cast, const struct scene *scene)
{
	for (unsigned i = 0; i < scene->servers; i++) {
		struct scene_offers offers = scene_offers(scene, i);
		struct sim_server_setup setup = {
			.world = &cast->world,
			.net = cast->net,
			.ledger = cast->ledger,
			.name = scene_server_name(i),
			.number = i,
			.max_connections = scene->max_connections,
			.messages_per_connection = scene->messages_per_connection,
			.max_recipients = scene->max_recipients,
			.checks = scene->checks,
			.chunking = offers.chunking,
			.pipelining = offers.pipelining,
			.eightbit = offers.eightbit,
			.size = offers.size,
		};
		scene_server(i, &setup.at);
		cast->server[i] = sim_server_new(&setup);
	}
}

static void put_clients(struct cast *cast, const struct scene *scene)
{
	for (unsigned i = 0; i < SCENE_LISTENERS; i++)
		scene_listener(i, &cast->listener[i]);
	for (unsigned i = 0; i < scene->clients; i++) {
		struct rng rng;
		if (scene->absent >> i & 1)
			continue;
		world_rng(&cast->world, &rng, "begin", i);
		cast->client[i] = sim_client_new(&(struct sim_client_setup){
			.world = &cast->world,
			.net = cast->net,
			.ledger = cast->ledger,
			.number = i,
			.listeners = cast->listener,
			.listener_count = SCENE_LISTENERS,
			.mails = scene->mails,
			.begin = cast->world.now +
				 rng_skewed(&rng, SECOND, scene->calm_after + SECOND),
			.max_size = scene->max_size,
			.max_recipients = scene->max_recipients,
		});
	}
}

static bool clients_done(const struct cast *cast)
{
	for (unsigned i = 0; i < SCENE_CLIENTS; i++) {
		if (cast->client[i] && !sim_client_done(cast->client[i]))
			return false;
	}
	return true;
}

static void describe(struct cast *cast, struct run_result *result)
{
	struct buf text = {0};
	for (unsigned i = 0; i < SCENE_CLIENTS && text.len < sizeof(result->state); i++) {
		if (!cast->client[i] || sim_client_done(cast->client[i]))
			continue;
		sim_client_describe(cast->client[i], &text);
		buf_add_text(&text, "\n");
	}
	snprintf(result->state, sizeof(result->state), "%s", buf_string(&text));
	buf_clear(&text);
}

static void step(struct cast *cast)
{
	struct world *world = &cast->world;
	if (!world_step(world))
		world_fail(world, "dead", "nothing is to come, and somebody waits");
	house_sweep(cast->house);
}

static void live(struct cast *cast, const struct scene *scene)
{
	struct world *world = &cast->world;
	int64_t patience = WORLD_EPOCH + scene->calm_after + PATIENCE;
	while (!world->failed && !clients_done(cast)) {
		for (int i = 0; i < 16 && !world->failed; i++)
			step(cast);
		if (world->now > patience)
			world_fail(world, "never-ends", "clients wait since hours");
	}
	int64_t rested = world->now + REST_AFTER;
	while (!world->failed && !house_is_at_rest(cast->house)) {
		step(cast);
		if (world->now > rested)
			world_fail(world, "never-ends", "a session without a client");
	}
	house_stop(cast->house);
	int64_t closed = world->now + CLOSED_AFTER;
	while (!world->failed && (!house_is_gone(cast->house) || wire_ends_open(cast->net) > 0)) {
		step(cast);
		if (world->now > closed)
			world_fail(world, "never-ends", "%s, %u ends of connections are open",
				house_is_gone(cast->house) ? "the house is shut"
							   : "processes don't leave",
				wire_ends_open(cast->net));
	}
}

static void take_sums(struct cast *cast, struct run_result *result)
{
	struct house_sums house = house_sums(cast->house);
	const struct world *world = &cast->world;
	result->steps = world->steps;
	result->turns = house.turns;
	result->deaths = house.deaths;
	result->reloads = house.reloads;
	result->ambiguous = house.ambiguous;
	result->unheard = house.unheard;
	result->accepted = house.accepted;
	result->replays = house.replays;
	result->below = house.below;
	result->waits_seen = house.waits_seen;
	result->waits_excused = house.waits_excused;
	result->memory_peak = house.memory_peak;
	result->ledger = ledger_sums(cast->ledger);
	result->simulated = world->now - WORLD_EPOCH;
	memcpy(result->faults, world->faults, sizeof(result->faults));
	for (unsigned i = 0; i < SCENE_CLIENTS; i++)
		result->client_sessions +=
			cast->client[i] ? sim_client_sessions(cast->client[i]) : 0;
	for (unsigned i = 0; i < SCENE_SERVERS; i++) {
		result->server_sessions +=
			cast->server[i] ? sim_server_sessions(cast->server[i]) : 0;
		result->server_commands +=
			cast->server[i] ? sim_server_commands(cast->server[i]) : 0;
	}
	const struct hash_key key = {{world->steps, (uint64_t)world->now}};
	uint64_t state[] = {world->rng.s[0], world->rng.s[1], house.turns, result->ledger.commits,
		result->client_sessions, result->server_commands};
	result->fingerprint = hash_bytes(&key, state, sizeof(state));
}

static void clear(struct cast *cast)
{
	for (unsigned i = 0; i < SCENE_CLIENTS; i++) {
		if (cast->client[i])
			sim_client_free(&cast->client[i]);
	}
	house_free(&cast->house);
	for (unsigned i = 0; i < SCENE_SERVERS; i++) {
		if (cast->server[i])
			sim_server_free(&cast->server[i]);
	}
	ledger_free(&cast->ledger);
	sim_names_free(&cast->names);
	sim_files_free(&cast->files);
	wire_net_free(&cast->net);
	world_clear(&cast->world);
}

void run_world(const struct scene *scene, struct trace *trace, struct run_result *result)
{
	struct cast *cast = mem_new(sizeof(*cast));
	struct world *world = &cast->world;
	memset(result, 0, sizeof(*result));
	world_init(world, scene, trace);
	cast->net = wire_net_new(world);
	cast->files = sim_files_new(world);
	cast->names = sim_names_new(world);
	cast->ledger = ledger_new(world);
	put_servers(cast, scene);
	cast->house = house_new(&(struct house_setup){
		.world = world, .net = cast->net, .files = cast->files, .names = cast->names});
	put_clients(cast, scene);
	live(cast, scene);
	take_sums(cast, result);
	if (!world->failed) {
		house_check_end(cast->house);
		ledger_close(cast->ledger, &(struct ledger_books){.ambiguous = result->ambiguous,
						   .accepted = result->accepted + result->unheard,
						   .deaths = result->deaths,
						   .resending = scene->resend_ambiguous});
	}
	describe(cast, result);
	result->failed = world->failed;
	memcpy(result->check, world->check, sizeof(result->check));
	memcpy(result->words, world->words, sizeof(result->words));
	clear(cast);
	free(cast);
}

/* ---- in a process of its own ---- */

void run_note_crash(struct run_result *result, int status, unsigned seconds)
{
	bool slow = WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM;
	result->failed = result->crashed = true;
	snprintf(result->check, sizeof(result->check), slow ? RUN_TOO_SLOW : "crash");
	if (slow)
		snprintf(result->words, sizeof(result->words),
			"the world had no end after %u s, on this machine", seconds);
	else
		snprintf(result->words, sizeof(result->words), "the world ended by %s %d",
			WIFSIGNALED(status) ? "signal" : "status",
			WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

void run_world_apart(const struct scene *scene, bool loud, struct run_result *result_r)
{
	const unsigned seconds = 120;
	struct run_result *shared = mmap(
		NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status = 0;
	if (shared == MAP_FAILED)
		die("sim: no memory");
	fflush(stdout);
	fflush(stderr);
	pid_t pid = fork();
	if (pid < 0)
		die("sim: no process");
	if (pid == 0) {
		if (!loud && freopen("/dev/null", "w", stderr) == NULL)
			_exit(1);
		alarm(seconds);
		run_world(scene, NULL, shared);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	*result_r = *shared;
	munmap(shared, sizeof(*shared));
	if (status == 0)
		return;
	run_note_crash(result_r, status, seconds);
}
