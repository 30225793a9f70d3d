/*
 * What the demo prints: where things are, how it goes, and what came out.  On a terminal the
 * state is drawn over itself; elsewhere it is a line every few seconds.
 */
#include <stdio.h>
#include <sysexits.h>

#include "bin/demo_cmd.h"

#define BAR 40

typedef unsigned long long ull;

static double percent(uint64_t part, uint64_t whole)
{
	return whole ? 100.0 * (double)part / (double)whole : 0;
}

static ull not_accepted(const struct load_totals *load)
{
	return load->failed + load->given_up;
}

static uint64_t sum_accepted(const struct demo_parts *parts)
{
	uint64_t sum = 0;
	for (int i = 0; i < DEMO_SINKS; i++)
		sum += parts->sinks[i].totals->accepted;
	return sum;
}

static void table_row(const struct demo_sink *sink, uint64_t accepted, uint64_t all)
{
	printf("%-8s %9llu  %5.1f %%%s\n", sink->name, (ull)accepted, percent(accepted, all),
		sink->killed ? "  killed" : "");
}

static void table_head(void)
{
	printf("%-8s %9s  %7s\n", "server", "accepted", "share");
}

/* The next drawing goes over the last one. */
static void erase(struct demo_show *show)
{
	if (show->drawn > 0)
		printf("\033[%uA\033[J", show->drawn);
	show->drawn = 0;
}

void demo_show_begin(
	struct demo_show *show, const struct demo_wishes *wishes, const struct demo_parts *parts)
{
	*show = (struct demo_show){.terminal = sys_file_is_terminal(1)};
	printf("balancer   127.0.0.1:%u\n", wishes->port);
	printf("metrics    http://127.0.0.1:%u/metrics\n", wishes->admin_port);
	printf("servers   ");
	for (int i = 0; i < DEMO_SINKS; i++)
		printf(" %s 127.0.0.1:%u", parts->sinks[i].name, parts->sinks[i].port);
	if (wishes->messages == 0)
		printf("\nload       %u messages a second; Ctrl-C ends all", wishes->rate);
	printf("\n\n");
	fflush(stdout);
}

static void show_bar(
	struct demo_show *show, const struct demo_wishes *wishes, const struct load_totals *load)
{
	char bar[BAR + 1];
	uint64_t settled = load->accepted + load->failed + load->given_up;
	for (unsigned i = 0; i < BAR; i++)
		bar[i] = (uint64_t)i * wishes->messages < settled * BAR ? '#' : '.';
	bar[BAR] = '\0';
	printf("[%s] %llu of %llu\n", bar, (ull)settled, (ull)wishes->messages);
	show->drawn++;
}

static void show_table(struct demo_show *show, const struct demo_parts *parts)
{
	uint64_t all = sum_accepted(parts);
	table_head();
	for (int i = 0; i < DEMO_SINKS; i++)
		table_row(&parts->sinks[i], parts->sinks[i].totals->accepted, all);
	show->drawn += DEMO_SINKS + 1;
}

static void show_line(const struct demo_parts *parts, const struct load_totals *load)
{
	uint64_t all = sum_accepted(parts);
	printf("accepted %llu", (ull)load->accepted);
	for (int i = 0; i < DEMO_SINKS; i++) {
		const struct demo_sink *sink = &parts->sinks[i];
		printf("  %s %llu (%.1f %%)", sink->name, (ull)sink->totals->accepted,
			percent(sink->totals->accepted, all));
	}
	printf("  deferred %llu  failed %llu\n", (ull)load->deferred, not_accepted(load));
}

void demo_show_progress(struct demo_show *show, const struct demo_wishes *wishes,
	const struct demo_parts *parts, const struct load_totals *load)
{
	if (!show->terminal) {
		show_line(parts, load);
	} else if (wishes->messages > 0) {
		erase(show);
		show_bar(show, wishes, load);
	} else {
		erase(show);
		show_table(show, parts);
		printf("deferred %llu, failed %llu\n", (ull)load->deferred, not_accepted(load));
		show->drawn++;
	}
	fflush(stdout);
}

int demo_show_proof(
	struct demo_show *show, const struct demo_proof *proof, const struct demo_parts *parts)
{
	uint64_t all = 0, guilty = proof->doubled - proof->excused;
	erase(show);
	for (int i = 0; i < DEMO_SINKS; i++)
		all += proof->per_sink[i];
	table_head();
	for (int i = 0; i < DEMO_SINKS; i++)
		table_row(&parts->sinks[i], proof->per_sink[i], all);
	printf("\nsent %llu, accepted %llu, lost %llu, doubled %llu\n", (ull)proof->sent,
		(ull)proof->accepted, (ull)proof->lost, (ull)proof->doubled);
	if (proof->excused > 0)
		printf("%llu of the doubled had a try without a definite reply: the server was "
		       "lost "
		       "between taking\nthe message and saying so, and nobody can know.\n",
			(ull)proof->excused);
	fflush(stdout);
	return proof->accepted == proof->sent && proof->lost == 0 && guilty == 0 ? EX_OK : 1;
}
