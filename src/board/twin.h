/*
 * A value of several words that one process writes and others read, where any of them may be
 * killed between two instructions.
 *
 *     turn = 6         at[0]  what readers copy now
 *                      at[1]  what the writer fills next; then it sets turn = 7
 *
 * A writer that dies leaves a torn copy only where nobody reads; its successor writes over it.  A
 * reader that was overtaken (the turn moved while it copied) copies again, and gives up after
 * some tries: it never waits for anybody.  One writer at a time.
 */
#ifndef BOARD_TWIN_H
#define BOARD_TWIN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zeroed, it holds zeroes.  `turn` counts the writes. */
#define TWIN(words)                                                                                \
	struct {                                                                                   \
		_Atomic uint64_t turn;                                                             \
		_Atomic uint64_t at[2][words];                                                     \
	}

#define TWIN_WORDS(twin) (sizeof((twin)->at[0]) / sizeof((twin)->at[0][0]))

/* `words` is the size of one copy; `from` and `to` hold as many. */
void twin_write(_Atomic uint64_t *turn, _Atomic uint64_t *at, size_t words, const uint64_t *from);
/* False when it was overtaken on every try; *turn_r is then the turn seen last. */
bool twin_read(const _Atomic uint64_t *turn, const _Atomic uint64_t *at, size_t words, uint64_t *to,
	uint64_t *turn_r);

#endif
