/*
 * The words of enum talk_close.
 */
#include "talk/close.h"

#include <assert.h>

const char *talk_close_text(enum talk_close why)
{
	static const char *const text[TALK_CLOSE_COUNT] = {
#define TALK_CLOSE_TEXT(id, words) [CLOSE_##id] = words,
		TALK_CLOSES(TALK_CLOSE_TEXT)
#undef TALK_CLOSE_TEXT
	};

	assert(why < TALK_CLOSE_COUNT);
	return text[why];
}
