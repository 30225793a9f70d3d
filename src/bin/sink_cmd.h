/*
 * `mailweir sink`, and the sink as a process: the demo forks some of its own.
 */
#ifndef BIN_SINK_CMD_H
#define BIN_SINK_CMD_H

#include "sink/sink.h"

/* argv[0] is the command's name.  Returns an exit status (sysexits.h). */
int sink_command(int argc, char **argv);

struct sink_run {
	struct sink_setup setup; /* listen_first, listen_count are set from: */
	const int *listeners;    /* bound and listening */
	int listener_count;
	struct span faults;      /* lines, see sink/fault.h */
	const char *faults_file; /* more lines, read again at SIGHUP; NULL: none */
	bool count;              /* print the totals at the end and at SIGUSR1 */
	int64_t run_for;         /* NEVER: until SIGINT or SIGTERM */
};
/* To be called before anybody can know of us: from then on signals wait for sink_run(). */
void sink_signals_block(void);
/* Be that sink until told to end. */
int sink_run(const struct sink_run *run);

#endif
