/*
 * The wire and the second body of sys, tried at random: naive speakers at both ends, who read and
 * write only when an event tells them to, so that an event that is lost leaves them standing.
 *
 * Each talk is two streams of octets, made from a number; whoever hears checks each octet.
 */
#include <errno.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "sim/process.h"
#include "sim/scene.h"
#include "sim/world.h"

enum { TALKS = 12, PROCESSES = 3, ROOM = 4096 };

struct town;
struct talk;

/* One end of a talk. */
struct speaker {
	struct town *town;
	uint64_t number;     /* makes its octets */
	uint64_t hears_from; /* the other's number */
	size_t len, said, hears_len, heard;
	bool finished, over, broken; /* said FIN; the other's FIN or a reset came; a reset */
	bool lazy;                   /* eats a little at a time */
	bool wants_read, wants_write;
	struct wire_end *end;  /* of an actor */
	struct sys_sock *sock; /* of a process */
	struct process *process;
	bool connecting;
	struct world_timer eat;
};

struct process {
	struct town *town;
	struct sys *sys;
	struct sim_heap *heap;
	struct world_timer turn;
	struct sys_sock *listener;
	bool closed_listener;
};

struct town {
	struct scene scene;
	struct world world;
	struct sim_box box;
	struct rng rng;
	struct wire_listener *house, *outside;
	struct process process[PROCESSES];
	struct speaker speaker[TALKS * 2];
	uint64_t hash;
	unsigned expected; /* talks whose server's side is still to come */
	bool strict;       /* no fault that gives events nobody promised */
};

static const struct addr house_at = {.family = ADDR_IP4, .port = 25, .ip4 = {10, 0, 0, 1}};
static const struct addr outside_at = {.family = ADDR_IP4, .port = 25, .ip4 = {10, 0, 1, 1}};

/* ---- what is said ---- */

static char octet(uint64_t number, size_t at)
{
	uint64_t mixed = (number * 1000003 + at / 8) * UINT64_C(0x9e3779b97f4a7c15);
	mixed ^= mixed >> 29;
	return (char)(mixed >> at % 8 * 8);
}

static size_t make_octets(const struct speaker *speaker, char *bytes, size_t room)
{
	size_t len = 0;
	while (len < room && speaker->said + len < speaker->len) {
		bytes[len] = octet(speaker->number, speaker->said + len);
		len++;
	}
	return len;
}

static void note(struct town *town, uint64_t what)
{
	town->hash = (town->hash ^ what ^ (uint64_t)town->world.now) * UINT64_C(0x100000001b3);
	town->hash ^= town->hash >> 31;
}

static void take(struct speaker *speaker, struct span bytes)
{
	for (size_t i = 0; i < bytes.len; i++)
		assert_int_equal(bytes.at[i], octet(speaker->hears_from, speaker->heard + i));
	speaker->heard += bytes.len;
	assert_true(speaker->heard <= speaker->hears_len);
	note(speaker->town, speaker->number << 32 | bytes.len);
}

static void ended(struct speaker *speaker, bool broken)
{
	speaker->over = true;
	speaker->broken |= broken;
	if (!speaker->broken)
		assert_int_equal(speaker->heard, speaker->hears_len);
	note(speaker->town, speaker->number << 8 | broken);
}

/* ---- actors ---- */

static void actor_done(struct speaker *speaker)
{
	if (speaker->finished && speaker->over && speaker->end &&
		wire_heard(speaker->end).len == 0) {
		if (!speaker->broken)
			assert_int_equal(speaker->heard, speaker->hears_len);
		wire_close(&speaker->end, false);
	}
}

static void actor_say(struct speaker *speaker)
{
	char bytes[ROOM];
	struct rng *rng = &speaker->town->rng;
	while (speaker->said < speaker->len) {
		size_t len = make_octets(speaker, bytes, 1 + (size_t)rng_below(rng, ROOM));
		wire_send(speaker->end, (struct span){bytes, len});
		speaker->said += len;
	}
	wire_finish(speaker->end);
	speaker->finished = true;
}

static void actor_eats(void *arg)
{
	struct speaker *speaker = arg;
	struct rng *rng = &speaker->town->rng;
	if (!speaker->end)
		return;
	struct span bytes = wire_heard(speaker->end);
	if (speaker->lazy && bytes.len > 0)
		bytes.len = 1 + (size_t)rng_below(rng, bytes.len);
	take(speaker, bytes);
	wire_eat(speaker->end, bytes.len);
	if (wire_heard(speaker->end).len > 0)
		world_set(&speaker->town->world, &speaker->eat,
			speaker->town->world.now + rng_between(rng, 0, SECOND), actor_eats,
			speaker);
	actor_done(speaker);
}

static void actor_heard(void *arg)
{
	struct speaker *speaker = arg;
	if (speaker->lazy && speaker->eat.slot == 0)
		world_set(&speaker->town->world, &speaker->eat, speaker->town->world.now + SECOND,
			actor_eats, speaker);
	else if (!speaker->lazy)
		actor_eats(speaker);
}

static void actor_opened(void *arg)
{
	actor_say(arg);
}

static void actor_finished(void *arg)
{
	struct speaker *speaker = arg;
	speaker->over = true;
	actor_done(speaker);
}

static void actor_reset(void *arg)
{
	struct speaker *speaker = arg;
	speaker->end = NULL;
	speaker->finished = true;
	ended(speaker, true);
}

static void actor_failed(void *arg, int number)
{
	assert_int_equal(number, ECONNREFUSED);
	actor_reset(arg);
}

static const struct wire_ops actor_ops = {
	.opened = actor_opened,
	.failed = actor_failed,
	.heard = actor_heard,
	.finished = actor_finished,
	.reset = actor_reset,
};

/* The speaker that was called says who it is by its port. */
static struct speaker *speaker_for(struct town *town, const struct addr *peer)
{
	town->expected--;
	return &town->speaker[(peer->port - 40000) * 2 + 1];
}

static void actor_accepted(void *arg, struct wire_end *end, const struct addr *peer)
{
	struct speaker *speaker = speaker_for(arg, peer);
	wire_own(end, "server", &actor_ops, speaker);
	speaker->end = end;
	actor_say(speaker);
}

static const struct wire_server_ops outside_ops = {.accepted = actor_accepted};

/* ---- processes ---- */

static void process_done(struct speaker *speaker)
{
	if (speaker->finished && speaker->over && speaker->sock)
		sys_close(&speaker->sock, false);
}

static void process_says(struct speaker *speaker)
{
	char bytes[ROOM];
	while (speaker->sock && speaker->said < speaker->len) {
		size_t room = 1 + (size_t)rng_below(&speaker->town->rng, ROOM), sent = 0;
		int number = 0;
		size_t len = make_octets(speaker, bytes, room);
		struct iovec iov[2] = {{bytes, len / 2}, {bytes + len / 2, len - len / 2}};
		enum io io = sys_sendv(speaker->sock, iov, 2, &sent, &number);
		if (io == IO_FAILED) {
			assert_true(number == ECONNRESET || number == EPIPE);
			speaker->finished = true;
			ended(speaker, true);
			process_done(speaker);
			return;
		}
		speaker->said += io == IO_OK ? sent : 0;
		if (io == IO_AGAIN || sent < len) {
			speaker->wants_write = true;
			return;
		}
	}
	if (speaker->sock && !speaker->finished) {
		speaker->finished = true;
		sys_shutdown(speaker->sock);
		process_done(speaker);
	}
}

/* Like net: after a hangup, which is told once, to the very end. */
static void process_hears(struct speaker *speaker, bool hung)
{
	char bytes[ROOM];
	while (speaker->sock && !speaker->over) {
		size_t room = 1 + (size_t)rng_below(&speaker->town->rng, ROOM), got = 0;
		int number = 0;
		switch (sys_recv(speaker->sock, bytes, room, &got, &number)) {
		case IO_OK:
			take(speaker, (struct span){bytes, got});
			if (got < room && !hung) {
				speaker->wants_read = true;
				return;
			}
			break;
		case IO_AGAIN:
			speaker->wants_read = true;
			return;
		case IO_EOF:
			ended(speaker, false);
			break;
		case IO_FAILED:
			assert_true(number == ECONNRESET || number == EPIPE);
			speaker->finished = true;
			ended(speaker, true);
			break;
		}
	}
	process_done(speaker);
}

static void process_accepts(struct process *process)
{
	struct sys_sock *sock;
	struct addr peer, local;
	int number;
	enum io io;
	while ((io = sys_accept(process->listener, process, &sock, &peer, &local, &number)) ==
		IO_OK) {
		struct speaker *speaker = speaker_for(process->town, &peer);
		assert_true(addr_eq(&local, &house_at));
		speaker->sock = sock;
		speaker->process = process;
		speaker->wants_read = speaker->wants_write = true;
		sys_sock_own(sock, speaker);
	}
	assert_true(io == IO_AGAIN || number == EMFILE || number == ECONNABORTED);
}

static bool process_connected(struct speaker *speaker)
{
	int number = 0;
	enum io io = sys_connected(speaker->sock, &number);
	if (io == IO_AGAIN)
		return false;
	speaker->connecting = false;
	if (io == IO_OK)
		return true;
	speaker->finished = true;
	ended(speaker, true);
	process_done(speaker);
	return false;
}

static void process_event(struct speaker *speaker, unsigned ready)
{
	struct town *town = speaker->town;
	assert_non_null(speaker->sock); /* no event after the close */
	assert_true(ready != 0);
	if (speaker->connecting) {
		if (!(ready & SYS_WRITE) || !process_connected(speaker))
			return;
		speaker->wants_read = speaker->wants_write = true;
	}
	if (town->strict && !(ready & SYS_HANGUP)) {
		assert_true(!(ready & SYS_READ) || speaker->wants_read);
		assert_true(!(ready & SYS_WRITE) || speaker->wants_write);
	}
	if (ready & SYS_WRITE) {
		speaker->wants_write = false;
		process_says(speaker);
	}
	if (speaker->sock && (ready & SYS_READ)) {
		speaker->wants_read = false;
		process_hears(speaker, ready & SYS_HANGUP);
	}
}

static void process_turn(void *arg);

static void process_soon(void *arg)
{
	struct process *process = arg;
	struct world *world = &process->town->world;
	if (process->turn.slot == 0)
		world_set(world, &process->turn, world->now + rng_between(&world->rng, 0, MSEC),
			process_turn, process);
}

static void process_turn(void *arg)
{
	struct process *process = arg;
	struct sys_event events[5];
	bool woken;
	if (!sim_sys_runnable(process->sys))
		return;
	struct sim_heap *was = sim_heap_current();
	sim_heap_enter(process->heap);
	int count = sys_wait(process->sys, events, 5, NEVER, &woken);
	note(process->town, (uint64_t)count);
	for (int i = 0; i < count; i++) {
		if (events[i].owner == process)
			process_accepts(process);
		else
			process_event(events[i].owner, events[i].ready);
	}
	sim_heap_enter(was);
	if (sim_sys_runnable(process->sys))
		process_soon(process);
}

/* ---- a town ---- */

static void process_calls(struct town *town, struct speaker *speaker, const struct addr *to)
{
	int number = 0;
	struct sys_endpoint endpoint = {.to = *to};
	endpoint.from = (struct addr){.family = ADDR_IP4, .ip4 = {10, 0, 0, 9}};
	endpoint.from.port = (uint16_t)(40000 + (speaker - town->speaker) / 2);
	speaker->process = &town->process[rng_below(&town->rng, PROCESSES)];
	speaker->connecting = true;
	struct sim_heap *was = sim_heap_current();
	sim_heap_enter(speaker->process->heap);
	if (sys_open(speaker->process->sys, &endpoint, speaker, &speaker->sock, &number) != IO_OK) {
		assert_int_equal(number, EMFILE);
		speaker->finished = speaker->over = speaker->broken = true;
	}
	sim_heap_enter(was);
}

static void talk_begins(struct town *town, unsigned talk)
{
	struct rng *rng = &town->rng;
	struct speaker *caller = &town->speaker[talk * 2], *called = caller + 1;
	for (int i = 0; i < 2; i++) {
		struct speaker *speaker = i == 0 ? caller : called;
		speaker->town = town;
		speaker->number = talk * 2 + (unsigned)i;
		speaker->hears_from = speaker->number ^ 1;
		speaker->len = (size_t)rng_skewed(rng, 1, 300 * 1000) - 1;
		speaker->lazy = rng_one_in(rng, 4);
	}
	caller->hears_len = called->len;
	called->hears_len = caller->len;
	const struct addr *to = rng_one_in(rng, 2) ? &house_at : &outside_at;
	struct addr from = {.family = ADDR_IP4, .ip4 = {10, 1, 0, 1}};
	from.port = (uint16_t)(40000 + talk);
	town->expected++;
	if (rng_one_in(rng, 2))
		process_calls(town, caller, to);
	else
		caller->end = wire_connect(town->box.net, to, &from, "client", &actor_ops, caller);
}

static void town_open(struct town *town, uint64_t seed, bool resets, bool strays)
{
	*town = (struct town){.scene = {.seed = seed, .calm_after = 365 * 24 * HOUR}};
	struct rng rates;
	rng_seed(&rates, seed ^ 77);
	for (int i = 0; i < FAULTS; i++)
		town->scene.rate[i] = rng_one_in(&rates, 2) ? (unsigned)rng_below(&rates, 3000) : 0;
	town->scene.rate[FAULT_long_stall] /= 100;
	town->scene.rate[FAULT_no_descriptors] = 0;
	if (!resets)
		town->scene.rate[FAULT_network_reset] = 0;
	if (!strays)
		town->scene.rate[FAULT_spurious] = 0;
	town->strict = !strays;
	world_init(&town->world, &town->scene, NULL);
	world_rng(&town->world, &town->rng, "town", 0);
	town->box.world = &town->world;
	town->box.net = wire_net_new(&town->world);
	town->box.descriptors = 1000;
	town->house = wire_listen(town->box.net, &house_at, NULL, NULL);
	town->outside = wire_listen(town->box.net, &outside_at, &outside_ops, town);
	town->box.listeners = &town->house;
	town->box.listener_count = 1;
	for (int i = 0; i < PROCESSES; i++) {
		struct process *process = &town->process[i];
		process->town = town;
		process->heap = sim_heap_new();
		process->sys = sim_sys_new(&town->box, i);
		sim_sys_on_runnable(process->sys, process_soon, process);
		process->listener = sys_listener(process->sys, 0, process);
		process_soon(process);
	}
}

static void town_close(struct town *town)
{
	for (int i = 0; i < PROCESSES; i++) {
		if (town->process[i].listener)
			sys_close(&town->process[i].listener, false);
		if (town->process[i].sys)
			sim_sys_free(&town->process[i].sys);
		assert_int_equal(sim_heap_blocks(town->process[i].heap), 0);
		sim_heap_free(&town->process[i].heap);
	}
	assert_false(town->world.failed);
	wire_unlisten(&town->house);
	wire_unlisten(&town->outside);
	wire_net_free(&town->box.net);
	world_clear(&town->world);
}

/* Until nothing is to come: everybody must have said and heard all, or of a reset. */
static void town_run(struct town *town)
{
	while (world_step(&town->world))
		assert_true(town->world.steps < 3000000);
	for (unsigned i = 0; i < TALKS * 2; i++) {
		struct speaker *speaker = &town->speaker[i];
		if (speaker->end || speaker->sock)
			fail_msg("seed %lu: speaker %u stands: said %zu of %zu, heard %zu of %zu",
				(unsigned long)town->world.seed, i, speaker->said, speaker->len,
				speaker->heard, speaker->hears_len);
	}
	assert_int_equal(wire_ends_open(town->box.net), 0);
}

static uint64_t town_hash(uint64_t seed, bool resets, bool strays)
{
	struct sim_heap *own = sim_heap_new();
	static struct town town;
	sim_heap_enter(own);
	town_open(&town, seed, resets, strays);
	for (unsigned talk = 0; talk < TALKS; talk++)
		talk_begins(&town, talk);
	sim_heap_enter(own);
	town_run(&town);
	if (!resets)
		assert_int_equal(town.expected, 0);
	for (unsigned i = 0; i < TALKS * 2; i++)
		assert_true(resets || !town.speaker[i].broken);
	town_close(&town);
	assert_int_equal(sim_heap_blocks(own), 0);
	sim_heap_enter(NULL);
	sim_heap_free(&own);
	return town.hash;
}

/* ---- tests at random ---- */

static void test_all_arrives(void **state)
{
	for (uint64_t seed = 1; seed <= 60; seed++)
		town_hash(seed, false, false);
}

static void test_strays_do_no_harm(void **state)
{
	for (uint64_t seed = 101; seed <= 130; seed++)
		town_hash(seed, false, true);
}

static void test_resets_end_talks(void **state)
{
	for (uint64_t seed = 201; seed <= 260; seed++)
		town_hash(seed, true, seed % 2);
}

static void test_same_seed_same_world(void **state)
{
	for (uint64_t seed = 301; seed <= 310; seed++) {
		uint64_t hash = town_hash(seed, true, true);
		assert_int_equal(hash, town_hash(seed, true, true));
		assert_int_not_equal(hash, town_hash(seed + 1, true, true));
	}
}

/* ---- one thing at a time ---- */

/* An honest town without talks. */
static struct town *quiet(void)
{
	static struct town town;
	town_open(&town, 7, false, false);
	for (int i = 0; i < FAULTS; i++)
		town.scene.rate[i] = 0;
	return &town;
}

/* The process has no turns but those that the test gives it. */
static struct sys *by_hand(struct town *town, int i)
{
	world_unset(&town->world, &town->process[i].turn);
	sim_sys_on_runnable(town->process[i].sys, NULL, NULL);
	return town->process[i].sys;
}

static void settle(struct town *town)
{
	while (world_step(&town->world))
		assert_true(town->world.steps < 100000);
}

/* A process's socket, connected to an actor's end. */
static struct sys_sock *connected(struct town *town, struct speaker *caller)
{
	struct sys_endpoint endpoint = {.to = outside_at};
	endpoint.from = (struct addr){.family = ADDR_IP4, .port = 40000, .ip4 = {10, 0, 0, 9}};
	int number;
	caller->town = caller[1].town = town;
	caller[1].hears_from = caller->number;
	caller[1].hears_len = caller->len;
	assert_int_equal(
		sys_open(town->process[0].sys, &endpoint, caller, &caller->sock, &number), IO_OK);
	return caller->sock;
}

static void test_nobody_listens(void **state)
{
	struct town *town = quiet();
	struct speaker *caller = &town->speaker[0];
	struct sys_event event;
	bool woken;
	int number;
	wire_unlisten(&town->outside);
	by_hand(town, 0);
	connected(town, caller);
	assert_int_equal(wire_open_to(town->box.net, &outside_at), 1);
	assert_int_equal(sys_connected(caller->sock, &number), IO_AGAIN);
	settle(town);
	assert_int_equal(sys_wait(town->process[0].sys, &event, 1, NEVER, &woken), 1);
	assert_ptr_equal(event.owner, caller);
	assert_int_equal(event.ready, SYS_READ | SYS_WRITE | SYS_HANGUP);
	assert_int_equal(sys_connected(caller->sock, &number), IO_FAILED);
	assert_int_equal(number, ECONNREFUSED);
	sys_close(&caller->sock, false);
	assert_int_equal(wire_ends_open(town->box.net), 0);
	town_close(town);
}

static enum wire_answer says_nothing(void *arg)
{
	return WIRE_SILENT;
}

static void test_silence(void **state)
{
	static const struct wire_server_ops ops = {.asked = says_nothing};
	struct town *town = quiet();
	struct speaker *caller = &town->speaker[0];
	int number;
	wire_unlisten(&town->outside);
	town->outside = wire_listen(town->box.net, &outside_at, &ops, NULL);
	by_hand(town, 0);
	connected(town, caller);
	settle(town);
	assert_int_equal(sys_connected(caller->sock, &number), IO_AGAIN);
	assert_int_equal(wire_ends_open(town->box.net), 1);
	sys_close(&caller->sock, false);
	assert_int_equal(wire_ends_open(town->box.net), 0);
	town_close(town);
}

static unsigned resets_heard;

static void count_reset(void *arg)
{
	resets_heard++;
}

static void test_queue_is_reset(void **state)
{
	static const struct wire_ops ops = {.reset = count_reset};
	struct town *town = quiet();
	const struct addr from = {.family = ADDR_IP4, .ip4 = {10, 1, 0, 1}};
	for (int i = 0; i < PROCESSES; i++)
		by_hand(town, i);
	settle(town);
	resets_heard = 0;
	for (int i = 0; i < 3; i++)
		wire_connect(town->box.net, &house_at, &from, "client", &ops, NULL);
	settle(town);
	assert_int_equal(wire_ends_open(town->box.net), 6);
	assert_int_equal(resets_heard, 0);
	wire_unlisten(&town->house);
	settle(town);
	assert_int_equal(resets_heard, 3);
	assert_int_equal(wire_ends_open(town->box.net), 0);
	town_close(town);
}

/* One process is offered what waits; another takes over when it is killed. */
static void test_offers(void **state)
{
	static const struct wire_ops ops = {0};
	struct town *town = quiet();
	struct sys_event event;
	const struct addr from = {.family = ADDR_IP4, .ip4 = {10, 1, 0, 1}};
	bool woken;
	int left = PROCESSES;
	for (int i = 0; i < PROCESSES; i++) {
		struct sys *sys = by_hand(town, i);
		assert_int_equal(sys_wait(sys, &event, 1, NEVER, &woken), 0);
		assert_false(sim_sys_runnable(sys));
	}
	struct wire_end *end = wire_connect(town->box.net, &house_at, &from, "client", &ops, NULL);
	settle(town);
	while (left > 0) {
		int offered = 0, chosen = -1;
		for (int i = 0; i < PROCESSES; i++) {
			struct process *process = &town->process[i];
			if (process->sys && sim_sys_runnable(process->sys)) {
				offered++;
				chosen = i;
			}
		}
		assert_int_equal(offered, 1);
		town->process[chosen].listener = NULL;
		sim_sys_kill(&town->process[chosen].sys);
		left--;
	}
	wire_close(&end, false);
	settle(town);
	town_close(town);
}

/* What a kernel does for a process that was killed: FIN, or a reset when something is unread. */
static void test_kill(void **state)
{
	for (unsigned unread = 0; unread < 2; unread++) {
		struct town *town = quiet();
		struct speaker *caller = &town->speaker[0];
		by_hand(town, 0);
		caller[1].len = unread * 5;
		connected(town, caller);
		settle(town);
		assert_non_null(caller[1].end);
		town->process[0].listener = NULL;
		sim_sys_kill(&town->process[0].sys);
		settle(town);
		assert_true(caller[1].over);
		assert_int_equal(caller[1].broken, unread);
		assert_int_equal(wire_ends_open(town->box.net), 0);
		town_close(town);
	}
}

static struct wire_end *held;

static void hold(void *arg, struct wire_end *end, const struct addr *peer)
{
	static const struct wire_ops ops = {.reset = count_reset};
	wire_own(end, "server", &ops, NULL);
	held = end;
}

/* Who sends to an end that was closed hears a reset. */
static void test_nobody_is_there(void **state)
{
	static const struct wire_server_ops ops = {.accepted = hold};
	struct town *town = quiet();
	struct speaker *caller = &town->speaker[0];
	wire_unlisten(&town->outside);
	town->outside = wire_listen(town->box.net, &outside_at, &ops, NULL);
	by_hand(town, 0);
	connected(town, caller);
	settle(town);
	sys_close(&caller->sock, false);
	settle(town);
	assert_int_equal(wire_ends_open(town->box.net), 1);
	resets_heard = 0;
	wire_send(held, SPAN("221 bye"));
	assert_int_equal(wire_unsent(held), 7);
	settle(town);
	assert_int_equal(resets_heard, 1);
	assert_int_equal(wire_ends_open(town->box.net), 0);
	town_close(town);
}

static unsigned opened;

static void count_opened(void *arg)
{
	opened++;
}

static void test_full_queue(void **state)
{
	static const struct wire_ops ops = {.opened = count_opened};
	static struct wire_end *end[513];
	const struct addr from = {.family = ADDR_IP4, .ip4 = {10, 1, 0, 1}};
	struct town *town = quiet();
	struct sys_sock *sock;
	struct addr peer, local;
	int number;
	for (int i = 0; i < PROCESSES; i++)
		by_hand(town, i);
	opened = 0;
	for (int i = 0; i < 513; i++)
		end[i] = wire_connect(town->box.net, &house_at, &from, "client", &ops, NULL);
	while (town->world.now < WORLD_EPOCH + MINUTE)
		assert_true(world_step(&town->world));
	assert_int_equal(opened, 512);
	assert_int_equal(
		sys_accept(town->process[0].listener, town, &sock, &peer, &local, &number), IO_OK);
	settle(town);
	assert_int_equal(opened, 513);
	for (int i = 0; i < 513; i++)
		wire_close(&end[i], true);
	sys_close(&sock, false);
	while (sys_accept(town->process[0].listener, town, &sock, &peer, &local, &number) == IO_OK)
		sys_close(&sock, false);
	settle(town);
	assert_int_equal(wire_ends_open(town->box.net), 0);
	town_close(town);
}

static void test_left_behind(void **state)
{
	struct town *town = quiet();
	sim_sys_free(&town->process[0].sys);
	town->process[0].listener = NULL;
	assert_true(town->world.failed);
	assert_string_equal(town->world.check, "left-behind");
	town->world.failed = false;
	town_close(town);
}

/* Each call of a talk fails once, in turn: the talk ends, at both ends. */
static void test_calls_fail(void **state)
{
	for (uint64_t n = 1;; n++) {
		struct town *town = quiet();
		struct speaker *caller = &town->speaker[0];
		sim_sys_fail_call(town->process[0].sys, n);
		caller[0].len = caller[1].len = caller[0].hears_len = 30000;
		caller[0].number = caller[1].hears_from = 8;
		caller[1].number = caller[0].hears_from = 9;
		caller->connecting = true;
		struct sys_endpoint endpoint = {.to = outside_at};
		endpoint.from =
			(struct addr){.family = ADDR_IP4, .port = 40000, .ip4 = {10, 0, 0, 9}};
		int number;
		caller->town = caller[1].town = town;
		caller[1].hears_len = caller->len;
		enum io io =
			sys_open(town->process[0].sys, &endpoint, caller, &caller->sock, &number);
		assert_int_equal(io, n == 1 ? IO_FAILED : IO_OK);
		settle(town);
		assert_int_equal(wire_ends_open(town->box.net), 0);
		bool failed = sim_sys_calls(town->process[0].sys) >= n;
		assert_true(n == 1 || caller->broken == failed);
		town_close(town);
		if (!failed)
			break;
	}
}

/* ---- what is outside ---- */

struct errand {
	unsigned worked, done, answers;
	struct sys_answer answer;
	int file;
};

static void errand_work(void *arg)
{
	struct errand *errand = arg;
	errand->worked++;
	assert_int_equal(errand->done + 1, errand->worked);
	assert_int_equal(sys_file_append(errand->file, SPAN("line\n")), ERR_OK);
}

static void errand_done(void *arg)
{
	((struct errand *)arg)->done++;
}

static void errand_answered(void *arg, const struct sys_answer *answer)
{
	struct errand *errand = arg;
	errand->answers++;
	errand->answer = *answer;
}

static void turns(struct town *town)
{
	struct sys_event event;
	bool woken;
	do {
		while (sim_sys_runnable(town->process[0].sys))
			sys_wait(town->process[0].sys, &event, 1, NEVER, &woken);
	} while (world_step(&town->world));
}

static void test_jobs_and_names(void **state)
{
	struct town *town = quiet();
	struct sys *sys = by_hand(town, 0);
	struct errand errand = {0};
	const struct addr addr = {.family = ADDR_IP4, .port = 25, .ip4 = {10, 0, 1, 1}};
	struct err_text text;
	town->box.files = sim_files_new(&town->world);
	town->box.names = sim_names_new(&town->world);
	sim_names_put(town->box.names, "a.sim", &addr, 1);
	sim_files_put(town->box.files, "/log", SPAN("torn"));
	errand.file = sys_file_append_open("/log", &text);
	assert_true(errand.file > 2);
	for (int i = 0; i < 3; i++)
		sys_job(sys, SYS_QUEUE_LOG, errand_work, errand_done, &errand);
	assert_int_equal(errand.worked, 0);
	turns(town);
	assert_int_equal(errand.done, 3);
	assert_true(span_is(sim_files_get(town->box.files, "/log"), "torn\nline\nline\nline\n"));
	sim_files_full(town->box.files, "/log", true);
	assert_int_equal(sys_file_append(errand.file, SPAN("more\n")), ERR_FULL);
	sys_file_close(errand.file);
	sys_resolve(sys, "a.sim", errand_answered, &errand);
	turns(town);
	assert_int_equal(errand.answers, 1);
	assert_int_equal(errand.answer.err, ERR_OK);
	assert_int_equal(errand.answer.addr[0].ip4[2], 1);
	assert_int_equal(errand.answer.addr[0].port, 0);
	sys_resolve(sys, "b.sim", errand_answered, &errand);
	turns(town);
	assert_int_equal(errand.answer.err, ERR_MISSING);
	sim_files_free(&town->box.files);
	sim_names_free(&town->box.names);
	town_close(town);
}

/* An orderly end waits for what is under way; a kill forgets it. */
static void test_jobs_at_the_end(void **state)
{
	for (unsigned killed = 0; killed < 2; killed++) {
		struct town *town = quiet();
		struct process *process = &town->process[0];
		struct sys *sys = by_hand(town, 0);
		struct errand errand = {0};
		struct err_text text;
		town->box.files = sim_files_new(&town->world);
		sys_now(sys); /* the caller of what follows */
		errand.file = sys_file_append_open("/log", &text);
		for (int i = 0; i < 2; i++)
			sys_job(sys, SYS_QUEUE_LOG, errand_work, errand_done, &errand);
		sys_resolve(sys, "a.sim", errand_answered, &errand);
		if (killed) {
			process->listener = NULL;
			sim_sys_kill(&process->sys);
		} else {
			sys_close(&process->listener, false);
			sim_sys_free(&process->sys);
			/* Its file it should have closed after that. */
			assert_true(town->world.failed);
			town->world.failed = false;
		}
		assert_int_equal(errand.done, killed ? 0 : 2);
		assert_int_equal(errand.answers, 0);
		assert_int_equal(sim_files_get(town->box.files, "/log").len, killed ? 0 : 10);
		settle(town);
		sim_files_free(&town->box.files);
		town_close(town);
	}
}

static void test_files(void **state)
{
	struct town *town = quiet();
	struct buf read = {0};
	struct err_text text;
	town->box.files = sim_files_new(&town->world);
	assert_int_equal(sys_file_read("/state", 100, &read, &text), ERR_MISSING);
	assert_int_equal(sys_file_replace("/state", SPAN("first"), 0640, &text), ERR_OK);
	assert_int_equal(sys_file_replace("/state", SPAN("second"), 0640, &text), ERR_OK);
	assert_int_equal(sys_file_read("/state", 5, &read, &text), ERR_RANGE);
	assert_int_equal(sys_file_read("/state", 6, &read, &text), ERR_OK);
	assert_true(span_is(buf_span(&read), "second"));
	sim_files_full(town->box.files, "/state", true);
	assert_int_equal(sys_file_replace("/state", SPAN("x"), 0640, &text), ERR_FULL);
	assert_true(span_is(sim_files_get(town->box.files, "/state"), "second"));
	assert_int_equal(sys_file_replace("/state/in", SPAN("x"), 0640, &text), ERR_FULL);
	assert_int_equal(sys_file_replace("/states", SPAN("x"), 0640, &text), ERR_OK);
	buf_clear(&read);
	sim_files_free(&town->box.files);
	town_close(town);
}

static void test_wakes_and_time(void **state)
{
	struct town *town = quiet();
	struct sys *one = by_hand(town, 0), *two = by_hand(town, 1);
	struct sys_event event;
	bool woken;
	assert_int_equal(sys_wait(two, &event, 1, NEVER, &woken), 0);
	assert_false(sim_sys_runnable(two));
	sys_wake(one, 1);
	assert_true(sim_sys_runnable(two));
	sys_wait(two, &event, 1, town->world.now + SECOND, &woken);
	assert_true(woken);
	assert_true(sim_sys_runnable(two)); /* it was told something: a turn more */
	sys_wait(two, &event, 1, town->world.now + SECOND, &woken);
	assert_false(woken);
	assert_false(sim_sys_runnable(two));
	int64_t due = sim_sys_due(two);
	assert_int_equal(due, town->world.now + SECOND);
	while (!sim_sys_runnable(two))
		assert_true(world_step(&town->world));
	assert_int_equal(town->world.now, due);
	town_close(town);
}

/* ---- heaps ---- */

/* Compilers leave out an allocation that nobody uses, unless they can't see that it is one. */
static void *(*volatile get)(size_t size) = malloc;
static char *(*volatile copy)(const char *string) = strdup;

static void test_heap(void **state)
{
	struct sim_heap *heap = sim_heap_new();
	char *others = copy("not in the heap");
	sim_heap_enter(heap);
	char *kept = get(100);
	char *given = copy("given");
	assert_int_equal(sim_heap_blocks(heap), 2);
	assert_int_equal(sim_heap_bytes(heap), 106);
	assert_int_equal((uintptr_t)kept % 16, 0);
	char *more = realloc(kept, 1000);
	assert_non_null(more);
	assert_int_equal(sim_heap_bytes(heap), 1006);
	void *aligned = NULL;
	assert_int_equal(posix_memalign(&aligned, 4096, 10), 0);
	assert_int_equal((uintptr_t)aligned % 4096, 0);
	free(others);
	assert_int_equal(sim_heap_blocks(heap), 3);
	sim_heap_fail(heap, 2);
	void *one = get(1), *two = get(1), *three = get(1);
	assert_true(one && !two && three);
	sim_heap_enter(NULL);
	free(given); /* it knows where it is from */
	free(one);
	free(three);
	free(aligned);
	assert_int_equal(sim_heap_blocks(heap), 1);
	assert_true(sim_heap_peak(heap) >= 1016);
	sim_heap_free(&heap); /* with `more` */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_heap),
		cmocka_unit_test(test_nobody_listens),
		cmocka_unit_test(test_silence),
		cmocka_unit_test(test_queue_is_reset),
		cmocka_unit_test(test_offers),
		cmocka_unit_test(test_kill),
		cmocka_unit_test(test_nobody_is_there),
		cmocka_unit_test(test_full_queue),
		cmocka_unit_test(test_left_behind),
		cmocka_unit_test(test_calls_fail),
		cmocka_unit_test(test_jobs_and_names),
		cmocka_unit_test(test_jobs_at_the_end),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_wakes_and_time),
		cmocka_unit_test(test_all_arrives),
		cmocka_unit_test(test_strays_do_no_harm),
		cmocka_unit_test(test_resets_end_talks),
		cmocka_unit_test(test_same_seed_same_world),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
