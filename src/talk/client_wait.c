/*
 * Which time-out runs: that of the oldest command without a reply, each of which has its time from
 * the reply before it (RFC 5321 4.5.3.2).  A body has no time as a whole: `block` begins again
 * with whatever the kernel takes, and only when all of it has gone does the server's own time,
 * `end`, begin.
 */
#include "talk/client_private.h"

/* RFC 5321 4.5.3.2 where being generous costs nothing; shorter where another server can still
 * take the message.  Never shorter than 600 s at the end: a time-out there makes doubles. */
const struct talk_client_times talk_client_default_times = {
	.connect = 5 * SECOND,
	.banner = 10 * SECOND,
	.ehlo = 10 * SECOND,
	.mail = 30 * SECOND,
	.rcpt = 30 * SECOND,
	.data = 120 * SECOND,
	.block = 180 * SECOND,
	.end = 600 * SECOND,
	.quit = 5 * SECOND,
};

static enum smtp_phase phase_now(const struct talk_client *talk)
{
	if (talk->stage == STAGE_CONNECT)
		return PHASE_CONNECT;
	return talk->asked ? smtp_client_waits_for(talk->smtp) : PHASE_BODY;
}

static int64_t phase_time(const struct talk_client_times *times, enum smtp_phase phase)
{
	switch (phase) {
	case PHASE_CONNECT:
		return times->connect;
	case PHASE_BANNER:
		return times->banner;
	case PHASE_EHLO:
		return times->ehlo;
	case PHASE_RCPT:
		return times->rcpt;
	case PHASE_DATA:
		return times->data;
	case PHASE_BODY:
		return times->block;
	case PHASE_END:
		return times->end;
	case PHASE_QUIT:
		return times->quit;
	case PHASE_MAIL:
	case PHASE_RSET:
	case SMTP_PHASES:
		break;
	}
	return times->mail;
}

static bool unsent(const struct talk_client *talk)
{
	return net_unsent(talk->stream) > 0;
}

static int64_t later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

int64_t talk_wait_due(const struct talk_client *talk)
{
	enum smtp_phase phase = phase_now(talk);

	if (talk->stage == STAGE_QUIT)
		return talk->leave_by;
	if (talk->unwritable)
		return talk->since + LAST_WORDS;
	if (phase == PHASE_BODY && talk->asked == 0 && !unsent(talk))
		return NEVER;
	if (phase != PHASE_BODY && phase != PHASE_END)
		return talk->since + phase_time(talk->times, phase);
	return later(talk->since, talk->progress) +
	       (unsent(talk) ? talk->times->block : phase_time(talk->times, phase));
}

void talk_waited_enough(struct talk_client *talk)
{
	enum smtp_phase phase = phase_now(talk);

	if (talk->stage == STAGE_QUIT)
		talk_end(talk, CLOSE_QUIT, NULL, "QUIT not answered");
	else if (phase == PHASE_CONNECT)
		talk_connect_next(talk, CLOSE_CONNECT_TIMEOUT, "timed out");
	else if (talk->unwritable)
		talk_end_closed(talk);
	else if (unsent(talk) && (phase == PHASE_BODY || phase == PHASE_END))
		talk_end(talk, CLOSE_TIMEOUT, NULL, "timed out sending the body");
	else
		talk_end(talk, CLOSE_TIMEOUT, NULL, "timed out waiting for the reply to %s",
			smtp_phase_name(phase));
}
