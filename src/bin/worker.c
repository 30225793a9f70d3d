/*
 * A worker: the assembly, and its tick.
 *
 * The tick is the truth, wakes only hurry it: it beats, obeys, and looks after those who wait.
 * It comes every 20 ms while somebody waits for a place or the worker is on its way in or out,
 * else five times a second, since an idle machine should sleep.
 */
#include "bin/worker.h"

#include <stdlib.h>

#include "bin/process_numbers.h"
#include "bin/settings.h"
#include "bin/share.h"
#include "bin/silence.h"
#include "net/net.h"
#include "pool/pool.h"
#include "relay/relay.h"

#define TICK_BUSY (20 * MSEC)
#define TICK_IDLE (200 * MSEC)
/* How long a new generation waits for control to look up the servers' names before it listens. */
#define NAMES_WAIT (2 * SECOND)
/* How long connections to servers may take to QUIT when all sessions have ended. */
#define QUIT_WAIT (5 * SECOND)

/* A listening socket that one of our listeners is for. */
struct worker_listener {
	struct worker *worker;
	const char *name; /* the listener block's */
	int index;
	bool ours; /* by the sharing rule; else only while nobody serves it */
	struct net_listener *listener;
};

struct worker {
	struct worker_setup setup;
	struct net_loop *loop;
	struct pools *pools;
	struct relay *relay;
	struct worker_listener *listeners;
	unsigned listener_count;
	struct net_timer tick;
	int64_t current_since; /* when our generation was seen to be the current one; 0: not yet */
	int64_t quit_since;    /* when the last session had ended while draining; 0: not yet */
	int *pool_columns;     /* of our config's pools */
	unsigned pool_count;
	uint64_t turns;
	struct silence master;
	bool listening, draining, leaving;
};

static void accepted(
	void *arg, struct sys_sock *sock, const struct addr *peer, const struct addr *local)
{
	struct worker_listener *listener = arg;
	relay_accept(listener->worker->relay, listener->name, sock, peer, local);
}

/* ---- listening ---- */

static bool uncovered(const struct worker *worker, const struct worker_listener *listener)
{
	unsigned number = worker->setup.sockets[listener->index].number;
	return board_uncovered_mask(worker->setup.board) & (UINT64_C(1) << number % 64);
}

static void listen_as_needed(struct worker *worker)
{
	for (unsigned i = 0; i < worker->listener_count; i++) {
		struct worker_listener *listener = &worker->listeners[i];
		bool wanted = worker->listening && (listener->ours || uncovered(worker, listener));
		if (wanted && !listener->listener)
			listener->listener =
				net_listen(worker->loop, listener->index, accepted, listener);
		else if (!wanted && listener->listener)
			net_listener_close(&listener->listener);
	}
}

/* Servers by host name have no address until control has looked them up. */
static bool names_known(const struct board *board)
{
	struct addr addr[BOARD_ADDRESSES];
	for (int column = 0; column < board_columns(board); column++) {
		if (board_column_kind(board, column) != BOARD_SERVER ||
			board_column_name(board, column)[0] == '\0')
			continue;
		if (board_addresses_of(board, column, addr) == 0 &&
			board_verdict(board, column).reason != REASON_NO_ADDRESS)
			return false;
	}
	return true;
}

static void listen_when_due(struct worker *worker)
{
	const struct worker_setup *setup = &worker->setup;
	int64_t now = net_now(worker->loop);
	if (board_generation(setup->board) < setup->generation)
		return;
	if (worker->current_since == 0)
		worker->current_since = now;
	if (names_known(setup->board) || now - worker->current_since >= NAMES_WAIT)
		worker->listening = true;
}

/* ---- orders ---- */

void worker_drain(struct worker *worker)
{
	if (worker->draining)
		return;
	worker->draining = true;
	worker->listening = false;
	listen_as_needed(worker);
	relay_drain(worker->relay,
		net_now(worker->loop) + bin_settings_of(worker->setup.conf)->drain_timeout);
}

static void obey(struct worker *worker)
{
	switch (board_row_ordered(worker->setup.board, worker->setup.row)) {
	case ORDER_RUN:
		break;
	case ORDER_DRAIN:
		worker_drain(worker);
		break;
	case ORDER_STOP:
		worker->leaving = true;
		break;
	}
}

static void watch_master(struct worker *worker)
{
	const struct worker_setup *setup = &worker->setup;
	int64_t beat = board_beat_of(setup->board, setup->master_row);
	if (silence_of(&worker->master, beat, net_now(worker->loop)) >= SILENCE_DEADLY)
		worker_drain(worker);
}

static void go_on_draining(struct worker *worker)
{
	int64_t now = net_now(worker->loop);
	if (!worker->draining || relay_sessions(worker->relay) > 0)
		return;
	if (worker->quit_since == 0) {
		worker->quit_since = now;
		pools_drain(worker->pools);
	}
	if (pools_open(worker->pools) == 0 || now - worker->quit_since >= QUIT_WAIT)
		worker->leaving = true;
}

/* ---- the tick ---- */

static bool somebody_waits(const struct board *board)
{
	for (int column = 0; column < board_columns(board); column++) {
		if (board_column_kind(board, column) == BOARD_POOL &&
			board_waiting(board, column, NULL) >= 0)
			return true;
	}
	return false;
}

static int64_t pace(const struct worker *worker)
{
	bool on_its_way = worker->draining || (!worker->listening && worker->current_since != 0);
	return on_its_way || somebody_waits(worker->setup.board) ? TICK_BUSY : TICK_IDLE;
}

/* Somebody of ours began to wait in this turn: the tick must be the quick one from now on.  Asked
 * after every turn, so it looks at own cells only; for others' sake we are woken. */
static void hurry(struct worker *worker)
{
	const struct worker_setup *setup = &worker->setup;
	int64_t due = net_now(worker->loop) + TICK_BUSY;
	bool wanted = worker->draining;
	if (worker->tick.due <= due)
		return;
	for (unsigned i = 0; i < worker->pool_count && !wanted; i++)
		wanted = board_cell(setup->board, setup->row, worker->pool_columns[i],
				 M_POOL_waiting) > 0;
	if (wanted)
		net_timer_set(worker->loop, &worker->tick, due);
}

static void look_around(struct worker *worker)
{
	const struct worker_setup *setup = &worker->setup;
	obey(worker);
	if (!worker->listening && !worker->draining)
		listen_when_due(worker);
	listen_as_needed(worker);
	pools_tick(worker->pools);
	go_on_draining(worker);
	board_beat(setup->board, setup->row, net_now(worker->loop));
}

static void tick(void *arg)
{
	struct worker *worker = arg;
	watch_master(worker);
	look_around(worker);
	process_numbers_put(worker->setup.board, worker->setup.row, worker->loop, &worker->turns);
	net_timer_set(worker->loop, &worker->tick, net_now(worker->loop) + pace(worker));
}

static void woken(void *arg)
{
	look_around(arg);
}

bool worker_turn(struct worker *worker)
{
	worker->turns++;
	if (!net_turn(worker->loop) || worker->leaving)
		return false;
	hurry(worker);
	return true;
}

/* ---- assembly ---- */

static void listener_add(struct worker *worker, const char *name, int index)
{
	const struct worker_setup *setup = &worker->setup;
	const struct worker_socket *socket = &setup->sockets[index];
	worker->listeners[worker->listener_count++] = (struct worker_listener){
		.worker = worker,
		.name = name,
		.index = index,
		.ours = share_serves(setup->index, setup->workers, socket->lane, socket->lanes),
	};
}

/* The sockets of addresses that our config doesn't name belong to an older generation. */
static void listeners_add(struct worker *worker)
{
	const struct worker_setup *setup = &worker->setup;
	worker->listeners = mem_new(sizeof(*worker->listeners) * ((size_t)setup->socket_count + 1));
	CONF_EACH(block, conf_root(setup->conf), "listener")
	{
		const struct conf_addrs *bind = bind_addrs_of(block);
		for (size_t i = 0; i < bind->count; i++) {
			for (int s = 0; s < setup->socket_count; s++) {
				if (addr_eq(&setup->sockets[s].wanted, &bind->at[i]))
					listener_add(worker, block->name, s);
			}
		}
	}
}

static void pools_note(struct worker *worker)
{
	const struct conf_block *root = conf_root(worker->setup.conf);
	worker->pool_columns = mem_new(sizeof(int) * (conf_count(root, "pool") + 1));
	CONF_EACH(pool, root, "pool")
	worker->pool_columns[worker->pool_count++] =
		pool_column(pools_find(worker->pools, pool->name));
}

struct worker *worker_new(const struct worker_setup *setup)
{
	struct worker *worker = mem_new(sizeof(*worker));
	uint64_t seeds[2];
	sys_random(setup->sys, seeds, sizeof(seeds));
	worker->setup = *setup;
	worker->loop = net_loop_new(setup->sys);
	worker->pools = pools_new(
		&(struct pool_world){
			.loop = worker->loop,
			.board = setup->board,
			.row = setup->row,
			.hostname = setup->hostname,
			.seed = seeds[0],
		},
		setup->conf);
	worker->relay = relay_new(&(struct relay_world){
		.loop = worker->loop,
		.board = setup->board,
		.row = setup->row,
		.conf = setup->conf,
		.pools = worker->pools,
		.hostname = setup->hostname,
		.seed = seeds[1],
	});
	pools_note(worker);
	listeners_add(worker);
	net_on_wake(worker->loop, woken, worker);
	net_timer_init(&worker->tick, tick, worker);
	net_timer_set(worker->loop, &worker->tick, net_now(worker->loop));
	board_ready(setup->board, setup->row, true);
	sys_wake(setup->sys, setup->master_row);
	return worker;
}

void worker_free(struct worker **workerp)
{
	struct worker *worker = *workerp;
	*workerp = NULL;
	worker->listening = false;
	listen_as_needed(worker);
	net_timer_clear(worker->loop, &worker->tick);
	relay_free(&worker->relay);
	pools_free(&worker->pools);
	net_loop_free(&worker->loop);
	free(worker->pool_columns);
	free(worker->listeners);
	free(worker);
}
