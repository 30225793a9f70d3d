/*
 * Parameters of MAIL and RCPT (RFC 5321 4.1.2, esmtp-param).
 */
#include "smtp/address.h"

static bool is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static size_t keyword_len(struct span in)
{
	size_t len = 0;

	while (len < in.len && (is_alnum(in.at[len]) || (len > 0 && in.at[len] == '-')))
		len++;
	return len;
}

/* RFC 5321: no "=", space or control character; RFC 6531 3.4: UTF-8 as well. */
static size_t value_len(struct span in)
{
	size_t len = 0;

	while (len < in.len && (unsigned char)in.at[len] > ' ' && in.at[len] != '=' &&
		in.at[len] != 0x7f)
		len++;
	return len;
}

bool smtp_param_next(struct span *rest, struct span *name_r, struct span *value_r, bool *bad_r)
{
	struct span in = *rest;
	size_t len;

	*bad_r = false;
	while (in.len > 0 && in.at[0] == ' ')
		in = span_from(in, 1);
	if (in.len == 0) {
		*rest = in;
		return false;
	}
	len = keyword_len(in);
	*bad_r = in.len == rest->len || len == 0; /* no blank in front, or no name */
	*name_r = (struct span){.at = in.at, .len = len};
	*value_r = (struct span){.at = NULL, .len = 0};
	in = span_from(in, len);
	if (in.len > 0 && in.at[0] == '=') {
		in = span_from(in, 1);
		*value_r = (struct span){.at = in.at, .len = value_len(in)};
		*bad_r |= value_r->len == 0;
		in = span_from(in, value_r->len);
	}
	*bad_r |= in.len > 0 && in.at[0] != ' ';
	*rest = in;
	return !*bad_r;
}
