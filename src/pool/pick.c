/*
 * The pick: which server, and the claim of a place on it, in one step.
 *
 *     survey:  each server --> its rank for this lending, or why it has none
 *     lowest rank --> those of them that have a place --> policy --> claim --> done
 *                                                           ^          | another row was quicker
 *                                                           '----------'
 *
 * A rank is level, then tier.  Level before tier: a server of the second tier that is up is better
 * than one of the first that control has ejected, or that this worker could not connect to a
 * moment ago; those are the last resort.  Behind all others is one whose name was not answered yet:
 * there is nothing to connect to, so it is waited for only when no other is left.  Servers of the
 * lowest rank that are all full are waited for: being full is not being down.
 */
#include "pool/private.h"

#include <assert.h>
#include <stdio.h>

#include "base/testing.h"

enum { LEVEL_GOOD, LEVEL_AVOIDED, LEVEL_EJECTED, LEVEL_NAMELESS };

#define TIERS   100000 /* more than there can be */
#define NO_RANK INT64_MAX
#define WEIGHT  256 /* of 1, in the candidates */

static bool is_tried(const struct pool_want *want, int column)
{
	for (unsigned i = 0; want->tried && i < want->tried->count; i++) {
		if (want->tried->column[i] == column)
			return true;
	}
	return false;
}

static bool has_failed(const struct lending *lending, const struct pool_server *server)
{
	return lending->failed[server->index / 64] >> (server->index % 64) & 1;
}

/* ---- the weight ---- */

static uint32_t weight_of(const struct pool_server *server, struct by_hand by_hand, unsigned part)
{
	uint64_t weight = by_hand.weight_set ? by_hand.weight : (uint64_t)server->settings->weight;
	uint64_t slow = weight * (part < 256 ? part : 256) * WEIGHT / 256;

	return slow > 0 ? (uint32_t)slow : 1;
}

/* ---- the survey ---- */

static int64_t level_of(struct pool_server *server, struct survey *survey)
{
	struct verdict verdict = board_verdict(server->pool->pools->world.board, server->column);

	server->out = server->out || verdict.state == SERVER_DOWN ||
		      verdict.state == SERVER_UNUSABLE || verdict.state == SERVER_EJECTED;
	switch (verdict.state) {
	case SERVER_UP:
		if (!pool_server_named(server))
			return LEVEL_NAMELESS;
		return pool_server_avoided(server) ? LEVEL_AVOIDED : LEVEL_GOOD;
	case SERVER_EJECTED:
	case SERVER_PROBING:
		return LEVEL_EJECTED;
	case SERVER_DOWN:
	case SERVER_UNUSABLE:
	case SERVER_STATES: /* unreachable: no state */
		break;
	}
	survey->out++;
	return -1;
}

static int64_t rank_of(
	const struct lending *lending, struct pool_server *server, struct survey *survey)
{
	const struct pool_want *want = &lending->want;
	int64_t level;

	if (pool_server_drained(server)) {
		server->out = true;
		survey->drained++;
		return NO_RANK;
	}
	level = level_of(server, survey);
	if (level < 0)
		return NO_RANK;
	if (is_tried(want, server->column)) {
		survey->tried++;
		return NO_RANK;
	}
	if ((want->needs || want->size) && pool_server_lacks(server, want->needs, want->size)) {
		survey->lacking++;
		return NO_RANK;
	}
	if (has_failed(lending, server)) {
		survey->failed++;
		return NO_RANK;
	}
	return level * TIERS + server->settings->tier;
}

/* A connection of ours, or room for a new one. */
static bool has_place(struct lending *lending, struct pool_server *server, struct survey *survey,
	struct pool_conn **idle_r)
{
	const struct pool_want *want = &lending->want;

	*idle_r = want->fresh ? NULL : pool_conn_idle(server, want->needs, want->size);
	if (*idle_r)
		return pool_wait_may_have(survey, lending, server, true);
	if (!pool_server_named(server)) {
		survey->nameless = true;
		return false;
	}
	/* A connect() without a descriptor would fail, and look like the server's fault. */
	if (pool_server_full(server) || !pools_have_room(server->pool->pools)) {
		survey->full = true;
		server->blocked_by = 0;
		return false;
	}
	return pool_wait_may_have(survey, lending, server, false);
}

static void add_candidate(struct pools *pools, struct pool_server *server, struct pool_conn *idle)
{
	const struct board *board = pools->world.board;
	int i = pools->survey.candidates++;

	if (server->out)
		server->credit = 0;
	server->out = false;
	pools->choice[i] = (struct choice){.server = server, .idle = idle};
	pools->candidate[i] = (struct candidate){
		.weight = weight_of(server, board_by_hand(board, server->column),
			board_verdict(board, server->column).weight),
		.live = board_places(board, server->column, PLACE_LIVE),
		.latency = pool_server_latency(server),
		.id = server->id,
		.credit = &server->credit,
	};
}

static void find_ticket(struct pool *pool, struct survey *survey)
{
	const struct pool_world *world = &pool->pools->world;
	uint64_t ticket;
	int row = board_waiting(world->board, pool->column, &ticket);

	survey->foreign = row >= 0 && row != world->row ? ticket : 0;
}

static void survey_all(struct lending *lending)
{
	struct pool *pool = lending->loan.pool;
	struct pools *pools = pool->pools;
	struct survey *survey = &pools->survey;
	struct pool_conn *idle;

	*survey = (struct survey){.rank = NO_RANK};
	find_ticket(pool, survey);
	for (unsigned i = 0; i < pool->servers; i++) {
		pools->rank[i] = rank_of(lending, &pool->server[i], survey);
		if (pools->rank[i] < survey->rank)
			survey->rank = pools->rank[i];
	}
	survey->usable = survey->rank != NO_RANK;
	for (unsigned i = 0; survey->usable && i < pool->servers; i++) {
		if (pools->rank[i] == survey->rank &&
			has_place(lending, &pool->server[i], survey, &idle))
			add_candidate(pools, &pool->server[i], idle);
	}
}

/* ---- taking what was chosen ---- */

static void take_loan(struct lending *lending, struct pool_server *server)
{
	const struct pool_world *world = &server->pool->pools->world;

	assert(!lending->loan.server);
	board_claim(world->board, world->row, server->column, PLACE_LIVE, 0);
	lending->loan.server = server;
	lending->loan.column = server->column;
	lending->loan.server_name = server->name;
}

static bool take(struct lending *lending, const struct choice *choice)
{
	struct pool_server *server = choice->server;
	const struct pool_world *world = &server->pool->pools->world;

	if (choice->idle) {
		pool_conn_turn(choice->idle, CONN_LENT);
		choice->idle->lending = lending;
		lending->conn = choice->idle;
	} else if (!board_claim(world->board, world->row, server->column, PLACE_OPEN,
			   pool_server_limit(server))) {
		return false;
	}
	KILL_POINT("lend: a connection, not lent");
	take_loan(lending, server);
	return true;
}

/* "2", or "0.25" in slow start; in whole numbers, since this is said for each message. */
static void weight_text(uint32_t weight, char *text_r, size_t room)
{
	uint32_t hundredths = weight % WEIGHT * 100 / WEIGHT;

	if (hundredths == 0 && weight >= WEIGHT)
		snprintf(text_r, room, "%u", weight / WEIGHT);
	else
		snprintf(text_r, room, "%u.%02u", weight / WEIGHT, hundredths);
}

static void say_why(struct lending *lending, const struct candidate *chosen, int n)
{
	const struct pool *pool = lending->loan.pool;
	const struct survey *survey = &pool->pools->survey;
	static const char *const levels[] = {
		[LEVEL_GOOD] = "",
		[LEVEL_AVOIDED] = ", avoided but no other",
		[LEVEL_EJECTED] = ", ejected but no other",
		[LEVEL_NAMELESS] = ", its name was not known before",
	};
	int64_t tier = survey->rank % TIERS;
	char tier_text[32] = "", weight[16];

	if (tier != pool->first_tier)
		snprintf(tier_text, sizeof(tier_text), ", tier %lld", (long long)tier);
	weight_text(chosen->weight, weight, sizeof(weight));
	snprintf(lending->loan.why, sizeof(lending->loan.why), "%s: live %u/%s, of %d%s%s",
		pool->settings->balance.ops->name, chosen->live, weight, n, tier_text,
		levels[survey->rank / TIERS]);
}

/* ---- probes ---- */

/*
 * A server that is probed takes one real transaction when control says so, from whoever comes
 * first: if it fails, that one goes to another server.  A probe waits for no place, doesn't
 * overtake, and isn't made on a tier that isn't in use.
 */
static bool take_probe(struct lending *lending, struct pool_server *server)
{
	struct pools *pools = server->pool->pools;
	struct survey *survey = &pools->survey;
	struct choice choice = {.server = server};

	if (!has_place(lending, server, survey, &choice.idle))
		return false;
	if (!board_take_probe(pools->world.board, server->column))
		return false;
	if (!take(lending, &choice)) {
		board_grant_probe(pools->world.board, server->column);
		return false;
	}
	snprintf(lending->loan.why, sizeof(lending->loan.why), "probe: is it well again?");
	return true;
}

static bool find_probe(struct lending *lending)
{
	struct pool *pool = lending->loan.pool;
	struct pools *pools = pool->pools;
	int64_t tier = pools->survey.rank % TIERS;

	for (unsigned i = 0; i < pool->servers; i++) {
		struct pool_server *server = &pool->server[i];

		if (pools->rank[i] / TIERS == LEVEL_EJECTED && server->settings->tier <= tier &&
			board_verdict(pools->world.board, server->column).state == SERVER_PROBING &&
			take_probe(lending, server))
			return true;
	}
	return false;
}

/* ---- the pick ---- */

static void forget_candidate(struct pools *pools, int at)
{
	int last = --pools->survey.candidates;

	pools->candidate[at] = pools->candidate[last];
	pools->choice[at] = pools->choice[last];
}

static enum pick picked(const struct lending *lending)
{
	return lending->conn ? PICK_IDLE : PICK_OPEN;
}

enum pick pool_pick(struct lending *lending)
{
	struct pool *pool = lending->loan.pool;
	struct pools *pools = pool->pools;
	const struct balance_ops *ops = pool->settings->balance.ops;
	struct survey *survey = &pools->survey;

	assert(!lending->conn);
	survey_all(lending);
	if (!survey->usable)
		return PICK_NONE;
	if (find_probe(lending))
		return picked(lending);
	while (survey->candidates > 0) {
		int n = survey->candidates;
		int at = ops->pick(pools->candidate, n, lending->want.key, rng_next(&pools->rng));

		if (take(lending, &pools->choice[at])) {
			say_why(lending, &pools->candidate[at], n);
			return picked(lending);
		}
		forget_candidate(pools, at);
	}
	return PICK_WAIT;
}

enum err pool_pick_none(const struct lending *lending, struct err_text *text)
{
	const struct pool *pool = lending->loan.pool;
	const struct survey *survey = &pool->pools->survey;

	if (survey->lacking > 0 && !pool_could(pool, lending->want.needs, lending->want.size))
		return err_set(text, ERR_MISSING, "no server of pool %s has what the message needs",
			pool->name);
	return err_set(text, ERR_DOWN,
		"no server of pool %s: of %u %u down, %u drained, %u tried before, %u lacking what "
		"the message needs, %u failed now%s%s",
		pool->name, pool->servers, survey->out, survey->drained, survey->tried,
		survey->lacking, survey->failed, lending->text[0] ? ": " : "", lending->text);
}
