/*
 * The dialogues, and their worlds one after the other.
 *
 * What must hold is what always holds: nothing acknowledged that no server has, nothing doubled,
 * nothing left behind.  A failed allocation ends the process (memory that runs out is no state to
 * go on in); the master replaces it, and its clients try again.
 */
#include "sim/below.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "sim/campaign.h"

struct dialogue {
	const char *name;
	enum sim_fault faults[4]; /* always rolled as true, before the calm; ended by 0 */
	unsigned clients, servers, workers, max_connections;
	bool named, checks;
	enum sim_fault seldom; /* once in four rolls */
};

/* FAULT_segments is 0: the end of a list, and on nowhere. */
static const struct dialogue dialogues[] = {
	{"one message in lockstep", {0}, 1, 1, 1, 5},
	{"a pipelined message", {FAULT_client_pipelines}, 1, 1, 1, 5},
	{"BDAT", {FAULT_client_bdat}, 1, 2, 1, 5},
	{"BDAT in one write", {FAULT_client_bdat, FAULT_client_bdat_pipelined}, 1, 2, 1, 5},
	{"a large body", {FAULT_client_large}, 1, 2, 1, 5},
	{"a large body by BDAT", {FAULT_client_large, FAULT_client_bdat}, 1, 2, 1, 5},
	{"many recipients", {FAULT_client_many_recipients, FAULT_client_pipelines}, 1, 2, 1, 5},
	{"recipients refused", {FAULT_client_many_recipients}, 1, 2, 1, 5,
		.seldom = FAULT_server_rcpt_refused},
	{"a replay after 354", {FAULT_client_pipelines}, 2, 3, 1, 5,
		.seldom = FAULT_server_354_closes},
	{"a replay after the end", {0}, 2, 3, 1, 5, .seldom = FAULT_server_end_trouble},
	{"a reply that never comes", {0}, 2, 2, 1, 5, .seldom = FAULT_server_end_lost},
	{"421 in the envelope", {0}, 2, 3, 1, 5, .seldom = FAULT_server_421},
	{"connections found closed", {FAULT_server_idle_close}, 2, 2, 1, 5},
	{"a reply nobody asked for", {0}, 2, 2, 1, 5, .seldom = FAULT_server_extra_reply},
	{"connections refused", {0}, 2, 3, 1, 5, .seldom = FAULT_server_refuses_connection},
	{"waiting for the one place", {0}, 4, 1, 2, 1},
	{"servers by name, with checks", {0}, 1, 3, 1, 5, .named = true, .checks = true},
	{"a false end of data", {0}, 1, 1, 1, 5, .seldom = FAULT_client_smuggles},
	{"clients that vanish", {0}, 3, 2, 1, 5, .seldom = FAULT_client_vanishes},
	{"reloads", {0}, 2, 2, 2, 5, .checks = true, .seldom = FAULT_reload},
};
enum { DIALOGUES = sizeof(dialogues) / sizeof(dialogues[0]) };

static void scene_of(const struct dialogue *dialogue, uint64_t seed, struct scene *scene)
{
	scene_draw(scene, seed, 4);
	memset(scene->rate, 0, sizeof(scene->rate));
	for (int i = 0; i < 4 && dialogue->faults[i]; i++)
		scene->rate[dialogue->faults[i]] = 9999;
	if (dialogue->seldom)
		scene->rate[dialogue->seldom] = 2500;
	scene->clients = dialogue->clients;
	scene->servers = dialogue->servers;
	scene->workers = dialogue->workers;
	scene->max_connections = dialogue->max_connections;
	scene->descriptors = 1000;
	scene->mails = 2;
	scene->spare = 0;
	scene->named_servers = dialogue->named;
	scene->checks = dialogue->checks;
	scene->resend_ambiguous = false;
	scene->calm_after = 20 * SECOND;
}

struct below_case {
	const struct dialogue *dialogue;
	enum scene_below below;
	unsigned worker; /* 0: control */
	uint64_t n, stride;
};

/* campaign's worlds are the cases: the seed is the number of the call that fails. */
static void change(struct scene *scene, const void *arg)
{
	const struct below_case *below = arg;
	uint64_t nth = scene->seed;
	scene_of(below->dialogue, below->n, scene);
	scene->below = below->below;
	scene->below_worker = below->worker;
	scene->below_n = nth * below->stride;
}

/* False: it fails as it is. */
static bool count(const struct below_case *below, uint64_t *count_r)
{
	struct run_result result;
	struct scene scene = {.seed = 0};
	change(&scene, below);
	run_world_apart(&scene, false, &result);
	if (result.failed)
		printf("%s: %s: %s\n", below->dialogue->name, result.check, result.words);
	*count_r = result.below;
	return !result.failed;
}

static bool run_case(const struct below_case *below, unsigned jobs, uint64_t *worlds)
{
	struct campaign campaign = {
		.seed = 1,
		.world_messages = 1,
		.jobs = jobs,
		.change = change,
		.arg = below,
	};
	struct campaign_result result;
	if (!count(below, &campaign.messages))
		return false;
	campaign.messages /= below->stride;
	if (campaign.messages == 0)
		return true; /* control makes no call that could fail in this one */
	campaign_run(&campaign, &result);
	*worlds += result.worlds;
	if (!result.sums.failed)
		return true;
	printf("FAILED: %s, %s %" PRIu64 " of %s fails: %s: %s\n", below->dialogue->name,
		below->below == BELOW_CALL ? "call" : "allocation",
		result.failed_seed * below->stride, below->worker ? "a worker" : "control",
		result.sums.check, result.sums.words);
	return false;
}

int below_run(uint64_t seed, unsigned stride, unsigned jobs)
{
	unsigned failed = 0;
	uint64_t all = 0;
	printf("%-32s %12s %12s\n", "dialogue", "allocations", "calls");
	for (int i = 0; i < DIALOGUES; i++) {
		uint64_t worlds[2] = {0};
		for (int below = BELOW_ALLOCATION; below <= BELOW_CALL; below++) {
			for (unsigned worker = 0; worker <= dialogues[i].workers; worker++) {
				struct below_case one = {&dialogues[i], (enum scene_below)below,
					worker, seed, stride};
				if (!run_case(&one, jobs, &worlds[below - BELOW_ALLOCATION]))
					failed++;
			}
		}
		printf("%-32s %12" PRIu64 " %12" PRIu64 "\n", dialogues[i].name, worlds[0],
			worlds[1]);
		all += worlds[0] + worlds[1];
	}
	printf("%d dialogues, %" PRIu64 " faults from below, %u failed\n", DIALOGUES, all, failed);
	return failed ? EX_SOFTWARE : EX_OK;
}
