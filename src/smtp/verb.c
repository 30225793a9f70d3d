/*
 * Verbs and phases by name.
 */
#include "smtp/client.h"
#include "smtp/server_private.h"

static const char *const verb_names[SMTP_VERBS] = {
	[VERB_EHLO] = "EHLO",
	[VERB_HELO] = "HELO",
	[VERB_MAIL] = "MAIL",
	[VERB_RCPT] = "RCPT",
	[VERB_DATA] = "DATA",
	[VERB_BDAT] = "BDAT",
	[VERB_RSET] = "RSET",
	[VERB_NOOP] = "NOOP",
	[VERB_QUIT] = "QUIT",
	[VERB_VRFY] = "VRFY",
	[VERB_EXPN] = "EXPN",
	[VERB_HELP] = "HELP",
	[VERB_ETRN] = "ETRN",
	[VERB_TURN] = "TURN",
};

static const char *const phase_names[SMTP_PHASES] = {
	[PHASE_CONNECT] = "connect",
	[PHASE_BANNER] = "banner",
	[PHASE_EHLO] = "EHLO",
	[PHASE_MAIL] = "MAIL",
	[PHASE_RCPT] = "RCPT",
	[PHASE_DATA] = "DATA",
	[PHASE_BODY] = "message body",
	[PHASE_END] = "end of data",
	[PHASE_RSET] = "RSET",
	[PHASE_QUIT] = "QUIT",
};

const char *smtp_phase_name(enum smtp_phase phase)
{
	return phase_names[phase];
}

enum smtp_verb smtp_verb_of(struct span line)
{
	struct span word = {.at = line.at, .len = span_find(line, ' ')};

	for (int verb = VERB_EHLO; verb < SMTP_VERBS; verb++) {
		if (span_is_nocase(word, verb_names[verb]))
			return (enum smtp_verb)verb;
	}
	return VERB_UNKNOWN;
}

/*
 * First words of HTTP (RFC 9110 9, RFC 5789, RFC 9113 3.4), which have no place in SMTP: what
 * follows them is a request that somebody's browser was tricked into sending here.  And that of a
 * PROXY header, whose sender believes that it is trusted to say who the client is.
 */
static const char *const foreign[] = {"GET", "POST", "HEAD", "PUT", "CONNECT", "OPTIONS", "DELETE",
	"PATCH", "TRACE", "PRI", "PROXY"};

bool smtp_line_is_foreign(struct span line, bool whole)
{
	struct span word = {.at = line.at, .len = span_find(line, ' ')};

	/* A TLS record of a handshake: content type 22, major version 3 (RFC 8446 5.1). */
	if (line.len >= 2 && line.at[0] == 0x16 && line.at[1] == 0x03)
		return true;
	/* The third line of a binary PROXY header. */
	if (whole && line.len == 1 && line.at[0] == '\0')
		return true;
	if (word.len == line.len && !whole)
		return false;
	for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
		if (span_is_nocase(word, foreign[i]))
			return true;
	}
	return false;
}
