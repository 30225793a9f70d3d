/*
 * What a report keeps.
 */
#ifndef CONF_DIAGNOSTIC_H
#define CONF_DIAGNOSTIC_H

#include "conf/report.h"

/* A hint (words below the caret) or a note (a second place). */
struct conf_remark {
	struct conf_remark *next;
	bool note;
	struct conf_place place;
	const char *words;
};

struct conf_diagnostic {
	struct conf_diagnostic *next;
	bool warning;
	struct conf_place place;
	const char *words;
	struct conf_remark *remarks; /* in the order they were added */
};

#endif
