/* deployment: a fleet that lives somewhere else than in the process that starts it.
 *
 * The local fleet runs in the loop of `berth up` and ends with it. A deployment's commands make things exist,
 * wait until they are ready, say where, and return; what they made stays until `down`. They may block, and
 * use the main thread. The signals are as the shell left them: interrupt.h tells of Ctrl-C.
 */
#pragma once
#include "cli/cli.h"
#include "cli/server.h"

/* What is asked for beside the settings; each command has those that mean something to it. */
struct deployment_options {
	bool quiet;         /* up: only the line that tells the addresses */
	bool json;          /* status: for programs */
	bool dry_run;       /* up: says what it would do, and does nothing */
	bool no_wait, keep; /* up on AWS: not until all are ready; what failed stays */
	bool open_to_all;   /* up on AWS: everybody may be let in */
	bool yes;           /* down on AWS: does not ask */
};

struct deployment {
	/* Makes what server->config asks for, with its containers up and ready, and returns an exit code.
	 * Also on a fleet that exists: repairs and resizes it. server is configured (server_configure); one
	 * whose orchestrator is this process goes on with server_open and server_start. */
	int (*up)(struct server *server, const struct deployment_options *options);
	/* Prints what there is of the fleet config->fleet.name; only the settings of the fleet's section
	 * count. */
	int (*status)(
		const struct command *cmd, struct config *config, const struct deployment_options *options);
	/* Removes all of it, says what, and when there was nothing, that. */
	int (*down)(
		const struct command *cmd, struct config *config, const struct deployment_options *options);
};

/* NULL for a place whose fleet is local. */
const struct deployment *deployment_of(enum fleet_place place);
