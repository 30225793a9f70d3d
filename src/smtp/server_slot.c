/*
 * Slots: replies leave in the order of their commands, whenever each is given.
 *
 *      slots  [ MAIL 250 | RCPT ?? | RCPT 550 | DATA ?? ]
 *               leaves     ^ all behind it wait for this one
 *
 * A reply also moves the order of commands, at the moment it is given.  What was built on a command
 * that is now refused is made void: it will be answered 503 by us, in its turn, whatever the owner
 * says; so no "250" follows the refusal of what it depends on.
 */
#include "smtp/server_private.h"

#include <assert.h>
#include <stdlib.h>

#define FEW 8

static struct smtp_slot *slot_at(struct smtp_slots *slots, unsigned index)
{
	return &slots->at[(slots->head + index) % slots->room];
}

static void grow(struct smtp_slots *slots)
{
	unsigned room = slots->room > 0 ? slots->room * 2 : FEW;
	struct smtp_slot *at = mem_grow(NULL, room, sizeof(*at));

	for (unsigned i = 0; i < slots->count; i++)
		at[i] = *slot_at(slots, i);
	free(slots->at);
	slots->at = at;
	slots->room = room;
	slots->head = 0;
}

unsigned smtp_slot_take(struct smtp_server *server, enum smtp_verb verb)
{
	struct smtp_slots *slots = &server->slots;

	if (slots->count == slots->room)
		grow(slots);
	*slot_at(slots, slots->count) =
		(struct smtp_slot){.verb = (uint8_t)verb, .round = server->round};
	slots->asked++;
	return slots->first + slots->count++;
}

struct smtp_slot *smtp_slot_find(struct smtp_server *server, unsigned number)
{
	unsigned index = number - server->slots.first; /* both count round */

	return index < server->slots.count ? slot_at(&server->slots, index) : NULL;
}

/* ---- dropping ---- */

/* A ring that a flood has made large isn't kept for an idle session. */
static void shrink(struct smtp_slots *slots)
{
	if (slots->count > 0 || slots->room <= FEW)
		return;
	free(slots->at);
	slots->at = NULL;
	slots->room = slots->head = 0;
}

static void drop_from(struct smtp_server *server, unsigned index)
{
	struct smtp_slots *slots = &server->slots;

	for (unsigned i = index; i < slots->count; i++) {
		struct smtp_slot *slot = slot_at(slots, i);

		buf_clear(&slot->wire);
		if (slot->code == 0 && !slot->is_open)
			slots->asked--;
	}
	slots->count = index;
	slots->dropped = true;
	shrink(slots);
}

void smtp_slots_drop(struct smtp_server *server)
{
	drop_from(server, 0);
}

/* ---- leaving ---- */

static void pop(struct smtp_server *server)
{
	struct smtp_slots *slots = &server->slots;
	struct smtp_slot *slot = slot_at(slots, 0);

	chain_add_copy(&server->out, slot->wire.at, slot->wire.len);
	buf_clear(&slot->wire);
	/* RFC 5321 4.1.1.4: from here on the client's octets are the message. */
	if (slot->verb == VERB_DATA && !slot->is_end && slot->code == 354)
		server->mode = MODE_DATA;
	slots->head = (slots->head + 1) % slots->room;
	slots->first++;
	slots->count--;
}

static void flush(struct smtp_server *server)
{
	struct smtp_slots *slots = &server->slots;

	while (slots->count > 0 && slot_at(slots, 0)->code != 0)
		pop(server);
	shrink(slots);
}

/* ---- what a reply does to the order of commands ---- */

void smtp_order_reset(struct smtp_server *server)
{
	server->order = server->greeted ? ORDER_READY : ORDER_START;
	server->round++;
	server->recipients = 0;
	server->smtputf8 = false;
	server->flaw_told = false;
	server->unframe = (struct smtp_unframe){0};
}

static void write_void(struct smtp_slot *slot)
{
	struct smtp_reply reply;

	buf_reset(&slot->wire);
	smtp_own_reply(SMTP_OWN_BAD_SEQUENCE, "what came before was refused", &slot->wire, &reply);
	slot->code = reply.code;
}

/* What stands behind `index` in the same transaction was built on it. */
static void void_behind(struct smtp_server *server, unsigned index)
{
	struct smtp_slots *slots = &server->slots;
	uint16_t round = slot_at(slots, index)->round;

	for (unsigned i = index + 1; i < slots->count; i++) {
		struct smtp_slot *slot = slot_at(slots, i);
		bool inside = slot->verb == VERB_RCPT || slot->verb == VERB_DATA ||
			      slot->verb == VERB_BDAT;

		if (!inside)
			continue;
		assert(slot->round == round); /* the next one is read when this is answered */
		slot->is_void = true;
		if (slot->code != 0 && slot->code != 421)
			write_void(slot);
	}
}

static void greet(struct smtp_server *server, bool good)
{
	if (!good)
		return;
	server->greeted = true;
	smtp_order_reset(server);
}

static void lose_recipient(struct smtp_server *server)
{
	server->recipients--;
	if (server->recipients == 0 && server->order == ORDER_RCPT)
		server->order = ORDER_MAIL;
}

static void move_order(struct smtp_server *server, unsigned index, uint16_t code)
{
	const struct smtp_slot *slot = slot_at(&server->slots, index);
	bool good = code < 300, current = slot->round == server->round;

	switch (slot->verb) {
	case VERB_EHLO:
	case VERB_HELO:
		greet(server, good);
		break;
	case VERB_MAIL:
		if (!good)
			void_behind(server, index);
		if (!good && current)
			smtp_order_reset(server);
		break;
	case VERB_RCPT:
		if (!good && current)
			lose_recipient(server);
		break;
	case VERB_DATA:
		assert(slot->is_end || code == 354 || code >= 400);
		assert(slot->is_end || current); /* nothing was read behind it */
		if (!slot->is_end && code != 354)
			server->order = ORDER_FAILED;
		break;
	case VERB_BDAT:
		/* RFC 3030 2: after a refused chunk only RSET makes sense. */
		if (!good && !slot->is_end)
			void_behind(server, index);
		if (!good && !slot->is_end && current)
			server->order = ORDER_FAILED;
		break;
	default:
		break;
	}
}

/* ---- answering ---- */

/* A reply whose turn has come goes out without a stop. */
static void put(struct smtp_server *server, struct smtp_slot *slot, struct span wire)
{
	if (slot == slot_at(&server->slots, 0))
		chain_add_copy(&server->out, wire.at, wire.len);
	else
		buf_add_span(&slot->wire, wire);
}

void smtp_slot_answer(struct smtp_server *server, unsigned number, const struct smtp_reply *reply)
{
	struct smtp_slot *slot = smtp_slot_find(server, number);
	unsigned index = number - server->slots.first;

	assert(slot || server->slots.dropped);
	if (!slot)
		return;
	assert(slot->code == 0 && !slot->is_open && reply->code >= 200);
	assert(reply->code / 100 != 3 || (slot->verb == VERB_DATA && !slot->is_end));
	server->slots.asked--;
	if (slot->is_void && reply->code != 421) {
		write_void(slot);
	} else {
		move_order(server, index, reply->code);
		slot->code = reply->code;
		put(server, slot, reply->wire);
	}
	if (reply->code == 421) {
		server->quitting = true;
		drop_from(server, index + 1);
	}
	flush(server);
}

void smtp_slot_own(
	struct smtp_server *server, unsigned number, enum smtp_own own, const char *argument)
{
	struct buf wire = {0};
	struct smtp_reply reply;

	smtp_own_reply(own, argument, &wire, &reply);
	smtp_slot_answer(server, number, &reply);
	buf_clear(&wire);
}

void smtp_slots_last(struct smtp_server *server, enum smtp_own own, const char *argument)
{
	struct buf wire = {0};
	struct smtp_reply reply;

	smtp_slots_drop(server);
	smtp_own_reply(own, argument, &wire, &reply);
	chain_add_copy(&server->out, reply.wire.at, reply.wire.len);
	buf_clear(&wire);
	server->quitting = true;
}
