/*
 * A table of marks: what stands before the id, or behind it.
 */
#include "relay/queue_id.h"

#include <string.h>

static struct span find(struct span text, const char *mark)
{
	size_t len = strlen(mark);
	for (size_t i = 0; i + len <= text.len; i++)
		if (span_starts_nocase(span_from(text, i), mark))
			return span_from(text, i);
	return (struct span){0};
}

static bool ends_token(char c)
{
	return c == ' ' || c == ',' || c == ';' || c == ']' || c == ')' || c == '\r' || c == '\n';
}

static struct span token(struct span text)
{
	size_t len = 0;
	while (len < text.len && !ends_token(text.at[len]))
		len++;
	return (struct span){.at = text.at, .len = len};
}

/* The token that ends where `mark` begins. */
static struct span token_before(struct span text, struct span mark)
{
	size_t end = (size_t)(mark.at - text.at);
	while (end > 0 && text.at[end - 1] == ' ')
		end--;
	size_t begin = end;
	while (begin > 0 && !ends_token(text.at[begin - 1]))
		begin--;
	return (struct span){.at = text.at + begin, .len = end - begin};
}

struct span relay_queue_id(struct span text)
{
	static const char *const before[] = {
		"queued as ", "queued id=", "InternalId=", "id=", " qp "};
	static const char *const behind[] = {" Message accepted", " message accepted"};

	for (size_t i = 0; i < sizeof before / sizeof before[0]; i++) {
		struct span mark = find(text, before[i]);
		if (mark.len > 0)
			return token(span_from(mark, strlen(before[i])));
	}
	for (size_t i = 0; i < sizeof behind / sizeof behind[0]; i++) {
		struct span mark = find(text, behind[i]);
		if (mark.len > 0)
			return token_before(text, mark);
	}
	/* SES: "Ok 0102018f..."; a lone long token behind "Ok". */
	if (span_starts_nocase(text, "Ok ")) {
		struct span last = token(span_from(text, 3));
		if (last.len >= 16)
			return last;
	}
	return (struct span){0};
}
