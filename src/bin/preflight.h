/*
 * The preflight: the installed binary, in a process of its own, tries what a reload will make of
 * it.  See master_reload.c.
 */
#ifndef BIN_PREFLIGHT_H
#define BIN_PREFLIGHT_H

/* `fd` is the handover.  Says on standard error what is wrong, for whoever asked for the reload;
 * EX_OK, EX_CONFIG or EX_UNAVAILABLE. */
int preflight_run(int fd);

#endif
