/*
 * The loop and its listeners: accepting in batches, running out of descriptors, wakes, fairness,
 * and knowing when nothing is left to do.
 */
#include "test_net_help.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

enum { CALLERS = 300 };

struct host {
	struct world world;
	struct net_listener *listener;
	int peers[CALLERS];
	int accepted, most_a_turn, this_turn;
	int stop_after; /* close the listener in its own function; 0: never */
	struct addr last_peer, last_local;
};

static int host_open(void **state)
{
	struct host *host = mem_new(sizeof(*host));
	world_open(&host->world);
	for (int i = 0; i < CALLERS; i++)
		host->peers[i] = -1;
	*state = host;
	return 0;
}

static int host_close(void **state)
{
	struct host *host = *state;
	for (int i = 0; i < CALLERS; i++) {
		if (host->peers[i] >= 0)
			close(host->peers[i]);
	}
	if (host->listener)
		net_listener_close(&host->listener);
	world_close(&host->world);
	free(host);
	return 0;
}

static void call(struct host *host, int from, int to)
{
	struct sockaddr_in at = {
		.sin_family = AF_INET,
		.sin_port = htons(host->world.at.port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	for (int i = from; i < to; i++) {
		host->peers[i] = socket(AF_INET, SOCK_STREAM, 0);
		assert_true(host->peers[i] >= 0);
		assert_int_equal(connect(host->peers[i], (struct sockaddr *)&at, sizeof(at)), 0);
	}
}

static void count_and_close(
	void *arg, struct sys_sock *sock, const struct addr *peer, const struct addr *local)
{
	struct host *host = arg;
	host->accepted++;
	host->this_turn++;
	host->last_peer = *peer;
	host->last_local = *local;
	sys_close(&sock, false);
	if (host->accepted == host->stop_after)
		net_listener_close(&host->listener);
}

static void listen_now(struct host *host)
{
	host->listener = net_listen(host->world.loop, 0, count_and_close, host);
	assert_non_null(host->listener);
}

/* ---- listening ---- */

static void test_all_are_accepted_in_growing_batches(void **state)
{
	struct host *host = *state;
	listen_now(host);
	call(host, 0, CALLERS);
	int turns = 0;
	while (host->accepted < CALLERS) {
		host->this_turn = 0;
		assert_true(net_turn(host->world.loop));
		turns++;
		assert_true(host->this_turn > 0 && host->this_turn <= 64);
		if (host->this_turn > host->most_a_turn)
			host->most_a_turn = host->this_turn;
	}
	assert_int_equal(host->most_a_turn, 64);
	assert_true(turns < 20);
	assert_true(addr_eq(&host->last_local, &host->world.at));
	assert_true(addr_is_loopback(&host->last_peer));
}

static void test_no_such_socket(void **state)
{
	struct host *host = *state;
	assert_null(net_listen(host->world.loop, 1, count_and_close, host));
	assert_false(net_turn(host->world.loop));
}

static void test_close_in_own_function_leaves_the_rest_waiting(void **state)
{
	struct host *host = *state;
	host->stop_after = 5;
	listen_now(host);
	call(host, 0, 20);
	TURN_UNTIL(&host->world, !host->listener);
	assert_int_equal(host->accepted, 5);
	world_turn_for(&host->world, 5 * MSEC);
	assert_int_equal(host->accepted, 5);
	host->stop_after = 0;
	listen_now(host); /* they have waited in the kernel */
	TURN_UNTIL(&host->world, host->accepted == 20);
}

static void test_out_of_descriptors_waits_without_spinning(void **state)
{
	struct host *host = *state;
	struct rlimit was, low;
	listen_now(host);
	call(host, 0, 3);
	int free_fd = open("/dev/null", O_RDONLY);
	close(free_fd);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	low = was;
	low.rlim_cur = (rlim_t)free_fd;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);

	int turns = 0;
	host->world.late = false;
	net_timer_set(host->world.loop, &host->world.guard, net_now(host->world.loop) + 350 * MSEC);
	for (; !host->world.late; turns++)
		assert_true(net_turn(host->world.loop));
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	assert_int_equal(host->accepted, 0);
	assert_true(turns >= 3 && turns <= 12); /* each 100 ms: a try, and the end of a pause */

	TURN_UNTIL(&host->world, host->accepted == 3);
}

static void test_close_while_backing_off(void **state)
{
	struct host *host = *state;
	struct rlimit was, low;
	listen_now(host);
	call(host, 0, 1);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	low = was;
	low.rlim_cur = 3;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	world_turn_for(&host->world, 20 * MSEC);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	net_listener_close(&host->listener);
	assert_false(net_turn(host->world.loop));
	assert_int_equal(host->accepted, 0);
}

/* ---- wakes ---- */

static void woken(void *arg)
{
	(*(int *)arg)++;
}

static void test_woken_once_a_turn_by_another_process(void **state)
{
	(void)state;
	int wake = eventfd(0, EFD_NONBLOCK), wakes = 0;
	struct sys_real_setup setup = {.wakes = &wake, .wake_count = 1, .row = 0};
	pid_t child = fork();
	if (child == 0) {
		setup.row = -1;
		struct sys *other = sys_real_new(&setup);
		for (int i = 0; i < 10; i++)
			sys_wake(other, 0);
		sys_real_free(&other);
		_exit(0);
	}
	struct sys *sys = sys_real_new(&setup);
	struct net_loop *loop = net_loop_new(sys);
	net_on_wake(loop, woken, &wakes);
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_true(net_turn(loop)); /* would block for ever if the wake were lost */
	assert_int_equal(wakes, 1);
	net_loop_free(&loop);
	sys_real_free(&sys);
	close(wake);
}

/* ---- the turn ---- */

static void test_nothing_left_to_do(void **state)
{
	struct host *host = *state;
	assert_false(net_turn(host->world.loop));
	listen_now(host);
	call(host, 0, 1);
	assert_true(net_turn(host->world.loop));
	net_listener_close(&host->listener);
	assert_false(net_turn(host->world.loop));
}

static void job_work(void *arg)
{
	(void)arg;
	usleep(2000);
}

static void test_a_job_is_a_reason_to_wait(void **state)
{
	struct host *host = *state;
	int done = 0;
	sys_job(host->world.sys, SYS_QUEUE_STATE, job_work, woken, &done);
	while (net_turn(host->world.loop)) {
	}
	assert_int_equal(done, 1);
}

struct flood {
	struct end a[2], b[2];
};

/* One peer sends without end, and its reader reads only a little each time.  The other's few
 * words must come through at once. */
static void test_busy_peer_does_not_starve_others(void **state)
{
	struct host *host = *state;
	static char text[512 * 1024];
	struct flood flood = {0};
	for (int i = 0; i < 2; i++)
		ends_join(&host->world, &flood.a[i], &flood.b[i]);
	flood.b[0].read_at_most = 1;
	push_bytes(&flood.a[0], text, sizeof(text));
	TURN_UNTIL(&host->world, flood.b[0].readables > 0);
	int before = flood.b[0].readables;
	end_say(&flood.a[1], "a word");
	TURN_UNTIL(&host->world, flood.b[1].got.len == 6);
	assert_true(flood.b[0].readables - before <= 4);
	assert_true(flood.b[0].got.len < sizeof(text));
	for (int i = 0; i < 2; i++) {
		end_clear(&flood.a[i]);
		end_clear(&flood.b[i]);
	}
}

struct race {
	struct end *end;
	struct net_timer timer;
	int late;
	size_t got_before;
};

static void race_late(void *arg)
{
	struct race *race = arg;
	race->late++;
	race->got_before = race->end->got.len;
}

/* Both are due in one turn, because we were slow: what has arrived is heard first. */
static void test_arrived_bytes_beat_a_due_timer(void **state)
{
	struct host *host = *state;
	struct end a = {0}, b = {0};
	ends_join(&host->world, &a, &b);
	struct race race = {.end = &b};
	net_timer_init(&race.timer, race_late, &race);
	net_timer_set(host->world.loop, &race.timer, net_now(host->world.loop) + 2 * MSEC);
	end_say(&a, "250 ok");
	net_flush(a.stream);
	usleep(5000);
	assert_true(net_turn(host->world.loop));
	assert_int_equal(race.late, 1);
	assert_int_equal(race.got_before, 6);
	end_clear(&a);
	end_clear(&b);
}

#define WITH_HOST(test) cmocka_unit_test_setup_teardown(test, host_open, host_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_HOST(test_all_are_accepted_in_growing_batches),
		WITH_HOST(test_no_such_socket),
		WITH_HOST(test_close_in_own_function_leaves_the_rest_waiting),
		WITH_HOST(test_out_of_descriptors_waits_without_spinning),
		WITH_HOST(test_close_while_backing_off),
		cmocka_unit_test(test_woken_once_a_turn_by_another_process),
		WITH_HOST(test_nothing_left_to_do),
		WITH_HOST(test_a_job_is_a_reason_to_wait),
		WITH_HOST(test_busy_peer_does_not_starve_others),
		WITH_HOST(test_arrived_bytes_beat_a_due_timer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
