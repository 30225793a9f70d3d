/*
 * The form of a command (RFC 5321 4.1.1, 4.1.2): strict as a sender must be, not lenient as a
 * receiver should.  Naive: no tables shared with anybody, each rule where it is used.
 */
#include "sim/legal_inside.h"

#include <string.h>

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static char upper(char c)
{
	return c >= 'a' && c <= 'z' ? (char)(c - 32) : c;
}

/* Eats the word if the text begins with it, in any case. */
static bool eat(struct span *text, const char *word)
{
	size_t len = strlen(word);

	if (text->len < len)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (upper(text->at[i]) != word[i])
			return false;
	}
	text->at += len;
	text->len -= len;
	return true;
}

/* Digits only; false: none, or more than `most`. */
static bool eat_digits(struct span *text, size_t most, uint64_t *number_r)
{
	size_t len = 0;

	*number_r = 0;
	for (; len < text->len && is_digit(text->at[len]); len++)
		*number_r = *number_r * 10 + (uint64_t)(text->at[len] - '0');
	text->at += len;
	text->len -= len;
	return len > 0 && len <= most;
}

/* ---- addresses ---- */

static bool domain_is_good(struct span domain)
{
	if (domain.len == 0 || domain.len > 255)
		return false;
	if (domain.at[0] == '[')
		return domain.len > 2 && domain.at[domain.len - 1] == ']' &&
		       !memchr(domain.at + 1, '[', domain.len - 1) &&
		       memchr(domain.at, ']', domain.len) == domain.at + domain.len - 1;
	for (size_t i = 0; i < domain.len; i++) {
		char c = domain.at[i], before = i > 0 ? domain.at[i - 1] : '.';

		if (!is_letter(c) && !is_digit(c) && c != '-' && c != '.' && c != '_')
			return false;
		if ((c == '.' || c == '-') && before == '.')
			return false;
	}
	return domain.at[domain.len - 1] != '.' && domain.at[domain.len - 1] != '-';
}

static bool atom_has(char c)
{
	return is_letter(c) || is_digit(c) || (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c));
}

/* Length of the local part at the front; 0: none that is good. */
static size_t local_part(struct span text)
{
	size_t i = 0;

	if (text.len > 0 && text.at[0] == '"') {
		for (i = 1; i < text.len && text.at[i] != '"'; i++) {
			if (text.at[i] < 32 || text.at[i] > 126)
				return 0;
			if (text.at[i] == '\\')
				i++;
		}
		return i < text.len ? i + 1 : 0;
	}
	for (; i < text.len && (atom_has(text.at[i]) || text.at[i] == '.'); i++) {
		if (text.at[i] == '.' && (i == 0 || text.at[i - 1] == '.'))
			return 0;
	}
	return i > 0 && text.at[i - 1] == '.' ? 0 : i;
}

/* "<a@b>" at the front of `rest`, which is then what follows. */
static const char *eat_path(struct span *rest, bool sender)
{
	struct span path = *rest, domain;
	size_t local, end;

	if (!eat(&path, "<"))
		return "an address that doesn't begin with <, right behind the colon";
	if (sender && eat(&path, ">")) {
		*rest = path;
		return NULL;
	}
	/* A source route (RFC 5321 4.1.2, obsolete): not looked into. */
	if (path.len > 0 && path.at[0] == '@') {
		size_t colon = span_find(path, ':');

		if (colon == path.len)
			return "a source route without an end";
		path = span_from(path, colon + 1);
	}
	local = local_part(path);
	if (local == 0 || local > 64)
		return "a bad local part";
	domain = span_from(path, local);
	if (!eat(&domain, "@")) {
		if (!sender && local == 10 && eat(&path, "POSTMASTER>")) {
			*rest = path;
			return NULL;
		}
		return "an address without a domain";
	}
	end = span_find(domain, '>');
	if (end == domain.len)
		return "an address without its >";
	if (!domain_is_good((struct span){.at = domain.at, .len = end}))
		return "a bad domain";
	*rest = span_from(domain, end + 1);
	return NULL;
}

/* ---- parameters ---- */

static const char *read_parameter(
	struct span parameter, const struct legal_offers *offers, unsigned *seen)
{
	uint64_t number;

	if (eat(&parameter, "SIZE=")) {
		if (!offers->size)
			return "SIZE, which was not offered";
		if (!eat_digits(&parameter, 20, &number) || parameter.len > 0)
			return "a bad SIZE";
		if (*seen & 1)
			return "SIZE twice";
		*seen |= 1;
		return NULL;
	}
	if (eat(&parameter, "BODY=")) {
		if (!offers->eightbit)
			return "BODY, though 8BITMIME was not offered";
		if (!span_is_nocase(parameter, "7BIT") && !span_is_nocase(parameter, "8BITMIME"))
			return "a bad BODY";
		if (*seen & 2)
			return "BODY twice";
		*seen |= 2;
		return NULL;
	}
	return "a parameter of an extension that was not offered";
}

static const char *read_parameters(struct span rest, bool sender, const struct legal_offers *offers)
{
	unsigned seen = 0;

	while (rest.len > 0) {
		size_t len;
		const char *wrong;

		if (!eat(&rest, " "))
			return "something right behind the >";
		len = span_find(rest, ' ');
		if (len == 0)
			return "a blank too many";
		/* Those of RCPT are all DSN's (RFC 3461), which is never offered here. */
		if (!sender)
			return "a parameter of an extension that was not offered";
		wrong = read_parameter((struct span){.at = rest.at, .len = len}, offers, &seen);
		if (wrong)
			return wrong;
		rest = span_from(rest, len);
	}
	return NULL;
}

static const char *read_envelope(struct span rest, bool sender, const struct legal_offers *offers)
{
	const char *wrong;

	if (!eat(&rest, sender ? " FROM:" : " TO:"))
		return sender ? "MAIL without FROM:" : "RCPT without TO:";
	wrong = eat_path(&rest, sender);
	return wrong ? wrong : read_parameters(rest, sender, offers);
}

/* ---- other arguments ---- */

static const char *read_chunk(
	struct span rest, const struct legal_offers *offers, struct legal_command *command)
{
	if (!offers->chunking)
		return "BDAT, though CHUNKING was not offered";
	if (!eat(&rest, " ") || !eat_digits(&rest, 18, &command->size))
		return "BDAT without a decimal size";
	command->last = eat(&rest, " LAST");
	return rest.len > 0 ? "something behind the size of BDAT that is not LAST" : NULL;
}

static const char *read_hello(struct span rest)
{
	if (!eat(&rest, " ") || !domain_is_good(rest))
		return "EHLO or HELO without one domain or address literal";
	return NULL;
}

/* NOOP, HELP and VRFY take a text. */
static const char *read_text(struct span rest, bool must)
{
	if (rest.len == 0 && !must)
		return NULL;
	return rest.len > 1 && rest.at[0] == ' ' && rest.at[1] != ' ' ? NULL : "a bad argument";
}

static const char *read_none(struct span rest)
{
	return rest.len > 0 ? "an argument where none may be" : NULL;
}

/* ---- lines ---- */

static const struct {
	const char *word;
	enum legal_verb verb;
} verbs[] = {
	{"EHLO", LEGAL_EHLO},
	{"HELO", LEGAL_HELO},
	{"MAIL", LEGAL_MAIL},
	{"RCPT", LEGAL_RCPT},
	{"DATA", LEGAL_DATA},
	{"BDAT", LEGAL_BDAT},
	{"RSET", LEGAL_RSET},
	{"NOOP", LEGAL_NOOP},
	{"VRFY", LEGAL_VRFY},
	{"HELP", LEGAL_HELP},
	{"QUIT", LEGAL_QUIT},
};

/* RFC 5321 4.5.3.1.4, RFC 1870 3, RFC 6152 2. */
static size_t longest(enum legal_verb verb, const struct legal_offers *offers)
{
	size_t most = 512;

	if (verb == LEGAL_MAIL && offers->size)
		most += 26;
	if (verb == LEGAL_MAIL && offers->eightbit)
		most += 17;
	return most;
}

const char *legal_line(
	struct span line, const struct legal_offers *offers, struct legal_command *command_r)
{
	struct span rest = line;
	unsigned i = 0;

	*command_r = (struct legal_command){.verb = LEGAL_NOTHING};
	for (size_t at = 0; at < line.len; at++) {
		if (line.at[at] < 32 || line.at[at] > 126)
			return "an octet that is not printable ASCII in a command";
	}
	while (i < sizeof(verbs) / sizeof(*verbs) && !eat(&rest, verbs[i].word))
		i++;
	if (i == sizeof(verbs) / sizeof(*verbs) ||
		(rest.len > 0 && (is_letter(rest.at[0]) || is_digit(rest.at[0]))))
		return "an unknown command";
	command_r->verb = verbs[i].verb;
	if (line.len + 2 > longest(command_r->verb, offers))
		return "a command line that is too long";
	switch (command_r->verb) {
	case LEGAL_EHLO:
	case LEGAL_HELO:
		return read_hello(rest);
	case LEGAL_MAIL:
	case LEGAL_RCPT:
		return read_envelope(rest, command_r->verb == LEGAL_MAIL, offers);
	case LEGAL_BDAT:
		return read_chunk(rest, offers, command_r);
	case LEGAL_NOOP:
	case LEGAL_HELP:
	case LEGAL_VRFY:
		return read_text(rest, command_r->verb == LEGAL_VRFY);
	default:
		return read_none(rest);
	}
}
