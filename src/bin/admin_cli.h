/*
 * Commands that ask or tell a running Mailweir through its admin address.
 */
#ifndef BIN_ADMIN_CLI_H
#define BIN_ADMIN_CLI_H

#include "bin/command.h"

command_fn status_command; /* status_cmd.c */
command_fn drain_command;  /* admin_cli.c */
command_fn undrain_command;
command_fn weight_command;
command_fn reload_command;

#endif
