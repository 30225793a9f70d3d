/*
 * The life of a client: it has messages, opens a session after another, and tries each message
 * again until it is accepted or refused for good, as a real one does.
 *
 *      rest ──► session: manner drawn, connect ──► script speaks, reader listens ──► hung up
 *       ^                                                                              │
 *       '──────────── some time later, while a message is left ◄───────────────────────'
 *
 * A session never blocks and never waits without an end: `patience` comes round and finds who has
 * kept it waiting.  In the calm the manner is plain, and what isn't delivered after several plain
 * attempts is a promise broken.
 */
#include "sim/client_inside.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "sim/scene.h"

static void come_back(struct sim_client *client);

/* ---- the fate of messages ---- */

void client_verdict(struct sim_client *client, struct job *job, unsigned code, struct span text)
{
	if (!job->attempt || job->judged)
		return;
	job->judged = true;
	ledger_verdict(client->set.ledger, job->mail->number, job->attempt, code, text);
	if (job->tricked)
		return;
	if (code / 100 == 2)
		job->accepted = true;
	else if (code >= 500 && job->yes > 0)
		job->refused = true;
}

static int64_t later(struct sim_client *client)
{
	struct world *world = client->world;
	if (world_is_calm(world))
		return world->now + rng_between(&client->rng, 30 * SECOND, 5 * MINUTE);
	return world->now + rng_skewed(&client->rng, 1 * SECOND, 5 * MINUTE);
}

void client_job_over(struct sim_client *client, struct job *job)
{
	if (!job->attempt)
		return;
	job->attempt = 0;
	client->tried |= job->yes > 0;
	if (job->accepted || job->refused) {
		ledger_settled(client->set.ledger, job->mail->number);
		client->settled++;
		job->mail = NULL;
		return;
	}
	job->next_try = later(client);
	if (job->plain && !job->tricked && ++job->calm_tries > CLIENT_CALM_TRIES)
		world_fail(client->world, "not-delivered",
			"%s: m%u was tried %u times in an honest world", client->who,
			job->mail->number, job->calm_tries);
}

/* ---- the end of a session ---- */

void client_leave(struct sim_client *client)
{
	client->stage = STAGE_LEAVING;
	client->last_heard = client->world->now;
	client_drop_asks(client);
	buf_reset(&client->out);
	client->out_at = 0;
	world_unset(client->world, &client->pace);
}

void client_session_over(struct sim_client *client)
{
	struct world *world = client->world;
	client->end = NULL;
	for (unsigned i = 0; i < CLIENT_JOBS; i++) {
		struct job *job = &client->job[i];
		if (!job->mail || !job->attempt)
			continue;
		client_verdict(client, job, 0, (struct span){0});
		client_job_over(client, job);
	}
	client_leave(client);
	buf_reset(&client->in);
	world_unset(world, &client->reader);
	world_unset(world, &client->patience);
	world_unset(world, &client->rest);
	client->calm_failures =
		client->manner.plain && !client->tried ? client->calm_failures + 1 : 0;
	if (client->calm_failures > CLIENT_CALM_TRIES)
		world_fail(world, "not-delivered", "%s: %u sessions in vain in an honest world",
			client->who, client->calm_failures);
	come_back(client);
}

void client_hang_up(struct sim_client *client, bool reset)
{
	if (!client->end)
		return;
	wire_close(&client->end, reset);
	client_session_over(client);
}

/* ---- a session ---- */

/* Where faults of the house or the network can delay what a client hears, no bound holds. */
static bool is_quiet(const struct sim_client *client)
{
	static const enum sim_fault noisy[] = {FAULT_small_window, FAULT_octets, FAULT_delays,
		FAULT_long_stall, FAULT_network_reset, FAULT_kill_worker, FAULT_kill_control,
		FAULT_kill_at_point, FAULT_stop_process, FAULT_no_descriptors, FAULT_reload};
	const struct world *world = client->world;
	if (world->scene->descriptors < 1000)
		return false; /* while there are none it is not even greeted */
	for (size_t i = 0; i < sizeof(noisy) / sizeof(noisy[0]); i++)
		if (world->scene->rate[noisy[i]] > 0)
			return world->now > WORLD_EPOCH + world->scene->calm_after + MINUTE;
	return true;
}

static bool roll(struct sim_client *client, enum sim_fault fault)
{
	return world_fault(client->world, &client->rng, fault);
}

static void draw_cut(struct sim_client *client)
{
	struct manner *manner = &client->manner;
	manner->cut = roll(client, FAULT_client_vanishes) ? CUT_VANISH
		      : roll(client, FAULT_client_resets) ? CUT_RESET
		      : roll(client, FAULT_client_stalls) ? CUT_STALL
							  : CUT_NONE;
	/* Mostly within the first message. */
	if (manner->cut != CUT_NONE)
		manner->cut_at = (uint64_t)(rng_one_in(&client->rng, 2)
						    ? rng_between(&client->rng, 0, 250)
						    : rng_between(&client->rng, 0, 4000));
}

static void draw_trick(struct sim_client *client)
{
	struct manner *manner = &client->manner;
	manner->trick = roll(client, FAULT_client_smuggles)     ? TRICK_SMUGGLE
			: roll(client, FAULT_client_rset)       ? TRICK_RSET
			: roll(client, FAULT_client_early_body) ? TRICK_EARLY_BODY
								: TRICK_NONE;
	if (manner->trick == TRICK_NONE && roll(client, FAULT_client_over_size))
		manner->trick = rng_one_in(&client->rng, 2) ? TRICK_OVER_SIZE : TRICK_OVER_DECLARED;
	if (manner->trick == TRICK_NONE && roll(client, FAULT_client_bad_bdat))
		manner->trick = TRICK_BAD_BDAT;
	manner->prank = roll(client, FAULT_client_http)     ? PRANK_HTTP
			: roll(client, FAULT_client_floods) ? PRANK_FLOOD
							    : PRANK_NONE;
	/* Two of the kinds have a form that needs no message. */
	if (manner->prank == PRANK_NONE && rng_one_in(&client->rng, 4)) {
		if (manner->trick == TRICK_EARLY_BODY)
			manner->prank = PRANK_EARLY_MAIL;
		if (manner->trick == TRICK_BAD_BDAT)
			manner->prank = PRANK_BAD_BDAT;
	}
	if (manner->prank != PRANK_NONE)
		manner->trick = TRICK_NONE;
}

static void draw_manner(struct sim_client *client)
{
	struct manner *manner = &client->manner;
	*manner = (struct manner){
		.plain = world_is_calm(client->world),
		.quiet = is_quiet(client),
		.pipelines = roll(client, FAULT_client_pipelines),
		.bdat = roll(client, FAULT_client_bdat),
		.dribbles = roll(client, FAULT_client_dribbles),
		.slow_reader = roll(client, FAULT_client_slow_reader),
		.half_closes = roll(client, FAULT_client_half_closes),
		.lies_size = roll(client, FAULT_client_lies_size),
		.bad_command = roll(client, FAULT_client_bad_command),
		.bad_order = roll(client, FAULT_client_bad_order),
		.helo = rng_one_in(&client->rng, 12),
		.messages = (unsigned)rng_skewed(&client->rng, 1, 40),
	};
	manner->bdat_pipelined = manner->bdat && roll(client, FAULT_client_bdat_pipelined);
	if (roll(client, FAULT_client_impatient))
		manner->impatient = rng_between(&client->rng, 5 * SECOND, 30 * SECOND);
	draw_cut(client);
	draw_trick(client);
}

static void own_address(const struct sim_client *client, struct addr *addr_r)
{
	*addr_r = (struct addr){
		.family = ADDR_IP4,
		.port = (uint16_t)(1024 + client->sessions % 60000),
		.ip4 = {10, 2, (uint8_t)(client->set.number >> 8), (uint8_t)client->set.number},
	};
}

static void begin_session(struct sim_client *client)
{
	struct world *world = client->world;
	struct addr from;
	const struct addr *to =
		&client->set.listeners[rng_below(&client->rng, client->set.listener_count)];
	client->sessions++;
	draw_manner(client);
	client->stage = STAGE_GREETING;
	client->deal = (struct deal){0};
	client->pipelining = client->chunking = client->eightbit = client->has_size = false;
	client->finished = client->half_closed = client->loose = client->tried = false;
	client->needs_rset = false;
	client->messages = client->noises = client->step = 0;
	client->said = client->sent = 0;
	client->began = client->last_heard = client->last_sent = world->now;
	buf_reset(&client->in);
	own_address(client, &from);
	client_watch(client);
	client->end =
		wire_connect(client->set.net, to, &from, client->who, &client_wire_ops, client);
}

/* ---- between sessions ---- */

static void on_rest(void *arg)
{
	struct sim_client *client = arg;
	if (!client->end)
		begin_session(client);
	else if (client->loose)
		client_hang_up(client, false);
	else
		client_go(client);
}

/* When a message can be tried; NEVER: all are settled. */
int64_t client_next_try(const struct sim_client *client)
{
	int64_t next = NEVER;
	unsigned jobs = 0;
	for (unsigned i = 0; i < CLIENT_JOBS; i++) {
		const struct job *job = &client->job[i];
		jobs += job->mail != NULL;
		if (job->mail && !job->attempt && job->next_try < next)
			next = job->next_try;
	}
	return client->made < client->set.mails && jobs < CLIENT_JOBS ? 0 : next;
}

void client_rest(struct sim_client *client, int64_t until)
{
	world_set(client->world, &client->rest, until, on_rest, client);
}

static void come_back(struct sim_client *client)
{
	struct world *world = client->world;
	int64_t next = client_next_try(client), soon;
	if (next == NEVER)
		return;
	if (client->tried && !client->calm_failures)
		soon = world->now + rng_skewed(&client->rng, 10 * MSEC, 30 * SECOND);
	else
		soon = later(client);
	client_rest(client, next > soon ? next : soon);
}

/* ---- the outside ---- */

struct sim_client *sim_client_new(const struct sim_client_setup *setup)
{
	struct sim_client *client = mem_new(sizeof(*client));
	client->set = *setup;
	client->world = setup->world;
	client->stage = STAGE_LEAVING;
	world_rng(setup->world, &client->rng, "client", setup->number);
	snprintf(client->who, sizeof(client->who), "client %u", setup->number);
	if (setup->mails > 0)
		client_rest(client, setup->begin);
	return client;
}

void sim_client_free(struct sim_client **client)
{
	struct sim_client *old = *client;
	if (!old)
		return;
	if (old->end)
		wire_close(&old->end, true);
	world_unset(old->world, &old->pace);
	world_unset(old->world, &old->reader);
	world_unset(old->world, &old->patience);
	world_unset(old->world, &old->rest);
	buf_clear(&old->out);
	buf_clear(&old->in);
	buf_clear(&old->fake);
	free(old->ask);
	free(old);
	*client = NULL;
}

bool sim_client_done(const struct sim_client *client)
{
	return !client->end && client->settled == client->set.mails;
}

uint64_t sim_client_sessions(const struct sim_client *client)
{
	return client->sessions;
}

static long long seconds(const struct sim_client *client, int64_t since)
{
	return (long long)((client->world->now - since) / SECOND);
}

void sim_client_describe(const struct sim_client *client, struct buf *into)
{
	buf_addf(into, "%s: %u of %u messages settled; ", client->who, client->settled,
		client->set.mails);
	if (!client->end && client->rest.slot)
		buf_addf(into, "comes back in %lld s", -seconds(client, client->rest.due));
	else if (!client->end)
		buf_add_text(into, "has no session");
	else if (client->ask_head < client->asks)
		buf_addf(into, "waits since %lld s for the reply to %s%s",
			seconds(client, client->last_heard > client->last_sent ? client->last_heard
									       : client->last_sent),
			client_ask_name(client->ask[client->ask_head].kind),
			client->ask[client->ask_head].since == 0
				? ", which it has not sent in whole"
				: "");
	else if (client->stage == STAGE_LEAVING || client->half_closed)
		buf_addf(into, "waits since %lld s for the end of the connection",
			seconds(client, client->last_heard));
	else
		buf_addf(into, "idle since %lld s", seconds(client, client->last_heard));
}
