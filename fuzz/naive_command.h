/*
 * What a server like ours ought to say to a line, said alone and after all before it was answered:
 * one function that looks at the whole line.  Shares nothing with src/smtp.
 */
#ifndef FUZZ_NAIVE_COMMAND_H
#define FUZZ_NAIVE_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum naive_stage {
	STAGE_START,
	STAGE_READY,
	STAGE_MAIL,
	STAGE_RCPT,
	STAGE_CHUNKS,
};

struct naive_session {
	enum naive_stage stage;
	bool greeted, smtputf8;
	unsigned recipients;
	uint64_t max_size;
};

enum naive_outcome {
	OUTCOME_ASK,    /* the owner is asked; `code` is unknown */
	OUTCOME_ANSWER, /* answered with `code` */
	OUTCOME_BREAK,  /* the last word, `code` */
};

struct naive_answer {
	enum naive_outcome outcome;
	int code;
	char verb[5];     /* upper case, when known: "MAIL" */
	uint64_t octets;  /* BDAT: of its chunk, which follows whatever the outcome is */
	bool last;        /* BDAT */
	bool smtputf8;    /* MAIL */
	bool will_refuse; /* MAIL, RCPT: the local part begins with an "x" */
};

/* `line` with its CRLF, and no other CRLF in it. */
struct naive_answer naive_command(
	const struct naive_session *session, const char *line, size_t len);
/* The same for a line whose end has not come: OUTCOME_ASK stands for "wait". */
struct naive_answer naive_partial(const char *line, size_t len);
/* How the session goes on after the owner's answer to what it was asked. */
void naive_went_on(struct naive_session *session, const struct naive_answer *answer, bool good);

#endif
