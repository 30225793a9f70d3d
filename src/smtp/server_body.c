/*
 * The body as the client sends it: DATA up to its dot, or BDAT chunks of announced length.
 *
 *      DATA   COMMAND --354--> BODY ... BODY_END(slot of its own) --reply--> next transaction
 *      BDAT   COMMAND(slot)    BODY ... BODY_END(the same slot)       a reply to each chunk
 *
 * A chunk that comes out of order is read to its last octet all the same, since a client may send
 * it without waiting: its octets are never commands (hostile-input 9).
 *
 * The surprise: after a whole message nothing is read until its slot is answered, so the owner
 * sees one transaction at a time.  The bytes wait; they are no early input (RFC 2920 3.1).
 */
#include "smtp/server_private.h"

/* RFC 3030 2 allows 20 digits; nobody means more than 4 GiB, and hostile sizes do. */
#define CHUNK_MAX 0xffffffffu

/* ---- the end ---- */

static void finish_body(
	struct smtp_server *server, unsigned number, bool last, struct smtp_server_event *event_r)
{
	server->mode = MODE_COMMAND;
	event_r->kind = SRV_BODY_END;
	event_r->slot = number;
	event_r->last = last;
	event_r->flaw = server->unframe.flaw;
	if (!last)
		return;
	smtp_slot_find(server, number)->is_end = true;
	server->wait = WAIT_REPLY;
	server->turn = number;
	smtp_order_reset(server);
}

/* Once a body. */
static bool tell_flaw(struct smtp_server *server, struct smtp_server_event *event_r)
{
	if (server->unframe.flaw == FLAW_NONE || server->flaw_told)
		return false;
	server->flaw_told = true;
	event_r->kind = SRV_FLAW;
	event_r->flaw = server->unframe.flaw;
	return true;
}

static void tell_body(struct span body, struct smtp_server_event *event_r)
{
	event_r->kind = SRV_BODY;
	event_r->body = body;
}

/* ---- DATA ---- */

static size_t read_data(
	struct smtp_server *server, struct span in, struct smtp_server_event *event_r)
{
	size_t at = 0, step;

	do {
		struct span body;

		step = smtp_unframe_data(
			&server->unframe, &server->rules, span_from(in, at), &body);
		at += step;
		if (body.len > 0) {
			tell_body(body, event_r);
			return at;
		}
		if (tell_flaw(server, event_r))
			return at;
	} while (step > 0);
	if (server->unframe.done)
		finish_body(server, smtp_slot_take(server, VERB_DATA), true, event_r);
	return at;
}

/* ---- BDAT ---- */

static size_t eat_chunk(struct smtp_server *server, size_t len)
{
	if (len > server->chunk_left)
		len = (size_t)server->chunk_left;
	server->chunk_left -= len;
	return len;
}

/* The owner is asked now. */
static void close_chunk(struct smtp_server *server)
{
	smtp_slot_find(server, server->turn)->is_open = false;
	server->slots.asked++;
}

static size_t read_chunk(
	struct smtp_server *server, struct span in, struct smtp_server_event *event_r)
{
	size_t len = eat_chunk(server, in.len), sound;
	bool told = server->flaw_told;

	if (len > 0 && !told) {
		sound = smtp_unframe_chunk(
			&server->unframe, &server->rules, (struct span){.at = in.at, .len = len});
		if (sound > 0) {
			/* What stands behind the flaw comes again, to be told of it. */
			server->chunk_left += len - sound;
			tell_body((struct span){.at = in.at, .len = sound}, event_r);
			return sound;
		}
	}
	if (server->chunk_left == 0 && server->chunk_last)
		smtp_unframe_end(&server->unframe, &server->rules);
	if (tell_flaw(server, event_r) || server->chunk_left > 0)
		return len;
	close_chunk(server);
	finish_body(server, server->turn, server->chunk_last, event_r);
	return len;
}

static size_t swallow(struct smtp_server *server, struct span in, struct smtp_server_event *event_r)
{
	size_t len = eat_chunk(server, in.len);

	if (server->chunk_left > 0)
		return len;
	close_chunk(server);
	server->mode = MODE_COMMAND;
	event_r->kind = SRV_ANSWERED;
	event_r->own = SMTP_OWN_BAD_SEQUENCE;
	event_r->slot = server->turn;
	smtp_slot_own(server, server->turn, SMTP_OWN_BAD_SEQUENCE, "this chunk was not expected");
	return len;
}

/* "1000" or "1000 LAST". */
static bool read_size(struct span rest, struct smtp_command *command)
{
	size_t digits = span_find(rest, ' ');
	struct span number = {.at = rest.at, .len = digits};
	struct span behind = span_trim(span_from(rest, digits));

	command->bdat.last = span_is_nocase(behind, "LAST");
	return (behind.len == 0 || command->bdat.last) && number.len <= 20 &&
	       span_to_u64(number, CHUNK_MAX, &command->bdat.size);
}

void smtp_server_bdat(struct smtp_server *server, struct span line, struct span rest, bool legal,
	struct smtp_server_event *event_r)
{
	struct smtp_command command = {.verb = VERB_BDAT, .line = line};

	if (!read_size(rest, &command)) {
		smtp_server_break(server, SMTP_OWN_BAD_CHUNK_SIZE, event_r);
		return;
	}
	/* Out of order it is no part of a transaction, and its 503 moves nothing. */
	server->turn = smtp_slot_take(server, legal ? VERB_BDAT : VERB_UNKNOWN);
	smtp_slot_find(server, server->turn)->is_open = true;
	server->slots.asked--;
	server->chunk_left = command.bdat.size;
	server->chunk_last = command.bdat.last;
	server->mode = legal ? MODE_CHUNK : MODE_SWALLOW;
	if (!legal) {
		swallow(server, (struct span){.at = NULL, .len = 0}, event_r);
		return;
	}
	server->order = ORDER_CHUNK;
	event_r->kind = SRV_COMMAND;
	event_r->slot = server->turn;
	event_r->command = command;
}

size_t smtp_server_body(
	struct smtp_server *server, struct span in, struct smtp_server_event *event_r)
{
	switch (server->mode) {
	case MODE_DATA:
		return read_data(server, in, event_r);
	case MODE_CHUNK:
		return read_chunk(server, in, event_r);
	default:
		return swallow(server, in, event_r);
	}
}
