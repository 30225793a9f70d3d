/*
 * Wall time as text.  The calendar is computed here: libc's calls keep a time zone's state and a
 * static result, and logs are UTC anyway.
 */
#include "base/when.h"

#include <stdio.h>

/* The years that RFC 3339 can write; moments beyond are shown as the nearest it can. */
#define FIRST_MOMENT (-719528 * DAY)     /* 0000-01-01T00:00:00Z */
#define LAST_MOMENT  (2932897 * DAY - 1) /* 9999-12-31T23:59:59.999999Z */

struct date {
	unsigned year, month, day;
};

/* The proleptic Gregorian date of a day counted from 1970-01-01.  Counted from the first of
 * March the leap day is a year's last, and the months' lengths follow (153 m + 2) / 5. */
static struct date date_of(int64_t day)
{
	unsigned shifted = (unsigned)(day + 719468 + 146097); /* from 1 March of the year -400 */
	unsigned era = shifted / 146097;
	unsigned of_era = shifted % 146097;
	unsigned year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	unsigned of_year = of_era - (365 * year + year / 4 - year / 100);
	unsigned month = (5 * of_year + 2) / 153;
	struct date date;

	date.day = of_year - (153 * month + 2) / 5 + 1;
	date.month = month < 10 ? month + 3 : month - 9;
	date.year = era * 400 + year - 400 + (date.month <= 2);
	return date;
}

void when_text(int64_t wall, char text_r[WHEN_TEXT])
{
	int64_t day, rest;
	unsigned msec;
	struct date date;

	if (wall < FIRST_MOMENT)
		wall = FIRST_MOMENT;
	if (wall > LAST_MOMENT)
		wall = LAST_MOMENT;
	day = wall / DAY;
	rest = wall % DAY;
	if (rest < 0) {
		rest += DAY;
		day--;
	}
	date = date_of(day);
	msec = (unsigned)(rest / MSEC);
	/* The remainders by 10000 and 100 change nothing but show the compiler that it fits. */
	snprintf(text_r, WHEN_TEXT, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ", date.year % 10000,
		date.month % 100, date.day % 100, msec / 3600000 % 24, msec / 60000 % 60,
		msec / 1000 % 60, msec % 1000);
}
