/* A configuration file, read, finished and checked as for each use. */
#include "fuzz.h"

#include "cli/config.h"

#include <string.h>

static void check_errors(const struct config *c)
{
	size_t n = c->n_errors < CONFIG_ERRORS_MAX ? c->n_errors : CONFIG_ERRORS_MAX;
	for (size_t i = 0; i < n; i++) {
		CHECK(c->errors[i][0] && memchr(c->errors[i], '\0', CONFIG_LINE));
		CHECK(!strchr(c->errors[i], '\n'));
	}
}

/* What is accepted can be run: all that the gateway relies on is there. */
static void check_settings(const struct config *c)
{
	const struct settings *s = &c->settings;
	CHECK(s->n_pools >= 1);
	for (size_t i = 0; i < s->n_pools; i++) {
		const struct pool_settings *p = &s->pools[i];
		CHECK(p->name && p->path_prefix && p->path_prefix[0] == '/' && p->slots >= 1 &&
			p->queue_max >= 1);
		for (size_t k = 0; k < p->n_containers; k++)
			CHECK(container_addr_is_allowed(&p->containers[k].addr) && p->containers[k].name[0]);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum config_use uses[] = { CONFIG_SERVE, CONFIG_UP, CONFIG_CHECK };
	for (size_t i = 0; i < sizeof uses / sizeof *uses; i++) {
		struct config *c = config_create();
		CHECK(c);
		bool good = config_read_text(c, "berth.yaml", (const char *)data, size) &&
			config_finish(c, uses[i], NULL, 0);
		CHECK(good == (c->n_errors == 0));
		check_errors(c);
		if (good && uses[i] == CONFIG_SERVE)
			check_settings(c);
		config_destroy(c);
	}
	return 0;
}
