/*
 * The listening sockets, kept by the master over all generations.
 */
#include "bin/socket_set.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sys/real.h"

static bool is_bound(struct socket_set *set, const struct addr *addr)
{
	bool found = false;
	for (unsigned i = 0; i < set->count; i++) {
		if (addr_eq(&set->at[i].wanted, addr)) {
			set->at[i].retire_at = NEVER;
			found = true;
		}
	}
	return found;
}

static bool number_taken(const struct socket_set *set, unsigned number)
{
	for (unsigned i = 0; i < set->count; i++) {
		if (set->at[i].number == number)
			return true;
	}
	return false;
}

static unsigned number_free(const struct socket_set *set)
{
	unsigned number = 0;
	while (number_taken(set, number))
		number++;
	return number;
}

static bool shares_port(const struct socket_set *set, const struct addr *addr)
{
	for (unsigned i = 0; i < set->count; i++) {
		if (set->at[i].wanted.family != ADDR_UNIX && set->at[i].port == addr->port)
			return true;
	}
	return false;
}

/*
 * SO_REUSEPORT would let us share a port with another instance of ours without a word, and each
 * would get half of the clients.  So the first one is bound without it, to see; not where a
 * socket of our own has the port (0.0.0.0:25 beside 10.0.0.1:25), which would refuse us too.
 */
enum err socket_set_try(
	const struct socket_set *set, const struct addr *addr, struct err_text *text)
{
	for (unsigned i = 0; i < set->count; i++) {
		if (addr_eq(&set->at[i].wanted, addr))
			return ERR_OK;
	}
	if (addr->family == ADDR_UNIX || shares_port(set, addr))
		return ERR_OK;
	int fd = sys_real_listen(addr, false, NULL, text);
	if (fd < 0)
		return ERR_FULL;
	close(fd);
	return ERR_OK;
}

struct socket_bound *socket_set_add(struct socket_set *set, const struct socket_bound *bound)
{
	set->at = mem_grow(set->at, set->count + 1, sizeof(*set->at));
	set->at[set->count] = *bound;
	return &set->at[set->count++];
}

/* Half a group is no group: nobody has listened on it yet. */
static void forget(struct socket_set *set, const struct addr *addr)
{
	unsigned kept = 0;
	for (unsigned i = 0; i < set->count; i++) {
		if (addr_eq(&set->at[i].wanted, addr))
			close(set->at[i].fd);
		else
			set->at[kept++] = set->at[i];
	}
	set->count = kept;
}

enum err socket_set_bind(struct socket_set *set, const struct addr *addr, unsigned lanes,
	bool admin, struct err_text *text)
{
	struct addr at = *addr;
	if (is_bound(set, addr))
		return ERR_OK;
	enum err err = socket_set_try(set, addr, text);
	if (err)
		return err;
	if (addr->family == ADDR_UNIX)
		lanes = 1;
	for (unsigned lane = 0; lane < lanes; lane++) {
		/* At port 0 the kernel chooses for the first, the others join it. */
		int fd = sys_real_listen(&at, !admin, &at.port, text);
		if (fd < 0) {
			forget(set, addr);
			return ERR_FULL;
		}
		socket_set_add(set, &(struct socket_bound){
					    .wanted = *addr,
					    .port = at.port,
					    .fd = fd,
					    .lane = lane,
					    .lanes = lanes,
					    .number = number_free(set),
					    .admin = admin,
					    .retire_at = NEVER,
				    });
	}
	return ERR_OK;
}

static void stop_listening(struct socket_bound *bound)
{
	/* Not close() alone: draining workers have copies, and a client would be connected and
	 * never answered. */
	shutdown(bound->fd, SHUT_RDWR);
	close(bound->fd);
	if (bound->wanted.family == ADDR_UNIX)
		unlink(bound->wanted.path);
}

void socket_set_retire(struct socket_set *set, int64_t now)
{
	unsigned kept = 0;
	for (unsigned i = 0; i < set->count; i++) {
		if (set->at[i].retire_at <= now)
			stop_listening(&set->at[i]);
		else
			set->at[kept++] = set->at[i];
	}
	set->count = kept;
}

void socket_set_clear(struct socket_set *set)
{
	for (unsigned i = 0; i < set->count; i++)
		close(set->at[i].fd);
	free(set->at);
	*set = (struct socket_set){0};
}
