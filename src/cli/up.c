/* berth up: a whole fleet, the orchestrator before it. */
#include "cli/up.h"

#include "cli/deployment.h"
#include "cli/surroundings.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct options {
	const char *config;
	struct deployment_options more;
};

static const struct key options[] = {
	{ SCOPE_OWN, KIND_TEXT, "config", .offset = offsetof(struct options, config), .arg = "FILE",
		.doc = "the configuration to read; without it berth.yaml, where there is one" },
	{ SCOPE_OWN, KIND_SWITCH, "quiet", .offset = offsetof(struct options, more.quiet),
		.bytes = sizeof(bool), .doc = "prints only the line that tells the addresses" },
	{ SCOPE_OWN, KIND_SWITCH, "no-wait", .offset = offsetof(struct options, more.no_wait),
		.bytes = sizeof(bool), .only = ON_AWS,
		.doc = "on AWS: returns as soon as the instances run" },
	{ SCOPE_OWN, KIND_SWITCH, "keep", .offset = offsetof(struct options, more.keep),
		.bytes = sizeof(bool), .only = ON_AWS,
		.doc = "on AWS: what was made stays when it fails or is interrupted" },
	{ SCOPE_OWN, KIND_SWITCH, "dry-run", .offset = offsetof(struct options, more.dry_run),
		.bytes = sizeof(bool), .only = ON_DOCKER | ON_AWS,
		.doc = "on Docker and AWS: prints what it would do, and changes nothing" },
	{ SCOPE_OWN, KIND_SWITCH, "open-to-all", .offset = offsetof(struct options, more.open_to_all),
		.bytes = sizeof(bool), .only = ON_AWS,
		.doc = "on AWS: --admin-cidr may be 0.0.0.0/0 or ::/0" },
};

static const struct options defaults;

static int up_local(struct up *u, const struct command *cmd)
{
	struct surroundings surroundings;
	if (!server_open(&u->server, up_on_signal) || !surroundings_find(&surroundings, cmd))
		return EXIT_SETUP;
	struct fleet_settings *f = &u->server.config->fleet;
	f->program = surroundings.program;
	f->model =
		surroundings_model(&surroundings, f->model); /* berth-worker says it when it is not there */
	int r = output_open(&u->output, f->log);
	if (r < 0) {
		cli_complain(cmd, "log: cannot write %s: %s", f->log, strerror(-r));
		return EXIT_SETUP;
	}
	int code = up_run(u);
	output_close(&u->output);
	return code;
}

/* None is set that means nothing there. */
static bool check_switches(const struct command *cmd, const struct options *own, enum fleet_place on)
{
	char complaint[SCHEMA_COMPLAINT];
	for (size_t i = 0; i < ARRAY_LEN(options); i++) {
		const bool *set = (const bool *)((const char *)own + options[i].offset);
		if (options[i].kind != KIND_SWITCH || !*set ||
			schema_means_something(&options[i], on, complaint))
			continue;
		cli_complain(cmd, "--%s: %s", options[i].path, complaint);
		return false;
	}
	return true;
}

static int up(struct up *u, const struct command *cmd, const struct options *own)
{
	if (!server_configure(&u->server, cmd, own->config, CONFIG_UP))
		return EXIT_SETUP;
	enum fleet_place on = u->server.config->fleet.on;
	const struct deployment *elsewhere = deployment_of(on);
	if (!check_switches(cmd, own, on))
		return EXIT_SETUP;
	u->quiet = own->more.quiet;
	return elsewhere ? elsewhere->up(&u->server, &own->more) : up_local(u, cmd);
}

static int up_run_command(const struct command *cmd, int argc, char **argv)
{
	struct up u = { .server.config = config_create() };
	struct options own = defaults;
	int operands, code = EXIT_SETUP;
	if (!u.server.config)
		cli_complain(cmd, "out of memory");
	else if (cli_parse(cmd, argc, argv, &own, u.server.config, &u.server.config->arena, 0, &operands,
			 &code))
		code = up(&u, cmd, &own);
	server_finish(&u.server);
	return code;
}

static const enum scope scopes[] = { SCOPE_FLEET, SCOPE_TOP, SCOPE_POOL };

const struct command command_up = {
	.name = "up",
	.summary = "starts a whole fleet: the containers, and the queue in front of them",
	.synopsis = "[--on PLACE] [--workers N] [--containers N] [--model PATH] [--listen ADDR] [OPTION]...",
	.description =
		"Starts the containers as processes of this machine, waits until all are ready, and "
		"serves. A container that ends is "
		"started again, after a pause that doubles from 100 ms to 5 s; one that was up for 10 "
		"s begins anew. They end with this "
		"process, however it ends.\n"
		"\n"
		"The containers belong to the first pool of the configuration that names none of its "
		"own; without a configuration there is "
		"one such pool. Every setting is a key of berth.yaml and a flag: those of fleet: by "
		"their own name, the others as with berth "
		"serve.\n"
		"\n"
		"Ctrl-C, SIGTERM and berth down end it: what runs and waits is finished, within the "
		"time of drain_timeout, then the "
		"containers are ended; a second signal ends it at once.\n"
		"\n"
		"With --on docker or --on aws the fleet is made there, and stays when the command returns, "
		"once all are ready. A fleet that "
		"is there already is repaired and resized: what is right is left alone, what leaves finishes "
		"first. A first run that fails or is interrupted removes what it has made. berth status and "
		"berth down are told by --on, too. A flag that means nothing to a fleet there is refused; as "
		"a key "
		"of berth.yaml it may stand.",
	.exit_status = "0 ended by a signal, or ready elsewhere; 1 the event loop failed, or the fleet "
		       "elsewhere could not be made; 2 wrong usage or configuration, an "
		       "address that cannot be had, a "
		       "model or runtime library that is missing, or a fleet of this name that runs already. "
		       "No container is left behind.",
	.examples = "  berth up\n  berth up --workers 2 --containers 4 --delay-ms 300\n  berth up --listen "
		    ":80 --model models/spam\n  berth up --on docker --workers 6",
	.own = options,
	.n_own = ARRAY_LEN(options),
	.defaults = &defaults,
	.scopes = scopes,
	.n_scopes = ARRAY_LEN(scopes),
	.run = up_run_command,
};
