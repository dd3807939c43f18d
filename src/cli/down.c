/* berth down: ends a fleet, wherever it runs. */
#include "cli/deployment.h"
#include "cli/runtime.h"

#include <stdio.h>
#include <string.h>

struct options {
	const char *config;
	struct deployment_options more;
};

static const struct key options[] = {
	{ SCOPE_OWN, KIND_TEXT, "config", .offset = offsetof(struct options, config), .arg = "FILE",
		.doc = "the configuration whose fleet is meant; without it berth.yaml, where there is one" },
	{ SCOPE_OWN, KIND_SWITCH, "yes", .offset = offsetof(struct options, more.yes), .bytes = sizeof(bool),
		.doc = "on AWS: does not ask, also on a terminal" },
};

static const struct options defaults;

static int end_process(const struct command *cmd, const char *name, const struct runtime_info *info)
{
	int r = runtime_end(info);
	if (r < 0) {
		cli_complain(cmd, "cannot end process %d: %s", (int)info->pid, strerror(-r));
		return EXIT_JOB;
	}
	if (info->on_docker)
		printf("berth: the queue of the fleet \"%s\" (pid %d) has ended; its containers stay: berth "
		       "down "
		       "--on docker removes them\n",
			name, (int)info->pid);
	else
		printf("berth: the fleet \"%s\" (pid %d, %llu container%s) is down\n", name, (int)info->pid,
			(unsigned long long)info->containers, info->containers == 1 ? "" : "s");
	return EXIT_DONE;
}

static int down_local(const struct command *cmd, const char *name)
{
	struct runtime_info info;
	char error[RUNTIME_ERROR];
	switch (runtime_find(name, &info, error)) {
	case 0:
		printf("berth: no fleet is running under the name \"%s\"\n", name);
		return EXIT_DONE;
	case 1:
		return end_process(cmd, name, &info);
	default:
		cli_complain(cmd, "%s", error);
		return EXIT_SETUP;
	}
}

static int down(const struct command *cmd, struct config *config, const struct options *own)
{
	if (config->n_errors || !config_read(config, own->config) ||
		!config_finish(config, CONFIG_FIND, NULL, 0)) {
		cli_complain_config(cmd, config);
		return EXIT_SETUP;
	}
	const struct deployment *elsewhere = deployment_of(config->fleet.on);
	return elsewhere ? elsewhere->down(cmd, config, &own->more) : down_local(cmd, config->fleet.name);
}

static int down_run(const struct command *cmd, int argc, char **argv)
{
	struct options own = defaults;
	struct config *config = config_create();
	int operands, code = EXIT_SETUP;
	if (!config)
		cli_complain(cmd, "out of memory");
	else if (cli_parse(cmd, argc, argv, &own, config, &config->arena, 0, &operands, &code))
		code = down(cmd, config, &own);
	config_destroy(config);
	return code;
}

const struct command command_down = {
	.name = "down",
	.summary = "ends a fleet",
	.synopsis = "[--name NAME] [--on PLACE] [--config FILE]",
	.description =
		"Asks the berth up of this user to end, and waits until it is gone, its containers "
		"with it. What runs and waits is "
		"finished first, within the time of drain_timeout. When no fleet is running, that is "
		"said and is no error.\n"
		"\n"
		"With --on docker or --on aws it removes all that berth up has made there, and says what; "
		"images on a Docker Engine stay.",
	.exit_status = "0 no fleet of this name is running any more; 1 it could not be ended, or not all "
		       "could be removed; 2 wrong usage, or nobody to ask.",
	.examples = "  berth down\n  berth down --name blue\n  berth down --on docker",
	.own = options,
	.n_own = ARRAY_LEN(options),
	.defaults = &defaults,
	.locates = true,
	.run = down_run,
};
