/*
 * The order of things on one connection, and the body's octets.
 *
 *      replies that the other side has          what it sends
 *      ------------------------------>  [ asked | asked | asked ]  <-- a command
 *                                         ^ the oldest one is answered next
 *
 * Whether a sender has read a reply can't be seen, only that it could have.  So what needs a reply
 * is judged by `replies` (they have arrived), and what a reply forbids by `known`: how many of them
 * it must have read, since it sent something that had to wait for them.
 */
#include "sim/legal_inside.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define SURPLUS   8
#define LINE_MOST 998 /* RFC 5321 4.5.3.1.6: 1000 with CRLF, not counting a stuffed dot */

struct asked {
	enum legal_verb verb;
	unsigned tx;
};

/* What was sent of one transaction. */
struct transaction {
	unsigned number;
	bool open; /* MAIL was sent, and nothing that ends it */
	unsigned recipients, unanswered, accepted;
	bool chunked;
	uint64_t mail_refused, chunk_refused; /* the reply that said so; 0: none */
};

struct body {
	uint64_t octets;
	size_t line; /* octets in this line */
	char before; /* the octet before */
	bool dot;    /* the line began with one */
	bool lone;   /* nothing but the end may come */
	uint64_t chunk_left;
	bool chunk_last;
};

enum place { AT_COMMANDS, AT_BODY, AT_CHUNK };

struct legal {
	struct legal_offers offers, in_force;
	char words[400];
	bool broken;
	enum place at;
	struct asked *asked; /* a ring */
	unsigned head, count, room;
	unsigned surplus[SURPLUS], surplus_count;
	uint64_t replies, known;
	bool ends_group; /* the command sent last: nothing may follow before its reply */
	bool greeted, unwelcome, quit;
	char line[LEGAL_LINE_MOST];
	size_t len;
	struct transaction tx;
	struct body body;
};

struct legal *legal_new(const struct legal_offers *offers)
{
	struct legal *legal = mem_new(sizeof(*legal));

	legal->offers = *offers;
	legal->room = 8;
	legal->asked = mem_new(legal->room * sizeof(*legal->asked));
	legal->asked[0].verb = LEGAL_NOTHING;
	legal->count = 1;
	legal->ends_group = true;
	return legal;
}

void legal_free(struct legal **legal)
{
	if (!*legal)
		return;
	free((*legal)->asked);
	free(*legal);
	*legal = NULL;
}

void legal_offer(struct legal *legal, const struct legal_offers *offers)
{
	legal->offers = *offers;
}

static void wrong(struct legal *legal, const char *format, ...) PRINTF_LIKE(2, 3);
static void wrong(struct legal *legal, const char *format, ...)
{
	va_list list;

	if (legal->broken)
		return;
	legal->broken = true;
	va_start(list, format);
	vsnprintf(legal->words, sizeof(legal->words), format, list);
	va_end(list);
}

/* ---- replies ---- */

static void answered(struct legal *legal, struct asked asked, unsigned code)
{
	struct transaction *tx = &legal->tx;
	bool yes = code / 100 == 2, current = asked.tx == tx->number;

	legal->replies++;
	switch (asked.verb) {
	case LEGAL_NOTHING:
		legal->unwelcome = !yes;
		break;
	case LEGAL_EHLO:
	case LEGAL_HELO:
		legal->greeted |= yes;
		if (yes)
			legal->in_force =
				asked.verb == LEGAL_EHLO ? legal->offers : (struct legal_offers){0};
		break;
	case LEGAL_MAIL:
		if (current && !yes)
			tx->mail_refused = legal->replies;
		break;
	case LEGAL_RCPT:
		if (current) {
			tx->unanswered--;
			tx->accepted += yes;
		}
		break;
	case LEGAL_DATA:
		if (code == 354) {
			legal->at = AT_BODY;
			legal->body = (struct body){.lone = tx->accepted == 0};
		}
		break;
	case LEGAL_BDAT:
		if (current && !yes && tx->chunk_refused == 0)
			tx->chunk_refused = legal->replies;
		break;
	default:
		break;
	}
}

void legal_replied(struct legal *legal, unsigned code)
{
	struct asked asked;

	if (legal->count == 0) {
		if (legal->surplus_count < SURPLUS)
			legal->surplus[legal->surplus_count++] = code;
		return;
	}
	asked = legal->asked[legal->head];
	legal->head = (legal->head + 1) % legal->room;
	legal->count--;
	answered(legal, asked, code);
}

static void ask(struct legal *legal, enum legal_verb verb)
{
	if (legal->count == legal->room) {
		struct asked *more = mem_new(legal->room * 2 * sizeof(*more));

		for (unsigned i = 0; i < legal->count; i++)
			more[i] = legal->asked[(legal->head + i) % legal->room];
		free(legal->asked);
		legal->asked = more;
		legal->head = 0;
		legal->room *= 2;
	}
	legal->asked[(legal->head + legal->count++) % legal->room] =
		(struct asked){.verb = verb, .tx = legal->tx.number};
	if (legal->surplus_count > 0) {
		unsigned code = legal->surplus[0];

		legal->surplus_count--;
		for (unsigned i = 0; i < legal->surplus_count; i++)
			legal->surplus[i] = legal->surplus[i + 1];
		legal_replied(legal, code);
	}
}

/* ---- the order of commands ---- */

/* Before the first octet of a command. */
static void may_begin(struct legal *legal)
{
	bool waits = legal->ends_group || !legal->in_force.pipelining;

	if (legal->quit)
		wrong(legal, "octets behind QUIT");
	else if (waits && legal->count > 0 && legal->replies == 0)
		wrong(legal, "octets before the banner");
	else if (legal->ends_group && legal->count > 0)
		wrong(legal, "octets behind EHLO, DATA or another command that ends a group, "
			     "before its reply (RFC 2920 3.1)");
	else if (waits && legal->count > 0)
		wrong(legal, "a command before the reply to the last one, though PIPELINING was "
			     "not offered");
	if (waits)
		legal->known = legal->replies;
}

static bool is_known(const struct legal *legal, uint64_t reply)
{
	return reply != 0 && reply <= legal->known;
}

static void new_transaction(struct legal *legal)
{
	legal->tx = (struct transaction){.number = legal->tx.number + 1};
	legal->body = (struct body){0};
}

static const char *on_mail(struct legal *legal)
{
	if (!legal->greeted)
		return "MAIL before EHLO or HELO was answered";
	if (legal->tx.open && legal->tx.mail_refused == 0)
		return "MAIL inside a transaction";
	new_transaction(legal);
	legal->tx.open = true;
	return NULL;
}

static const char *on_rcpt(struct legal *legal)
{
	if (!legal->tx.open)
		return "RCPT without MAIL";
	if (legal->tx.chunked)
		return "RCPT behind BDAT";
	if (is_known(legal, legal->tx.mail_refused))
		return "RCPT though MAIL was refused";
	legal->tx.recipients++;
	legal->tx.unanswered++;
	return NULL;
}

static const char *on_data(struct legal *legal)
{
	if (!legal->tx.open)
		return "DATA without MAIL";
	if (legal->tx.recipients == 0)
		return "DATA without RCPT";
	if (legal->tx.chunked)
		return "DATA behind BDAT";
	return is_known(legal, legal->tx.mail_refused) ? "DATA though MAIL was refused" : NULL;
}

static const char *on_bdat(struct legal *legal, const struct legal_command *command)
{
	struct transaction *tx = &legal->tx;

	if (!tx->open)
		return "BDAT without MAIL, or behind the last chunk";
	if (tx->recipients == 0)
		return "BDAT without RCPT";
	if (is_known(legal, tx->mail_refused))
		return "BDAT though MAIL was refused";
	if (is_known(legal, tx->chunk_refused))
		return "BDAT though a chunk was refused (RFC 3030 2)";
	if (command->last && tx->unanswered > 0)
		return "the end of data before the replies to all RCPTs";
	tx->chunked = true;
	legal->body.chunk_left = command->size;
	legal->body.chunk_last = command->last;
	if (command->size > 0)
		legal->at = AT_CHUNK;
	return NULL;
}

static const char *obey(struct legal *legal, const struct legal_command *command)
{
	if (legal->unwelcome && command->verb != LEGAL_QUIT)
		return "a command other than QUIT though the banner was a refusal";
	switch (command->verb) {
	case LEGAL_EHLO:
	case LEGAL_HELO:
	case LEGAL_RSET:
		new_transaction(legal);
		return NULL;
	case LEGAL_MAIL:
		return on_mail(legal);
	case LEGAL_RCPT:
		return on_rcpt(legal);
	case LEGAL_DATA:
		return on_data(legal);
	case LEGAL_BDAT:
		return on_bdat(legal, command);
	case LEGAL_QUIT:
		legal->quit = true;
		return NULL;
	default:
		return NULL;
	}
}

/* RFC 2920 3.1; BDAT may stand inside a group (RFC 3030 4.2). */
static bool ends_group(enum legal_verb verb)
{
	return verb != LEGAL_MAIL && verb != LEGAL_RCPT && verb != LEGAL_RSET && verb != LEGAL_BDAT;
}

static void chunk_ended(struct legal *legal);

static void on_line(struct legal *legal)
{
	struct span line = {.at = legal->line, .len = legal->len - 2};
	struct legal_command command;
	const char *words = legal_line(line, &legal->in_force, &command);

	legal->len = 0;
	if (!words)
		words = obey(legal, &command);
	if (words) {
		wrong(legal, "%s: \"%.*s\"", words, SPAN_ARG(line));
		return;
	}
	legal->ends_group = ends_group(command.verb);
	ask(legal, command.verb);
	if (command.verb == LEGAL_BDAT && command.size == 0)
		chunk_ended(legal);
}

static void on_line_octet(struct legal *legal, char c)
{
	char before = legal->len > 0 ? legal->line[legal->len - 1] : '\0';

	if (legal->len == 0)
		may_begin(legal);
	if (c == '\0')
		wrong(legal, "a NUL in a command");
	if (before == '\r' && c != '\n')
		wrong(legal, "a bare CR in a command");
	if (before != '\r' && c == '\n')
		wrong(legal, "a bare LF in a command");
	if (legal->len == sizeof(legal->line))
		wrong(legal, "a command line that is too long");
	if (legal->broken)
		return;
	legal->line[legal->len++] = c;
	if (c == '\n')
		on_line(legal);
}

/* ---- bodies ---- */

static void on_text_octet(struct legal *legal, char c)
{
	struct body *body = &legal->body;

	if (c == '\0')
		wrong(legal, "a NUL in the body, at octet %llu", (unsigned long long)body->octets);
	if (body->before == '\r' && c != '\n')
		wrong(legal, "a bare CR in the body, before octet %llu",
			(unsigned long long)body->octets);
	if (body->before != '\r' && c == '\n')
		wrong(legal, "a bare LF in the body, at octet %llu",
			(unsigned long long)body->octets);
	if (c != '\r' && c != '\n' && body->line >= LINE_MOST + (size_t)body->dot)
		wrong(legal, "a line of more than 998 octets in the body, at octet %llu",
			(unsigned long long)body->octets);
	body->octets++;
	body->line++;
	body->before = c;
}

static void on_body_octet(struct legal *legal, char c)
{
	struct body *body = &legal->body;

	if (body->lone && (body->line > 0) != (c != '.'))
		wrong(legal, "more than the lone dot though all recipients were refused");
	if (body->dot && body->line == 1 && c != '.' && c != '\r')
		wrong(legal, "a line that begins with one dot, at octet %llu",
			(unsigned long long)body->octets);
	if (body->line == 0)
		body->dot = c == '.';
	on_text_octet(legal, c);
	if (c != '\n')
		return;
	if (body->dot && body->line == 3) {
		legal->at = AT_COMMANDS;
		legal->tx.open = false;
		legal->ends_group = false;
		ask(legal, LEGAL_END);
	}
	body->line = 0;
	body->dot = false;
}

static void chunk_ended(struct legal *legal)
{
	legal->at = AT_COMMANDS;
	if (!legal->body.chunk_last)
		return;
	if (legal->body.before == '\r')
		wrong(legal, "a bare CR at the end of the last chunk");
	legal->tx.open = false;
}

static void on_chunk_octet(struct legal *legal, char c)
{
	on_text_octet(legal, c);
	if (c == '\n')
		legal->body.line = 0;
	if (--legal->body.chunk_left == 0)
		chunk_ended(legal);
}

const char *legal_heard(struct legal *legal, struct span bytes)
{
	if (legal->broken)
		return NULL;
	for (size_t i = 0; i < bytes.len && !legal->broken; i++) {
		switch (legal->at) {
		case AT_COMMANDS:
			on_line_octet(legal, bytes.at[i]);
			break;
		case AT_BODY:
			on_body_octet(legal, bytes.at[i]);
			break;
		case AT_CHUNK:
			on_chunk_octet(legal, bytes.at[i]);
			break;
		}
	}
	return legal->broken ? legal->words : NULL;
}
