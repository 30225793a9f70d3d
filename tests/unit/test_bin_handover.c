/*
 * The handover: what one image writes, the next reads; anything else is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "bin/handover.h"

static struct config *config_of(const char *text, size_t len)
{
	struct config *config = mem_new(sizeof(*config));
	buf_add(&config->text, text, len);
	return config;
}

static struct generation *generation_add(
	struct master *master, unsigned number, enum phase phase, unsigned workers)
{
	struct generation *generation = mem_new(sizeof(*generation));
	generation->number = number;
	generation->phase = phase;
	generation->workers = workers;
	generation->since = 1234567890123;
	generation->drain_timeout = 11 * MINUTE;
	generation->stop_at = generation->kill_at = NEVER;
	generation->known[0] = generation->known[BOARD_COLUMNS - 1] = true;
	generation->child_count = workers + 1;
	generation->children = mem_new(generation->child_count * sizeof(struct child));
	for (unsigned i = 0; i <= workers; i++) {
		child_init(&generation->children[i], generation, i ? ROW_WORKER : ROW_CONTROL,
			i ? i - 1 : 0, (int)(number * 10 + i));
		generation->children[i].pid = (pid_t)(number * 100 + i);
		generation->children[i].since = 42;
		generation->children[i].failures = i;
	}
	LIST_INSERT_HEAD(&master->generations, generation, next);
	return generation;
}

static void socket_add(struct master *master, const char *addr, int fd, int64_t retire_at)
{
	struct socket_bound bound = {.port = 25, .fd = fd, .lane = 1, .lanes = 2, .number = 3};
	bound.retire_at = retire_at;
	bound.admin = fd % 2;
	assert_int_equal(addr_parse_port(span_of(addr), &bound.wanted), ERR_OK);
	socket_set_add(&master->sockets, &bound);
}

static void master_fill(struct master *master)
{
	*master = (struct master){.board_fd = 7, .row = 0, .last_number = 5};
	LIST_INIT(&master->generations);
	master->config_path = mem_string(SPAN("/etc/mailweir/\"quoted\".conf"));
	master->binary = mem_string(SPAN("/usr/sbin/mailweir"));
	master->reload.force = true;
	master->reload.asked = true;
	for (int i = 0; i < BOARD_ROWS; i++)
		master->wakes[i] = 100 + i;
	generation_add(master, 4, DRAINING, 1);
	generation_add(master, 5, CURRENT, 3);
	socket_add(master, "0.0.0.0:25", 201, NEVER);
	socket_add(master, "[::1]:25", 202, 77);
	socket_add(master, "unix:/run/a b.sock", 203, NEVER);
}

static void master_empty(struct master *master)
{
	struct generation *generation;
	while ((generation = LIST_FIRST(&master->generations)))
		generation_free(&generation);
	free(master->sockets.at);
	free(master->config_path);
	free(master->binary);
}

static const struct generation *generation_of(const struct master *master, unsigned number)
{
	const struct generation *generation;
	LIST_FOREACH (generation, &master->generations, next) {
		if (generation->number == number)
			return generation;
	}
	fail_msg("generation %u is lost", number);
	return NULL;
}

static void same_generation(const struct generation *a, const struct generation *b)
{
	assert_int_equal(a->phase, b->phase);
	assert_int_equal(a->workers, b->workers);
	assert_int_equal(a->since, b->since);
	assert_int_equal(a->drain_timeout, b->drain_timeout);
	assert_int_equal(a->stop_at, b->stop_at);
	assert_int_equal(a->kill_at, b->kill_at);
	assert_memory_equal(a->known, b->known, sizeof(a->known));
	assert_int_equal(a->child_count, b->child_count);
	for (unsigned i = 0; i < a->child_count; i++) {
		assert_ptr_equal(b->children[i].generation, b);
		assert_int_equal(a->children[i].pid, b->children[i].pid);
		assert_int_equal(a->children[i].row, b->children[i].row);
		assert_int_equal(a->children[i].role, b->children[i].role);
		assert_int_equal(a->children[i].index, b->children[i].index);
		assert_int_equal(a->children[i].since, b->children[i].since);
		assert_int_equal(a->children[i].failures, b->children[i].failures);
	}
}

static void same_sockets(const struct socket_set *a, const struct socket_set *b)
{
	assert_int_equal(a->count, b->count);
	for (unsigned i = 0; i < a->count; i++) {
		assert_true(addr_eq(&a->at[i].wanted, &b->at[i].wanted));
		assert_int_equal(a->at[i].fd, b->at[i].fd);
		assert_int_equal(a->at[i].port, b->at[i].port);
		assert_int_equal(a->at[i].lane, b->at[i].lane);
		assert_int_equal(a->at[i].lanes, b->at[i].lanes);
		assert_int_equal(a->at[i].number, b->at[i].number);
		assert_int_equal(a->at[i].admin, b->at[i].admin);
		assert_int_equal(a->at[i].retire_at == NEVER, b->at[i].retire_at == NEVER);
	}
}

static void all_comes_across(void **state)
{
	(void)state;
	static const char running[] = "text with \0 and \xff\n", candidate[] = "new\n";
	struct master before, after = {.board_fd = -1};
	struct handover handover;
	master_fill(&before);
	LIST_INIT(&after.generations);
	LIST_FIRST(&before.generations)->config = config_of(running, sizeof(running) - 1);
	struct config *next = config_of(candidate, sizeof(candidate) - 1);

	int fd = handover_write(&before, next, NULL);
	assert_true(fd >= 0);
	assert_int_equal(handover_read(fd, &after, &handover, NULL), ERR_OK);
	assert_int_equal(after.board_fd, 7);
	assert_int_equal(after.row, 0);
	assert_int_equal(after.last_number, 5);
	assert_string_equal(after.binary, before.binary);
	assert_string_equal(handover.path, before.config_path);
	assert_true(handover.force);
	assert_true(after.reload.asked);
	assert_false(after.reload.asked_force);
	assert_memory_equal(after.wakes, before.wakes, sizeof(before.wakes));
	same_sockets(&before.sockets, &after.sockets);
	for (unsigned number = 4; number <= 5; number++)
		same_generation(generation_of(&before, number), generation_of(&after, number));
	assert_int_equal(handover.running.len, sizeof(running) - 1);
	assert_memory_equal(handover.running.at, running, sizeof(running) - 1);
	assert_int_equal(handover.candidate.len, sizeof(candidate) - 1);
	assert_memory_equal(handover.candidate.at, candidate, sizeof(candidate) - 1);

	handover_clear(&handover);
	config_free(&next);
	master_empty(&before);
	master_empty(&after);
}

/* One that waited for its replacement when the image changed gets it from the next. */
static void a_replacement_is_not_forgotten(void **state)
{
	(void)state;
	struct master before, after = {.board_fd = -1};
	struct handover handover;
	master_fill(&before);
	LIST_INIT(&after.generations);
	LIST_FIRST(&before.generations)->children[1].pid = 0;
	struct config *next = config_of("", 0);
	int fd = handover_write(&before, next, NULL);
	assert_int_equal(handover_read(fd, &after, &handover, NULL), ERR_OK);
	const struct generation *current = generation_of(&after, 5);
	assert_int_equal(current->children[1].restart_at, 0);
	assert_int_equal(current->children[2].restart_at, NEVER);
	handover_clear(&handover);
	config_free(&next);
	master_empty(&before);
	master_empty(&after);
}

static bool readable(const char *bytes, size_t len)
{
	struct master master = {.board_fd = -1};
	struct handover handover;
	struct err_text text;
	LIST_INIT(&master.generations);
	int fd = memfd_create("test", 0);
	assert_int_equal(write(fd, bytes, len), len);
	bool good = handover_read(fd, &master, &handover, &text) == ERR_OK;
	if (!good)
		assert_non_null(strstr(text.text, "restart"));
	handover_clear(&handover);
	master_empty(&master);
	return good;
}

/* At every cut, and with another format's number. */
static void anything_else_is_refused(void **state)
{
	(void)state;
	struct master master;
	char bytes[16 * 1024];
	master_fill(&master);
	struct config *next = config_of("candidate", 9);
	int fd = handover_write(&master, next, NULL);
	ssize_t len = pread(fd, bytes, sizeof(bytes), 0);
	close(fd);
	assert_true(len > 100 && len < (ssize_t)sizeof(bytes));
	assert_true(readable(bytes, (size_t)len));
	for (ssize_t cut = 0; cut < len; cut += 7)
		assert_false(readable(bytes, (size_t)cut));
	char *format = strstr(bytes, "\"format\":1");
	assert_non_null(format);
	format[9] = '2';
	assert_false(readable(bytes, (size_t)len));
	config_free(&next);
	master_empty(&master);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_comes_across),
		cmocka_unit_test(a_replacement_is_not_forgotten),
		cmocka_unit_test(anything_else_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
