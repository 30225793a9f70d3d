/*
 * A seeded random generator (xoshiro256**) for choices, jitter and hashing keys: quick and
 * repeatable.  Not for secrets: those come from sys_random().
 */
#ifndef BASE_RNG_H
#define BASE_RNG_H

#include "base/bytes.h"

struct rng {
	uint64_t s[4];
};

void rng_seed(struct rng *rng, uint64_t seed);
uint64_t rng_next(struct rng *rng);
uint64_t rng_below(struct rng *rng, uint64_t bound); /* 0 ... bound-1, unbiased; bound > 0 */

/* SipHash-2-4: the keyed hash for tables whose keys strangers choose. */
struct hash_key {
	uint64_t k[2];
};
uint64_t hash_bytes(const struct hash_key *key, const void *bytes, size_t len);

#endif
