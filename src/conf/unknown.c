/*
 * A name that isn't legal where it stands: where it is legal, or what was probably meant.
 */
#include <string.h>

#include "conf/build.h"

static void say_legal_names(struct conf *conf, const struct conf_kind *kind)
{
	struct buf names = {0};
	unsigned count = 0, said = 0;

	for (unsigned i = 0; i < kind->count; i++)
		count += !conf_entry_is_arg(&kind->entries[i]);
	if (count == 0 || count > 12)
		return;
	for (unsigned i = 0; i < kind->count; i++) {
		if (conf_entry_is_arg(&kind->entries[i]))
			continue;
		said++;
		buf_addf(&names, "%s%s",
			said == 1       ? ""
			: said == count ? " or "
					: ", ",
			kind->entries[i].row->name);
	}
	conf_report_hint(conf->report, "expected %s", buf_string(&names));
	buf_clear(&names);
}

/* "in server or listener", "at the top level": the kinds in which a name is legal.  False: none. */
static bool describe_homes(const struct conf *conf, struct span name, struct buf *out)
{
	unsigned count = 0;

	for (const struct conf_kind *kind = conf->kinds; kind; kind = kind->next) {
		const struct conf_entry *entry = conf_kind_find(kind, name);

		if (!entry || count == 3)
			continue;
		buf_add_text(out, count++ > 0 ? " or " : "");
		if (!kind->parent)
			buf_add_text(out, "at the top level");
		else if (kind->parent->parent)
			buf_addf(out, "in \"%s\" of a %s", kind->word, kind->parent->word);
		else
			buf_addf(out, "in \"%s\"", kind->word);
	}
	return count > 0;
}

static const struct conf_entry *complain_of_arg(
	struct conf *conf, const struct conf_kind *kind, struct conf_place place, struct span name)
{
	struct buf form = {0};

	conf_kind_synopsis(kind, &form);
	conf_report_error(conf->report, place,
		CONF_SHOWN " is not a setting but stands behind \"%s\"", CONF_SHOW(name),
		kind->word);
	conf_report_hint(conf->report, "expected %s", buf_string(&form));
	buf_clear(&form);
	return NULL;
}

static void complain(struct conf *conf, const struct conf_block *block,
	const struct conf_kind *kind, struct span name, struct conf_place place)
{
	struct buf where = {0};

	/* Options of a block that is only about to be opened have no block yet. */
	if (block && block->is == kind)
		conf_block_describe(block, &where);
	else
		buf_addf(&where, "\"%s\"", kind->word);
	conf_report_error(conf->report, place, "unknown setting " CONF_SHOWN " %s %s",
		CONF_SHOW(name), kind->parent ? "in" : "at", buf_string(&where));
	buf_clear(&where);
}

const struct conf_entry *conf_unknown_setting(struct conf *conf, const struct conf_block *block,
	const struct conf_kind *kind, struct span name, struct conf_place place)
{
	const struct conf_entry *meant = conf_kind_nearest(kind, name);
	struct buf homes = {0};

	if (conf_kind_find_arg(kind, name))
		return complain_of_arg(conf, kind, place, name);
	complain(conf, block, kind, name, place);
	if (describe_homes(conf, name, &homes)) {
		conf_report_hint(conf->report, CONF_SHOWN " belongs %s", CONF_SHOW(name),
			buf_string(&homes));
		meant = NULL;
	} else if (meant) {
		conf_report_hint(conf->report, "did you mean \"%s\"?", meant->row->name);
	} else {
		say_legal_names(conf, kind);
	}
	buf_clear(&homes);
	return meant;
}
