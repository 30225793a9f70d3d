/*
 * The ledger's books, for ledger*.c only.
 */
#ifndef SIM_LEDGER_INSIDE_H
#define SIM_LEDGER_INSIDE_H

#include "base/arena.h"
#include "sim/ledger.h"

/* A server has taken a message. */
struct commit {
	const char *server;
	unsigned mail, attempt;
	unsigned *recipient; /* indices, as they stood in the envelope */
	unsigned recipients;
	unsigned next; /* commit of the same attempt, +1; 0: none */
	bool said;     /* its reply has left the server in whole */
	bool named;    /* a client was told its number */
};

struct attempt {
	unsigned client;
	uint16_t *told; /* code for each recipient; 0: nothing yet */
	unsigned first; /* commit, +1; 0: none */
	unsigned commits;
	unsigned carried;  /* connections that a server accepted a recipient on */
	unsigned answered; /* of these: nothing is in doubt there */
	unsigned heard;    /* of these: a yes was read */
	uint16_t code;     /* of the verdict; 0: lost, or none yet */
	bool whole, ended; /* see ledger.h */
	bool chunked;      /* the client says BDAT */
	bool judged;       /* the verdict is known */
	bool refused;      /* and it means that nobody has the message */
	bool doubtful;     /* and it means that nobody knows */
};

struct entry {
	struct mail mail;
	struct attempt *attempt; /* [0] is attempt 1 */
	unsigned attempts, room;
	bool settled;
};

enum { QUARRY = 8192 };

struct ledger {
	struct world *world;
	struct arena arena;
	struct entry **entry;
	size_t entries, entry_room;
	struct commit *commit;
	size_t commits, commit_room;
	struct ledger_sums sums;
	char quarry[QUARRY]; /* random text, from which bodies are cut */
};

/* ledger_mail.c */
void ledger_fill_quarry(struct ledger *ledger);
struct span ledger_body(struct ledger *ledger, struct rng *rng, unsigned number, unsigned shape,
	bool may_lack_crlf);

/* ledger.c */
struct entry *ledger_entry(const struct ledger *ledger, unsigned mail);
struct attempt *ledger_attempt_at(const struct ledger *ledger, unsigned mail, unsigned number);

/* Whoever was told 2xx has it, whoever was told no has not. */
void ledger_judge_recipients(struct ledger *ledger, const struct commit *commit);

/* ledger_words.c */
/* Fail the world: "client 3, m12.k2 at mx1 (C17): ..."; `commit` may be NULL. */
void ledger_wrong(struct ledger *ledger, const char *check, unsigned mail, unsigned attempt,
	const struct commit *commit, const char *format, ...) PRINTF_LIKE(6, 7);
/* Octets around `at`, printable. */
void ledger_show(struct span body, size_t at, char text_r[64]);
/* The commits that no client was told of, the last ones. */
void ledger_list_unheard(const struct ledger *ledger, char text_r[160]);

#endif
