/*
 * Paths and addresses (RFC 5321 4.1.2, RFC 6531 3.3): a strict grammar, nothing re-quoted,
 * nothing folded.  All spans point into the input.
 */
#ifndef SMTP_ADDRESS_H
#define SMTP_ADDRESS_H

#include "base/addr.h"
#include "base/bytes.h"

struct smtp_path {
	struct span text;   /* with its angle brackets, as written: "<@a:u@d>" */
	struct span local;  /* local part as written, quotes included; empty for "<>" */
	struct span domain; /* "example.com" or "[192.0.2.1]"; empty for "<>" and "<postmaster>" */
	bool null;          /* "<>" */
	bool source_route;  /* "@a,@b:" stood in front */
	bool utf8;          /* needs SMTPUTF8 */
};

enum smtp_path_kind {
	SMTP_REVERSE_PATH /* "<>" allowed */,
	SMTP_FORWARD_PATH /* "<postmaster>" allowed */
};

/*
 * Read a path from the front of `in`; returns the octets eaten, 0 when malformed (limits of
 * RFC 5321 4.5.3.1 included: local part 64, domain 255, path 256).  Refused beside bad grammar:
 * a local part (quoted too) holding "%", "!" or "@" is flagged by smtp_local_reroutes(), not here.
 */
size_t smtp_path_parse(struct span in, enum smtp_path_kind kind, struct smtp_path *path_r);

/* Whether a local part could make a server route the mail on ("u%b", "a!u", "u@b" quoted):
 * relay control refuses such recipients from those who may only send to our own domains. */
bool smtp_local_reroutes(struct span local);

/* A domain: letters, digits, hyphens, dots, or UTF-8 labels, no empty label; or an address
 * literal in brackets.  For EHLO names too. */
bool smtp_domain_valid(struct span domain);

/* One parameter of MAIL or RCPT ("SIZE=1000", "SMTPUTF8"): name and value; value.at NULL if none.
 * Eats one from the front of *rest (blanks first); false at the end; *bad_r on bad grammar. */
bool smtp_param_next(struct span *rest, struct span *name_r, struct span *value_r, bool *bad_r);

#endif
