/*
 * A client's commands, against one who judges each line alone; and said in groups, as a client that
 * pipelines does, they must get the very same octets in reply.
 *
 *      alone      line -> event -> owner -> reply, and one reply only
 *      in groups  lines ... up to EHLO, HELO, DATA -> events ... -> owner -> replies
 *
 * The owner refuses a local part that begins with "x", when lines come alone.
 */
#include <stdlib.h>
#include <string.h>

#include "input.h"
#include "naive_command.h"
#include "naive_wire.h"
#include "smtp/server.h"

#define TEXT_MOST   9000
#define GROUPS_MOST 200
#define SLOTS_MOST  1100

struct run {
	struct chunk_pool *pool;
	struct smtp_server *server;
	struct input *input;
	struct pattern cuts;
	size_t at, fed;
	struct buf replies; /* all of them */
};

/* Where the client that pipelines waits for replies. */
struct groups {
	size_t end[GROUPS_MOST];
	unsigned count;
	bool refused; /* so that the order of commands depends on replies */
};

static void run_begin(struct run *run, struct input *input, uint64_t max_size)
{
	const struct smtp_server_rules rules = {.max_size = max_size};

	*run = (struct run){.pool = chunk_pool_new(), .input = input, .cuts = input->cuts};
	run->server = smtp_server_new(run->pool, &rules);
}

static void run_end(struct run *run)
{
	smtp_server_free(&run->server);
	MUST(chunk_pool_used(run->pool) == 0, "chunks are left");
	chunk_pool_free(&run->pool);
	buf_clear(&run->replies);
}

/* What stands in `out` is sent; returns where it begins in `replies`. */
static size_t hear(struct run *run)
{
	struct chain *out = smtp_server_out(run->server);
	size_t before = run->replies.len, len = out->len;
	char *octets = malloc(len > 0 ? len : 1);

	chain_copy(out, 0, octets, len);
	chain_eat(out, len);
	buf_add(&run->replies, octets, len);
	free(octets);
	return before;
}

static void hear_one(struct run *run, int code)
{
	size_t begin = hear(run);
	size_t len = run->replies.len - begin;
	struct naive_reply reply = naive_reply(run->replies.at + begin, len);

	MUST(reply.verdict == NAIVE_WHOLE && reply.len == len, "%zu octets are not one reply", len);
	MUST((int)reply.code == code, "%u, expected %d", reply.code, code);
}

/* One event out of the octets up to `end`, which come in cuts.  SRV_MORE: there is none. */
static struct smtp_server_event next(struct run *run, size_t end)
{
	struct smtp_server_event event;

	for (;;) {
		struct span in = {.at = run->input->text + run->at, .len = run->fed - run->at};
		size_t eaten;

		input_hide(run->input, run->fed);
		eaten = smtp_server_next(run->server, in, &event);
		input_hide(run->input, run->input->len);
		MUST(eaten <= in.len, "%zu of %zu octets eaten", eaten, in.len);
		run->at += eaten;
		if (event.kind != SRV_MORE || run->fed >= end)
			return event;
		run->fed += pattern_cut(&run->cuts, end - run->fed);
	}
}

/* What an owner may be asked about. */
static const char *const asked[SMTP_VERBS] = {[VERB_UNKNOWN] = "",
	[VERB_EHLO] = "EHLO",
	[VERB_HELO] = "HELO",
	[VERB_MAIL] = "MAIL",
	[VERB_RCPT] = "RCPT",
	[VERB_DATA] = "DATA",
	[VERB_BDAT] = "BDAT",
	[VERB_RSET] = "RSET",
	[VERB_NOOP] = "",
	[VERB_QUIT] = "QUIT",
	[VERB_VRFY] = "",
	[VERB_EXPN] = "",
	[VERB_HELP] = "",
	[VERB_ETRN] = "",
	[VERB_TURN] = ""};

static int good_code(enum smtp_verb verb)
{
	return verb == VERB_DATA ? 354 : verb == VERB_QUIT ? 221 : 250;
}

static void say_good(struct run *run, unsigned slot, enum smtp_verb verb)
{
	const struct smtp_offer offer = {.caps = SMTP_CAP_PIPELINING};

	if (verb == VERB_EHLO)
		smtp_server_reply_ehlo(run->server, slot, "mx.example", &offer);
	else if (verb == VERB_HELO)
		smtp_server_own(run->server, slot, SMTP_OWN_HELO, "mx.example");
	else if (verb == VERB_DATA)
		smtp_server_own(run->server, slot, SMTP_OWN_GO_AHEAD, NULL);
	else if (verb == VERB_QUIT)
		smtp_server_own(run->server, slot, SMTP_OWN_BYE, NULL);
	else
		smtp_server_own(run->server, slot, SMTP_OWN_OK, NULL);
}

/* ---- alone ---- */

/* The octets of a body up to `end`; the event behind them. */
static struct smtp_server_event through_body(struct run *run, size_t end)
{
	struct smtp_server_event event;

	do {
		event = next(run, end);
	} while (event.kind == SRV_BODY || event.kind == SRV_FLAW);
	return event;
}

/* False: the body has no end here. */
static bool data_alone(struct run *run)
{
	const struct naive_rules rules = {.max_size = 0};
	struct smtp_server_event event;
	struct naive_body body;
	size_t end;

	naive_data(run->input->text + run->at, run->input->len - run->at, &rules, &body);
	buf_clear(&body.body);
	end = run->at + body.eaten;
	MUST(smtp_server_in_body(run->server), "354 and no body");
	event = through_body(run, end);
	MUST((event.kind == SRV_BODY_END) == body.ended, "event %d at the end of data", event.kind);
	if (!body.ended)
		return false;
	MUST(event.last && run->at == end, "the end of data is elsewhere");
	smtp_server_own(run->server, event.slot, SMTP_OWN_OK, NULL);
	hear_one(run, 250);
	return true;
}

/* The octets of a chunk, expected or not.  False: they aren't all there. */
static bool chunk_alone(
	struct run *run, const struct naive_answer *answer, struct smtp_server_event event)
{
	size_t left = run->input->len - run->at, begin = run->at;
	bool whole = left >= answer->octets;
	size_t end = whole ? begin + (size_t)answer->octets : run->input->len;

	if (answer->outcome == OUTCOME_ASK) {
		MUST(event.command.bdat.size == answer->octets &&
				event.command.bdat.last == answer->last,
			"BDAT %llu", (unsigned long long)event.command.bdat.size);
		event = through_body(run, end);
		MUST((event.kind == SRV_BODY_END) == whole, "event %d in a chunk", event.kind);
	}
	if (!whole)
		return false;
	MUST(run->at == end, "a chunk of %llu octets ends elsewhere",
		(unsigned long long)answer->octets);
	if (answer->outcome == OUTCOME_ASK)
		smtp_server_own(run->server, event.slot, SMTP_OWN_OK, NULL);
	hear_one(run, answer->outcome == OUTCOME_ASK ? 250 : answer->code);
	return true;
}

/* Where the line at `at` ends, CRLF included; 0: it doesn't. */
static size_t line_end(const struct input *input, size_t at)
{
	const char *end = memmem(input->text + at, input->len - at, "\r\n", 2);

	return end ? (size_t)(end - input->text) + 2 : 0;
}

static void check_asked(struct run *run, const struct smtp_server_event *event, size_t begin,
	size_t end, const struct naive_answer *answer)
{
	MUST(event->kind == SRV_COMMAND, "event %d, a command expected", event->kind);
	MUST(strcmp(asked[event->command.verb], answer->verb) == 0, "verb %d, expected %s",
		event->command.verb, answer->verb);
	MUST(event->command.line.at == run->input->text + begin &&
			event->command.line.len == end - 2 - begin && run->at == end,
		"the line is not what was written");
}

/* The owner answers.  False: nothing can follow. */
static bool answer_alone(struct run *run, struct groups *groups, struct naive_session *session,
	const struct smtp_server_event *event, const struct naive_answer *answer)
{
	enum smtp_verb verb = event->command.verb;

	if (answer->will_refuse)
		smtp_server_own(run->server, event->slot, SMTP_OWN_RELAY_DENIED, NULL);
	else
		say_good(run, event->slot, verb);
	hear_one(run, answer->will_refuse ? 554 : good_code(verb));
	groups->refused |= answer->will_refuse;
	if (verb == VERB_EHLO || verb == VERB_HELO || verb == VERB_DATA)
		groups->end[groups->count++] = run->at;
	if (verb == VERB_DATA && !data_alone(run))
		return false;
	naive_went_on(session, answer, !answer->will_refuse);
	return verb != VERB_QUIT;
}

/* One line, and what belongs to it.  False: nothing can follow. */
static bool line_alone(struct run *run, struct groups *groups, struct naive_session *session)
{
	size_t begin = run->at, end = line_end(run->input, begin);
	struct smtp_server_event event = next(run, end > 0 ? end : run->input->len);
	struct naive_answer answer =
		naive_partial(run->input->text + begin, run->input->len - begin);

	if (end > 0)
		answer = naive_command(session, run->input->text + begin, end - begin);
	if (answer.outcome == OUTCOME_BREAK) {
		MUST(event.kind == SRV_BROKEN, "event %d, the last word expected", event.kind);
		hear_one(run, answer.code);
		return false;
	}
	if (end == 0) {
		MUST(event.kind == SRV_MORE, "event %d out of half a line", event.kind);
		return false;
	}
	if (answer.outcome == OUTCOME_ANSWER && answer.octets > 0) {
		event = next(run, answer.octets > run->input->len - end
					  ? run->input->len
					  : end + (size_t)answer.octets);
		if (event.kind == SRV_MORE)
			return false;
	}
	if (answer.outcome == OUTCOME_ANSWER) {
		MUST(event.kind == SRV_ANSWERED, "event %d, %d expected", event.kind, answer.code);
		MUST(run->at == end + answer.octets, "%zu octets eaten", run->at - begin);
		hear_one(run, answer.code);
		return true;
	}
	check_asked(run, &event, begin, end, &answer);
	if (event.command.verb != VERB_BDAT)
		return answer_alone(run, groups, session, &event, &answer);
	if (!chunk_alone(run, &answer, event))
		return false;
	naive_went_on(session, &answer, true);
	return true;
}

/* All lines; how far they were whole and sound. */
static size_t all_alone(struct run *run, struct groups *groups, struct naive_session *session)
{
	size_t sound = 0;

	while (groups->count < GROUPS_MOST && run->at < run->input->len) {
		unsigned count = groups->count;
		size_t heard = run->replies.len;
		bool more = line_alone(run, groups, session);

		if (!more && !smtp_server_quitting(run->server)) {
			/* Half a thing: what it was told doesn't count. */
			groups->count = count;
			run->replies.len = heard;
			break;
		}
		if (!more && run->replies.len > heard && run->replies.at[heard] != '2') {
			run->replies.len = heard;
			break;
		}
		sound = run->at;
		if (!more)
			break;
	}
	return sound;
}

/* ---- in groups ---- */

struct question {
	unsigned slot;
	enum smtp_verb verb;
};

struct owner {
	struct question owed[SLOTS_MOST];
	unsigned count;
};

static void ask(struct owner *owner, const struct smtp_server_event *event)
{
	enum smtp_verb verb = event->kind == SRV_BODY_END ? VERB_RSET : event->command.verb;

	if (event->kind != SRV_BODY_END && event->kind != SRV_COMMAND)
		return;
	if (event->kind == SRV_COMMAND && verb == VERB_BDAT)
		return;
	MUST(owner->count < SLOTS_MOST, "more than %d commands without a reply", SLOTS_MOST);
	owner->owed[owner->count++] = (struct question){.slot = event->slot, .verb = verb};
}

static void group(struct run *run, struct owner *owner, size_t end)
{
	do {
		struct smtp_server_event event;

		for (unsigned i = 0; i < owner->count; i++)
			say_good(run, owner->owed[i].slot, owner->owed[i].verb);
		owner->count = 0;
		do {
			event = next(run, end);
			MUST(event.kind != SRV_BROKEN, "broken in a group: %d",
				smtp_own_code(event.own));
			ask(owner, &event);
		} while (event.kind != SRV_MORE);
	} while (owner->count > 0);
	MUST(run->at == end, "%zu octets of a group are left", end - run->at);
	MUST(smtp_server_pending(run->server) == 0, "a question nobody was asked");
	hear(run);
}

static void all_in_groups(struct input *input, const struct groups *groups, size_t end,
	uint64_t max_size, const struct buf *expected)
{
	struct owner *owner = mem_new(sizeof(*owner));
	struct buf got = {0}, wanted = {0};
	struct run run;

	run_begin(&run, input, max_size);
	for (unsigned i = 0; i < groups->count && groups->end[i] < end; i++)
		group(&run, owner, groups->end[i]);
	group(&run, owner, end);
	show(&got, run.replies.at, run.replies.len);
	show(&wanted, expected->at, expected->len);
	MUST(strcmp(buf_string(&got), buf_string(&wanted)) == 0, "in groups:\n%s\nalone:\n%s",
		got.at, wanted.at);
	buf_clear(&got);
	buf_clear(&wanted);
	free(owner);
	run_end(&run);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct groups *groups = mem_new(sizeof(*groups));
	struct naive_session session = {.stage = STAGE_START};
	struct input input;
	struct run run;
	size_t sound;

	input_take(bytes, len, TEXT_MOST, &input);
	session.max_size = pattern_choose(&input.choices, 2) ? 1000 : 0;
	run_begin(&run, &input, session.max_size);
	sound = all_alone(&run, groups, &session);
	if (!groups->refused)
		all_in_groups(&input, groups, sound, session.max_size, &run.replies);
	run_end(&run);
	free(groups);
	input_clear(&input);
	return 0;
}
