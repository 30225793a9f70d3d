/*
 * Our own replies, out of the one table in reply.h.
 *
 * Arguments may be words of the client's: what could break a line is replaced, and they are cut
 * so that no line of ours exceeds what RFC 5321 4.5.3.1.5 allows.
 */
#include "smtp/reply.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define ARGUMENT_MAX 255 /* a host name's length */

static const struct {
	uint16_t code;
	const char *enhanced, *text;
} owns[SMTP_OWN_COUNT] = {
#define SMTP_OWN_ROW(id, code, enhanced, text) [SMTP_OWN_##id] = {code, enhanced, text},
	SMTP_OWN_REPLIES(SMTP_OWN_ROW)
#undef SMTP_OWN_ROW
};

static void add_argument(struct buf *into, const char *argument)
{
	size_t len = strnlen(argument, ARGUMENT_MAX);

	for (size_t i = 0; i < len; i++) {
		char c = (unsigned char)argument[i] < 0x20 || argument[i] == 0x7f ? '?'
										  : argument[i];
		buf_add(into, &c, 1);
	}
}

void smtp_own_reply(
	enum smtp_own own, const char *argument, struct buf *into, struct smtp_reply *reply_r)
{
	const char *text = owns[own].text, *hole = strstr(text, "%s");
	size_t begin = into->len;
	struct smtp_reply reply;
	bool broken;

	assert((hole != NULL) == (argument != NULL));
	buf_addf(into, "%u ", owns[own].code);
	if (owns[own].enhanced[0] != '\0')
		buf_addf(into, "%s ", owns[own].enhanced);
	if (hole) {
		buf_add(into, text, (size_t)(hole - text));
		add_argument(into, argument);
		text = hole + 2;
	}
	buf_addf(into, "%s\r\n", text);
	smtp_reply_parse(span_from(buf_span(into), begin), &reply, &broken);
	assert(!broken);
	*reply_r = reply;
}

uint16_t smtp_own_code(enum smtp_own own)
{
	return owns[own].code;
}

void smtp_own_reference(struct buf *into)
{
	buf_add_text(into, "| code | enhanced | text |\n|---|---|---|\n");
	for (int own = 0; own < SMTP_OWN_COUNT; own++)
		buf_addf(into, "| %u | %s | `%s` |\n", owns[own].code, owns[own].enhanced,
			owns[own].text);
}
