/*
 * The settings of health: `check`, `outliers` and `slow-start`, in a pool.
 */
#ifndef HEALTH_HEALTH_CONF_H
#define HEALTH_HEALTH_CONF_H

#include "base/when.h"
#include "conf/conf.h"

enum health_script { HEALTH_SMTP, HEALTH_TCP, HEALTH_NONE };

struct health_check_settings {
	enum health_script script;
	const char *recipient;           /* RCPT for this address too; NULL: no */
	int64_t interval, fast_interval; /* between checks; after a failure or a bad sign */
	int64_t timeout;
	int64_t rise, fall;
};

struct health_outlier_settings {
	bool enforce;     /* no: decided and logged, nothing changed */
	int64_t failures; /* at least so many in the window */
	int64_t over;     /* millionths of all attempts in the window */
	int64_t window;
	int64_t eject_for; /* doubled at each ejection in a row, to at most EJECT_MAX */
};

struct health_pool_settings {
	int64_t slow_start;
};

#define HEALTH_EJECT_MAX (10 * MINUTE)

extern const struct conf_section health_pool_section;    /* in "pool": opens the other two */
extern const struct conf_section health_check_section;   /* "pool.check" */
extern const struct conf_section health_outlier_section; /* "pool.outliers" */

#endif
