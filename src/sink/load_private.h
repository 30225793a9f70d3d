/*
 * What the files of the load share: load.c owns the messages and says which is next,
 * load_session.c carries them.
 */
#ifndef SINK_LOAD_PRIVATE_H
#define SINK_LOAD_PRIVATE_H

#include <sys/queue.h>

#include "sink/load.h"
#include "talk/client.h"

struct load_item {
	STAILQ_ENTRY(load_item) next;
	struct load_message message;
	int64_t due; /* while it waits for its next try */
};

struct load_session {
	struct load *load;
	struct talk_client *talk; /* NULL: not connected */
	bool greeted, quitting;
	unsigned carried;       /* messages begun on this connection */
	struct load_item *item; /* NULL: idle */
	/* of the try under way */
	bool in_body;
	uint16_t refusal; /* code of the first reply that said no; 0: none yet */
	bool ended;       /* the reply to the end of data is in */
	uint16_t verdict;
	bool unsure;
	/* after a connection that failed */
	struct net_timer again;
	int64_t wait;
};

struct load {
	struct net_loop *loop;
	struct load_setup setup;
	char *run, *hostname;
	const struct load_ops *ops;
	void *arg;
	struct load_totals totals;
	struct load_session *sessions;
	STAILQ_HEAD(, load_item) waiting;
	uint64_t busy;         /* items that sessions hold */
	int64_t next_new;      /* when the rate allows the next one */
	struct net_timer tick; /* a retry is due, or the rate allows a new one */
	struct chunk *filler;  /* lines that all bodies share */
	bool stopping, told;
};

/* ---- load.c ---- */
/* The message to try now; NULL: none at the moment. */
struct load_item *load_next(struct load *load);
enum load_try { TRY_ACCEPTED, TRY_FAILED, TRY_DEFERRED, TRY_LOST };
/* The session's try is over; the item is no longer its. */
void load_tried(struct load *load, struct load_item *item, enum load_try how, bool unsure);

/* ---- load_session.c ---- */
void load_session_init(struct load *load, struct load_session *session);
void load_session_kick(struct load_session *session); /* take a message if idle */
void load_session_clear(struct load_session *session);

/* ---- load_mail.c ---- */
#define LOAD_LINE 78u /* octets of a filler line, CRLF included */
struct chunk *load_mail_filler(struct chunk_pool *pool);
void load_mail_sender(const struct load *load, struct buf *into);
void load_mail_recipient(const struct load_item *item, struct buf *into);
/* Header and filler, as pieces appended to `body`. */
void load_mail_body(const struct load *load, const struct load_item *item, struct chain *body);

#endif
