/*
 * What the house says of itself, held against what it does: verdicts, the log, sessions.
 */
#include "sim/house_inside.h"

/* ---- verdicts ---- */

static bool any_control_dead(const struct house *house)
{
	HOUSE_EACH_GENERATION(generation, house)
	{
		for (unsigned i = 0; i < generation->children; i++) {
			const struct house_child *child = &generation->child[i];
			if (child->role == ROW_CONTROL && !child->sys)
				return true;
		}
	}
	return false;
}

/* A server changes its state only by a transition, which is counted and logged: not by a reload,
 * nor by a new control.  One that dies in between has changed it and not counted. */
void house_check_verdicts(struct house *house)
{
	for (int column = 0; column < board_columns(house->board); column++) {
		struct house_verdict *seen = &house->verdict[column];
		if (board_column_kind(house->board, column) != BOARD_SERVER) {
			*seen = (struct house_verdict){0}; /* another server may get it */
			continue;
		}
		enum server_state state = board_verdict(house->board, column).state;
		int64_t transitions = board_sum(house->board, column, M_SERVER_transitions);
		if (state != seen->state && transitions == seen->transitions &&
			!any_control_dead(house))
			world_fail(house->world, "verdict-changed", "%s was %s and is %s, and why?",
				board_column_name(house->board, column),
				server_state_name(seen->state), server_state_name(state));
		*seen = (struct house_verdict){.state = state, .transitions = transitions};
	}
}

/* ---- the log ---- */

/* One object of JSON and nothing else; its strings hold no control character. */
static bool is_whole(struct span line)
{
	bool quoted = false;
	int depth = 0;
	for (size_t i = 0; i < line.len; i++) {
		char c = line.at[i];
		if ((unsigned char)c < ' ' || (depth == 0 && i > 0))
			return false;
		if (quoted && c == '\\')
			i++;
		else if (c == '"')
			quoted = !quoted;
		else if (!quoted)
			depth += (c == '{' || c == '[') - (c == '}' || c == ']');
	}
	return line.len > 0 && depth == 0 && !quoted;
}

void house_check_log(struct house *house)
{
	struct span rest = {0};
	if (house->box.files)
		rest = sim_files_get(house->box.files, "/log");
	while (rest.len > 0) {
		size_t end = span_find(rest, '\n');
		struct span line = {.at = rest.at, .len = end};
		if (end == rest.len || !span_starts_nocase(line, "{\"time\":\"") || !is_whole(line))
			world_fail(house->world, "log-torn",
				"a line of the log, of %zu octets, is not whole: %.*s", line.len,
				(int)(line.len < 200 ? line.len : 200), line.at);
		rest = span_from(rest, end < rest.len ? end + 1 : end);
	}
}

/* ---- rest ---- */

bool house_is_at_rest(const struct house *house)
{
	for (int column = 0; column < board_columns(house->board); column++) {
		enum board_kind kind = board_column_kind(house->board, column);
		if (kind == BOARD_LISTENER &&
			(board_sum(house->board, column, M_LISTENER_sessions) != 0 ||
				board_sum(house->board, column, M_LISTENER_in_gap) != 0))
			return false;
		if (kind == BOARD_SERVER && board_places(house->board, column, PLACE_LIVE) != 0)
			return false;
	}
	return true;
}
