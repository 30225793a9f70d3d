/*
 * The scalar types: how each is read, and how a person is told what is wanted.
 */
#ifndef CONF_TYPE_H
#define CONF_TYPE_H

#include "conf/build.h"

typedef bool conf_read_type(struct conf_statement *statement, const struct conf_token *token,
	const struct conf_directive *row, void *to);

/* type_number.c */
conf_read_type conf_read_int, conf_read_percent, conf_read_duration, conf_read_size, conf_read_rate;
/* A number as it would be written: "10min", "64KiB". */
void conf_number_text(enum conf_type type, int64_t value, struct buf *out);
/* type_text.c */
conf_read_type conf_read_flag, conf_read_enum, conf_read_name, conf_read_word, conf_read_string,
	conf_read_path, conf_read_ref;
/* type_net.c */
conf_read_type conf_read_host, conf_read_addr, conf_read_addr_port, conf_read_endpoint,
	conf_read_network, conf_read_domain;

/* What a message calls the setting: a value behind a block's name is the block's. */
const char *conf_subject(const struct conf_statement *statement, const struct conf_directive *row);
/* Add "did you mean" if one of the row's special words is near. */
void conf_hint_word(struct conf_statement *statement, const struct conf_token *token,
	const struct conf_directive *row);
/* Report that a token is not what its row wants, with "expected ..."; returns false. */
bool conf_not_wanted(struct conf_statement *statement, const struct conf_token *token,
	const struct conf_directive *row);

#endif
