/*
 * Is what a server is told legal SMTP?  Watches one connection from the server's side, command by
 * command and octet by octet, and says what is wrong.  Written from the RFCs (5321, 2920, 3030,
 * 1870, 6152) and apart from the product: it shares no code with smtp/, since a shared mistake
 * would be invisible.
 *
 * It is told each octet when it comes, and each reply when the other side has it whole: whoever
 * sends something that needs a reply before that moment has not waited for it.  The opposite, that
 * a reply was read, is believed only where the sender proves it by going on.
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
/* The next EHLO will be answered with these instead. */
void legal_offer(struct legal *legal, const struct legal_offers *offers);
/* Octets from the other side.  Returns NULL, or what is illegal (a string that lives as long as
 * the checker); after that it says nothing more. */
const char *legal_heard(struct legal *legal, struct span bytes);
/* The other side has in its hands a whole reply of the server: the answer to the oldest unanswered
 * command (the banner first).  With none unanswered it is kept for the next command, whose sender
 * can't have known better. */
void legal_replied(struct legal *legal, unsigned code);

#endif
