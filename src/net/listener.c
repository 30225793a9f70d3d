/*
 * Listening: takes waiting connections in batches.
 *
 * Finding out that no more wait costs a system call, so a batch is one connection when they come
 * singly and doubles while turn after turn finds more.  When descriptors or memory run out, the
 * level-triggered socket would wake us at once and for ever: it isn't polled for a while, and the
 * connections wait in the kernel.
 */
#include <errno.h>
#include <stdlib.h>

#include "net/private.h"

#define BACK_OFF (100 * MSEC)
enum { BATCH_MAX = 64 };

struct net_listener {
	struct net_polled polled;
	struct net_loop *loop;
	struct sys_sock *sock; /* NULL while backing off */
	int index;
	net_accept_fn *accepted;
	void *arg;
	unsigned batch;
	uint64_t ready_in; /* the last turn in which connections waited */
	struct net_timer again;
};

static void listener_event(struct net_polled *polled, unsigned ready)
{
	struct net_listener *listener = (struct net_listener *)polled;
	bool still = listener->ready_in + 1 == listener->loop->turn;
	(void)ready;
	listener->ready_in = listener->loop->turn;
	listener->batch = still ? listener->batch * 2 : 1;
	if (listener->batch > BATCH_MAX)
		listener->batch = BATCH_MAX;
	net_queue_visit(listener->loop, polled);
}

static void back_off(struct net_listener *listener)
{
	sys_close(&listener->sock, false);
	net_timer_set(listener->loop, &listener->again, net_now(listener->loop) + BACK_OFF);
}

static void poll_again(void *arg)
{
	struct net_listener *listener = arg;
	listener->sock = sys_listener(net_sys(listener->loop), listener->index, &listener->polled);
}

/* accept(2) also passes on what befell the one connection it was about to give.  Anything else
 * might come again at once, so it costs a pause. */
static bool is_about_one_connection(int err)
{
	switch (err) {
	case ECONNABORTED:
	case EPROTO:
	case ENETDOWN:
	case ENETUNREACH:
	case EHOSTDOWN:
	case EHOSTUNREACH:
	case ENONET:
		return true;
	default:
		return false;
	}
}

static void listener_visit(struct net_polled *polled)
{
	struct net_listener *listener = (struct net_listener *)polled;
	for (unsigned i = 0; i < listener->batch && !polled->dead; i++) {
		struct sys_sock *sock = NULL;
		struct addr peer, local;
		int err = 0;
		switch (sys_accept(listener->sock, NULL, &sock, &peer, &local, &err)) {
		case IO_OK:
			listener->accepted(listener->arg, sock, &peer, &local);
			break;
		case IO_FAILED:
			if (is_about_one_connection(err))
				break;
			back_off(listener);
			return;
		default:
			return;
		}
	}
}

static void listener_free(struct net_polled *polled)
{
	free(polled);
}

static const struct net_polled_ops listener_ops = {
	.event = listener_event,
	.visit = listener_visit,
	.free = listener_free,
};

struct net_listener *net_listen(
	struct net_loop *loop, int index, net_accept_fn *accepted, void *arg)
{
	struct net_listener *listener = mem_new(sizeof(*listener));
	*listener = (struct net_listener){
		.polled = {.polled_ops = &listener_ops},
		.loop = loop,
		.index = index,
		.accepted = accepted,
		.arg = arg,
		.batch = 1,
	};
	net_timer_init(&listener->again, poll_again, listener);
	listener->sock = sys_listener(net_sys(loop), index, &listener->polled);
	if (!listener->sock) {
		free(listener);
		return NULL;
	}
	loop->listeners++;
	return listener;
}

void net_listener_close(struct net_listener **listenerp)
{
	struct net_listener *listener = *listenerp;
	*listenerp = NULL;
	if (listener->sock)
		sys_close(&listener->sock, false);
	net_timer_clear(listener->loop, &listener->again);
	listener->loop->listeners--;
	net_bury(listener->loop, &listener->polled);
}
