/*
 * The verbs of a client: when each is legal is data, what each does is a function.
 *
 * A handler looks at the arguments and returns SMTP_OWN_NONE if the owner is to answer, else the
 * reply of ours.  Order and flags take effect only if the owner is asked.
 */
#include "smtp/server_private.h"

#include <assert.h>

typedef enum smtp_own handler_fn(
	struct smtp_server *server, struct span rest, struct smtp_command *command);

static enum smtp_own syntax(struct smtp_server *server, const char *argument)
{
	server->argument = argument;
	return SMTP_OWN_SYNTAX;
}

/* ---- a function for each verb ---- */

/*
 * More in ASCII than RFC 5321 4.1.2 allows, since many clients greet with what they believe to be
 * their name (underscores, an address without brackets) and are served everywhere; but nothing that
 * could break a line, a log or a command.
 */
static bool name_is_harmless(struct span name)
{
	for (size_t i = 0; i < name.len; i++) {
		unsigned char c = (unsigned char)name.at[i];

		if (c <= ' ' || c >= 0x7f || c == '<' || c == '>' || c == '"' || c == '\\')
			return smtp_domain_valid(name);
	}
	return name.len > 0 && name.len <= 255;
}

static enum smtp_own on_hello(
	struct smtp_server *server, struct span rest, struct smtp_command *command)
{
	if (!name_is_harmless(rest))
		return syntax(server, command->verb == VERB_EHLO ? "EHLO name" : "HELO name");
	command->name = rest;
	return SMTP_OWN_NONE;
}

static enum smtp_own on_mail(
	struct smtp_server *server, struct span rest, struct smtp_command *command)
{
	return smtp_mail_parse(server, rest, &command->mail);
}

static enum smtp_own on_rcpt(
	struct smtp_server *server, struct span rest, struct smtp_command *command)
{
	enum smtp_own own = smtp_rcpt_parse(server, rest, &command->rcpt);

	if (own == SMTP_OWN_NONE)
		server->recipients++;
	return own;
}

static enum smtp_own on_bare_verb(
	struct smtp_server *server, struct span rest, struct smtp_command *command)
{
	(void)command;
	return rest.len > 0 ? syntax(server, "this command takes no argument") : SMTP_OWN_NONE;
}

static enum smtp_own on_noop(
	struct smtp_server *server, struct span rest, struct smtp_command *command)
{
	(void)server, (void)rest, (void)command;
	return SMTP_OWN_OK;
}

static enum smtp_own on_vrfy(
	struct smtp_server *server, struct span rest, struct smtp_command *command)
{
	(void)command;
	return rest.len > 0 ? SMTP_OWN_VRFY : syntax(server, "VRFY address");
}

static enum smtp_own on_help(
	struct smtp_server *server, struct span rest, struct smtp_command *command)
{
	(void)server, (void)rest, (void)command;
	return SMTP_OWN_HELP;
}

static enum smtp_own on_not_ours(
	struct smtp_server *server, struct span rest, struct smtp_command *command)
{
	(void)server, (void)rest, (void)command;
	return SMTP_OWN_NOT_IMPLEMENTED;
}

static enum smtp_own on_unknown(
	struct smtp_server *server, struct span rest, struct smtp_command *command)
{
	(void)server, (void)rest, (void)command;
	return SMTP_OWN_UNRECOGNISED;
}

/* ---- when each is legal (RFC 5321 4.1.4) ---- */

#define AT(order) (1u << ORDER_##order)
#define ANY       (~0u)

enum {
	LAST = 1,  /* nothing is read until its reply has left (RFC 2920 3.1) */
	BYE = 2,   /* nothing is read after it */
	ALONE = 4, /* ends a transaction: its owner answers what was asked before, first */
	STAY = 8,  /* the order stays; else `then` holds, and READY ends the transaction */
};

/* clang-format off */
static const struct rule {
	unsigned legal;
	enum smtp_order then;
	unsigned flags;
	handler_fn *handler;
} rules[SMTP_VERBS] = {
	/*                legal in              then          flags               handler */
	[VERB_UNKNOWN] = {ANY,                  ORDER_READY,  STAY,               on_unknown},
	[VERB_EHLO]    = {ANY,                  ORDER_READY,  LAST | ALONE,       on_hello},
	[VERB_HELO]    = {ANY,                  ORDER_READY,  LAST | ALONE,       on_hello},
	[VERB_MAIL]    = {AT(READY),            ORDER_MAIL,   0,                  on_mail},
	[VERB_RCPT]    = {AT(MAIL) | AT(RCPT),  ORDER_RCPT,   0,                  on_rcpt},
	[VERB_DATA]    = {AT(RCPT),             ORDER_RCPT,   LAST,               on_bare_verb},
	[VERB_BDAT]    = {AT(RCPT) | AT(CHUNK), ORDER_CHUNK,  0,                  NULL},
	[VERB_RSET]    = {ANY,                  ORDER_READY,  ALONE,              on_bare_verb},
	[VERB_NOOP]    = {ANY,                  ORDER_READY,  STAY,               on_noop},
	[VERB_QUIT]    = {ANY,                  ORDER_READY,  STAY | BYE | ALONE, on_bare_verb},
	[VERB_VRFY]    = {ANY,                  ORDER_READY,  STAY,               on_vrfy},
	[VERB_EXPN]    = {ANY,                  ORDER_READY,  STAY,               on_not_ours},
	[VERB_HELP]    = {ANY,                  ORDER_READY,  STAY,               on_help},
	[VERB_ETRN]    = {ANY,                  ORDER_READY,  STAY,               on_not_ours},
	[VERB_TURN]    = {ANY,                  ORDER_READY,  STAY,               on_not_ours},
};
/* clang-format on */

/* Behind "Bad sequence: ". */
static const char *const expected[] = {
	[ORDER_START] = "EHLO or HELO first",
	[ORDER_READY] = "MAIL first",
	[ORDER_MAIL] = "RCPT or RSET first",
	[ORDER_RCPT] = "DATA, BDAT or RSET first",
	[ORDER_CHUNK] = "BDAT or RSET first",
	[ORDER_FAILED] = "RSET first",
};

/* ---- judging ---- */

void smtp_server_answer(
	struct smtp_server *server, enum smtp_own own, struct smtp_server_event *event_r)
{
	event_r->kind = SRV_ANSWERED;
	event_r->own = own;
	event_r->slot = smtp_slot_take(server, VERB_UNKNOWN);
	smtp_slot_own(server, event_r->slot, own, server->argument);
	server->argument = NULL;
}

void smtp_server_break(
	struct smtp_server *server, enum smtp_own own, struct smtp_server_event *event_r)
{
	event_r->kind = SRV_BROKEN;
	event_r->own = own;
	smtp_slots_last(server, own, NULL);
}

bool smtp_server_must_wait(const struct smtp_server *server, struct span line)
{
	return server->slots.asked > 0 && (rules[smtp_verb_of(line)].flags & ALONE);
}

static enum smtp_own judge(
	struct smtp_server *server, struct span rest, struct smtp_command *command)
{
	const struct rule *rule = &rules[command->verb];

	if (rule->legal & 1u << server->order)
		return rule->handler(server, rest, command);
	server->argument = expected[server->order];
	return SMTP_OWN_BAD_SEQUENCE;
}

/* The owner will answer. */
static void ask(struct smtp_server *server, enum smtp_verb verb, unsigned slot)
{
	const struct rule *rule = &rules[verb];

	if (rule->flags & LAST) {
		server->wait = WAIT_LEFT;
		server->turn = slot;
	}
	if (rule->flags & BYE)
		server->quitting = true;
	if (rule->flags & STAY)
		return;
	if (rule->then == ORDER_READY)
		smtp_order_reset(server);
	else
		server->order = (uint8_t)rule->then;
}

void smtp_server_command(
	struct smtp_server *server, struct span line, struct smtp_server_event *event_r)
{
	/* RFC 5321 4.1.1: blanks at the end are tolerated. */
	struct span words = {.at = line.at, .len = line.len};
	enum smtp_verb verb;
	enum smtp_own own;
	struct span rest;

	while (words.len > 0 && words.at[words.len - 1] == ' ')
		words.len--;
	verb = smtp_verb_of(words);
	rest = span_trim(span_from(words, span_find(words, ' ')));
	if (verb == VERB_BDAT) {
		smtp_server_bdat(
			server, line, rest, rules[verb].legal & 1u << server->order, event_r);
		return;
	}
	event_r->command.verb = verb;
	event_r->command.line = line;
	own = judge(server, rest, &event_r->command);
	if (own != SMTP_OWN_NONE) {
		smtp_server_answer(server, own, event_r);
		return;
	}
	event_r->kind = SRV_COMMAND;
	event_r->slot = smtp_slot_take(server, verb);
	ask(server, verb, event_r->slot);
}
