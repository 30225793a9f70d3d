/*
 * Extensions by keyword (RFC 5321 4.1.1.1).
 *
 * The surprise: "AUTH=LOGIN" is read as AUTH.  Servers still offer that form beside the right one
 * for clients of the last century.
 */
#include "smtp/caps.h"

static const struct {
	const char *keyword;
	uint32_t bit;
} known[] = {
#define SMTP_CAP_ROW(name, bit, keyword) {keyword, SMTP_CAP_##name},
	SMTP_CAPS(SMTP_CAP_ROW)
#undef SMTP_CAP_ROW
};

#define KNOWN (sizeof(known) / sizeof(known[0]))

uint32_t smtp_cap_of(struct span keyword)
{
	if (keyword.len == 0)
		return 0;
	for (size_t i = 0; i < KNOWN; i++) {
		if (span_is_nocase(keyword, known[i].keyword))
			return known[i].bit;
	}
	return 0;
}

static struct span keyword_of(struct span line)
{
	size_t len = 0;

	while (len < line.len && line.at[len] != ' ' && line.at[len] != '\t' && line.at[len] != '=')
		len++;
	return (struct span){.at = line.at, .len = len};
}

void smtp_offer_line(struct smtp_offer *offer, struct span line)
{
	struct span keyword;
	uint32_t bit;
	uint64_t size;

	line = span_trim(line);
	keyword = keyword_of(line);
	bit = smtp_cap_of(keyword);
	offer->caps |= bit;
	/* RFC 1870 4: "SIZE" alone or "SIZE 0" states no limit. */
	if (bit == SMTP_CAP_SIZE &&
		span_to_u64(span_trim(span_from(line, keyword.len)), UINT64_MAX, &size))
		offer->size = size;
}

void smtp_caps_text(uint32_t caps, struct buf *into)
{
	const char *between = "";

	for (size_t i = 0; i < KNOWN; i++) {
		if (!(caps & known[i].bit) || known[i].keyword[0] == '\0')
			continue;
		buf_add_text(into, between);
		buf_add_text(into, known[i].keyword);
		between = " ";
	}
}
