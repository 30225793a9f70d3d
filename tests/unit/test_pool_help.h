/*
 * For the tests of pool: workers (rows) over one board in one process, each with its own loop, and
 * servers on sockets of their own, played between the turns.
 *
 *     farm ---- board
 *       |---- worker 0: sys, loop, pools       each has borrowers with loans
 *       |---- worker 1: ...
 *       '---- actor 0 ... : a listening socket and its conversations
 */
#ifndef TEST_POOL_HELP_H
#define TEST_POOL_HELP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pool/pool.h"
#include "pool/pool_conf.h"
#include "smtp/caps.h"
#include "sys/real.h"

enum { WORKERS = 3, ACTORS = 6, TALKS = 64 };

/* ---- servers ---- */

struct actor_talk {
	int fd;
	struct buf got;
};

struct actor {
	int listener;
	uint16_t port;
	const char *banner; /* NULL: says nothing */
	const char *ehlo;
	bool deaf_to_quit;
	struct actor_talk talk[TALKS];
	unsigned open, most, opened, quits;
};

static inline void actor_listen(struct actor *actor)
{
	struct sockaddr_in in = {
		.sin_family = AF_INET,
		.sin_port = htons(actor->port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t len = sizeof(in);
	int on = 1;

	actor->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	setsockopt(actor->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	assert_int_equal(bind(actor->listener, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(getsockname(actor->listener, (struct sockaddr *)&in, &len), 0);
	assert_int_equal(listen(actor->listener, 128), 0);
	actor->port = ntohs(in.sin_port);
}

static inline void actor_open(struct actor *actor)
{
	*actor = (struct actor){
		.banner = "220 actor\r\n",
		.ehlo = "250-actor\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 10000\r\n",
	};
	for (int i = 0; i < TALKS; i++)
		actor->talk[i].fd = -1;
	actor_listen(actor);
}

static inline void actor_stop_listening(struct actor *actor)
{
	close(actor->listener);
	actor->listener = -1;
}

static inline void actor_hang_up(struct actor *actor, struct actor_talk *talk)
{
	close(talk->fd);
	talk->fd = -1;
	buf_clear(&talk->got);
	actor->open--;
}

static inline void actor_hang_up_all(struct actor *actor)
{
	for (int i = 0; i < TALKS; i++) {
		if (actor->talk[i].fd >= 0)
			actor_hang_up(actor, &actor->talk[i]);
	}
}

static inline void actor_close(struct actor *actor)
{
	actor_hang_up_all(actor);
	if (actor->listener >= 0)
		actor_stop_listening(actor);
}

static inline void actor_say(const struct actor_talk *talk, const char *text)
{
	send(talk->fd, text, strlen(text), MSG_NOSIGNAL);
}

static inline void actor_answer(struct actor *actor, struct actor_talk *talk, struct span line)
{
	if (span_starts_nocase(line, "EHLO")) {
		actor_say(talk, actor->ehlo);
	} else if (span_starts_nocase(line, "QUIT")) {
		actor->quits++;
		if (!actor->deaf_to_quit) {
			actor_say(talk, "221 bye\r\n");
			actor_hang_up(actor, talk);
		}
	} else {
		actor_say(talk, "250 ok\r\n");
	}
}

static inline void actor_hear(struct actor *actor, struct actor_talk *talk)
{
	char bytes[4096];
	ssize_t got = recv(talk->fd, bytes, sizeof(bytes), 0);
	size_t end;

	if (got == 0 || (got < 0 && errno != EAGAIN)) {
		actor_hang_up(actor, talk);
		return;
	}
	if (got > 0)
		buf_add(&talk->got, bytes, (size_t)got);
	while (talk->fd >= 0 && (end = span_find(buf_span(&talk->got), '\n')) < talk->got.len) {
		char line[512];

		assert_true(end < sizeof(line));
		memcpy(line, talk->got.at, end);
		buf_eat(&talk->got, end + 1);
		actor_answer(actor, talk, (struct span){.at = line, .len = end});
	}
}

static inline void actor_take(struct actor *actor, int fd)
{
	for (int i = 0; i < TALKS; i++) {
		if (actor->talk[i].fd >= 0)
			continue;
		actor->talk[i].fd = fd;
		actor->opened++;
		if (++actor->open > actor->most)
			actor->most = actor->open;
		if (actor->banner)
			actor_say(&actor->talk[i], actor->banner);
		return;
	}
	fail_msg("more than %d connections", TALKS);
}

static inline void actor_accept(struct actor *actor)
{
	int fd;

	while (actor->listener >= 0 &&
		(fd = accept4(actor->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
		actor_take(actor, fd);
}

/* Who has gone is noticed before who comes. */
static inline void actor_turn(struct actor *actor)
{
	for (int i = 0; i < TALKS; i++) {
		if (actor->talk[i].fd >= 0)
			actor_hear(actor, &actor->talk[i]);
	}
	actor_accept(actor);
}

/* ---- workers ---- */

struct worker {
	struct farm *farm;
	struct sys *sys;
	struct net_loop *loop;
	struct pools *pools;
	struct pool *pool;
	int row;
	bool stopped;          /* takes no turns */
	struct net_timer tick; /* keeps the turns short, for the actors */
	int64_t tick_at;
};

struct farm {
	struct board *board;
	void *map;
	struct conf_report report;
	struct conf *conf;
	int wakes[BOARD_ROWS];
	struct actor actor[ACTORS];
	struct worker worker[WORKERS];
	int workers;
	unsigned order; /* how many borrowers were served so far */
	int64_t end;
	uint64_t seed;
	bool slow_ticks; /* only wakes help */
};

static const struct conf_section *const pool_sections[] = {
	&pool_top_section, &pool_section, &pool_server_section};
static const struct conf_vocabulary pool_vocabulary = {.sections = pool_sections, .count = 3};

static inline void worker_tick(void *arg)
{
	struct worker *worker = arg;
	int64_t now = net_now(worker->loop);

	if (now >= worker->tick_at) {
		pools_tick(worker->pools);
		worker->tick_at = now + (worker->farm->slow_ticks ? HOUR : 0);
	}
	net_timer_set(worker->loop, &worker->tick, now + MSEC);
}

static inline void worker_woken(void *arg)
{
	struct worker *worker = arg;

	pools_tick(worker->pools);
}

static inline void worker_open(struct farm *farm, struct worker *worker, int index)
{
	worker->farm = farm;
	worker->row = board_row_take(farm->board, ROW_WORKER, 1, (unsigned)index);
	worker->sys = sys_real_new(&(struct sys_real_setup){
		.wakes = farm->wakes, .wake_count = BOARD_ROWS, .row = worker->row});
	worker->loop = net_loop_new(worker->sys);
	worker->pools = pools_new(
		&(struct pool_world){
			.loop = worker->loop,
			.board = farm->board,
			.row = worker->row,
			.hostname = "mw.test",
			.seed = farm->seed + (uint64_t)index,
		},
		farm->conf);
	worker->pool = pools_find(worker->pools, "p");
	assert_non_null(worker->pool);
	net_on_wake(worker->loop, worker_woken, worker);
	net_timer_init(&worker->tick, worker_tick, worker);
	net_timer_set(worker->loop, &worker->tick, net_now(worker->loop) + MSEC);
}

static inline void farm_config(struct farm *farm, const char *format)
{
	struct buf text = {0};

	/* "$0" is the address of actor 0. */
	for (const char *at = format; *at; at++) {
		if (*at == '$')
			buf_addf(&text, "127.0.0.1:%u", farm->actor[*++at - '0'].port);
		else
			buf_add(&text, at, 1);
	}
	farm->conf = conf_parse(&pool_vocabulary, buf_span(&text), "test", NULL, &farm->report);
	if (!farm->conf) {
		struct buf words = {0};

		conf_report_text(&farm->report, &words);
		fail_msg("%s", buf_string(&words));
	}
	buf_clear(&text);
}

/* A config with one pool "p"; what the servers offer isn't known yet. */
static inline void farm_open(struct farm *farm, int workers, const char *config)
{
	static bool known[BOARD_COLUMNS];
	struct err_text text;

	*farm = (struct farm){.workers = workers, .seed = 5};
	farm->map = mmap(NULL, board_size(), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_ptr_not_equal(farm->map, MAP_FAILED);
	assert_int_equal(board_attach(farm->map, &farm->board, &text), ERR_OK);
	for (int i = 0; i < BOARD_ROWS; i++)
		farm->wakes[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	for (int i = 0; i < ACTORS; i++)
		actor_open(&farm->actor[i]);
	farm_config(farm, config);
	assert_int_equal(pool_columns(farm->board, farm->conf, known, &text), ERR_OK);
	for (int i = 0; i < workers; i++)
		worker_open(farm, &farm->worker[i], i);
}

static inline int farm_server(const struct farm *farm, const char *name)
{
	int column = board_find(farm->board, BOARD_SERVER, name);

	assert_true(column >= 0);
	return column;
}

static inline void farm_turn(struct farm *farm)
{
	for (int i = 0; i < farm->workers; i++) {
		if (!farm->worker[i].stopped)
			net_turn(farm->worker[i].loop);
	}
	for (int i = 0; i < ACTORS; i++)
		actor_turn(&farm->actor[i]);
}

static inline int64_t farm_clock(const struct farm *farm)
{
	return sys_clock(farm->worker[0].sys);
}

/* Fails if it takes more than 10 s. */
#define FARM_UNTIL(farm, condition)                                                                \
	do {                                                                                       \
		(farm)->end = farm_clock(farm) + 10 * SECOND;                                      \
		while (!(condition) && farm_clock(farm) < (farm)->end)                             \
			farm_turn(farm);                                                           \
		assert_true(condition);                                                            \
	} while (0)

static inline void farm_turn_for(struct farm *farm, int64_t duration)
{
	int64_t end = farm_clock(farm) + duration;

	while (farm_clock(farm) < end)
		farm_turn(farm);
}

static inline uint32_t farm_places(
	const struct farm *farm, const char *server, enum board_place place)
{
	return board_places(farm->board, farm_server(farm, server), place);
}

static inline int64_t farm_sum(const struct farm *farm, const char *server, enum metric metric)
{
	return board_sum(farm->board, farm_server(farm, server), metric);
}

static inline void farm_judge(struct farm *farm, const char *server, enum server_state state)
{
	board_judge(farm->board, farm_server(farm, server),
		&(struct verdict){.state = state, .weight = 256});
}

/* The places are all given back, whatever happened. */
static inline void farm_close(struct farm *farm)
{
	for (int i = 0; i < farm->workers; i++) {
		struct worker *worker = &farm->worker[i];

		net_timer_clear(worker->loop, &worker->tick);
		pools_free(&worker->pools);
		net_loop_free(&worker->loop);
		assert_int_equal(sys_sockets(worker->sys), 0);
		sys_real_free(&worker->sys);
	}
	for (int i = 0; i < board_columns(farm->board); i++) {
		if (board_column_kind(farm->board, i) == BOARD_POOL) {
			assert_int_equal(board_sum(farm->board, i, M_POOL_waiting), 0);
			assert_int_equal(board_waiting(farm->board, i, NULL), -1);
			continue;
		}
		for (int place = 0; place < BOARD_PLACES; place++)
			assert_int_equal(board_places(farm->board, i, (enum board_place)place), 0);
	}
	for (int i = 0; i < ACTORS; i++)
		actor_close(&farm->actor[i]);
	for (int i = 0; i < BOARD_ROWS; i++)
		close(farm->wakes[i]);
	conf_free(&farm->conf);
	conf_report_clear(&farm->report);
	munmap(farm->map, board_size());
}

/* ---- borrowers ---- */

struct borrower {
	struct worker *worker;
	struct pool_want want;
	struct pool_tried tried;
	struct pool_loan *loan;
	bool told; /* ready() was called */
	enum err err;
	unsigned order; /* of all who were told, from 1 */
	bool ended;
	char text[200];
};

static inline void borrower_reply(void *arg, const struct smtp_client_event *event)
{
	(void)arg;
	(void)event;
}

static inline void borrower_ended(void *arg, const struct talk_end *end)
{
	struct borrower *borrower = arg;

	(void)end;
	borrower->ended = true;
}

static inline void borrower_greeted(void *arg)
{
	(void)arg;
	fail_msg("a loan was greeted twice");
}

static const struct talk_client_ops borrower_ops = {
	.greeted = borrower_greeted,
	.reply = borrower_reply,
	.ended = borrower_ended,
};

static inline void borrower_ready(void *arg, enum err err, struct pool_loan *loan, const char *text)
{
	struct borrower *borrower = arg;

	assert_false(borrower->told);
	borrower->told = true;
	borrower->err = err;
	borrower->order = ++borrower->worker->farm->order;
	snprintf(borrower->text, sizeof(borrower->text), "%s", text);
	if (err != ERR_OK) {
		assert_null(loan);
		borrower->loan = NULL;
		return;
	}
	assert_ptr_equal(loan, borrower->loan);
	assert_true(talk_client_clean(loan->talk));
	talk_client_hand_over(loan->talk, &borrower_ops, borrower);
}

static inline void borrow(struct farm *farm, int worker, struct borrower *borrower)
{
	borrower->worker = &farm->worker[worker];
	borrower->told = borrower->ended = false;
	borrower->want.tried = &borrower->tried;
	if (borrower->want.deadline == 0)
		borrower->want.deadline = NEVER;
	borrower->loan =
		pool_lend(borrower->worker->pool, &borrower->want, borrower_ready, borrower);
	assert_false(borrower->told);
	assert_non_null(borrower->loan);
}

static inline void borrow_now(struct farm *farm, int worker, struct borrower *borrower)
{
	borrow(farm, worker, borrower);
	FARM_UNTIL(farm, borrower->told);
	assert_int_equal(borrower->err, ERR_OK);
}

static inline void give_back(struct borrower *borrower, enum pool_return how)
{
	pool_give_back(&borrower->loan, how);
	assert_null(borrower->loan);
	borrower->told = false;
}

#endif
