/*
 * What became of a transaction: counters that control reads as signs, the server's pace, and
 * whether its connection may be used again.
 */
#include "pool/private.h"

/* What an outcome says of the connection, and where it is counted. */
static const struct {
	enum metric metric;
	bool counted, spoils, measured;
} outcomes[] = {
	/* clang-format off */
	[POOL_ACCEPTED]    = { M_SERVER_accepted,    true,  false, true },
	[POOL_REFUSED]     = { 0,                    false, false, true }, /* the relay counts it: 4yz or 5yz */
	[POOL_OWN_TROUBLE] = { M_SERVER_own_trouble, true,  false, false },
	[POOL_OUR_CONDUCT] = { M_SERVER_our_conduct, true,  true,  false },
	[POOL_TOO_MANY]    = { 0,                    false, true,  false },
	[POOL_BROKE]       = { M_SERVER_broken,      true,  true,  false },
	[POOL_TIMED_OUT]   = { M_SERVER_timeouts,    true,  true,  true },
	[POOL_POISONED]    = { M_SERVER_poisoned,    true,  true,  false },
	[POOL_STALE]       = { M_SERVER_stale,       true,  true,  false },
	[POOL_ABANDONED]   = { 0,                    false, false, false },
	/* clang-format on */
};

void pool_note(struct pool_loan *loan, enum pool_outcome outcome, int64_t took)
{
	struct lending *lending = (struct lending *)loan;
	struct pool_conn *conn = lending->conn;
	struct pool_server *server = loan->server;

	if (outcomes[outcome].counted)
		pool_server_count(server, outcomes[outcome].metric);
	/* An own trouble is quick: a broken server must not look like the best one. */
	if (outcomes[outcome].measured && took > 0)
		pool_server_took(server, took);
	conn->spoiled = conn->spoiled || outcomes[outcome].spoils;
	switch (outcome) {
	case POOL_ACCEPTED:
		conn->refusals = 0;
		loan->must_reset = false; /* the server's state is reset too, RFC 5321 4.1.1.4 */
		break;
	case POOL_REFUSED:
		conn->refusals++;
		break;
	case POOL_TOO_MANY:
		pool_server_refused_more(server);
		break;
	default:
		break;
	}
}
