/* berth check: says whether a configuration is in order. */
#include "cli/cli.h"

#include <stdio.h>

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
	for (size_t i = 0; i < s->n_pools; i++)
		containers += s->pools[i].n_containers;
	printf("%s: ok: %zu pool%s, %zu container%s\n", name, s->n_pools, s->n_pools == 1 ? "" : "s",
		containers, containers == 1 ? "" : "s");
}

static int check_run(const struct command *cmd, int argc, char **argv)
{
	int operands, code = EXIT_SETUP;
	struct config *c = config_create();
	if (!c) {
		cli_complain(cmd, "out of memory");
		return EXIT_SETUP;
	}
	if (cli_parse(cmd, argc, argv, NULL, NULL, &c->arena, 1, &operands, &code)) {
		const char *file = operands < argc ? argv[operands] : "berth.yaml";
		if (config_read(c, file) && config_finish(c, CONFIG_CHECK, NULL, 0)) {
			print_summary(c, file);
			code = EXIT_DONE;
		} else {
			print_errors(c);
		}
	}
	config_destroy(c);
	return code;
}

const struct command command_check = {
	.name = "check",
	.summary = "says whether a configuration is in order",
	.synopsis = "[FILE]",
	.description = "Reads FILE, or berth.yaml, and prints either what it describes or every error with "
		       "its line and column, one a "
		       "line. Nothing is started, and nothing is connected to.",
	.exit_status = "0 the configuration is in order; 2 it is not, or cannot be read.",
	.examples = "  berth check\n  berth check /etc/berth/berth.yaml",
	.run = check_run,
};
