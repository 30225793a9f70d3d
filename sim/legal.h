/*
 * Is what a server is told legal SMTP?  Watches one connection from the server's side, command by
 * command and octet by octet, and says what is wrong.  Written from the RFCs (5321, 2920, 3030,
 * 1870, 6152) and apart from the product: it shares no code with smtp/, since a shared mistake
 * would be invisible.
 *
 * It is told each octet that comes and each reply that the server sends, in their order; it
 * believes that a reply is heard only some time after it was sent (so a client may not use it
 * before, but need not have).
 */
#ifndef SIM_LEGAL_H
#define SIM_LEGAL_H

#include "base/bytes.h"

struct legal;

/* What the server offers in its EHLO reply. */
struct legal_offers {
	bool pipelining, chunking, eightbit, size;
};

struct legal *legal_new(const struct legal_offers *offers);
void legal_free(struct legal **legal);
/* Octets from the other side.  Returns NULL, or what is illegal (a string that lives as long as
 * the checker); after that it says nothing more. */
const char *legal_heard(struct legal *legal, struct span bytes);
/* The server has sent a whole reply, the answer to the oldest unanswered command (the banner
 * first); `delivered`: the other side can have it from now on; call again with the next.  */
const char *legal_replied(struct legal *legal, unsigned code);
/* The other side has closed its half. */
const char *legal_finished(struct legal *legal);

#endif
