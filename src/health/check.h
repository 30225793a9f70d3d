/*
 * One scripted check of one server: connects, walks a script of commands and expected replies,
 * says QUIT, and tells how it went.  It always ends the conversation properly, so that no error is
 * left in the server's log.
 */
#ifndef HEALTH_CHECK_H
#define HEALTH_CHECK_H

#include "board/board.h"
#include "health/health_conf.h"
#include "net/net.h"

enum health_result {
	HEALTH_PASSED,
	HEALTH_FAILED,
	HEALTH_FULL, /* "too many connections": it is well, and busy; says nothing about up or down
		      */
};

struct health_finding {
	enum health_result result;
	enum server_reason reason;
	uint32_t caps; /* of EHLO; 0: none was read */
	uint64_t size;
	int64_t took;
	char text[200]; /* a sentence: "banner: 554 5.7.1 go away" */
};

struct check;
typedef void check_done_fn(void *arg, const struct health_finding *finding);

/* Begin a check; `done` is called once, from a later turn, unless it is freed before. */
struct check *check_new(struct net_loop *loop, const struct addr *addr, unsigned addr_count,
	const char *hostname, const struct health_check_settings *settings, check_done_fn *done,
	void *arg);
void check_free(struct check **check);

#endif
