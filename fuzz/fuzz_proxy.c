/*
 * PROXY headers: the same verdict as another reading of the specification, the same at every cut,
 * and never an octet behind the header looked at.
 *
 * The choice: '0' the text as it is, '1' with the binary header's signature in front, '2' likewise
 * and with a right checksum where there is a place for one.
 */
#include <stdlib.h>
#include <string.h>

#include "edge/proxy.h"
#include "input.h"
#include "naive_proxy.h"

#define TEXT_MOST 5000

static char letter(enum edge_proxy_verdict verdict)
{
	return verdict == PROXY_MORE ? 'm' : verdict == PROXY_DONE ? 'd' : 'b';
}

static void same_address(const struct addr *addr, const struct naive_proxy *naive, int side)
{
	if (naive->family[side] == 1) {
		MUST(addr->family == ADDR_UNIX && strcmp(addr->path, naive->path[side]) == 0,
			"path %d differs", side);
		return;
	}
	bool ip4 = naive->family[side] == 4;
	MUST(addr->family == (ip4 ? ADDR_IP4 : ADDR_IP6), "family %d is %d", side, addr->family);
	MUST(memcmp(addr->ip6, naive->ip[side] + (ip4 ? 12 : 0), ip4 ? 4 : 16) == 0,
		"address %d differs", side);
	MUST(addr->port == naive->port[side], "port %d is %u", side, addr->port);
}

static void same(const struct edge_proxy *proxy, const struct naive_proxy *naive)
{
	static const char who[] = {
		[PROXY_CLIENT] = 'c', [PROXY_UNNAMED] = 'u', [PROXY_LOCAL] = 'l'};
	MUST(proxy->len == naive->len, "%zu octets, expected %zu", proxy->len, naive->len);
	MUST(who[proxy->who] == naive->who, "for '%c', expected '%c'", who[proxy->who], naive->who);
	MUST(proxy->checksum == naive->checksum, "checksum is %d", proxy->checksum);
	if (proxy->who != PROXY_CLIENT)
		return;
	same_address(&proxy->client, naive, 0);
	same_address(&proxy->to, naive, 1);
}

/* The first `len` octets, the others hidden; `before`: the verdict on fewer. */
static char ask(const struct input *input, size_t len, char before)
{
	struct edge_proxy proxy;
	struct err_text got = {""};
	struct naive_proxy naive = naive_proxy((const uint8_t *)input->text, len);
	input_hide(input, len);
	char verdict = letter(
		edge_proxy_parse((struct span){.at = input->text, .len = len}, &proxy, &got));
	MUST(verdict == naive.verdict, "'%c' at %zu, expected '%c': %s", verdict, len,
		naive.verdict, got.text);
	MUST(before == 'm' || before == verdict, "'%c' became '%c' at %zu", before, verdict, len);
	MUST(verdict != 'm' || len < EDGE_PROXY_MOST, "no verdict at %zu", len);
	MUST(verdict != 'b' || got.text[0], "bad without a word");
	if (verdict == 'd')
		same(&proxy, &naive);
	input_hide(input, input->len);
	return verdict;
}

/* Only the header is needed for it, and all of the header. */
static void try_the_edge(const struct input *input)
{
	struct naive_proxy naive = naive_proxy((const uint8_t *)input->text, input->len);
	if (naive.verdict != 'd')
		return;
	MUST(ask(input, naive.len, 'm') == 'd', "more than the header is wanted");
	MUST(ask(input, naive.len - 1, 'm') == 'm', "less than the header is enough");
}

static void put_in_front(struct input *input)
{
	struct span signature = EDGE_PROXY_V2_SIGNATURE;
	char *text = malloc(signature.len + input->len);
	memcpy(text, signature.at, signature.len);
	memcpy(text + signature.len, input->text, input->len);
	free(input->text);
	input->text = text;
	input->len += signature.len;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct input input;
	char verdict = 'm';
	input_take(bytes, len, TEXT_MOST, &input);
	unsigned choice = pattern_choose(&input.choices, 3);
	if (choice > 0)
		put_in_front(&input);
	if (choice == 2)
		naive_proxy_sign((uint8_t *)input.text, input.len);
	for (size_t at = 0; at < input.len;) {
		at += pattern_cut(&input.cuts, input.len - at);
		verdict = ask(&input, at, verdict);
	}
	try_the_edge(&input);
	input_clear(&input);
	return 0;
}
