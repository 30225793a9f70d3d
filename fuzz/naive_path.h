/*
 * The grammar of addresses and parameters once more, looked at whole: every way to split a text is
 * tried, and each part is judged alone.  Shares nothing with src/smtp.
 */
#ifndef FUZZ_NAIVE_PATH_H
#define FUZZ_NAIVE_PATH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct naive_path {
	size_t len; /* of the path at the front; 0: there is none */
	size_t local_at, local_len, domain_at, domain_len;
	bool null, route, wide;
};

/* The path at the front of `at`. */
struct naive_path naive_path(const char *at, size_t len, bool forward);
bool naive_domain(const char *at, size_t len);
/* Octets of the UTF-8 character beyond ASCII at the front, 0: there is none. */
size_t naive_utf8(const char *at, size_t len);

/* What MAIL or RCPT ought to be answered by ours: 0 (the owner is asked), 501, 552 or 555. */
struct naive_mail {
	struct naive_path path; /* `at` below is relative to the path's front too */
	size_t path_at;         /* in the argument */
	uint64_t size;
	int body; /* 0 unsaid, 7, 8 */
	bool smtputf8;
	size_t value_at[4], value_len[4]; /* RET, ENVID, NOTIFY, ORCPT; len 0: absent */
};
int naive_mail(const char *at, size_t len, uint64_t max_size, struct naive_mail *mail_r);
int naive_rcpt(const char *at, size_t len, bool smtputf8, struct naive_mail *rcpt_r);

#endif
