/*
 * The two copies of a value; the orders of memory are those of a sequence lock.
 */
#include "board/twin.h"

#include "base/testing.h"

/* A reader is overtaken only by a whole write that falls into its copying; writers are rare. */
#define TRIES 100

void twin_write(_Atomic uint64_t *turn, _Atomic uint64_t *at, size_t words, const uint64_t *from)
{
	uint64_t next = atomic_load_explicit(turn, memory_order_relaxed) + 1;
	_Atomic uint64_t *copy = at + next % 2 * words;

	/* A reader that sees any word stored below must also see the turn before this one, and so
	 * find out that it was overtaken. */
	atomic_thread_fence(memory_order_release);
	for (size_t i = 0; i < words; i++) {
		atomic_store_explicit(&copy[i], from[i], memory_order_relaxed);
		KILL_POINT("twin: half written");
	}
	atomic_store_explicit(turn, next, memory_order_release);
	KILL_POINT("twin: turned");
}

bool twin_read(const _Atomic uint64_t *turn, const _Atomic uint64_t *at, size_t words, uint64_t *to,
	uint64_t *turn_r)
{
	for (int i = 0; i < TRIES; i++) {
		const _Atomic uint64_t *copy;

		*turn_r = atomic_load_explicit(turn, memory_order_acquire);
		copy = at + *turn_r % 2 * words;
		for (size_t j = 0; j < words; j++)
			to[j] = atomic_load_explicit(&copy[j], memory_order_relaxed);
		atomic_thread_fence(memory_order_acquire);
		if (atomic_load_explicit(turn, memory_order_relaxed) == *turn_r)
			return true;
	}
	return false;
}
