/*
 * SipHash-2-4 (Aumasson and Bernstein): a keyed hash that a stranger who chooses the keys of our
 * tables can't steer into collisions.
 */
#include "base/rng.h"

#include <string.h>

static uint64_t rotate(uint64_t x, int by)
{
	return (x << by) | (x >> (64 - by));
}

static void rounds(uint64_t v[4], int count)
{
	while (count-- > 0) {
		v[0] += v[1];
		v[2] += v[3];
		v[1] = rotate(v[1], 13) ^ v[0];
		v[3] = rotate(v[3], 16) ^ v[2];
		v[0] = rotate(v[0], 32);
		v[2] += v[1];
		v[0] += v[3];
		v[1] = rotate(v[1], 17) ^ v[2];
		v[3] = rotate(v[3], 21) ^ v[0];
		v[2] = rotate(v[2], 32);
	}
}

static uint64_t load_little(const unsigned char *at, size_t len)
{
	uint64_t word = 0;

	for (size_t i = 0; i < len; i++)
		word |= (uint64_t)at[i] << (8 * i);
	return word;
}

static void take_word(uint64_t v[4], uint64_t word)
{
	v[3] ^= word;
	rounds(v, 2);
	v[0] ^= word;
}

uint64_t hash_bytes(const struct hash_key *key, const void *bytes, size_t len)
{
	const unsigned char *at = bytes;
	size_t whole = len & ~(size_t)7;
	uint64_t v[4] = {
		key->k[0] ^ 0x736f6d6570736575,
		key->k[1] ^ 0x646f72616e646f6d,
		key->k[0] ^ 0x6c7967656e657261,
		key->k[1] ^ 0x7465646279746573,
	};

	for (size_t i = 0; i < whole; i += 8)
		take_word(v, load_little(at + i, 8));
	/* The last word holds the bytes left over and, on top, the length. */
	take_word(
		v, (uint64_t)len << 56 | (len > whole ? load_little(at + whole, len - whole) : 0));
	v[2] ^= 0xff;
	rounds(v, 4);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}
