/*
 * The one layout of all lists in value.h, while they grow.
 */
#ifndef CONF_LIST_H
#define CONF_LIST_H

#include "conf/build.h"

struct conf_list {
	void *at;
	size_t count;
	struct conf_place *places;
	uint64_t words;
	size_t room;
};

_Static_assert(sizeof(struct conf_list) == sizeof(struct conf_networks), "lists have one layout");

/* Room for `more` items, which then don't move until the next call. */
void conf_list_reserve(struct arena *arena, struct conf_list *list, size_t item_size, size_t more);
/* Read one item behind the others; there is room.  False after it has reported. */
bool conf_list_add(
	struct conf_statement *statement, const struct conf_token *token, struct conf_list *list);
/* Add the entries of file:PATH. */
bool conf_list_add_file(
	struct conf_statement *statement, const struct conf_token *token, struct conf_list *list);

#endif
