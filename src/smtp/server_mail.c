/*
 * The arguments of MAIL and RCPT: a path, then parameters, each a row of a table.
 *
 * What a parameter says is checked here and passed on as it was written; whether a server can do
 * what it asks for is the owner's question.
 */
#include "smtp/server_private.h"

#include <stdio.h>
#include <string.h>

#define ENVID_MAX 100 /* RFC 3461 4.4 */
#define ORCPT_MAX 500 /* RFC 3461 4.2 */

static enum smtp_own refuse(struct smtp_server *server, enum smtp_own own, const char *argument)
{
	server->argument = argument;
	return own;
}

static enum smtp_own refuse_word(struct smtp_server *server, enum smtp_own own, struct span word)
{
	snprintf(server->words, sizeof(server->words), "%.*s", SPAN_ARG(word));
	return refuse(server, own, server->words);
}

/* ---- values ---- */

static bool is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F') || (c >= 'a' && c <= 'f');
}

/* RFC 3461 4: "+" begins two hexadecimal digits; `wide` lets the UTF-8 of RFC 6533 3 pass. */
static bool is_xtext(struct span value, bool wide)
{
	for (size_t i = 0; i < value.len; i++) {
		if (!wide && (unsigned char)value.at[i] > 0x7e)
			return false;
		if (value.at[i] != '+')
			continue;
		if (i + 2 >= value.len || !is_hex(value.at[i + 1]) || !is_hex(value.at[i + 2]))
			return false;
	}
	return true;
}

static bool take_size(struct smtp_mail *mail, struct span value)
{
	/* RFC 1870 4: 1*20DIGIT */
	return value.len <= 20 && span_to_u64(value, UINT64_MAX, &mail->size);
}

static bool take_body(struct smtp_mail *mail, struct span value)
{
	mail->body = span_is_nocase(value, "8BITMIME") ? SMTP_BODY_8BITMIME : SMTP_BODY_7BIT;
	return mail->body == SMTP_BODY_8BITMIME || span_is_nocase(value, "7BIT");
}

static bool take_smtputf8(struct smtp_mail *mail, struct span value)
{
	mail->smtputf8 = true;
	return !value.at;
}

static bool take_ret(struct smtp_mail *mail, struct span value)
{
	mail->ret = value;
	return span_is_nocase(value, "FULL") || span_is_nocase(value, "HDRS");
}

static bool take_envid(struct smtp_mail *mail, struct span value)
{
	mail->envid = value;
	return value.len > 0 && value.len <= ENVID_MAX && is_xtext(value, false);
}

/* "NEVER", or some of the others, between commas. */
static bool is_notify(struct span value)
{
	if (span_is_nocase(value, "NEVER"))
		return true;
	for (;;) {
		struct span word = {.at = value.at, .len = span_find(value, ',')};

		if (!span_is_nocase(word, "SUCCESS") && !span_is_nocase(word, "FAILURE") &&
			!span_is_nocase(word, "DELAY"))
			return false;
		if (word.len == value.len)
			return true;
		value = span_from(value, word.len + 1);
	}
}

/* An address type and an address: "rfc822;a@b". */
static bool is_orcpt(struct span value, bool wide)
{
	size_t type = span_find(value, ';');

	return type > 0 && type + 1 < value.len && value.len <= ORCPT_MAX && is_xtext(value, wide);
}

/* ---- MAIL ---- */

static const struct {
	const char *name, *syntax;
	bool (*take)(struct smtp_mail *mail, struct span value);
} mail_params[] = {
	{"SIZE", "SIZE=octets", take_size},
	{"BODY", "BODY=7BIT or BODY=8BITMIME", take_body},
	{"SMTPUTF8", "SMTPUTF8 without a value", take_smtputf8},
	{"RET", "RET=FULL or RET=HDRS", take_ret},
	{"ENVID", "ENVID=xtext of at most 100 octets", take_envid},
};

#define MAIL_PARAMS (sizeof(mail_params) / sizeof(mail_params[0]))

static enum smtp_own take_mail_param(struct smtp_server *server, struct smtp_mail *mail,
	struct span name, struct span value, unsigned *seen)
{
	for (size_t i = 0; i < MAIL_PARAMS; i++) {
		if (!span_is_nocase(name, mail_params[i].name))
			continue;
		if (*seen & 1u << i)
			return refuse(server, SMTP_OWN_SYNTAX, "each parameter once");
		*seen |= 1u << i;
		if (mail_params[i].take(mail, value))
			return SMTP_OWN_NONE;
		return refuse(server, SMTP_OWN_SYNTAX, mail_params[i].syntax);
	}
	return refuse_word(server, SMTP_OWN_UNKNOWN_PARAMETER, name);
}

static enum smtp_own take_mail_params(
	struct smtp_server *server, struct smtp_mail *mail, struct span rest)
{
	struct span name, value;
	unsigned seen = 0;
	bool bad;

	while (smtp_param_next(&rest, &name, &value, &bad)) {
		enum smtp_own own = take_mail_param(server, mail, name, value, &seen);

		if (own != SMTP_OWN_NONE)
			return own;
	}
	if (bad)
		return refuse(server, SMTP_OWN_SYNTAX, "MAIL FROM:<address> NAME=VALUE");
	return SMTP_OWN_NONE;
}

/* RFC 1870 6.1: what will be too large is refused before it comes. */
static enum smtp_own refuse_size(struct smtp_server *server)
{
	snprintf(server->words, sizeof(server->words), "%llu",
		(unsigned long long)server->rules.max_size);
	return refuse(server, SMTP_OWN_TOO_LARGE, server->words);
}

/* `word`, and blanks, which RFC 5321 3.3 forbids there but many clients write. */
static bool eat_word(struct span *rest, const char *word)
{
	if (!span_starts_nocase(*rest, word))
		return false;
	*rest = span_from(*rest, strlen(word));
	while (rest->len > 0 && rest->at[0] == ' ')
		*rest = span_from(*rest, 1);
	return true;
}

enum smtp_own smtp_mail_parse(
	struct smtp_server *server, struct span rest, struct smtp_mail *mail_r)
{
	struct smtp_mail mail = {0};
	enum smtp_own own;
	size_t len;

	if (!eat_word(&rest, "FROM:"))
		return refuse(server, SMTP_OWN_SYNTAX, "MAIL FROM:<address>");
	len = smtp_path_parse(rest, SMTP_REVERSE_PATH, &mail.from);
	if (len == 0)
		return SMTP_OWN_BAD_SENDER;
	own = take_mail_params(server, &mail, span_from(rest, len));
	if (own != SMTP_OWN_NONE)
		return own;
	if (mail.from.utf8 && !mail.smtputf8)
		return SMTP_OWN_BAD_SENDER;
	if (server->rules.max_size > 0 && mail.size > server->rules.max_size)
		return refuse_size(server);
	server->smtputf8 = mail.smtputf8;
	*mail_r = mail;
	return SMTP_OWN_NONE;
}

/* ---- RCPT ---- */

static enum smtp_own take_notify(
	struct smtp_server *server, struct smtp_rcpt *rcpt, struct span value)
{
	if (rcpt->notify.at)
		return refuse(server, SMTP_OWN_SYNTAX, "each parameter once");
	rcpt->notify = value;
	if (is_notify(value))
		return SMTP_OWN_NONE;
	return refuse(server, SMTP_OWN_SYNTAX, "NOTIFY=NEVER or of SUCCESS,FAILURE,DELAY");
}

static enum smtp_own take_orcpt(
	struct smtp_server *server, struct smtp_rcpt *rcpt, struct span value)
{
	if (rcpt->orcpt.at)
		return refuse(server, SMTP_OWN_SYNTAX, "each parameter once");
	rcpt->orcpt = value;
	if (is_orcpt(value, server->smtputf8))
		return SMTP_OWN_NONE;
	return refuse(server, SMTP_OWN_SYNTAX, "ORCPT=type;xtext of at most 500 octets");
}

static enum smtp_own take_rcpt_params(
	struct smtp_server *server, struct smtp_rcpt *rcpt, struct span rest)
{
	enum smtp_own own = SMTP_OWN_NONE;
	struct span name, value;
	bool bad;

	while (own == SMTP_OWN_NONE && smtp_param_next(&rest, &name, &value, &bad)) {
		if (span_is_nocase(name, "NOTIFY"))
			own = take_notify(server, rcpt, value);
		else if (span_is_nocase(name, "ORCPT"))
			own = take_orcpt(server, rcpt, value);
		else
			own = refuse_word(server, SMTP_OWN_UNKNOWN_PARAMETER, name);
	}
	if (own == SMTP_OWN_NONE && bad)
		own = refuse(server, SMTP_OWN_SYNTAX, "RCPT TO:<address> NAME=VALUE");
	return own;
}

enum smtp_own smtp_rcpt_parse(
	struct smtp_server *server, struct span rest, struct smtp_rcpt *rcpt_r)
{
	struct smtp_rcpt rcpt = {0};
	enum smtp_own own;
	size_t len;

	if (!eat_word(&rest, "TO:"))
		return refuse(server, SMTP_OWN_SYNTAX, "RCPT TO:<address>");
	len = smtp_path_parse(rest, SMTP_FORWARD_PATH, &rcpt.to);
	if (len == 0 || (rcpt.to.utf8 && !server->smtputf8))
		return SMTP_OWN_BAD_RECIPIENT;
	own = take_rcpt_params(server, &rcpt, span_from(rest, len));
	if (own == SMTP_OWN_NONE)
		*rcpt_r = rcpt;
	return own;
}
