/*
 * The load's messages: a small header of their own, then lines that all of them share, so that a
 * large message costs no memory.
 */
#include "sink/ledger.h"
#include "sink/load_private.h"

struct chunk *load_mail_filler(struct chunk_pool *pool)
{
	static const char words[] = "A weir spreads a river evenly over its width. ";
	struct chunk *chunk = chunk_new(pool, CHUNK_LARGE);
	while (chunk_tail(chunk) >= LOAD_LINE) {
		char *line = chunk->at + chunk->len;
		for (unsigned i = 0; i < LOAD_LINE - 2; i++)
			line[i] = words[i % (sizeof(words) - 1)];
		line[LOAD_LINE - 2] = '\r';
		line[LOAD_LINE - 1] = '\n';
		chunk->len += LOAD_LINE;
	}
	return chunk;
}

void load_mail_sender(const struct load *load, struct buf *into)
{
	buf_addf(into, "sample@%s", load->hostname);
}

void load_mail_recipient(const struct load_item *item, struct buf *into)
{
	buf_addf(into, "user%llu@example.com", (unsigned long long)(item->message.number % 100));
}

/* "21 Nov 2026 03:54:07 +0000" (RFC 5322 section 3.3) out of "2026-11-21T03:54:07.123Z". */
static void add_date(int64_t wall, struct buf *into)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	char text[WHEN_TEXT];
	when_text(wall, text);
	unsigned month = (unsigned)(text[5] - '0') * 10 + (unsigned)(text[6] - '0');
	buf_addf(into, "Date: %.2s %.3s %.4s %.8s +0000\r\n", text + 8, months + 3 * (month - 1),
		text, text + 11);
}

static void add_header(const struct load *load, const struct load_item *item, struct buf *into)
{
	unsigned long long number = item->message.number;
	buf_add_text(into, "From: ");
	load_mail_sender(load, into);
	buf_add_text(into, "\r\nTo: ");
	load_mail_recipient(item, into);
	buf_addf(into, "\r\nSubject: Sample %llu\r\n", number);
	add_date(sys_wall(net_sys(load->loop)), into);
	buf_addf(into, "Message-ID: <%s.%llu@%s>\r\n", load->run, number, load->hostname);
	buf_addf(into, LEDGER_HEADER ": %s.%llu\r\n\r\n", load->run, number);
}

void load_mail_body(const struct load *load, const struct load_item *item, struct chain *body)
{
	struct buf header = {0};
	add_header(load, item, &header);
	chain_add_copy(body, header.at, header.len);
	buf_clear(&header);
	while (body->len < load->setup.size) {
		size_t lines = (load->setup.size - body->len + LOAD_LINE - 1) / LOAD_LINE;
		size_t len = lines * LOAD_LINE;
		chain_add(body, load->filler, 0, len < load->filler->len ? len : load->filler->len);
	}
}
