/*
 * Paths and addresses by the strict grammar of RFC 5321 4.1.2, with the UTF-8 of RFC 6531 3.3.
 *
 * Each eat_...() takes its part from the front of *rest and says whether it was there; nothing is
 * copied, unquoted or folded, so what is passed on is what was written.
 */
#include "smtp/address.h"

#define LOCAL_OCTETS  64  /* RFC 5321 4.5.3.1.1 */
#define DOMAIN_OCTETS 255 /* 4.5.3.1.2 */
#define PATH_OCTETS   256 /* 4.5.3.1.3, brackets and a source route included */
#define LABEL_OCTETS  63  /* RFC 1035 2.3.4 */

static bool is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* RFC 5322 3.2.3. */
static bool is_atext(char c)
{
	static const char specials[] = "!#$%&'*+-/=?^_`{|}~";

	return is_alnum(c) || span_find((struct span){.at = specials, .len = sizeof(specials) - 1},
				      c) < sizeof(specials) - 1;
}

static bool eat_char(struct span *rest, char c)
{
	if (rest->len == 0 || rest->at[0] != c)
		return false;
	*rest = span_from(*rest, 1);
	return true;
}

/* Length of the well-formed character beyond ASCII at the front (RFC 3629 4), 0 if none. */
static size_t utf8_len(struct span in)
{
	static const struct {
		unsigned char first, last, low, high; /* of the first octet; bounds of the second */
		size_t len;
	} forms[] = {
		{0xc2, 0xdf, 0x80, 0xbf, 2},
		{0xe0, 0xe0, 0xa0, 0xbf, 3},
		{0xe1, 0xec, 0x80, 0xbf, 3},
		{0xed, 0xed, 0x80, 0x9f, 3},
		{0xee, 0xef, 0x80, 0xbf, 3},
		{0xf0, 0xf0, 0x90, 0xbf, 4},
		{0xf1, 0xf3, 0x80, 0xbf, 4},
		{0xf4, 0xf4, 0x80, 0x8f, 4},
	};
	const unsigned char *at = (const unsigned char *)in.at;

	for (size_t i = 0; in.len > 0 && i < sizeof(forms) / sizeof(forms[0]); i++) {
		if (at[0] < forms[i].first || at[0] > forms[i].last || in.len < forms[i].len)
			continue;
		if (at[1] < forms[i].low || at[1] > forms[i].high)
			return 0;
		for (size_t j = 2; j < forms[i].len; j++) {
			if ((at[j] & 0xc0) != 0x80)
				return 0;
		}
		return forms[i].len;
	}
	return 0;
}

/* ---- domains ---- */

/* A label: let-dig at both ends, hyphens within, UTF-8 anywhere (a U-label). */
static bool eat_label(struct span *rest)
{
	size_t len = 0;
	bool hyphen = false;

	while (len < rest->len) {
		size_t wide = utf8_len(span_from(*rest, len));

		if (wide == 0 && !is_alnum(rest->at[len]) && (rest->at[len] != '-' || len == 0))
			break;
		hyphen = rest->at[len] == '-';
		len += wide > 0 ? wide : 1;
	}
	if (len == 0 || hyphen || len > LABEL_OCTETS)
		return false;
	*rest = span_from(*rest, len);
	return true;
}

static bool eat_name(struct span *rest)
{
	do {
		if (!eat_label(rest))
			return false;
	} while (eat_char(rest, '.'));
	return true;
}

/* "192.0.2.1" or "IPv6:2001:db8::1"; no other tag was ever registered. */
static bool literal_is_sound(struct span inside)
{
	struct addr addr;
	bool ip6 = span_starts_nocase(inside, "IPv6:");

	if (ip6)
		inside = span_from(inside, 5);
	if ((span_find(inside, ':') < inside.len) != ip6 || span_find(inside, '[') < inside.len)
		return false;
	return addr_parse(inside, &addr) == ERR_OK;
}

/* The bracket in front is there. */
static bool eat_literal(struct span *rest)
{
	size_t end = span_find(*rest, ']');
	struct span inside;

	if (end == rest->len)
		return false;
	inside = (struct span){.at = rest->at + 1, .len = end - 1};
	if (!literal_is_sound(inside))
		return false;
	*rest = span_from(*rest, end + 1);
	return true;
}

static bool eat_domain(struct span *rest, struct span *domain_r)
{
	struct span before = *rest;

	if (!(rest->len > 0 && rest->at[0] == '[' ? eat_literal(rest) : eat_name(rest)))
		return false;
	*domain_r = (struct span){.at = before.at, .len = before.len - rest->len};
	return domain_r->len <= DOMAIN_OCTETS;
}

bool smtp_domain_valid(struct span domain)
{
	struct span rest = domain, whole;

	return eat_domain(&rest, &whole) && rest.len == 0;
}

/* ---- local parts ---- */

static bool eat_atom(struct span *rest)
{
	struct span before = *rest;
	size_t wide;

	while (rest->len > 0) {
		wide = utf8_len(*rest);
		if (wide == 0 && !is_atext(rest->at[0]))
			break;
		*rest = span_from(*rest, wide > 0 ? wide : 1);
	}
	return rest->len < before.len;
}

static bool eat_dot_string(struct span *rest)
{
	do {
		if (!eat_atom(rest))
			return false;
	} while (eat_char(rest, '.'));
	return true;
}

/* One octet, escaped pair or UTF-8 character within quotes. */
static bool eat_quoted_content(struct span *rest)
{
	size_t wide = utf8_len(*rest);

	if (wide == 0 && rest->len > 0 && rest->at[0] == '\\') {
		wide = 2;
		if (rest->len < 2 || rest->at[1] < ' ' || rest->at[1] > '~')
			return false;
	} else if (wide == 0) {
		wide = 1;
		if (rest->len == 0 || rest->at[0] < ' ' || rest->at[0] > '~')
			return false;
	}
	*rest = span_from(*rest, wide);
	return true;
}

/* The quote in front is there. */
static bool eat_quoted(struct span *rest)
{
	*rest = span_from(*rest, 1);
	while (!eat_char(rest, '"')) {
		if (!eat_quoted_content(rest))
			return false;
	}
	return true;
}

static bool eat_local(struct span *rest, struct span *local_r)
{
	struct span before = *rest;

	if (!(rest->len > 0 && rest->at[0] == '"' ? eat_quoted(rest) : eat_dot_string(rest)))
		return false;
	*local_r = (struct span){.at = before.at, .len = before.len - rest->len};
	return local_r->len <= LOCAL_OCTETS;
}

bool smtp_local_reroutes(struct span local)
{
	for (size_t i = 0; i < local.len; i++) {
		if (local.at[i] == '%' || local.at[i] == '!' || local.at[i] == '@')
			return true;
	}
	return false;
}

/* ---- paths ---- */

/* "@a,@b:", which RFC 5321 4.1.1.3 still has us accept. */
static bool eat_source_route(struct span *rest)
{
	struct span domain;

	do {
		if (!eat_char(rest, '@') || !eat_domain(rest, &domain))
			return false;
	} while (eat_char(rest, ','));
	return eat_char(rest, ':');
}

static bool is_wide(struct span text)
{
	for (size_t i = 0; i < text.len; i++) {
		if ((unsigned char)text.at[i] > 0x7f)
			return true;
	}
	return false;
}

/* RFC 5321 4.1.1.3: the one address that needs no domain. */
static bool eat_postmaster(struct span *rest, struct span *local_r)
{
	if (!span_starts_nocase(*rest, "postmaster>"))
		return false;
	*local_r = (struct span){.at = rest->at, .len = 10};
	*rest = span_from(*rest, 10);
	return true;
}

static bool eat_mailbox(struct span *rest, struct smtp_path *path)
{
	if (rest->len > 0 && rest->at[0] == '@') {
		path->source_route = true;
		if (!eat_source_route(rest))
			return false;
	}
	return eat_local(rest, &path->local) && eat_char(rest, '@') &&
	       eat_domain(rest, &path->domain);
}

size_t smtp_path_parse(struct span in, enum smtp_path_kind kind, struct smtp_path *path_r)
{
	struct smtp_path path = {0};
	struct span rest = in;
	bool sound;

	if (!eat_char(&rest, '<'))
		return 0;
	if (kind == SMTP_REVERSE_PATH && rest.len > 0 && rest.at[0] == '>')
		sound = path.null = true;
	else if (kind == SMTP_FORWARD_PATH && eat_postmaster(&rest, &path.local))
		sound = true;
	else
		sound = eat_mailbox(&rest, &path);
	if (!sound || !eat_char(&rest, '>') || in.len - rest.len > PATH_OCTETS)
		return 0;
	path.text = (struct span){.at = in.at, .len = in.len - rest.len};
	path.utf8 = is_wide(path.text);
	*path_r = path;
	return path.text.len;
}
