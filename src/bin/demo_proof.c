/*
 * What the ledgers prove: each message that the client heard 250 for stands in one of them, and
 * none in two, but for those of which no try could know better.
 */
#include <stdio.h>
#include <stdlib.h>

#include "bin/demo_cmd.h"
#include "sink/ledger.h"
#include "sys/sys.h"

#define LEDGER_MAX ((size_t)1 << 30)

struct demo_note {
	bool accepted, unsure;
	uint8_t found; /* times in the ledgers, up to 255 */
};

struct demo_notes {
	uint64_t messages;
	struct demo_note *note; /* by number - 1 */
};

struct demo_notes *demo_notes_new(uint64_t messages)
{
	struct demo_notes *notes = mem_new(sizeof(*notes));
	notes->messages = messages;
	notes->note = mem_new(messages * sizeof(*notes->note));
	return notes;
}

void demo_notes_free(struct demo_notes **notes)
{
	free((*notes)->note);
	free(*notes);
	*notes = NULL;
}

void demo_notes_take(struct demo_notes *notes, const struct load_message *message)
{
	struct demo_note *note = &notes->note[message->number - 1];
	note->accepted = message->outcome == LOAD_ACCEPTED;
	note->unsure = message->unsure;
}

/* Counts a ledger's lines into the notes; returns how many were of this run. */
static uint64_t count_lines(const struct demo_notes *notes, struct span rest)
{
	uint64_t count = 0;
	while (rest.len > 0) {
		size_t end = span_find(rest, '\n');
		struct span id;
		uint64_t number = 0;
		/* A last line without its newline was cut off by the kill: its 250 was never sent.
		 */
		if (end < rest.len && ledger_line_id((struct span){rest.at, end}, &id))
			number = load_id_number(id, DEMO_RUN);
		if (number > 0 && number <= notes->messages) {
			struct demo_note *note = &notes->note[number - 1];
			note->found += note->found < UINT8_MAX;
			count++;
		}
		rest = span_from(rest, end < rest.len ? end + 1 : end);
	}
	return count;
}

static enum err read_ledger(const struct demo_notes *notes, const struct demo_sink *sink,
	uint64_t *count_r, struct err_text *text)
{
	char path[64];
	struct buf lines = {0};
	snprintf(path, sizeof(path), "/proc/self/fd/%d", sink->ledger);
	enum err err = sys_file_read(path, LEDGER_MAX, &lines, text);
	*count_r = err ? 0 : count_lines(notes, buf_span(&lines));
	buf_clear(&lines);
	return err;
}

enum err demo_prove(const struct demo_notes *notes, const struct demo_parts *parts,
	struct demo_proof *proof_r, struct err_text *text)
{
	*proof_r = (struct demo_proof){.sent = notes->messages};
	for (int i = 0; i < DEMO_SINKS; i++) {
		enum err err = read_ledger(notes, &parts->sinks[i], &proof_r->per_sink[i], text);
		if (err)
			return err;
	}
	for (uint64_t i = 0; i < notes->messages; i++) {
		const struct demo_note *note = &notes->note[i];
		proof_r->accepted += note->accepted;
		proof_r->lost += note->accepted && note->found == 0;
		proof_r->doubled += note->found > 1;
		proof_r->excused += note->found > 1 && note->unsure;
	}
	return ERR_OK;
}
