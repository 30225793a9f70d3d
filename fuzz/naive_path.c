/*
 * Addresses by trying every split; parameters by cutting at every blank.
 */
#include "naive_path.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- characters ---- */

static bool alnum(char c)
{
	return c != '\0' &&
	       strchr("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", c) != NULL;
}

static bool wide(const char *at, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (at[i] & 0x80)
			return true;
	}
	return false;
}

/* Octets of the character beyond ASCII at the front: decoded, then held against the ranges of
 * RFC 3629 3. */
size_t naive_utf8(const char *at, size_t len)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	const unsigned char *octets = (const unsigned char *)at;
	size_t count = len == 0 || octets[0] < 0xc0 ? 0
		       : octets[0] < 0xe0           ? 2
		       : octets[0] < 0xf0           ? 3
		       : octets[0] < 0xf8           ? 4
						    : 0;
	uint32_t point;

	if (count == 0 || count > len)
		return 0;
	point = octets[0] & (0x7fu >> count);
	for (size_t i = 1; i < count; i++) {
		if (octets[i] < 0x80 || octets[i] > 0xbf)
			return 0;
		point = point * 64 + octets[i] % 64;
	}
	if (point < least[count] || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff))
		return 0;
	return count;
}

/* ---- domains ---- */

static bool label(const char *at, size_t len)
{
	if (len == 0 || len > 63 || at[0] == '-' || at[len - 1] == '-')
		return false;
	for (size_t i = 0; i < len;) {
		size_t count = naive_utf8(at + i, len - i);

		if (count == 0 && !alnum(at[i]) && at[i] != '-')
			return false;
		i += count > 0 ? count : 1;
	}
	return true;
}

static bool literal(const char *at, size_t len)
{
	unsigned char address[16];
	char text[80];
	bool ip6;

	if (len < 2 || len - 2 >= sizeof(text) || at[len - 1] != ']' || memchr(at, '\0', len))
		return false;
	memcpy(text, at + 1, len - 2);
	text[len - 2] = '\0';
	ip6 = strncasecmp(text, "IPv6:", 5) == 0;
	return inet_pton(ip6 ? AF_INET6 : AF_INET, ip6 ? text + 5 : text, address) == 1;
}

bool naive_domain(const char *at, size_t len)
{
	size_t begin = 0;

	if (len == 0 || len > 255)
		return false;
	if (at[0] == '[')
		return literal(at, len);
	for (size_t i = 0; i <= len; i++) {
		if (i < len && at[i] != '.')
			continue;
		if (!label(at + begin, i - begin))
			return false;
		begin = i + 1;
	}
	return true;
}

/* ---- local parts ---- */

static bool atom(const char *at, size_t len)
{
	for (size_t i = 0; i < len;) {
		size_t count = naive_utf8(at + i, len - i);

		if (count == 0 && !alnum(at[i]) &&
			(at[i] == '\0' || !strchr("!#$%&'*+-/=?^_`{|}~", at[i])))
			return false;
		i += count > 0 ? count : 1;
	}
	return len > 0;
}

static bool quoted(const char *at, size_t len)
{
	if (len < 2 || at[0] != '"' || at[len - 1] != '"')
		return false;
	for (size_t i = 1; i < len - 1;) {
		size_t count = naive_utf8(at + i, len - 1 - i);
		bool escape = at[i] == '\\' && i + 1 < len - 1;

		if (escape && (at[i + 1] < 0x20 || at[i + 1] > 0x7e))
			return false;
		if (count == 0 && !escape &&
			(at[i] < 0x20 || at[i] > 0x7e || at[i] == '"' || at[i] == '\\'))
			return false;
		i += escape ? 2 : count > 0 ? count : 1;
	}
	return true;
}

static bool local(const char *at, size_t len)
{
	size_t begin = 0;

	if (len > 64)
		return false;
	if (quoted(at, len))
		return true;
	for (size_t i = 0; i <= len; i++) {
		if (i < len && at[i] != '.')
			continue;
		if (!atom(at + begin, i - begin))
			return false;
		begin = i + 1;
	}
	return true;
}

/* ---- paths ---- */

/* "@a,@b" */
static bool route(const char *at, size_t len)
{
	size_t begin = 0;

	for (size_t i = 0; i <= len; i++) {
		if (i < len && at[i] != ',')
			continue;
		if (i == begin || at[begin] != '@' || !naive_domain(at + begin + 1, i - begin - 1))
			return false;
		begin = i + 1;
	}
	return true;
}

/* In how many ways text[begin ... end) is a mailbox; the last one is noted. */
static unsigned mailbox(const char *text, size_t begin, size_t end, struct naive_path *path)
{
	unsigned ways = 0;

	for (size_t i = begin; i < end; i++) {
		if (text[i] != '@' || !local(text + begin, i - begin) ||
			!naive_domain(text + i + 1, end - i - 1))
			continue;
		path->local_at = begin;
		path->local_len = i - begin;
		path->domain_at = i + 1;
		path->domain_len = end - i - 1;
		ways++;
	}
	return ways;
}

/* The same for a whole path, brackets included. */
static unsigned whole(const char *at, size_t len, bool forward, struct naive_path *path)
{
	unsigned ways = 0;

	if (len < 2 || len > 256 || at[0] != '<' || at[len - 1] != '>')
		return 0;
	path->len = len;
	path->wide = wide(at, len);
	if (len == 2 && !forward) {
		path->null = true;
		return 1;
	}
	if (forward && len == 12 && strncasecmp(at + 1, "postmaster", 10) == 0) {
		path->local_at = 1;
		path->local_len = 10;
		return 1;
	}
	ways = mailbox(at, 1, len - 1, path);
	for (size_t i = 1; i < len - 1; i++) {
		unsigned more;

		if (at[i] != ':' || !route(at + 1, i - 1))
			continue;
		more = mailbox(at, i + 1, len - 1, path);
		path->route |= more > 0;
		ways += more;
	}
	return ways;
}

struct naive_path naive_path(const char *at, size_t len, bool forward)
{
	struct naive_path path = {0}, found = {0};
	unsigned ways = 0;

	for (size_t i = 0; i < len && i < 256; i++) {
		struct naive_path here = {0};
		unsigned more;

		if (at[i] != '>')
			continue;
		more = whole(at, i + 1, forward, &here);
		if (more > 0)
			found = here;
		ways += more;
	}
	/* The grammar is not ambiguous; were it, nobody could say what was meant. */
	if (ways > 1)
		abort();
	return ways == 1 ? found : path;
}

/* ---- parameters ---- */

struct word {
	const char *at;
	size_t len;
};

static bool is(struct word word, const char *text)
{
	return word.len == strlen(text) && strncasecmp(word.at, text, word.len) == 0;
}

static bool xtext(struct word value, bool allow_wide)
{
	for (size_t i = 0; i < value.len; i++) {
		static const char hex[] = "0123456789abcdefABCDEF";

		if (wide(value.at + i, 1) && !allow_wide)
			return false;
		if (value.at[i] == '+' && (value.len - i < 3 || !memchr(hex, value.at[i + 1], 22) ||
						  !memchr(hex, value.at[i + 2], 22)))
			return false;
	}
	return true;
}

/* "NAME" or "NAME=VALUE" between blanks; value.at NULL: none.  False: malformed. */
static bool parameter(struct word token, struct word *name, struct word *value)
{
	const char *equals = memchr(token.at, '=', token.len);

	*name = (struct word){token.at, equals ? (size_t)(equals - token.at) : token.len};
	*value = (struct word){0};
	if (equals)
		*value = (struct word){equals + 1, token.len - name->len - 1};
	if (name->len == 0 || name->at[0] == '-' || (equals && value->len == 0))
		return false;
	for (size_t i = 0; i < name->len; i++) {
		if (!alnum(name->at[i]) && name->at[i] != '-')
			return false;
	}
	for (size_t i = 0; i < value->len; i++) {
		unsigned char c = (unsigned char)value->at[i];

		if (c < 0x21 || c == '=' || c == 0x7f)
			return false;
	}
	return true;
}

static bool number(struct word value, uint64_t *number_r)
{
	char digits[32];

	if (value.len == 0 || value.len > 20)
		return false;
	for (size_t i = 0; i < value.len; i++) {
		if (value.at[i] < '0' || value.at[i] > '9')
			return false;
	}
	memcpy(digits, value.at, value.len);
	digits[value.len] = '\0';
	errno = 0;
	*number_r = strtoull(digits, NULL, 10);
	return errno == 0;
}

static bool notify(struct word value)
{
	size_t begin = 0;

	if (is(value, "NEVER"))
		return true;
	for (size_t i = 0; i <= value.len; i++) {
		struct word part = {value.at + begin, i - begin};

		if (i < value.len && value.at[i] != ',')
			continue;
		if (!is(part, "SUCCESS") && !is(part, "FAILURE") && !is(part, "DELAY"))
			return false;
		begin = i + 1;
	}
	return true;
}

static bool orcpt(struct word value, bool allow_wide)
{
	const char *sign = value.at ? memchr(value.at, ';', value.len) : NULL;

	return sign && sign > value.at && sign + 1 < value.at + value.len && value.len <= 500 &&
	       xtext(value, allow_wide);
}

static void keep(struct naive_mail *mail, int which, const char *base, struct word value)
{
	mail->value_at[which] = (size_t)(value.at - base);
	mail->value_len[which] = value.len;
}

/* 0, 501 or 555; `seen` has a bit for each parameter that came. */
static int mail_parameter(const char *base, struct word name, struct word value, unsigned *seen,
	struct naive_mail *mail)
{
	static const char *const names[] = {"SIZE", "BODY", "SMTPUTF8", "RET", "ENVID"};
	unsigned i = 0;

	while (i < 5 && !is(name, names[i]))
		i++;
	if (i == 5)
		return 555;
	if (*seen & 1u << i)
		return 501;
	*seen |= 1u << i;
	if (i == 0)
		return number(value, &mail->size) ? 0 : 501;
	if (i == 1) {
		mail->body = is(value, "7BIT") ? 7 : is(value, "8BITMIME") ? 8 : 0;
		return mail->body != 0 ? 0 : 501;
	}
	if (i == 2) {
		mail->smtputf8 = true;
		return value.at ? 501 : 0;
	}
	if (!value.at)
		return 501;
	keep(mail, i == 3 ? 0 : 1, base, value);
	if (i == 3)
		return is(value, "FULL") || is(value, "HDRS") ? 0 : 501;
	return value.len <= 100 && xtext(value, false) ? 0 : 501;
}

static int rcpt_parameter(const char *base, struct word name, struct word value, bool allow_wide,
	struct naive_mail *rcpt)
{
	int which = is(name, "NOTIFY") ? 2 : is(name, "ORCPT") ? 3 : -1;

	if (which < 0)
		return 555;
	if (rcpt->value_len[which] > 0 || !value.at)
		return 501;
	keep(rcpt, which, base, value);
	return (which == 2 ? notify(value) : orcpt(value, allow_wide)) ? 0 : 501;
}

/* Parameters between blanks, the first bad one decides. */
static int parameters(const char *base, const char *at, size_t len, bool forward, bool allow_wide,
	struct naive_mail *mail)
{
	unsigned seen = 0;

	if (len > 0 && at[0] != ' ')
		return 501;
	for (size_t i = 0; i < len;) {
		struct word token = {at + i, 0}, name, value;
		int code;

		while (i + token.len < len && token.at[token.len] != ' ')
			token.len++;
		i += token.len + 1;
		if (token.len == 0)
			continue;
		if (!parameter(token, &name, &value))
			return 501;
		code = forward ? rcpt_parameter(base, name, value, allow_wide, mail)
			       : mail_parameter(base, name, value, &seen, mail);
		if (code != 0)
			return code;
	}
	return 0;
}

/* ---- arguments ---- */

/* `word` and the blanks behind it; 0: it isn't there. */
static size_t skip_word(const char *at, size_t len, const char *word)
{
	size_t skip = strlen(word);

	if (len < skip || strncasecmp(at, word, skip) != 0)
		return 0;
	while (skip < len && at[skip] == ' ')
		skip++;
	return skip;
}

int naive_mail(const char *at, size_t len, uint64_t max_size, struct naive_mail *mail_r)
{
	size_t skip = skip_word(at, len, "FROM:");
	int code;

	*mail_r = (struct naive_mail){.path_at = skip};
	if (skip == 0)
		return 501;
	mail_r->path = naive_path(at + skip, len - skip, false);
	if (mail_r->path.len == 0)
		return 501;
	skip += mail_r->path.len;
	code = parameters(at, at + skip, len - skip, false, false, mail_r);
	if (code != 0)
		return code;
	if (mail_r->path.wide && !mail_r->smtputf8)
		return 501;
	return max_size > 0 && mail_r->size > max_size ? 552 : 0;
}

int naive_rcpt(const char *at, size_t len, bool smtputf8, struct naive_mail *rcpt_r)
{
	size_t skip = skip_word(at, len, "TO:");

	*rcpt_r = (struct naive_mail){.path_at = skip};
	if (skip == 0)
		return 501;
	rcpt_r->path = naive_path(at + skip, len - skip, true);
	if (rcpt_r->path.len == 0 || (rcpt_r->path.wide && !smtputf8))
		return 501;
	skip += rcpt_r->path.len;
	return parameters(at, at + skip, len - skip, true, smtputf8, rcpt_r);
}
