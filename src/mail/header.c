/*
 * Header fields are found by walking lines; the chain's pieces are copied into one bounded piece
 * of stack first, since a line may lie across any number of them.
 */
#include "mail/header.h"

#include <string.h>

/* One line from the front of *rest, without its line end; false at the end. */
static bool next_line(struct span *rest, struct span *line_r)
{
	if (rest->len == 0)
		return false;
	size_t end = span_find(*rest, '\n');
	*line_r = (struct span){.at = rest->at, .len = end};
	if (line_r->len > 0 && line_r->at[line_r->len - 1] == '\r')
		line_r->len--;
	*rest = span_from(*rest, end < rest->len ? end + 1 : end);
	return true;
}

static void append(char *value_r, size_t room, size_t *used, struct span part)
{
	size_t len = part.len < room - 1 - *used ? part.len : room - 1 - *used;
	memcpy(value_r + *used, part.at, len);
	*used += len;
	value_r[*used] = '\0';
}

/* One fold more; the blank in front of it is the value's only between two words. */
static void unfold(char *value_r, size_t room, size_t *used, struct span line)
{
	struct span words = span_trim(line);
	if (*used > 0 && words.len > 0)
		append(value_r, room, used, (struct span){.at = line.at, .len = 1});
	append(value_r, room, used, words);
}

bool mail_header_find(const struct chain *body, const char *name, char *value_r, size_t room)
{
	char top[MAIL_HEADER_LOOK];
	struct span rest = {.at = top, .len = chain_copy(body, 0, top, sizeof top)}, line;
	bool found = false;
	size_t used = 0;

	value_r[0] = '\0';
	while (next_line(&rest, &line) && line.len > 0) {
		bool folded = line.at[0] == ' ' || line.at[0] == '\t';
		if (found && !folded)
			break;
		if (found) {
			unfold(value_r, room, &used, line);
			continue;
		}
		size_t colon = span_find(line, ':');
		if (folded || colon == line.len)
			continue;
		if (span_is_nocase(span_trim((struct span){.at = line.at, .len = colon}), name)) {
			found = true;
			append(value_r, room, &used, span_trim(span_from(line, colon + 1)));
		}
	}
	return found;
}
