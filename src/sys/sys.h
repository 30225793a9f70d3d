/*
 * The border to the world.  Sockets, clock, files, randomness, names, slow jobs and wakes from
 * other processes pass through here and nowhere else, so that this header can have two bodies,
 * chosen at link time: the real one (sys/real), and a simulated world.
 *
 * A `struct sys` is one process.  Nothing here has policy.  Nothing blocks but sys_wait() and,
 * where it says so, files.  All calls come from one thread; work functions of jobs run elsewhere
 * and may use only what they were given.
 *
 * Readiness is edge-triggered: after IO_AGAIN from a call, or fewer bytes moved than it had room
 * for, one event comes when the call is worth making again.  A new socket counts as one whose
 * calls have all said IO_AGAIN.  It must have an owner by the next sys_wait().
 */
#ifndef SYS_SYS_H
#define SYS_SYS_H

#include <sys/uio.h>

#include "base/addr.h"
#include "base/bytes.h"
#include "base/when.h"

struct sys;
struct sys_sock;

enum io { IO_OK, IO_AGAIN, IO_EOF, IO_FAILED };

/* ---- time, chance ---- */
int64_t sys_now(struct sys *sys);   /* monotonic; constant between two sys_wait() */
int64_t sys_wall(struct sys *sys);  /* microseconds since 1970; constant likewise */
int64_t sys_clock(struct sys *sys); /* monotonic, read afresh: for measuring within a turn */
void sys_random(struct sys *sys, void *bytes, size_t len); /* good enough for keys */

/* ---- the turn ---- */
enum { SYS_READ = 1, SYS_WRITE = 2, SYS_HANGUP = 4 };
struct sys_event {
	void *owner;    /* what sys_sock_own() was told */
	unsigned ready; /* SYS_READ: data, a connection to accept, or the peer's FIN;
			   SYS_HANGUP: the peer has closed at least its half (RDHUP) */
};
/* Wait until an event, a wake, or `until` (NEVER allowed).  Before it returns it has called the
 * functions of finished jobs, answers of the resolver, and watches.  Returns the number of
 * events.  *woken_r: somebody called sys_wake() for this process. */
int sys_wait(struct sys *sys, struct sys_event *event_r, int max, int64_t until, bool *woken_r);
/* No job, answer, watch or wake of another process can ever end a sys_wait(). */
bool sys_idle(const struct sys *sys);
/* Wake the process that holds this row (its sys_wait returns).  Never fails, never blocks. */
void sys_wake(struct sys *sys, int row);

/* ---- sockets ---- */
struct sys_endpoint {
	struct addr to;
	struct addr from; /* ADDR_NONE: the kernel chooses */
};
/* Begin to connect.  IO_OK: *sock_r is connecting (or connected); a SYS_WRITE event tells when
 * sys_connected() is worth asking.  IO_FAILED: *errno_r says why. */
enum io sys_open(struct sys *sys, const struct sys_endpoint *endpoint, void *owner,
	struct sys_sock **sock_r, int *errno_r);
enum io sys_connected(struct sys_sock *sock, int *errno_r); /* IO_OK, IO_AGAIN, IO_FAILED */
/* A listening socket that the master bound; `index` counts over all of the process's sockets.
 * It is level-triggered: an event each turn while a connection waits.  NULL: no such index. */
struct sys_sock *sys_listener(struct sys *sys, int index, void *owner);
enum io sys_accept(struct sys_sock *listener, void *owner, struct sys_sock **sock_r,
	struct addr *peer_r, struct addr *local_r, int *errno_r);
void sys_sock_own(struct sys_sock *sock, void *owner);
enum io sys_recv(struct sys_sock *sock, void *bytes, size_t room, size_t *got_r, int *errno_r);
enum io sys_sendv(
	struct sys_sock *sock, const struct iovec *iov, int count, size_t *sent_r, int *errno_r);
void sys_shutdown(struct sys_sock *sock); /* our half; what was sent is still delivered */
/* Sets *sock to NULL.  `reset` sends RST instead of FIN.  No event of it comes after. */
void sys_close(struct sys_sock **sock, bool reset);
const char *sys_errno_text(int number);            /* "Connection refused" */
unsigned sys_sockets(const struct sys *sys);       /* open ones of this process */
unsigned sys_sockets_limit(const struct sys *sys); /* how many it may hold */

/* ---- files: blocking; at the start of a process, or inside a job ---- */
/* The whole file, at most `max` bytes. */
enum err sys_file_read(
	const char *path, size_t max, struct buf *into, struct err_text *text) MUST_USE;
/* Replace the file as one step (temporary file beside it, fsync, rename). */
enum err sys_file_replace(
	const char *path, struct span bytes, unsigned mode, struct err_text *text) MUST_USE;
/* Append whole lines and keep open; a torn last line of before is ended first.
 * The result: handle >= 0, or -1 with *text.  "-" is standard output, "stderr" the other. */
int sys_file_append_open(const char *path, struct err_text *text);
/* All of it, or nothing and an error (a part, if it isn't a file but a pipe that broke). */
enum err sys_file_append(int handle, struct span bytes) MUST_USE;
void sys_file_close(int handle);
bool sys_file_is_terminal(int handle);

/* ---- slow work ---- */
/* Jobs of one queue run one after another, off the loop; `done` is called in a later sys_wait(). */
enum sys_queue { SYS_QUEUE_LOG, SYS_QUEUE_STATE, SYS_QUEUES };
typedef void sys_work_fn(void *arg);
typedef void sys_done_fn(void *arg);
void sys_job(
	struct sys *sys, enum sys_queue queue, sys_work_fn *work, sys_done_fn *done, void *arg);

/* ---- names ---- */
struct sys_answer {
	enum err
		err; /* ERR_OK, ERR_MISSING (no such name or no address), ERR_TIMEOUT, ERR_BROKEN */
	int64_t ttl; /* microseconds */
	unsigned count;
	struct addr addr[16]; /* without port */
};
typedef void sys_answer_fn(void *arg, const struct sys_answer *answer);
/* Look up A and AAAA (in that order in the answer; /etc/hosts counts).  Calls back in a later
 * sys_wait(), never inside this call. */
void sys_resolve(struct sys *sys, const char *name, sys_answer_fn *answered, void *arg);

/* ---- a library that owns its descriptors (libmicrohttpd) ---- */
typedef void sys_watch_fn(void *arg);
void sys_watch(struct sys *sys, int fd, sys_watch_fn *ready, void *arg); /* level-triggered, read */
void sys_unwatch(struct sys *sys, int fd);
/* Whether the other end of a connected unix socket is root or runs as our own user (SO_PEERCRED).
 */
bool sys_peer_is_ours(int fd);

#endif
