/*
 * The body on its way to a server, in one of two forms.
 *
 *      BDAT   held --64 KiB--> [BDAT 65536 CRLF octets] ... [BDAT n LAST CRLF octets]
 *      DATA   held until 354 --stuffed--> octets ... [CRLF] . CRLF
 *                                                    ^ end_at: from this octet on nobody knows
 *
 * The last frame is never full by chance: a frame leaves only when more octets than it holds have
 * come, so the message's last octets go with LAST and no round trip is spent on "BDAT 0 LAST".
 */
#include "smtp/client_private.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/testing.h"

static void open_body(struct smtp_client *client)
{
	if (client->body_at == SMTP_NOWHERE)
		client->body_at = client->queued;
}

/* ---- BDAT (RFC 3030) ---- */

/* Move the first `len` octets of what is held into `out`. */
static void release(struct smtp_client *client, size_t len)
{
	struct chain_piece *piece;
	size_t left = len;

	CHAIN_FOREACH (piece, &client->held) {
		size_t part = piece->len < left ? piece->len : left;

		chain_add(&client->out, piece->chunk, piece->at, part);
		left -= part;
		if (left == 0)
			break;
	}
	chain_eat(&client->held, len);
	client->queued += len;
}

static void send_frame(struct smtp_client *client, size_t len, bool last)
{
	char line[48];
	int line_len = snprintf(line, sizeof(line), "BDAT %zu%s\r\n", len, last ? " LAST" : "");

	smtp_client_put(client, line, (size_t)line_len);
	smtp_client_ask(client, last ? PHASE_END : PHASE_BODY, client->tag, len);
	/* An empty last frame ends with its command line. */
	if (len > 0)
		open_body(client);
	release(client, len);
	if (last)
		client->end_at = client->queued - 1;
}

static void gather(struct smtp_client *client, struct chunk *chunk, size_t at, size_t len)
{
	while (len > 0) {
		size_t room = SMTP_FRAME - client->held.len;
		size_t part = len < room ? len : room;

		if (part == 0) {
			send_frame(client, SMTP_FRAME, false);
			continue;
		}
		chain_add(&client->held, chunk, at, part);
		at += part;
		len -= part;
	}
}

/* ---- DATA ---- */

static void flow(struct smtp_client *client, struct chunk *chunk, size_t at, size_t len)
{
	size_t before = client->out.len;

	open_body(client);
	smtp_stuff(&client->stuff, chunk, at, len, &client->out);
	client->queued += client->out.len - before;
}

static void end_data(struct smtp_client *client)
{
	size_t before = client->out.len;

	open_body(client);
	client->end_at = client->queued;
	smtp_stuff_end(&client->stuff, &client->out);
	client->queued += client->out.len - before;
	smtp_client_ask(client, PHASE_END, client->tag, 0);
	client->form = FORM_ENDED;
}

void smtp_client_data_answered(struct smtp_client *client, bool go_ahead)
{
	struct chain_piece *piece;

	client->form = go_ahead ? FORM_OPEN : FORM_LOST;
	if (go_ahead) {
		CHAIN_FOREACH (piece, &client->held)
			flow(client, piece->chunk, piece->at, piece->len);
	}
	chain_clear(&client->held);
	if (go_ahead && client->end_wanted)
		end_data(client);
}

/* ---- the calls of client.h ---- */

void smtp_client_body_begin(struct smtp_client *client, bool chunking, unsigned tag)
{
	assert(client->form == FORM_NONE && client->held.len == 0);
	client->tag = tag;
	client->stuff = (struct smtp_stuff){0};
	if (!chunking)
		smtp_client_send(client, PHASE_DATA, SPAN("DATA"), tag);
	client->form = chunking ? FORM_BDAT : FORM_ASKED;
}

void smtp_client_body(struct smtp_client *client, struct chunk *chunk, size_t at, size_t len)
{
	switch ((enum smtp_form)client->form) {
	case FORM_BDAT:
		gather(client, chunk, at, len);
		break;
	case FORM_ASKED:
		chain_add(&client->held, chunk, at, len);
		break;
	case FORM_OPEN:
		flow(client, chunk, at, len);
		break;
	case FORM_LOST:
	case FORM_SPENT:
		break;
	case FORM_NONE:  /* unreachable: the owner's bug */
	case FORM_ENDED: /* unreachable: the owner's bug */
		assert(!"a body begins, flows and ends");
	}
}

/* The end of data is a promise: for exactly the recipients whose replies were read. */
static bool envelope_is_answered(const struct smtp_client *client)
{
	for (unsigned i = 0; i < client->count; i++) {
		uint8_t phase = client->ask[(client->head + i) % client->room].phase;

		if (phase == PHASE_MAIL || phase == PHASE_RCPT) /* unreachable: asserted */
			return false;
	}
	return true;
}

void smtp_client_body_end(struct smtp_client *client)
{
	assert(envelope_is_answered(client) || PLANTED(end_before_rcpt));
	switch ((enum smtp_form)client->form) {
	case FORM_BDAT:
		send_frame(client, client->held.len, true);
		client->form = FORM_ENDED;
		break;
	case FORM_ASKED:
		client->end_wanted = true;
		break;
	case FORM_OPEN:
		end_data(client);
		break;
	case FORM_LOST:
	case FORM_SPENT:
		break;
	case FORM_NONE:  /* unreachable: the owner's bug */
	case FORM_ENDED: /* unreachable: the owner's bug */
		assert(!"a body begins, flows and ends");
	}
}

size_t smtp_client_held(const struct smtp_client *client)
{
	return client->held.len;
}
