/*
 * A config as it was understood: every value of every block, as text, walked by the vocabulary's
 * own tables.
 */
#ifndef FUZZ_DUMP_H
#define FUZZ_DUMP_H

#include "conf/conf.h"

/* Complains of a value that its row doesn't allow. */
void dump_conf(const struct conf_vocabulary *vocabulary, const struct conf *conf, struct buf *into);

#endif
