/*
 * Walking a config by its tables.
 */
#include "dump.h"

#include <inttypes.h>
#include <string.h>

#include "input.h"
#include "pool/pool_conf.h"
#include "relay/relay_conf.h"

static size_t words_of(const struct conf_directive *row)
{
	size_t count = 0;

	while (row->words && row->words[count])
		count++;
	return count;
}

/* ---- one value ---- */

static void dump_number(const struct conf_directive *row, int64_t number, struct buf *into)
{
	int64_t words = (int64_t)words_of(row);

	MUST(number >= -words, "%s: %" PRId64 " is no number and no word", row->name, number);
	MUST(number < 0 || number >= row->min, "%s: %" PRId64 " is below its least", row->name,
		number);
	MUST(row->max == 0 || number <= row->max, "%s: %" PRId64 " is above its most", row->name,
		number);
	buf_addf(into, " %" PRId64, number);
}

static void dump_text(const char *text, struct buf *into)
{
	buf_addf(into, " \"%s\"", text ? text : "(none)");
}

static void dump_addr(const struct addr *addr, struct buf *into)
{
	char text[ADDR_TEXT];

	addr_text_port(addr, text);
	buf_addf(into, " %s", text);
}

static void dump_one(const struct conf_directive *row, const void *at, struct buf *into)
{
	const struct conf_endpoint *endpoint = at;
	const struct conf_domain *domain = at;
	const struct network *network = at;
	const struct conf_block *target;
	const struct conf_rate *rate = at;

	switch (row->type) {
	case CONF_FLAG:
		buf_addf(into, " %d", *(const bool *)at);
		break;
	case CONF_INT:
	case CONF_PERCENT:
	case CONF_DURATION:
	case CONF_SIZE:
		dump_number(row, *(const int64_t *)at, into);
		break;
	case CONF_RATE:
		buf_addf(into, " %" PRId64 "/%" PRId64, rate->count, rate->per);
		break;
	case CONF_ENUM:
		MUST(*(const int *)at >= 0 && (size_t) * (const int *)at < words_of(row),
			"%s: word %d", row->name, *(const int *)at);
		buf_addf(into, " %d", *(const int *)at);
		break;
	case CONF_NAME:
	case CONF_WORD:
	case CONF_STRING:
	case CONF_PATH:
	case CONF_HOST:
		dump_text(*(const char *const *)at, into);
		break;
	case CONF_ADDR:
	case CONF_ADDR_PORT:
		dump_addr(at, into);
		break;
	case CONF_ENDPOINT:
		MUST((endpoint->host != NULL) != (endpoint->addr.family != ADDR_NONE),
			"%s: neither a name nor an address, or both", row->name);
		dump_text(endpoint->host, into);
		dump_text(endpoint->text, into);
		dump_addr(&endpoint->addr, into);
		buf_addf(into, " %u", endpoint->port);
		break;
	case CONF_NETWORK:
		MUST(network->bits <= (network->base.family == ADDR_IP4 ? 32 : 128), "%s: /%u",
			row->name, network->bits);
		dump_addr(&network->base, into);
		buf_addf(into, "/%u", network->bits);
		break;
	case CONF_DOMAIN:
		MUST(domain->name[0] != '\0' && domain->name[0] != '.', "%s: \"%s\"", row->name,
			domain->name);
		dump_text(domain->name, into);
		buf_addf(into, " %d", domain->under);
		break;
	case CONF_REF:
		target = *(const struct conf_block *const *)at;
		MUST(target && strcmp(target->kind, row->kind) == 0, "%s refers to nothing",
			row->name);
		dump_text(target->name, into);
		break;
	case CONF_CUSTOM:
	case CONF_BLOCK:
		break;
	}
}

static size_t size_of(enum conf_type type)
{
	switch (type) {
	case CONF_RATE:
		return sizeof(struct conf_rate);
	case CONF_ENDPOINT:
		return sizeof(struct conf_endpoint);
	case CONF_ADDR:
	case CONF_ADDR_PORT:
		return sizeof(struct addr);
	case CONF_NETWORK:
		return sizeof(struct network);
	case CONF_DOMAIN:
		return sizeof(struct conf_domain);
	default:
		return 8; /* numbers and pointers */
	}
}

static void dump_list(const struct conf_directive *row, const void *at, struct buf *into)
{
	/* All lists have one layout (conf/value.h). */
	const struct conf_texts *list = at;

	buf_addf(into, " [%zu, words %" PRIx64 ":", list->count, list->words);
	for (size_t i = 0; i < list->count; i++)
		dump_one(row, (const char *)list->at + i * size_of(row->type), into);
	buf_add_text(into, "]");
}

static void dump_custom(const struct conf_section *section, const void *values, struct buf *into)
{
	if (section == &pool_section) {
		const struct pool_balance *balance =
			&((const struct pool_settings *)values)->balance;

		dump_text(balance->ops->name, into);
		dump_text(balance->field, into);
	} else if (section == &relay_listener_section) {
		const struct relay_offer *offer = &((const struct relay_settings *)values)->offer;

		buf_addf(into, " %d %x", offer->set, offer->caps);
	}
}

/* ---- blocks ---- */

static bool is_set(const struct conf_block *block, const struct conf_directive *row)
{
	return row->fallback || (row->flags & CONF_ARG) || conf_written(block, row->name);
}

static void dump_row(const struct conf_block *block, const struct conf_section *section,
	const struct conf_directive *row, struct buf *into)
{
	const char *values = conf_get(block, section);
	bool list = (row->flags & (CONF_LIST | CONF_REPEATABLE)) != 0;

	if (row->type == CONF_BLOCK || (row->flags & CONF_NO_STORE))
		return;
	buf_addf(into, "  %s%s", row->name, conf_written(block, row->name) ? "" : " (default)");
	if (row->type == CONF_CUSTOM)
		dump_custom(section, values, into);
	else if (list && row->type == CONF_ENUM)
		buf_addf(
			into, " %" PRIx64, *(const uint64_t *)(const void *)(values + row->offset));
	else if (list)
		dump_list(row, values + row->offset, into);
	else if (is_set(block, row))
		dump_one(row, values + row->offset, into);
	buf_add_text(into, "\n");
}

static void dump_block(
	const struct conf_vocabulary *vocabulary, const struct conf_block *block, struct buf *into)
{
	buf_addf(into, "%s \"%s\"\n", block->kind, block->name ? block->name : "");
	for (size_t i = 0; i < vocabulary->count; i++) {
		const struct conf_section *section = vocabulary->sections[i];

		if (strcmp(section->block, block->kind) != 0)
			continue;
		for (size_t j = 0; j < section->count; j++)
			dump_row(block, section, &section->rows[j], into);
	}
	for (const struct conf_block *child = block->first; child; child = child->next)
		dump_block(vocabulary, child, into);
}

void dump_conf(const struct conf_vocabulary *vocabulary, const struct conf *conf, struct buf *into)
{
	dump_block(vocabulary, conf_root(conf), into);
}
