/*
 * Control: the assembly, and its tick.
 */
#include "bin/control.h"

#include <stdlib.h>

#include "admin/admin.h"
#include "bin/log_writer.h"
#include "bin/process_numbers.h"
#include "bin/settings.h"
#include "bin/silence.h"
#include "health/health.h"
#include "net/net.h"

#define TICK_BUSY (20 * MSEC)  /* while lines come */
#define TICK_IDLE (100 * MSEC) /* a burst must not fill a ring meanwhile */

struct control {
	struct control_setup setup;
	struct net_loop *loop;
	struct log_writer *log;
	struct admin *admin;
	struct health *health; /* NULL until no older control is left */
	uint64_t seed;
	struct net_timer tick;
	uint64_t turns;
	struct silence master;
	bool leaving, gone;
};

/* A control of an older generation that has not left yet, or else of a younger one. */
static bool has_control(const struct control *control, bool elder)
{
	const struct board *board = control->setup.board;
	for (int row = 0; row < board_rows(board); row++) {
		unsigned generation = board_row_generation(board, row);
		if (row != control->setup.row && board_row_role(board, row) == ROW_CONTROL &&
			(elder ? generation < control->setup.generation
			       : generation > control->setup.generation))
			return true;
	}
	return false;
}

/* Health begins when we are the only one: its verdicts have one writer. */
static void take_office(struct control *control)
{
	const struct control_setup *setup = &control->setup;
	control->health = health_new(&(struct health_world){
		.state = bin_settings_of(control->setup.conf)->state,
		.loop = control->loop,
		.board = setup->board,
		.row = setup->row,
		.conf = setup->conf,
		.hostname = setup->hostname,
		.seed = control->seed,
	});
}

void control_leave(struct control *control)
{
	if (!control->leaving)
		log_writer_hurry(control->log);
	control->leaving = true;
}

static void look_around(struct control *control)
{
	const struct control_setup *setup = &control->setup;
	int64_t now = net_now(control->loop);
	board_beat(setup->board, setup->row, now);
	if (board_row_ordered(setup->board, setup->row) != ORDER_RUN ||
		silence_of(&control->master, board_beat_of(setup->board, setup->master_row), now) >=
			SILENCE_DEADLY)
		control_leave(control);
	if (!control->health && !control->leaving && !has_control(control, true))
		take_office(control);
}

/*
 * The rings have one reader.  A leaving control leaves them to its heir, since under load they are
 * never empty and the heir waits for its end; the last one empties them.  An heir that is to leave
 * before its elder has gone waits for that, unless it never was to hold office (ORDER_STOP).
 */
static bool write_log(struct control *control)
{
	const struct control_setup *setup = &control->setup;
	bool found = false;
	if (has_control(control, true)) {
		control->gone = control->leaving &&
				board_row_ordered(setup->board, setup->row) != ORDER_DRAIN;
		return false;
	}
	if (!control->leaving || !has_control(control, false))
		found = log_writer_turn(control->log);
	control->gone = control->leaving && !found && log_writer_idle(control->log);
	return found || !log_writer_idle(control->log);
}

static void tick(void *arg)
{
	struct control *control = arg;
	look_around(control);
	process_numbers_put(
		control->setup.board, control->setup.row, control->loop, &control->turns);
	bool busy = write_log(control) || control->leaving || !control->health;
	net_timer_set(control->loop, &control->tick,
		net_now(control->loop) + (busy ? TICK_BUSY : TICK_IDLE));
}

static void woken(void *arg)
{
	struct control *control = arg;
	look_around(control);
	if (control->leaving)
		net_timer_set(control->loop, &control->tick, net_now(control->loop));
}

bool control_turn(struct control *control)
{
	control->turns++;
	return net_turn(control->loop) && !control->gone;
}

struct control *control_new(const struct control_setup *setup, struct err_text *text)
{
	struct control *control = mem_new(sizeof(*control));
	control->setup = *setup;
	sys_random(setup->sys, &control->seed, sizeof(control->seed));
	control->loop = net_loop_new(setup->sys);
	net_on_wake(control->loop, woken, control);
	net_timer_init(&control->tick, tick, control);
	net_timer_set(control->loop, &control->tick, net_now(control->loop));
	control->log = log_writer_new(
		setup->sys, setup->board, setup->row, log_settings_of(setup->conf), text);
	if (control->log)
		control->admin = admin_new(
			&(struct admin_world){
				.loop = control->loop,
				.board = setup->board,
				.row = setup->row,
				.conf = setup->conf,
				.listeners = setup->admin_listeners,
				.is_unix = setup->admin_is_unix,
				.listener_count = setup->admin_count,
			},
			text);
	if (!control->admin) {
		control_free(&control);
		return NULL;
	}
	board_ready(setup->board, setup->row, true);
	sys_wake(setup->sys, setup->master_row);
	return control;
}

void control_free(struct control **controlp)
{
	struct control *control = *controlp;
	*controlp = NULL;
	net_timer_clear(control->loop, &control->tick);
	if (control->health)
		health_free(&control->health);
	if (control->admin)
		admin_free(&control->admin);
	log_writer_free(&control->log);
	net_loop_free(&control->loop);
	free(control);
}
