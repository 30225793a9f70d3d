/*
 * The addresses of a server, as control has looked them up.
 */
#include "board/board.h"

#include <string.h>

#include "board/layout.h"

struct address_list {
	uint64_t count;
	struct addr addr[BOARD_ADDRESSES];
};

#define LIST_WORDS (sizeof(struct address_list) / sizeof(uint64_t))
_Static_assert(
	sizeof(struct address_list) == sizeof(((struct board_column_addresses *)0)->list.at[0]),
	"the list fills a copy of its twin");

void board_addresses(struct board *board, int server, const struct addr *addr, unsigned count)
{
	struct address_list list = {0};
	uint64_t words[LIST_WORDS];

	board_column_at(board, server, BOARD_SERVER);
	if (count > BOARD_ADDRESSES)
		count = BOARD_ADDRESSES;
	list.count = count;
	if (count > 0)
		memcpy(list.addr, addr, count * sizeof(*addr));
	memcpy(words, &list, sizeof(list));
	twin_write(&board->addresses[server].list.turn, board->addresses[server].list.at[0],
		LIST_WORDS, words);
}

unsigned board_addresses_of(
	const struct board *board, int server, struct addr addr_r[BOARD_ADDRESSES])
{
	struct address_list list;
	uint64_t words[LIST_WORDS], turn;

	board_column_at(board, server, BOARD_SERVER);
	if (!twin_read(&board->addresses[server].list.turn, board->addresses[server].list.at[0],
		    LIST_WORDS, words, &turn))
		return 0;
	memcpy(&list, words, sizeof(list));
	assert(list.count <= BOARD_ADDRESSES);
	memcpy(addr_r, list.addr, list.count * sizeof(list.addr[0]));
	return (unsigned)list.count;
}
