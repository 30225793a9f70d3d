/*
 * Listening sockets: groups, taken ports, retirement.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <unistd.h>
#include <cmocka.h>

#include "bin/socket_set.h"

static struct addr loopback(uint16_t port)
{
	return (struct addr){.family = ADDR_IP4, .port = port, .ip4 = {127, 0, 0, 1}};
}

static bool can_connect(uint16_t port)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	bool connected = connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0;
	close(fd);
	return connected;
}

static void a_group_shares_its_port(void **state)
{
	(void)state;
	struct socket_set set = {0};
	struct addr addr = loopback(0);
	assert_int_equal(socket_set_bind(&set, &addr, 3, false, NULL), ERR_OK);
	assert_int_equal(set.count, 3);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(set.at[i].port, set.at[0].port);
		assert_int_equal(set.at[i].lane, i);
		assert_int_equal(set.at[i].lanes, 3);
		assert_int_equal(set.at[i].number, i);
	}
	/* As many as it has, whoever asks later. */
	assert_int_equal(socket_set_bind(&set, &addr, 5, false, NULL), ERR_OK);
	assert_int_equal(set.count, 3);
	assert_true(can_connect(set.at[0].port));
	socket_set_clear(&set);
}

/* SO_REUSEPORT alone would let two instances share a port without a word. */
static void a_taken_port_is_refused(void **state)
{
	(void)state;
	struct socket_set first = {0}, second = {0};
	struct err_text text;
	struct addr addr = loopback(0);
	assert_int_equal(socket_set_bind(&first, &addr, 2, false, NULL), ERR_OK);
	addr.port = first.at[0].port;
	assert_int_not_equal(socket_set_try(&second, &addr, &text), ERR_OK);
	assert_int_not_equal(socket_set_bind(&second, &addr, 2, false, &text), ERR_OK);
	assert_non_null(strstr(text.text, "127.0.0.1:"));
	assert_int_equal(second.count, 0);
	socket_set_clear(&first);
	/* And free again. */
	assert_int_equal(socket_set_bind(&second, &addr, 2, false, &text), ERR_OK);
	socket_set_clear(&second);
}

static void our_own_wildcard_does_not_refuse_us(void **state)
{
	(void)state;
	struct socket_set set = {0};
	struct addr any = {.family = ADDR_IP4}, one = loopback(0);
	assert_int_equal(socket_set_bind(&set, &any, 1, false, NULL), ERR_OK);
	one.port = set.at[0].port;
	assert_int_equal(socket_set_bind(&set, &one, 1, false, NULL), ERR_OK);
	assert_int_equal(set.count, 2);
	socket_set_clear(&set);
}

/* A draining worker's copy must not keep the door open. */
static void the_retired_listen_no_more(void **state)
{
	(void)state;
	struct socket_set set = {0};
	struct addr addr = loopback(0);
	assert_int_equal(socket_set_bind(&set, &addr, 2, false, NULL), ERR_OK);
	uint16_t port = set.at[0].port;
	int copies[] = {dup(set.at[0].fd), dup(set.at[1].fd)};
	set.at[0].retire_at = set.at[1].retire_at = 100;
	socket_set_retire(&set, 99);
	assert_true(can_connect(port));
	socket_set_retire(&set, 100);
	assert_int_equal(set.count, 0);
	assert_false(can_connect(port));
	close(copies[0]);
	close(copies[1]);
	socket_set_clear(&set);
}

static void who_is_wanted_again_is_not_retired(void **state)
{
	(void)state;
	struct socket_set set = {0};
	struct addr addr = loopback(0);
	assert_int_equal(socket_set_bind(&set, &addr, 1, false, NULL), ERR_OK);
	set.at[0].retire_at = 100;
	assert_int_equal(socket_set_bind(&set, &addr, 1, false, NULL), ERR_OK);
	socket_set_retire(&set, 200);
	assert_int_equal(set.count, 1);
	assert_true(can_connect(set.at[0].port));
	socket_set_clear(&set);
}

static void numbers_are_used_again(void **state)
{
	(void)state;
	struct socket_set set = {0};
	struct addr first = loopback(0), second = {.family = ADDR_IP4, .ip4 = {127, 0, 0, 2}};
	assert_int_equal(socket_set_bind(&set, &first, 2, false, NULL), ERR_OK);
	assert_int_equal(socket_set_bind(&set, &second, 2, false, NULL), ERR_OK);
	assert_int_equal(set.at[2].number, 2);
	set.at[0].retire_at = set.at[1].retire_at = 1;
	socket_set_retire(&set, 1);
	assert_int_equal(socket_set_bind(&set, &first, 2, false, NULL), ERR_OK);
	assert_int_equal(set.count, 4);
	assert_int_equal(set.at[2].number, 0);
	assert_int_equal(set.at[3].number, 1);
	socket_set_clear(&set);
}

static void a_unix_socket_is_one_and_leaves_no_file(void **state)
{
	(void)state;
	char folder[] = "/tmp/mailweir-test-XXXXXX";
	struct socket_set set = {0};
	struct addr addr = {.family = ADDR_UNIX};
	assert_non_null(mkdtemp(folder));
	snprintf(addr.path, sizeof(addr.path), "%s/sock", folder);
	assert_int_equal(socket_set_bind(&set, &addr, 4, false, NULL), ERR_OK);
	assert_int_equal(set.count, 1);
	assert_int_equal(set.at[0].lanes, 1);
	assert_int_equal(access(addr.path, F_OK), 0);
	set.at[0].retire_at = 0;
	socket_set_retire(&set, 1);
	assert_int_not_equal(access(addr.path, F_OK), 0);
	socket_set_clear(&set);
	rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_group_shares_its_port),
		cmocka_unit_test(a_taken_port_is_refused),
		cmocka_unit_test(our_own_wildcard_does_not_refuse_us),
		cmocka_unit_test(the_retired_listen_no_more),
		cmocka_unit_test(who_is_wanted_again_is_not_retired),
		cmocka_unit_test(numbers_are_used_again),
		cmocka_unit_test(a_unix_socket_is_one_and_leaves_no_file),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
