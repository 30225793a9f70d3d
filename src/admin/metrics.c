/*
 * /metrics: every number of the board's table, and what is derived from verdicts and places, in
 * Prometheus' text format.  The derived ones are declared here as the others are in
 * board/metric.h: docs/metrics.md is generated from both.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "admin/admin.h"

/* DERIVED(id, type, labels, "meaning", how) */
#define DERIVED_METRICS(DERIVED)                                                                   \
	DERIVED(server_up, "pool,server", "1 while the server takes mail, else 0", server_is_up)   \
	DERIVED(server_drained, "pool,server", "1 while it is drained by hand", server_is_drained) \
	DERIVED(server_weight, "pool,server",                                                      \
		"Share of its configured weight, 1 after slow start", server_weight)               \
	DERIVED(server_connections, "pool,server", "Open connections, idle ones included",         \
		server_open)                                                                       \
	DERIVED(server_connections_idle, "pool,server", "Connections kept warm", server_idle)      \
	DERIVED(server_transactions, "pool,server", "Transactions in progress", server_live)

struct derived {
	const char *id, *labels, *help;
	double (*value)(const struct board *board, int column);
};

static double server_is_up(const struct board *board, int column)
{
	return board_verdict(board, column).state == SERVER_UP;
}

static double server_is_drained(const struct board *board, int column)
{
	return board_by_hand(board, column).drained;
}

static double server_weight(const struct board *board, int column)
{
	return board_verdict(board, column).weight / 256.0;
}

static double server_open(const struct board *board, int column)
{
	return board_places(board, column, PLACE_OPEN);
}

static double server_idle(const struct board *board, int column)
{
	return board_places(board, column, PLACE_IDLE);
}

static double server_live(const struct board *board, int column)
{
	return board_places(board, column, PLACE_LIVE);
}

static const struct derived derived[] = {
#define DERIVED_ROW(id, labels, help, how) {"mailweir_" #id, labels, help, how},
	DERIVED_METRICS(DERIVED_ROW)
#undef DERIVED_ROW
};

static const char *const process_help[][2] = {
	{"mailweir_generation", "Which generation carries the mail; each reload begins a new one"},
	{"mailweir_processes", "Processes that are ready, by role"},
};

static const char *const kind_word[BOARD_KINDS] = {
	[BOARD_PROCESS] = "process",
	[BOARD_LISTENER] = "listener",
	[BOARD_POOL] = "pool",
	[BOARD_SERVER] = "server",
};

/* mailweir_listener_bytes_in_bytes_total would say it twice. */
static void add_name(const struct metric_row *row, struct buf *into)
{
	buf_addf(into, "mailweir_%s_%s", kind_word[row->kind], row->id);
	if (row->unit[0])
		buf_addf(into, "_%s", row->unit);
	if (row->type == METRIC_COUNTER)
		buf_add_text(into, "_total");
}

/* Label values are names from the config: words without quotes, backslashes or control
 * characters, but what a file may hold is not ours to trust. */
static void add_value(struct buf *into, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '"' || text[i] == '\\')
			buf_add(into, "\\", 1);
		buf_add(into, &text[i], 1);
	}
}

/* Without braces; "" for the process. */
static void add_labels(
	const struct board *board, int column, enum board_kind kind, struct buf *into)
{
	const char *name = board_column_name(board, column);
	if (kind == BOARD_PROCESS)
		return;
	if (kind == BOARD_SERVER) {
		const char *slash = strchr(name, '/');
		size_t pool = slash ? (size_t)(slash - name) : 0;
		buf_add_text(into, "pool=\"");
		add_value(into, name, pool);
		buf_add_text(into, "\",");
		name = slash ? slash + 1 : name;
	}
	buf_addf(into, "%s=\"", kind_word[kind]);
	add_value(into, name, strlen(name));
	buf_add_text(into, "\"");
}

static bool is_column(const struct board *board, int column, enum board_kind kind)
{
	return board_column_name(board, column)[0] && board_column_kind(board, column) == kind;
}

static void add_sample(const struct board *board, int column, const struct metric_row *row,
	int64_t value, struct buf *into)
{
	add_name(row, into);
	if (row->kind != BOARD_PROCESS) {
		buf_add_text(into, "{");
		add_labels(board, column, row->kind, into);
		buf_add_text(into, "}");
	}
	buf_addf(into, " %" PRId64 "\n", value);
}

static void add_bucket(const struct board *board, int column, const struct metric_row *row,
	const char *bound, uint64_t count, struct buf *into)
{
	add_name(row, into);
	buf_add_text(into, "_bucket{");
	add_labels(board, column, row->kind, into);
	buf_addf(into, "%sle=\"%s\"} %" PRIu64 "\n", row->kind == BOARD_PROCESS ? "" : ",", bound,
		count);
}

static void add_histogram(
	const struct board *board, int column, enum metric metric, struct buf *into)
{
	const struct metric_row *row = metric_row(metric);
	uint64_t bucket[BOARD_BUCKETS], sum, so_far = 0;
	uint64_t count = board_histogram(board, column, metric, bucket, &sum);
	char bound[32];
	for (unsigned i = 0; i + 1 < BOARD_BUCKETS; i++) {
		so_far += bucket[i];
		snprintf(bound, sizeof bound, "%.6f", (double)(INT64_C(64) << i) / SECOND);
		add_bucket(board, column, row, bound, so_far, into);
	}
	add_bucket(board, column, row, "+Inf", count, into);
	add_name(row, into);
	buf_add_text(into, "_sum{");
	add_labels(board, column, row->kind, into);
	buf_addf(into, "} %.6f\n", (double)sum / SECOND);
	add_name(row, into);
	buf_add_text(into, "_count{");
	add_labels(board, column, row->kind, into);
	buf_addf(into, "} %" PRIu64 "\n", count);
}

static void add_metric(const struct board *board, enum metric metric, struct buf *into)
{
	static const char *const type[] = {"counter", "gauge", "histogram"};
	const struct metric_row *row = metric_row(metric);
	buf_add_text(into, "# HELP ");
	add_name(row, into);
	buf_addf(into, " %s\n# TYPE ", row->help);
	add_name(row, into);
	buf_addf(into, " %s\n", type[row->type]);
	for (int column = 0; column < board_columns(board); column++) {
		if (!is_column(board, column, row->kind))
			continue;
		if (row->type == METRIC_HISTOGRAM)
			add_histogram(board, column, metric, into);
		else
			add_sample(board, column, row, board_sum(board, column, metric), into);
	}
}

static void add_derived(const struct board *board, const struct derived *metric, struct buf *into)
{
	buf_addf(into, "# HELP %s %s\n# TYPE %s gauge\n", metric->id, metric->help, metric->id);
	for (int column = 0; column < board_columns(board); column++) {
		if (!is_column(board, column, BOARD_SERVER))
			continue;
		buf_addf(into, "%s{", metric->id);
		add_labels(board, column, BOARD_SERVER, into);
		buf_addf(into, "} %g\n", metric->value(board, column));
	}
}

static unsigned ready_processes(const struct board *board, enum board_role role)
{
	unsigned count = 0;
	for (int row = 0; row < board_rows(board); row++)
		count += board_row_role(board, row) == role && board_is_ready(board, row);
	return count;
}

void admin_metrics(const struct board *board, int64_t now, struct buf *into)
{
	(void)now;
	for (unsigned metric = 0; metric < METRIC_COUNT; metric++)
		add_metric(board, metric, into);
	for (size_t i = 0; i < sizeof derived / sizeof derived[0]; i++)
		add_derived(board, &derived[i], into);
	buf_addf(into, "# HELP %s %s\n# TYPE %s gauge\n%s %u\n", process_help[0][0],
		process_help[0][1], process_help[0][0], process_help[0][0],
		board_generation(board));
	buf_addf(into, "# HELP %s %s\n# TYPE %s gauge\n", process_help[1][0], process_help[1][1],
		process_help[1][0]);
	buf_addf(into, "%s{role=\"worker\"} %u\n", process_help[1][0],
		ready_processes(board, ROW_WORKER));
	buf_addf(into, "%s{role=\"control\"} %u\n", process_help[1][0],
		ready_processes(board, ROW_CONTROL));
}

void admin_metrics_reference(struct buf *into)
{
	static const char *const type[] = {"counter", "gauge", "histogram"};
	static const char *const labels[] = {"", "listener", "pool", "pool, server"};
	buf_add_text(into, "# Metrics\n\nGenerated by `./dev docs` from the tables in the code; "
			   "`GET /metrics` on the admin "
			   "address gives them in Prometheus' text format. Histograms are in "
			   "seconds, with bounds from 64 µs, "
			   "each twice the one before.\n\n| name | type | labels | meaning "
			   "|\n|---|---|---|---|\n");
	for (unsigned metric = 0; metric < METRIC_COUNT; metric++) {
		const struct metric_row *row = metric_row(metric);
		buf_add_text(into, "| `");
		add_name(row, into);
		buf_addf(into, "` | %s | %s | %s |\n", type[row->type], labels[row->kind],
			row->help);
	}
	for (size_t i = 0; i < sizeof derived / sizeof derived[0]; i++)
		buf_addf(into, "| `%s` | gauge | pool, server | %s |\n", derived[i].id,
			derived[i].help);
	buf_addf(into, "| `%s` | gauge | | %s |\n", process_help[0][0], process_help[0][1]);
	buf_addf(into, "| `%s` | gauge | role | %s |\n", process_help[1][0], process_help[1][1]);
}
