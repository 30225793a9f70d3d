/*
 * The master's door.
 */
#ifndef BIN_MASTER_RUN_H
#define BIN_MASTER_RUN_H

#include "bin/config.h"

struct master_setup {
	struct config *config; /* without errors; taken over; its path is read at a reload.  NULL:
				  we come from an exec, and `handover` says all */
	int handover;          /* the descriptor that MASTER_HANDOVER named */
	const char *binary;    /* absolute; what a reload runs (a handover knows it already) */
	char **argv;           /* with these arguments; NULL-terminated */
};

/* Runs until told to stop; an exit status of sysexits.h. */
int master_run(const struct master_setup *setup);

/* Set in the environment of the image that a reload executes. */
#define MASTER_HANDOVER "MAILWEIR_HANDOVER"

#endif
