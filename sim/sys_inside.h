/*
 * What the files of the second body of sys share.
 *
 *     sys_body.c   a process: its turn, its clock, its wakes, its end
 *     sys_sock.c   its sockets
 *     outside.c    files, names, jobs
 *
 * Each call of the product begins with sim_enter() and ends with sim_leave(): in between memory
 * comes from the world's heap, so that the network survives a process that dies.
 */
#ifndef SIM_SYS_INSIDE_H
#define SIM_SYS_INSIDE_H

#include "sim/process.h"
#include "sim/wire_inside.h"

struct sys_sock {
	LIST_ENTRY(sys_sock) next;
	TAILQ_ENTRY(sys_sock) stirred_next;
	bool stirred; /* on the process's list: an event may be due */
	struct sys *sys;
	void *owner;
	struct wire_end *end;      /* NULL: a listener */
	struct wire_poller poller; /* of a listener */
	unsigned wants;            /* what a call has said IO_AGAIN to */
	unsigned edge;             /* what is told whether wanted or not: FIN, reset, connected */
	unsigned stray;            /* what nobody promised; it changes nothing of the above */
	bool connecting;           /* no event has told the end of connecting yet */
	bool shut;
	int failure; /* told once, by the next call, as with SO_ERROR */
};
LIST_HEAD(sim_socks, sys_sock);
TAILQ_HEAD(sim_stirred, sys_sock);

struct sim_job {
	TAILQ_ENTRY(sim_job) next;
	sys_work_fn *work; /* NULL: has run */
	sys_done_fn *done;
	void *arg;
	int64_t due; /* of its work, then of `done` */
};
TAILQ_HEAD(sim_jobs, sim_job);

struct sim_lookup {
	LIST_ENTRY(sim_lookup) next;
	sys_answer_fn *answered;
	void *arg;
	int64_t due;
	struct sys_answer answer;
};

struct sys {
	struct sim_box *box;
	struct world *world;
	int row;
	unsigned number;
	struct rng rng;  /* sys_random() */
	struct rng luck; /* what it meets: events, short writes, slow work */
	int64_t now, until;
	bool again; /* the last sys_wait() returned something */
	bool woken;
	struct sim_socks socks;
	struct sim_stirred stirred;
	unsigned sockets;
	struct sim_jobs jobs[SYS_QUEUES];
	LIST_HEAD(, sim_lookup) lookups;
	struct world_timer alarm; /* the nearest of what is due */
	world_fn *on_runnable;
	void *on_runnable_arg;
	bool told; /* on_runnable was called since the last sys_wait() */
	uint64_t calls, fail_at;
};

/* ---- sys_body.c ---- */
struct sim_heap *sim_enter(struct sys *sys, const char *call);
void sim_leave(struct sim_heap *was, const char *call);
/* Files have no process in their calls: the one that called last, or NULL. */
struct sys *sim_caller(void);
/* One more call that can fail: whether this is the one to fail. */
bool sim_call_fails(struct sys *sys);
void sim_notify(struct sys *sys);
void sim_alarm(struct sys *sys); /* something that is due was added */

/* ---- sys_sock.c ---- */
unsigned sim_sock_ready(const struct sys_sock *sock);
/* At most `max`, in random order. */
int sim_socks_events(struct sys *sys, struct sys_event *event_r, int max);
void sim_socks_close(struct sys *sys);

/* ---- outside.c ---- */
int64_t sim_outside_due(const struct sys *sys);
/* Runs what is due; true: there was something. */
bool sim_outside_turn(struct sys *sys);
bool sim_outside_idle(const struct sys *sys);
/* An orderly end: jobs are finished and told so, as sys_real_free() does; look-ups are dropped by
 * clear. */
void sim_outside_finish(struct sys *sys);
void sim_outside_clear(struct sys *sys);
unsigned sim_files_held(struct sim_files *files, const struct sys *sys);
void sim_files_let_go(struct sim_files *files, const struct sys *sys);

#endif
