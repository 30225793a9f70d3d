/*
 * Patience with a client.
 */
#include "talk/patience.h"

void talk_patience_init(struct talk_patience *patience, const struct talk_server_times *times)
{
	*patience = (struct talk_patience){.times = *times};
}

/* Bring the meter up to now. */
static void count(struct talk_patience *patience, int64_t now)
{
	if (patience->metering && patience->state != PATIENCE_OFF)
		patience->spent += now - patience->counted;
	patience->counted = now;
}

void talk_patience_move(struct talk_patience *patience, enum talk_patience_state state, int64_t now)
{
	if (state == patience->state)
		return;
	count(patience, now);
	patience->state = state;
	patience->since = now;
}

void talk_patience_command(struct talk_patience *patience, int64_t now)
{
	patience->since = now;
}

void talk_patience_octets(struct talk_patience *patience, size_t octets, int64_t now)
{
	count(patience, now);
	patience->metering = true;
	patience->octets += octets;
	patience->since = now;
}

void talk_patience_body_over(struct talk_patience *patience, int64_t now)
{
	patience->metering = false;
	patience->spent = 0;
	patience->octets = 0;
	patience->since = now;
}

/* The time that so many octets may take; nothing is judged in the first `command` of it. */
static int64_t allowed(const struct talk_patience *patience)
{
	uint64_t rate = patience->times.rate;
	int64_t fair = (int64_t)(patience->octets / rate) * SECOND +
		       (int64_t)(patience->octets % rate * (uint64_t)SECOND / rate);

	return fair > patience->times.command ? fair : patience->times.command;
}

int64_t talk_patience_due(const struct talk_patience *patience, enum talk_close *why_r)
{
	const struct talk_server_times *times = &patience->times;
	int64_t due, slow;

	*why_r = CLOSE_TIMEOUT;
	if (patience->state == PATIENCE_OFF)
		return NEVER;
	due = patience->since + (patience->state == PATIENCE_BODY ? times->body : times->command);
	if (!patience->metering || times->rate == 0)
		return due;
	slow = patience->counted + allowed(patience) - patience->spent;
	if (slow >= due)
		return due;
	*why_r = CLOSE_TOO_SLOW;
	return slow;
}
