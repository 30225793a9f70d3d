/*
 * What hostile and careless clients send, by the items of the catalogue; each at every cut.
 */
#include "test_smtp_help.h"

#define EHLO     SPAN("EHLO c\r\n")
#define ENVELOPE SPAN("MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n")

#define EHLO_HEARD "C 0 EHLO c\n< 250-mx.example\\r\\n250-PIPELINING\\r\\n250 SIZE 1000\\r\\n\n"
#define ENVELOPE_HEARD                                                                             \
	EHLO_HEARD "C 1 MAIL FROM:<a@b>\nC 2 RCPT TO:<c@d>\nC 3 DATA\n"                            \
		   "< 250 2.1.0 Sender ok\\r\\n250 2.0.0 Ok\\r\\n"                                 \
		   "354 End data with <CR><LF>.<CR><LF>\\r\\n\n"

#define BYTES(literal) ((struct span){.at = (literal), .len = sizeof(literal) - 1})

/* Everything that some server somewhere takes for the end of data and that is none. */
static const struct span false_ends[] = {
	BYTES("\n.\n"),
	BYTES("\n.\r\n"),
	BYTES("\r\n.\n"),
	BYTES("\r.\r"),
	BYTES("\r.\n"),
	BYTES("\n.\r"),
	BYTES("\r.\r\n"),
	BYTES("\r\n.\r"),
	BYTES("\n.\r\r\n"),
	BYTES("\r\n.\r\r\n"),
	BYTES("\r\r\n.\r\r\n"),
	BYTES("\r\n\0.\r\n"),
	BYTES("\r\n.\0\r\n"),
};
#define FALSE_ENDS (sizeof(false_ends) / sizeof(false_ends[0]))

static bool has_nul(struct span form)
{
	return span_find(form, '\0') < form.len;
}

/* A body with the form in it, and behind it what the smuggler wants to be run. */
static void smuggle(struct buf *body, struct span form, const char *end)
{
	buf_add_text(body, "a");
	buf_add_span(body, form);
	buf_add_text(body, "MAIL FROM:<evil@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nevil\r\n");
	buf_add_text(body, end);
}

static void test_item_01_end_of_data_forms(void **state)
{
	(void)state;
	for (size_t i = 0; i < FALSE_ENDS; i++) {
		struct dialogue dialogue = {.group = {EHLO, ENVELOPE}};
		struct buf body = {0}, sound = {0}, expected = {0};

		smuggle(&body, false_ends[i], ".\r\nNOOP\r\n");
		dialogue.group[2] = buf_span(&body);
		/* Sound until the first lone octet; a CRLF before it belongs to the body. */
		buf_add_text(&sound, "a");
		if (span_starts_nocase(false_ends[i], "\r\n"))
			buf_add_text(&sound, "\r\n");
		buf_add_text(&expected, ENVELOPE_HEARD "B ");
		note_escaped(&expected, buf_span(&sound));
		buf_addf(&expected, "\nF %d\nE 4 last %d\nA 250\n", has_nul(false_ends[i]) ? 2 : 1,
			has_nul(false_ends[i]) ? 2 : 1);
		buf_add_text(&expected, "< 550 5.5.2 Bare CR or bare LF in the message\\r\\n"
					"250 2.0.0 Ok\\r\\n\n");
		same_at_every_cut(&dialogue, buf_string(&expected));
		buf_clear(&expected);
		buf_clear(&sound);
		buf_clear(&body);
	}
}

/* Where an administrator lets bare newlines pass, they pass, and the end is as exact as before. */
static void test_item_01_end_of_data_forms_passed(void **state)
{
	(void)state;
	for (size_t i = 0; i < FALSE_ENDS; i++) {
		struct dialogue dialogue = {
			.group = {EHLO, ENVELOPE}, .rules = {.pass_bare_newlines = true}};
		struct buf body = {0};
		char *record;

		if (has_nul(false_ends[i]))
			continue;
		smuggle(&body, false_ends[i], ".\r\nNOOP\r\n");
		dialogue.group[2] = buf_span(&body);
		record = run(&dialogue, WHOLE, 0);
		assert_non_null(strstr(record, "DATA\\r\\nevil\\r\\n\nE 4 last 0\nA 250\n"));
		same_at_every_cut(&dialogue, record);
		free(record);
		buf_clear(&body);
	}
}

static void test_item_01_end_of_data_forms_in_chunks(void **state)
{
	(void)state;
	for (size_t i = 0; i < FALSE_ENDS; i++) {
		struct dialogue dialogue = {.group = {EHLO}};
		struct buf body = {0}, all = {0};
		char *record;

		smuggle(&body, false_ends[i], ".\r\n");
		buf_addf(&all, "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT %zu LAST\r\n", body.len);
		buf_add_span(&all, buf_span(&body));
		buf_add_text(&all, "NOOP\r\n");
		dialogue.group[1] = buf_span(&all);
		record = run(&dialogue, WHOLE, 0);
		assert_non_null(strstr(record, has_nul(false_ends[i]) ? "\nE 3 last 2\nA 250\n"
								      : "\nE 3 last 1\nA 250\n"));
		assert_null(strstr(record, "C 4"));
		same_at_every_cut(&dialogue, record);
		free(record);
		buf_clear(&all);
		buf_clear(&body);
	}
}

static void test_item_02_bare_octets_in_a_command(void **state)
{
	static const struct span lines[] = {
		BYTES("MAIL FROM:<a>\rRCPT TO:<b@c>\r\n"),
		BYTES("MAIL FROM:<a@b>\nRCPT TO:<b@c>\r\n"),
		BYTES("MAIL FROM:<a@b>\0\r\n"),
		BYTES("MAIL FROM:<a@b>\r\r\n"),
		BYTES("\nNOOP\r\n"),
		BYTES("\0NOOP\r\n"),
		BYTES("NOOP\n\r\n"),
		BYTES("RSET\n.\n\r\r\n"),
	};

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct dialogue dialogue = {.group = {EHLO}};
		struct buf group = {0};

		buf_add_span(&group, lines[i]);
		buf_add_text(&group, "NOOP\r\n");
		dialogue.group[1] = buf_span(&group);
		same_at_every_cut(&dialogue,
			EHLO_HEARD "A 500\nA 250\n"
				   "< 500 5.5.2 Bare CR, bare LF or NUL in a command\\r\\n"
				   "250 2.0.0 Ok\\r\\n\n");
		buf_clear(&group);
	}
}

static void test_item_03_nul_in_the_body(void **state)
{
	const struct dialogue dialogue = {.group = {EHLO, ENVELOPE, BYTES("a\r\nb\0c\r\n.\r\n")},
		.rules = {.pass_bare_newlines = true}};

	(void)state;
	same_at_every_cut(&dialogue,
		ENVELOPE_HEARD "B a\\r\\nb\nF 2\nE 4 last 2\n"
			       "< 550 5.5.2 Bare CR or bare LF in the message\\r\\n\n");
}

/* `len` octets with CRLF, beginning with `verb`; then a command that must run by itself. */
static void long_line(struct buf *line, const char *verb, size_t len)
{
	buf_reset(line);
	buf_add_text(line, verb);
	while (line->len < len - 2)
		buf_add_text(line, line->len % 50 == 0 ? " " : "x");
	buf_add_text(line, "\r\nNOOP\r\n");
}

static void test_item_04_long_lines(void **state)
{
	struct {
		const char *verb;
		size_t longest;
	} const cases[] = {
		{"NOOP ", 512},
		{"HELP ", 512},
		{"MAIL FROM:<a@b> ", 681},
		{"RCPT TO:<a@b> ", 1048},
	};
	struct buf line = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct dialogue dialogue = {.group = {EHLO}};
		char *record;

		long_line(&line, cases[i].verb, cases[i].longest);
		dialogue.group[1] = buf_span(&line);
		record = run(&dialogue, WHOLE, 0);
		assert_null(strstr(record, "Command line too long"));
		same_at_every_cut(&dialogue, record);
		free(record);
		long_line(&line, cases[i].verb, cases[i].longest + 1);
		dialogue.group[1] = buf_span(&line);
		same_at_every_cut(&dialogue, EHLO_HEARD "A 500\nA 250\n"
							"< 500 5.5.2 Command line too long\\r\\n"
							"250 2.0.0 Ok\\r\\n\n");
	}
	buf_clear(&line);
}

/* The tail of an over-long line holds commands, bare newlines, anything: none of it runs. */
static void test_item_04_the_tail_is_never_run(void **state)
{
	struct dialogue dialogue = {.group = {EHLO}};
	struct buf line = {0};

	(void)state;
	buf_add_text(&line, "NOOP ");
	while (line.len < 1500)
		buf_add_text(&line, "\nMAIL FROM:<a@b>\n\r\rQUIT\n");
	buf_add_text(&line, "\r\r\nNOOP\r\n");
	dialogue.group[1] = buf_span(&line);
	same_at_every_cut(&dialogue, EHLO_HEARD "A 500\nA 250\n"
						"< 500 5.5.2 Command line too long\\r\\n"
						"250 2.0.0 Ok\\r\\n\n");
	buf_clear(&line);
}

static void test_item_04_memory_is_bounded(void **state)
{
	const struct dialogue dialogue = {0};
	struct play play;
	char piece[1000];

	(void)state;
	memset(piece, 'x', sizeof(piece));
	play_begin(&play, &dialogue);
	for (int i = 0; i < 1000; i++) {
		feed(&play, (struct span){.at = piece, .len = sizeof(piece)});
		assert_true(play.unread.len <= SMTP_SERVER_WINDOW);
		assert_int_equal(chunk_pool_used(play.pool), 0);
	}
	assert_int_equal(play.heard.len, 0);
	feed(&play, SPAN("\r\n"));
	assert_string_equal(buf_string(&play.heard), "500 5.5.2 Command line too long\r\n");
	play_end(&play);
}

static void test_item_06_dots_at_every_cut(void **state)
{
	const struct dialogue dialogue = {
		.group = {EHLO, ENVELOPE, SPAN("..\r\n.a\r\n\r\n...\r\nb.\r\n.\r\n")}};
	const struct dialogue empty = {.group = {EHLO, ENVELOPE, SPAN(".\r\n")}};

	(void)state;
	same_at_every_cut(&dialogue,
		ENVELOPE_HEARD "B .\\r\\na\\r\\n\\r\\n..\\r\\nb.\\r\\n\nE 4 last 0\n"
			       "< 250 2.0.0 16 octets received\\r\\n\n");
	same_at_every_cut(
		&empty, ENVELOPE_HEARD "E 4 last 0\n< 250 2.0.0 0 octets received\\r\\n\n");
}

/* In one read with what it must wait for, or before the reply has left: the end. */
static void test_item_07_early_input(void **state)
{
	struct {
		struct span group[3];
		const char *record;
	} const cases[] = {
		{{SPAN("EHLO c\r\nMAIL FROM:<a@b>\r\n")}, "C 0 EHLO c\nX 503\n"},
		{{SPAN("HELO c\r\nN")}, "C 0 HELO c\nX 503\n"},
		{{EHLO, SPAN("MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nx\r\n.\r\nQUIT\r\n")},
			EHLO_HEARD "C 1 MAIL FROM:<a@b>\nC 2 RCPT TO:<c@d>\nC 3 DATA\nX 503\n"},
		{{EHLO, SPAN("MAIL FROM:<a@b>\r\nRCPT TO:<bad@d>\r\nRCPT TO:<c@d>\r\nDATA\r\n."
			     "\r\n")},
			EHLO_HEARD "C 1 MAIL FROM:<a@b>\nC 2 RCPT TO:<bad@d>\nC 3 RCPT TO:<c@d>\n"
				   "C 4 DATA\nX 503\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (int when = NOW; when <= LATER; when++) {
			struct dialogue dialogue = {.when = (enum when)when};
			char *record;

			memcpy(dialogue.group, cases[i].group, sizeof(cases[i].group));
			record = run(&dialogue, WHOLE, 0);
			assert_memory_equal(record, cases[i].record, strlen(cases[i].record));
			assert_non_null(strstr(record, "503 5.5.0 Input before the reply"));
			free(record);
		}
	}
}

/* The reply was given but stands in `out`: the client can't have read it. */
static void test_item_07_before_the_reply_has_left(void **state)
{
	const struct dialogue dialogue = {.when = LATER};
	struct smtp_server_event event;
	struct play play;

	(void)state;
	for (int left = 0; left < 2; left++) {
		play_begin(&play, &dialogue);
		feed(&play, EHLO);
		smtp_server_own(play.server, 0, SMTP_OWN_HELO, "h");
		if (left)
			hear(&play);
		smtp_server_next(play.server, SPAN("N"), &event);
		assert_int_equal(event.kind, left ? SRV_MORE : SRV_BROKEN);
		play_end(&play);
	}
}

static void test_item_08_data_without_recipients(void **state)
{
	struct dialogue dialogue = {
		.group = {EHLO, SPAN("MAIL FROM:<a@b>\r\nRCPT TO:<bad@d>\r\nDATA\r\n"),
			SPAN("RSET\r\nMAIL FROM:<a@b>\r\n")},
		.when = LATER,
	};

	(void)state;
	same_at_every_cut(&dialogue,
		EHLO_HEARD "C 1 MAIL FROM:<a@b>\nC 2 RCPT TO:<bad@d>\nC 3 DATA\n"
			   "< 250 2.1.0 Sender ok\\r\\n554 5.7.1 Relay access denied\\r\\n"
			   "554 5.5.1 No valid recipients\\r\\n\n"
			   "C 4 RSET\nC 5 MAIL FROM:<a@b>\n"
			   "< 250 2.0.0 Ok\\r\\n250 2.1.0 Sender ok\\r\\n\n");
	/* What was to be the body, sent without waiting, runs as nothing. */
	dialogue.group[1] =
		SPAN("MAIL FROM:<a@b>\r\nRCPT TO:<bad@d>\r\nDATA\r\nMAIL FROM:<e@f>\r\n.\r\n");
	char *record = run(&dialogue, WHOLE, 0);
	assert_null(strstr(record, "e@f"));
	assert_non_null(strstr(record, "X 503"));
	free(record);
}

static void test_item_09_bad_chunk_sizes(void **state)
{
	static const char *const lines[] = {
		"BDAT 18446744073709551616 LAST\r\n",
		"BDAT 18446744073709551615\r\n",
		"BDAT -1\r\n",
		"BDAT +1\r\n",
		"BDAT 0x10\r\n",
		"BDAT 4294967297\r\n",
		"BDAT 000000000000000000001\r\n",
		"BDAT\r\n",
		"BDAT LAST\r\n",
		"BDAT 1 FIRST\r\n",
		"BDAT 1 LAST x\r\n",
		"BDAT 1LAST\r\n",
		"BDAT 1.0\r\n",
		"BDAT 1\r LAST\r\n",
		"BDAT 1\n\r\n",
		"BDAT\t1\r\n",
		"BDAT\2401\r\n",
		"BDAT:1\r\n",
		"BDAT@1\r\n",
		"BDAT[1\r\n",
		"BDAT{1\r\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct dialogue dialogue = {
			.group = {EHLO, SPAN("MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n"),
				span_of(lines[i])}};
		same_at_every_cut(&dialogue,
			EHLO_HEARD "C 1 MAIL FROM:<a@b>\nC 2 RCPT TO:<c@d>\n"
				   "< 250 2.1.0 Sender ok\\r\\n250 2.0.0 Ok\\r\\n\n"
				   "X 501\n< 501 5.5.4 Bad BDAT size\\r\\n\n");
	}
}

/* What hides behind a flawed BDAT line is a chunk's octets: they are not run either. */
static void test_item_09_long_chunk_line(void **state)
{
	struct dialogue dialogue = {.group = {EHLO}};
	struct buf line = {0};

	(void)state;
	buf_add_text(&line, "BDAT ");
	while (line.len < 600)
		buf_add_text(&line, " ");
	buf_add_text(&line, "6 LAST\r\nQUIT\r\n");
	dialogue.group[1] = buf_span(&line);
	same_at_every_cut(&dialogue, EHLO_HEARD "X 501\n< 501 5.5.4 Bad BDAT size\\r\\n\n");
	buf_clear(&line);
}

static void test_item_09_chunk_out_of_order(void **state)
{
	const struct dialogue dialogue = {
		.group = {SPAN("BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n"), EHLO,
			SPAN("BDAT 0 LAST\r\nBDAT 4\r\nDATA"
			     "MAIL FROM:<a@b>\r\nRCPT TO:<bad@d>\r\nBDAT 8 LAST\r\n\r\nQUIT\r\n"
			     "NOOP\r\n")}};
	static const char swallowed[] = "503 5.5.1 Bad sequence: this chunk was not expected\\r\\n";
	struct buf expected = {0};

	(void)state;
	buf_addf(&expected, "A 503\nA 250\n< %s250 2.0.0 Ok\\r\\n\n", swallowed);
	buf_add_text(&expected, "C 2 EHLO c\n< 250-mx.example\\r\\n250-PIPELINING\\r\\n"
				"250 SIZE 1000\\r\\n\n");
	buf_add_text(&expected,
		"A 503\nA 503\nC 5 MAIL FROM:<a@b>\nC 6 RCPT TO:<bad@d>\nA 503\nA 250\n");
	buf_addf(&expected, "< %s%s250 2.1.0 Sender ok\\r\\n554 5.7.1 Relay access denied\\r\\n",
		swallowed, swallowed);
	buf_addf(&expected, "%s250 2.0.0 Ok\\r\\n\n", swallowed);
	same_at_every_cut(&dialogue, buf_string(&expected));
	buf_clear(&expected);
}

static void test_item_09_data_and_chunks_mixed(void **state)
{
	const struct dialogue dialogue = {
		.group = {EHLO, SPAN("MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 1\r\nxDATA\r\n"
				     "RCPT TO:<c@d>\r\nMAIL FROM:<a@b>\r\nBDAT 1 LAST\r\ny")}};

	(void)state;
	same_at_every_cut(&dialogue,
		EHLO_HEARD "C 1 MAIL FROM:<a@b>\nC 2 RCPT TO:<c@d>\nC 3 BDAT 1\nB x\n"
			   "E 3 more 0\nA 503\nA 503\nA 503\nC 7 BDAT 1 LAST\nB y\nE 7 last 0\n"
			   "< 250 2.1.0 Sender ok\\r\\n250 2.0.0 Ok\\r\\n"
			   "250 2.0.0 1 octets received\\r\\n"
			   "503 5.5.1 Bad sequence: BDAT or RSET first\\r\\n"
			   "503 5.5.1 Bad sequence: BDAT or RSET first\\r\\n"
			   "503 5.5.1 Bad sequence: BDAT or RSET first\\r\\n"
			   "250 2.0.0 2 octets received\\r\\n\n");
}

/* The flaw of a chunk is known across its border, and the rest of the message is refused. */
static void test_item_09_flaw_across_chunks(void **state)
{
	const struct dialogue dialogue = {
		.group = {EHLO, SPAN("MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 2\r\na\rBDAT 2\r\nbc"
				     "BDAT 2 LAST\r\nde")}};

	(void)state;
	same_at_every_cut(&dialogue,
		EHLO_HEARD "C 1 MAIL FROM:<a@b>\nC 2 RCPT TO:<c@d>\nC 3 BDAT 2\nB a\\r\n"
			   "E 3 more 0\nC 4 BDAT 2\nF 1\nE 4 more 1\nA 503\n"
			   "< 250 2.1.0 Sender ok\\r\\n250 2.0.0 Ok\\r\\n"
			   "250 2.0.0 2 octets received\\r\\n"
			   "550 5.5.2 Bare CR or bare LF in the message\\r\\n"
			   "503 5.5.1 Bad sequence: this chunk was not expected\\r\\n\n");
}

#define TEN      "abcdefghij"
#define HUNDRED  TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN
#define LONG_498 HUNDRED HUNDRED HUNDRED HUNDRED TEN TEN TEN TEN TEN TEN TEN TEN TEN "abcdefgh"

/* The greeting's name is what the client believes, as long as it can do no harm. */
static void test_item_18_greeting_names(void **state)
{
	struct {
		const char *line;
		int code;
	} const cases[] = {
		{"EHLO my_host", 0},
		{"EHLO 192.0.2.1", 0},
		{"EHLO [192.0.2.1]", 0},
		{"HELO localhost", 0},
		{"EHLO \xc3\xa4.example", 0},
		{"EHLO " HUNDRED HUNDRED TEN TEN TEN TEN TEN "abcde", 0},
		{"EHLO " HUNDRED HUNDRED TEN TEN TEN TEN TEN "abcdef", 501},
		{"EHLO", 501},
		{"HELO", 501},
		{"EHLO a b", 501},
		{"EHLO a\tb", 501},
		{"EHLO <a", 501},
		{"EHLO a>b", 501},
		{"EHLO \"a\"", 501},
		{"EHLO a\\b", 501},
		{"EHLO a\x7f", 501},
		{"HELO \xc3", 501},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct dialogue dialogue = {0};
		struct play play;
		struct buf line = {0};
		bool refused;

		play_begin(&play, &dialogue);
		buf_addf(&line, "%s\r\n", cases[i].line);
		feed(&play, buf_span(&line));
		refused = strcmp(buf_string(&play.record), "A 501\n") == 0;
		if (refused != (cases[i].code == 501) ||
			(!refused && !strstr(play.record.at, "C 0 ")))
			fail_msg("%s: %s", cases[i].line, play.record.at);
		if (refused)
			assert_non_null(strstr(buf_string(&play.heard),
				cases[i].line[0] == 'E' ? "Syntax: EHLO name"
							: "Syntax: HELO name"));
		buf_clear(&line);
		play_end(&play);
	}
}

static void test_item_18_addresses_as_written(void **state)
{
	struct {
		const char *line;
		int code; /* 0: the owner is asked */
	} const cases[] = {
		{"MAIL FROM:<>", 0},
		{"MAIL FROM: <a@b>  ", 0},
		{"mail from:<a@b> smtputf8 body=8bitmime ret=hdrs envid=a+3Db size=12", 0},
		{"MAIL FROM:<\xc3\xa4@b> SMTPUTF8", 0},
		{"MAIL FROM:<a@\xc3\xa4.example> SMTPUTF8", 0},
		{"MAIL FROM:<\xc3\xa4@b>", 501},
		{"MAIL FROM:<a@b", 501},
		{"MAIL FROM:a@b", 501},
		{"MAIL FROM:<a@b>x", 501},
		{"MAIL FROM:<a@b>SIZE=1", 501},
		{"MAIL FROM", 501},
		{"MAIL", 501},
		{"MAIL TO:<a@b>", 501},
		{"MAIL FROM:<a@b> SIZE=", 501},
		{"MAIL FROM:<a@b> SIZE", 501},
		{"MAIL FROM:<a@b> SIZE=-1", 501},
		{"MAIL FROM:<a@b> SIZE=1k", 501},
		{"MAIL FROM:<a@b> SIZE=18446744073709551616", 501},
		{"MAIL FROM:<a@b> SIZE=1 SIZE=1", 501},
		{"MAIL FROM:<a@b> BODY=BINARYMIME", 501},
		{"MAIL FROM:<a@b> SMTPUTF8=1", 501},
		{"MAIL FROM:<a@b> RET=SOME", 501},
		{"MAIL FROM:<a@b> ENVID=a+3", 501},
		{"MAIL FROM:<a@b> ENVID=a+zz", 501},
		{"MAIL FROM:<a@b> ENVID=+aF+09", 0},
		{"MAIL FROM:<a@b> ENVID=+0/", 501},
		{"MAIL FROM:<a@b> ENVID=+/0", 501},
		{"MAIL FROM:<a@b> ENVID=+:0", 501},
		{"MAIL FROM:<a@b> ENVID=+G0", 501},
		{"MAIL FROM:<a@b> ENVID=+0g", 501},
		{"MAIL FROM:<a@b> ENVID", 501},
		{"MAIL FROM:<a@b> ENVID=" HUNDRED, 0},
		{"MAIL FROM:<a@b> ENVID=" HUNDRED "x", 501},
		{"MAIL FROM:<a@b> RET=FULL", 0},
		{"MAIL FROM:<a@b> BODY=7bit", 0},
		{"MAIL FROM:<a@b> SIZE=000000000000000000001", 501},
		{"MAIL FROM:<a@b> SIZE=00000000000000000001", 0},
		{"MAIL FROM:", 501},
		{"MAIL FROM:  ", 501},
		{"MAIL FROM:<a@b> =x", 501},
		{"MAIL FROM:<a@b> AUTH=<>", 555},
		{"MAIL FROM:<a@b> X-NEW=1", 555},
		{"MAIL FROM:<a@b> NOTIFY=NEVER", 555},
		{"MAIL FROM:<a@b> SIZE=999999999", 552},
		{"MAIL FROM:<a@b> SIZE=1000001", 552},
		{"MAIL FROM:<a@b> SIZE=1000000", 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct dialogue dialogue = {.rules = {.max_size = 1000000}};
		struct play play;
		struct buf line = {0};
		char expected[16];

		play_begin(&play, &dialogue);
		feed(&play, EHLO);
		buf_reset(&play.record);
		buf_addf(&line, "%s\r\n", cases[i].line);
		feed(&play, buf_span(&line));
		snprintf(expected, sizeof(expected), "A %d\n", cases[i].code);
		if (cases[i].code ? strcmp(buf_string(&play.record), expected) != 0
				  : !strstr(buf_string(&play.record), "C 1 "))
			fail_msg("%s: %s", cases[i].line, buf_string(&play.record));
		buf_clear(&line);
		play_end(&play);
	}
}

static void test_item_18_recipients(void **state)
{
	struct {
		const char *line;
		int code, utf8_code; /* without and with SMTPUTF8 at MAIL */
	} const cases[] = {
		{"RCPT TO:<c@d>", 0, 0},
		{"RCPT TO:<Postmaster>", 0, 0},
		{"RCPT TO: <@a,@b:c@d>", 0, 0},
		{"RCPT TO:<c@d> NOTIFY=success,Failure ORCPT=rfc822;c+2Bx@d", 0, 0},
		{"RCPT TO:<c@d> NOTIFY=NEVER", 0, 0},
		{"RCPT TO:<\xc3\xa4@d>", 501, 0},
		{"RCPT TO:<c@d> ORCPT=utf-8;\xc3\xa4@d", 501, 0},
		{"RCPT TO:<c@d> ORCPT=utf-8;\\x{E4}@d", 0, 0},
		{"RCPT TO:<>", 501, 501},
		{"RCPT TO:<c>", 501, 501},
		{"RCPT TO:c@d", 501, 501},
		{"RCPT FROM:<c@d>", 501, 501},
		{"RCPT TO:<c@d> NOTIFY=NEVER,DELAY", 501, 501},
		{"RCPT TO:<c@d> NOTIFY=SUCCESS,", 501, 501},
		{"RCPT TO:<c@d> NOTIFY=", 501, 501},
		{"RCPT TO:<c@d> NOTIFY", 501, 501},
		{"RCPT TO:<c@d> NOTIFY=DELAY NOTIFY=DELAY", 501, 501},
		{"RCPT TO:<c@d> ORCPT=a;b ORCPT=a;b", 501, 501},
		{"RCPT TO:<c@d> ORCPT=rfc822", 501, 501},
		{"RCPT TO:<c@d> ORCPT=;c@d", 501, 501},
		{"RCPT TO:<c@d> ORCPT=rfc822;", 501, 501},
		{"RCPT TO:<c@d> ORCPT=a;" LONG_498, 0, 0},
		{"RCPT TO:<c@d> ORCPT=a;" LONG_498 "x", 501, 501},
		{"RCPT TO:<c@d> SIZE=1", 555, 555},
		{"RCPT TO:<c@d> -X=1", 501, 501},
	};

	(void)state;
	for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
		const struct dialogue dialogue = {0};
		int code = i % 2 ? cases[i / 2].utf8_code : cases[i / 2].code;
		struct play play;
		struct buf line = {0};
		char expected[16];

		play_begin(&play, &dialogue);
		feed(&play, EHLO);
		feed(&play, i % 2 ? SPAN("MAIL FROM:<> SMTPUTF8\r\n") : SPAN("MAIL FROM:<>\r\n"));
		buf_reset(&play.record);
		buf_addf(&line, "%s\r\n", cases[i / 2].line);
		feed(&play, buf_span(&line));
		snprintf(expected, sizeof(expected), "A %d\n", code);
		if (code ? strcmp(buf_string(&play.record), expected) != 0
			 : !strstr(buf_string(&play.record), "C 2 "))
			fail_msg("%s: %s", cases[i / 2].line, buf_string(&play.record));
		buf_clear(&line);
		play_end(&play);
	}
}

static void test_item_19_other_protocols(void **state)
{
	static const char *const words[] = {"GET / HTTP/1.1", "POST /x HTTP/1.1",
		"CONNECT h:25 HTTP/1.1", "HEAD / HTTP/1.0", "PUT / HTTP/1.1", "get /", "GET",
		"DELETE / HTTP/1.1", "PRI * HTTP/2.0", "PROXY TCP4 10.1.2.3 10.1.2.4 40000 25",
		"PROXY"};

	(void)state;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		struct dialogue first = {0}, later = {.group = {EHLO}};
		struct buf group = {0};

		buf_addf(&group, "%s\r\nHost: mx\r\n\r\nMAIL FROM:<a@b>\r\n", words[i]);
		first.group[0] = later.group[1] = buf_span(&group);
		same_at_every_cut(&first, "X 554\n< 554 5.5.0 This is an SMTP port\\r\\n\n");
		same_at_every_cut(
			&later, EHLO_HEARD "X 554\n< 554 5.5.0 This is an SMTP port\\r\\n\n");
		buf_clear(&group);
	}
}

/* Its signature, of which the first two lines are empty (hostile-input 16). */
static void test_item_16_binary_proxy_header(void **state)
{
	const struct dialogue dialogue = {
		.group = {BYTES("\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c............EHLO x\r\n")}};

	(void)state;
	same_at_every_cut(&dialogue, "A 500\nA 500\nX 554\n"
				     "< 500 5.5.2 Command not recognised\\r\\n"
				     "500 5.5.2 Command not recognised\\r\\n"
				     "554 5.5.0 This is an SMTP port\\r\\n\n");
}

static void test_item_19_tls_client_hello(void **state)
{
	const struct dialogue dialogue = {
		.group = {BYTES("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\nQUIT\r\n")}};

	(void)state;
	same_at_every_cut(&dialogue, "X 554\n< 554 5.5.0 This is an SMTP port\\r\\n\n");
}

/* What begins alike is another command that nobody knows, not another protocol. */
static void test_item_19_not_quite(void **state)
{
	static const char *const words[] = {"\x16\x02", "\x16", "GETS / HTTP/1.1", "BDATA \x0d 5",
		"BDATa\x0d", "BDAT5\x0d 5", "BDAT-\x0d"};

	(void)state;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		struct dialogue dialogue = {0};
		struct buf group = {0};

		buf_addf(&group, "%s\r\nNOOP\r\n", words[i]);
		dialogue.group[0] = buf_span(&group);
		same_at_every_cut(
			&dialogue, i < 3 ? "A 500\nA 250\n< 500 5.5.2 Command not recognised\\r\\n"
					   "250 2.0.0 Ok\\r\\n\n"
					 : "A 500\nA 250\n< 500 5.5.2 Bare CR, bare LF or NUL in a "
					   "command\\r\\n"
					   "250 2.0.0 Ok\\r\\n\n");
		buf_clear(&group);
	}
}

static void test_item_19_long_request(void **state)
{
	struct dialogue dialogue = {0};
	struct buf group = {0};

	(void)state;
	buf_add_text(&group, "GET /");
	while (group.len < 3000)
		buf_add_text(&group, "x");
	buf_add_text(&group, " HTTP/1.1\r\nQUIT\r\n");
	dialogue.group[0] = buf_span(&group);
	same_at_every_cut(&dialogue, "X 554\n< 554 5.5.0 This is an SMTP port\\r\\n\n");
	buf_clear(&group);
}

/* A state and the code each verb gets in it; 0: the owner is asked. */
static void test_item_21_order(void **state)
{
	static const char *const before[] = {
		"", "EHLO c\r\n", "MAIL FROM:<a@b>\r\n", "RCPT TO:<c@d>\r\n", "BDAT 1\r\nx"};
	struct {
		const char *line;
		int code[5];
	} const cases[] = {
		{"EHLO c\r\n", {0, 0, 0, 0, 0}},
		{"HELO c\r\n", {0, 0, 0, 0, 0}},
		{"EHLO\r\n", {501, 501, 501, 501, 501}},
		{"EHLO a b\r\n", {501, 501, 501, 501, 501}},
		{"MAIL FROM:<a@b>\r\n", {503, 0, 503, 503, 503}},
		{"RCPT TO:<c@d>\r\n", {503, 503, 0, 0, 503}},
		{"DATA\r\n", {503, 503, 503, 0, 503}},
		{"DATA x\r\n", {503, 503, 503, 501, 503}},
		{"BDAT 0 LAST\r\n", {503, 503, 503, 0, 0}},
		{"RSET\r\n", {0, 0, 0, 0, 0}},
		{"RSET x\r\n", {501, 501, 501, 501, 501}},
		{"NOOP\r\n", {250, 250, 250, 250, 250}},
		{"NOOP x y\r\n", {250, 250, 250, 250, 250}},
		{"noop  \r\n", {250, 250, 250, 250, 250}},
		{"QUIT\r\n", {0, 0, 0, 0, 0}},
		{"QUIT x\r\n", {501, 501, 501, 501, 501}},
		{"VRFY c\r\n", {252, 252, 252, 252, 252}},
		{"VRFY\r\n", {501, 501, 501, 501, 501}},
		{"HELP\r\n", {214, 214, 214, 214, 214}},
		{"HELP MAIL\r\n", {214, 214, 214, 214, 214}},
		{"EXPN c\r\n", {502, 502, 502, 502, 502}},
		{"ETRN c\r\n", {502, 502, 502, 502, 502}},
		{"TURN\r\n", {502, 502, 502, 502, 502}},
		{"STARTTLS\r\n", {500, 500, 500, 500, 500}},
		{"XYZZY\r\n", {500, 500, 500, 500, 500}},
		{"\r\n", {500, 500, 500, 500, 500}},
		{" NOOP\r\n", {500, 500, 500, 500, 500}},
		{"NOOPE\r\n", {500, 500, 500, 500, 500}},
		{"DATA\t\r\n", {500, 500, 500, 500, 500}},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (int at = 0; at < 5; at++) {
			const struct dialogue dialogue = {0};
			struct play play;
			char expected[16];

			play_begin(&play, &dialogue);
			for (int j = 1; j <= at; j++)
				feed(&play, span_of(before[j]));
			assert_false(play.broken);
			note_body(&play);
			buf_reset(&play.record);
			feed(&play, span_of(cases[i].line));
			snprintf(expected, sizeof(expected), "A %d\n", cases[i].code[at]);
			if (cases[i].code[at] ? strcmp(buf_string(&play.record), expected) != 0
					      : buf_string(&play.record)[0] != 'C')
				fail_msg("%s in state %d: %s", cases[i].line, at,
					buf_string(&play.record));
			play_end(&play);
		}
	}
}

/* EHLO in a transaction ends it; the owner is told and the next DATA has nobody to go to. */
static void test_item_21_ehlo_resets(void **state)
{
	const struct dialogue dialogue = {
		.group = {EHLO, SPAN("MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nEHLO d\r\n"),
			SPAN("RCPT TO:<c@d>\r\nMAIL FROM:<a@b>\r\n")}};

	(void)state;
	same_at_every_cut(&dialogue,
		EHLO_HEARD "C 1 MAIL FROM:<a@b>\nC 2 RCPT TO:<c@d>\nC 3 EHLO d\n"
			   "< 250 2.1.0 Sender ok\\r\\n250 2.0.0 Ok\\r\\n250-mx.example\\r\\n"
			   "250-PIPELINING\\r\\n250 SIZE 1000\\r\\n\n"
			   "A 503\nC 5 MAIL FROM:<a@b>\n"
			   "< 503 5.5.1 Bad sequence: MAIL first\\r\\n250 2.1.0 Sender ok\\r\\n\n");
}

/* What is answered here still waits for its turn. */
static void test_item_22_own_replies_in_order(void **state)
{
	struct dialogue dialogue = {
		.group = {
			EHLO, SPAN("MAIL FROM:<a@b>\r\nNOOP\r\nHELP\r\nRCPT TO:<c@d>\r\nVRFY x\r\n"
				   "FOO\r\n")}};

	(void)state;
	for (int when = NOW; when <= LATER_BACKWARDS; when++) {
		dialogue.when = (enum when)when;
		same_at_every_cut(&dialogue, EHLO_HEARD
			"C 1 MAIL FROM:<a@b>\nA 250\nA 214\nC 4 RCPT TO:<c@d>\nA 252\nA 500\n"
			"< 250 2.1.0 Sender ok\\r\\n250 2.0.0 Ok\\r\\n"
			"214 2.0.0 Commands: EHLO HELO MAIL RCPT DATA BDAT RSET NOOP QUIT VRFY "
			"HELP\\r\\n250 2.0.0 Ok\\r\\n"
			"252 2.0.0 Send some mail, a server will try to deliver it\\r\\n"
			"500 5.5.2 Command not recognised\\r\\n\n");
	}
}

/* A flood whose replies are not taken: each costs its reply, and is seen by the owner. */
static void test_item_22_flood_is_seen(void **state)
{
	const struct dialogue dialogue = {.group = {EHLO}};
	struct play play;
	unsigned answered = 0;

	(void)state;
	play_begin(&play, &dialogue);
	feed(&play, EHLO);
	buf_reset(&play.record);
	for (int i = 0; i < 500; i++)
		feed(&play, SPAN("NOOP\r\nHELP\r\n"));
	for (size_t i = 0; i < play.record.len; i++)
		answered += play.record.at[i] == 'A';
	assert_int_equal(answered, 1000);
	assert_int_equal(smtp_server_pending(play.server), 0);
	play_end(&play);
}

static void test_item_25_size(void **state)
{
	struct dialogue dialogue = {.rules = {.max_size = 5},
		.group = {EHLO,
			SPAN("MAIL FROM:<a@b> SIZE=6\r\nMAIL FROM:<a@b> SIZE=5\r\n"
			     "RCPT TO:<c@d>\r\nDATA\r\n"),
			SPAN("abc\r\n.\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n"),
			SPAN("abcd\r\n\r\n.\r\nNOOP\r\n")}};

	(void)state;
	same_at_every_cut(&dialogue, EHLO_HEARD
		"A 552\nC 2 MAIL FROM:<a@b> SIZE=5\nC 3 RCPT TO:<c@d>\nC 4 DATA\n"
		"< 552 5.3.4 Message larger than 5 bytes\\r\\n250 2.1.0 Sender ok\\r\\n"
		"250 2.0.0 Ok\\r\\n354 End data with <CR><LF>.<CR><LF>\\r\\n\n"
		"B abc\\r\\n\nE 5 last 0\nC 6 MAIL FROM:<a@b>\nC 7 RCPT TO:<c@d>\nC 8 DATA\n"
		"< 250 2.0.0 5 octets received\\r\\n250 2.1.0 Sender ok\\r\\n250 2.0.0 Ok\\r\\n"
		"354 End data with <CR><LF>.<CR><LF>\\r\\n\n"
		"B abcd\nF 4\nE 9 last 4\nA 250\n"
		"< 550 5.5.2 Bare CR or bare LF in the message\\r\\n250 2.0.0 Ok\\r\\n\n");
}

/* Words of the language in any order, right, wrong and torn: the cuts never matter. */
static void test_random_dialogues(void **state)
{
	static const struct span words[] = {
		BYTES("MAIL FROM:<a@b>\r\n"),
		BYTES("MAIL FROM:<bad@b>\r\n"),
		BYTES("MAIL FROM:<a@b> SIZE=9 BODY=7BIT\r\n"),
		BYTES("RCPT TO:<c@d>\r\n"),
		BYTES("RCPT TO:<c@d>\r\n"),
		BYTES("RCPT TO:<bad@d>\r\n"),
		BYTES("BDAT 0\r\n"),
		BYTES("BDAT 7\r\nQUIT\r\n\r"),
		BYTES("BDAT 3\r\n\nab"),
		BYTES("BDAT 4 LAST\r\nabcd"),
		BYTES("BDAT 0 LAST\r\n"),
		BYTES("RSET\r\n"),
		BYTES("NOOP\r\n"),
		BYTES("VRFY x\r\n"),
		BYTES("\r\n"),
		BYTES("\r"),
		BYTES("\n"),
		BYTES("\0"),
		BYTES("x"),
		BYTES("BDAT 1\r"),
		BYTES("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
		      "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
		      "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"),
	};
	struct rng rng;

	(void)state;
	rng_seed(&rng, 22);
	for (int round = 0; round < 600; round++) {
		struct dialogue dialogue = {.group = {EHLO},
			.when = (enum when)(round % 3),
			.rules = {.pass_bare_newlines = round % 2, .max_size = 10}};
		struct buf group[4] = {{0}};
		char *whole;

		for (int i = 0; i < 4; i++) {
			for (uint64_t count = 1 + rng_below(&rng, 12); count > 0; count--)
				buf_add_span(&group[i],
					words[rng_below(&rng, sizeof(words) / sizeof(words[0]))]);
			dialogue.group[i + 1] = buf_span(&group[i]);
		}
		whole = run(&dialogue, WHOLE, 0);
		same_at(&dialogue, EACH, 0, whole);
		for (size_t seed = 1; seed <= 5; seed++) {
			same_at(&dialogue, RANDOM, seed, whole);
			same_at(&dialogue, AT_ONE, rng_below(&rng, 300), whole);
		}
		free(whole);
		for (int i = 0; i < 4; i++)
			buf_clear(&group[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_item_01_end_of_data_forms),
		cmocka_unit_test(test_item_01_end_of_data_forms_passed),
		cmocka_unit_test(test_item_01_end_of_data_forms_in_chunks),
		cmocka_unit_test(test_item_02_bare_octets_in_a_command),
		cmocka_unit_test(test_item_03_nul_in_the_body),
		cmocka_unit_test(test_item_04_long_lines),
		cmocka_unit_test(test_item_04_the_tail_is_never_run),
		cmocka_unit_test(test_item_04_memory_is_bounded),
		cmocka_unit_test(test_item_06_dots_at_every_cut),
		cmocka_unit_test(test_item_07_early_input),
		cmocka_unit_test(test_item_07_before_the_reply_has_left),
		cmocka_unit_test(test_item_08_data_without_recipients),
		cmocka_unit_test(test_item_09_bad_chunk_sizes),
		cmocka_unit_test(test_item_09_long_chunk_line),
		cmocka_unit_test(test_item_09_chunk_out_of_order),
		cmocka_unit_test(test_item_09_data_and_chunks_mixed),
		cmocka_unit_test(test_item_09_flaw_across_chunks),
		cmocka_unit_test(test_item_18_greeting_names),
		cmocka_unit_test(test_item_18_addresses_as_written),
		cmocka_unit_test(test_item_18_recipients),
		cmocka_unit_test(test_item_19_other_protocols),
		cmocka_unit_test(test_item_16_binary_proxy_header),
		cmocka_unit_test(test_item_19_tls_client_hello),
		cmocka_unit_test(test_item_19_not_quite),
		cmocka_unit_test(test_item_19_long_request),
		cmocka_unit_test(test_item_21_order),
		cmocka_unit_test(test_item_21_ehlo_resets),
		cmocka_unit_test(test_item_22_own_replies_in_order),
		cmocka_unit_test(test_item_22_flood_is_seen),
		cmocka_unit_test(test_item_25_size),
		cmocka_unit_test(test_random_dialogues),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
