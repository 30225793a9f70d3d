/*
 * The real body: names, against a hosts file and a name server of our own that runs in a thread.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sys/real.h"

/* ---- a name server: the first label says what it answers ---- */

static struct {
	int fd;
	pthread_t thread;
	atomic_int asked;
	char at[64]; /* as libunbound wants it */
	char hosts[64];
} server;

enum { TYPE_A = 1, TYPE_AAAA = 28, TYPE_SOA = 6, SERVFAIL = 2, NXDOMAIN = 3 };

static size_t put_record(uint8_t *to, unsigned type, unsigned ttl, const void *data, size_t len)
{
	const uint8_t head[] = {0xc0, 12, 0, (uint8_t)type, 0, 1, 0, 0, (uint8_t)(ttl >> 8),
		(uint8_t)ttl, 0, (uint8_t)len};
	memcpy(to, head, sizeof(head));
	memcpy(to + sizeof(head), data, len);
	return sizeof(head) + len;
}

static size_t question_end(const uint8_t *query, size_t len)
{
	size_t at = 12;
	while (at < len && query[at])
		at += query[at] + 1u;
	return at + 5;
}

/* An SOA of the name itself, with a minimum of 60 s: what makes "no" cacheable. */
static size_t put_no(uint8_t *to)
{
	static const uint8_t soa[] = {
		0, 0, 0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0, 9, 0, 0, 0, 9, 0, 0, 0, 60};
	return put_record(to, TYPE_SOA, 60, soa, sizeof(soa));
}

/* Returns the reply's length; 0: silence. */
static size_t reply_to(uint8_t *packet, size_t len)
{
	static const uint8_t one[] = {192, 0, 2, 1}, two[] = {192, 0, 2, 2};
	static const uint8_t six[16] = {0x20, 1, 0xd, 0xb8, [15] = 1};
	size_t end = question_end(packet, len);
	unsigned type = packet[end - 3], answers = 0, rcode = 0;
	const char *label = (const char *)packet + 13;
	size_t at = end;
	if (strncmp(label, "silent", 6) == 0)
		return 0;
	if (strncmp(label, "ill", 3) == 0 ||
		(strncmp(label, "half", 4) == 0 && type == TYPE_AAAA)) {
		rcode = SERVFAIL;
	} else if (strncmp(label, "none", 4) == 0) {
		rcode = NXDOMAIN;
	} else if (type == TYPE_A && strncmp(label, "six", 3) != 0) {
		at += put_record(packet + at, type, 300, one, 4);
		at += put_record(packet + at, type, 300, two, 4);
		answers = 2;
	} else if (type == TYPE_AAAA && strncmp(label, "four", 4) != 0) {
		at += put_record(packet + at, type, 120, six, 16);
		answers = 1;
	}
	if (answers == 0 && rcode != SERVFAIL)
		at += put_no(packet + at);
	packet[2] = 0x84 | (packet[2] & 1);
	packet[3] = (uint8_t)(0x80 | rcode);
	packet[7] = (uint8_t)answers;
	packet[9] = answers == 0 && rcode != SERVFAIL;
	packet[11] = 0;
	return at;
}

static void *server_main(void *arg)
{
	(void)arg;
	for (;;) {
		uint8_t packet[1500];
		struct sockaddr_in from;
		socklen_t from_len = sizeof(from);
		ssize_t len =
			recvfrom(server.fd, packet, 512, 0, (struct sockaddr *)&from, &from_len);
		if (len <= 0)
			return NULL;
		if (len < 17)
			continue;
		atomic_fetch_add(&server.asked, 1);
		size_t reply = reply_to(packet, (size_t)len);
		if (reply > 0)
			sendto(server.fd, packet, reply, 0, (struct sockaddr *)&from, from_len);
	}
}

static int server_start(void **state)
{
	(void)state;
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(at);
	server.fd = socket(AF_INET, SOCK_DGRAM, 0);
	if (bind(server.fd, (struct sockaddr *)&at, len) < 0 ||
		getsockname(server.fd, (struct sockaddr *)&at, &len) < 0)
		return -1;
	snprintf(server.at, sizeof(server.at), "127.0.0.1@%u", ntohs(at.sin_port));
	snprintf(server.hosts, sizeof(server.hosts), "/tmp/mailweir-hosts-%d", (int)getpid());
	FILE *hosts = fopen(server.hosts, "w");
	if (!hosts)
		return -1;
	fputs("# a comment\n127.0.0.3 mx1.test mx1\n127.0.0.3 mx1.test\n2001:db8::7 mx1.test\n"
	      "127.0.0.5 mx2.test\n",
		hosts);
	fclose(hosts);
	return pthread_create(&server.thread, NULL, server_main, NULL);
}

static int server_stop(void **state)
{
	(void)state;
	shutdown(server.fd, SHUT_RDWR);
	pthread_join(server.thread, NULL);
	close(server.fd);
	return unlink(server.hosts);
}

/* ---- asking ---- */

struct asked {
	int answers;
	struct sys_answer answer;
	struct sys *again; /* ask once more from inside the answer */
	const char *name;
};

static void answered(void *arg, const struct sys_answer *answer)
{
	struct asked *asked = arg;
	asked->answers++;
	asked->answer = *answer;
	if (asked->again && asked->answers == 1) {
		sys_resolve(asked->again, asked->name, answered, asked);
		assert_int_equal(asked->answers, 1);
	}
}

static struct sys *sys_asking(int64_t within)
{
	return sys_real_new(&(struct sys_real_setup){
		.row = -1,
		.hosts = server.hosts,
		.nameserver = server.at,
		.resolve_within = within,
	});
}

static void wait_for(struct sys *sys, const struct asked *asked, int answers)
{
	struct sys_event events[4];
	bool woken;
	int64_t limit = sys_clock(sys) + 30 * SECOND;
	while (asked->answers < answers && sys_clock(sys) < limit)
		sys_wait(sys, events, 4, sys_clock(sys) + SECOND, &woken);
	assert_int_equal(asked->answers, answers);
}

static struct asked ask(struct sys *sys, const char *name)
{
	struct asked asked = {0};
	sys_resolve(sys, name, answered, &asked);
	assert_int_equal(asked.answers, 0);
	assert_false(sys_idle(sys));
	wait_for(sys, &asked, 1);
	assert_true(sys_idle(sys));
	return asked;
}

static void assert_addr(const struct addr *addr, const char *text)
{
	char got[ADDR_TEXT];
	addr_text(addr, got);
	assert_string_equal(got, text);
	assert_int_equal(addr->port, 0);
}

static void test_localhost(void **state)
{
	(void)state;
	struct sys *sys = sys_real_new(&(struct sys_real_setup){.row = -1});
	struct asked asked = ask(sys, "localhost");
	assert_int_equal(asked.answer.err, ERR_OK);
	assert_addr(&asked.answer.addr[0], "127.0.0.1");
	sys_real_free(&sys);
}

static void test_hosts_file_counts(void **state)
{
	(void)state;
	struct sys *sys = sys_asking(0);
	int before = atomic_load(&server.asked);
	struct asked asked = ask(sys, "MX1.test");
	assert_int_equal(asked.answer.err, ERR_OK);
	assert_int_equal(asked.answer.count, 2); /* the doubled line counts once */
	assert_addr(&asked.answer.addr[0], "127.0.0.3");
	assert_addr(&asked.answer.addr[1], "2001:db8::7");
	assert_true(asked.answer.ttl >= MINUTE);
	asked = ask(sys, "mx2.test");
	assert_int_equal(asked.answer.count, 1);
	assert_addr(&asked.answer.addr[0], "127.0.0.5");
	assert_true(asked.answer.ttl >= MINUTE);
	assert_int_equal(atomic_load(&server.asked), before);
	sys_real_free(&sys);
}

static void test_both_families_in_order(void **state)
{
	(void)state;
	struct sys *sys = sys_asking(0);
	struct asked asked = ask(sys, "both.example");
	assert_int_equal(asked.answer.err, ERR_OK);
	assert_int_equal(asked.answer.count, 3);
	assert_int_equal(asked.answer.addr[0].family, ADDR_IP4);
	assert_int_equal(asked.answer.addr[1].family, ADDR_IP4);
	assert_addr(&asked.answer.addr[2], "2001:db8::1");
	assert_int_equal(asked.answer.ttl, 120 * SECOND); /* the shorter one */
	sys_real_free(&sys);
}

static void test_one_family_is_enough(void **state)
{
	(void)state;
	struct sys *sys = sys_asking(0);
	struct asked asked = ask(sys, "four.example");
	assert_int_equal(asked.answer.err, ERR_OK);
	assert_int_equal(asked.answer.count, 2);
	assert_int_equal(asked.answer.ttl, 300 * SECOND);
	asked = ask(sys, "six.example");
	assert_int_equal(asked.answer.count, 1);
	assert_addr(&asked.answer.addr[0], "2001:db8::1");
	asked = ask(sys, "half.example"); /* AAAA fails */
	assert_int_equal(asked.answer.err, ERR_OK);
	assert_int_equal(asked.answer.count, 2);
	sys_real_free(&sys);
}

static void test_no_such_name(void **state)
{
	(void)state;
	struct sys *sys = sys_asking(0);
	struct asked asked = ask(sys, "none.example");
	assert_int_equal(asked.answer.err, ERR_MISSING);
	assert_int_equal(asked.answer.count, 0);
	assert_int_equal(asked.answer.ttl, 60 * SECOND);
	sys_real_free(&sys);
}

static void test_name_that_is_none(void **state)
{
	(void)state;
	struct sys *sys = sys_asking(0);
	char name[300];
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(ask(sys, name).answer.err, ERR_MISSING);
	sys_real_free(&sys);
}

static void test_ill_server_is_not_a_missing_name(void **state)
{
	(void)state;
	struct sys *sys = sys_asking(0);
	assert_int_equal(ask(sys, "ill.example").answer.err, ERR_BROKEN);
	sys_real_free(&sys);
}

static void test_silent_server_times_out(void **state)
{
	(void)state;
	struct sys *sys = sys_asking(300 * MSEC);
	int64_t begun = sys_clock(sys);
	struct asked asked = ask(sys, "silent.example");
	assert_int_equal(asked.answer.err, ERR_TIMEOUT);
	assert_true(sys_clock(sys) - begun >= 300 * MSEC);
	assert_true(sys_clock(sys) - begun < 5 * SECOND);
	assert_int_equal(ask(sys, "both.example").answer.err, ERR_OK); /* others still answered */
	sys_real_free(&sys);
}

static void test_cached_answer_comes_in_a_later_wait(void **state)
{
	(void)state;
	struct asked asked = {.again = sys_asking(0), .name = "both.cached.example"};
	sys_resolve(asked.again, asked.name, answered, &asked);
	wait_for(asked.again, &asked, 1);
	int before = atomic_load(&server.asked);
	wait_for(asked.again, &asked, 2);
	assert_int_equal(asked.answer.count, 3);
	assert_int_equal(atomic_load(&server.asked), before);
	sys_real_free(&asked.again);
}

static void test_many_at_once(void **state)
{
	(void)state;
	static struct asked asked[100];
	struct sys *sys = sys_asking(0);
	for (int i = 0; i < 100; i++) {
		char name[64];
		snprintf(name, sizeof(name), "both.n%d.example", i);
		asked[i] = (struct asked){0};
		sys_resolve(sys, name, answered, &asked[i]);
	}
	for (int i = 0; i < 100; i++) {
		wait_for(sys, &asked[i], 1);
		assert_int_equal(asked[i].answer.count, 3);
	}
	sys_real_free(&sys);
}

static void test_free_with_open_questions(void **state)
{
	(void)state;
	struct asked asked = {0};
	struct sys *sys = sys_asking(0);
	sys_resolve(sys, "silent.example", answered, &asked);
	sys_real_free(&sys);
	assert_int_equal(asked.answers, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_localhost),
		cmocka_unit_test(test_hosts_file_counts),
		cmocka_unit_test(test_both_families_in_order),
		cmocka_unit_test(test_one_family_is_enough),
		cmocka_unit_test(test_no_such_name),
		cmocka_unit_test(test_name_that_is_none),
		cmocka_unit_test(test_ill_server_is_not_a_missing_name),
		cmocka_unit_test(test_silent_server_times_out),
		cmocka_unit_test(test_cached_answer_comes_in_a_later_wait),
		cmocka_unit_test(test_many_at_once),
		cmocka_unit_test(test_free_with_open_questions),
	};
	return cmocka_run_group_tests(tests, server_start, server_stop);
}
