/*
 * How long a client is waited for: the arithmetic of talk_server's time-outs, apart from the
 * timers.  Private to talk/.
 *
 *     OFF      we owe an answer or hold the client back: its time stands still
 *     COMMAND  a whole line is to come within times.command, however its bytes drip
 *     BODY     the next octet is to come within times.body
 *
 * A meter for the minimum rate runs over a message's body from its first octet to its end, in
 * COMMAND too (between the chunks of BDAT), never while OFF.
 */
#ifndef TALK_PATIENCE_H
#define TALK_PATIENCE_H

#include "talk/server.h"

enum talk_patience_state { PATIENCE_OFF, PATIENCE_COMMAND, PATIENCE_BODY };

struct talk_patience {
	struct talk_server_times times;
	enum talk_patience_state state;
	int64_t since; /* the wait that `state` bounds began here */
	bool metering;
	int64_t spent; /* by the meter, up to `counted` */
	int64_t counted;
	uint64_t octets;
};

void talk_patience_init(struct talk_patience *patience, const struct talk_server_times *times);
void talk_patience_move(
	struct talk_patience *patience, enum talk_patience_state state, int64_t now);
/* A whole command came: the wait begins again. */
void talk_patience_command(struct talk_patience *patience, int64_t now);
void talk_patience_octets(struct talk_patience *patience, size_t octets, int64_t now);
void talk_patience_body_over(struct talk_patience *patience, int64_t now);
/* When patience ends if nothing more comes; NEVER while OFF.  *why_r: then the client is timed
 * out or too slow. */
int64_t talk_patience_due(const struct talk_patience *patience, enum talk_close *why_r);

#endif
