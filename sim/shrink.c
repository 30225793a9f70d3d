/*
 * Making a failure small.  Each actor draws from its own chance, so that one that is taken out
 * changes the others' script little; what still fails by the same check is kept.  What is
 * between them happens at other moments then, so each smaller scene has some tries ("shakes").
 *
 *     kinds of faults  ->  clients  ->  messages  ->  workers, servers, settings
 */
#include <string.h>

#include "sim/run.h"

enum { SHAKES = 6 };

struct shrinking {
	struct scene *scene;
	const char *check;
	unsigned runs; /* left */
};

static bool still_fails(struct shrinking *shrinking, const struct scene *smaller)
{
	struct run_result result;
	struct scene tried = *smaller;
	uint64_t all = smaller->clients < 64 ? (UINT64_C(1) << smaller->clients) - 1 : UINT64_MAX;
	if ((smaller->absent & all) == all)
		return false;
	for (unsigned i = 0; i < SHAKES && shrinking->runs > 0; i++) {
		tried.shake = (smaller->shake + i) % SHAKES;
		shrinking->runs--;
		run_world_apart(&tried, false, &result);
		if (result.failed && strcmp(result.check, shrinking->check) == 0) {
			*shrinking->scene = tried;
			return true;
		}
	}
	return false;
}

/* Turn off the faults [first, first + count), then halves of them. */
static void shrink_faults(struct shrinking *shrinking, int first, int count)
{
	struct scene smaller = *shrinking->scene;
	bool any = false;
	for (int i = first; i < first + count; i++) {
		any |= smaller.rate[i] > 0;
		smaller.rate[i] = 0;
	}
	if (!any || still_fails(shrinking, &smaller) || count == 1)
		return;
	shrink_faults(shrinking, first, count / 2);
	shrink_faults(shrinking, first + count / 2, count - count / 2);
}

static void shrink_clients(struct shrinking *shrinking, unsigned first, unsigned count)
{
	struct scene smaller = *shrinking->scene;
	uint64_t before = smaller.absent;
	for (unsigned i = first; i < first + count && i < smaller.clients; i++)
		smaller.absent |= UINT64_C(1) << i;
	if (smaller.absent == before || still_fails(shrinking, &smaller) || count == 1)
		return;
	shrink_clients(shrinking, first, count / 2);
	shrink_clients(shrinking, first + count / 2, count - count / 2);
}

static void shrink_number(struct shrinking *shrinking, unsigned *number)
{
	/* `number` points into the scene that is shrunk. */
	size_t offset = (size_t)((char *)number - (char *)shrinking->scene);
	for (unsigned try = 1; try < *number; try *= 2) {
		struct scene smaller = *shrinking->scene;
		memcpy((char *)&smaller + offset, &try, sizeof(try));
		if (still_fails(shrinking, &smaller))
			return;
	}
}

static void shrink_rest(struct shrinking *shrinking)
{
	struct scene *scene = shrinking->scene;
	struct scene smaller = *scene;
	shrink_number(shrinking, &scene->mails);
	shrink_number(shrinking, &scene->workers);
	if (scene->spare == 0)
		shrink_number(shrinking, &scene->servers);
	smaller = *scene;
	smaller.checks = false;
	if (scene->checks)
		(void)still_fails(shrinking, &smaller);
	smaller = *scene;
	smaller.named_servers = false;
	if (scene->named_servers)
		(void)still_fails(shrinking, &smaller);
}

void run_shrink(struct scene *scene, const char *check, unsigned runs)
{
	struct shrinking shrinking = {scene, check, runs};
	shrink_clients(&shrinking, 0, SCENE_CLIENTS);
	shrink_faults(&shrinking, 0, FAULTS);
	shrink_clients(&shrinking, 0, SCENE_CLIENTS);
	shrink_rest(&shrinking);
	shrink_faults(&shrinking, 0, FAULTS);
}
