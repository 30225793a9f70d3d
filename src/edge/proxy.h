/*
 * The PROXY header: what a proxy in front of us says, before the first octet of SMTP, of the
 * client that it connects through.  Versions 1 (a line) and 2 (binary) of HAProxy's
 * proxy-protocol.txt.
 *
 * Pure: bytes in, a verdict out.  Ask again with more bytes whenever the verdict is MORE; the
 * verdict is the same however the bytes came, and what stands behind the header is not looked at.
 */
#ifndef EDGE_PROXY_H
#define EDGE_PROXY_H

#include "base/addr.h"

/* Octets of a header, at most: with so many the verdict is never MORE. */
#define EDGE_PROXY_V1_MOST 107
#define EDGE_PROXY_MOST    4096

enum edge_proxy_verdict { PROXY_MORE, PROXY_DONE, PROXY_BAD };

/* Whom the connection is for. */
enum edge_proxy_who {
	PROXY_CLIENT,  /* for `client` */
	PROXY_UNNAMED, /* for somebody whom the proxy doesn't name (v1 UNKNOWN, v2 UNSPEC) */
	PROXY_LOCAL,   /* for the proxy itself, a check of its own */
};

struct edge_proxy {
	size_t len; /* octets of the header: SMTP begins behind them */
	unsigned version;
	enum edge_proxy_who who;
	struct addr client; /* with its port; of PROXY_CLIENT only */
	struct addr to;     /* where the client had connected to; likewise */
	bool checksum;      /* a CRC32c was there, and right */
};

/* DONE sets *proxy_r.  BAD: `got` says what came instead, to go on "PROXY header expected, got". */
enum edge_proxy_verdict edge_proxy_parse(
	struct span bytes, struct edge_proxy *proxy_r, struct err_text *got) MUST_USE;

/* ---- private to the parser's two files ---- */
#define EDGE_PROXY_V2_SIGNATURE SPAN("\r\n\r\n\0\r\nQUIT\n")
enum edge_proxy_verdict edge_proxy_parse_v2(
	struct span bytes, struct edge_proxy *proxy_r, struct err_text *got) MUST_USE;

#endif
