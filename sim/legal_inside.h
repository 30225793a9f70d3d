/*
 * The inside of the checker: what a command line says (legal_line.c), told to the rules of order
 * (legal.c).
 */
#ifndef SIM_LEGAL_INSIDE_H
#define SIM_LEGAL_INSIDE_H

#include "sim/legal.h"

enum legal_verb {
	LEGAL_NOTHING, /* at the beginning: the banner */
	LEGAL_EHLO,
	LEGAL_HELO,
	LEGAL_MAIL,
	LEGAL_RCPT,
	LEGAL_DATA,
	LEGAL_BDAT,
	LEGAL_RSET,
	LEGAL_NOOP,
	LEGAL_VRFY,
	LEGAL_HELP,
	LEGAL_QUIT,
	LEGAL_END /* the end of data */
};

struct legal_command {
	enum legal_verb verb;
	uint64_t size; /* of BDAT */
	bool last;
};

/* Reads a line without its CRLF.  Returns NULL, or what is wrong with its form.  `offers`: the
 * extensions that are in force. */
const char *legal_line(
	struct span line, const struct legal_offers *offers, struct legal_command *command_r);
/* The longest line that is legal, CRLF included, whatever the command. */
#define LEGAL_LINE_MOST (512 + 26 + 17)

#endif
