/*
 * Networks: the leading bits that addresses of a kind share.
 */
#include "base/addr.h"

#include <string.h>

static const uint8_t *bytes_of(const struct addr *addr)
{
	return addr->family == ADDR_IP4 ? addr->ip4 : addr->ip6;
}

static unsigned width_of(const struct addr *addr)
{
	switch (addr->family) {
	case ADDR_IP4:
		return 32;
	case ADDR_IP6:
		return 128;
	case ADDR_NONE:
	case ADDR_UNIX:
		break;
	}
	return 0;
}

static bool host_bits_clear(const struct network *network)
{
	const uint8_t *bytes = bytes_of(&network->base);

	for (unsigned bit = network->bits; bit < width_of(&network->base); bit++) {
		if (bytes[bit / 8] & (0x80u >> bit % 8))
			return false;
	}
	return true;
}

enum err network_parse(struct span text, struct network *network_r)
{
	struct span host = {.at = text.at, .len = span_find(text, '/')};
	struct network network;
	uint64_t bits;
	bool mapped;

	if (addr_parse(host, &network.base) != ERR_OK)
		return ERR_SYNTAX;
	network.bits = width_of(&network.base);
	if (host.len < text.len) {
		/* "::ffff:10.0.0.0/104" was stored as 10.0.0.0: its bits count from 96. */
		mapped = network.base.family == ADDR_IP4 && span_find(host, ':') < host.len;
		if (!span_to_u64(span_from(text, host.len + 1), mapped ? 128 : network.bits, &bits))
			return ERR_SYNTAX;
		if (mapped && bits < 96)
			return ERR_RANGE;
		network.bits = (unsigned)bits - (mapped ? 96 : 0);
	}
	if (!host_bits_clear(&network))
		return ERR_RANGE;
	*network_r = network;
	return ERR_OK;
}

bool network_has(const struct network *network, const struct addr *addr)
{
	const uint8_t *a = bytes_of(&network->base), *b = bytes_of(addr);
	unsigned whole = network->bits / 8, rest = network->bits % 8;

	if (width_of(addr) == 0 || network->base.family != addr->family)
		return false;
	if (memcmp(a, b, whole) != 0)
		return false;
	return rest == 0 || (a[whole] ^ b[whole]) >> (8 - rest) == 0;
}

bool network_is_private(const struct network *network)
{
	static const struct network private[] = {
		{{.family = ADDR_IP4, .ip4 = {127}}, 8},
		{{.family = ADDR_IP4, .ip4 = {169, 254}}, 16},
		{{.family = ADDR_IP4, .ip4 = {10}}, 8},
		{{.family = ADDR_IP4, .ip4 = {172, 16}}, 12},
		{{.family = ADDR_IP4, .ip4 = {192, 168}}, 16},
		{{.family = ADDR_IP4, .ip4 = {100, 64}}, 10},
		{{.family = ADDR_IP6, .ip6 = {[15] = 1}}, 128},
		{{.family = ADDR_IP6, .ip6 = {0xfe, 0x80}}, 10},
		{{.family = ADDR_IP6, .ip6 = {0xfc}}, 7},
	};

	for (size_t i = 0; i < sizeof(private) / sizeof(private[0]); i++) {
		if (network->bits >= private[i].bits && network_has(&private[i], &network -> base))
			return true;
	}
	return false;
}

bool addr_is_loopback(const struct addr *addr)
{
	static const uint8_t one[16] = {[15] = 1};

	if (addr->family == ADDR_IP4)
		return addr->ip4[0] == 127;
	return addr->family == ADDR_UNIX ||
	       (addr->family == ADDR_IP6 && memcmp(addr->ip6, one, sizeof(one)) == 0);
}
