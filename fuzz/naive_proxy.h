/*
 * PROXY headers once more, looked at whole: a regular expression and libc's addresses for the line,
 * numbers added up for the binary one.  Shares nothing with src/edge.
 */
#ifndef FUZZ_NAIVE_PROXY_H
#define FUZZ_NAIVE_PROXY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct naive_proxy {
	char verdict; /* 'm' more, 'd' done, 'b' bad */
	char who;     /* of a good one: 'c' a client, 'u' unnamed, 'l' local */
	size_t len;
	bool checksum;
	/* Of a client: 4 or 6, or 1 for paths, each address as IPv6 (mapped) or path. */
	int family[2];
	uint8_t ip[2][16];
	unsigned port[2];
	char path[2][109];
};

struct naive_proxy naive_proxy(const uint8_t *at, size_t len);
/* Puts the right checksum into a binary header that has a place for one. */
void naive_proxy_sign(uint8_t *at, size_t len);

#endif
