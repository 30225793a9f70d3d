/*
 * What the files of the real body share.  Whatever epoll watches begins with a struct real_item,
 * so that the pointer in the event tells what it is:
 *
 *     epoll ──► real_item ─┬─ sys_sock    reported to the caller of sys_wait()
 *                          └─ sys_watch   its function is called inside sys_wait():
 *                                         libraries, our wake, finished jobs, the resolver
 *
 * An item that is closed while a batch of events may still name it stays on the list of the dead
 * until the next sys_wait() begins.
 */
#ifndef SYS_REAL_PRIVATE_H
#define SYS_REAL_PRIVATE_H

#include <pthread.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "sys/real.h"

enum real_kind { REAL_SOCK, REAL_LISTENER, REAL_WATCH };

struct real_item {
	enum real_kind kind;
	int fd; /* -1: dead */
	LIST_ENTRY(real_item) next;
};
LIST_HEAD(real_items, real_item);

struct sys_sock {
	struct real_item item;
	struct sys *sys;
	void *owner;
	bool connecting;   /* no event has told the end of connect() yet */
	struct addr local; /* of a listener; ADDR_NONE when bound to a wildcard */
};

struct real_watch {
	struct real_item item;
	sys_watch_fn *ready;
	void *arg;
};

struct real_job {
	STAILQ_ENTRY(real_job) next;
	sys_work_fn *work;
	sys_done_fn *done;
	void *arg;
};
STAILQ_HEAD(real_jobs, real_job);

/* One thread that works off its jobs in order. */
struct real_queue {
	struct sys *sys;
	pthread_t thread;
	bool started;
	pthread_cond_t more;
	struct real_jobs todo;
};

struct real_names; /* real_resolve.c */

struct sys {
	int epoll;
	int64_t now, wall;
	struct real_items items, dead;
	unsigned sockets, sockets_limit;
	unsigned watches; /* of others: ours are not counted */
	struct sys_real_setup setup;
	int *listeners, *wakes; /* copies of what setup borrowed */
	bool woken;

	/* real_job.c; `lock` guards the lists and `stop` */
	struct real_queue queues[SYS_QUEUES];
	struct real_jobs done;
	pthread_mutex_t lock;
	bool stop;
	unsigned jobs_open; /* not yet told to be done */
	int jobs_fd;        /* eventfd; -1: no job yet */

	struct real_names *names; /* NULL: nothing asked yet */
};

/* ---- real.c ---- */
void real_poll(struct sys *sys, struct real_item *item, unsigned epoll_events);
void real_bury(struct sys *sys, struct real_item *item); /* its descriptor is the caller's affair */
struct real_watch *real_watch_new(struct sys *sys, int fd, sys_watch_fn *ready, void *arg);
void real_watch_free(struct sys *sys, struct real_watch *watch);

/* ---- real_sock.c ---- */
unsigned real_sock_ready(struct sys_sock *sock, unsigned epoll_events);

/* ---- real_addr.c ---- */
/* Returns the length for bind() and connect(); 0 for ADDR_NONE. */
socklen_t real_addr_out(const struct addr *addr, struct sockaddr_storage *out_r);
void real_addr_in(const struct sockaddr_storage *in, socklen_t len, struct addr *addr_r);
void real_addr_ip4(const void *bytes, struct addr *addr_r);
void real_addr_ip6(const void *bytes, struct addr *addr_r);

/* ---- real_job.c ---- */
void real_jobs_init(struct sys *sys);
void real_jobs_clear(struct sys *sys);

/* ---- real_resolve.c ---- */
int64_t real_names_due(const struct sys *sys); /* when real_names_turn() has something to do */
void real_names_turn(struct sys *sys);         /* tells the answers */
bool real_names_idle(const struct sys *sys);
void real_names_clear(struct sys *sys);

#endif
