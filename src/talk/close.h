/*
 * Why a conversation ended: one list, for the log, the metrics and the code that decides.
 */
#ifndef TALK_CLOSE_H
#define TALK_CLOSE_H

#define TALK_CLOSES(CLOSE)                                                                         \
	CLOSE(QUIT, "quit")                      /* QUIT was said and answered */                  \
	CLOSE(PEER_CLOSED, "closed by peer")     /* FIN */                                         \
	CLOSE(RESET, "connection lost")          /* RST or another error of the socket */          \
	CLOSE(CONNECT_REFUSED, "connect failed") /* refused, unreachable */                        \
	CLOSE(CONNECT_TIMEOUT, "connect timed out")                                                \
	CLOSE(TIMEOUT, "timed out")                                                                \
	CLOSE(TOO_SLOW, "too slow")                 /* below the minimum data rate */              \
	CLOSE(GREETING_REFUSED, "greeting refused") /* banner or EHLO answered by 4yz or 5yz */    \
	CLOSE(POISONED, "protocol error of the server")                                            \
	CLOSE(PROTOCOL, "protocol error of the client")                                            \
	CLOSE(LIMIT, "limit reached")                                                              \
	CLOSE(REFUSED_BODY, "message refused")                                                     \
	CLOSE(STALE, "closed while idle")

enum talk_close {
#define TALK_CLOSE_ID(id, text) CLOSE_##id,
	TALK_CLOSES(TALK_CLOSE_ID)
#undef TALK_CLOSE_ID
		TALK_CLOSE_COUNT
};
const char *talk_close_text(enum talk_close why);

#endif
