/*
 * What a sink takes down of a message: the test's proof that it arrived.
 *
 * The line is appended by one write() on a file opened with O_APPEND, before the reply is sent:
 * whoever hears 250 can rely on the line, though the sink be killed the moment after.
 */
#ifndef SINK_LEDGER_H
#define SINK_LEDGER_H

#include "base/bytes.h"

#define LEDGER_HEADER     "X-Ledger-Id"
#define LEDGER_HEADER_MAX (64u * 1024) /* the id is looked for in so much of the header */

/* One message on its way in.  Initialise with sink_mail_begin(); clear to free. */
struct sink_mail {
	struct buf sender;      /* "<a@b>", as written */
	struct buf recipients;  /* each followed by a newline */
	struct buf header;      /* octets up to the empty line, at most LEDGER_HEADER_MAX */
	struct buf octets_kept; /* all of it, if it is to be written to a file */
	bool header_done;
	bool keep, hashing;
	uint64_t octets;
	uint64_t hash; /* FNV-1a, 64 bits, of all octets; only if `hashing` */
};

/* Forgets what was there. */
void sink_mail_begin(struct sink_mail *mail, bool keep, bool hashing);
void sink_mail_body(struct sink_mail *mail, struct span piece);
/* The value of the header X-Ledger-Id; empty if there is none. */
struct span sink_mail_id(const struct sink_mail *mail);
void sink_mail_clear(struct sink_mail *mail);

struct ledger_entry {
	int64_t wall;
	const char *server;
	uint64_t number, session;
};
/* Append the message's line, newline included:
 * {"time":...,"server":...,"n":1,"session":1,"id":"...","octets":1,"hash":"...","sender":"...","recipients":[...]}
 */
void ledger_line(const struct ledger_entry *entry, const struct sink_mail *mail, struct buf *into);
/* The id in such a line, for readers; false if it has none.  Ids with escapes are not undone. */
bool ledger_line_id(struct span line, struct span *id_r);

#endif
