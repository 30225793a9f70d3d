/*
 * The real body, part one: a process's window, its clock, and the turn on epoll.
 *
 * A socket is added to epoll once, edge-triggered, for everything it can tell, and never changed:
 * one system call in its life.  What surprises: the clock stands still between two sys_wait(),
 * so all that happens in a turn happens at one moment.
 */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "sys/real_private.h"

/* Descriptors beside sockets that a process may open later: files, the resolver, its threads. */
enum { DESCRIPTORS_KEPT = 64, EVENTS_MAX = 512 };

static int64_t clock_read(clockid_t clock)
{
	struct timespec ts;
	clock_gettime(clock, &ts);
	return ts.tv_sec * SECOND + ts.tv_nsec / 1000;
}

int64_t sys_now(struct sys *sys)
{
	return sys->now;
}

int64_t sys_wall(struct sys *sys)
{
	return sys->wall;
}

int64_t sys_clock(struct sys *sys)
{
	(void)sys;
	return clock_read(CLOCK_MONOTONIC);
}

static void clock_update(struct sys *sys)
{
	sys->now = clock_read(CLOCK_MONOTONIC);
	sys->wall = clock_read(CLOCK_REALTIME);
}

void sys_random(struct sys *sys, void *bytes, size_t len)
{
	(void)sys;
	char *to = bytes;
	while (len > 0) {
		ssize_t got = getrandom(to, len, 0);
		if (got < 0 && errno != EINTR)
			die("no random numbers: %s", sys_errno_text(errno));
		if (got > 0) {
			to += got;
			len -= (size_t)got;
		}
	}
}

const char *sys_errno_text(int number)
{
	const char *text = strerrordesc_np(number);
	return text ? text : "Unknown error";
}

/* ---- what epoll watches ---- */

void real_poll(struct sys *sys, struct real_item *item, unsigned epoll_events)
{
	struct epoll_event event = {.events = epoll_events, .data.ptr = item};
	if (epoll_ctl(sys->epoll, EPOLL_CTL_ADD, item->fd, &event) < 0)
		die("epoll can't watch descriptor %d: %s", item->fd, sys_errno_text(errno));
	LIST_INSERT_HEAD(&sys->items, item, next);
}

void real_bury(struct sys *sys, struct real_item *item)
{
	item->fd = -1;
	LIST_REMOVE(item, next);
	LIST_INSERT_HEAD(&sys->dead, item, next);
}

static void items_free(struct real_items *items)
{
	struct real_item *item;
	while ((item = LIST_FIRST(items))) {
		LIST_REMOVE(item, next);
		free(item);
	}
}

struct real_watch *real_watch_new(struct sys *sys, int fd, sys_watch_fn *ready, void *arg)
{
	struct real_watch *watch = mem_new(sizeof(*watch));
	*watch = (struct real_watch){
		.item = {.kind = REAL_WATCH, .fd = fd},
		.ready = ready,
		.arg = arg,
	};
	real_poll(sys, &watch->item, EPOLLIN);
	return watch;
}

void real_watch_free(struct sys *sys, struct real_watch *watch)
{
	/* Fails if the library has closed its descriptor before it told us; then it is gone anyway.
	 */
	epoll_ctl(sys->epoll, EPOLL_CTL_DEL, watch->item.fd, NULL);
	real_bury(sys, &watch->item);
}

void sys_watch(struct sys *sys, int fd, sys_watch_fn *ready, void *arg)
{
	real_watch_new(sys, fd, ready, arg);
	sys->watches++;
}

void sys_unwatch(struct sys *sys, int fd)
{
	struct real_item *item;
	LIST_FOREACH (item, &sys->items, next) {
		if (item->kind == REAL_WATCH && item->fd == fd) {
			real_watch_free(sys, (struct real_watch *)item);
			sys->watches--;
			return;
		}
	}
	assert(!"sys_unwatch() of a descriptor that is not watched");
}

bool sys_peer_is_ours(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0 || len != sizeof(peer))
		return false;
	return peer.uid == 0 || peer.uid == geteuid();
}

/* ---- wakes ---- */

static void wake_arrived(void *arg)
{
	struct sys *sys = arg;
	uint64_t count;
	/* Several wakes may be one read, and a signal may leave the count for the next turn. */
	if (read(sys->wakes[sys->setup.row], &count, sizeof(count)) > 0)
		sys->woken = true;
}

void sys_wake(struct sys *sys, int row)
{
	assert(row >= 0 && row < sys->setup.wake_count);
	uint64_t one = 1;
	/* Fails only if 2^64-2 wakes are unread, and then it is awake. */
	ssize_t ignored = write(sys->wakes[row], &one, sizeof(one));
	(void)ignored;
}

/* ---- the turn ---- */

/* epoll counts milliseconds: rounded up, since an early return would be a turn for nothing. */
static int timeout_msec(int64_t until)
{
	if (until == NEVER)
		return -1;
	int64_t left = until - clock_read(CLOCK_MONOTONIC);
	if (left <= 0)
		return 0;
	int64_t msec = (left - 1) / MSEC + 1;
	return msec > INT_MAX ? INT_MAX : (int)msec;
}

int sys_wait(struct sys *sys, struct sys_event *event_r, int max, int64_t until, bool *woken_r)
{
	struct epoll_event events[EVENTS_MAX];
	assert(max > 0);
	items_free(&sys->dead);
	sys->woken = false;
	if (real_names_due(sys) < until)
		until = real_names_due(sys);

	int wanted = max < EVENTS_MAX ? max : EVENTS_MAX;
	int got = epoll_wait(sys->epoll, events, wanted, timeout_msec(until));
	if (got < 0 && errno != EINTR)
		die("epoll_wait: %s", sys_errno_text(errno));
	clock_update(sys);

	/* Watches first: what their functions close must not be reported below. */
	for (int i = 0; i < got; i++) {
		struct real_watch *watch = events[i].data.ptr;
		if (watch->item.kind == REAL_WATCH && watch->item.fd >= 0)
			watch->ready(watch->arg);
	}
	real_names_turn(sys);
	int count = 0;
	for (int i = 0; i < got; i++) {
		struct sys_sock *sock = events[i].data.ptr;
		if (sock->item.kind == REAL_WATCH || sock->item.fd < 0)
			continue;
		event_r[count++] = (struct sys_event){
			.owner = sock->owner,
			.ready = real_sock_ready(sock, events[i].events),
		};
	}
	*woken_r = sys->woken;
	return count;
}

bool sys_idle(const struct sys *sys)
{
	return sys->watches == 0 && sys->jobs_open == 0 && sys->setup.row < 0 &&
	       real_names_idle(sys);
}

/* ---- a process's window ---- */

unsigned sys_sockets(const struct sys *sys)
{
	return sys->sockets;
}

unsigned sys_sockets_limit(const struct sys *sys)
{
	return sys->sockets_limit;
}

unsigned sys_real_raise_descriptors(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 0;
	if (limit.rlim_cur < limit.rlim_max) {
		struct rlimit raised = {.rlim_cur = limit.rlim_max, .rlim_max = limit.rlim_max};
		if (setrlimit(RLIMIT_NOFILE, &raised) == 0)
			limit = raised;
	}
	return limit.rlim_cur > UINT_MAX ? UINT_MAX : (unsigned)limit.rlim_cur;
}

static unsigned descriptors_open(void)
{
	unsigned count = 0;
	DIR *dir = opendir("/proc/self/fd");
	if (!dir)
		return DESCRIPTORS_KEPT;
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

static unsigned sockets_limit(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 1;
	unsigned all = limit.rlim_cur > UINT_MAX ? UINT_MAX : (unsigned)limit.rlim_cur;
	unsigned kept = descriptors_open() + DESCRIPTORS_KEPT;
	return all > kept ? all - kept : 1;
}

static int *ints_copy(const int *from, int count)
{
	int *copy = mem_grow(NULL, (size_t)count + 1, sizeof(*copy));
	for (int i = 0; i < count; i++)
		copy[i] = from[i];
	return copy;
}

struct sys *sys_real_new(const struct sys_real_setup *setup)
{
	struct sys *sys = mem_new(sizeof(*sys));
	sys->setup = *setup;
	sys->listeners = ints_copy(setup->listeners, setup->listener_count);
	sys->wakes = ints_copy(setup->wakes, setup->wake_count);
	sys->sockets_limit = sockets_limit();
	LIST_INIT(&sys->items);
	LIST_INIT(&sys->dead);
	sys->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (sys->epoll < 0)
		die("epoll_create1: %s", sys_errno_text(errno));
	clock_update(sys);
	real_jobs_init(sys);
	if (!setup->wakes)
		sys->setup.row = -1;
	if (sys->setup.row >= 0)
		real_watch_new(sys, sys->wakes[sys->setup.row], wake_arrived, sys);
	return sys;
}

void sys_real_free(struct sys **sysp)
{
	struct sys *sys = *sysp;
	*sysp = NULL;
	real_jobs_clear(sys);
	real_names_clear(sys);
	struct real_item *item;
	LIST_FOREACH (item, &sys->items, next) {
		if (item->kind == REAL_SOCK)
			close(item->fd);
	}
	items_free(&sys->items);
	items_free(&sys->dead);
	close(sys->epoll);
	free(sys->listeners);
	free(sys->wakes);
	free(sys);
}
