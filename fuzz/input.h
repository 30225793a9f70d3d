/*
 * What every fuzzer begins with: its input taken apart, and the word for a finding.
 *
 *      40 70\n           choices: of an owner, of rules; each octet is a number, '0' is 0
 *      5 1\n             cuts: how the text comes in pieces; '0' or an empty line: in one
 *      MAIL FROM:<a>...  the text: what the stranger sends
 *
 * In the text two octets are not themselves: SUB and an octet n repeat the octet before them n*n
 * times, ESC and an octet n repeat the line before them n times.  So a short input can say a long
 * thing, such as a reply of 64 KiB.  Beyond 4 KiB only where the cuts begin with "~~": long texts
 * are dear, and most of them show no more than short ones.
 */
#ifndef FUZZ_INPUT_H
#define FUZZ_INPUT_H

#include "base/chunk.h"

/* What libFuzzer calls. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* Octets that are used in turn, and again from the first when they are spent. */
struct pattern {
	const uint8_t *at;
	size_t len, next;
};

struct input {
	struct pattern choices, cuts;
	char *text; /* on the heap, and of exactly its size, for the sanitizer */
	size_t len;
};

/* `most`: octets that a text may grow to. */
void input_take(const uint8_t *bytes, size_t len, size_t most, struct input *input_r);
void input_clear(struct input *input);

/* 0 ... below - 1; 0 if the pattern is empty. */
unsigned pattern_choose(struct pattern *pattern, unsigned below);
/* How many of the `left` octets come next: 1 ... left. */
size_t pattern_cut(struct pattern *pattern, size_t left);
/* The same octets once more from the first. */
static inline struct pattern pattern_again(struct pattern pattern)
{
	pattern.next = 0;
	return pattern;
}

/* A finding: says so with the words, and ends the process as libFuzzer expects it. */
noreturn void finding(const char *format, ...) PRINTF_LIKE(1, 2);
#define MUST(condition, ...)                                                                       \
	do {                                                                                       \
		if (!(condition))                                                                  \
			finding(__VA_ARGS__);                                                      \
	} while (0)

/* Octets so that they can be read on a terminal, appended. */
void show(struct buf *into, const char *at, size_t len);

/* Octets behind `fed` do not exist yet: whoever reads them is told of by the sanitizer. */
void input_hide(const struct input *input, size_t fed);

/* Append the octets to the chain as pieces of chunks, cut by the pattern. */
void chain_add_cut(struct chain *chain, struct pattern *cuts, const char *at, size_t len);

#endif
