/*
 * Reports.
 */
#include "sim/report.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { SHRINK_RUNS = 250 };

void report_sums(const struct run_result *sums, uint64_t worlds)
{
	const struct ledger_sums *ledger = &sums->ledger;
	printf("%" PRIu64 " messages in %" PRIu64 " attempts: %" PRIu64 " acknowledged, %" PRIu64
	       " refused\n",
		ledger->mails, ledger->attempts, ledger->acknowledged, ledger->refused);
	printf("%" PRIu64 " commits, %" PRIu64 " doubled with cause, %" PRIu64
	       " attempts in doubt; counted by us: %" PRIu64 " ambiguous, %" PRIu64
	       " unheard, %" PRIu64 " replays\n",
		ledger->commits, ledger->doubled, ledger->in_doubt, sums->ambiguous, sums->unheard,
		sums->replays);
	printf("%" PRIu64 " worlds, %.1f simulated hours, %" PRIu64 " client sessions, %" PRIu64
	       " server connections, %" PRIu64 " commands at servers\n",
		worlds, (double)sums->simulated / (double)HOUR, sums->client_sessions,
		sums->server_sessions, sums->server_commands);
	printf("%" PRIu64 " turns, %" PRIu64 " steps, %" PRIu64 " deaths, %" PRIu64
	       " reloads, at most %.1f MiB in one process\n",
		sums->turns, sums->steps, sums->deaths, sums->reloads,
		(double)sums->memory_peak / (1 << 20));
	printf("%" PRIu64 " looks at who waits for a place, %" PRIu64 " of them excused\n",
		sums->waits_seen, sums->waits_excused);
	printf("faults:");
	for (int i = 0; i < FAULTS; i++) {
		if (sums->faults[i])
			printf("%s %s %" PRIu64, i % 4 ? "," : "\n ", fault_name((enum sim_fault)i),
				sums->faults[i]);
	}
	printf("\n");
}

/* ---- a failure ---- */

static void print_names(const struct scene *scene)
{
	const char *between = "";
	for (int i = 0; i < FAULTS; i++) {
		if (scene->rate[i] == 0)
			continue;
		printf("%s%s", between, fault_name((enum sim_fault)i));
		between = ",";
	}
	if (!*between)
		printf("none");
}

/* What of the scene is not as its seed has it. */
static void print_command(const struct campaign *campaign, const struct scene *scene)
{
	struct scene drawn;
	scene_draw(&drawn, scene->seed, campaign->world_messages);
	printf("  ./dev sim --seed %" PRIu64 " --world %u", scene->seed, campaign->world_messages);
	if (campaign->plant)
		printf(" --plant %s", campaign->plant);
	if (scene->shake != 0)
		printf(" --shake %u", scene->shake);
	if (scene->absent != drawn.absent)
		printf(" --absent %" PRIx64, scene->absent);
	if (scene->mails != drawn.mails)
		printf(" --mails %u", scene->mails);
	if (scene->workers != drawn.workers)
		printf(" --workers %u", scene->workers);
	if (scene->servers != drawn.servers)
		printf(" --servers %u", scene->servers - scene->spare);
	if (scene->checks != drawn.checks)
		printf(" --no-checks");
	if (scene->named_servers != drawn.named_servers)
		printf(" --no-names");
	if (memcmp(scene->rate, drawn.rate, sizeof(drawn.rate)) != 0) {
		printf(" --only ");
		print_names(scene);
	}
	printf("\n");
}

/* Cut short, it may end within a line. */
static void print_state(const struct run_result *result)
{
	size_t len = strlen(result->state);
	printf("%s%s", result->state, len > 0 && result->state[len - 1] != '\n' ? " ...\n" : "");
}

static void show_conversation(const struct scene *scene)
{
	struct run_result result;
	struct trace *trace = trace_new();
	run_world(scene, trace, &result);
	trace_tell(trace, stdout, result.words);
	printf("%s: %s\n", result.check, result.words);
	print_state(&result);
	trace_free(&trace);
}

void report_failure(const struct campaign *campaign, uint64_t seed, const struct run_result *result,
	bool shrink)
{
	struct scene scene;
	campaign_scene(campaign, seed, &scene);
	printf("FAILED in the world of seed %" PRIu64 ": %s: %s\n", seed, result->check,
		result->words);
	print_state(result);
	printf("again:\n");
	print_command(campaign, &scene);
	if (!shrink || strcmp(result->check, RUN_TOO_SLOW) == 0)
		return;
	run_shrink(&scene, result->check, SHRINK_RUNS);
	printf("the smallest world found that fails alike:\n");
	print_command(campaign, &scene);
	if (!result->crashed) {
		show_conversation(&scene);
	} else {
		struct run_result again;
		fflush(stdout);
		run_world_apart(&scene, true, &again);
	}
}

bool report_keep_only(struct scene *scene, const char *names)
{
	bool keep[FAULTS] = {0};
	struct span rest = span_of(names);
	while (rest.len > 0 && !span_is(rest, "none")) {
		char name[64];
		size_t end = span_find(rest, ',');
		snprintf(name, sizeof(name), "%.*s", (int)end, rest.at);
		enum sim_fault fault = fault_by_name(name);
		if (fault == FAULTS) {
			fprintf(stderr, "no such kind of fault: %s; --faults lists them\n", name);
			return false;
		}
		keep[fault] = true;
		rest = span_from(rest, end < rest.len ? end + 1 : end);
	}
	for (int i = 0; i < FAULTS; i++) {
		if (!keep[i])
			scene->rate[i] = 0;
	}
	return true;
}
