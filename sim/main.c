/*
 * mailweir-sim: try to break Mailweir in a simulated world.
 *
 *     mailweir-sim --messages 100000 [--seed N]   many worlds, from this seed or a fresh one
 *     mailweir-sim --seed N                       one world again, exactly
 *     mailweir-sim --plants                       does it catch what was broken on purpose?
 *     mailweir-sim --below                        every allocation and every call fails once
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "base/testing.h"
#include "sim/below.h"
#include "sim/campaign.h"
#include "sim/plants.h"
#include "sim/report.h"

struct wishes {
	struct campaign campaign;
	bool seed_given, plants, below, trace, no_shrink;
	bool no_checks, no_names;
	const char *only; /* kinds of faults, by comma; NULL: as drawn */
	uint64_t absent;
	unsigned shake, mails, workers, servers, stride;
};

static const char usage[] =
	"usage: mailweir-sim [--messages N] [--seed N] [options]\n"
	"  --messages N   worlds until so many messages were sent (default: one world)\n"
	"  --seed N       of the first world (default: a fresh one, which is printed)\n"
	"  --world N      messages in a world (default 300)\n"
	"  --jobs N       worlds at a time (default: as many as processors)\n"
	"  --trace        print what happened in the one world, failed or not\n"
	"  --only A,B     only these kinds of faults; 'none': none\n"
	"  --absent HEX   clients that stay away, as bits\n"
	"  --mails N --workers N --servers N\n"
	"  --no-checks --no-names\n"
	"                 smaller than drawn, without checks, servers by address; a failure prints "
	"the options that repeat it\n"
	"  --shake N      the same actors with another luck in between\n"
	"  --no-shrink    don't look for a smaller world that fails alike\n"
	"  --plant NAME   with this defect planted\n"
	"  --plants       plant each defect in turn; all must be caught\n"
	"  --below        faults from below; with --stride N only every N-th\n"
	"  --faults       list the kinds of faults\n";

static void change(struct scene *scene, const void *arg)
{
	const struct wishes *wishes = arg;
	scene->shake = wishes->shake;
	scene->absent |= wishes->absent;
	if (wishes->mails && wishes->mails < scene->mails)
		scene->mails = wishes->mails;
	if (wishes->workers)
		scene->workers = wishes->workers;
	if (wishes->servers && wishes->servers < scene->servers - scene->spare)
		scene->servers = wishes->servers + scene->spare;
	if (wishes->no_checks)
		scene->checks = false;
	if (wishes->no_names)
		scene->named_servers = false;
	if (wishes->only)
		(void)report_keep_only(scene, wishes->only);
}

static uint64_t fresh_seed(void)
{
	uint32_t seed = 0;
	if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		seed = (uint32_t)time(NULL);
	return seed;
}

static int list_faults(void)
{
	for (int i = 0; i < FAULTS; i++)
		printf("%-28s %s\n", fault_name((enum sim_fault)i), fault_text((enum sim_fault)i));
	return EX_OK;
}

enum option_key {
	OPT_MESSAGES = 1000,
	OPT_SEED,
	OPT_WORLD,
	OPT_JOBS,
	OPT_TRACE,
	OPT_ONLY,
	OPT_ABSENT,
	OPT_MAILS,
	OPT_WORKERS,
	OPT_SERVERS,
	OPT_NO_CHECKS,
	OPT_NO_NAMES,
	OPT_SHAKE,
	OPT_NO_SHRINK,
	OPT_PLANT,
	OPT_PLANTS,
	OPT_BELOW,
	OPT_FAULTS,
	OPT_STRIDE
};

static const struct option options[] = {
	{"messages", required_argument, NULL, OPT_MESSAGES},
	{"seed", required_argument, NULL, OPT_SEED},
	{"world", required_argument, NULL, OPT_WORLD},
	{"jobs", required_argument, NULL, OPT_JOBS},
	{"trace", no_argument, NULL, OPT_TRACE},
	{"only", required_argument, NULL, OPT_ONLY},
	{"absent", required_argument, NULL, OPT_ABSENT},
	{"mails", required_argument, NULL, OPT_MAILS},
	{"workers", required_argument, NULL, OPT_WORKERS},
	{"servers", required_argument, NULL, OPT_SERVERS},
	{"no-checks", no_argument, NULL, OPT_NO_CHECKS},
	{"no-names", no_argument, NULL, OPT_NO_NAMES},
	{"shake", required_argument, NULL, OPT_SHAKE},
	{"no-shrink", no_argument, NULL, OPT_NO_SHRINK},
	{"plant", required_argument, NULL, OPT_PLANT},
	{"plants", no_argument, NULL, OPT_PLANTS},
	{"below", no_argument, NULL, OPT_BELOW},
	{"stride", required_argument, NULL, OPT_STRIDE},
	{"faults", no_argument, NULL, OPT_FAULTS},
	{0},
};

static bool number(const char *text, int base, uint64_t most, uint64_t *value_r)
{
	char *end;
	*value_r = strtoull(text, &end, base);
	return *text && *text != '-' && *end == '\0' && *value_r <= most;
}

static bool small(const char *text, unsigned least, unsigned most, unsigned *value_r)
{
	uint64_t value;
	if (!number(text, 10, most, &value) || value < least)
		return false;
	*value_r = (unsigned)value;
	return true;
}

/* False: not an option of ours. */
static bool take(struct wishes *wishes, int option, const char *value)
{
	switch (option) {
	case OPT_MESSAGES:
		return number(value, 10, UINT64_MAX, &wishes->campaign.messages);
	case OPT_SEED:
		wishes->seed_given = true;
		return number(value, 10, UINT64_MAX, &wishes->campaign.seed);
	case OPT_WORLD:
		return small(value, 1, 1000000, &wishes->campaign.world_messages);
	case OPT_JOBS:
		return small(value, 1, 16, &wishes->campaign.jobs);
	case OPT_TRACE:
		return wishes->trace = true;
	case OPT_ONLY:
		wishes->only = value;
		return report_keep_only(&(struct scene){0}, value);
	case OPT_ABSENT:
		return number(value, 16, UINT64_MAX, &wishes->absent);
	case OPT_MAILS:
		return small(value, 1, 1000000, &wishes->mails);
	case OPT_WORKERS:
		return small(value, 1, 4, &wishes->workers);
	case OPT_SERVERS:
		return small(value, 1, SCENE_SERVERS, &wishes->servers);
	case OPT_NO_CHECKS:
		return wishes->no_checks = true;
	case OPT_NO_NAMES:
		return wishes->no_names = true;
	case OPT_SHAKE:
		return small(value, 0, 1000, &wishes->shake);
	case OPT_NO_SHRINK:
		return wishes->no_shrink = true;
	case OPT_PLANT:
		wishes->campaign.plant = value;
		return true;
	case OPT_PLANTS:
		return wishes->plants = true;
	case OPT_BELOW:
		return wishes->below = true;
	case OPT_STRIDE:
		return small(value, 1, 1000000, &wishes->stride);
	default:
		return false;
	}
}

static int one_world(const struct wishes *wishes)
{
	struct scene scene;
	struct run_result result;
	struct trace *trace = wishes->trace ? trace_new() : NULL;
	campaign_scene(&wishes->campaign, wishes->campaign.seed, &scene);
	if (trace) {
		run_world(&scene, trace, &result);
		trace_print(trace, stdout);
		trace_free(&trace);
	} else {
		run_world_apart(&scene, false, &result);
	}
	printf("seed %" PRIu64 ", fingerprint %016" PRIx64 "\n", scene.seed, result.fingerprint);
	report_sums(&result, 1);
	if (result.failed)
		report_failure(
			&wishes->campaign, scene.seed, &result, !wishes->no_shrink && !trace);
	return result.failed ? EX_SOFTWARE : EX_OK;
}

static int many_worlds(const struct wishes *wishes)
{
	struct campaign_result result;
	printf("seeds from %" PRIu64 "\n", wishes->campaign.seed);
	campaign_run(&wishes->campaign, &result);
	report_sums(&result.sums, result.worlds);
	printf("fingerprint %016" PRIx64 "\n", result.fingerprint);
	if (result.sums.failed)
		report_failure(
			&wishes->campaign, result.failed_seed, &result.sums, !wishes->no_shrink);
	return result.sums.failed ? EX_SOFTWARE : EX_OK;
}

int main(int argc, char **argv)
{
	struct wishes wishes = {
		.campaign = {.world_messages = 300,
			.jobs = (unsigned)sysconf(_SC_NPROCESSORS_ONLN),
			.progress = isatty(STDERR_FILENO)},
		.stride = 1,
	};
	int option;
	wishes.campaign.change = change;
	wishes.campaign.arg = &wishes;
	if (wishes.campaign.jobs > 16)
		wishes.campaign.jobs = 16;
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == OPT_FAULTS)
			return list_faults();
		if (!take(&wishes, option, optarg)) {
			fputs(usage, stderr);
			return EX_USAGE;
		}
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!wishes.seed_given)
		wishes.campaign.seed = wishes.plants || wishes.below ? 1 : fresh_seed();
	if (wishes.campaign.plant && !plants_set(wishes.campaign.plant))
		return EX_USAGE;
	if (wishes.plants)
		return plants_run(&wishes.campaign);
	if (wishes.below)
		return below_run(wishes.campaign.seed, wishes.stride, wishes.campaign.jobs);
	return wishes.campaign.messages ? many_worlds(&wishes) : one_world(&wishes);
}
