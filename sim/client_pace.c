/*
 * A client on the wire: octets go out at its pace, come in at its pace, and who keeps it waiting
 * for ever is found out.
 *
 * The surprise: a client that reads slowly still sends at once, and one that dribbles reads at
 * once; each is its own kind of strain.
 */
#include "sim/client_inside.h"

#include "sim/scene.h"

enum { STUCK = 25 /* minutes */ };

/* ---- asks ---- */

struct ask *client_expect(struct sim_client *client, enum ask_kind kind)
{
	if (client->asks == client->ask_room) {
		client->ask_room = client->ask_room ? client->ask_room * 2 : 16;
		client->ask = mem_grow(client->ask, client->ask_room, sizeof(struct ask));
	}
	client->ask[client->asks] = (struct ask){.kind = kind, .end = client->said};
	return &client->ask[client->asks++];
}

void client_drop_asks(struct sim_client *client)
{
	client->asks = client->ask_head = client->unsent = 0;
}

/* ---- sending ---- */

/* Called before the octets are given away: from then on they may have arrived. */
static void mark_sent(struct sim_client *client, uint64_t upto)
{
	while (client->unsent < client->asks && client->ask[client->unsent].end <= upto) {
		struct ask *ask = &client->ask[client->unsent++];
		ask->since = client->world->now;
		if (ask->kind == ASK_END)
			ledger_attempt_ended(
				client->set.ledger, ask->job->mail->number, ask->job->attempt);
	}
}

static void on_pace(void *arg)
{
	client_flush(arg);
}

static void cut(struct sim_client *client)
{
	if (client->manner.cut == CUT_STALL) {
		buf_reset(&client->out);
		client->out_at = 0;
	} else {
		client_hang_up(client, client->manner.cut == CUT_RESET);
	}
}

void client_flush(struct sim_client *client)
{
	struct manner *manner = &client->manner;
	size_t len = client->out.len - client->out_at;
	bool over = manner->cut != CUT_NONE && client->sent + len >= manner->cut_at;
	if (!client->end || client->stage == STAGE_LEAVING || client->pace.slot != 0)
		return;
	if (over)
		len = manner->cut_at > client->sent ? manner->cut_at - client->sent : 0;
	if (manner->dribbles && len > 1) {
		/* Far below every deadline, whatever the length. */
		if (client->out_at == 0)
			client->most = 1 + client->out.len / 60;
		size_t less = 1 + rng_below(&client->rng, client->most);
		over &= less >= len;
		len = less < len ? less : len;
	}
	mark_sent(client, client->sent + len);
	if (len > 0) {
		wire_send(client->end,
			(struct span){.at = client->out.at + client->out_at, .len = len});
		client->last_sent = client->world->now;
	}
	client->sent += len;
	client->out_at += len;
	if (over) {
		cut(client);
		return;
	}
	if (client->out_at == client->out.len) {
		buf_reset(&client->out);
		client->out_at = 0;
	} else {
		world_set(client->world, &client->pace,
			client->world->now + rng_between(&client->rng, 0, 300 * MSEC), on_pace,
			client);
	}
}

/* ---- patience ---- */

static void on_patience(void *arg)
{
	struct sim_client *client = arg;
	struct world *world = client->world;
	const struct scene *scene = world->scene;
	int64_t base =
		client->last_heard > client->last_sent ? client->last_heard : client->last_sent;
	int64_t stuck = STUCK * MINUTE;
	bool idle = client->stage == STAGE_READY && client->ask_head == client->asks;
	/* A stall of the network is nobody's fault, and there may be several. */
	if (scene->rate[FAULT_long_stall] > 0 && !client->manner.plain)
		stuck += 1 * HOUR;
	bool impatient = client->manner.impatient > 0 && client->manner.impatient < stuck;
	int64_t limit = impatient && !idle ? client->manner.impatient : stuck;
	if (base + limit > world->now) {
		world_set(world, &client->patience, base + limit, on_patience, client);
		return;
	}
	if (!impatient) {
		struct buf words = {0};
		sim_client_describe(client, &words);
		world_fail(world, "stuck", "%s", buf_string(&words));
		buf_clear(&words);
	}
	client_hang_up(client, false);
}

void client_watch(struct sim_client *client)
{
	world_set(
		client->world, &client->patience, client->world->now + SECOND, on_patience, client);
}

/* ---- what the wire tells ---- */

static void on_opened(void *arg)
{
	struct sim_client *client = arg;
	client_expect(client, ASK_BANNER);
	if (client->manner.prank == PRANK_HTTP && rng_one_in(&client->rng, 2))
		client_prank(client);
	client->last_heard = client->last_sent = client->world->now;
	client_flush(client);
}

static void on_failed(void *arg, int number)
{
	struct sim_client *client = arg;
	(void)number;
	client_session_over(client);
}

static void on_reader(void *arg);

static void listen_on(struct sim_client *client)
{
	uint64_t session = client->sessions;
	client_read(client);
	if (!client->end || client->sessions != session)
		return;
	if (client->finished && client->stage == STAGE_LEAVING) {
		client_hang_up(client, false);
		return;
	}
	client_go(client);
}

static void on_heard(void *arg)
{
	struct sim_client *client = arg;
	if (!client->manner.slow_reader)
		listen_on(client);
	else if (client->reader.slot == 0)
		world_set(client->world, &client->reader,
			client->world->now + rng_between(&client->rng, 10 * MSEC, 2 * SECOND),
			on_reader, client);
}

static void on_reader(void *arg)
{
	struct sim_client *client = arg;
	uint64_t session = client->sessions;
	listen_on(client);
	if (client->end && client->sessions == session && wire_heard(client->end).len > 0)
		on_heard(client);
}

/* A process that dies says nothing; its end may be heard late, in the calm. */
static bool may_die(const struct sim_client *client)
{
	const struct scene *scene = client->world->scene;
	const unsigned *rate = scene->rate;
	return !client->manner.quiet || scene->below != BELOW_NOTHING ||
	       rate[FAULT_kill_worker] + rate[FAULT_kill_control] + rate[FAULT_kill_at_point] > 0;
}

/* The other side has said all it will say. */
static void on_finished(void *arg)
{
	struct sim_client *client = arg;
	uint64_t session = client->sessions;
	client->finished = true;
	if (wire_heard(client->end).len > 0) {
		client->manner.slow_reader = false;
		world_unset(client->world, &client->reader);
		client_read(client);
		if (!client->end || client->sessions != session)
			return;
	}
	if (client->stage != STAGE_LEAVING && !client->loose && !client->half_closed &&
		client->manner.trick != TRICK_SMUGGLE && !may_die(client))
		world_fail(client->world, "silent-close", "%s: closed without a word", client->who);
	client_hang_up(client, false);
}

static void on_reset(void *arg)
{
	struct sim_client *client = arg;
	client_session_over(client);
}

const struct wire_ops client_wire_ops = {
	.opened = on_opened,
	.failed = on_failed,
	.heard = on_heard,
	.finished = on_finished,
	.reset = on_reset,
};
