/*
 * The one writer of the log.
 *
 *     rings ──read──► batch ──job: (text,) append──► target
 *       ^-------------- written: their room is free ---'
 *
 * One batch is under way at a time; while it is, lines wait in their rings, which drop (and
 * count) what does not fit.  A process that is killed before it has told the rings leaves the batch
 * to its successor, so each line is written at least once, and at such a moment twice.  A batch
 * that can't be written is lost, and said on standard error the first time.
 */
#include "bin/log_writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bin/log_text.h"

/* Of one row in one batch: a busy one can't hold up the others. */
enum { RING_SHARE = BOARD_RING / 2 };

struct log_writer {
	struct sys *sys;
	struct board *board;
	int handle;
	bool text;
	bool writing; /* the job has batch and rendered */
	bool failed;  /* the last batch was lost */
	struct buf batch, rendered;
	int rows;                  /* that the batch comes from */
	uint64_t upto[BOARD_ROWS]; /* how far of each */
};

static bool wants_text(enum log_format format, int handle)
{
	return format == LOG_TEXT || (format == LOG_AUTO && sys_file_is_terminal(handle));
}

struct log_writer *log_writer_new(struct sys *sys, struct board *board,
	const struct log_settings *settings, struct err_text *text)
{
	int handle = sys_file_append_open(settings->target, text);
	if (handle < 0)
		return NULL;
	struct log_writer *writer = mem_new(sizeof(*writer));
	writer->sys = sys;
	writer->board = board;
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
	enum err err = sys_file_append(writer->handle, buf_span(out));
	if (err && !writer->failed)
		fprintf(stderr, "mailweir: the log can't be written: %s\n", err_name(err));
	writer->failed = err != ERR_OK;
	buf_reset(&writer->rendered);
}

static void tell_rings(struct log_writer *writer)
{
	for (int row = 0; row < writer->rows; row++)
		board_log_written(writer->board, row, writer->upto[row]);
}

static void written(void *arg)
{
	struct log_writer *writer = arg;
	writer->writing = false;
	tell_rings(writer);
	buf_reset(&writer->batch);
}

bool log_writer_turn(struct log_writer *writer)
{
	if (writer->writing)
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
	free(writer);
}
