/*
 * A board in real shared memory, for the board's tests.
 */
#ifndef TEST_BOARD_HELP_H
#define TEST_BOARD_HELP_H

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "board/board.h"

struct shared_board {
	int fd;
	void *map;
	struct board *board;
};

static inline void shared_board_open(struct shared_board *shared)
{
	shared->fd = memfd_create("board", MFD_CLOEXEC);
	assert_true(shared->fd >= 0);
	assert_int_equal(ftruncate(shared->fd, (off_t)board_size()), 0);
	shared->map = mmap(NULL, board_size(), PROT_READ | PROT_WRITE, MAP_SHARED, shared->fd, 0);
	assert_true(shared->map != MAP_FAILED);
	assert_int_equal(board_attach(shared->map, &shared->board, NULL), ERR_OK);
}

static inline void shared_board_close(struct shared_board *shared)
{
	munmap(shared->map, board_size());
	close(shared->fd);
}

/* Read and written out at once. */
static inline size_t drain(struct board *board, int row, struct buf *into, size_t max)
{
	uint64_t upto;
	size_t len = board_log_read(board, row, into, max, &upto);

	board_log_written(board, row, upto);
	return len;
}

static inline void *shared_memory(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_true(memory != MAP_FAILED);
	return memory;
}

/* fork() for a child that does not outlive the test. */
static inline pid_t fork_bound(void)
{
	pid_t parent = getpid(), pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		/* It may have ended before we asked. */
		if (getppid() != parent)
			_exit(1);
	}
	return pid;
}

/* The child is dead and reaped when this returns. */
static inline void kill_child(pid_t pid)
{
	int status;

	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
}

/* The child has ended by itself, with success. */
static inline void await_child(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static inline void sleep_usec(long usec)
{
	nanosleep(&(struct timespec){.tv_nsec = usec * 1000}, NULL);
}

static inline int64_t clock_usec(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * SECOND + now.tv_nsec / 1000;
}

#endif
