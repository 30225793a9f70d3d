/*
 * What the files of the wire share with each other and with the second body of sys.
 *
 *     pair ─┬─ end 0 (who connected) ── lane ──────► to end 1: its flights, its window
 *           └─ end 1 (who accepted)  ── lane ──────► to end 0
 *
 * A lane's numbers count octets since the beginning: eaten <= arrived <= sent, and the sender
 * knows of `acked` <= eaten; sent - acked is what the window bounds.
 *
 *     phase of a pair:  SYN ──► ANSWERED ──► OPEN        (refused: FAILED; no answer: SYN for ever)
 *                        '── the backlog is full: once more, later
 */
#ifndef SIM_WIRE_INSIDE_H
#define SIM_WIRE_INSIDE_H

#include <sys/queue.h>

#include "sim/wire.h"

enum { WIRE_BACKLOG = 512 };

/* ---- octets in a queue ---- */
struct wire_octets {
	struct buf buf;
	size_t at;
};
void wire_octets_add(struct wire_octets *octets, struct span bytes);
void wire_octets_eat(struct wire_octets *octets, size_t len);
void wire_octets_clear(struct wire_octets *octets);
static inline struct span wire_octets_span(const struct wire_octets *octets)
{
	return span_from(buf_span(&octets->buf), octets->at);
}
static inline size_t wire_octets_len(const struct wire_octets *octets)
{
	return octets->buf.len - octets->at;
}

/* ---- lanes: wire_lane.c ---- */

enum wire_load { WIRE_DATA, WIRE_FIN, WIRE_RESET };

struct wire_flight {
	int64_t due;
	size_t len;
	enum wire_load load;
};

struct wire_lane {
	struct wire_end *from, *to;
	struct rng rng; /* its luck, whatever other lanes do */
	uint64_t sent, arrived, eaten, acked;
	size_t window, low;     /* `low`: a blocked process hears of so much room */
	uint64_t narrow_before; /* until so many octets were sent the window is `narrow` */
	size_t narrow;
	uint64_t octets_before; /* until then they go one by one */
	bool segments, delays;
	uint64_t reset_at;        /* the network resets the connection at this octet */
	bool blocked;             /* the sender waits for room; of a process: it says so */
	struct wire_octets waits; /* of an actor: what the window doesn't let out */
	bool finish, finished;    /* FIN shall go behind what waits; it has gone */
	struct wire_octets flying;
	struct wire_flight *flights; /* [first ... count) */
	size_t first, count, room;
	int64_t last_due;
	int64_t opens; /* nothing arrives before the handshake's end */
	struct world_timer arrival, ack;
};

/* ---- ends and pairs: wire.c ---- */

enum wire_hold { WIRE_FREE, WIRE_OF_ACTOR, WIRE_OF_PROCESS, WIRE_QUEUED };

/* What happened to the end of a process. */
enum {
	WIRE_STIR_OPEN = 1,
	WIRE_STIR_DATA = 2,
	WIRE_STIR_FIN = 4,
	WIRE_STIR_RESET = 8,
	WIRE_STIR_ROOM = 16
};
typedef void wire_stir_fn(void *arg, unsigned what);

struct wire_end {
	struct wire_pair *pair;
	enum wire_hold hold; /* WIRE_FREE: closed by its owner */
	struct wire_lane lane;
	struct wire_octets inbox;
	bool fin_heard, reset_heard, reset_sent;
	char who[32];
	const struct wire_ops *ops;
	wire_stir_fn *stir; /* of a process, instead of ops */
	void *arg;
};

enum wire_phase { WIRE_SYN, WIRE_ANSWERED, WIRE_OPEN, WIRE_FAILED };

struct wire_pair {
	LIST_ENTRY(wire_pair) next;
	TAILQ_ENTRY(wire_pair) queued; /* while end 1 waits to be accepted */
	struct wire_net *net;
	struct wire_end end[2];
	struct addr client, server;
	enum wire_phase phase;
	struct world_timer shake; /* the handshake's next step */
	int64_t again;            /* how long until a SYN that was dropped is repeated */
	struct wire_listener *listener;
	int failure;  /* why it FAILED */
	bool severed; /* by the network */
	unsigned busy;
};

struct wire_way {
	uint64_t hosts; /* of the client and of the server */
	uint64_t connections;
};

struct wire_net {
	struct world *world;
	struct wire_way *ways; /* from whom to whom there were how many connections */
	size_t way_count;
	struct sim_heap *heap; /* of the world: where all this lives, whoever calls */
	LIST_HEAD(, wire_pair) pairs;
	LIST_HEAD(, wire_listener) listeners;
	uint16_t port;      /* the last one that was given to a connecting end */
	unsigned processes; /* so far; numbers them for their rng */
	struct buf scratch;
};

static inline struct wire_end *wire_peer(const struct wire_end *end)
{
	return &end->pair->end[end == &end->pair->end[0]];
}

/* 20 us to 2 ms. */
int64_t wire_latency(struct wire_lane *lane);
/* Free it if neither end has an owner. */
void wire_pair_reap(struct wire_pair *pair);
void wire_end_hears(struct wire_end *end, struct span bytes);
void wire_end_finished(struct wire_end *end);
void wire_end_reset(struct wire_end *end);
/* The connection is gone at once for this end, and soon for the other. */
void wire_sever_here(struct wire_end *end);
/* A process's end: room in the window, and sending at most so much. */
size_t wire_room(const struct wire_end *end);
bool wire_room_is_worth_it(const struct wire_end *end); /* for an event */
void wire_put(struct wire_end *end, struct span bytes);

void wire_lane_init(struct wire_lane *lane, struct wire_end *from, struct wire_end *to,
	uint64_t number); /* of the connection; its luck is drawn from that */
void wire_lane_clear(struct wire_lane *lane);
/* What the window lets out, and FIN behind it when it is time. */
void wire_lane_pump(struct wire_lane *lane);
/* A reset of `from`: what waits is lost, of what is in flight perhaps a part. */
void wire_lane_reset(struct wire_lane *lane);
/* `to` has eaten. */
void wire_lane_eaten(struct wire_lane *lane, size_t len);

/* ---- connecting and listening: wire_listen.c ---- */

/* Somebody who is offered what waits at a listener of the house. */
struct wire_poller {
	TAILQ_ENTRY(wire_poller) next;
	struct wire_listener *listener;
	bool offered;
	wire_stir_fn *stir;
	void *arg;
};

struct wire_listener {
	LIST_ENTRY(wire_listener) next;
	struct wire_net *net;
	struct addr at;
	const struct wire_server_ops *ops; /* NULL: of the house */
	void *arg;
	TAILQ_HEAD(, wire_pair) queue;
	unsigned waiting;
	TAILQ_HEAD(, wire_poller) pollers;
	unsigned poller_count;
};

struct wire_pair *wire_pair_new(
	struct wire_net *net, const struct addr *to, const struct addr *from);
struct wire_end *wire_process_connect(struct wire_net *net, const struct addr *to,
	const struct addr *from, wire_stir_fn *stir, void *arg);
void wire_poll(struct wire_poller *poller, struct wire_listener *listener);
void wire_unpoll(struct wire_poller *poller);
/* The poller has had its turn: somebody is offered what is still there. */
void wire_offer(struct wire_listener *listener);
/* NULL: nobody waits. */
struct wire_end *wire_process_accept(struct wire_listener *listener, wire_stir_fn *stir, void *arg);
void wire_queue_leave(struct wire_pair *pair);

#endif
