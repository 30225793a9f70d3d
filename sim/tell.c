/*
 * Telling a failure: out of all that was said, what concerns those whom the failure names.
 *
 *     "client 3, m7.k1: ..."  ──►  the names "client 3", "m7"
 *           who is named      ──►  its last lines
 *           who mentions m7   ──►  that transaction, and a little before it
 *           the house         ──►  what it noted at those moments
 *     then lines that repeat each other are folded into the first ones
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/when.h"
#include "sim/trace_inside.h"

enum {
	NAMES = 12,
	NAME_LEN = 24,
	LINES_BEFORE = 9, /* a mention, of the same speaker */
	LINES_AFTER = 3,  /* the next transaction's begin */
	LINES_LAST = 14,  /* of who is named */
	LINES_MAX = 74
};

struct names {
	char at[NAMES][NAME_LEN];
	unsigned count;
};

struct speaker {
	const char *who;
	size_t last;   /* entry, from 1 */
	unsigned left; /* entries to be shown yet */
	bool data;     /* DATA was said, and its 354 may come */
	bool body;     /* until the dot */
	size_t chunk;  /* octets of BDAT yet to come */
	struct {
		uint32_t kind;
		unsigned len;
		size_t into; /* what the rest is folded into */
	} run[2];
};

struct telling {
	struct trace *trace;
	struct names names;
	struct speaker *speakers;
	size_t count;
};

/* ---- names ---- */

static void add_name(struct names *names, const char *text, size_t len)
{
	if (len == 0 || len >= NAME_LEN || names->count == NAMES)
		return;
	for (unsigned i = 0; i < names->count; i++) {
		if (strlen(names->at[i]) == len && memcmp(names->at[i], text, len) == 0)
			return;
	}
	memcpy(names->at[names->count], text, len);
	names->at[names->count++][len] = '\0';
}

static size_t digits(const char *text)
{
	size_t len = 0;
	while (isdigit((unsigned char)text[len]))
		len++;
	return len;
}

/* "client 3", "server s1.2", "m7", and so much of "m7.k1" and "r2.m7". */
static void find_names(struct names *names, const char *words)
{
	for (const char *at = words; *at; at++) {
		if (at > words && isalnum((unsigned char)at[-1]))
			continue;
		size_t len;
		if (strncmp(at, "client ", 7) == 0 && (len = digits(at + 7)) > 0) {
			add_name(names, at, 7 + len);
		} else if (strncmp(at, "server s", 8) == 0 && (len = digits(at + 8)) > 0) {
			len += 8;
			size_t number = at[len] == '.' ? digits(at + len + 1) : 0;
			if (number > 0)
				add_name(names, at, len + 1 + number);
		} else if (*at == 'm' && (len = digits(at + 1)) > 0) {
			add_name(names, at, 1 + len);
		}
	}
}

static bool text_has(struct span text, const char *name)
{
	size_t len = strlen(name);
	for (size_t i = 0; i + len <= text.len; i++) {
		bool begins = i == 0 || !isalnum((unsigned char)text.at[i - 1]);
		bool ends = i + len == text.len || !isdigit((unsigned char)text.at[i + len]);
		if (begins && ends && memcmp(text.at + i, name, len) == 0)
			return true;
	}
	return false;
}

static bool is_mail(const char *name)
{
	return name[0] == 'm';
}

/* ---- who said it ---- */

static size_t speaker_of(struct telling *telling, const char *who)
{
	for (size_t i = telling->count; i > 0; i--) {
		if (strcmp(telling->speakers[i - 1].who, who) == 0)
			return i - 1;
	}
	telling->speakers = mem_grow(telling->speakers, telling->count + 1, sizeof(struct speaker));
	telling->speakers[telling->count] = (struct speaker){.who = who};
	return telling->count++;
}

static bool is_house(const struct trace_entry *entry)
{
	return strcmp(entry->who, "mailweir") == 0;
}

/* ---- kinds of lines ---- */

static bool begins_with(struct span text, const char *what)
{
	return text.len >= strlen(what) && strncasecmp(text.at, what, strlen(what)) == 0;
}

static bool is_dot(struct span text)
{
	return span_is(text, ".\r\n");
}

static bool is_command(struct span text)
{
	static const char *const verbs[] = {"EHLO", "HELO", "MAIL FROM", "RCPT TO", "DATA\r",
		"BDAT ", "RSET", "NOOP", "QUIT", "VRFY", "STARTTLS"};
	for (size_t i = 0; i < sizeof(verbs) / sizeof(*verbs); i++) {
		if (begins_with(text, verbs[i]))
			return true;
	}
	return is_dot(text);
}

static bool is_reply(const struct trace_entry *entry)
{
	return entry->heard == (strncmp(entry->who, "client", 6) == 0);
}

/* Whether this is of a body, in which a line may look like a command. */
static bool is_body(struct speaker *speaker, struct trace_entry *entry)
{
	struct span text = buf_span(&entry->text);
	if (entry->note)
		return false;
	if (is_reply(entry)) {
		speaker->body |= speaker->data && begins_with(text, "354");
		return speaker->data = false;
	}
	if (speaker->chunk > 0) {
		speaker->chunk -= speaker->chunk < entry->octets ? speaker->chunk : entry->octets;
		return true;
	}
	if (speaker->body && !is_dot(text))
		return true;
	speaker->body = false;
	speaker->data = begins_with(text, "DATA\r");
	if (begins_with(text, "BDAT "))
		speaker->chunk = strtoul(buf_string(&entry->text) + 5, NULL, 10);
	return !is_command(text);
}

static void link_entries(struct telling *telling)
{
	for (size_t i = 0; i < telling->trace->count; i++) {
		struct trace_entry *entry = &telling->trace->at[i];
		entry->speaker = speaker_of(telling, entry->who);
		entry->body = is_body(&telling->speakers[entry->speaker], entry);
		entry->before = telling->speakers[entry->speaker].last;
		telling->speakers[entry->speaker].last = i + 1;
	}
}

/* Lines of the same kind, one after the other, are folded; 0: this one is not. */
static uint32_t kind_of(const struct trace_entry *entry)
{
	uint32_t kind = 1;
	for (size_t i = 0; i < 4 && i < entry->text.len && !entry->body; i++)
		kind = kind << 8 | (unsigned char)entry->text.at[i];
	return entry->note ? 0 : kind;
}

static bool begins_mail(const struct trace_entry *entry)
{
	return !entry->body && begins_with(buf_span(&entry->text), "MAIL FROM");
}

/* ---- what is shown ---- */

static void show_back(struct telling *telling, size_t from, unsigned lines)
{
	for (size_t i = from; i > 0 && lines > 0;) {
		struct trace_entry *entry = &telling->trace->at[i - 1];
		entry->shown = true;
		lines -= !entry->body;
		i = entry->before;
	}
}

static bool mentions(const struct names *names, const struct trace_entry *entry)
{
	for (unsigned i = 0; i < names->count; i++) {
		if (is_mail(names->at[i]) && text_has(buf_span(&entry->text), names->at[i]))
			return true;
	}
	return false;
}

/* A transaction that is named, from a little before it until the next one has begun. */
static void show_mentions(struct telling *telling)
{
	for (size_t i = 0; i < telling->trace->count; i++) {
		struct trace_entry *entry = &telling->trace->at[i];
		struct speaker *speaker = &telling->speakers[entry->speaker];
		if (is_house(entry))
			continue;
		if (!entry->body && mentions(&telling->names, entry)) {
			if (speaker->left == 0)
				show_back(telling, entry->before, LINES_BEFORE);
			entry->shown = true;
			speaker->left = UINT32_MAX;
			continue;
		}
		if (speaker->left == 0)
			continue;
		entry->shown = true;
		if (begins_mail(entry) && speaker->left > LINES_AFTER)
			speaker->left = LINES_AFTER;
		speaker->left -= speaker->left <= LINES_AFTER;
	}
}

static void show_named(struct telling *telling)
{
	for (size_t i = 0; i < telling->count; i++) {
		const struct speaker *speaker = &telling->speakers[i];
		for (unsigned j = 0; j < telling->names.count; j++) {
			if (strcmp(speaker->who, telling->names.at[j]) == 0)
				show_back(telling, speaker->last, LINES_LAST);
		}
	}
}

/* A failure that names only who speaks is about what it spoke of last. */
static void name_last_mail(struct telling *telling, size_t last)
{
	for (size_t i = last; i > 0; i = telling->trace->at[i - 1].before) {
		if (begins_mail(&telling->trace->at[i - 1])) {
			find_names(&telling->names, buf_string(&telling->trace->at[i - 1].text));
			return;
		}
	}
}

static void name_mails(struct telling *telling)
{
	unsigned count = telling->names.count;
	for (unsigned i = 0; i < count; i++) {
		if (is_mail(telling->names.at[i]))
			return;
	}
	for (size_t i = 0; i < telling->count; i++) {
		for (unsigned j = 0; j < count; j++) {
			if (strcmp(telling->speakers[i].who, telling->names.at[j]) == 0)
				name_last_mail(telling, telling->speakers[i].last);
		}
	}
}

/* What the house noted within a second of what is shown, and its last words. */
static void show_house(struct telling *telling)
{
	struct trace *trace = telling->trace;
	int64_t moment = INT64_MIN / 2;
	for (size_t i = 0; i < trace->count; i++) {
		struct trace_entry *entry = &trace->at[i];
		if (is_house(entry))
			entry->shown = entry->now - moment <= SECOND;
		else if (entry->shown)
			moment = entry->now;
	}
	moment = INT64_MAX;
	for (size_t i = trace->count; i > 0; i--) {
		struct trace_entry *entry = &trace->at[i - 1];
		if (is_house(entry))
			entry->shown |= moment - entry->now <= SECOND;
		else if (entry->shown)
			moment = entry->now;
	}
}

/* Of a body and of a long reply the first line; of others some, for they may differ. */
static unsigned alike_shown(const struct buf *text, uint32_t kind)
{
	bool goes_on = text->len > 3 && text->at[3] == '-';
	return kind == 1 || goes_on ? 1 : 4;
}

/* The reply to this is another one than those before it. */
static bool ends_run(const struct trace_entry *entry)
{
	static const char *const verbs[] = {"MAIL FROM", "DATA\r", "BDAT ", ".\r", "RSET"};
	for (size_t i = 0; i < sizeof(verbs) / sizeof(*verbs) && !entry->body; i++) {
		if (begins_with(buf_span(&entry->text), verbs[i]))
			return true;
	}
	return false;
}

static void fold(struct telling *telling)
{
	for (size_t i = 0; i < telling->trace->count; i++) {
		struct trace_entry *entry = &telling->trace->at[i];
		struct speaker *speaker = &telling->speakers[entry->speaker];
		uint32_t kind = kind_of(entry);
		if (!entry->shown)
			continue;
		typeof(speaker->run[0]) *run = &speaker->run[entry->heard];
		if (ends_run(entry))
			speaker->run[!entry->heard].kind = 0;
		bool same = kind != 0 && kind == run->kind;
		run->len = same ? run->len + 1 : 1;
		run->kind = kind;
		if (run->len <= alike_shown(&entry->text, kind)) {
			run->into = i;
			continue;
		}
		entry->shown = false;
		telling->trace->at[run->into].more++;
	}
}

/* ---- the telling ---- */

static void print_shown(const struct trace *trace, FILE *out)
{
	size_t shown = 0, number = 0;
	for (size_t i = 0; i < trace->count; i++)
		shown += trace->at[i].shown;
	size_t left_out = shown > LINES_MAX ? shown - LINES_MAX : 0;
	fprintf(out, "  (%zu of %zu lines)\n", shown - left_out, trace->count);
	for (size_t i = 0; i < trace->count; i++) {
		if (!trace->at[i].shown)
			continue;
		number++;
		if (number > LINES_MAX / 4 && number <= LINES_MAX / 4 + left_out) {
			if (number == LINES_MAX / 4 + left_out)
				fprintf(out, "  (%zu lines left out)\n", left_out);
			continue;
		}
		trace_print_entry(&trace->at[i], out);
	}
}

void trace_tell(struct trace *trace, FILE *out, const char *words)
{
	struct telling telling = {.trace = trace};
	find_names(&telling.names, words);
	link_entries(&telling);
	name_mails(&telling);
	show_mentions(&telling);
	show_named(&telling);
	show_house(&telling);
	size_t last = trace->count > LINES_MAX / 2 ? trace->count - LINES_MAX / 2 : 0;
	if (telling.names.count == 0) { /* of the house as a whole: what came last */
		for (size_t i = last; i < trace->count; i++)
			trace->at[i].shown = true;
	}
	fold(&telling);
	print_shown(trace, out);
	free(telling.speakers);
}
