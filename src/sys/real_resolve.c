/*
 * The real body: names.  libunbound resolves in a thread of its own, with its cache; we ask it
 * for A and AAAA at once and answer when both are in, or at the deadline with what there is.
 *
 *     sys_resolve ──► question A ────┐                       ┌──► answered() in sys_wait()
 *                └──► question AAAA ─┴─► unbound's thread ───┘
 *
 * The context is made at the first question, after the fork: neither threads nor its pipes would
 * survive one.  /etc/hosts and /etc/resolv.conf are read then, once; a reload reads them again.
 */
#include <assert.h>
#include <stdlib.h>
#include <unbound.h>

#include "sys/real_private.h"

/* A resolver of libc gives up after 5 s a server and try; whoever waits longer has lost interest.
 */
#define ANSWER_WITHIN (10 * SECOND)

enum { DNS_IN = 1, DNS_A = 1, DNS_AAAA = 28 };

struct lookup;

struct question {
	struct lookup *lookup;
	int type, id;
	bool open;
	enum err err;
	int64_t ttl;
	unsigned count;
	struct addr addr[16];
};

struct lookup {
	TAILQ_ENTRY(lookup) next;
	struct real_names *names;
	int64_t due;
	bool finished;
	sys_answer_fn *answered;
	void *arg;
	struct question ask[2]; /* A, AAAA */
};
TAILQ_HEAD(lookups, lookup);

struct real_names {
	struct sys *sys;
	struct ub_ctx *unbound;
	struct lookups open; /* oldest first, so the first has the nearest deadline */
	struct lookups finished;
};

/* ---- what unbound says ---- */

static void question_add(struct question *ask, const void *bytes, int len)
{
	struct addr addr;
	if (ask->type == DNS_A && len == 4)
		real_addr_ip4(bytes, &addr);
	else if (ask->type == DNS_AAAA && len == 16)
		real_addr_ip6(bytes, &addr);
	else
		return;
	if (ask->count < sizeof(ask->addr) / sizeof(ask->addr[0]))
		ask->addr[ask->count++] = addr;
}

static enum err question_take(struct question *ask, int failure, const struct ub_result *result)
{
	enum { RCODE_NOERROR = 0, RCODE_NXDOMAIN = 3 };
	if (failure == UB_SYNTAX)
		return ERR_MISSING;
	if (failure || result->bogus)
		return ERR_BROKEN;
	if (result->rcode != RCODE_NOERROR && result->rcode != RCODE_NXDOMAIN)
		return ERR_BROKEN;
	ask->ttl = result->ttl * SECOND;
	for (int i = 0; result->havedata && result->data[i]; i++)
		question_add(ask, result->data[i], result->len[i]);
	return ask->count > 0 ? ERR_OK : ERR_MISSING;
}

static void lookup_finish(struct lookup *lookup)
{
	if (lookup->finished || lookup->ask[0].open || lookup->ask[1].open)
		return;
	lookup->finished = true;
	TAILQ_REMOVE(&lookup->names->open, lookup, next);
	TAILQ_INSERT_TAIL(&lookup->names->finished, lookup, next);
}

static void question_answered(void *arg, int failure, struct ub_result *result)
{
	struct question *ask = arg;
	ask->open = false;
	ask->err = question_take(ask, failure, result);
	ub_resolve_free(result);
	lookup_finish(ask->lookup);
}

/* ---- asking ---- */

static void unbound_arrived(void *arg)
{
	struct real_names *names = arg;
	ub_process(names->unbound);
}

static struct ub_ctx *unbound_new(const struct sys_real_setup *setup)
{
	struct ub_ctx *unbound = ub_ctx_create();
	if (!unbound)
		die("can't make a resolver");
	ub_ctx_debugout(unbound, NULL);
	ub_ctx_async(unbound, 1);
	/* Where a file is missing the rest still works: no hosts, or asking from the root down. */
	ub_ctx_hosts(unbound, setup->hosts ? setup->hosts : "/etc/hosts");
	if (!setup->nameserver)
		ub_ctx_resolvconf(unbound, "/etc/resolv.conf");
	else if (ub_ctx_set_fwd(unbound, setup->nameserver) != 0)
		die("not a name server's address: %s", setup->nameserver);
	return unbound;
}

static struct real_names *names_new(struct sys *sys)
{
	struct real_names *names = mem_new(sizeof(*names));
	names->sys = sys;
	TAILQ_INIT(&names->open);
	TAILQ_INIT(&names->finished);
	names->unbound = unbound_new(&sys->setup);
	return names;
}

static void question_ask(struct question *ask, struct lookup *lookup, const char *name, int type)
{
	ask->lookup = lookup;
	ask->type = type;
	ask->open = true;
	int failure = ub_resolve_async(
		lookup->names->unbound, name, type, DNS_IN, ask, question_answered, &ask->id);
	if (failure) {
		ask->open = false;
		ask->err = question_take(ask, failure, NULL);
	}
}

void sys_resolve(struct sys *sys, const char *name, sys_answer_fn *answered, void *arg)
{
	bool first = !sys->names;
	if (first)
		sys->names = names_new(sys);
	struct lookup *lookup = mem_new(sizeof(*lookup));
	lookup->names = sys->names;
	lookup->due =
		sys->now + (sys->setup.resolve_within ? sys->setup.resolve_within : ANSWER_WITHIN);
	lookup->answered = answered;
	lookup->arg = arg;
	TAILQ_INSERT_TAIL(&sys->names->open, lookup, next);
	question_ask(&lookup->ask[0], lookup, name, DNS_A);
	question_ask(&lookup->ask[1], lookup, name, DNS_AAAA);
	lookup_finish(lookup); /* only if neither could be asked */
	if (first)
		real_watch_new(sys, ub_fd(sys->names->unbound), unbound_arrived, sys->names);
}

/* ---- answering ---- */

static void answer_add(struct sys_answer *answer, const struct question *ask)
{
	const unsigned room = sizeof(answer->addr) / sizeof(answer->addr[0]);
	for (unsigned i = 0; i < ask->count && answer->count < room; i++)
		answer->addr[answer->count++] = ask->addr[i];
}

/* How long the answer holds: addresses as long as the shortest-lived, and how long the name will
 * go on lacking the other family (often 0 from a hosts file) doesn't matter then. */
static int64_t lookup_ttl(const struct lookup *lookup, enum err err)
{
	int64_t ttl = NEVER;
	for (int i = 0; i < 2; i++) {
		const struct question *ask = &lookup->ask[i];
		if (ask->err == err && ask->ttl < ttl)
			ttl = ask->ttl;
	}
	return ttl == NEVER ? 0 : ttl;
}

/* One family's addresses are an answer even if the other's server is ill; "no such name" is one
 * only if both say so. */
static void lookup_answer(const struct lookup *lookup, struct sys_answer *answer_r)
{
	const struct question *a = &lookup->ask[0], *aaaa = &lookup->ask[1];
	*answer_r = (struct sys_answer){.err = ERR_OK};
	answer_add(answer_r, a);
	answer_add(answer_r, aaaa);
	if (answer_r->count == 0)
		answer_r->err = a->err != ERR_MISSING ? a->err : aaaa->err;
	answer_r->ttl = lookup_ttl(lookup, answer_r->err);
}

static void lookup_expire(struct lookup *lookup)
{
	for (int i = 0; i < 2; i++) {
		struct question *ask = &lookup->ask[i];
		if (!ask->open)
			continue;
		ub_cancel(lookup->names->unbound, ask->id);
		ask->open = false;
		ask->err = ERR_TIMEOUT;
	}
	lookup_finish(lookup);
}

int64_t real_names_due(const struct sys *sys)
{
	if (!sys->names)
		return NEVER;
	if (!TAILQ_EMPTY(&sys->names->finished))
		return 0;
	const struct lookup *oldest = TAILQ_FIRST(&sys->names->open);
	return oldest ? oldest->due : NEVER;
}

void real_names_turn(struct sys *sys)
{
	struct real_names *names = sys->names;
	struct lookup *lookup;
	if (!names)
		return;
	while ((lookup = TAILQ_FIRST(&names->open)) && lookup->due <= sys->now)
		lookup_expire(lookup);
	struct lookups finished = TAILQ_HEAD_INITIALIZER(finished);
	TAILQ_CONCAT(&finished, &names->finished, next);
	while ((lookup = TAILQ_FIRST(&finished))) {
		struct sys_answer answer;
		TAILQ_REMOVE(&finished, lookup, next);
		lookup_answer(lookup, &answer);
		lookup->answered(lookup->arg, &answer);
		free(lookup);
	}
}

bool real_names_idle(const struct sys *sys)
{
	return !sys->names ||
	       (TAILQ_EMPTY(&sys->names->open) && TAILQ_EMPTY(&sys->names->finished));
}

static void lookups_free(struct lookups *lookups)
{
	struct lookup *lookup;
	while ((lookup = TAILQ_FIRST(lookups))) {
		TAILQ_REMOVE(lookups, lookup, next);
		free(lookup);
	}
}

void real_names_clear(struct sys *sys)
{
	struct real_names *names = sys->names;
	if (!names)
		return;
	sys->names = NULL;
	ub_ctx_delete(names->unbound);
	lookups_free(&names->open);
	lookups_free(&names->finished);
	free(names);
}
