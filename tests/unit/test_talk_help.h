/*
 * For the tests of talk: raw peers on sockets of their own, played by the test between the turns of
 * the loop.
 */
#ifndef TEST_TALK_HELP_H
#define TEST_TALK_HELP_H

#include "test_net_help.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

/* A world whose turns never wait long, since a raw peer wakes nobody when it is heard. */
struct stage {
	struct world world;
	struct net_timer tick;
};

static inline void stage_tick(void *arg)
{
	struct stage *stage = arg;

	net_timer_set(stage->world.loop, &stage->tick, net_now(stage->world.loop) + MSEC);
}

static inline void stage_open(struct stage *stage)
{
	world_open(&stage->world);
	net_timer_init(&stage->tick, stage_tick, stage);
	stage_tick(stage);
}

static inline void stage_close(struct stage *stage)
{
	net_timer_clear(stage->world.loop, &stage->tick);
	world_close(&stage->world);
}

/* As TURN_UNTIL, for a condition that may be asked for once only after it holds. */
#define STAGE_UNTIL(stage, condition)                                                              \
	do {                                                                                       \
		struct world *turned = &(stage)->world;                                            \
		bool holds;                                                                        \
		turned->late = false;                                                              \
		net_timer_set(turned->loop, &turned->guard, net_now(turned->loop) + 20 * SECOND);  \
		while (!(holds = (condition)) && !turned->late)                                    \
			assert_true(net_turn(turned->loop));                                       \
		net_timer_clear(turned->loop, &turned->guard);                                     \
		if (!holds)                                                                        \
			fail_msg("never: %s", #condition);                                         \
	} while (0)

struct raw {
	int fd;
	struct buf got;
	bool eof, reset;
};

static inline void raw_init(struct raw *raw, int fd)
{
	int on = 1;

	assert_true(fd >= 0);
	*raw = (struct raw){.fd = fd};
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
}

static inline struct sockaddr_in raw_address(const struct addr *addr)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(addr->port)};

	memcpy(&in.sin_addr, addr->ip4, sizeof(in.sin_addr));
	return in;
}

/* `buffer`: size of its receive buffer; 0: as usual. */
static inline void raw_connect(struct raw *raw, const struct addr *to, int buffer)
{
	struct sockaddr_in in = raw_address(to);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (buffer > 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer));
	assert_int_equal(connect(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	raw_init(raw, fd);
}

static inline void raw_say_bytes(struct raw *raw, const void *bytes, size_t len)
{
	if (len > 0)
		assert_int_equal(send(raw->fd, bytes, len, MSG_NOSIGNAL), len);
}

static inline void raw_say(struct raw *raw, const char *text)
{
	raw_say_bytes(raw, text, strlen(text));
}

static inline void raw_hear(struct raw *raw)
{
	static char bytes[65536];
	ssize_t got;

	while (!raw->eof && (got = recv(raw->fd, bytes, sizeof(bytes), 0)) >= 0) {
		raw->eof = got == 0;
		buf_add(&raw->got, bytes, (size_t)got);
	}
	if (!raw->eof && errno != EAGAIN)
		raw->eof = raw->reset = true;
}

static inline const char *raw_text(struct raw *raw)
{
	raw_hear(raw);
	return buf_string(&raw->got);
}

/* Whether all it has heard is this; what follows is heard afresh. */
static inline bool raw_heard(struct raw *raw, const char *text)
{
	if (strcmp(raw_text(raw), text) != 0)
		return false;
	buf_reset(&raw->got);
	return true;
}

/* The last reply it has heard begins so, and is complete. */
static inline bool raw_last(struct raw *raw, const char *begins)
{
	struct span got;
	size_t at;

	raw_hear(raw);
	got = buf_span(&raw->got);
	if (got.len < 2 || got.at[got.len - 1] != '\n')
		return false;
	for (at = got.len - 1; at > 0 && got.at[at - 1] != '\n'; at--)
		;
	return span_starts_nocase(span_from(got, at), begins);
}

static inline bool raw_closed(struct raw *raw)
{
	raw_hear(raw);
	return raw->eof;
}

static inline void raw_finish(struct raw *raw) /* FIN */
{
	assert_int_equal(shutdown(raw->fd, SHUT_WR), 0);
}

static inline void raw_clear(struct raw *raw)
{
	if (raw->fd >= 0)
		close(raw->fd);
	raw->fd = -1;
	buf_clear(&raw->got);
}

static inline void raw_reset(struct raw *raw)
{
	struct linger now = {.l_onoff = 1, .l_linger = 0};

	setsockopt(raw->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	raw_clear(raw);
}

#endif
