/*
 * What one image of the master tells the next over an exec.
 *
 * The format is an interface between versions: FORMAT is raised when a reader of the former one
 * would misunderstand; members may be added without that.
 */
#include "bin/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define FORMAT 1

/* ---- writing ---- */

static json_t *sockets_out(const struct socket_set *set)
{
	json_t *list = json_array();
	for (unsigned i = 0; i < set->count; i++) {
		const struct socket_bound *bound = &set->at[i];
		char text[ADDR_TEXT];
		addr_text_port(&bound->wanted, text);
		json_array_append_new(list,
			json_pack("{s:s, s:i, s:i, s:i, s:i, s:i, s:b, s:b}", "address", text,
				"port", (int)bound->port, "fd", bound->fd, "lane", (int)bound->lane,
				"lanes", (int)bound->lanes, "number", (int)bound->number, "admin",
				bound->admin, "retired", bound->retire_at != NEVER));
	}
	return list;
}

static json_t *children_out(const struct generation *generation)
{
	json_t *list = json_array();
	FOREACH_CHILD(child, generation)
	json_array_append_new(
		list, json_pack("{s:i, s:i, s:i, s:i, s:I, s:i}", "pid", (int)child->pid, "row",
			      child->row, "role", (int)child->role, "index", (int)child->index,
			      "since", (json_int_t)child->since, "failures", (int)child->failures));
	return list;
}

static json_t *known_out(const struct generation *generation)
{
	json_t *list = json_array();
	for (int i = 0; i < BOARD_COLUMNS; i++) {
		if (generation->known[i])
			json_array_append_new(list, json_integer(i));
	}
	return list;
}

static json_t *generation_out(const struct generation *generation)
{
	return json_pack("{s:i, s:b, s:i, s:I, s:I, s:I, s:I, s:o, s:o}", "number",
		(int)generation->number, "draining", generation->phase == DRAINING, "workers",
		(int)generation->workers, "since", (json_int_t)generation->since, "drain_timeout",
		(json_int_t)generation->drain_timeout, "stop_at", (json_int_t)generation->stop_at,
		"kill_at", (json_int_t)generation->kill_at, "children", children_out(generation),
		"known", known_out(generation));
}

static json_t *master_out(const struct master *master, size_t running, size_t candidate)
{
	json_t *generations = json_array(), *wakes = json_array();
	const struct generation *generation;
	LIST_FOREACH (generation, &master->generations, next)
		json_array_append_new(generations, generation_out(generation));
	for (int i = 0; i < BOARD_ROWS; i++)
		json_array_append_new(wakes, json_integer(master->wakes[i]));
	return json_pack("{s:i, s:s, s:s, s:b, s:b, s:b, s:i, s:i, s:i, s:o, s:o, s:o, s:I, s:I}",
		"format", FORMAT, "binary", master->binary, "config", master->config_path, "force",
		master->reload.force, "asked", master->reload.asked, "asked_force",
		master->reload.asked_force, "board", master->board_fd, "row", master->row, "last",
		(int)master->last_number, "wakes", wakes, "sockets", sockets_out(&master->sockets),
		"generations", generations, "running", (json_int_t)running, "candidate",
		(json_int_t)candidate);
}

static bool put(int fd, struct span bytes)
{
	while (bytes.len) {
		ssize_t len = write(fd, bytes.at, bytes.len);
		if (len < 0)
			return false;
		bytes = span_from(bytes, (size_t)len);
	}
	return true;
}

int handover_write(
	const struct master *master, const struct config *candidate, struct err_text *text)
{
	const struct generation *generation;
	struct span running = {0};
	LIST_FOREACH (generation, &master->generations, next) {
		if (generation->phase == CURRENT && generation->config)
			running = buf_span(&generation->config->text);
	}
	json_t *object = master_out(master, running.len, candidate->text.len);
	char *line = object ? json_dumps(object, JSON_COMPACT) : NULL;
	json_decref(object);
	if (!line)
		die("out of memory");
	int fd = memfd_create("mailweir-handover", MFD_CLOEXEC);
	bool good = fd >= 0 && put(fd, span_of(line)) && put(fd, SPAN("\n")) && put(fd, running) &&
		    put(fd, buf_span(&candidate->text));
	free(line);
	if (good)
		return fd;
	(void)err_set(text, ERR_FULL, "no memory to hand over: %s", sys_errno_text(errno));
	if (fd >= 0)
		close(fd);
	return -1;
}

static void keep_open(int fd, bool open)
{
	fcntl(fd, F_SETFD, open ? 0 : FD_CLOEXEC);
}

void handover_keep_open(const struct master *master, int fd, bool open)
{
	keep_open(fd, open);
	keep_open(master->board_fd, open);
	for (int i = 0; i < BOARD_ROWS; i++)
		keep_open(master->wakes[i], open);
	for (unsigned i = 0; i < master->sockets.count; i++)
		keep_open(master->sockets.at[i].fd, open);
}

/* ---- reading ---- */

static bool sockets_in(const json_t *list, struct socket_set *set)
{
	size_t i;
	json_t *item;
	json_array_foreach(list, i, item)
	{
		const char *address;
		int port, fd, lane, lanes, number, admin, retired;
		if (json_unpack(item, "{s:s, s:i, s:i, s:i, s:i, s:i, s:b, s:b}", "address",
			    &address, "port", &port, "fd", &fd, "lane", &lane, "lanes", &lanes,
			    "number", &number, "admin", &admin, "retired", &retired) < 0)
			return false;
		struct socket_bound bound = {
			.port = (uint16_t)port,
			.fd = fd,
			.lane = (unsigned)lane,
			.lanes = (unsigned)lanes,
			.number = (unsigned)number,
			.admin = admin,
			.retire_at = retired ? 0 : NEVER,
		};
		if (addr_parse_port(span_of(address), &bound.wanted))
			return false;
		socket_set_add(set, &bound);
	}
	return true;
}

static bool children_in(const json_t *list, struct generation *generation)
{
	size_t i;
	json_t *item;
	generation->children = mem_new((json_array_size(list) + 1) * sizeof(struct child));
	json_array_foreach(list, i, item)
	{
		struct child *child = &generation->children[generation->child_count++];
		int pid, row, role, index, failures;
		json_int_t since;
		if (json_unpack(item, "{s:i, s:i, s:i, s:i, s:I, s:i}", "pid", &pid, "row", &row,
			    "role", &role, "index", &index, "since", &since, "failures",
			    &failures) < 0)
			return false;
		child_init(child, generation, (enum board_role)role, (unsigned)index, row);
		child->pid = pid;
		child->since = since;
		child->failures = (unsigned)failures;
		/* One that waited for its replacement has waited long enough. */
		if (pid == 0 && row >= 0 && generation->stop_at == NEVER)
			child->restart_at = 0;
	}
	return true;
}

static bool generation_in(const json_t *item, struct master *master)
{
	struct generation *generation = mem_new(sizeof(*generation));
	LIST_INSERT_HEAD(&master->generations, generation, next);
	int number, draining, workers;
	json_int_t since, drain_timeout, stop_at, kill_at;
	json_t *children, *known, *column;
	if (json_unpack((json_t *)item, "{s:i, s:b, s:i, s:I, s:I, s:I, s:I, s:o, s:o}", "number",
		    &number, "draining", &draining, "workers", &workers, "since", &since,
		    "drain_timeout", &drain_timeout, "stop_at", &stop_at, "kill_at", &kill_at,
		    "children", &children, "known", &known) < 0)
		return false;
	generation->number = (unsigned)number;
	generation->phase = draining ? DRAINING : CURRENT;
	generation->workers = (unsigned)workers;
	generation->since = since;
	generation->drain_timeout = drain_timeout;
	generation->stop_at = stop_at;
	generation->kill_at = kill_at;
	size_t i;
	json_array_foreach(known, i, column)
	{
		json_int_t at = json_integer_value(column);
		if (at >= 0 && at < BOARD_COLUMNS)
			generation->known[at] = true;
	}
	return children_in(children, generation);
}

static bool wakes_in(const json_t *list, struct master *master)
{
	if (json_array_size(list) != BOARD_ROWS)
		return false;
	for (int i = 0; i < BOARD_ROWS; i++)
		master->wakes[i] = (int)json_integer_value(json_array_get(list, (size_t)i));
	return true;
}

static bool master_in(const json_t *object, struct master *master, struct handover *handover_r,
	size_t *running_r, size_t *candidate_r)
{
	int format, force, asked, asked_force, last;
	const char *binary, *path;
	json_t *wakes, *sockets, *generations, *item;
	json_int_t running, candidate;
	if (json_unpack((json_t *)object,
		    "{s:i, s:s, s:s, s:b, s:b, s:b, s:i, s:i, s:i, s:o, s:o, s:o, s:I, s:I}",
		    "format", &format, "binary", &binary, "config", &path, "force", &force, "asked",
		    &asked, "asked_force", &asked_force, "board", &master->board_fd, "row",
		    &master->row, "last", &last, "wakes", &wakes, "sockets", &sockets,
		    "generations", &generations, "running", &running, "candidate",
		    &candidate) < 0 ||
		format != FORMAT)
		return false;
	master->binary = mem_string(span_of(binary));
	master->last_number = (unsigned)last;
	handover_r->path = mem_string(span_of(path));
	master->reload.asked = asked;
	master->reload.asked_force = asked_force;
	handover_r->force = force;
	*running_r = (size_t)running;
	*candidate_r = (size_t)candidate;
	size_t i;
	json_array_foreach(generations, i, item)
	{
		if (!generation_in(item, master))
			return false;
	}
	return wakes_in(wakes, master) && sockets_in(sockets, &master->sockets);
}

static bool get_all(int fd, struct buf *into)
{
	char bytes[16 * 1024];
	off_t at = 0;
	ssize_t len;
	while ((len = pread(fd, bytes, sizeof(bytes), at)) > 0) {
		buf_add(into, bytes, (size_t)len);
		at += len;
	}
	return len == 0;
}

static bool file_in(struct span file, struct master *master, struct handover *handover_r)
{
	size_t end = span_find(file, '\n'), running = 0, candidate = 0;
	json_t *object = json_loadb(file.at ? file.at : "", end, 0, NULL);
	bool good = end < file.len && json_is_object(object) &&
		    master_in(object, master, handover_r, &running, &candidate);
	json_decref(object);
	struct span texts = span_from(file, end < file.len ? end + 1 : end);
	if (!good || texts.len != running + candidate)
		return false;
	buf_add_span(&handover_r->running, (struct span){texts.at, running});
	buf_add_span(&handover_r->candidate, span_from(texts, running));
	return true;
}

enum err handover_read(
	int fd, struct master *master, struct handover *handover_r, struct err_text *text)
{
	struct buf file = {0};
	*handover_r = (struct handover){0};
	bool good = get_all(fd, &file) && file_in(buf_span(&file), master, handover_r);
	buf_clear(&file);
	close(fd);
	if (good)
		return ERR_OK;
	return err_set(text, ERR_SYNTAX,
		"this binary does not understand what the running one hands over: restart instead");
}

void handover_clear(struct handover *handover)
{
	free(handover->path);
	buf_clear(&handover->running);
	buf_clear(&handover->candidate);
	*handover = (struct handover){0};
}

/* ---- the board behind a descriptor ---- */

enum err board_map(int fd, bool shared, struct board **board_r, struct err_text *text)
{
	void *map = mmap(NULL, board_size(), PROT_READ | PROT_WRITE,
		shared ? MAP_SHARED : MAP_PRIVATE, fd, 0);
	if (map == MAP_FAILED)
		return err_set(
			text, ERR_FULL, "no memory for the board: %s", sys_errno_text(errno));
	return board_attach(map, board_r, text);
}
