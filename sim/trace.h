/*
 * What happened, to be read as a conversation.  Recorded only when a failure is shown.
 *
 *     12.000310  client 3         | MAIL FROM:<m7.k1@s.example>
 *     12.000900                   |          server mx1.2 | MAIL FROM:<...>
 *     12.104000  worker 1 dies at claim
 */
#ifndef SIM_TRACE_H
#define SIM_TRACE_H

#include <stdio.h>

#include "base/bytes.h"

struct trace;

struct trace *trace_new(void);
void trace_free(struct trace **trace);
/* Bytes that `who` ("client 3", "server mx1.2") sent to Mailweir, or got from it (`heard`).
 * They are joined to lines; long bodies are cut short when printed. */
void trace_bytes(struct trace *trace, int64_t now, const char *who, bool heard, struct span bytes);
/* Anything else; `who` may be "" */
void trace_note(struct trace *trace, int64_t now, const char *who, const char *format, ...)
	PRINTF_LIKE(4, 5);
void trace_print(const struct trace *trace, FILE *out); /* all of it */
/* Only what concerns those whom `words`, a failure's, name: clients ("client 3"), connections
 * ("server s1.2"), messages ("m7"), and the house at those moments; what repeats is folded. */
void trace_tell(struct trace *trace, FILE *out, const char *words);

#endif
