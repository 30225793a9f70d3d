/*
 * The conversation with a client: the calls of server.h, over the parts named in server_private.h.
 *
 * The surprise: input before a reply is told by where the reply is.  While it stands in `out` it
 * has not left, so the client can't have read it; bytes that are there already were sent before.
 */
#include "smtp/server_private.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

struct smtp_server *smtp_server_new(struct chunk_pool *pool, const struct smtp_server_rules *rules)
{
	struct smtp_server *server = mem_new(sizeof(*server));

	chain_init(&server->out, pool);
	server->rules = *rules;
	return server;
}

void smtp_server_free(struct smtp_server **server)
{
	if (!*server)
		return;
	smtp_slots_drop(*server);
	chain_clear(&(*server)->out);
	free((*server)->slots.at);
	free(*server);
	*server = NULL;
}

/* ---- the next event ---- */

/* Whether the slot that reading waits for lets it go on. */
static bool wait_is_over(struct smtp_server *server)
{
	if (server->wait == WAIT_NONE || server->wait == WAIT_EARLY)
		return server->wait == WAIT_NONE;
	if (smtp_slot_find(server, server->turn))
		return false;
	if (server->wait == WAIT_LEFT && server->out.len > 0)
		return false;
	server->wait = WAIT_NONE;
	return true;
}

static size_t read_command(
	struct smtp_server *server, struct span in, struct smtp_server_event *event_r)
{
	enum smtp_line_kind kind;
	struct span line;
	size_t eaten;

	if (server->slots.count >= SMTP_SLOTS_MAX)
		return 0;
	eaten = smtp_server_line(server, in, &kind, &line);
	if (kind == SMTP_LINE_WHOLE && smtp_server_must_wait(server, line))
		return 0;
	server->partial = kind == SMTP_LINE_PARTIAL && (in.len > 0 || server->discarding);
	switch (kind) {
	case SMTP_LINE_PARTIAL:
		break;
	case SMTP_LINE_WHOLE:
		smtp_server_command(server, line, event_r);
		/* An owner that sends at once, before it reads on, hides from us what was early. */
		if (server->wait == WAIT_LEFT && eaten < in.len)
			server->wait = WAIT_EARLY;
		break;
	case SMTP_LINE_LONG:
		smtp_server_answer(server, SMTP_OWN_LINE_TOO_LONG, event_r);
		break;
	case SMTP_LINE_BARE:
		smtp_server_answer(server, SMTP_OWN_BARE_IN_COMMAND, event_r);
		break;
	case SMTP_LINE_FOREIGN:
		smtp_server_break(server, SMTP_OWN_NOT_SMTP, event_r);
		break;
	case SMTP_LINE_LOST:
		smtp_server_break(server, SMTP_OWN_BAD_CHUNK_SIZE, event_r);
		break;
	}
	return eaten;
}

size_t smtp_server_next(
	struct smtp_server *server, struct span in, struct smtp_server_event *event_r)
{
	size_t eaten;

	*event_r = (struct smtp_server_event){.kind = SRV_MORE};
	if (server->quitting)
		return in.len;
	if (!wait_is_over(server)) {
		if (server->wait == WAIT_REPLY || in.len == 0)
			return 0;
		smtp_server_break(server, SMTP_OWN_EARLY_INPUT, event_r);
		return in.len;
	}
	if (server->mode != MODE_COMMAND)
		return smtp_server_body(server, in, event_r);
	eaten = read_command(server, in, event_r);
	/* A chunk out of order is no event until it is swallowed; its octets may be here already.
	 */
	if (event_r->kind == SRV_MORE && server->mode == MODE_SWALLOW)
		eaten += smtp_server_body(server, span_from(in, eaten), event_r);
	return eaten;
}

/* ---- replies ---- */

void smtp_server_reply(struct smtp_server *server, unsigned slot, const struct smtp_reply *reply)
{
	smtp_slot_answer(server, slot, reply);
}

void smtp_server_own(
	struct smtp_server *server, unsigned slot, enum smtp_own own, const char *argument)
{
	smtp_slot_own(server, slot, own, argument);
}

void smtp_server_say(struct smtp_server *server, enum smtp_own own, const char *argument)
{
	struct buf wire = {0};
	struct smtp_reply reply;

	if (own != SMTP_OWN_BANNER) {
		smtp_slots_last(server, own, argument);
		return;
	}
	smtp_own_reply(own, argument, &wire, &reply);
	chain_add_copy(&server->out, reply.wire.at, reply.wire.len);
	buf_clear(&wire);
}

/* ---- EHLO ---- */

/* RFC 5321 4.1.1.1: all lines but the last have a hyphen behind the code. */
static void add_line(struct buf *wire, size_t *last, const char *text)
{
	if (wire->len > 0)
		wire->at[*last + 3] = '-';
	*last = wire->len;
	buf_addf(wire, "250 %s\r\n", text);
}

static const struct {
	uint32_t bit;
	const char *keyword;
} offered[] = {
#define SMTP_OFFER_ROW(name, bit, keyword) {SMTP_CAP_##name, keyword},
	SMTP_CAPS(SMTP_OFFER_ROW)
#undef SMTP_OFFER_ROW
};

void smtp_server_reply_ehlo(struct smtp_server *server, unsigned slot, const char *hostname,
	const struct smtp_offer *offer)
{
	struct buf wire = {0};
	struct smtp_reply reply = {.code = 250};
	size_t last = 0;

	add_line(&wire, &last, hostname);
	for (size_t i = 0; i < sizeof(offered) / sizeof(offered[0]); i++) {
		char size[32];

		if (!(offer->caps & offered[i].bit) || offered[i].bit == SMTP_CAP_SEEN)
			continue;
		snprintf(size, sizeof(size), "SIZE %llu", (unsigned long long)offer->size);
		add_line(&wire, &last,
			offered[i].bit == SMTP_CAP_SIZE && offer->size > 0 ? size
									   : offered[i].keyword);
	}
	reply.wire = buf_span(&wire);
	smtp_slot_answer(server, slot, &reply);
	buf_clear(&wire);
}

/* ---- questions ---- */

struct chain *smtp_server_out(struct smtp_server *server)
{
	return &server->out;
}

unsigned smtp_server_pending(const struct smtp_server *server)
{
	return server->slots.asked;
}

bool smtp_server_between(const struct smtp_server *server)
{
	return server->order <= ORDER_READY && server->mode == MODE_COMMAND &&
	       server->slots.count == 0 && !server->partial && !server->quitting;
}

bool smtp_server_in_body(const struct smtp_server *server)
{
	return server->mode != MODE_COMMAND;
}

bool smtp_server_quitting(const struct smtp_server *server)
{
	return server->quitting;
}
