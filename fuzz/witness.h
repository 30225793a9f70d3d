/*
 * A witness of a session: told of every event and every answer, it says what
 * the client must have heard, and complains of what can't be.
 *
 *      client's octets --> smtp_server --> events --> owner --> answers -->
 * replies
 *                                            `----> witness <----'            |
 *                                                      `--- compared with ----'
 *
 * It knows the rules of the conversation (one reply to a command, in order; 503
 * to what was built on a refusal; what may come when; which octets belong to
 * what) and nothing of how they are kept.
 */
#ifndef FUZZ_WITNESS_H
#define FUZZ_WITNESS_H

#include "naive_wire.h"
#include "smtp/server.h"

/* One reply that the client is owed. */
struct owed {
	unsigned slot;
	unsigned transaction;
	int code; /* 0: not given yet */
	enum smtp_verb verb;
	bool is_end, is_chunk, is_last, is_void, is_ours;
};

struct witness {
	const char *text; /* all that the client sends */
	struct naive_rules rules;
	struct owed *owed;
	unsigned count, room, transaction;
	unsigned settled; /* all before it are answered */
	/* the transaction, as far as it is known */
	bool greeted, open, failed, chunks;
	unsigned recipients;
	unsigned alive; /* of these, not refused so far */
	/* what is being read */
	size_t mark; /* behind the last event */
	size_t body_at;
	struct buf body, raw; /* what was passed on; all octets of the message's chunks */
	uint64_t chunk;
	enum { READ_LINES, READ_DATA, READ_CHUNK } reading;
	bool flawed;
	/* the end */
	int last_word;
	unsigned heard_before; /* replies in front of it */
};

void witness_begin(struct witness *witness, const char *text, const struct naive_rules *rules);
void witness_end(struct witness *witness);
/* `at`: how many octets were eaten when it came. */
void witness_event(struct witness *witness, const struct smtp_server_event *event, size_t at);
void witness_answer(struct witness *witness, unsigned slot, int code);
/* The server said it on its own, and dropped what it owed. */
void witness_last_word(struct witness *witness, int code);
/* All that was given so far has been heard: these octets and no others. */
void witness_heard(struct witness *witness, struct span heard);
/* Commands that are kept because one before them has no answer. */
unsigned witness_waiting(struct witness *witness);
/* A slot that the owner could answer, to its kind; for deciding. */
const struct owed *witness_owed(const struct witness *witness, unsigned slot);

#endif
