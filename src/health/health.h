/*
 * Health of the servers, in the control process: looks up their names, runs the scripted checks,
 * reads the signs that workers left on the board, and writes the verdicts that pools obey.
 * It neither includes nor calls `pool`; the board is between them.
 */
#ifndef HEALTH_HEALTH_H
#define HEALTH_HEALTH_H

#include "board/board.h"
#include "conf/conf.h"
#include "net/net.h"

struct health;

struct health_world {
	struct net_loop *loop;
	struct board *board;
	int row; /* control's */
	const struct conf *conf;
	const char *hostname;
	const char *state; /* directory for what outlives a restart; NULL: none */
	uint64_t seed;     /* jitter */
};

struct health *health_new(const struct health_world *world);
void health_free(struct health **health);

#endif
