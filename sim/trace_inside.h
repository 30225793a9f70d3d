/*
 * What the trace keeps: trace.c fills it, tell.c picks from it.
 */
#ifndef SIM_TRACE_INSIDE_H
#define SIM_TRACE_INSIDE_H

#include "sim/trace.h"

struct trace_entry {
	int64_t now;
	char who[32];
	bool note, heard;
	struct buf text; /* perhaps cut */
	size_t octets;
	/* of telling */
	bool shown, body;
	size_t speaker;
	size_t before; /* the speaker's entry before this one, from 1; 0: none */
	unsigned more; /* so many like it are folded into it */
};

struct trace {
	struct sim_heap *heap; /* whoever speaks, this remembers */
	struct trace_entry *at;
	size_t count, room;
};

void trace_print_entry(const struct trace_entry *entry, FILE *out);

#endif
