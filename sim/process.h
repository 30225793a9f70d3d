/*
 * A process of the product in the world: a `struct sys` of the second body, its heap, and its
 * turns.
 */
#ifndef SIM_PROCESS_H
#define SIM_PROCESS_H

#include <setjmp.h>

#include "sim/wire.h"
#include "sys/sys.h"

/* What the processes of a house share. */
struct sim_box {
	struct world *world;
	struct wire_net *net;
	struct wire_listener **listeners; /* by the index of sys_listener() */
	int listener_count;
	struct sys *rows[64];            /* who is woken by sys_wake(row); NULL: nobody */
	void (*master_woken)(void *arg); /* from inside sys_wake(): only to note it */
	void *master_arg;
	int master_row;
	unsigned descriptors; /* sockets that one process may hold */
	struct sim_files *files;
	struct sim_names *names;
};

/* A new process; it takes the row's wakes. */
struct sys *sim_sys_new(struct sim_box *box, int row);
/* An orderly end: fails the world if it still holds a socket, a job or a look-up. */
void sim_sys_free(struct sys **sys);
/* As the kernel does after SIGKILL: all sockets closed, everything of it forgotten. */
void sim_sys_kill(struct sys **sys);

/* Whether a turn would do something: an event, a wake, an answer, or its time has come. */
bool sim_sys_runnable(const struct sys *sys);
/* When it will, if nothing comes: what its last sys_wait() said.  NEVER is possible. */
int64_t sim_sys_due(const struct sys *sys);
/* Called when it becomes runnable between two turns, also because its time has come: once, until
 * its next sys_wait(), or until sim_sys_runnable() says no.  It may be called from inside a call
 * of this process or of another.  After a turn ask sim_sys_runnable(): of that it isn't told. */
void sim_sys_on_runnable(struct sys *sys, world_fn *fn, void *arg);

/* ---- faults from below: sys calls that fail ---- */
/* The n-th call that can fail (from 1) from now on fails; 0: none. */
void sim_sys_fail_call(struct sys *sys, uint64_t n);
/* Calls so far that could have failed. */
uint64_t sim_sys_calls(const struct sys *sys);
/* Called before and after each call that the world can see ("sendv"): a kill, by longjmp(), may
 * happen there.  All of it comes from inside a turn: the work of jobs, too. */
extern void (*sim_sys_cut)(const char *call);

/* ---- the heap of a process: heap.c ---- */
/*
 * malloc and its family are linked to these (ld --wrap), so that a process that dies leaves
 * nothing behind, one that ends well can be asked what it forgot, and any allocation can fail.
 */
struct sim_heap;
struct sim_heap *sim_heap_new(void);
void sim_heap_free(struct sim_heap **heap); /* with everything in it */
void sim_heap_enter(struct sim_heap *heap); /* NULL: the world's own */
struct sim_heap *sim_heap_current(void);
size_t sim_heap_bytes(const struct sim_heap *heap);
size_t sim_heap_blocks(const struct sim_heap *heap);
size_t sim_heap_peak(const struct sim_heap *heap);
uint64_t sim_heap_calls(const struct sim_heap *heap);
/* The n-th allocation from now on returns NULL; 0: none. */
void sim_heap_fail(struct sim_heap *heap, uint64_t n);

/*
 * ---- virtual files and names: outside.c ----
 * Only one set of files at a time.  What is written to "-" and "stderr" are files of these names.
 */
struct sim_files *sim_files_new(struct world *world);
void sim_files_free(struct sim_files **files);
void sim_files_put(struct sim_files *files, const char *path, struct span bytes);
struct span sim_files_get(const struct sim_files *files, const char *path);
void sim_files_full(struct sim_files *files, const char *path,
	bool full); /* no room left; of a directory: for all in it */
struct sim_names *sim_names_new(struct world *world);
void sim_names_free(struct sim_names **names);
void sim_names_put(
	struct sim_names *names, const char *name, const struct addr *addr, unsigned count);

#endif
