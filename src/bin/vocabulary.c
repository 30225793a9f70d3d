/*
 * The table of all rooms' settings.
 */
#include "admin/admin.h"
#include "bin/settings.h"
#include "edge/edge.h"
#include "health/health_conf.h"
#include "pool/pool_conf.h"
#include "relay/relay_conf.h"

/* In the order of the reference: the top, listeners, pools and servers, the rest. */
static const struct conf_section *const sections[] = {
	&bin_top_section,
	&relay_top_section,
	&pool_top_section,
	&admin_top_section,
	&bin_listener_section,
	&relay_listener_section,
	&edge_listener_section,
	&pool_section,
	&health_pool_section,
	&health_check_section,
	&health_outlier_section,
	&pool_server_section,
	&admin_section,
	&bin_log_section,
};

const struct conf_vocabulary bin_vocabulary = {
	.sections = sections,
	.count = sizeof(sections) / sizeof(sections[0]),
};
