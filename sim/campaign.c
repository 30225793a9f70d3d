/*
 * Each job is a process that takes every jobs-th world.  What they found is in memory they share,
 * so that a job that crashes is a finding too: its last seed is known.
 */
#include "sim/campaign.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { JOBS_MAX = 16, WORLD_SECONDS_MAX = 300 };

struct job {
	pid_t pid;
	uint64_t seed; /* of the world in progress */
	uint64_t worlds;
	uint64_t fingerprint;
	struct run_result sums;
};

struct shared {
	volatile sig_atomic_t stop;
	struct job job[JOBS_MAX];
};

void campaign_scene(const struct campaign *campaign, uint64_t seed, struct scene *scene)
{
	scene_draw(scene, seed, campaign->world_messages);
	if (campaign->change)
		campaign->change(scene, campaign->arg);
}

static void add(struct run_result *sum, const struct run_result *one)
{
	sum->steps += one->steps;
	sum->turns += one->turns;
	sum->deaths += one->deaths;
	sum->reloads += one->reloads;
	sum->client_sessions += one->client_sessions;
	sum->server_sessions += one->server_sessions;
	sum->server_commands += one->server_commands;
	sum->ambiguous += one->ambiguous;
	sum->unheard += one->unheard;
	sum->replays += one->replays;
	sum->waits_seen += one->waits_seen;
	sum->waits_excused += one->waits_excused;
	sum->ledger.mails += one->ledger.mails;
	sum->ledger.attempts += one->ledger.attempts;
	sum->ledger.acknowledged += one->ledger.acknowledged;
	sum->ledger.refused += one->ledger.refused;
	sum->ledger.commits += one->ledger.commits;
	sum->ledger.doubled += one->ledger.doubled;
	sum->ledger.in_doubt += one->ledger.in_doubt;
	sum->simulated += one->simulated;
	if (one->memory_peak > sum->memory_peak)
		sum->memory_peak = one->memory_peak;
	for (int i = 0; i < FAULTS; i++)
		sum->faults[i] += one->faults[i];
	if (!one->failed)
		return;
	sum->failed = true;
	memcpy(sum->check, one->check, sizeof(sum->check));
	memcpy(sum->words, one->words, sizeof(sum->words));
	memcpy(sum->state, one->state, sizeof(sum->state));
}

static void work(const struct campaign *campaign, struct shared *shared, unsigned number)
{
	struct job *job = &shared->job[number];
	uint64_t worlds =
		(campaign->messages + campaign->world_messages - 1) / campaign->world_messages;
	for (uint64_t i = number; i < worlds && !shared->stop; i += campaign->jobs) {
		struct scene scene;
		struct run_result result;
		job->seed = campaign->seed + i;
		campaign_scene(campaign, job->seed, &scene);
		alarm(WORLD_SECONDS_MAX);
		run_world(&scene, NULL, &result);
		job->worlds++;
		job->fingerprint ^= result.fingerprint * (2 * i + 1);
		add(&job->sums, &result);
		if (result.failed) {
			shared->stop = 1;
			break;
		}
	}
}

static void start(const struct campaign *campaign, struct shared *shared, unsigned number)
{
	pid_t pid = fork();
	if (pid < 0)
		die("sim: no process");
	if (pid == 0) {
		/* The log's complaints about a full disk, which is what it was given. */
		if (freopen("/dev/null", "w", stderr) == NULL)
			_exit(1);
		work(campaign, shared, number);
		_exit(0);
	}
	shared->job[number].pid = pid;
}

static void show_progress(const struct campaign *campaign, const struct shared *shared)
{
	uint64_t mails = 0, worlds = 0;
	for (unsigned i = 0; i < campaign->jobs; i++) {
		mails += shared->job[i].sums.ledger.mails;
		worlds += shared->job[i].worlds;
	}
	fprintf(stderr, "\r%" PRIu64 " of %" PRIu64 " messages, %" PRIu64 " worlds ", mails,
		campaign->messages, worlds);
}

static void wait_for(const struct campaign *campaign, struct shared *shared)
{
	unsigned left = campaign->jobs;
	while (left > 0) {
		int status;
		pid_t pid = waitpid(-1, &status, campaign->progress ? WNOHANG : 0);
		if (pid == 0) {
			show_progress(campaign, shared);
			usleep(200000);
			continue;
		}
		for (unsigned i = 0; i < campaign->jobs; i++) {
			if (shared->job[i].pid != pid)
				continue;
			left--;
			if (status != 0) {
				run_note_crash(&shared->job[i].sums, status, WORLD_SECONDS_MAX);
				shared->stop = 1;
			}
		}
	}
	if (campaign->progress)
		fprintf(stderr, "\r%60s\r", "");
}

void campaign_run(const struct campaign *campaign, struct campaign_result *result)
{
	struct shared *shared = mmap(
		NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		die("sim: no memory");
	memset(result, 0, sizeof(*result));
	fflush(stdout);
	fflush(stderr);
	for (unsigned i = 0; i < campaign->jobs; i++)
		start(campaign, shared, i);
	wait_for(campaign, shared);
	for (unsigned i = 0; i < campaign->jobs; i++) {
		const struct job *job = &shared->job[i];
		add(&result->sums, &job->sums);
		result->sums.crashed |= job->sums.crashed;
		result->worlds += job->worlds;
		result->fingerprint ^= job->fingerprint;
		if (job->sums.failed)
			result->failed_seed = job->seed;
	}
	munmap(shared, sizeof(*shared));
}
