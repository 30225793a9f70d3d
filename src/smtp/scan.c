/*
 * Finding what matters in a body: CR, LF, NUL.
 *
 * Apart, because nearly all octets of nearly all mail pass through here: eight at a time in a
 * general register, until a body of vector instructions takes its place.
 */
#include "smtp/framing.h"

#include <endian.h>
#include <string.h>

#define ONES  0x0101010101010101u
#define HIGHS 0x8080808080808080u

/* The high bit of each octet that is zero; bits above the lowest one set may be wrong. */
static uint64_t zeros(uint64_t word)
{
	return (word - ONES) & ~word & HIGHS;
}

static bool matters(char c)
{
	return c == '\r' || c == '\n' || c == '\0';
}

size_t smtp_scan(const char *at, size_t len)
{
	size_t i = 0;
	uint64_t word, found;

	for (; len - i >= sizeof(word); i += sizeof(word)) {
		memcpy(&word, at + i, sizeof(word));
		/* In memory order, so that the lowest bit belongs to the first octet. */
		word = le64toh(word);
		found = zeros(word) | zeros(word ^ (ONES * '\r')) | zeros(word ^ (ONES * '\n'));
		if (found)
			return i + (size_t)__builtin_ctzll(found) / 8;
	}
	while (i < len && !matters(at[i]))
		i++;
	return i;
}
