/*
 * The state of a server: every change is made by change(), which writes the board's verdict and
 * the log.
 */
#include <stdio.h>

#include "base/testing.h"
#include "board/logline.h"
#include "health/server.h"

#define PROBE_PATIENCE (5 * SECOND) /* a probe that nobody reports on is granted again */

static int64_t now_of(const struct health_server *server)
{
	return net_now(server->health->world.loop);
}

static enum server_state state_of(const struct health_server *server)
{
	return board_verdict(server->health->world.board, server->column).state;
}

static void log_change(struct health_server *server, const char *state, const char *was,
	enum server_reason reason, const char *text)
{
	struct health *health = server->health;
	struct log_line line;
	log_begin(&line, &health->line, sys_wall(net_sys(health->world.loop)),
		LOG_EVENT_server_state);
	log_string(&line, LOG_pool, server->pool_name);
	log_string(&line, LOG_server, server->name);
	log_string(&line, LOG_state, state);
	log_string(&line, LOG_was, was);
	log_string(&line, LOG_reason, server_reason_name(reason));
	log_string(&line, LOG_text, text);
	log_end(&line, health->world.board, health->world.row);
}

static unsigned weight_now(const struct health_server *server)
{
	if (server->up_since == 0 || server->slow_start == 0)
		return 256;
	int64_t since = now_of(server) - server->up_since;
	if (since >= server->slow_start)
		return 256;
	unsigned weight = (unsigned)(256 * since / server->slow_start);
	return weight < 16 ? 16 : weight; /* a share at once, so that there is something to see */
}

static void change(struct health_server *server, enum server_state state, enum server_reason reason,
	const char *text)
{
	struct board *board = server->health->world.board;
	struct verdict was = board_verdict(board, server->column);
	bool from_outage = was.state != SERVER_UP && state == SERVER_UP;
	if (from_outage) {
		server->up_since = now_of(server);
		server->ejected_for = REASON_NONE;
	}
	struct verdict verdict = {.state = state, .reason = reason, .weight = weight_now(server)};
	board_judge(board, server->column, &verdict);
	if (was.state == state)
		return;
	board_add(board, server->health->world.row, server->column, M_SERVER_transitions, 1);
	log_change(server, server_state_name(state), server_state_name(was.state), reason, text);
}

void verdict_begin(struct health_server *server)
{
	struct board *board = server->health->world.board;
	struct verdict verdict = board_verdict(board, server->column);
	signs_begin(&server->signs, board, server->column, now_of(server));
	if (verdict.weight == 0 || PLANTED(verdict_lost_on_reload)) {
		/* A new column: up until something says otherwise. */
		verdict = (struct verdict){.state = SERVER_UP, .weight = 256};
		board_judge(board, server->column, &verdict);
	}
	/* It was a name before the reload, and is a literal address now. */
	if (!server->host)
		verdict_named(server);
	/* States are kept over reloads; an ejection begun by the control before us goes on here. */
	server->eject_for = server->outlier->eject_for;
	if (verdict.state == SERVER_EJECTED || verdict.state == SERVER_PROBING) {
		server->ejected_for = verdict.reason;
		server->ejected_until = now_of(server) + server->eject_for;
	}
}

/* ---- names ---- */

void verdict_nameless(struct health_server *server, const char *text)
{
	change(server, SERVER_UNUSABLE, REASON_NO_ADDRESS, text);
}

void verdict_named(struct health_server *server)
{
	if (state_of(server) == SERVER_UNUSABLE)
		change(server, SERVER_UP, REASON_ADDRESS_FOUND, "its address is known");
}

/* ---- checks ---- */

static void grant_probe(struct health_server *server);

/* Its checks pass again.  What they could not see before it went down they can't see now. */
static void rise(struct health_server *server)
{
	signs_forget(&server->signs);
	if (server->ejected_for == REASON_OWN_TROUBLE || server->ejected_for == REASON_TIMEOUTS) {
		grant_probe(server);
		change(server, SERVER_PROBING, REASON_PROBING, "one message at a time may try it");
		return;
	}
	change(server, SERVER_UP, REASON_CHECK_PASSED, "its checks pass again");
}

void verdict_checked(struct health_server *server, const struct health_finding *finding)
{
	const struct health_check_settings *settings = server->check_settings;
	enum server_state state = state_of(server);
	if (finding->result == HEALTH_FULL)
		return; /* full is not down */
	if (finding->result == HEALTH_FAILED) {
		server->passed = 0;
		server->failed++;
		if (server->failed >= settings->fall && state != SERVER_DOWN)
			change(server, SERVER_DOWN, finding->reason, finding->text);
		return;
	}
	server->failed = 0;
	server->passed++;
	if (state == SERVER_DOWN && server->passed >= settings->rise)
		rise(server);
	/* A failure to connect is mended when a check connects and is greeted: as far as it went.
	 */
	bool far_enough =
		server->ejected_for == REASON_CONNECT_FAILURES && settings->script == HEALTH_SMTP;
	if (state == SERVER_EJECTED && far_enough && now_of(server) >= server->ejected_until &&
		server->passed >= settings->rise) {
		signs_forget(&server->signs);
		change(server, SERVER_UP, REASON_CHECK_PASSED, "its checks pass again");
	}
}

/* ---- passive signs ---- */

static bool others_in_tier(const struct health_server *server)
{
	const struct health *health = server->health;
	for (unsigned i = 0; i < health->servers; i++) {
		const struct health_server *other = &health->server[i];
		if (other == server || other->pool_name != server->pool_name ||
			other->tier != server->tier)
			continue;
		if (state_of(other) == SERVER_UP &&
			!board_out_by_hand(health->world.board, other->column))
			return true;
	}
	return false;
}

static const char *sentence(enum server_reason reason)
{
	switch (reason) {
	case REASON_CONNECT_FAILURES:
		return "connections to it fail";
	case REASON_TIMEOUTS:
		return "it does not answer in time";
	case REASON_BROKEN:
		return "its connections break inside transactions";
	case REASON_OWN_TROUBLE:
		return "it answers with trouble of its own";
	default:
		return "mail fails on it";
	}
}

/* False: it stays as it is, being the last of its tier or by config. */
static bool eject(struct health_server *server, enum server_reason reason)
{
	const struct health_outlier_settings *outlier = server->outlier;
	struct board *board = server->health->world.board;
	if (!outlier->enforce || !others_in_tier(server)) {
		if (!server->warned_last)
			log_change(server, server_state_name(SERVER_UP),
				server_state_name(SERVER_UP),
				outlier->enforce ? REASON_LAST_OF_TIER : reason,
				outlier->enforce
					? "it would be ejected, but it is the last of its tier"
					: "it would be ejected, but outliers enforce=no");
		server->warned_last = true;
		return false;
	}
	server->ejected_until = now_of(server) + server->eject_for;
	server->ejected_for = reason;
	server->passed = 0;
	board_add(board, server->health->world.row, server->column, M_SERVER_ejections, 1);
	char text[160];
	snprintf(text, sizeof text, "%s; out for %d s", sentence(reason),
		(int)(server->eject_for / SECOND));
	change(server, SERVER_EJECTED, reason, text);
	server->eject_for *= 2;
	if (server->eject_for > HEALTH_EJECT_MAX)
		server->eject_for = HEALTH_EJECT_MAX;
	return true;
}

static int64_t bad_total(const struct health_server *server)
{
	const struct signs *signs = &server->signs;
	return signs->connect_total + signs->timeout_total + signs->broken_total +
	       signs->trouble_total;
}

static void grant_probe(struct health_server *server)
{
	struct board *board = server->health->world.board;
	server->probe_granted = now_of(server);
	server->probe_attempts = board_sum(board, server->column, M_SERVER_attempts);
	server->probe_accepted = board_sum(board, server->column, M_SERVER_accepted);
	server->probe_bad = bad_total(server);
	board_grant_probe(board, server->column);
}

static void watch_probe(struct health_server *server)
{
	struct board *board = server->health->world.board;
	bool tried = board_sum(board, server->column, M_SERVER_attempts) > server->probe_attempts;
	if (bad_total(server) > server->probe_bad) {
		if (!eject(server, server->signs.worst))
			grant_probe(server); /* the last of its tier: it may try again at once */
		return;
	}
	if (tried && board_sum(board, server->column, M_SERVER_accepted) > server->probe_accepted) {
		signs_forget(&server->signs);
		server->eject_for = server->outlier->eject_for;
		change(server, SERVER_UP, REASON_PROBE_PASSED, "a message was accepted by it");
		return;
	}
	/* Neither accepted nor failed: a message refused for its own sake, or a client that left
	 * before it was tried.  Once more. */
	if (now_of(server) - server->probe_granted > PROBE_PATIENCE &&
		board_places(board, server->column, PLACE_LIVE) == 0)
		grant_probe(server);
}

void verdict_tick(struct health_server *server)
{
	struct board *board = server->health->world.board;
	const struct health_outlier_settings *outlier = server->outlier;
	enum server_state state = state_of(server);
	signs_look(&server->signs, board, server->column, now_of(server), outlier->window);
	if (state == SERVER_UP) {
		if (signs_tripped(&server->signs, outlier->failures, outlier->over))
			eject(server, server->signs.worst);
		else if (!server->signs.fresh_bad && server->signs.bad_in_a_row == 0)
			server->warned_last = false;
	} else if (state == SERVER_EJECTED && now_of(server) >= server->ejected_until) {
		grant_probe(server);
		change(server, SERVER_PROBING, REASON_PROBING, "one message at a time may try it");
	} else if (state == SERVER_PROBING) {
		watch_probe(server);
	}
	if (state == SERVER_UP && server->up_since) {
		struct verdict verdict = board_verdict(board, server->column);
		unsigned weight = weight_now(server);
		if (weight == 256) {
			/* It has stayed up through its slow start: the next outage counts anew. */
			server->up_since = 0;
			server->eject_for = outlier->eject_for;
		}
		if (verdict.state == SERVER_UP && verdict.weight != weight) {
			verdict.weight = weight;
			board_judge(board, server->column, &verdict);
		}
	}
}
