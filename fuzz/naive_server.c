/*
 * Reading the wire as a server does.
 */
#include "naive_server.h"

#include <stdlib.h>
#include <string.h>

#include "input.h"

static void ask(struct naive_server *server, enum naive_ask what, size_t heard, size_t whole)
{
	MUST(server->count < sizeof(server->question) / sizeof(server->question[0]),
		"too many commands for a fuzzer");
	server->question[server->count++] =
		(struct naive_question){.ask = what, .heard = heard, .whole = whole};
}

void naive_server_begin(struct naive_server *server)
{
	memset(server, 0, sizeof(*server));
	server->body_at = server->end_at = NAIVE_NOWHERE;
	ask(server, ASK_BANNER, 0, 0);
}

static bool is(const char *line, size_t len, const char *word)
{
	return len >= strlen(word) && memcmp(line, word, strlen(word)) == 0;
}

/* "BDAT n" or "BDAT n LAST" and n octets.  False: they aren't all queued, which can't be. */
static void see_chunk(struct naive_server *server, const char *line, size_t len, size_t end)
{
	char *behind;
	size_t octets = strtoull(line + 5, &behind, 10);
	bool last = is(behind, (size_t)(line + len - behind), " LAST\r\n");

	MUST(last || is(behind, (size_t)(line + len - behind), "\r\n"), "a bad BDAT line");
	MUST(server->wire.len - end >= octets, "a chunk that isn't all there");
	ask(server, last ? ASK_END : ASK_CHUNK, end, end + octets);
	if (octets > 0 && server->body_at == NAIVE_NOWHERE)
		server->body_at = end;
	if (last)
		server->end_at = end + octets - 1;
	server->at = end + octets;
}

static void see_line(struct naive_server *server, const char *line, size_t len)
{
	static const struct {
		const char *word;
		enum naive_ask ask;
	} words[] = {
		{"EHLO ", ASK_EHLO},
		{"MAIL ", ASK_MAIL},
		{"RCPT ", ASK_RCPT},
		{"DATA\r\n", ASK_DATA},
		{"RSET\r\n", ASK_RSET},
		{"QUIT\r\n", ASK_QUIT},
	};
	size_t end = server->at + len;

	if (is(line, len, "BDAT ")) {
		see_chunk(server, line, len, end);
		return;
	}
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (!is(line, len, words[i].word))
			continue;
		if (words[i].ask == ASK_MAIL || words[i].ask == ASK_RSET)
			server->body_at = server->end_at = NAIVE_NOWHERE;
		ask(server, words[i].ask, end, end);
		server->at = end;
		return;
	}
	finding("no command of ours: %.*s", (int)len, line);
}

void naive_server_see(struct naive_server *server, const char *octets, size_t len)
{
	buf_add(&server->wire, octets, len);
	buf_string(&server->wire);
	while (!server->in_data && server->at < server->wire.len) {
		const char *line = server->wire.at + server->at;
		const char *crlf = memmem(line, server->wire.len - server->at, "\r\n", 2);

		MUST(crlf, "half a command is queued");
		see_line(server, line, (size_t)(crlf - line) + 2);
	}
}

void naive_server_data(struct naive_server *server)
{
	MUST(server->at == server->wire.len, "octets of a body in front of 354");
	server->in_data = true;
	server->body_at = server->lines_at = server->at;
}

void naive_server_ended(struct naive_server *server, bool lacks_crlf)
{
	const char *body = server->wire.at + server->lines_at;
	size_t len = server->wire.len - server->lines_at, end = len;
	bool empty = len >= 3 && memcmp(body, ".\r\n", 3) == 0;
	const char *dot = empty ? body : memmem(body, len, "\r\n.\r\n", 5);

	MUST(dot, "no end of data");
	end = (size_t)(dot - body) + (empty ? 3 : 5);
	MUST(end == len, "an end of data inside the body");
	server->end_at = server->wire.len - (lacks_crlf ? 5 : 3);
	ask(server, ASK_END, server->wire.len, server->wire.len);
	server->at = server->wire.len;
	server->in_data = false;
}

struct naive_question *naive_server_head(struct naive_server *server)
{
	for (unsigned i = 0; i < server->count; i++) {
		if (!server->question[i].answered)
			return &server->question[i];
	}
	return NULL;
}
