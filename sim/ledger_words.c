/*
 * The ledger's words: addresses that carry numbers, and what is said of a broken promise.
 */
#include "sim/ledger_inside.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- addresses ---- */

void ledger_sender(char text_r[LEDGER_ADDRESS], unsigned mail, unsigned attempt)
{
	snprintf(text_r, LEDGER_ADDRESS, "m%u.k%u@a.sim", mail, attempt);
}

void ledger_recipient_address(char text_r[LEDGER_ADDRESS], unsigned mail, unsigned index)
{
	snprintf(text_r, LEDGER_ADDRESS, "r%u.m%u@b.sim", index, mail);
}

static bool eat(struct span *text, const char *literal)
{
	size_t len = strlen(literal);
	if (text->len < len || memcmp(text->at, literal, len) != 0)
		return false;
	*text = span_from(*text, len);
	return true;
}

static bool eat_number(struct span *text, unsigned *number_r)
{
	uint64_t number = 0;
	size_t len = 0;
	while (len < text->len && len < 9 && text->at[len] >= '0' && text->at[len] <= '9')
		number = number * 10 + (uint64_t)(text->at[len++] - '0');
	if (len == 0 || (text->at[0] == '0' && len > 1))
		return false;
	*number_r = (unsigned)number;
	*text = span_from(*text, len);
	return true;
}

bool ledger_parse_sender(struct span text, unsigned *mail_r, unsigned *attempt_r)
{
	return eat(&text, "m") && eat_number(&text, mail_r) && eat(&text, ".k") &&
	       eat_number(&text, attempt_r) && eat(&text, "@a.sim") && text.len == 0;
}

bool ledger_parse_recipient(struct span text, unsigned *mail_r, unsigned *index_r)
{
	return eat(&text, "r") && eat_number(&text, index_r) && eat(&text, ".m") &&
	       eat_number(&text, mail_r) && eat(&text, "@b.sim") && text.len == 0;
}

/* ---- saying what is wrong ---- */

void ledger_wrong(struct ledger *ledger, const char *check, unsigned mail, unsigned attempt,
	const struct commit *commit, const char *format, ...)
{
	char words[256], where[64] = "";
	va_list list;
	va_start(list, format);
	vsnprintf(words, sizeof(words), format, list);
	va_end(list);
	if (commit)
		snprintf(where, sizeof(where), " at %s (C%zu)", commit->server,
			(size_t)(commit - ledger->commit));
	world_fail(ledger->world, check, "client %u, m%u.k%u%s: %s",
		ledger_attempt_at(ledger, mail, attempt)->client, mail, attempt, where, words);
}

/* Octets around `at`, printable. */
void ledger_show(struct span body, size_t at, char text_r[64])
{
	size_t begin = at > 8 ? at - 8 : 0, len = 0;
	for (size_t i = begin; i < body.len && i < at + 8; i++) {
		unsigned char c = (unsigned char)body.at[i];
		const char *form = c == '\r' ? "\\r" : c == '\n' ? "\\n" : "\\%02x";
		if (c > 0x20 && c < 0x7f && c != '\\')
			form = "%c";
		len += (size_t)snprintf(text_r + len, 64 - len, form, c);
	}
	text_r[len] = '\0';
}

/* The commits that no client was told of, the last ones: for the words of a failure. */
void ledger_list_unheard(const struct ledger *ledger, char text_r[160])
{
	size_t len = 0;
	text_r[0] = '\0';
	for (size_t i = ledger->commits; i > 0 && len < 120; i--) {
		const struct commit *commit = &ledger->commit[i - 1];
		const struct attempt *at = ledger_attempt_at(ledger, commit->mail, commit->attempt);
		if (at->code / 100 != 2)
			len += (size_t)snprintf(text_r + len, 160 - len, " m%u.k%u at %s%s",
				commit->mail, commit->attempt, commit->server,
				commit->said ? "" : " (unsaid)");
	}
}
