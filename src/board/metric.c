/*
 * The metrics as rows of a table, each with the place that the compiler gave it (layout.h).
 */
#include "board/metric.h"

#include "board/layout.h"

static const struct metric_row rows[METRIC_COUNT] = {
#define METRIC_ROW(of, metric_type, name, metric_unit, text)                                       \
	[M_##of##_##name] = {.kind = BOARD_##of,                                                   \
		.type = METRIC_##metric_type,                                                      \
		.id = #name,                                                                       \
		.unit = metric_unit,                                                               \
		.help = text,                                                                      \
		.cell = offsetof(struct of##_cells, of##_##name)},
	METRICS(METRIC_ROW)
#undef METRIC_ROW
};

const struct metric_row *metric_row(enum metric metric)
{
	assert((unsigned)metric < METRIC_COUNT);
	return &rows[metric];
}

unsigned metric_cells(enum board_kind kind)
{
	switch (kind) {
	case BOARD_PROCESS:
		return sizeof(struct PROCESS_cells);
	case BOARD_LISTENER:
		return sizeof(struct LISTENER_cells);
	case BOARD_POOL:
		return sizeof(struct POOL_cells);
	case BOARD_SERVER:
		return sizeof(struct SERVER_cells);
	case BOARD_KINDS: /* unreachable: asserted */
		break;
	}
	assert(!"a kind that does not exist");
	return 0;
}
