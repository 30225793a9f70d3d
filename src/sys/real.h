/*
 * What only `bin` and tests need of the real body: making a process's window on the world out of
 * descriptors that the master bound or made.
 */
#ifndef SYS_REAL_H
#define SYS_REAL_H

#include "sys/sys.h"

struct sys_real_setup {
	const int *listeners; /* bound, listening, non-blocking sockets; borrowed for the process's
				 life */
	int listener_count;
	const int *wakes; /* one eventfd per board row, shared by all processes; NULL: no wakes */
	int wake_count;
	int row;                /* whose wake is ours; -1: none */
	const char *hosts;      /* a hosts file; NULL: /etc/hosts */
	int64_t resolve_within; /* the longest that a name takes; 0: 10 s */
	const char *
		nameserver; /* "192.0.2.53" or "192.0.2.53@5353"; NULL: those of /etc/resolv.conf */
};

struct sys *sys_real_new(const struct sys_real_setup *setup) __attribute__((returns_nonnull));
/* Slow jobs that are under way or have yet to begin are finished first, and told so. */
void sys_real_free(struct sys **sys);

/* Bind and listen (TCP with SO_REUSEPORT, or a unix socket: a stale one is replaced, mode 0660).
 * Returns the descriptor, or -1 and words.  `port_r` may be NULL. */
int sys_real_listen(
	const struct addr *addr, bool reuse_port, uint16_t *port_r, struct err_text *text);
/* Raise RLIMIT_NOFILE as far as allowed; returns the limit. */
unsigned sys_real_raise_descriptors(void);

#endif
