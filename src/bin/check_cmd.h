/*
 * `mailweir check` and `mailweir reference`: what a config means, and what could stand in one.
 */
#ifndef BIN_CHECK_CMD_H
#define BIN_CHECK_CMD_H

#include "bin/command.h"

command_fn check_command;
command_fn reference_command;

#endif
