/*
 * The hooks of a testing build; empty in any other.
 */
#include "base/testing.h"

#ifdef MAILWEIR_TESTING

#include <stddef.h>

struct testing testing; /* the one mutable global: tools/check-globals sees builds without it */

void testing_kill_point(const char *where)
{
	if (testing.kill_point)
		testing.kill_point(where);
}

void testing_died(void)
{
	if (testing.died)
		testing.died();
}

#endif
