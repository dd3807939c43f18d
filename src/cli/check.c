/* berth check: says whether a configuration is in order. */
#include "cli/cli.h"

#include <stdio.h>

struct options {
	bool keys;
};

static const struct key options[] = {
	{ SCOPE_OWN, KIND_SWITCH, "keys", .offset = offsetof(struct options, keys), .bytes = sizeof(bool),
		.doc = "prints every key that a configuration may have, its default, its range and its "
		       "meaning, with tabs between" },
};

static const struct options defaults;

static void print_keys(const struct config *c)
{
	size_t n;
	char name[SCHEMA_FLAG], value[200], range[100];
	struct pool_settings pool;
	const struct key *keys = schema_keys(&n);
	pool_settings_default(&pool);
	for (size_t i = 0; i < n; i++) {
		const void *base = &c->settings;
		if (keys[i].scope != SCOPE_TOP)
			base = keys[i].scope == SCOPE_POOL ? (const void *)&pool : &c->fleet;
		printf("%s\t%s\t%s\t%s\n", schema_name(&keys[i], name),
			schema_print(&keys[i], base, value, sizeof value),
			schema_range(&keys[i], range, sizeof range), keys[i].doc);
	}
}

static void print_errors(const struct config *c)
{
	size_t shown = c->n_errors < CONFIG_ERRORS_MAX ? c->n_errors : CONFIG_ERRORS_MAX;
	for (size_t i = 0; i < shown; i++)
		fprintf(stderr, "%s\n", c->errors[i]);
	if (c->n_errors > shown)
		fprintf(stderr, "and %zu more\n", c->n_errors - shown);
}

static void print_summary(const struct config *c, const char *name)
{
	const struct settings *s = &c->settings;
	size_t containers = c->fleet_pool < s->n_pools ? (size_t)c->fleet.workers * c->fleet.containers : 0;
	size_t sources = 0;
	for (size_t i = 0; i < s->n_pools; i++) {
		containers += s->pools[i].n_containers;
		sources += s->pools[i].n_sources;
	}
	printf("%s: ok: %zu pool%s, %zu container%s", name, s->n_pools, s->n_pools == 1 ? "" : "s",
		containers, containers == 1 ? "" : "s");
	if (sources)
		printf(", %zu source%s", sources, sources == 1 ? "" : "s");
	printf("\n");
}

static int check(struct config *c, const char *file)
{
	if (config_read(c, file) && config_finish(c, CONFIG_CHECK, NULL, 0)) {
		print_summary(c, file);
		return EXIT_DONE;
	}
	print_errors(c);
	return EXIT_SETUP;
}

static int check_run(const struct command *cmd, int argc, char **argv)
{
	int operands, code = EXIT_SETUP;
	struct options own = defaults;
	struct config *c = config_create();
	if (!c) {
		cli_complain(cmd, "out of memory");
		return EXIT_SETUP;
	}
	if (cli_parse(cmd, argc, argv, &own, NULL, &c->arena, 1, &operands, &code)) {
		code = EXIT_DONE;
		if (own.keys)
			print_keys(c);
		else
			code = check(c, operands < argc ? argv[operands] : "berth.yaml");
	}
	config_destroy(c);
	return code;
}

const struct command command_check = {
	.name = "check",
	.summary = "says whether a configuration is in order",
	.synopsis = "[FILE | --keys]",
	.description = "Reads FILE, or berth.yaml, and prints either what it describes or every error with "
		       "its line and column, one a "
		       "line. Nothing is started, and nothing is connected to.",
	.exit_status = "0 the configuration is in order; 2 it is not, or cannot be read.",
	.examples = "  berth check\n  berth check /etc/berth/berth.yaml",
	.own = options,
	.n_own = ARRAY_LEN(options),
	.defaults = &defaults,
	.run = check_run,
};
