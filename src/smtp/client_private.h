/*
 * The inside of struct smtp_client, for client.c and client_body.c only.
 */
#ifndef SMTP_CLIENT_PRIVATE_H
#define SMTP_CLIENT_PRIVATE_H

#include "smtp/client.h"
#include "smtp/framing.h"

#define SMTP_FRAME   (64u * 1024) /* octets of the body in one BDAT */
#define SMTP_NOWHERE UINT64_MAX

/* How the body of the transaction goes, and where it stands. */
enum smtp_form {
	FORM_NONE,
	FORM_BDAT,  /* gathered into frames */
	FORM_ASKED, /* DATA was queued, its reply is awaited; pieces are held */
	FORM_OPEN,  /* 354 was read; pieces flow, and a command would be taken for body */
	FORM_ENDED, /* the end of data was queued */
	FORM_LOST,  /* DATA was refused: pieces are dropped */
	FORM_SPENT  /* the server answered inside the body: only closing is left */
};

/* A command that waits for its reply. */
struct smtp_ask {
	uint64_t due;   /* octets that must have left before a reply can be meant for it ... */
	uint64_t whole; /* ... and before it can have been done: a frame's octets too */
	unsigned tag;
	uint8_t phase;
};

struct smtp_client {
	struct chain out;
	struct chain held;    /* body octets that can't go yet */
	struct smtp_ask *ask; /* a ring */
	unsigned room, head, count;
	unsigned tag;     /* of the body */
	uint64_t queued;  /* octets that ever went into `out` ... */
	uint64_t sent;    /* ... and that the kernel took of them */
	uint64_t body_at; /* how many precede the first octet of the body, SMTP_NOWHERE: none */
	uint64_t end_at;  /* how many precede the octet that ends it */
	struct smtp_stuff stuff;
	uint8_t form;
	bool end_wanted; /* while FORM_ASKED */
	bool poisoned;
};

/* ---- client.c ---- */
void smtp_client_put(struct smtp_client *client, const void *bytes, size_t len);
/* `follow`: octets that belong to the command just put and are put next. */
void smtp_client_ask(
	struct smtp_client *client, enum smtp_phase phase, unsigned tag, size_t follow);

/* ---- client_body.c ---- */
/* DATA was answered. */
void smtp_client_data_answered(struct smtp_client *client, bool go_ahead);

#endif
