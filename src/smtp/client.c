/*
 * The conversation with a server: what was asked, and which reply answers it.
 *
 *      asked   [ MAIL | RCPT | RCPT ]      each reply pops the head
 *      octets  ==================|------   sent | queued: no reply can be to what hasn't left
 *
 * A reply that fits nothing poisons the connection: the next one would be read as the answer to
 * somebody else's command (hostile-input 27).
 */
#include "smtp/client_private.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/testing.h"

#define FEW 8

static struct smtp_ask *ask_at(const struct smtp_client *client, unsigned index)
{
	return &client->ask[(client->head + index) % client->room];
}

static void grow(struct smtp_client *client)
{
	unsigned room = client->room > 0 ? client->room * 2 : FEW;
	struct smtp_ask *ask = mem_grow(NULL, room, sizeof(*ask));

	for (unsigned i = 0; i < client->count; i++)
		ask[i] = *ask_at(client, i);
	free(client->ask);
	client->ask = ask;
	client->room = room;
	client->head = 0;
}

static void pop(struct smtp_client *client)
{
	client->head = (client->head + 1) % client->room;
	client->count--;
	/* A ring that many recipients have made large isn't kept by an idle connection. */
	if (client->count > 0 || client->room <= FEW)
		return;
	free(client->ask);
	client->ask = NULL;
	client->room = client->head = 0;
}

void smtp_client_ask(struct smtp_client *client, enum smtp_phase phase, unsigned tag, size_t follow)
{
	if (client->count == client->room)
		grow(client);
	*ask_at(client, client->count) = (struct smtp_ask){.due = client->queued,
		.whole = client->queued + follow,
		.tag = tag,
		.phase = (uint8_t)phase};
	client->count++;
}

void smtp_client_put(struct smtp_client *client, const void *bytes, size_t len)
{
	chain_add_copy(&client->out, bytes, len);
	client->queued += len;
}

struct smtp_client *smtp_client_new(struct chunk_pool *pool)
{
	struct smtp_client *client = mem_new(sizeof(*client));

	chain_init(&client->out, pool);
	chain_init(&client->held, pool);
	client->body_at = client->end_at = SMTP_NOWHERE;
	smtp_client_ask(client, PHASE_BANNER, 0, 0);
	return client;
}

void smtp_client_free(struct smtp_client **client)
{
	if (!*client)
		return;
	chain_clear(&(*client)->out);
	chain_clear(&(*client)->held);
	free((*client)->ask);
	free(*client);
	*client = NULL;
}

/* ---- sending ---- */

/* A new message begins; what was known of the last one's way is history. */
static void forget_body(struct smtp_client *client)
{
	client->body_at = client->end_at = SMTP_NOWHERE;
	client->form = FORM_NONE;
	client->end_wanted = false;
}

void smtp_client_send(
	struct smtp_client *client, enum smtp_phase phase, struct span line, unsigned tag)
{
	assert(smtp_scan(line.at, line.len) == line.len);
	/* From DATA on the server may take any octet for the message. */
	assert(client->form != FORM_ASKED && client->form != FORM_OPEN &&
		client->form != FORM_SPENT);
	/* RSET may stand before a MAIL that waits for its reply. */
	if (phase == PHASE_MAIL || phase == PHASE_RSET)
		forget_body(client);
	smtp_client_put(client, line.at, line.len);
	smtp_client_put(client, "\r\n", 2);
	if (phase != PHASE_RSET || !PLANTED(crossed_reply))
		smtp_client_ask(client, phase, tag, 0);
}

struct chain *smtp_client_out(struct smtp_client *client)
{
	return &client->out;
}

void smtp_client_sent(struct smtp_client *client, size_t taken)
{
	client->sent += taken;
	assert(client->sent <= client->queued);
}

enum smtp_fate smtp_client_fate(const struct smtp_client *client)
{
	if (client->sent > client->end_at)
		return FATE_ENDED;
	return client->sent > client->body_at ? FATE_OPEN : FATE_UNSENT;
}

/* ---- replies ---- */

/* Whether `code` can be an answer to `ask` (RFC 5321 4.3.2). */
static bool fits(const struct smtp_client *client, const struct smtp_ask *ask, uint16_t code)
{
	bool is_left = client->sent >= ask->due;

	switch (code / 100) {
	case 2:
		/* Nobody can have accepted what hasn't got there whole (hostile-input 31). */
		return client->sent >= ask->whole && ask->phase != PHASE_DATA;
	case 3:
		return is_left && ask->phase == PHASE_DATA && code == 354;
	default:
		return is_left || (ask->phase == PHASE_END && client->sent >= client->body_at);
	}
}

/* The reply is to the oldest question.  False: it can't be. */
static bool take_answer(struct smtp_client *client, struct smtp_client_event *event)
{
	struct smtp_ask ask = *ask_at(client, 0);

	if (!fits(client, &ask, event->reply.code))
		return false;
	event->phase = ask.phase;
	event->tag = ask.tag;
	pop(client);
	if (ask.phase == PHASE_DATA)
		smtp_client_data_answered(client, event->reply.code == 354);
	return true;
}

/* The body flows and nothing was asked: only a refusal can come, and there is no way back to a
 * command from here (hostile-input 31). */
static bool take_early(struct smtp_client *client, struct smtp_client_event *event)
{
	if (event->reply.code < 400)
		return false;
	event->phase = PHASE_BODY;
	event->tag = client->tag;
	client->form = FORM_SPENT;
	return true;
}

size_t smtp_client_next(
	struct smtp_client *client, struct span in, struct smtp_client_event *event_r)
{
	struct smtp_client_event event = {.kind = CLI_REPLY};
	bool expected = client->count > 0 || client->form == FORM_OPEN, broken = false;
	size_t eaten = 0;

	*event_r = (struct smtp_client_event){.kind = CLI_MORE};
	if (in.len > 0 && expected && !client->poisoned)
		eaten = smtp_reply_parse(in, &event.reply, &broken);
	if (eaten > 0)
		broken = !(client->count > 0 ? take_answer(client, &event)
					     : take_early(client, &event));
	if (broken || client->poisoned || (in.len > 0 && !expected)) {
		client->poisoned = true;
		event_r->kind = CLI_POISONED;
		return 0;
	}
	if (eaten > 0)
		*event_r = event;
	return eaten;
}

unsigned smtp_client_outstanding(const struct smtp_client *client)
{
	return client->count;
}

enum smtp_phase smtp_client_waits_for(const struct smtp_client *client)
{
	return client->count > 0 ? ask_at(client, 0)->phase : PHASE_BODY;
}
