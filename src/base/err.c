/*
 * Expected failures: their names and the words beside them.
 */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/testing.h"

enum err err_set(struct err_text *text, enum err err, const char *format, ...)
{
	va_list args;

	if (text) {
		va_start(args, format);
		vsnprintf(text->text, sizeof(text->text), format, args);
		va_end(args);
	}
	return err;
}

const char *err_name(enum err err)
{
	switch (err) {
	case ERR_OK:
		return "ok";
	case ERR_AGAIN:
		return "again";
	case ERR_DOWN:
		return "down";
	case ERR_FULL:
		return "full";
	case ERR_SYNTAX:
		return "syntax";
	case ERR_RANGE:
		return "out-of-range";
	case ERR_MISSING:
		return "missing";
	case ERR_REFUSED:
		return "refused";
	case ERR_BROKEN:
		return "broken";
	case ERR_TIMEOUT:
		return "time-out";
	}
	return "unknown";
}

noreturn void die(const char *format, ...)
{
	va_list args;

	DIED();
	fputs("mailweir: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	abort();
}
