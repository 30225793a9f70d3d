/*
 * Replies (RFC 5321 4.2, RFC 2034): a value, not an error.  A reply that came from a server is
 * kept word for word, so that it can be passed on as it was.
 */
#ifndef SMTP_REPLY_H
#define SMTP_REPLY_H

#include "base/bytes.h"

#define SMTP_REPLY_LINE 512         /* RFC 5321 4.5.3.1.5, CRLF included: longer is malformed */
#define SMTP_REPLY_MAX  (64 * 1024) /* all lines of one reply: larger is malformed */

struct smtp_enhanced {
	uint8_t class; /* 2, 4, 5; 0: the reply has no enhanced code */
	uint16_t subject, detail;
};

/* `wire`: all its lines as received, each with CRLF ("250-a\r\n250 b\r\n"); whose memory it is
 * in says the function that hands it out. */
struct smtp_reply {
	uint16_t code;                 /* 200 ... 599 */
	struct smtp_enhanced enhanced; /* of the first line */
	struct span wire;
};

static inline int smtp_reply_class(const struct smtp_reply *reply)
{
	return reply->code / 100;
}
/* "421 4.7.0 too many connections from 192.0.2.1" (Postfix), "421 4.3.2 The maximum number of
 * concurrent connections has exceeded a limit" (Exchange): the server is full, not down. */
bool smtp_reply_too_many(const struct smtp_reply *reply);
static inline bool smtp_reply_is_enhanced(const struct smtp_reply *reply, unsigned subject)
{
	return reply->enhanced.class != 0 && reply->enhanced.subject == subject;
}

/*
 * Read one complete reply from the front of `in`.  Returns the octets eaten, 0 when more are
 * needed (at most SMTP_REPLY_MAX are ever needed).  *broken_r: malformed (codes that differ
 * between lines, no three digits, code outside 200-599, a lone CR or LF, a NUL, a line over 512,
 * too long in all).  reply_r->wire points into `in`.
 */
size_t smtp_reply_parse(struct span in, struct smtp_reply *reply_r, bool *broken_r);

/* The text of a reply on one line: "4.3.0 Temporary failure / try later", without the codes in
 * front of each line; control characters replaced.  For logs. */
void smtp_reply_text(const struct smtp_reply *reply, struct buf *into);
/* Iterate the lines: the text behind the code of the next line; false at the end. */
bool smtp_reply_next_line(struct span *rest, struct span *text_r);

/* The same reply with another code (421 -> 451), each line rewritten; appended to `into`,
 * and reply_r->wire points there. */
void smtp_reply_recode(const struct smtp_reply *reply, uint16_t code, struct buf *into,
	struct smtp_reply *reply_r);

/*
 * Our own replies, declared once: code, enhanced code (class.subject.detail or "" for none) and
 * a printf-free text; docs/replies.md is generated from these rows.  A "%s" in a text is filled
 * from the argument of smtp_own_reply().
 */
#define SMTP_OWN_REPLIES(OWN)                                                                      \
	OWN(BANNER, 220, "", "%s ESMTP Mailweir")                                                  \
	OWN(HELO, 250, "", "%s")                                                                   \
	OWN(BYE, 221, "2.0.0", "Bye")                                                              \
	OWN(OK, 250, "2.0.0", "Ok")                                                                \
	OWN(SENDER_OK, 250, "2.1.0", "Sender ok")                                                  \
	OWN(CHUNK_OK, 250, "2.0.0", "%s octets received")                                          \
	OWN(GO_AHEAD, 354, "", "End data with <CR><LF>.<CR><LF>")                                  \
	OWN(VRFY, 252, "2.0.0", "Send some mail, a server will try to deliver it")                 \
	OWN(HELP, 214, "2.0.0",                                                                    \
		"Commands: EHLO HELO MAIL RCPT DATA BDAT RSET NOOP QUIT VRFY HELP")                \
	OWN(DRAINING, 421, "4.3.2", "This balancer is going down, please come back at once")       \
	OWN(IDLE, 421, "4.4.2", "Time-out waiting for a command")                                  \
	OWN(TOO_SLOW, 421, "4.4.2", "Data came too slowly")                                        \
	OWN(TOO_MANY_SESSIONS, 421, "4.7.0", "Too many sessions at the moment")                    \
	OWN(TOO_MANY_FROM_YOU, 421, "4.7.0", "Too many sessions from your address")                \
	OWN(TOO_MANY_ERRORS, 421, "4.7.0", "Too many errors")                                      \
	OWN(TOO_MANY_IDLE_COMMANDS, 421, "4.7.0", "Too many commands without a message")           \
	OWN(NO_SERVER, 451, "4.4.1", "No server available at the moment")                          \
	OWN(NO_SERVER_IN_TIME, 451, "4.4.1", "No server answered in time")                         \
	OWN(SERVERS_FULL, 451, "4.3.2", "All servers are busy, try again later")                   \
	OWN(REPLAY_DIFFERS, 451, "4.3.0",                                                          \
		"The servers disagree about the recipients, try again later")                      \
	OWN(TOO_LARGE_TO_REPLAY, 451, "4.4.2",                                                     \
		"The server was lost inside the message, try again")                               \
	OWN(AMBIGUOUS, 451, "4.4.2", "The server was lost before it confirmed the message")        \
	OWN(UNRECOGNISED, 500, "5.5.2", "Command not recognised")                                  \
	OWN(LINE_TOO_LONG, 500, "5.5.2", "Command line too long")                                  \
	OWN(BARE_IN_COMMAND, 500, "5.5.2", "Bare CR, bare LF or NUL in a command")                 \
	OWN(SYNTAX, 501, "5.5.4", "Syntax: %s")                                                    \
	OWN(BAD_SENDER, 501, "5.1.7", "Bad sender address syntax")                                 \
	OWN(BAD_RECIPIENT, 501, "5.1.3", "Bad recipient address syntax")                           \
	OWN(BAD_CHUNK_SIZE, 501, "5.5.4", "Bad BDAT size")                                         \
	OWN(NOT_IMPLEMENTED, 502, "5.5.1", "Command not implemented")                              \
	OWN(BAD_SEQUENCE, 503, "5.5.1", "Bad sequence: %s")                                        \
	OWN(EARLY_INPUT, 503, "5.5.0", "Input before the reply that it must wait for")             \
	OWN(UNKNOWN_PARAMETER, 555, "5.5.4", "Unsupported parameter: %s")                          \
	OWN(NEEDS_UTF8, 550, "5.6.7", "No server that offers SMTPUTF8")                            \
	OWN(TOO_MANY_RECIPIENTS, 452, "4.5.3", "Too many recipients")                              \
	OWN(TOO_LARGE, 552, "5.3.4", "Message larger than %s bytes")                               \
	OWN(RELAY_DENIED, 554, "5.7.1", "Relay access denied")                                     \
	OWN(NO_RECIPIENTS, 554, "5.5.1", "No valid recipients")                                    \
	OWN(BARE_NEWLINE, 550, "5.5.2", "Bare CR or bare LF in the message")                       \
	OWN(NUL_IN_BODY, 550, "5.6.0", "NUL in the message")                                       \
	OWN(BODY_LINE_TOO_LONG, 550, "5.6.0", "Line longer than 998 octets in the message")        \
	OWN(NOT_SMTP, 554, "5.5.0", "This is an SMTP port")

enum smtp_own {
#define SMTP_OWN_ID(id, code, enhanced, text) SMTP_OWN_##id,
	SMTP_OWN_REPLIES(SMTP_OWN_ID)
#undef SMTP_OWN_ID
		SMTP_OWN_COUNT
};

/* Make one of our replies; its wire form is appended to `into` (reply_r->wire points there until
 * the next append).  `argument` fills "%s"; NULL where the text has none. */
void smtp_own_reply(
	enum smtp_own own, const char *argument, struct buf *into, struct smtp_reply *reply_r);
uint16_t smtp_own_code(enum smtp_own own);
/* Markdown table of all rows, for docs/replies.md. */
void smtp_own_reference(struct buf *into);

#endif
