/*
 * xoshiro256** by Blackman and Vigna, seeded through splitmix64 as they advise: any seed, zero
 * too, gives a good state.
 */
#include "base/rng.h"

#include <assert.h>

static uint64_t rotate(uint64_t x, int by)
{
	return (x << by) | (x >> (64 - by));
}

void rng_seed(struct rng *rng, uint64_t seed)
{
	for (int i = 0; i < 4; i++) {
		uint64_t z = (seed += 0x9e3779b97f4a7c15);

		z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
		z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
		rng->s[i] = z ^ (z >> 31);
	}
}

uint64_t rng_next(struct rng *rng)
{
	uint64_t *s = rng->s;
	uint64_t result = rotate(s[1] * 5, 7) * 9;
	uint64_t t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotate(s[3], 45);
	return result;
}

uint64_t rng_below(struct rng *rng, uint64_t bound)
{
	unsigned __int128 wide;
	uint64_t reject;

	assert(bound > 0);
	/* Lemire's method: the high half of a product is the choice; the few low halves that
	 * would make some choices likelier than others are drawn again. */
	reject = -bound % bound;
	do {
		wide = (unsigned __int128)rng_next(rng) * bound;
	} while ((uint64_t)wide < reject);
	return (uint64_t)(wide >> 64);
}
