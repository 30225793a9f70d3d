/*
 * Extensions that a server may offer in its EHLO reply (RFC 5321 4.1.1.1), as bits.
 */
#ifndef SMTP_CAPS_H
#define SMTP_CAPS_H

#include "base/bytes.h"

#define SMTP_CAPS(CAP)                                                                             \
	CAP(SEEN, 0, "")                        /* an EHLO reply was read at all */                \
	CAP(PIPELINING, 1, "PIPELINING")        /* RFC 2920 */                                     \
	CAP(SIZE, 2, "SIZE")                    /* RFC 1870 */                                     \
	CAP(8BITMIME, 3, "8BITMIME")            /* RFC 6152 */                                     \
	CAP(SMTPUTF8, 4, "SMTPUTF8")            /* RFC 6531 */                                     \
	CAP(DSN, 5, "DSN")                      /* RFC 3461 */                                     \
	CAP(CHUNKING, 6, "CHUNKING")            /* RFC 3030 */                                     \
	CAP(ENHANCED, 7, "ENHANCEDSTATUSCODES") /* RFC 2034 */                                     \
	CAP(STARTTLS, 8, "STARTTLS")            /* RFC 3207 */                                     \
	CAP(AUTH, 9, "AUTH")                    /* RFC 4954 */                                     \
	CAP(XCLIENT, 10, "XCLIENT")                                                                \
	CAP(HELP, 11, "HELP")

enum {
#define SMTP_CAP_BIT(name, bit, keyword) SMTP_CAP_##name = 1 << (bit),
	SMTP_CAPS(SMTP_CAP_BIT)
#undef SMTP_CAP_BIT
};

/* What an EHLO reply offers. */
struct smtp_offer {
	uint32_t caps;
	uint64_t size; /* the SIZE limit; 0: none stated */
};

/* One line behind the first of an EHLO reply, without its code ("SIZE 10240000"). */
void smtp_offer_line(struct smtp_offer *offer, struct span line);
/* The bit of a keyword, 0 if unknown; for the setting `offer`. */
uint32_t smtp_cap_of(struct span keyword);
/* "PIPELINING SIZE 8BITMIME" of the bits, appended. */
void smtp_caps_text(uint32_t caps, struct buf *into);

#endif
