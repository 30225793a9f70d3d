/*
 * A server-facing conversation against a server whose octets are the input: it answers too early,
 * too often, nothing, nonsense.  The choices are what the owner and the kernel do meanwhile.
 *
 *      owner: MAIL RCPT ... body ... --> out --> kernel takes some --> wire, seen by a naive server
 *      input, in cuts --------------------------------------------> smtp_client_next()
 *
 * What each octet of the input may be taken for is known from the wire alone.
 */
#include <stdlib.h>
#include <string.h>

#include "input.h"
#include "naive_server.h"
#include "naive_wire.h"
#include "smtp/client.h"

#define TEXT_MOST  70000
#define STEPS_MOST 400

enum form { NO_BODY, BY_CHUNKS, ASKED, FLOWING, ENDED, LOST, SPENT };

struct play {
	struct input *input;
	struct pattern cuts;
	struct chunk_pool *pool;
	struct smtp_client *client;
	struct naive_server *server;
	struct buf held;     /* body that waits for 354 */
	size_t seen;         /* octets of the out chain that the naive server knows */
	size_t taken;        /* by the kernel, ever */
	size_t at, fed;      /* of the input */
	unsigned tag;        /* the last one used */
	unsigned tags[4096]; /* of the questions, as the server numbers them */
	enum form form;
	bool poisoned, end_wanted, quit;
	unsigned body_tag;
	char last, before_last; /* octets of the body */
	size_t body_len;
};

/* ---- the kernel, and what is on the wire ---- */

/* Tell the naive server of what was queued since. */
static void look(struct play *play)
{
	struct chain *out = smtp_client_out(play->client);
	size_t fresh = out->len - play->seen;
	unsigned count = play->server->count;
	char *octets = malloc(fresh > 0 ? fresh : 1);

	chain_copy(out, play->seen, octets, fresh);
	play->seen = out->len;
	if (play->server->in_data)
		buf_add(&play->server->wire, octets, fresh);
	else
		naive_server_see(play->server, octets, fresh);
	for (unsigned i = count; i < play->server->count; i++) {
		enum naive_ask what = play->server->question[i].ask;
		bool of_body = what == ASK_CHUNK || what == ASK_END || what == ASK_DATA;

		play->tags[i] = of_body ? play->body_tag : play->tag;
	}
	free(octets);
}

static void kernel_takes(struct play *play, size_t len)
{
	struct chain *out = smtp_client_out(play->client);

	len = len < out->len ? len : out->len;
	chain_eat(out, len);
	play->seen -= len;
	play->taken += len;
	smtp_client_sent(play->client, len);
}

static void check_fate(const struct play *play)
{
	enum smtp_fate fate = smtp_client_fate(play->client);
	enum smtp_fate expected = play->taken > play->server->end_at    ? FATE_ENDED
				  : play->taken > play->server->body_at ? FATE_OPEN
									: FATE_UNSENT;

	if (play->server->end_at == NAIVE_NOWHERE && expected == FATE_ENDED)
		expected = FATE_UNSENT;
	MUST(fate == expected, "fate %d, expected %d: %zu octets taken, body at %zu, end at %zu",
		fate, expected, play->taken, play->server->body_at, play->server->end_at);
}

static unsigned waiting(const struct play *play)
{
	unsigned count = 0;

	for (unsigned i = 0; i < play->server->count; i++)
		count += !play->server->question[i].answered;
	return count;
}

static void check_state(struct play *play)
{
	const struct naive_question *head = naive_server_head(play->server);
	static const enum smtp_phase phases[] = {PHASE_BANNER, PHASE_EHLO, PHASE_MAIL, PHASE_RCPT,
		PHASE_DATA, PHASE_BODY, PHASE_END, PHASE_RSET, PHASE_QUIT};

	look(play);
	check_fate(play);
	MUST(smtp_client_outstanding(play->client) == waiting(play), "%u outstanding, expected %u",
		smtp_client_outstanding(play->client), waiting(play));
	MUST(smtp_client_waits_for(play->client) == (head ? phases[head->ask] : PHASE_BODY),
		"waits for phase %d", smtp_client_waits_for(play->client));
	MUST(play->form == BY_CHUNKS || smtp_client_held(play->client) == play->held.len,
		"%zu octets are held, expected %zu", smtp_client_held(play->client),
		play->held.len);
	MUST(smtp_client_held(play->client) <= 65536 || play->form == ASKED, "too much is held");
}

/* ---- the owner ---- */

static void command(struct play *play, enum smtp_phase phase, const char *line)
{
	if (phase == PHASE_MAIL || phase == PHASE_RSET) {
		play->form = NO_BODY;
		play->body_len = 0;
	}
	play->tag++;
	smtp_client_send(play->client, phase, span_of(line), play->tag);
	look(play);
}

/* From DATA on no command can be sent, until its end was. */
static bool may_send(const struct play *play)
{
	return play->form != ASKED && play->form != FLOWING && play->form != SPENT &&
	       play->form != BY_CHUNKS && !play->quit;
}

static void begin_body(struct play *play, bool chunking)
{
	if (play->form != NO_BODY || !may_send(play))
		return;
	play->body_tag = ++play->tag;
	play->end_wanted = false;
	smtp_client_body_begin(play->client, chunking, play->body_tag);
	play->form = chunking ? BY_CHUNKS : ASKED;
	look(play);
}

static void remember(struct play *play, const char *octets, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		play->before_last = play->last;
		play->last = octets[i];
	}
	play->body_len += len;
}

static void give_body(struct play *play, unsigned kind)
{
	static const char *const pieces[] = {
		"a", "\r\n", ".", "\r\n.\r\n", "x\r\n", "\r", "\n", "Subject: x\r\n\r\n..\r\n"};
	bool large = kind == 8;
	const char *text = large ? NULL : pieces[kind % 8];
	size_t len = large ? CHUNK_LARGE - 10 : strlen(text);
	struct chunk *chunk;

	if (play->form == NO_BODY || play->form == ENDED || play->end_wanted)
		return;
	chunk = chunk_new(play->pool, large ? CHUNK_LARGE : CHUNK_SMALL);
	if (large)
		memset(chunk->at, 'y', len);
	else
		memcpy(chunk->at, text, len);
	chunk->len = (uint32_t)len;
	smtp_client_body(play->client, chunk, 0, len);
	if (play->form == ASKED)
		buf_add(&play->held, chunk->at, len);
	remember(play, chunk->at, len);
	chunk_unref(&chunk);
	look(play);
}

static bool lacks_crlf(const struct play *play)
{
	return play->body_len > 0 &&
	       !(play->body_len > 1 && play->before_last == '\r' && play->last == '\n');
}

/* The end of data was queued. */
static void note_end(struct play *play)
{
	look(play);
	naive_server_ended(play->server, lacks_crlf(play));
	play->tags[play->server->count - 1] = play->body_tag;
	play->form = ENDED;
}

static void end_body(struct play *play)
{
	if (play->form == NO_BODY || play->form == ENDED || play->end_wanted)
		return;
	for (unsigned i = 0; i < play->server->count; i++) {
		const struct naive_question *question = &play->server->question[i];

		/* An owner may not: the end is a promise for those whose replies were read. */
		if (!question->answered && (question->ask == ASK_MAIL || question->ask == ASK_RCPT))
			return;
	}
	smtp_client_body_end(play->client);
	if (play->form == FLOWING) {
		note_end(play);
		return;
	}
	if (play->form == BY_CHUNKS)
		play->form = ENDED;
	else
		play->end_wanted = true;
	look(play);
}

/* ---- what the server says ---- */

/* Whether a reply with this code can be to the head. */
static bool fits(const struct play *play, const struct naive_question *head, unsigned code)
{
	bool good = code < 400;

	if (!head)
		return play->form == FLOWING && !good;
	if (code / 100 == 3 && (head->ask != ASK_DATA || code != 354))
		return false;
	if (code / 100 == 2 && head->ask == ASK_DATA)
		return false;
	/* Nobody can have done what hasn't got there whole; refused it may be before. */
	if (good)
		return play->taken >= head->whole;
	return play->taken >= head->heard ||
	       (head->ask == ASK_END && play->taken >= play->server->body_at);
}

static void data_answered(struct play *play, bool go_ahead)
{
	if (!go_ahead) {
		play->form = LOST;
		buf_reset(&play->held);
		return;
	}
	naive_server_data(play->server);
	play->form = FLOWING;
	buf_reset(&play->held);
	if (play->end_wanted)
		note_end(play);
	else
		look(play);
}

static void take_reply(
	struct play *play, const struct smtp_client_event *event, const struct naive_reply *naive)
{
	static const enum smtp_phase phases[] = {PHASE_BANNER, PHASE_EHLO, PHASE_MAIL, PHASE_RCPT,
		PHASE_DATA, PHASE_BODY, PHASE_END, PHASE_RSET, PHASE_QUIT};
	struct naive_question *head = naive_server_head(play->server);

	MUST(event->reply.code == naive->code, "code %u", event->reply.code);
	if (!head) {
		MUST(event->phase == PHASE_BODY && event->tag == play->body_tag,
			"a refusal inside the body, as phase %d", event->phase);
		play->form = SPENT;
		return;
	}
	MUST(event->phase == phases[head->ask], "phase %d, expected %d", event->phase,
		phases[head->ask]);
	MUST(event->tag == play->tags[head - play->server->question], "tag %u", event->tag);
	head->answered = true;
	if (head->ask == ASK_DATA)
		data_answered(play, naive->code == 354);
}

/* One look at the unread octets; false when there is nothing more in them. */
static bool hear(struct play *play)
{
	struct span in = {.at = play->input->text + play->at, .len = play->fed - play->at};
	struct naive_reply naive = naive_reply(in.at, in.len);
	const struct naive_question *head = naive_server_head(play->server);
	bool expected = head || play->form == FLOWING;
	enum smtp_client_kind kind;
	struct smtp_client_event event;
	size_t eaten;

	kind = in.len == 0                     ? CLI_MORE
	       : !expected                     ? CLI_POISONED
	       : naive.verdict == NAIVE_MORE   ? CLI_MORE
	       : naive.verdict == NAIVE_BROKEN ? CLI_POISONED
	       : fits(play, head, naive.code)  ? CLI_REPLY
					       : CLI_POISONED;
	if (play->poisoned)
		kind = CLI_POISONED;
	input_hide(play->input, play->fed);
	eaten = smtp_client_next(play->client, in, &event);
	input_hide(play->input, play->input->len);
	MUST(event.kind == kind, "event %d, expected %d at %zu of %zu", event.kind, kind, play->at,
		play->fed);
	MUST(eaten == (kind == CLI_REPLY ? naive.len : 0), "%zu octets eaten", eaten);
	play->poisoned |= kind == CLI_POISONED;
	play->at += eaten;
	if (kind == CLI_REPLY)
		take_reply(play, &event, &naive);
	check_state(play);
	return kind == CLI_REPLY;
}

static void hear_some(struct play *play)
{
	if (play->fed < play->input->len)
		play->fed += pattern_cut(&play->cuts, play->input->len - play->fed);
	while (hear(play))
		;
}

/* ---- a step ---- */

static void say(struct play *play, unsigned what)
{
	static const struct {
		enum smtp_phase phase;
		const char *line;
	} commands[] = {
		{PHASE_EHLO, "EHLO us"},
		{PHASE_MAIL, "MAIL FROM:<a@b>"},
		{PHASE_RCPT, "RCPT TO:<c@d>"},
		{PHASE_RSET, "RSET"},
		{PHASE_QUIT, "QUIT"},
	};

	if (!may_send(play))
		return;
	command(play, commands[what].phase, commands[what].line);
	play->quit |= commands[what].phase == PHASE_QUIT;
}

/* Choices are letters: what they do is to be read in the corpus. */
static void step(struct play *play, char choice)
{
	static const char letters[] = "emrsq"; /* EHLO, MAIL, RCPT, RSET, QUIT */

	if (choice == 'h')
		hear_some(play);
	else if (choice == 'k')
		kernel_takes(play, SIZE_MAX);
	else if (choice >= '1' && choice <= '9')
		kernel_takes(play, (size_t)(choice - '0'));
	else if (choice == 'K')
		kernel_takes(play, 60000);
	else if (play->poisoned)
		return;
	else if (choice == 'D' || choice == 'B')
		begin_body(play, choice == 'B');
	else if (choice == 'E')
		end_body(play);
	else if (choice >= 'P' && choice <= 'X')
		give_body(play, (unsigned)(choice - 'P'));
	else if (strchr(letters, choice) && choice != '\0')
		say(play, (unsigned)(strchr(letters, choice) - letters));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct play *play = mem_new(sizeof(*play));
	struct input input;

	input_take(bytes, len, TEXT_MOST, &input);
	play->input = &input;
	play->cuts = input.cuts;
	play->pool = chunk_pool_new();
	play->client = smtp_client_new(play->pool);
	play->server = mem_new(sizeof(*play->server));
	naive_server_begin(play->server);
	for (size_t i = 0; i < input.choices.len && i < STEPS_MOST; i++) {
		step(play, (char)input.choices.at[i]);
		check_state(play);
	}
	smtp_client_free(&play->client);
	MUST(chunk_pool_used(play->pool) == 0, "chunks are left");
	chunk_pool_free(&play->pool);
	buf_clear(&play->held);
	buf_clear(&play->server->wire);
	free(play->server);
	free(play);
	input_clear(&input);
	return 0;
}
