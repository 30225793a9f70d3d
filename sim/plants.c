/*
 * A suite that can't fail proves nothing: here it must.
 */
#include "sim/plants.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "base/testing.h"

enum { MESSAGES_MAX = 50000 }; /* of the fixed seeds that CI runs without a plant */

static const struct {
	const char *name, *text;
} plants[] = {
#define X(name, text) {#name, text},
	TESTING_PLANTS(X)
#undef X
};
enum { PLANTS = sizeof(plants) / sizeof(plants[0]) };

bool plants_set(const char *name)
{
	for (int i = 0; i < PLANTS; i++) {
		if (strcmp(plants[i].name, name) == 0) {
			testing.plant = (enum plant)(i + 1);
			return true;
		}
	}
	fprintf(stderr, "no such plant: %s; there are:\n", name);
	for (int i = 0; i < PLANTS; i++)
		fprintf(stderr, "  %-24s %s\n", plants[i].name, plants[i].text);
	return false;
}

int plants_run(const struct campaign *wanted)
{
	unsigned missed = 0;
	printf("%-22s %-18s %8s %10s\n", "planted defect", "caught by", "worlds", "messages");
	for (int i = 0; i < PLANTS; i++) {
		struct campaign campaign = *wanted;
		struct campaign_result result;
		if (campaign.messages == 0)
			campaign.messages = MESSAGES_MAX;
		testing.plant = (enum plant)(i + 1);
		campaign_run(&campaign, &result);
		/* A slow machine has caught nothing. */
		bool caught = result.sums.failed && strcmp(result.sums.check, "too-slow") != 0;
		missed += !caught;
		printf("%-22s %-18s %8" PRIu64 " %10" PRIu64 "  %.80s\n", plants[i].name,
			caught ? result.sums.check : "MISSED", result.worlds + result.sums.crashed,
			result.sums.ledger.mails, caught ? result.sums.words : plants[i].text);
	}
	testing.plant = (enum plant)0;
	printf("%d planted defects, %u missed\n", PLANTS, missed);
	return missed ? EX_SOFTWARE : EX_OK;
}
