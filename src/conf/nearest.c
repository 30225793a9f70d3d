/*
 * "did you mean": the nearest of some names by edit distance, where swapping two neighbours
 * counts as one step (the optimal string alignment distance).  Case does not count.
 */
#include <string.h>

#include "conf/conf.h"

#define LONGEST 48 /* no name of ours is longer */

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

static unsigned distance(struct span a, struct span b)
{
	unsigned rows[3][LONGEST + 1];
	unsigned *above2 = rows[0], *above = rows[1], *row = rows[2];

	for (unsigned j = 0; j <= b.len; j++)
		above[j] = j;
	for (size_t i = 1; i <= a.len; i++) {
		unsigned *reuse = above2;
		char c = lower(a.at[i - 1]);

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= b.len; j++) {
			char d = lower(b.at[j - 1]);

			row[j] = least(above[j - 1] + (c != d), least(above[j], row[j - 1]) + 1);
			if (i > 1 && j > 1 && c == lower(b.at[j - 2]) && lower(a.at[i - 2]) == d)
				row[j] = least(row[j], above2[j - 2] + 1);
		}
		above2 = above;
		above = row;
		row = reuse;
	}
	return above[b.len];
}

const char *conf_nearest(struct span text, const char *const *names, size_t count)
{
	unsigned best = text.len < 6 ? 2 : text.len < 9 ? 3 : 4; /* must be beaten */
	const char *nearest = NULL;

	if (text.len < 2 || text.len > LONGEST)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		struct span name = span_of(names[i]);
		unsigned steps = name.len <= LONGEST ? distance(text, name) : best;

		if (steps < best) {
			best = steps;
			nearest = names[i];
		}
	}
	return nearest;
}
