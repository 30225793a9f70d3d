/*
 * The sink's house: it listens, keeps to its limit, writes messages down, and frees sessions
 * that have ended.
 */
#include <assert.h>
#include <stdlib.h>

#include "base/json.h"
#include "sink/private.h"

/* As Exchange says it: a server that is full, not one that is down. */
#define OVER_LIMIT                                                                                 \
	"421 4.3.2 The maximum number of concurrent connections has exceeded a limit, closing "    \
	"transmission channel\r\n"

/* ---- sessions ---- */

static void reap(void *arg)
{
	struct sink *sink = arg;
	struct session *session;
	while ((session = LIST_FIRST(&sink->dead))) {
		LIST_REMOVE(session, next);
		sink_session_free(session);
	}
}

void sink_bury(struct sink *sink, struct session *session)
{
	LIST_REMOVE(session, next);
	LIST_INSERT_HEAD(&sink->dead, session, next);
	sink->totals->open--;
	net_timer_set(sink->loop, &sink->reaper, net_now(sink->loop));
}

/* True: the connection is gone, or will never hear of us. */
static bool connect_fault(struct sink *sink, struct sys_sock **sock)
{
	const struct fault *fault =
		faults_pick(&sink->faults, FAULT_AT_CONNECT, (struct span){0}, &sink->rng);
	if (!fault)
		return false;
	sink->totals->faults++;
	if (fault->kind != FAULT_STALL)
		sys_close(sock, fault->kind == FAULT_RESET);
	return true;
}

static void accepted(
	void *arg, struct sys_sock *sock, const struct addr *peer, const struct addr *local)
{
	struct sink *sink = arg;
	(void)peer;
	(void)local;
	unsigned most = sink->faults.max_sessions;
	bool full = most && sink->totals->open >= most;
	bool mute = !full && connect_fault(sink, &sock);
	sink->totals->sessions++;
	if (!sock)
		return;
	struct session *session = sink_session_new(sink, sock);
	LIST_INSERT_HEAD(&sink->open, session, next);
	sink->totals->open++;
	if (full) {
		sink->totals->over_limit++;
		sink_session_say(session, SPAN(OVER_LIMIT));
		sink_session_end(session, NET_CLOSE_FLUSHED);
	} else if (mute) {
		session->stalled = true;
		net_pause(session->stream, true);
	} else {
		sink_session_greet(session);
	}
}

/* ---- commits ---- */

static void file_name(const struct sink *sink, uint64_t number, struct buf *into)
{
	buf_addf(into, "%s/%llu.eml", sink->write_dir, (unsigned long long)number);
	buf_string(into);
}

static bool file_exists(const struct sink *sink, uint64_t number)
{
	struct buf name = {0}, bytes = {0};
	file_name(sink, number, &name);
	enum err err = sys_file_read(name.at, 1, &bytes, NULL);
	buf_clear(&bytes);
	buf_clear(&name);
	return err != ERR_MISSING;
}

static bool write_mail(const struct sink *sink, const struct sink_mail *mail)
{
	struct buf name = {0};
	file_name(sink, sink->number, &name);
	int file = sys_file_append_open(name.at, NULL);
	buf_clear(&name);
	if (file < 0)
		return false;
	enum err err = sys_file_append(file, buf_span(&mail->octets_kept));
	sys_file_close(file);
	return err == ERR_OK;
}

bool sink_commit(struct sink *sink, const struct session *session)
{
	const struct sink_mail *mail = &session->mail;
	sink->number++;
	if (sink->write_dir && !write_mail(sink, mail))
		return false;
	if (sink->ledger >= 0) {
		struct ledger_entry entry = {
			.wall = sys_wall(net_sys(sink->loop)),
			.server = sink->name,
			.number = sink->number,
			.session = session->number,
		};
		struct buf line = {0};
		ledger_line(&entry, mail, &line);
		enum err err = sys_file_append(sink->ledger, buf_span(&line));
		buf_clear(&line);
		if (err)
			return false;
	}
	sink->totals->accepted++;
	sink->totals->octets += mail->octets;
	return true;
}

/* ---- making ---- */

static void listen_all(struct sink *sink, const struct sink_setup *setup)
{
	assert(setup->listen_count <= SINK_LISTENERS);
	for (int i = 0; i < setup->listen_count; i++) {
		struct net_listener *listener =
			net_listen(sink->loop, setup->listen_first + i, accepted, sink);
		if (listener)
			sink->listeners[sink->listener_count++] = listener;
	}
}

struct sink *sink_new(struct net_loop *loop, const struct sink_setup *setup, struct err_text *text)
{
	int ledger = setup->ledger ? sys_file_append_open(setup->ledger, text) : -1;
	if (setup->ledger && ledger < 0)
		return NULL;
	struct sink *sink = mem_new(sizeof(*sink));
	sink->loop = loop;
	sink->name = mem_string(span_of(setup->name));
	sink->write_dir = setup->write_dir ? mem_string(span_of(setup->write_dir)) : NULL;
	sink->offer = setup->offer;
	sink->lax = setup->lax;
	sink->ledger = ledger;
	sink->totals = setup->totals ? setup->totals : &sink->own_totals;
	rng_seed(&sink->rng, setup->seed);
	LIST_INIT(&sink->open);
	LIST_INIT(&sink->dead);
	net_timer_init(&sink->reaper, reap, sink);
	/* An earlier run's files are not written over. */
	while (sink->write_dir && file_exists(sink, sink->number + 1))
		sink->number++;
	listen_all(sink, setup);
	return sink;
}

void sink_set_faults(struct sink *sink, struct faults *faults)
{
	struct session *session;
	LIST_FOREACH (session, &sink->open, next)
		sink_session_forget_faults(session);
	faults_clear(&sink->faults);
	sink->faults = *faults;
	*faults = (struct faults){0};
}

const struct sink_totals *sink_totals(const struct sink *sink)
{
	return sink->totals;
}

void sink_totals_text(const struct sink_totals *totals, struct buf *into)
{
	struct json json;
	json_begin(&json, into);
	json_open(&json, NULL, '{');
	json_put_int(&json, "sessions", (int64_t)totals->sessions);
	json_put_int(&json, "open", (int64_t)totals->open);
	json_put_int(&json, "over_limit", (int64_t)totals->over_limit);
	json_put_int(&json, "accepted", (int64_t)totals->accepted);
	json_put_int(&json, "octets", (int64_t)totals->octets);
	json_put_int(&json, "refused", (int64_t)totals->refused);
	json_put_int(&json, "faults", (int64_t)totals->faults);
	json_put_int(&json, "broken", (int64_t)totals->broken);
	json_put_int(&json, "unasked", (int64_t)totals->unasked);
	json_close(&json, '}');
	buf_add_text(into, "\n");
}

void sink_free(struct sink **sinkp)
{
	struct sink *sink = *sinkp;
	struct session *session;
	*sinkp = NULL;
	reap(sink);
	while ((session = LIST_FIRST(&sink->open))) {
		LIST_REMOVE(session, next);
		sink->totals->open--;
		sink_session_free(session);
	}
	net_timer_clear(sink->loop, &sink->reaper);
	for (int i = 0; i < sink->listener_count; i++)
		net_listener_close(&sink->listeners[i]);
	faults_clear(&sink->faults);
	if (sink->ledger >= 0)
		sys_file_close(sink->ledger);
	free(sink->name);
	free(sink->write_dir);
	free(sink);
}
