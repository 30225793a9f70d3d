/*
 * The queue id in a server's final reply, so that our log can be joined with the server's.
 */
#ifndef RELAY_QUEUE_ID_H
#define RELAY_QUEUE_ID_H

#include "base/bytes.h"

/*
 * Known forms: Postfix "Ok: queued as 4D1F2A", Exim "OK id=1rXyz-000-0A", Sendmail "3AL... Message
 * accepted for delivery", OpenSMTPD "2.0.0 a1b2c3 Message accepted", Exchange "<id@host>
 * [InternalId=123, ...] Queued mail", qmail "ok 1700000000 qp 123", SES "Ok 0102018...".
 * Empty when none is recognised.  `text`: the reply without its codes; the result points into it.
 */
struct span relay_queue_id(struct span text);

#endif
