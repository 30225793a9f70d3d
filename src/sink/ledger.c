/*
 * The ledger's lines, and what has to be known of a body to write them.
 */
#include <string.h>

#include "base/json.h"
#include "base/when.h"
#include "sink/ledger.h"

#define FNV_START 0xcbf29ce484222325u
#define FNV_PRIME 0x100000001b3u

void sink_mail_begin(struct sink_mail *mail, bool keep, bool hashing)
{
	buf_reset(&mail->sender);
	buf_reset(&mail->recipients);
	buf_reset(&mail->header);
	buf_reset(&mail->octets_kept);
	mail->header_done = false;
	mail->keep = keep;
	mail->hashing = hashing;
	mail->octets = 0;
	mail->hash = FNV_START;
}

void sink_mail_clear(struct sink_mail *mail)
{
	buf_clear(&mail->sender);
	buf_clear(&mail->recipients);
	buf_clear(&mail->header);
	buf_clear(&mail->octets_kept);
}

/* Collect up to the empty line, wherever the pieces are cut. */
static void header_collect(struct sink_mail *mail, struct span piece)
{
	static const char end[] = "\r\n\r\n";
	struct buf *header = &mail->header;
	size_t from = header->len < 3 ? 0 : header->len - 3;
	size_t room = LEDGER_HEADER_MAX - header->len;
	buf_add(header, piece.at, piece.len < room ? piece.len : room);
	const char *found = memmem(header->at + from, header->len - from, end, 4);
	if (found)
		header->len = (size_t)(found - header->at) + 2;
	mail->header_done = found || header->len == LEDGER_HEADER_MAX;
}

static uint64_t fnv(uint64_t hash, struct span piece)
{
	for (size_t i = 0; i < piece.len; i++)
		hash = (hash ^ (uint8_t)piece.at[i]) * FNV_PRIME;
	return hash;
}

void sink_mail_body(struct sink_mail *mail, struct span piece)
{
	if (piece.len == 0)
		return;
	mail->octets += piece.len;
	if (mail->hashing)
		mail->hash = fnv(mail->hash, piece);
	if (!mail->header_done)
		header_collect(mail, piece);
	if (mail->keep)
		buf_add_span(&mail->octets_kept, piece);
}

static struct span line_cut(struct span *rest)
{
	size_t end = span_find(*rest, '\n');
	struct span line = {.at = rest->at, .len = end};
	*rest = span_from(*rest, end < rest->len ? end + 1 : end);
	if (line.len > 0 && line.at[line.len - 1] == '\r')
		line.len--;
	return line;
}

struct span sink_mail_id(const struct sink_mail *mail)
{
	struct span rest = buf_span(&mail->header);
	while (rest.len > 0) {
		struct span line = line_cut(&rest);
		if (line.len == 0)
			break;
		if (span_starts_nocase(line, LEDGER_HEADER ":"))
			return span_trim(span_from(line, sizeof(LEDGER_HEADER)));
	}
	return (struct span){0};
}

void ledger_line(const struct ledger_entry *entry, const struct sink_mail *mail, struct buf *into)
{
	char time[WHEN_TEXT], hash[17];
	static const char digits[] = "0123456789abcdef";
	when_text(entry->wall, time);
	for (int i = 0; i < 16; i++)
		hash[i] = digits[mail->hash >> (60 - 4 * i) & 15];
	hash[16] = '\0';
	struct json json;
	json_begin(&json, into);
	json_open(&json, NULL, '{');
	json_put_string(&json, "time", time);
	json_put_string(&json, "server", entry->server);
	json_put_int(&json, "n", (int64_t)entry->number);
	json_put_int(&json, "session", (int64_t)entry->session);
	json_put_text(&json, "id", sink_mail_id(mail));
	json_put_int(&json, "octets", (int64_t)mail->octets);
	json_put_string(&json, "hash", hash);
	json_put_text(&json, "sender", buf_span(&mail->sender));
	json_open(&json, "recipients", '[');
	for (struct span rest = buf_span(&mail->recipients); rest.len > 0;)
		json_put_text(&json, NULL, line_cut(&rest));
	json_close(&json, ']');
	json_close(&json, '}');
	buf_add_text(into, "\n");
}

bool ledger_line_id(struct span line, struct span *id_r)
{
	static const char key[] = "\"id\":\"";
	const char *found = line.len ? memmem(line.at, line.len, key, sizeof(key) - 1) : NULL;
	if (!found)
		return false;
	struct span rest = span_from(line, (size_t)(found - line.at) + sizeof(key) - 1);
	size_t end = span_find(rest, '"');
	*id_r = (struct span){.at = rest.at, .len = end};
	return end > 0 && end < rest.len;
}
