/*
 * HTTP/1.0 by hand: the server closes behind its answer, so the end of the answer is the end.
 */
#include "bin/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "admin/admin.h"

#define ANSWER_MAX (64u << 20)

enum err http_admin_addr(const struct conf *conf, struct addr *addr_r, struct err_text *text)
{
	const struct conf_addrs *addrs = admin_addrs_of(conf);
	if (addrs->count == 0)
		return err_set(
			text, ERR_MISSING, "the config has no admin block, so nobody answers");
	*addr_r = addrs->at[0];
	for (size_t i = 0; i < addrs->count; i++)
		if (addrs->at[i].family == ADDR_UNIX)
			*addr_r = addrs->at[i];
	return ERR_OK;
}

static socklen_t to_sockaddr(const struct addr *addr, struct sockaddr_storage *to)
{
	memset(to, 0, sizeof *to);
	if (addr->family == ADDR_UNIX) {
		struct sockaddr_un *un = (struct sockaddr_un *)to;
		un->sun_family = AF_UNIX;
		snprintf(un->sun_path, sizeof un->sun_path, "%s", addr->path);
		return sizeof *un;
	}
	if (addr->family == ADDR_IP4) {
		struct sockaddr_in *in = (struct sockaddr_in *)to;
		in->sin_family = AF_INET;
		in->sin_port = htons(addr->port);
		memcpy(&in->sin_addr, addr->ip4, sizeof addr->ip4);
		return sizeof *in;
	}
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)to;
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(addr->port);
	memcpy(&in6->sin6_addr, addr->ip6, sizeof addr->ip6);
	return sizeof *in6;
}

static int dial(const struct addr *addr, struct err_text *text)
{
	struct sockaddr_storage to;
	struct timeval patience = {.tv_sec = 10};
	char name[ADDR_TEXT];
	socklen_t len = to_sockaddr(addr, &to);
	int fd = socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&to, len) == 0) {
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
		return fd;
	}
	addr_text_port(addr, name);
	(void)err_set(text, ERR_DOWN, "%s: %s (is mailweir running?)", name, strerror(errno));
	if (fd >= 0)
		close(fd);
	return -1;
}

static enum err read_all(int fd, struct buf *into, struct err_text *text)
{
	char part[16384];
	for (;;) {
		ssize_t got = recv(fd, part, sizeof part, 0);
		if (got == 0)
			return ERR_OK;
		if (got < 0)
			return err_set(text, ERR_TIMEOUT, "the admin address does not answer: %s",
				strerror(errno));
		if (into->len + (size_t)got > ANSWER_MAX)
			return err_set(text, ERR_RANGE, "the admin address says too much");
		buf_add(into, part, (size_t)got);
	}
}

/* "HTTP/1.0 200 OK\r\n...\r\n\r\nBODY": drop the header. */
static enum err take_header(struct buf *answer, int *status_r, struct err_text *text)
{
	const char *at = buf_string(answer), *end = strstr(at, "\r\n\r\n");
	if (strncmp(at, "HTTP/1.", 7) != 0 || answer->len < 12 || !end)
		return err_set(text, ERR_BROKEN, "what answers there does not speak HTTP");
	uint64_t status;
	if (!span_to_u64((struct span){.at = at + 9, .len = 3}, 999, &status))
		return err_set(text, ERR_BROKEN, "a malformed HTTP answer");
	*status_r = (int)status;
	buf_eat(answer, (size_t)(end + 4 - at));
	return ERR_OK;
}

enum err http_ask(const struct addr *addr, const char *method, const char *path, int *status_r,
	struct buf *body_r, struct err_text *text)
{
	struct buf request = {0};
	int fd = dial(addr, text);
	if (fd < 0)
		return ERR_DOWN;
	buf_addf(&request, "%s %s HTTP/1.0\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", method,
		path);
	buf_reset(body_r);
	ssize_t sent = send(fd, request.at, request.len, MSG_NOSIGNAL);
	enum err err = sent == (ssize_t)request.len
			       ? read_all(fd, body_r, text)
			       : err_set(text, ERR_BROKEN, "the admin address hung up");
	buf_clear(&request);
	close(fd);
	return err ? err : take_header(body_r, status_r, text);
}
