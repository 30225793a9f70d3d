/*
 * The reload desk: requests are flags that the master takes, its answer is a text that all read.
 */
#include "board/board.h"

#include <stdio.h>
#include <string.h>

#include "base/testing.h"
#include "board/layout.h"

#define ASKED  1u
#define FORCED 2u

struct answer {
	uint64_t good;
	char message[512];
};

#define ANSWER_WORDS (sizeof(struct answer) / sizeof(uint64_t))
_Static_assert(sizeof(struct answer) == sizeof(((struct board_head *)0)->answer.at[0]),
	"the answer fills a copy of its twin");

void board_ask_reload(struct board *board, bool force)
{
	/* Of two who ask before the master looks, force wins. */
	atomic_fetch_or(&board->head.reload_asked, ASKED | (force ? FORCED : 0));
	KILL_POINT("desk: asked");
}

bool board_reload_asked(struct board *board, bool *force_r)
{
	uint32_t asked = atomic_exchange(&board->head.reload_asked, 0);

	KILL_POINT("desk: request taken");
	*force_r = (asked & FORCED) != 0;
	return asked != 0;
}

void board_reload_done(struct board *board, unsigned generation, bool good, const char *message)
{
	struct answer answer = {.good = good};
	uint64_t words[ANSWER_WORDS];

	snprintf(answer.message, sizeof(answer.message), "%s", message ? message : "");
	memcpy(words, &answer, sizeof(answer));
	/* Before the answer: who reads that it is done asks next which generation runs. */
	if (good)
		atomic_store(&board->head.generation, generation);
	KILL_POINT("desk: changed, not answered");
	twin_write(&board->head.answer.turn, board->head.answer.at[0], ANSWER_WORDS, words);
}

unsigned board_reload_answer(const struct board *board, bool *good_r, char message_r[512])
{
	struct answer answer;
	uint64_t words[ANSWER_WORDS] = {0}, turn = 0;

	/* Overtaken too often: as if there were no answer yet, so the reader looks again. */
	if (!twin_read(&board->head.answer.turn, board->head.answer.at[0], ANSWER_WORDS, words,
		    &turn)) {
		memset(words, 0, sizeof(words));
		turn = 0;
	}
	memcpy(&answer, words, sizeof(answer));
	*good_r = answer.good != 0;
	memcpy(message_r, answer.message, sizeof(answer.message));
	return (unsigned)turn;
}

unsigned board_generation(const struct board *board)
{
	return atomic_load(&board->head.generation);
}

void board_ask_stop(struct board *board)
{
	atomic_store(&board->head.stop_asked, true);
}

bool board_stop_asked(const struct board *board)
{
	return atomic_load(&board->head.stop_asked) != 0;
}
