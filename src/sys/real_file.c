/*
 * The real body: files.  All of it blocks: at the start of a process, or inside a job.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/sys.h"

static enum err err_of_errno(int number)
{
	switch (number) {
	case ENOENT:
	case ENOTDIR:
		return ERR_MISSING;
	case EACCES:
	case EPERM:
	case EROFS:
		return ERR_REFUSED;
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
		return ERR_FULL;
	default:
		return ERR_BROKEN;
	}
}

static enum err file_err(struct err_text *text, const char *verb, const char *path)
{
	int number = errno;
	return err_set(
		text, err_of_errno(number), "can't %s %s: %s", verb, path, sys_errno_text(number));
}

/* ---- reading ---- */

static enum err fd_read(
	int fd, const char *path, size_t max, struct buf *into, struct err_text *text)
{
	char bytes[16 * 1024];
	size_t start = into->len;
	for (;;) {
		ssize_t got = read(fd, bytes, sizeof(bytes));
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return file_err(text, "read", path);
		if (got == 0)
			return ERR_OK;
		if ((size_t)got > max - (into->len - start))
			return err_set(text, ERR_RANGE, "%s is larger than %zu bytes", path, max);
		buf_add(into, bytes, (size_t)got);
	}
}

enum err sys_file_read(const char *path, size_t max, struct buf *into, struct err_text *text)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return file_err(text, "open", path);
	size_t start = into->len;
	enum err err = fd_read(fd, path, max, into, text);
	close(fd);
	if (err)
		into->len = start;
	return err;
}

/* ---- writing ---- */

/* A terminal or pipe may be non-blocking because somebody else made it so. */
static bool fd_wait_writable(int fd)
{
	struct pollfd waiting = {.fd = fd, .events = POLLOUT};
	return poll(&waiting, 1, -1) >= 0 || errno == EINTR;
}

/* What could not be written is left in *rest. */
static bool fd_write_some(int fd, struct span *rest)
{
	while (rest->len > 0) {
		ssize_t put = write(fd, rest->at, rest->len);
		if (put >= 0)
			*rest = span_from(*rest, (size_t)put);
		else if (errno == EAGAIN && !fd_wait_writable(fd))
			return false;
		else if (errno != EINTR && errno != EAGAIN)
			return false;
	}
	return true;
}

static bool fd_write(int fd, struct span bytes)
{
	return fd_write_some(fd, &bytes);
}

/* The rename is durable once its directory is. */
static bool directory_sync(const char *path)
{
	char *copy = mem_string(span_of(path));
	int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool ok = fd >= 0 && fsync(fd) == 0;
	int number = errno;
	if (fd >= 0)
		close(fd);
	free(copy);
	errno = number;
	return ok;
}

static bool file_fill(int fd, struct span bytes, unsigned mode)
{
	bool ok = fchmod(fd, (mode_t)mode) == 0 && fd_write(fd, bytes) && fsync(fd) == 0;
	int number = errno;
	if (close(fd) < 0 && ok)
		return false;
	errno = number;
	return ok;
}

enum err sys_file_replace(const char *path, struct span bytes, unsigned mode, struct err_text *text)
{
	struct buf beside = {0};
	buf_addf(&beside, "%s.XXXXXX", path);
	buf_string(&beside);
	enum err err = ERR_OK;
	int fd = mkostemp(beside.at, O_CLOEXEC);
	if (fd < 0) {
		err = file_err(text, "create a file beside", path);
	} else if (!file_fill(fd, bytes, mode)) {
		err = file_err(text, "write", beside.at);
		unlink(beside.at);
	} else if (rename(beside.at, path) < 0) {
		err = file_err(text, "replace", path);
		unlink(beside.at);
	} else if (!directory_sync(path)) {
		err = file_err(text, "sync the directory of", path);
	}
	buf_clear(&beside);
	return err;
}

/* ---- appending ---- */

/*
 * A writer that was killed may have left half a line: it ends here, so that it spoils only itself.
 * One that is alive, as the control of the generation before is during a reload, shows half a line
 * while it writes: the lock waits for its end.  Where files can't be locked, nothing is lost.
 */
static void end_torn_line(const char *path, int fd)
{
	char last = '\n';
	struct stat file;
	int reader = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (reader < 0)
		return;
	(void)flock(fd, LOCK_EX);
	if (fstat(reader, &file) == 0 && S_ISREG(file.st_mode) && file.st_size > 0 &&
		pread(reader, &last, 1, file.st_size - 1) == 1 && last != '\n')
		(void)fd_write(fd, SPAN("\n"));
	(void)flock(fd, LOCK_UN);
	close(reader);
}

int sys_file_append_open(const char *path, struct err_text *text)
{
	if (strcmp(path, "-") == 0)
		return STDOUT_FILENO;
	if (strcmp(path, "stderr") == 0)
		return STDERR_FILENO;
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
	if (fd < 0)
		(void)file_err(text, "open", path);
	else
		end_torn_line(path, fd);
	return fd;
}

/* A disk that became full takes a part: it goes again, so that the whole can be tried anew. */
static void take_back(int handle, size_t written)
{
	struct stat file;
	if (written > 0 && fstat(handle, &file) == 0 && S_ISREG(file.st_mode) &&
		(size_t)file.st_size >= written)
		(void)!ftruncate(handle, file.st_size - (off_t)written);
}

enum err sys_file_append(int handle, struct span bytes)
{
	struct span rest = bytes;
	enum err err = ERR_OK;
	(void)flock(handle, LOCK_EX);
	if (!fd_write_some(handle, &rest)) {
		err = err_of_errno(errno);
		take_back(handle, bytes.len - rest.len);
	}
	(void)flock(handle, LOCK_UN);
	return err;
}

void sys_file_close(int handle)
{
	if (handle > STDERR_FILENO)
		close(handle);
}

bool sys_file_is_terminal(int handle)
{
	return isatty(handle) == 1;
}
