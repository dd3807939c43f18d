/* berth serve: the orchestrator alone, before any HTTP servers. */
#include "base/log.h"
#include "cli/server.h"

#include <signal.h>
#include <string.h>

struct options {
	const char *config;
};

static const struct key options[] = {
	{ SCOPE_OWN, KIND_TEXT, "config", .offset = offsetof(struct options, config), .arg = "FILE",
		.doc = "the configuration to read; without it berth.yaml, where there is one" },
};

static const struct options defaults;

static void on_signal(struct signals *signals, int signal)
{
	struct server *s = CONTAINER_OF(signals, struct server, signals);
	switch (signal) {
	case SIGUSR1:
		reactor_reopen_log(s->reactor);
		return;
	case SIGHUP:
		server_reload(s, NULL);
		return;
	default:
		log_info("%s: what runs and waits is finished first; once more stops at once",
			strsignal(signal));
		server_drain(s);
		return;
	}
}

static int serve(struct server *s)
{
	if (!server_open(s, on_signal) || !server_start(s))
		return EXIT_SETUP;
	server_print_ready(s);
	int r = io_epoll_run(s->io);
	if (r < 0)
		cli_complain(s->cmd, "the event loop has failed: %s", strerror(-r));
	return r < 0 ? EXIT_JOB : EXIT_DONE;
}

static int serve_run(const struct command *cmd, int argc, char **argv)
{
	struct server s = { .config = config_create() };
	struct options own = defaults;
	int operands, code = EXIT_SETUP;
	if (!s.config)
		cli_complain(cmd, "out of memory");
	else if (cli_parse(cmd, argc, argv, &own, s.config, &s.config->arena, 0, &operands, &code))
		code = server_configure(&s, cmd, own.config, CONFIG_SERVE) ? serve(&s) : EXIT_SETUP;
	server_finish(&s);
	return code;
}

static const enum scope scopes[] = { SCOPE_TOP, SCOPE_POOL };

const struct command command_serve = {
	.name = "serve",
	.summary = "runs the queue in front of containers that run already",
	.synopsis = "[--config FILE] [--listen ADDR] [--containers ADDR,ADDR...] [OPTION]...",
	.description = "Takes requests, gives each to a free container or queues it, and tells whoever waits "
		       "its place. The containers are any "
		       "HTTP servers; each gets as many requests at once as it has slots, and never more.\n"
		       "\n"
		       "Every setting is a key of berth.yaml and a flag of the same name, with dashes for "
		       "dots and underscores; flags win. A flag of "
		       "a list may be given several times, or have several values with commas between. Flags "
		       "of a pool need a configuration with "
		       "one pool, or none.\n"
		       "\n"
		       "SIGTERM and SIGINT end it: what runs and waits is finished, within the time of "
		       "drain_timeout; a second one ends it at once. "
		       "SIGUSR1 reopens the access log, SIGHUP reads the configuration again. Sockets that "
		       "systemd hands over are listened on.",
	.exit_status = "0 ended by a signal; 1 the event loop failed; 2 wrong usage or configuration, or an "
		       "address that cannot be had.",
	.examples = "  berth serve --containers 127.0.0.1:5000,127.0.0.1:5001 --health-path /health\n"
		    "  berth serve --listen :80 --config /etc/berth/berth.yaml",
	.own = options,
	.n_own = ARRAY_LEN(options),
	.defaults = &defaults,
	.scopes = scopes,
	.n_scopes = ARRAY_LEN(scopes),
	.run = serve_run,
};
