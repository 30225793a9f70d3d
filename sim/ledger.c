/*
 * The books, and what may never stand in them.
 *
 *      client                            ledger                            server
 *      attempt ----------------------->  whole?  ended?
 *      "250 <r0.m12@b.sim>" ---------->  told[0] = 250
 *      end of data ------------------->  ended
 *                                        commit  <---------------- takes the message
 *                                        said    <---------------- "250 queued as C17"
 *      "250 queued as C17" ----------->  verdict
 *
 * Every rule is judged as soon as both of its halves are known, since a world that stops at the
 * broken promise has the shortest trace.  A rule on what a client was told can have its half come
 * before or after the commit: a server may take a message (of a pipelining client) whose RCPT
 * replies are still under way to the client.  So recipients are judged at the commit by what is
 * known then, at the verdict, and once more at the end.
 *
 * A body is compared octet by octet and nothing is forgiven: the product adds no trace header
 * (yet), and only a body that came without a final CRLF may have got one (BDAT that became DATA).
 */
#include "sim/ledger_inside.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/scene.h"

/* ---- the books ---- */

struct ledger *ledger_new(struct world *world)
{
	struct ledger *ledger = mem_new(sizeof(*ledger));
	ledger->world = world;
	ledger_fill_quarry(ledger);
	return ledger;
}

void ledger_free(struct ledger **ledger)
{
	if (!*ledger)
		return;
	for (size_t i = 0; i < (*ledger)->entries; i++)
		free((*ledger)->entry[i]->attempt);
	arena_clear(&(*ledger)->arena);
	free((*ledger)->entry);
	free((*ledger)->commit);
	free(*ledger);
	*ledger = NULL;
}

/* Room for one more; pointers into it move. */
static void *more(void *at, size_t count, size_t *room, size_t size)
{
	if (count < *room)
		return at;
	*room = *room ? *room * 2 : 16;
	return mem_grow(at, *room, size);
}

struct entry *ledger_entry(const struct ledger *ledger, unsigned mail)
{
	assert(mail < ledger->entries);
	return ledger->entry[mail];
}

struct attempt *ledger_attempt_at(const struct ledger *ledger, unsigned mail, unsigned number)
{
	struct entry *entry = ledger_entry(ledger, mail);
	assert(number >= 1 && number <= entry->attempts);
	return &entry->attempt[number - 1];
}

static unsigned count_recipients(struct rng *rng, unsigned shape)
{
	if (shape & MAIL_MANY_RECIPIENTS)
		return (unsigned)rng_between(rng, 6, 150);
	return rng_one_in(rng, 3) ? (unsigned)rng_between(rng, 2, 5) : 1;
}

const struct mail *ledger_mail(
	struct ledger *ledger, struct rng *rng, unsigned shape, bool may_lack_crlf)
{
	struct entry *entry = arena_new(&ledger->arena, sizeof(*entry));
	unsigned number = (unsigned)ledger->entries;
	entry->mail.number = number;
	entry->mail.recipients = count_recipients(rng, shape);
	entry->mail.body = ledger_body(ledger, rng, number, shape, may_lack_crlf);
	ledger->entry =
		more(ledger->entry, ledger->entries, &ledger->entry_room, sizeof(struct entry *));
	ledger->entry[ledger->entries++] = entry;
	ledger->sums.mails++;
	return &entry->mail;
}

/* ---- what clients tell ---- */

unsigned ledger_attempt(struct ledger *ledger, unsigned mail, unsigned client, bool whole)
{
	struct entry *entry = ledger_entry(ledger, mail);
	size_t room = entry->room;
	entry->attempt = more(entry->attempt, entry->attempts, &room, sizeof(struct attempt));
	entry->room = (unsigned)room;
	entry->attempt[entry->attempts++] = (struct attempt){
		.client = client,
		.whole = whole,
		.told = arena_new(&ledger->arena, entry->mail.recipients * sizeof(uint16_t)),
	};
	ledger->sums.attempts++;
	return entry->attempts;
}

void ledger_attempt_ended(struct ledger *ledger, unsigned mail, unsigned attempt)
{
	ledger_attempt_at(ledger, mail, attempt)->ended = true;
}

void ledger_recipient(struct ledger *ledger, unsigned mail, unsigned attempt, unsigned index,
	unsigned code, struct span text)
{
	struct attempt *at = ledger_attempt_at(ledger, mail, attempt);
	(void)text;
	assert(index < ledger_entry(ledger, mail)->mail.recipients);
	if (at->told[index] != 0)
		ledger_wrong(ledger, "surplus-reply", mail, attempt, NULL,
			"r%u was answered %u, and now %u", index, at->told[index], code);
	at->told[index] = (uint16_t)code;
}

void ledger_settled(struct ledger *ledger, unsigned mail)
{
	ledger_entry(ledger, mail)->settled = true;
}

/* ---- recipients ---- */

/* Whom the client was told 2xx are in; whom it was told anything else are not; who was not
 * answered yet may be. */
static void judge_recipients(struct ledger *ledger, const struct commit *commit)
{
	const struct attempt *attempt = ledger_attempt_at(ledger, commit->mail, commit->attempt);
	unsigned count = ledger_entry(ledger, commit->mail)->mail.recipients, place = 0;
	for (unsigned index = 0; index < count; index++) {
		unsigned code = attempt->told[index];
		/* They stand in their order, so one look at the next place is enough. */
		bool has = place < commit->recipients && commit->recipient[place] == index;
		place += has;
		if (has && code != 0 && code / 100 != 2)
			ledger_wrong(ledger, "wrong-recipients", commit->mail, commit->attempt,
				commit, "r%u was refused (%u) and has the message all the same",
				index, code);
		if (!has && code / 100 == 2)
			ledger_wrong(ledger, "wrong-recipients", commit->mail, commit->attempt,
				commit, "r%u was accepted (%u) and does not have the message",
				index, code);
	}
}

/* ---- the verdict ---- */

/* Whether it leaves open what became of the message: RFC 3463's 4.4.2, "bad connection", is what
 * the product says when a server was lost after the end of data. */
static bool is_doubtful(unsigned code, struct span text)
{
	while (text.len > 0 && text.at[0] == ' ')
		text = span_from(text, 1);
	return code == 451 && span_starts_nocase(text, "4.4.2");
}

static void judge_acknowledged(struct ledger *ledger, unsigned mail, unsigned attempt)
{
	const struct attempt *at = ledger_attempt_at(ledger, mail, attempt);
	bool said = false;
	if (!at->whole || !at->ended)
		ledger_wrong(ledger, at->whole ? "not-ended" : "smuggled", mail, attempt, NULL,
			"acknowledged, though the client never sent a whole message");
	if (at->commits == 0)
		ledger_wrong(ledger, "early-250", mail, attempt, NULL,
			"acknowledged, and no server has it");
	for (unsigned i = at->first; i > 0; i = ledger->commit[i - 1].next) {
		judge_recipients(ledger, &ledger->commit[i - 1]);
		said |= ledger->commit[i - 1].said;
	}
	if (at->commits > 0 && !said)
		ledger_wrong(ledger, "early-250", mail, attempt, &ledger->commit[at->first - 1],
			"acknowledged before the server has said so");
}

void ledger_verdict(
	struct ledger *ledger, unsigned mail, unsigned attempt, unsigned code, struct span text)
{
	struct attempt *at = ledger_attempt_at(ledger, mail, attempt);
	assert(!at->judged);
	at->judged = true;
	at->code = (uint16_t)code;
	at->doubtful = is_doubtful(code, text);
	at->refused = code >= 400 && !at->doubtful;
	if (code / 100 == 2) {
		ledger->sums.acknowledged++;
		judge_acknowledged(ledger, mail, attempt);
	}
	ledger->sums.refused += at->refused;
	ledger->sums.in_doubt += at->ended && (at->doubtful || code == 0);
	if (at->refused && at->commits > 0)
		ledger_wrong(ledger, "said-no-but-has", mail, attempt,
			&ledger->commit[at->first - 1], "the client was told \"%u %.*s\"", code,
			(int)(text.len < 80 ? text.len : 80), text.at ? text.at : "");
}

void ledger_told_commit(struct ledger *ledger, unsigned mail, unsigned attempt, unsigned number)
{
	if (number >= ledger->commits) {
		ledger_wrong(ledger, "crossed-reply", mail, attempt, NULL,
			"told \"queued as C%u\", which no server has said", number);
		return;
	}
	struct commit *commit = &ledger->commit[number];
	if (commit->mail != mail || commit->attempt != attempt)
		ledger_wrong(ledger, "crossed-reply", mail, attempt, NULL,
			"told \"queued as C%u\", which is m%u.k%u", number, commit->mail,
			commit->attempt);
	if (!commit->said)
		ledger_wrong(ledger, "early-250", mail, attempt, commit,
			"told its number before the server has said it");
	if (commit->named)
		ledger_wrong(
			ledger, "crossed-reply", mail, attempt, commit, "told its number twice");
	commit->named = true;
}

/* ---- a commit ---- */

static bool same_body(struct span sent, struct span got)
{
	bool added = sent.len > 0 && got.len == sent.len + 2 &&
		     memcmp(got.at + sent.len, "\r\n", 2) == 0 &&
		     (sent.len < 2 || memcmp(sent.at + sent.len - 2, "\r\n", 2) != 0);
	return (got.len == sent.len || added) &&
	       (sent.len == 0 || memcmp(got.at, sent.at, sent.len) == 0);
}

static void judge_body(struct ledger *ledger, const struct commit *commit, struct span got)
{
	struct span sent = ledger_entry(ledger, commit->mail)->mail.body;
	char sent_text[64], got_text[64];
	size_t at = 0;
	if (same_body(sent, got))
		return;
	while (at < sent.len && at < got.len && sent.at[at] == got.at[at])
		at++;
	ledger_show(sent, at, sent_text);
	ledger_show(got, at, got_text);
	ledger_wrong(ledger, "altered", commit->mail, commit->attempt, commit,
		"differs from octet %zu on (\"%s\" became \"%s\"; %zu octets sent, %zu arrived)",
		at, sent_text, got_text, sent.len, got.len);
}

/* Reads the recipients; false: one is nobody's, or another message's. */
static bool take_recipients(
	struct ledger *ledger, struct commit *commit, const struct span *recipients, unsigned count)
{
	unsigned known = ledger_entry(ledger, commit->mail)->mail.recipients;
	commit->recipient = arena_new(&ledger->arena, (count + 1) * sizeof(unsigned));
	for (unsigned i = 0; i < count; i++) {
		unsigned mail, index;
		if (!ledger_parse_recipient(recipients[i], &mail, &index) || index >= known ||
			mail != commit->mail) {
			ledger_wrong(ledger, "wrong-recipients", commit->mail, commit->attempt,
				commit, "%.*s has it, for whom it never was",
				(int)(recipients[i].len < 80 ? recipients[i].len : 80),
				recipients[i].at);
			return false;
		}
		if (i > 0 && index <= commit->recipient[i - 1])
			ledger_wrong(ledger, "wrong-recipients", commit->mail, commit->attempt,
				commit, "r%u stands behind r%u in the envelope", index,
				commit->recipient[i - 1]);
		commit->recipient[commit->recipients++] = index;
	}
	return true;
}

static bool may_double(const struct ledger *ledger)
{
	return ledger->world->scene && ledger->world->scene->resend_ambiguous;
}

static void judge_commit(struct ledger *ledger, const struct commit *commit)
{
	const struct attempt *at = ledger_attempt_at(ledger, commit->mail, commit->attempt);
	if (!at->whole)
		ledger_wrong(ledger, "smuggled", commit->mail, commit->attempt, commit,
			"a server has what is not a message");
	if (!at->ended)
		ledger_wrong(ledger, "not-ended", commit->mail, commit->attempt, commit,
			"a server has it, whose end the client has not sent");
	if (at->refused)
		ledger_wrong(ledger, "said-no-but-has", commit->mail, commit->attempt, commit,
			"a server takes it after the client was told %u", at->code);
	if (at->commits > 1 && !may_double(ledger))
		ledger_wrong(ledger, "doubled", commit->mail, commit->attempt, commit,
			"%s has it already (C%u)", ledger->commit[at->first - 1].server,
			at->first - 1);
}

/* The attempt that it is of; NULL: nobody's, and that was said. */
static struct attempt *take_sender(
	struct ledger *ledger, const char *server, struct span sender, struct commit *commit)
{
	if (!ledger_parse_sender(sender, &commit->mail, &commit->attempt) ||
		commit->mail >= ledger->entries || commit->attempt < 1 ||
		commit->attempt > ledger->entry[commit->mail]->attempts) {
		world_fail(ledger->world, "smuggled",
			"%s takes a message from <%.*s>, who sent none", server,
			(int)(sender.len < 80 ? sender.len : 80), sender.at ? sender.at : "");
		commit->mail = commit->attempt = 0;
		return NULL;
	}
	return ledger_attempt_at(ledger, commit->mail, commit->attempt);
}

unsigned ledger_commit(struct ledger *ledger, const char *server, struct span sender,
	const struct span *recipients, unsigned count, struct span body)
{
	unsigned number = (unsigned)ledger->commits;
	ledger->commit =
		more(ledger->commit, ledger->commits, &ledger->commit_room, sizeof(struct commit));
	struct commit *commit = &ledger->commit[ledger->commits++];
	*commit = (struct commit){.server = arena_string(&ledger->arena, span_of(server))};
	ledger->sums.commits++;
	struct attempt *attempt = take_sender(ledger, server, sender, commit);
	if (!attempt)
		return number;
	for (unsigned i = 0; i < ledger_entry(ledger, commit->mail)->attempts; i++)
		if (ledger_entry(ledger, commit->mail)->attempt[i].commits > 0) {
			ledger->sums.doubled++;
			break;
		}
	commit->next = attempt->first;
	attempt->first = number + 1;
	attempt->commits++;
	judge_commit(ledger, commit);
	judge_body(ledger, commit, body);
	if (take_recipients(ledger, commit, recipients, count))
		judge_recipients(ledger, commit);
	return number;
}

void ledger_commit_said(struct ledger *ledger, unsigned commit)
{
	assert(commit < ledger->commits);
	ledger->commit[commit].said = true;
}

/* ---- the end ---- */

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

/*
 * Each commit is one that the product counted: it heard the server's yes (accepted), or it lost
 * the server and knows that it doesn't know (ambiguous).  That holds though clients may have heard
 * nothing.  More narrowly: where the server never got its yes out, or where the client was told
 * of the doubt, only `ambiguous` explains it.
 */
static void judge_sums(struct ledger *ledger, uint64_t ambiguous, uint64_t accepted)
{
	uint64_t unsaid = 0, doubtful = 0, acknowledged = ledger->sums.acknowledged;
	uint64_t commits = ledger->commits, counted = accepted + ambiguous;
	char unheard[160];
	for (size_t i = 0; i < ledger->commits; i++) {
		const struct commit *commit = &ledger->commit[i];
		unsaid += !commit->said;
		doubtful += ledger_attempt_at(ledger, commit->mail, commit->attempt)->doubtful;
	}
	if (commits <= counted && acknowledged <= counted && unsaid <= ambiguous &&
		doubtful <= ambiguous)
		return;
	ledger_list_unheard(ledger, unheard);
	world_fail(ledger->world, "unexplained",
		"%zu commits (%llu without a reply, %llu told as doubtful), %llu acknowledged; we "
		"counted %llu accepted, %llu ambiguous; unheard:%s",
		ledger->commits, (unsigned long long)unsaid, (unsigned long long)doubtful,
		(unsigned long long)acknowledged, (unsigned long long)accepted,
		(unsigned long long)ambiguous, unheard);
}

void ledger_close(struct ledger *ledger, uint64_t ambiguous, uint64_t accepted, bool resending)
{
	/* The books of a broken world may be broken too: a commit without a sender, say. */
	if (ledger->world->failed)
		return;
	for (size_t i = 0; i < ledger->commits; i++)
		judge_recipients(ledger, &ledger->commit[i]);
	for (size_t i = 0; i < ledger->entries; i++)
		judge_entry(ledger, (unsigned)i, resending);
	/* With resending the product counts a message as what became of it in the end. */
	if (!resending)
		judge_sums(ledger, ambiguous, accepted);
}

struct ledger_sums ledger_sums(const struct ledger *ledger)
{
	return ledger->sums;
}
