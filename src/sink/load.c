/*
 * The load's messages: which is next, when it may be tried again, and when all is done.
 */
#include <stdlib.h>
#include <string.h>

#include "sink/load_private.h"

/* ---- what is due when ---- */

static int64_t backoff(const struct load *load, unsigned tries)
{
	unsigned doubled = tries > 4 ? 4 : tries - 1;
	return load->setup.retry_after << doubled;
}

static bool may_begin(const struct load *load)
{
	uint64_t most = load->setup.messages;
	return !load->stopping && (most == 0 || load->totals.begun < most);
}

/* Only what lies ahead: for what is due already every session is busy, and takes it when free. */
static void set_tick(struct load *load)
{
	int64_t now = net_now(load->loop), due = NEVER;
	struct load_item *item;
	if (load->stopping && !STAILQ_EMPTY(&load->waiting))
		due = now; /* they are given up */
	if (may_begin(load) && load->setup.rate && load->next_new > now)
		due = load->next_new;
	STAILQ_FOREACH (item, &load->waiting, next) {
		if (item->due > now && item->due < due)
			due = item->due;
	}
	if (due != NEVER)
		net_timer_set(load->loop, &load->tick, due);
}

static struct load_item *due_again(struct load *load)
{
	struct load_item *item;
	STAILQ_FOREACH (item, &load->waiting, next) {
		if (item->due <= net_now(load->loop)) {
			STAILQ_REMOVE(&load->waiting, item, load_item, next);
			return item;
		}
	}
	return NULL;
}

static struct load_item *new_item(struct load *load)
{
	unsigned rate = load->setup.rate;
	if (!may_begin(load) || (rate && load->next_new > net_now(load->loop)))
		return NULL;
	/* Time that was lost while all sessions were busy is not made up for. */
	if (rate) {
		int64_t late = net_now(load->loop) - SECOND / rate;
		load->next_new = (load->next_new > late ? load->next_new : late) + SECOND / rate;
	}
	struct load_item *item = mem_new(sizeof(*item));
	item->message.number = ++load->totals.begun;
	return item;
}

struct load_item *load_next(struct load *load)
{
	struct load_item *item = due_again(load);
	if (!item)
		item = new_item(load);
	if (item) {
		item->message.tries++;
		load->busy++;
	}
	set_tick(load);
	return item;
}

/* ---- the end of a message, and of all ---- */

static void settle(struct load *load, struct load_item *item, enum load_outcome outcome)
{
	item->message.outcome = outcome;
	load->totals.accepted += outcome == LOAD_ACCEPTED;
	load->totals.failed += outcome == LOAD_FAILED;
	load->totals.given_up += outcome == LOAD_GIVEN_UP;
	if (load->ops->settled)
		load->ops->settled(load->arg, &item->message);
	free(item);
}

static void give_up_waiting(struct load *load)
{
	struct load_item *item;
	while ((item = STAILQ_FIRST(&load->waiting))) {
		STAILQ_REMOVE_HEAD(&load->waiting, next);
		settle(load, item, LOAD_GIVEN_UP);
	}
}

static bool all_done(const struct load *load)
{
	return !may_begin(load) && load->busy == 0 && STAILQ_EMPTY(&load->waiting);
}

static void tick(void *arg)
{
	struct load *load = arg;
	if (load->stopping)
		give_up_waiting(load);
	if (all_done(load)) {
		if (!load->told)
			load->ops->done(load->arg);
		load->told = true;
		return;
	}
	for (unsigned i = 0; i < load->setup.sessions; i++)
		load_session_kick(&load->sessions[i]);
	set_tick(load);
}

void load_tried(struct load *load, struct load_item *item, enum load_try how, bool unsure)
{
	load->busy--;
	load->totals.deferred += how == TRY_DEFERRED;
	load->totals.lost += how == TRY_LOST;
	load->totals.unsure += unsure;
	item->message.unsure |= unsure;
	if (how == TRY_ACCEPTED) {
		settle(load, item, LOAD_ACCEPTED);
	} else if (how == TRY_FAILED) {
		settle(load, item, LOAD_FAILED);
	} else if (load->stopping || item->message.tries >= load->setup.tries) {
		settle(load, item, LOAD_GIVEN_UP);
	} else {
		item->due = net_now(load->loop) + backoff(load, item->message.tries);
		STAILQ_INSERT_TAIL(&load->waiting, item, next);
	}
	/* The end is told from the timer, when no session is in the middle of something. */
	if (all_done(load))
		net_timer_set(load->loop, &load->tick, net_now(load->loop));
	else
		set_tick(load);
}

/* ---- making ---- */

struct load *load_new(struct net_loop *loop, const struct load_setup *setup,
	const struct load_ops *ops, void *arg)
{
	struct load *load = mem_new(sizeof(*load));
	load->loop = loop;
	load->setup = *setup;
	load->run = mem_string(span_of(setup->run));
	load->hostname = mem_string(span_of(setup->hostname));
	load->ops = ops;
	load->arg = arg;
	load->next_new = net_now(loop);
	load->filler = load_mail_filler(net_chunks(loop));
	STAILQ_INIT(&load->waiting);
	net_timer_init(&load->tick, tick, load);
	net_timer_set(loop, &load->tick, net_now(loop));
	load->sessions = mem_new(setup->sessions * sizeof(*load->sessions));
	for (unsigned i = 0; i < setup->sessions; i++)
		load_session_init(load, &load->sessions[i]);
	return load;
}

void load_stop(struct load *load)
{
	load->stopping = true;
	net_timer_set(load->loop, &load->tick, net_now(load->loop));
}

const struct load_totals *load_totals(const struct load *load)
{
	return &load->totals;
}

void load_free(struct load **loadp)
{
	struct load *load = *loadp;
	struct load_item *item;
	*loadp = NULL;
	for (unsigned i = 0; i < load->setup.sessions; i++)
		load_session_clear(&load->sessions[i]);
	while ((item = STAILQ_FIRST(&load->waiting))) {
		STAILQ_REMOVE_HEAD(&load->waiting, next);
		free(item);
	}
	net_timer_clear(load->loop, &load->tick);
	chunk_unref(&load->filler);
	free(load->sessions);
	free(load->run);
	free(load->hostname);
	free(load);
}

uint64_t load_id_number(struct span id, const char *run)
{
	size_t len = strlen(run);
	uint64_t number;
	if (id.len <= len + 1 || !span_starts_nocase(id, run) || id.at[len] != '.')
		return 0;
	return span_to_u64(span_from(id, len + 1), UINT64_MAX, &number) ? number : 0;
}
