/*
 * The end of the world: each message once more, and the product's own books held against what
 * clients and servers saw, from below and from above.
 *
 *                        servers: a commit       client was told       must be counted as
 *      acknowledged            yes                   2xx               accepted
 *      doubtful                 ?                  451 4.4.2           ambiguous
 *      lost                     ?            nothing: it had gone      accepted, ambiguous or not
 *
 * A process that dies between the last word to a client and the count leaves one accepted message
 * as ambiguous, or counted as both: so much slack has each death.
 */
#include "sim/ledger_inside.h"

/* ---- each message ---- */

/* A client sends again only what it may believe lost. */
static void judge_doubles(struct ledger *ledger, unsigned mail)
{
	const struct entry *entry = ledger_entry(ledger, mail);
	for (unsigned i = 0; i + 1 < entry->attempts; i++) {
		const struct attempt *at = &entry->attempt[i];
		if (at->commits > 0 && at->judged && !at->doubtful && at->code != 0)
			ledger_wrong(ledger, "doubled", mail, i + 1, &ledger->commit[at->first - 1],
				"sent again though the client was told %u", at->code);
	}
}

static void judge_entry(struct ledger *ledger, unsigned mail, bool resending)
{
	const struct entry *entry = ledger_entry(ledger, mail);
	for (unsigned i = 0; i < entry->attempts; i++) {
		const struct attempt *at = &entry->attempt[i];
		if (at->code / 100 == 2 && at->commits == 0)
			ledger_wrong(ledger, "early-250", mail, i + 1, NULL,
				"acknowledged, and no server has it");
		if (at->commits > 1 && !resending)
			ledger_wrong(ledger, "doubled", mail, i + 1, &ledger->commit[at->first - 1],
				"%u servers have it", at->commits);
	}
	judge_doubles(ledger, mail);
}

/* ---- the books ---- */

struct tally {
	uint64_t acknowledged, doubtful, has, unsaid; /* attempts; the last two: with a commit */
	uint64_t may_be_accepted, may_be_ambiguous;
	uint64_t least; /* that must be counted, as one or the other */
};

static void add_attempt(const struct ledger *ledger, const struct attempt *at, struct tally *tally)
{
	bool acknowledged = at->code / 100 == 2, lost = at->code == 0, said = false;
	for (unsigned i = at->first; i > 0; i = ledger->commit[i - 1].next)
		said |= ledger->commit[i - 1].said;
	tally->acknowledged += acknowledged;
	tally->doubtful += at->doubtful;
	tally->has += at->commits > 0;
	tally->unsaid += (at->commits > 0 && !said) || at->doubtful;
	tally->least += acknowledged || at->doubtful || at->commits > 0;
	tally->may_be_accepted += said && (acknowledged || lost);
	tally->may_be_ambiguous += at->ended && (at->doubtful || lost);
}

static const char *find_wrong(const struct tally *tally, const struct ledger_books *books)
{
	if (tally->least > books->accepted + books->ambiguous)
		return "too few are counted";
	if (tally->unsaid > books->ambiguous)
		return "too few are counted as ambiguous";
	if (tally->acknowledged > books->accepted + books->deaths)
		return "too few are counted as accepted";
	if (books->accepted > tally->may_be_accepted)
		return "too many are counted as accepted";
	if (books->ambiguous > tally->may_be_ambiguous + books->deaths)
		return "too many are counted as ambiguous";
	return NULL;
}

static void judge_sums(struct ledger *ledger, const struct ledger_books *books)
{
	struct tally tally = {0};
	char unheard[160];
	for (size_t i = 0; i < ledger->entries; i++) {
		const struct entry *entry = ledger->entry[i];
		for (unsigned k = 0; k < entry->attempts; k++)
			add_attempt(ledger, &entry->attempt[k], &tally);
	}
	const char *wrong = find_wrong(&tally, books);
	if (!wrong)
		return;
	ledger_list_unheard(ledger, unheard);
	world_fail(ledger->world, "unexplained",
		"%s: %llu attempts at servers, %llu acknowledged, %llu doubtful or without a "
		"reply, at most %llu accepted and %llu ambiguous; we counted %llu and %llu, with "
		"%llu deaths; unheard:%s",
		wrong, (unsigned long long)tally.has, (unsigned long long)tally.acknowledged,
		(unsigned long long)tally.unsaid, (unsigned long long)tally.may_be_accepted,
		(unsigned long long)tally.may_be_ambiguous, (unsigned long long)books->accepted,
		(unsigned long long)books->ambiguous, (unsigned long long)books->deaths, unheard);
}

void ledger_close(struct ledger *ledger, const struct ledger_books *books)
{
	/* The books of a broken world may be broken too: a commit without a sender, say. */
	if (ledger->world->failed)
		return;
	for (size_t i = 0; i < ledger->commits; i++)
		ledger_judge_recipients(ledger, &ledger->commit[i]);
	for (size_t i = 0; i < ledger->entries; i++)
		judge_entry(ledger, (unsigned)i, books->resending);
	judge_sums(ledger, books);
}
