/*
 * A server's eye on the wire: which commands stand on it, where each ends, where a body begins and
 * where it ends for good.  It sees octets only, and shares nothing with src/smtp.
 */
#ifndef FUZZ_NAIVE_SERVER_H
#define FUZZ_NAIVE_SERVER_H

#include "base/bytes.h"

enum naive_ask {
	ASK_BANNER, /* not on the wire: the first reply is to nothing */
	ASK_EHLO,
	ASK_MAIL,
	ASK_RCPT,
	ASK_DATA,
	ASK_CHUNK,
	ASK_END, /* of data, or a chunk that is LAST */
	ASK_RSET,
	ASK_QUIT
};

struct naive_question {
	enum naive_ask ask;
	size_t heard; /* octets after which the server knows that it is asked */
	size_t whole; /* and after which it has all that belongs to it */
	bool answered;
};

#define NAIVE_NOWHERE SIZE_MAX

struct naive_server {
	struct buf wire; /* all octets that were queued, whether they have left or not */
	size_t at;       /* how far it was understood */
	struct naive_question question[4096];
	unsigned count;
	bool in_data;
	/* of the transaction whose MAIL, or the RSET before it, came last */
	size_t body_at; /* octets in front of its body's first */
	size_t end_at;  /* octets after which an octet of the end is there */
	size_t lines_at;
};

void naive_server_begin(struct naive_server *server);
/* More octets were queued. */
void naive_server_see(struct naive_server *server, const char *octets, size_t len);
/* 354 was read: what comes is a body.  `lacks_crlf` once its end is queued: the end of data begins
 * with a CRLF of its own. */
void naive_server_data(struct naive_server *server);
void naive_server_ended(struct naive_server *server, bool lacks_crlf);
/* The oldest question without an answer, NULL: none. */
struct naive_question *naive_server_head(struct naive_server *server);

#endif
