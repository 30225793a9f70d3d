/*
 * For the tests of the sink: a sink on a loop, played on by raw clients or by the load.
 */
#ifndef TEST_SINK_HELP_H
#define TEST_SINK_HELP_H

#include "test_talk_help.h"

#include <stdio.h>

#include "sink/sink.h"

#define MAIL_ONE "MAIL FROM:<a@x.org>\r\n"
#define RCPT_ONE "RCPT TO:<b@y.org>\r\n"
#define BODY_ONE "Subject: one\r\nX-Ledger-Id: t.1\r\n\r\nhello\r\n"

struct play {
	struct stage stage;
	struct sink *sink;
	struct raw raw;
	char ledger[64];
};

static inline void play_setup(struct play *play, struct sink_setup setup)
{
	struct err_text why;
	stage_open(&play->stage);
	if (!setup.name)
		setup.name = "s1";
	if (!setup.offer.caps)
		setup.offer.caps = SINK_OFFER;
	setup.listen_count = 1;
	setup.seed = 1;
	play->sink = sink_new(play->stage.world.loop, &setup, &why);
	if (!play->sink)
		fail_msg("%s", why.text);
}

/* A sink with a ledger; `faults` as lines of a faults file. */
static inline void play_open(struct play *play, const char *faults)
{
	int fd;
	*play = (struct play){.raw = {.fd = -1}};
	snprintf(play->ledger, sizeof(play->ledger), "/tmp/mailweir-ledger.XXXXXX");
	fd = mkstemp(play->ledger);
	assert_true(fd >= 0);
	close(fd);
	play_setup(play, (struct sink_setup){.ledger = play->ledger});
	struct faults parsed = {0};
	struct err_text why = {{0}};
	if (faults_lines(&parsed, span_of(faults), &why))
		fail_msg("%s", why.text);
	sink_set_faults(play->sink, &parsed);
}

static inline void play_close(struct play *play)
{
	raw_clear(&play->raw);
	if (play->sink)
		sink_free(&play->sink);
	stage_close(&play->stage);
	if (play->ledger[0])
		unlink(play->ledger);
}

#define PLAY_UNTIL(play, condition) TURN_UNTIL(&(play)->stage.world, condition)

static inline void play_connect(struct play *play)
{
	raw_clear(&play->raw);
	raw_connect(&play->raw, &play->stage.world.at, 0);
}

static inline void play_say(struct play *play, const char *text)
{
	raw_say(&play->raw, text);
}

/* All that was heard since the last time is this. */
static inline void play_expect(struct play *play, const char *text)
{
	size_t len = strlen(text);
	PLAY_UNTIL(play, (raw_hear(&play->raw), play->raw.got.len >= len || play->raw.eof));
	assert_string_equal(raw_text(&play->raw), text);
	buf_reset(&play->raw.got);
}

static inline void play_expect_last(struct play *play, const char *begins)
{
	PLAY_UNTIL(play, raw_last(&play->raw, begins) || play->raw.eof);
	assert_true(raw_last(&play->raw, begins));
	buf_reset(&play->raw.got);
}

static inline void play_expect_eof(struct play *play, bool reset)
{
	PLAY_UNTIL(play, raw_closed(&play->raw));
	assert_int_equal(play->raw.reset, reset);
	assert_string_equal(raw_text(&play->raw), "");
}

/* Connected and greeted. */
static inline void play_greet(struct play *play)
{
	play_connect(play);
	play_expect_last(play, "220 ");
	play_say(play, "EHLO c.example\r\n");
	play_expect_last(play, "250 ");
}

static inline void play_envelope(struct play *play)
{
	play_say(play, MAIL_ONE RCPT_ONE);
	play_expect(play, "250 2.1.0 Sender ok\r\n250 2.1.5 Recipient ok\r\n");
}

static inline unsigned play_ledger_lines(struct play *play)
{
	struct buf lines = {0};
	unsigned count = 0;
	assert_int_equal(sys_file_read(play->ledger, 1 << 20, &lines, NULL), ERR_OK);
	for (size_t i = 0; i < lines.len; i++)
		count += lines.at[i] == '\n';
	buf_clear(&lines);
	return count;
}

#endif
