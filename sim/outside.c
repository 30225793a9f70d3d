/*
 * The second body of sys: files, slow work and names.
 *
 *     sys_job ──(some time)──► work, in a sys_wait ──(some time)──► done, in a later one
 *     sys_resolve ──(some time)──► answered
 *
 * Files are the house's: they outlive its processes.  There is one set of them at a time, since
 * the calls of sys.h that work on files don't say whose they are.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sim/sys_inside.h"

enum { STDOUT = 1, STDERR = 2, FIRST_HANDLE = 3 };

struct file {
	char *path;
	struct buf bytes;
	bool full; /* of a directory: all in it */
};

struct handle {
	size_t file;
	const struct sys *sys; /* NULL: closed */
};

struct sim_files {
	struct world *world;
	struct sim_heap *heap;
	struct file *file;
	size_t count;
	struct handle *handle;
	size_t handles;
};

static struct sim_files *files_now;

/* ---- files of the world ---- */

struct sim_files *sim_files_new(struct world *world)
{
	struct sim_files *files = mem_new(sizeof(*files));
	files->world = world;
	files->heap = sim_heap_current();
	files_now = files;
	return files;
}

void sim_files_free(struct sim_files **filesp)
{
	struct sim_files *files = *filesp;
	*filesp = NULL;
	if (!files)
		return;
	if (files_now == files)
		files_now = NULL;
	for (size_t i = 0; i < files->count; i++) {
		free(files->file[i].path);
		buf_clear(&files->file[i].bytes);
	}
	free(files->file);
	free(files->handle);
	free(files);
}

static struct file *file_find(const struct sim_files *files, const char *path)
{
	for (size_t i = 0; files && i < files->count; i++) {
		if (strcmp(files->file[i].path, path) == 0)
			return &files->file[i];
	}
	return NULL;
}

static struct file *file_make(struct sim_files *files, const char *path)
{
	struct file *file = file_find(files, path);
	if (file)
		return file;
	files->file = mem_grow(files->file, files->count + 1, sizeof(*files->file));
	file = &files->file[files->count++];
	*file = (struct file){.path = mem_string(span_of(path))};
	return file;
}

void sim_files_put(struct sim_files *files, const char *path, struct span bytes)
{
	struct file *file = file_make(files, path);
	buf_reset(&file->bytes);
	buf_add_span(&file->bytes, bytes);
}

struct span sim_files_get(const struct sim_files *files, const char *path)
{
	const struct file *file = file_find(files, path);
	return file ? buf_span(&file->bytes) : (struct span){0};
}

void sim_files_full(struct sim_files *files, const char *path, bool full)
{
	file_make(files, path)->full = full;
}

unsigned sim_files_held(struct sim_files *files, const struct sys *sys)
{
	unsigned held = 0;
	for (size_t i = 0; files && i < files->handles; i++)
		held += files->handle[i].sys == sys;
	return held;
}

void sim_files_let_go(struct sim_files *files, const struct sys *sys)
{
	for (size_t i = 0; files && i < files->handles; i++) {
		if (files->handle[i].sys == sys)
			files->handle[i].sys = NULL;
	}
}

/* ---- files of sys ---- */

static bool planned_failure(void)
{
	struct sys *sys = sim_caller();
	return sys && sim_call_fails(sys);
}

/* The file's own disk is full, or that of a directory it is in. */
static bool no_room(const struct file *file)
{
	for (size_t i = 0; i < files_now->count; i++) {
		const struct file *other = &files_now->file[i];
		size_t len = strlen(other->path);
		if (other->full && strncmp(file->path, other->path, len) == 0 &&
			(file->path[len] == '\0' || file->path[len] == '/'))
			return true;
	}
	return false;
}

static enum err failed(
	struct err_text *text, enum err err, const char *verb, const char *path, int number)
{
	return err_set(text, err, "can't %s %s: %s", verb, path, sys_errno_text(number));
}

enum err sys_file_read(const char *path, size_t max, struct buf *into, struct err_text *text)
{
	const struct file *file = file_find(files_now, path);
	if (!file)
		return failed(text, ERR_MISSING, "open", path, ENOENT);
	if (planned_failure())
		return failed(text, ERR_BROKEN, "read", path, EIO);
	if (file->bytes.len > max)
		return err_set(text, ERR_RANGE, "%s is larger than %zu bytes", path, max);
	buf_add_span(into, buf_span(&file->bytes));
	return ERR_OK;
}

enum err sys_file_replace(const char *path, struct span bytes, unsigned mode, struct err_text *text)
{
	struct sim_heap *was = sim_enter(sim_caller(), "file_replace");
	sim_heap_enter(files_now->heap);
	enum err err = ERR_OK;
	if (planned_failure() || no_room(file_make(files_now, path)))
		err = failed(text, ERR_FULL, "write", path, ENOSPC);
	else
		sim_files_put(files_now, path, bytes);
	sim_leave(was, "file_replace");
	return err;
}

static int handle_new(struct sim_files *files, const char *path)
{
	size_t i = 0;
	struct file *file = file_make(files, path);
	while (i < files->handles && files->handle[i].sys)
		i++;
	if (i == files->handles) {
		files->handle = mem_grow(files->handle, files->handles + 1, sizeof(*files->handle));
		files->handles++;
	}
	if (file->bytes.len > 0 && file->bytes.at[file->bytes.len - 1] != '\n')
		buf_add_text(&file->bytes, "\n"); /* of a writer that was killed */
	files->handle[i] =
		(struct handle){.file = (size_t)(file - files->file), .sys = sim_caller()};
	return FIRST_HANDLE + (int)i;
}

int sys_file_append_open(const char *path, struct err_text *text)
{
	int handle = -1;
	if (strcmp(path, "-") == 0)
		return STDOUT;
	if (strcmp(path, "stderr") == 0)
		return STDERR;
	struct sim_heap *was = sim_enter(sim_caller(), "file_open");
	sim_heap_enter(files_now->heap);
	if (planned_failure())
		(void)failed(text, ERR_BROKEN, "open", path, EIO);
	else
		handle = handle_new(files_now, path);
	sim_leave(was, "file_open");
	return handle;
}

static struct file *file_of(int handle)
{
	if (handle == STDOUT || handle == STDERR)
		return file_make(files_now, handle == STDOUT ? "-" : "stderr");
	size_t i = (size_t)(handle - FIRST_HANDLE);
	if (handle < FIRST_HANDLE || i >= files_now->handles || !files_now->handle[i].sys)
		return NULL;
	return &files_now->file[files_now->handle[i].file];
}

enum err sys_file_append(int handle, struct span bytes)
{
	struct sim_heap *was = sim_enter(sim_caller(), "file_append");
	sim_heap_enter(files_now->heap);
	struct file *file = file_of(handle);
	enum err err = ERR_OK;
	if (!file) {
		world_fail(files_now->world, "file-handle", "a write to a file that isn't open");
		err = ERR_BROKEN;
	} else if (planned_failure() || no_room(file)) {
		err = ERR_FULL;
	} else {
		buf_add_span(&file->bytes, bytes);
	}
	sim_leave(was, "file_append");
	return err;
}

void sys_file_close(int handle)
{
	if (handle < FIRST_HANDLE || !files_now)
		return;
	size_t i = (size_t)(handle - FIRST_HANDLE);
	if (i >= files_now->handles || !files_now->handle[i].sys)
		world_fail(files_now->world, "file-handle", "a file is closed twice");
	else
		files_now->handle[i].sys = NULL;
}

bool sys_file_is_terminal(int handle)
{
	return false;
}

/* ---- slow work ---- */

static int64_t some_time(struct sys *sys)
{
	return sys->world->now + rng_skewed(&sys->luck, 20, 50 * MSEC);
}

void sys_job(struct sys *sys, enum sys_queue queue, sys_work_fn *work, sys_done_fn *done, void *arg)
{
	struct sim_heap *was = sim_enter(sys, "job");
	struct sim_job *job = mem_new(sizeof(*job));
	*job = (struct sim_job){.work = work, .done = done, .arg = arg, .due = some_time(sys)};
	TAILQ_INSERT_TAIL(&sys->jobs[queue], job, next);
	sim_alarm(sys);
	sim_leave(was, "job");
}

/* The first of a queue: its work, and a while later its end. */
static bool job_turn(struct sys *sys, enum sys_queue queue)
{
	struct sim_job *job = TAILQ_FIRST(&sys->jobs[queue]);
	if (!job || job->due > sys->now)
		return false;
	if (job->work) {
		sys_work_fn *work = job->work;
		job->work = NULL;
		work(job->arg);
		job->due = some_time(sys);
		return true;
	}
	sys_done_fn *done = job->done;
	void *arg = job->arg;
	TAILQ_REMOVE(&sys->jobs[queue], job, next);
	free(job);
	if (done)
		done(arg);
	return true;
}

/* ---- names ---- */

enum { NAME_ADDRESSES = 16 };

struct name {
	LIST_ENTRY(name) next;
	char *name;
	struct addr addr[NAME_ADDRESSES];
	unsigned count;
};

struct sim_names {
	struct world *world;
	LIST_HEAD(, name) names;
};

struct sim_names *sim_names_new(struct world *world)
{
	struct sim_names *names = mem_new(sizeof(*names));
	names->world = world;
	LIST_INIT(&names->names);
	return names;
}

void sim_names_free(struct sim_names **namesp)
{
	struct sim_names *names = *namesp;
	struct name *name;
	*namesp = NULL;
	if (!names)
		return;
	while ((name = LIST_FIRST(&names->names))) {
		LIST_REMOVE(name, next);
		free(name->name);
		free(name);
	}
	free(names);
}

static struct name *name_find(struct sim_names *names, const char *wanted)
{
	struct name *name = NULL;
	if (names) {
		LIST_FOREACH (name, &names->names, next) {
			if (strcmp(name->name, wanted) == 0)
				break;
		}
	}
	return name;
}

void sim_names_put(
	struct sim_names *names, const char *wanted, const struct addr *addr, unsigned count)
{
	struct name *name = name_find(names, wanted);
	if (!name) {
		name = mem_new(sizeof(*name));
		name->name = mem_string(span_of(wanted));
		LIST_INSERT_HEAD(&names->names, name, next);
	}
	name->count = count < NAME_ADDRESSES ? count : NAME_ADDRESSES;
	for (unsigned i = 0; i < name->count; i++)
		name->addr[i] = addr[i];
}

static void look_up(struct sys *sys, const char *wanted, struct sim_lookup *lookup)
{
	static const enum err failures[] = {ERR_TIMEOUT, ERR_BROKEN, ERR_MISSING};
	struct rng *rng = &sys->luck;
	struct sys_answer *answer = &lookup->answer;
	const struct name *name = name_find(sys->box->names, wanted);
	lookup->due = sys->world->now + rng_skewed(rng, 100, SECOND);
	answer->err = name ? ERR_OK : ERR_MISSING;
	answer->ttl = rng_skewed(rng, SECOND, 5 * MINUTE);
	if (sim_call_fails(sys))
		answer->err = ERR_BROKEN;
	else if (world_fault(sys->world, rng, FAULT_name_fails))
		answer->err = failures[rng_below(rng, 3)];
	if (answer->err == ERR_TIMEOUT)
		lookup->due = sys->world->now + 10 * SECOND;
	if (answer->err != ERR_OK)
		return;
	answer->count = name->count;
	for (unsigned i = 0; i < name->count; i++) {
		answer->addr[i] = name->addr[i];
		answer->addr[i].port = 0;
	}
}

void sys_resolve(struct sys *sys, const char *name, sys_answer_fn *answered, void *arg)
{
	struct sim_heap *was = sim_enter(sys, "resolve");
	struct sim_lookup *lookup = mem_new(sizeof(*lookup));
	lookup->answered = answered;
	lookup->arg = arg;
	look_up(sys, name, lookup);
	LIST_INSERT_HEAD(&sys->lookups, lookup, next);
	sim_alarm(sys);
	sim_leave(was, "resolve");
}

static bool lookup_turn(struct sys *sys)
{
	struct sim_lookup *lookup;
	LIST_FOREACH (lookup, &sys->lookups, next) {
		if (lookup->due <= sys->now)
			break;
	}
	if (!lookup)
		return false;
	LIST_REMOVE(lookup, next);
	struct sim_lookup answered = *lookup;
	free(lookup);
	answered.answered(answered.arg, &answered.answer);
	return true;
}

/* ---- what a turn finds ---- */

int64_t sim_outside_due(const struct sys *sys)
{
	const struct sim_lookup *lookup;
	int64_t due = NEVER;
	for (int i = 0; i < SYS_QUEUES; i++) {
		const struct sim_job *job = TAILQ_FIRST(&sys->jobs[i]);
		if (job && job->due < due)
			due = job->due;
	}
	LIST_FOREACH (lookup, &sys->lookups, next) {
		if (lookup->due < due)
			due = lookup->due;
	}
	return due;
}

bool sim_outside_turn(struct sys *sys)
{
	bool ran = false;
	for (int i = 0; i < SYS_QUEUES; i++)
		ran |= job_turn(sys, (enum sys_queue)i);
	while (lookup_turn(sys))
		ran = true;
	return ran;
}

bool sim_outside_idle(const struct sys *sys)
{
	bool idle = LIST_EMPTY(&sys->lookups);
	for (int i = 0; i < SYS_QUEUES; i++)
		idle &= TAILQ_EMPTY(&sys->jobs[i]);
	return idle;
}

void sim_outside_finish(struct sys *sys)
{
	for (int i = 0; i < SYS_QUEUES; i++) {
		struct sim_job *job;
		while ((job = TAILQ_FIRST(&sys->jobs[i]))) {
			job->due = sys->now;
			(void)job_turn(sys, (enum sys_queue)i);
		}
	}
}

void sim_outside_clear(struct sys *sys)
{
	struct sim_lookup *lookup;
	struct sim_job *job;
	while ((lookup = LIST_FIRST(&sys->lookups))) {
		LIST_REMOVE(lookup, next);
		free(lookup);
	}
	for (int i = 0; i < SYS_QUEUES; i++) {
		while ((job = TAILQ_FIRST(&sys->jobs[i]))) {
			TAILQ_REMOVE(&sys->jobs[i], job, next);
			free(job);
		}
	}
}
