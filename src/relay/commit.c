/*
 * The commit rule as a table: the first row that fits decides.
 *
 * The order matters in three places: "too many connections" must be seen before any other 421; a
 * reply that names the client's own address is about that address, even with a code that
 * otherwise complains about us (Postfix: "504 5.5.2 <x>: need fully-qualified address"); and
 * everything after the end of data was sent stands apart, because only there can the outcome be
 * unknown.
 */
#include "relay/commit.h"

#include <assert.h>

#define AT(phase)  (1u << PHASE_##phase)
#define ENVELOPE   (AT(RSET) | AT(MAIL) | AT(RCPT))
#define IN_MESSAGE (AT(DATA) | AT(BODY))
#define ANYWHERE   (~0u)

typedef bool fits_fn(const struct commit_case *what);

struct rule {
	unsigned phases;
	enum commit_event event;
	fits_fn *fits; /* NULL: always */
	struct commit_row row;
};

/* ---- what a reply says; only asked for COMMIT_REPLIED ---- */

static bool positive(const struct commit_case *what)
{
	return smtp_reply_class(what->reply) <= 3;
}

static bool too_many_connections(const struct commit_case *what)
{
	return what->reply->code == 421 && smtp_reply_too_many(what->reply);
}

static bool closing(const struct commit_case *what)
{
	return what->reply->code == 421;
}

/* Status codes X.3.x are about the mail system (RFC 3463 3.4), but X.3.4 is about the size of
 * this message.  A 451 without enhanced code is a local error in processing (RFC 5321 4.2.2). */
static bool own_trouble(const struct commit_case *what)
{
	const struct smtp_reply *reply = what->reply;
	if (smtp_reply_is_enhanced(reply, 3))
		return reply->enhanced.detail != 4;
	return reply->code == 451 && reply->enhanced.class == 0;
}

/* After the end of data a 421 without a status code, or one of the network or system classes,
 * is the server going away. */
static bool about_server(const struct commit_case *what)
{
	const struct smtp_reply *reply = what->reply;
	if (reply->code == 421)
		return reply->enhanced.class == 0 || reply->enhanced.subject == 3 ||
		       reply->enhanced.subject == 4;
	return own_trouble(what);
}

/* A complaint about how we speak or who we are: wrong command, syntax or order, AUTH or TLS
 * wanted.  With a status code about an address (X.1.x), or quoting what the client wrote, it is
 * about that instead. */
static bool our_conduct(const struct commit_case *what)
{
	const struct smtp_reply *reply = what->reply;
	if (smtp_reply_is_enhanced(reply, 1) || what->names_client_input)
		return false;
	if (reply->code == 555)
		return !what->parameters;
	return (reply->code >= 500 && reply->code <= 504) || reply->code == 530 ||
	       reply->code == 535 || reply->code == 538;
}

/* ---- how a connection was lost ---- */

static bool stale(const struct commit_case *what)
{
	return what->greeted_before && !what->poisoned && what->fate == FATE_UNSENT;
}

static bool poisoned(const struct commit_case *what)
{
	return what->poisoned; /* once ended that makes no difference, and was judged before */
}

static bool ended(const struct commit_case *what)
{
	return what->fate == FATE_ENDED;
}

static bool not_ended(const struct commit_case *what)
{
	return what->fate != FATE_ENDED;
}

#define REPLY COMMIT_REPLIED
#define LOST  COMMIT_LOST
#define LATE  COMMIT_TIMED_OUT

/* clang-format off */
static const struct rule rules[] = {
	/* phases      event  fits                   name                       action            outcome           drop   alarm */
	/* Whatever is said or not said after the end of data. */
	{ AT(END),     REPLY, positive,            { "accepted",                COMMIT_ACCEPT,    POOL_ACCEPTED,    false, false } },
	{ ANYWHERE,    LOST,  ended,               { "ended_no_reply",          COMMIT_AMBIGUOUS, POOL_BROKE,       true,  false } },
	{ ANYWHERE,    LATE,  ended,               { "ended_timed_out",         COMMIT_AMBIGUOUS, POOL_TIMED_OUT,   true,  false } },
	{ AT(END),     REPLY, about_server,        { "ended_server_trouble",    COMMIT_NEXT,      POOL_OWN_TROUBLE, true,  false } },
	{ AT(END),     REPLY, our_conduct,         { "ended_our_conduct",       COMMIT_NEXT,      POOL_OUR_CONDUCT, true,  true  } },
	{ AT(END),     REPLY, closing,             { "ended_refused_421",       COMMIT_PASS,      POOL_REFUSED,     true,  false } },
	{ AT(END),     REPLY, NULL,                { "ended_refused",           COMMIT_PASS,      POOL_REFUSED,     false, false } },

	/* The envelope. */
	{ ENVELOPE | IN_MESSAGE, REPLY, positive,  { "go_on",                   COMMIT_ACCEPT,    POOL_ACCEPTED,    false, false } },
	{ ENVELOPE,    REPLY, too_many_connections,{ "too_many_connections",    COMMIT_NEXT,      POOL_TOO_MANY,    true,  false } },
	{ ENVELOPE,    REPLY, closing,             { "envelope_421",            COMMIT_NEXT,      POOL_OWN_TROUBLE, true,  false } },
	{ ENVELOPE,    LOST,  stale,               { "idle_connection_closed",  COMMIT_STALE,     POOL_STALE,       true,  false } },
	{ ENVELOPE,    LOST,  poisoned,            { "malformed_reply",         COMMIT_NEXT,      POOL_POISONED,    true,  false } },
	{ ENVELOPE,    LOST,  NULL,                { "envelope_lost",           COMMIT_NEXT,      POOL_BROKE,       true,  false } },
	{ ENVELOPE,    LATE,  NULL,                { "envelope_timed_out",      COMMIT_NEXT,      POOL_TIMED_OUT,   true,  false } },
	{ ENVELOPE,    REPLY, own_trouble,         { "envelope_server_trouble", COMMIT_NEXT,      POOL_OWN_TROUBLE, false, false } },
	{ ENVELOPE,    REPLY, our_conduct,         { "our_conduct",             COMMIT_NEXT,      POOL_OUR_CONDUCT, true,  true  } },
	{ AT(MAIL),    REPLY, NULL,                { "mail_refused",            COMMIT_PASS_MAIL, POOL_REFUSED,     false, false } },
	{ AT(RCPT),    REPLY, NULL,                { "rcpt_refused",            COMMIT_PASS,      POOL_REFUSED,     false, false } },
	{ AT(RSET),    REPLY, NULL,                { "rset_refused",            COMMIT_NEXT,      POOL_POISONED,    true,  false } },

	/* DATA and the body, not ended. */
	{ ANYWHERE,    LOST,  poisoned,            { "malformed_reply_in_body", COMMIT_REPLAY,    POOL_POISONED,    true,  false } },
	{ ANYWHERE,    LOST,  not_ended,           { "body_lost",               COMMIT_REPLAY,    POOL_BROKE,       true,  false } },
	{ ANYWHERE,    LATE,  not_ended,           { "body_timed_out",          COMMIT_REPLAY,    POOL_TIMED_OUT,   true,  false } },
	{ IN_MESSAGE,  REPLY, too_many_connections,{ "body_too_many",           COMMIT_REPLAY,    POOL_TOO_MANY,    true,  false } },
	{ IN_MESSAGE,  REPLY, about_server,        { "chunk_server_trouble",    COMMIT_REPLAY,    POOL_OWN_TROUBLE, true,  false } },
	{ IN_MESSAGE,  REPLY, our_conduct,         { "chunk_our_conduct",       COMMIT_REPLAY,    POOL_OUR_CONDUCT, true,  true  } },
	{ AT(DATA),    REPLY, NULL,                { "data_refused",            COMMIT_PASS,      POOL_REFUSED,     false, false } },
	{ AT(BODY),    REPLY, NULL,                { "chunk_refused",           COMMIT_PASS,      POOL_REFUSED,     true,  false } },

	/* Anything else makes no sense here (a reply to QUIT, say): out of step. */
	{ ANYWHERE,    REPLY, NULL,                { "out_of_step",             COMMIT_NEXT,      POOL_POISONED,    true,  false } },
};
/* clang-format on */

#define RULES (sizeof rules / sizeof rules[0])

const struct commit_row *commit_judge(const struct commit_case *what)
{
	for (unsigned i = 0;; i++) {
		const struct rule *rule = &rules[i];
		assert(i < RULES); /* the last rows take everything */
		if ((rule->phases & 1u << what->phase) && rule->event == what->event &&
			(!rule->fits || rule->fits(what)))
			return &rule->row;
	}
}

const struct commit_row *commit_row(unsigned index)
{
	return index < RULES ? &rules[index].row : NULL;
}
