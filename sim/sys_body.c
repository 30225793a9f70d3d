/*
 * The second body of sys: a process as the world sees it.
 *
 * sys_wait() never waits: it delivers what is there and notes `until`.  Whoever schedules gives a
 * process its next turn when sim_sys_runnable() says that it would do something.  What surprises:
 * work of a job, which runs in another thread in truth, runs inside sys_wait() here, so that a
 * process that is killed in it dies as it does elsewhere.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "sim/sys_inside.h"
#include "sim/trace.h"

/* Some day; the world's clocks differ by a fixed amount. */
#define WALL_BEGIN (INT64_C(1700000000) * SECOND)

void (*sim_sys_cut)(const char *call);

static struct sys *caller;

/* ---- calls ---- */

struct sim_heap *sim_enter(struct sys *sys, const char *call)
{
	caller = sys;
	if (sim_sys_cut && call)
		sim_sys_cut(call);
	struct sim_heap *was = sim_heap_current();
	if (sys)
		sim_heap_enter(sys->box->net->heap);
	return was;
}

void sim_leave(struct sim_heap *was, const char *call)
{
	sim_heap_enter(was);
	if (sim_sys_cut && call)
		sim_sys_cut(call);
}

struct sys *sim_caller(void)
{
	return caller;
}

bool sim_call_fails(struct sys *sys)
{
	sys->calls++;
	return sys->fail_at > 0 && --sys->fail_at == 0;
}

void sim_sys_fail_call(struct sys *sys, uint64_t n)
{
	sys->fail_at = n;
}

uint64_t sim_sys_calls(const struct sys *sys)
{
	return sys->calls;
}

/* ---- time, chance ---- */

int64_t sys_now(struct sys *sys)
{
	caller = sys;
	return sys->now;
}

int64_t sys_wall(struct sys *sys)
{
	return WALL_BEGIN + sys->now;
}

int64_t sys_clock(struct sys *sys)
{
	return sys->world->now;
}

void sys_random(struct sys *sys, void *bytes, size_t len)
{
	unsigned char *to = bytes;
	caller = sys;
	for (size_t i = 0; i < len; i++)
		to[i] = (unsigned char)rng_next(&sys->rng);
}

const char *sys_errno_text(int number)
{
	const char *text = strerrordesc_np(number);
	return text ? text : "Unknown error";
}

/* ---- when it runs ---- */

void sim_notify(struct sys *sys)
{
	if (sys->told || !sys->on_runnable)
		return;
	sys->told = true;
	sys->on_runnable(sys->on_runnable_arg);
}

static int64_t next_due(const struct sys *sys)
{
	int64_t outside = sim_outside_due(sys);
	return outside < sys->until ? outside : sys->until;
}

bool sim_sys_runnable(const struct sys *sys)
{
	const struct sys_sock *sock;
	if (sys->again || sys->woken || next_due(sys) <= sys->world->now)
		return true;
	TAILQ_FOREACH (sock, &sys->stirred, stirred_next) {
		if (sim_sock_ready(sock))
			return true;
	}
	/* Whoever was told otherwise, and finds this, must be told anew. */
	((struct sys *)sys)->told = false;
	return false;
}

int64_t sim_sys_due(const struct sys *sys)
{
	return sys->until;
}

void sim_sys_on_runnable(struct sys *sys, world_fn *fn, void *arg)
{
	sys->on_runnable = fn;
	sys->on_runnable_arg = arg;
}

static void alarm_rings(void *arg)
{
	sim_notify(arg);
}

void sim_alarm(struct sys *sys)
{
	int64_t due = next_due(sys);
	if (due == NEVER || sys->again)
		world_unset(sys->world, &sys->alarm);
	else if (sys->alarm.slot == 0 || sys->alarm.due != due)
		world_set(sys->world, &sys->alarm, due, alarm_rings, sys);
}

/* ---- the turn ---- */

int sys_wait(struct sys *sys, struct sys_event *event_r, int max, int64_t until, bool *woken_r)
{
	assert(max > 0);
	caller = sys;
	sys->now = sys->world->now;
	sys->told = false;
	*woken_r = sys->woken;
	sys->woken = false;
	/* In the process's own heap, since these are its own functions. */
	bool ran = sim_outside_turn(sys);

	struct sim_heap *was = sim_enter(sys, NULL);
	int count = sim_socks_events(sys, event_r, max);
	sys->until = until;
	sys->again = ran || *woken_r || count > 0 || until <= sys->now;
	sim_alarm(sys);
	sim_leave(was, NULL);
	return count;
}

bool sys_idle(const struct sys *sys)
{
	return sys->row < 0 && sim_outside_idle(sys);
}

void sys_wake(struct sys *sys, int row)
{
	struct sim_box *box = sys->box;
	assert(row >= 0 && row < (int)(sizeof(box->rows) / sizeof(box->rows[0])));
	struct sim_heap *was = sim_enter(sys, "wake");
	struct sys *other = box->rows[row];
	if (row == box->master_row && box->master_woken) {
		box->master_woken(box->master_arg);
	} else if (other) {
		other->woken = true;
		sim_notify(other);
	}
	sim_leave(was, "wake");
}

void sys_watch(struct sys *sys, int fd, sys_watch_fn *ready, void *arg)
{
	die("nothing of the simulated world has a descriptor to watch");
}

void sys_unwatch(struct sys *sys, int fd)
{
	die("nothing of the simulated world has a descriptor to watch");
}

bool sys_peer_is_ours(int fd)
{
	die("nothing of the simulated world has a descriptor to ask");
}

/* ---- a process's begin and end ---- */

struct sys *sim_sys_new(struct sim_box *box, int row)
{
	struct sim_heap *was = sim_heap_current();
	sim_heap_enter(box->net->heap);
	struct sys *sys = mem_new(sizeof(*sys));
	sys->box = box;
	sys->world = box->world;
	sys->row = row;
	sys->number = box->net->processes++;
	world_rng(box->world, &sys->rng, "process", sys->number);
	world_luck(box->world, &sys->luck, "luck", sys->number);
	sys->now = box->world->now;
	sys->until = NEVER;
	sys->again = true;
	LIST_INIT(&sys->socks);
	TAILQ_INIT(&sys->stirred);
	for (int i = 0; i < SYS_QUEUES; i++)
		TAILQ_INIT(&sys->jobs[i]);
	LIST_INIT(&sys->lookups);
	if (row >= 0)
		box->rows[row] = sys;
	caller = sys;
	sim_heap_enter(was);
	return sys;
}

void sim_sys_kill(struct sys **sysp)
{
	struct sys *sys = *sysp;
	struct sim_heap *was = sim_heap_current();
	*sysp = NULL;
	sim_heap_enter(sys->box->net->heap);
	sim_socks_close(sys);
	sim_outside_clear(sys);
	sim_files_let_go(sys->box->files, sys);
	world_unset(sys->world, &sys->alarm);
	if (sys->row >= 0 && sys->box->rows[sys->row] == sys)
		sys->box->rows[sys->row] = NULL;
	if (caller == sys)
		caller = NULL;
	free(sys);
	sim_heap_enter(was);
}

void sim_sys_free(struct sys **sysp)
{
	struct sys *sys = *sysp;
	unsigned files = sim_files_held(sys->box->files, sys);
	caller = sys;
	if (!LIST_EMPTY(&sys->socks))
		world_fail(sys->world, "left-behind", "process %u ends with %u sockets%s",
			sys->number, sys->sockets, sys->sockets == 0 ? " and a listener" : "");
	sim_outside_finish(sys);
	if (files > 0)
		world_fail(sys->world, "left-behind", "process %u ends with %u open files",
			sys->number, files);
	sim_sys_kill(sysp);
}
