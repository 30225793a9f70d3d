/*
 * Addresses and parameters: what the grammar takes and refuses, against every way to split the
 * text; and what it takes comes back byte for byte.
 *
 * Each line of the text is looked at alone: as a path of both kinds, as a domain, and as the
 * argument of MAIL and RCPT said to a server.
 */
#include <string.h>

#include "input.h"
#include "naive_path.h"
#include "smtp/server.h"

#define TEXT_MOST  4096
#define LINES_MOST 6 /* a long input is no better than a short one, and dearer */
#define SIZE_RULE  1000000

static void same_span(const char *what, struct span got, const char *at, size_t from, size_t len)
{
	if (len == 0)
		MUST(got.len == 0, "%s: %zu octets, none expected", what, got.len);
	else
		MUST(got.at == at + from && got.len == len, "%s: \"%.*s\" is not what was written",
			what, SPAN_ARG(got));
}

static void same_path(const struct smtp_path *path, const struct naive_path *naive, const char *at)
{
	same_span("path", path->text, at, 0, naive->len);
	same_span("local part", path->local, at, naive->local_at, naive->local_len);
	same_span("domain", path->domain, at, naive->domain_at, naive->domain_len);
	MUST(path->null == naive->null, "null is %d", path->null);
	MUST(path->source_route == naive->route, "source_route is %d", path->source_route);
	MUST(path->utf8 == naive->wide, "utf8 is %d", path->utf8);
}

static void try_path(const char *at, size_t len, bool forward)
{
	struct naive_path naive = naive_path(at, len, forward);
	struct smtp_path path;
	size_t eaten = smtp_path_parse((struct span){.at = at, .len = len},
		forward ? SMTP_FORWARD_PATH : SMTP_REVERSE_PATH, &path);
	bool reroutes = false;

	MUST(eaten == naive.len, "path: %zu octets eaten, %zu expected", eaten, naive.len);
	if (eaten == 0)
		return;
	same_path(&path, &naive, at);
	for (size_t i = 0; i < path.local.len; i++)
		reroutes |= strchr("%!@", path.local.at[i]) != NULL;
	MUST(smtp_local_reroutes(path.local) == reroutes, "reroutes: %d expected", reroutes);
}

static void try_domain(const char *at, size_t len)
{
	bool valid = smtp_domain_valid((struct span){.at = at, .len = len});

	MUST(valid == naive_domain(at, len), "domain: said to be %s", valid ? "valid" : "invalid");
}

/* ---- as arguments ---- */

struct talk {
	struct chunk_pool *pool;
	struct smtp_server *server;
};

/* One line said to the server; it asks the owner (0), or answers itself. */
static int say(struct talk *talk, const char *line, size_t len, struct smtp_server_event *event)
{
	struct chain *out = smtp_server_out(talk->server);
	struct span in = {.at = line, .len = len};
	size_t eaten = smtp_server_next(talk->server, in, event);

	chain_eat(out, out->len);
	MUST(eaten == len, "%zu of %zu octets of a line eaten", eaten, len);
	if (event->kind == SRV_ANSWERED)
		return smtp_own_code(event->own);
	MUST(event->kind == SRV_COMMAND, "a line made event %d", event->kind);
	return 0;
}

static void say_well(struct talk *talk, const char *line)
{
	struct chain *out = smtp_server_out(talk->server);
	struct smtp_server_event event;

	MUST(say(talk, line, strlen(line), &event) == 0, "%s was refused", line);
	smtp_server_own(talk->server, event.slot, SMTP_OWN_OK, NULL);
	chain_eat(out, out->len);
}

static void same_mail(const struct smtp_mail *mail, const struct naive_mail *naive, const char *arg)
{
	same_path(&mail->from, &naive->path, arg + naive->path_at);
	MUST(mail->size == naive->size, "SIZE is %llu", (unsigned long long)mail->size);
	MUST(mail->body == (naive->body == 7          ? SMTP_BODY_7BIT
				   : naive->body == 8 ? SMTP_BODY_8BITMIME
						      : SMTP_BODY_UNSAID),
		"BODY is %d", mail->body);
	MUST(mail->smtputf8 == naive->smtputf8, "SMTPUTF8 is %d", mail->smtputf8);
	same_span("RET", mail->ret, arg, naive->value_at[0], naive->value_len[0]);
	same_span("ENVID", mail->envid, arg, naive->value_at[1], naive->value_len[1]);
}

/* A line that the server would not take for an argument at all is the command fuzzer's. */
static bool is_argument(const char *at, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (at[i] == '\r' || at[i] == '\n' || at[i] == '\0')
			return false;
	}
	return len > 0 && len < 600 && at[0] != ' ' && at[0] != '\t' && at[len - 1] != ' ' &&
	       at[len - 1] != '\t';
}

static void try_mail(struct talk *talk, const char *at, size_t len)
{
	struct smtp_server_event event;
	struct naive_mail naive;
	char line[700];
	size_t head = strlen("MAIL ");
	int code, expected;

	memcpy(line, "MAIL ", head);
	memcpy(line + head, at, len);
	memcpy(line + head + len, "\r\n", 2);
	code = say(talk, line, head + len + 2, &event);
	expected = naive_mail(line + head, len, SIZE_RULE, &naive);
	MUST(code == expected, "MAIL: %d, expected %d", code, expected);
	if (code != 0)
		return;
	same_mail(&event.command.mail, &naive, line + head);
	smtp_server_own(talk->server, event.slot, SMTP_OWN_RELAY_DENIED, NULL);
}

static void try_rcpt(struct talk *talk, const char *at, size_t len, bool smtputf8)
{
	struct smtp_server_event event;
	struct naive_mail naive;
	char line[700];
	size_t head = strlen("RCPT ");
	int code, expected;

	say_well(talk, smtputf8 ? "MAIL FROM:<> SMTPUTF8\r\n" : "MAIL FROM:<>\r\n");
	memcpy(line, "RCPT ", head);
	memcpy(line + head, at, len);
	memcpy(line + head + len, "\r\n", 2);
	code = say(talk, line, head + len + 2, &event);
	expected = naive_rcpt(line + head, len, smtputf8, &naive);
	MUST(code == expected, "RCPT: %d, expected %d", code, expected);
	if (code == 0) {
		same_path(&event.command.rcpt.to, &naive.path, line + head + naive.path_at);
		same_span("NOTIFY", event.command.rcpt.notify, line + head, naive.value_at[2],
			naive.value_len[2]);
		same_span("ORCPT", event.command.rcpt.orcpt, line + head, naive.value_at[3],
			naive.value_len[3]);
		smtp_server_own(talk->server, event.slot, SMTP_OWN_OK, NULL);
	}
	say_well(talk, "RSET\r\n");
}

static void try_line(struct talk *talk, const char *at, size_t len)
{
	try_path(at, len, false);
	try_path(at, len, true);
	try_domain(at, len);
	if (!is_argument(at, len))
		return;
	try_mail(talk, at, len);
	try_rcpt(talk, at, len, false);
	try_rcpt(talk, at, len, true);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	const struct smtp_server_rules rules = {.max_size = SIZE_RULE};
	struct talk talk = {.pool = chunk_pool_new()};
	struct input input;
	size_t begin = 0;
	unsigned lines = 1;

	input_take(bytes, len, TEXT_MOST, &input);
	talk.server = smtp_server_new(talk.pool, &rules);
	say_well(&talk, "EHLO x\r\n");
	for (size_t i = 0; i < input.len && lines < LINES_MOST; i++) {
		if (input.text[i] != '\n')
			continue;
		try_line(&talk, input.text + begin, i - begin);
		begin = i + 1;
		lines++;
	}
	try_line(&talk, input.text + begin, input.len - begin);
	smtp_server_free(&talk.server);
	chunk_pool_free(&talk.pool);
	input_clear(&input);
	return 0;
}
