/*
 * The commands of the `mailweir` program: one function each, listed once in main.c.
 *
 *     mailweir COMMAND [-c FILE] [--json] [ARGUMENT ...]
 *
 * Each reads its own options with getopt_long(); argv[0] is the command's name.  Options that
 * stand before the command are moved behind it, so "mailweir -c FILE status" works too.
 */
#ifndef BIN_COMMAND_H
#define BIN_COMMAND_H

#define COMMAND_CONFIG "/etc/mailweir/mailweir.conf" /* without -c */

/* Returns an exit status of sysexits.h. */
typedef int command_fn(int argc, char **argv);

command_fn run_command;     /* run.c */
command_fn version_command; /* main.c */

#define MAILWEIR_VERSION "0.1.0"

#endif
