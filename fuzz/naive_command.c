/*
 * The commands of RFC 5321 4.1.1 and what their order allows (4.1.4), one line at a time.
 */
#include "naive_command.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "naive_path.h"

static struct naive_answer answer(int code)
{
	return (struct naive_answer){.outcome = OUTCOME_ANSWER, .code = code};
}

static struct naive_answer last_word(int code)
{
	return (struct naive_answer){.outcome = OUTCOME_BREAK, .code = code};
}

/* ---- what is wrong before any command is seen ---- */

static bool begins(const char *line, size_t len, const char *text)
{
	return len >= strlen(text) && strncasecmp(line, text, strlen(text)) == 0;
}

static size_t limit_of(const char *line, size_t len)
{
	if (begins(line, len, "MAIL "))
		return 512 + 26 + 17 + 10 + 9 + 107;
	return begins(line, len, "RCPT ") ? 512 + 29 + 507 : 512;
}

/* Another protocol: a first word of HTTP or PROXY and what ends it, a TLS handshake, or a lone NUL.
 */
static bool is_foreign(const char *line, size_t len, bool whole)
{
	static const char *const words[] = {"GET", "POST", "HEAD", "PUT", "CONNECT", "OPTIONS",
		"DELETE", "PATCH", "TRACE", "PRI", "PROXY"};

	if (begins(line, len, "\x16\x03") || (whole && len == 1 && line[0] == '\0'))
		return true;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		size_t word = strlen(words[i]);

		if (begins(line, len, words[i]) && (len > word ? line[word] == ' ' : whole))
			return true;
	}
	return false;
}

/* A chunk of unknown length will follow. */
static bool is_lost_chunk(const char *line, size_t len)
{
	return begins(line, len, "BDAT") &&
	       (len == 4 || !(isalnum((unsigned char)line[4]) || line[4] == '-'));
}

struct naive_answer naive_partial(const char *line, size_t len)
{
	if (is_foreign(line, len, false))
		return last_word(554);
	if (len >= limit_of(line, len) && is_lost_chunk(line, len))
		return last_word(501);
	return (struct naive_answer){.outcome = OUTCOME_ASK};
}

/* ---- arguments ---- */

static bool is_name(const char *at, size_t len)
{
	bool odd = false;

	for (size_t i = 0; i < len; i++)
		odd |= at[i] <= 0x20 || at[i] == 0x7f || strchr("<>\"\\", at[i]) != NULL;
	return odd ? naive_domain(at, len) : len > 0 && len <= 255;
}

static bool chunk_size(const char *at, size_t len, struct naive_answer *command)
{
	char number[24], *end;
	size_t digits = 0;

	while (digits < len && at[digits] >= '0' && at[digits] <= '9')
		digits++;
	if (digits == 0 || digits > 20 || (digits < len && at[digits] != ' '))
		return false;
	memcpy(number, at, digits);
	number[digits] = '\0';
	command->octets = strtoull(number, &end, 10);
	for (at += digits, len -= digits; len > 0 && strchr(" \t", *at); at++)
		len--;
	command->last = len == 4 && strncasecmp(at, "LAST", 4) == 0;
	return (len == 0 || command->last) && command->octets <= 0xffffffff;
}

/* ---- a function for each kind of command ---- */

static struct naive_answer mail(const struct naive_session *session, struct naive_answer command,
	const char *at, size_t len)
{
	struct naive_mail mail;
	int code;

	if (session->stage != STAGE_READY)
		return answer(503);
	code = naive_mail(at, len, session->max_size, &mail);
	if (code != 0)
		return answer(code);
	command.will_refuse =
		mail.path.local_len > 0 && at[mail.path_at + mail.path.local_at] == 'x';
	command.smtputf8 = mail.smtputf8;
	return command;
}

static struct naive_answer rcpt(const struct naive_session *session, struct naive_answer command,
	const char *at, size_t len)
{
	struct naive_mail rcpt;
	int code;

	if (session->stage != STAGE_MAIL && session->stage != STAGE_RCPT)
		return answer(503);
	code = naive_rcpt(at, len, session->smtputf8, &rcpt);
	if (code != 0)
		return answer(code);
	command.will_refuse = at[rcpt.path_at + rcpt.path.local_at] == 'x';
	return command;
}

static struct naive_answer bdat(const struct naive_session *session, struct naive_answer command,
	const char *at, size_t len)
{
	if (!chunk_size(at, len, &command))
		return last_word(501);
	if (session->stage == STAGE_RCPT || session->stage == STAGE_CHUNKS)
		return command;
	command.outcome = OUTCOME_ANSWER;
	command.code = 503;
	return command;
}

static struct naive_answer plain(const struct naive_session *session, struct naive_answer command,
	const char *at, size_t len)
{
	static const char *const refused[] = {"EXPN", "ETRN", "TURN"};

	if (strcmp(command.verb, "EHLO") == 0 || strcmp(command.verb, "HELO") == 0)
		return is_name(at, len) ? command : answer(501);
	if (strcmp(command.verb, "DATA") == 0 && session->stage != STAGE_RCPT)
		return answer(503);
	if (strcmp(command.verb, "DATA") == 0 || strcmp(command.verb, "RSET") == 0 ||
		strcmp(command.verb, "QUIT") == 0)
		return len == 0 ? command : answer(501);
	if (strcmp(command.verb, "NOOP") == 0)
		return answer(250);
	if (strcmp(command.verb, "HELP") == 0)
		return answer(214);
	if (strcmp(command.verb, "VRFY") == 0)
		return answer(len > 0 ? 252 : 501);
	for (size_t i = 0; i < 3; i++) {
		if (strcmp(command.verb, refused[i]) == 0)
			return answer(502);
	}
	return answer(500);
}

struct naive_answer naive_command(const struct naive_session *session, const char *line, size_t len)
{
	struct naive_answer command = {.outcome = OUTCOME_ASK};
	bool is_long = len > limit_of(line, len);
	const char *at;
	size_t word = 0;

	len -= 2;
	if (is_foreign(line, len, !is_long))
		return last_word(554);
	for (size_t i = 0; i < len && !is_long; i++) {
		if (line[i] == '\r' || line[i] == '\n' || line[i] == '\0')
			return is_lost_chunk(line, len) ? last_word(501) : answer(500);
	}
	if (is_long)
		return is_lost_chunk(line, len) ? last_word(501) : answer(500);
	while (len > 0 && line[len - 1] == ' ')
		len--;
	while (word < len && line[word] != ' ')
		word++;
	for (size_t i = 0; i < word && word == 4; i++)
		command.verb[i] = (char)(line[i] & ~0x20);
	if (word != 4 && is_lost_chunk(line, len))
		return last_word(501);
	at = line + word;
	len -= word;
	while (len > 0 && strchr(" \t", at[0])) {
		at++;
		len--;
	}
	while (len > 0 && strchr(" \t", at[len - 1]))
		len--;
	if (strcmp(command.verb, "MAIL") == 0)
		return mail(session, command, at, len);
	if (strcmp(command.verb, "RCPT") == 0)
		return rcpt(session, command, at, len);
	if (strcmp(command.verb, "BDAT") == 0)
		return bdat(session, command, at, len);
	return plain(session, command, at, len);
}

/* ---- going on ---- */

static void end_transaction(struct naive_session *session)
{
	session->stage = session->greeted ? STAGE_READY : STAGE_START;
	session->recipients = 0;
	session->smtputf8 = false;
}

void naive_went_on(struct naive_session *session, const struct naive_answer *command, bool good)
{
	if (strcmp(command->verb, "EHLO") == 0 || strcmp(command->verb, "HELO") == 0)
		session->greeted |= good;
	if (strcmp(command->verb, "MAIL") == 0 && good) {
		session->stage = STAGE_MAIL;
		session->smtputf8 = command->smtputf8;
	} else if (strcmp(command->verb, "RCPT") == 0) {
		session->recipients += good;
		session->stage = session->recipients > 0 ? STAGE_RCPT : STAGE_MAIL;
	} else if (strcmp(command->verb, "BDAT") == 0 && !command->last) {
		session->stage = STAGE_CHUNKS;
	} else if (strcmp(command->verb, "QUIT") != 0) {
		end_transaction(session);
	}
}
