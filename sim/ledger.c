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
 * (yet), and only a body without a final CRLF gets one, where either side is DATA.
 *
 * What is judged at the end of the world is in ledger_close.c.
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

void ledger_attempt_chunked(struct ledger *ledger, unsigned mail, unsigned attempt)
{
	ledger_attempt_at(ledger, mail, attempt)->chunked = true;
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
void ledger_judge_recipients(struct ledger *ledger, const struct commit *commit)
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

/* Whether it leaves open what became of the message: only our own words of a server that was lost
 * behind the end of data do.  RFC 3463's 4.4.2, "bad connection", alone says less: one lost inside
 * the body can't have it, and a server's own time-out is passed on. */
static bool is_doubtful(unsigned code, struct span text)
{
	while (text.len > 0 && text.at[0] == ' ')
		text = span_from(text, 1);
	return code == 451 && span_starts_nocase(text, "4.4.2 The server was lost before");
}

/* Doubt needs a connection that carried the message and was never heard of again: neither was its
 * verdict read, nor did it go on to something else. */
static void judge_doubt(struct ledger *ledger, unsigned mail, unsigned attempt)
{
	const struct attempt *at = ledger_attempt_at(ledger, mail, attempt);
	if (!at->doubtful)
		return;
	if (!at->ended)
		ledger_wrong(ledger, "needless-doubt", mail, attempt, NULL,
			"told 451 4.4.2, though the client had not sent its end");
	if (at->heard > 0)
		ledger_wrong(ledger, "needless-doubt", mail, attempt,
			&ledger->commit[at->first - 1],
			"told 451 4.4.2, though the server's yes was read");
	if (at->answered == at->carried)
		ledger_wrong(ledger, "needless-doubt", mail, attempt, NULL,
			"told 451 4.4.2, though each of %u servers is known to have it or not",
			at->carried);
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
		ledger_judge_recipients(ledger, &ledger->commit[i - 1]);
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
	judge_doubt(ledger, mail, attempt);
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

/* `by_data`: on one side at least, where each body ends in CRLF. */
static bool same_body(struct span sent, struct span got, bool by_data)
{
	bool lacks =
		sent.len > 0 && (sent.len < 2 || memcmp(sent.at + sent.len - 2, "\r\n", 2) != 0);
	size_t added = by_data && lacks ? 2 : 0;
	return got.len == sent.len + added &&
	       (sent.len == 0 || memcmp(got.at, sent.at, sent.len) == 0) &&
	       (added == 0 || memcmp(got.at + sent.len, "\r\n", 2) == 0);
}

static void judge_body(
	struct ledger *ledger, const struct commit *commit, struct span got, bool chunked)
{
	struct span sent = ledger_entry(ledger, commit->mail)->mail.body;
	bool by_data =
		!chunked || !ledger_attempt_at(ledger, commit->mail, commit->attempt)->chunked;
	char sent_text[64], got_text[64];
	size_t at = 0;
	if (same_body(sent, got, by_data))
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
	const struct span *recipients, unsigned count, struct span body, bool chunked)
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
	judge_body(ledger, commit, body, chunked);
	if (take_recipients(ledger, commit, recipients, count))
		ledger_judge_recipients(ledger, commit);
	return number;
}

void ledger_commit_said(struct ledger *ledger, unsigned commit)
{
	assert(commit < ledger->commits);
	ledger->commit[commit].said = true;
}

/* ---- connections that carry an attempt ---- */

/* NULL: nobody's. */
static struct attempt *carried_attempt(struct ledger *ledger, unsigned mail, unsigned attempt)
{
	if (mail >= ledger->entries || attempt < 1 || attempt > ledger->entry[mail]->attempts)
		return NULL;
	return ledger_attempt_at(ledger, mail, attempt);
}

void ledger_carried(struct ledger *ledger, unsigned mail, unsigned attempt)
{
	struct attempt *at = carried_attempt(ledger, mail, attempt);
	if (at)
		at->carried++;
}

void ledger_answered(struct ledger *ledger, unsigned mail, unsigned attempt, unsigned commit)
{
	struct attempt *at = carried_attempt(ledger, mail, attempt);
	if (!at)
		return;
	at->answered++;
	if (commit != LEDGER_NO_COMMIT && ++at->heard > 1)
		ledger_wrong(ledger, "doubled", mail, attempt, &ledger->commit[commit],
			"offered again after a server's yes was heard");
	judge_doubt(ledger, mail, attempt);
}

struct ledger_sums ledger_sums(const struct ledger *ledger)
{
	return ledger->sums;
}
