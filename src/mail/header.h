/*
 * The header of a message, looked at where it lies in the body's chain.
 */
#ifndef MAIL_HEADER_H
#define MAIL_HEADER_H

#include "base/chunk.h"

#define MAIL_HEADER_LOOK 8192 /* how far from the top a field is looked for */

/*
 * The value of the first header field of this name ("Message-ID"), unfolded and trimmed, at most
 * `room` - 1 bytes, NUL-terminated into value_r.  False (and an empty value) when the header ends,
 * or the first MAIL_HEADER_LOOK octets do, before it is found (RFC 5322 2.2).
 */
bool mail_header_find(const struct chain *body, const char *name, char *value_r, size_t room);

#endif
