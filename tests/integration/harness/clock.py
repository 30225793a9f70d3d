"""Putting a process's clock on, for time-outs that are minutes long by design.

A library, preloaded into the balancer, adds to CLOCK_MONOTONIC what a shared file says, in the one
process whose pid it holds.
"""
import mmap
import struct
import subprocess

SOURCE = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static const volatile struct { int64_t pid, seconds; } *page;

__attribute__((constructor)) static void open_page(void)
{
	const char *name = getenv("MAILWEIR_TEST_CLOCK");
	int fd = name ? open(name, O_RDONLY) : -1;
	void *at = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *page, PROT_READ, MAP_SHARED, fd, 0);
	if (fd >= 0)
		close(fd);
	if (at != MAP_FAILED)
		page = at;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
	long status = syscall(SYS_clock_gettime, clock, now);
	if (status == 0 && clock == CLOCK_MONOTONIC && page && page->pid == getpid())
		now->tv_sec += page->seconds;
	return (int)status;
}
"""


class Clock:
    def __init__(self, folder):
        source, self.library, self.page = folder / "clock.c", folder / "clock.so", folder / "clock.page"
        source.write_text(SOURCE)
        subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", str(self.library), str(source)],
                       check=True)
        self.page.write_bytes(bytes(mmap.PAGESIZE))

    def environment(self):
        """What a process needs to be started with."""
        return {"LD_PRELOAD": str(self.library), "MAILWEIR_TEST_CLOCK": str(self.page)}

    def put_on(self, pid, seconds):
        """That process's clock is so many seconds ahead from now on."""
        with self.page.open("r+b") as file, mmap.mmap(file.fileno(), mmap.PAGESIZE) as page:
            page[:16] = struct.pack("qq", pid, seconds)
