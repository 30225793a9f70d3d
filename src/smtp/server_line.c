/*
 * A line of the client's, out of bytes that may be cut anywhere.
 *
 * Only CRLF ends a line.  One that is too long is thrown away piece by piece up to its CRLF and
 * answered once; its tail is never taken for a command (hostile-input 4).
 *
 * The surprise: a flawed BDAT line ends the session.  The chunk behind it will come anyway, and
 * without its size the octets of a message would be read as commands.
 */
#include "smtp/server_private.h"

/*
 * RFC 5321 4.5.3.1.4, and by how much the extensions raise it:
 *   MAIL  +26 SIZE (RFC 1870 3), +17 8BITMIME (RFC 6152 2), +10 SMTPUTF8 (RFC 6531 3.1),
 *         " RET=HDRS" 9 and " ENVID=" with 100 octets 107 (RFC 3461 4.3, 4.4)
 *   RCPT  " NOTIFY=SUCCESS,FAILURE,DELAY" 29 and " ORCPT=" with 500 octets 507 (RFC 3461 4.1, 4.2)
 */
#define MAIL_LINE (SMTP_COMMAND_LINE + 26 + 17 + 10 + 9 + 107)
#define RCPT_LINE (SMTP_COMMAND_LINE + 29 + 507)

_Static_assert(MAIL_LINE < SMTP_SERVER_WINDOW && RCPT_LINE < SMTP_SERVER_WINDOW,
	"a window holds any legal line");

static size_t line_limit(struct span in)
{
	if (span_starts_nocase(in, "MAIL "))
		return MAIL_LINE;
	if (span_starts_nocase(in, "RCPT "))
		return RCPT_LINE;
	return SMTP_COMMAND_LINE;
}

/* Index behind the first CRLF, 0 if there is none. */
static size_t find_crlf(struct span in, bool after_cr)
{
	size_t at = 0;

	while (at < in.len) {
		at += span_find(span_from(in, at), '\n');
		if (at < in.len && (at > 0 ? in.at[at - 1] == '\r' : after_cr))
			return at + 1;
		at++;
	}
	return 0;
}

static size_t discard(struct smtp_server *server, struct span in, enum smtp_line_kind *kind_r)
{
	size_t end = find_crlf(in, server->discard_cr);

	if (end > 0) {
		server->discarding = false;
		*kind_r = SMTP_LINE_LONG;
		return end;
	}
	if (in.len > 0)
		server->discard_cr = in.at[in.len - 1] == '\r';
	*kind_r = SMTP_LINE_PARTIAL;
	return in.len;
}

static bool is_word(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
	       c == '-';
}

/* Whether a flawed line was meant for a BDAT: its verb stands there as a whole. */
static bool is_bdat(struct span in)
{
	return span_starts_nocase(in, "BDAT") && (in.len == 4 || !is_word(in.at[4]));
}

static enum smtp_line_kind judge(struct span line)
{
	bool bare = smtp_scan(line.at, line.len) < line.len;

	if (smtp_line_is_foreign(line, true))
		return SMTP_LINE_FOREIGN;
	/* A tab or such behind the verb: no verb of ours, but a chunk follows all the same. */
	if (is_bdat(line) && (bare || (line.len > 4 && line.at[4] != ' ')))
		return SMTP_LINE_LOST;
	return bare ? SMTP_LINE_BARE : SMTP_LINE_WHOLE;
}

size_t smtp_server_line(struct smtp_server *server, struct span in, enum smtp_line_kind *kind_r,
	struct span *line_r)
{
	size_t end, limit = line_limit(in);
	/* Beyond the limit no CRLF is looked for: what is too long is so at any cut. */
	struct span window = {.at = in.at, .len = in.len < limit ? in.len : limit};

	if (server->discarding)
		return discard(server, in, kind_r);
	end = find_crlf(window, false);
	if (end > 0) {
		*line_r = (struct span){.at = in.at, .len = end - 2};
		*kind_r = judge(*line_r);
		return end;
	}
	*kind_r = SMTP_LINE_PARTIAL;
	if (smtp_line_is_foreign(in, false)) {
		*kind_r = SMTP_LINE_FOREIGN;
		return in.len;
	}
	if (in.len < limit)
		return 0;
	if (is_bdat(in)) {
		*kind_r = SMTP_LINE_LOST;
		return in.len;
	}
	server->discarding = true;
	server->discard_cr = false;
	return discard(server, in, kind_r);
}
