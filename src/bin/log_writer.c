/*
 * The one writer of the log.
 *
 *     rings ──read──► batch ──job: (text,) append──► target
 *       ^-------------- written: their room is free ---'
 *
 * One batch is under way at a time; while it is, lines wait in their rings, which drop (and
 * count) what does not fit.  A process that is killed before it has told the rings leaves the batch
 * to its successor, so each line is written at least once, and at such a moment twice.
 *
 * A full disk is only a longer wait: a batch that can't be written stays in the rings and is tried
 * again every second.  Standard error says so when that begins and ends; the log says at the end
 * how many lines it has lost.
 */
#include "bin/log_writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bin/log_text.h"
#include "bin/process_numbers.h"
#include "board/logline.h"

/* Of one row in one batch: a busy one can't hold up the others. */
enum { RING_SHARE = BOARD_RING / 2 };
#define TRY_AGAIN SECOND

struct log_writer {
	struct sys *sys;
	struct board *board;
	int row; /* for lines of our own */
	int handle;
	bool text;
	bool writing; /* the job has batch, rendered and err */
	enum err err; /* of the last batch */
	struct buf batch, rendered, line;
	int rows;                  /* that the batch comes from */
	uint64_t upto[BOARD_ROWS]; /* how far of each */

	int64_t failing_since; /* 0: it works */
	int64_t try_at;        /* while it fails */
	int64_t dropped;       /* lines, when it began to fail */
};

static bool wants_text(enum log_format format, int handle)
{
	return format == LOG_TEXT || (format == LOG_AUTO && sys_file_is_terminal(handle));
}

struct log_writer *log_writer_new(struct sys *sys, struct board *board, int row,
	const struct log_settings *settings, struct err_text *text)
{
	int handle = sys_file_append_open(settings->target, text);
	if (handle < 0)
		return NULL;
	struct log_writer *writer = mem_new(sizeof(*writer));
	writer->sys = sys;
	writer->board = board;
	writer->row = row;
	writer->handle = handle;
	writer->text = wants_text(settings->format, handle);
	return writer;
}

static void render(struct log_writer *writer)
{
	struct span rest = buf_span(&writer->batch);
	while (rest.len) {
		size_t end = span_find(rest, '\n');
		log_text_line((struct span){rest.at, end}, &writer->rendered);
		rest = span_from(rest, end < rest.len ? end + 1 : end);
	}
}

static void write_batch(void *arg)
{
	struct log_writer *writer = arg;
	if (writer->text)
		render(writer);
	struct buf *out = writer->text ? &writer->rendered : &writer->batch;
	writer->err = sys_file_append(writer->handle, buf_span(out));
	buf_reset(&writer->rendered);
}

static void tell_rings(struct log_writer *writer)
{
	for (int row = 0; row < writer->rows; row++)
		board_log_written(writer->board, row, writer->upto[row]);
}

/* ---- a log that can't be written ---- */

static void failed(struct log_writer *writer)
{
	int64_t now = sys_now(writer->sys);
	writer->try_at = now + TRY_AGAIN;
	if (writer->failing_since)
		return;
	writer->failing_since = now;
	writer->dropped = process_numbers_log_dropped(writer->board);
	fprintf(stderr,
		"mailweir: the log can't be written: %s; its lines wait, and are lost when there "
		"are too many\n",
		err_name(writer->err));
}

static void works_again(struct log_writer *writer)
{
	struct log_line line;
	char text[120];
	snprintf(text, sizeof(text), "the log could not be written for %lld s, %lld lines are lost",
		(long long)((sys_now(writer->sys) - writer->failing_since) / SECOND),
		(long long)(process_numbers_log_dropped(writer->board) - writer->dropped));
	writer->failing_since = 0;
	fprintf(stderr, "mailweir: %s\n", text);
	log_begin(&line, &writer->line, sys_wall(writer->sys), LOG_EVENT_alarm);
	log_string(&line, LOG_role, "control");
	log_string(&line, LOG_reason, "log");
	log_string(&line, LOG_text, text);
	log_end(&line, writer->board, writer->row);
}

/* ---- its turn ---- */

static void written(void *arg)
{
	struct log_writer *writer = arg;
	writer->writing = false;
	buf_reset(&writer->batch);
	if (writer->err) {
		failed(writer);
		return;
	}
	tell_rings(writer);
	if (writer->failing_since)
		works_again(writer);
}

void log_writer_hurry(struct log_writer *writer)
{
	writer->try_at = 0;
}

bool log_writer_turn(struct log_writer *writer)
{
	if (writer->writing || (writer->failing_since && sys_now(writer->sys) < writer->try_at))
		return false;
	writer->rows = board_rows(writer->board);
	for (int row = 0; row < writer->rows; row++)
		board_log_read(writer->board, row, &writer->batch, RING_SHARE, &writer->upto[row]);
	if (writer->batch.len == 0) {
		tell_rings(writer); /* one that was broken is given up without a line */
		return false;
	}
	writer->writing = true;
	sys_job(writer->sys, SYS_QUEUE_LOG, write_batch, written, writer);
	return true;
}

bool log_writer_idle(const struct log_writer *writer)
{
	return !writer->writing;
}

void log_writer_free(struct log_writer **writerp)
{
	struct log_writer *writer = *writerp;
	*writerp = NULL;
	if (!writer)
		return;
	sys_file_close(writer->handle);
	buf_clear(&writer->batch);
	buf_clear(&writer->rendered);
	buf_clear(&writer->line);
	free(writer);
}
