/*
 * What one image of the master tells the next over an exec: in a memfd whose number is in the
 * environment (MASTER_HANDOVER).  The first line is JSON, behind it stand the texts of the
 * running config and of the candidate, as they were read.
 *
 * Descriptors keep their numbers; the file says which is which.  The preflight gets the same
 * file, but of the descriptors only the board's.
 */
#ifndef BIN_HANDOVER_H
#define BIN_HANDOVER_H

#include "bin/master.h"

/* A memfd, rewound, that an exec closes; -1 and words. */
int handover_write(
	const struct master *master, const struct config *candidate, struct err_text *text);

struct handover {
	char *path;                    /* of the config */
	bool force;                    /* a pool may be emptied */
	struct buf running, candidate; /* config texts; running may be empty */
};

/*
 * Read the file into a new master: board_fd, wakes, row, sockets, generations (without their
 * configs), last_number, binary.  The descriptor is closed.  ERR_SYNTAX: an image that writes it
 * otherwise than we read it.
 */
enum err handover_read(
	int fd, struct master *master, struct handover *handover_r, struct err_text *text) MUST_USE;
void handover_clear(struct handover *handover);

/* Let the descriptors that are handed over survive an exec, or (after one that failed) not. */
void handover_keep_open(const struct master *master, int fd, bool open);

/* Map the board behind this descriptor: shared, or a private copy to try things on. */
enum err board_map(int fd, bool shared, struct board **board_r, struct err_text *text) MUST_USE;

#endif
