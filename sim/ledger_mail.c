/*
 * The messages of a world: all that is hard about a body, at a price that a million of them can
 * pay.  Text is cut from a quarry of random words at random places, so no two bodies are alike
 * and an octet that is lost, doubled or swapped shows.
 */
#include "sim/ledger_inside.h"

#include <string.h>

#include "sim/scene.h"

enum { LINE = 998 }; /* RFC 5322 2.1.1, without CRLF */

void ledger_fill_quarry(struct ledger *ledger)
{
	static const char letters[] =
		"etaoinsrhldcumfpgwybvkxjqz ETAOIN .,;:-_=+/<>()[]{}\"'%$@!?#*0123";
	_Static_assert(sizeof(letters) == 65, "six bits choose a letter");
	struct rng rng;
	world_rng(ledger->world, &rng, "quarry", 0);
	for (size_t i = 0; i < QUARRY;) {
		uint64_t random = rng_next(&rng);
		for (int k = 0; k < 8; k++, random >>= 8)
			ledger->quarry[i++] = letters[random & 63];
	}
}

static void cut(struct ledger *ledger, struct rng *rng, struct buf *into, size_t len)
{
	buf_add(into, ledger->quarry + rng_below(rng, QUARRY - len + 1), len);
}

/* A line of `len` octets that begins with a dot or a letter. */
static void add_text(
	struct ledger *ledger, struct rng *rng, struct buf *into, const char *begin, size_t len)
{
	size_t front = strlen(begin);
	buf_add_text(into, begin);
	if (len > front)
		cut(ledger, rng, into, len - front);
	buf_add(into, "\r\n", 2);
}

/* What a receiver may take for something else. */
static const char *const traps[] = {
	".",
	"..",
	"...",
	". ",
	".\t",
	"",
	"\t",
	" ",
	"QUIT",
	"RSET",
	"DATA",
	"NOOP",
	"BDAT 10 LAST",
	"MAIL FROM:<nobody@trap.sim>",
	"RCPT TO:<nobody@trap.sim>",
	"250 2.0.0 ok queued as C1",
	"354 go",
	".QUIT",
	"Received: from nowhere",
	"\tby nowhere; Thu, 1 Jan 1970 00:00:00 +0000",
	"From nobody Thu Jan  1 00:00:00 1970",
};

#define TRAPS (sizeof(traps) / sizeof(traps[0]))

static void add_line(struct ledger *ledger, struct rng *rng, struct buf *into)
{
	uint64_t lot = rng_below(rng, 64);
	switch (lot) {
	case 0:
		add_text(ledger, rng, into, "", LINE);
		break;
	case 1:
		add_text(ledger, rng, into, ".", LINE);
		break;
	case 2:
		add_text(ledger, rng, into, "..", (size_t)rng_between(rng, LINE - 3, LINE));
		break;
	case 3:
	case 4:
		add_text(ledger, rng, into, ".", (size_t)rng_between(rng, 1, 80));
		break;
	case 5:
	case 6:
	case 7:
	case 8:
		add_text(ledger, rng, into, traps[rng_below(rng, TRAPS)], 0);
		break;
	default:
		add_text(ledger, rng, into, "", (size_t)lot + (lot & 7));
	}
}

/* How long it becomes, about. */
static size_t length(struct rng *rng, unsigned shape, bool larger)
{
	int64_t most = larger ? 3000000 : 240000;
	/* Of any order, and above what Mailweir queues for a server that doesn't read. */
	if (shape & MAIL_LARGE)
		return (size_t)(rng_one_in(rng, 2) ? rng_skewed(rng, 4000, most)
						   : rng_between(rng, 100000, most));
	if (shape & MAIL_FEW_WORDS)
		return (size_t)rng_below(rng, 60);
	return (size_t)rng_skewed(rng, 1, 3000);
}

struct span ledger_body(
	struct ledger *ledger, struct rng *rng, unsigned number, unsigned shape, bool may_lack_crlf)
{
	struct buf body = {0};
	size_t len = length(rng, shape, ledger->world->scene->max_size > SCENE_SIZE);
	if (!(shape & MAIL_FEW_WORDS))
		buf_addf(&body, "Subject: message %u\r\n\r\n", number);
	while (body.len < len)
		add_line(ledger, rng, &body);
	if (may_lack_crlf && body.len > 2 && rng_one_in(rng, 2))
		body.len -= 2;
	struct span kept = arena_span(&ledger->arena, buf_span(&body));
	buf_clear(&body);
	return kept;
}
