/* berth health: is Berth ready? For health checks of containers, whose image has no other client. */
#include "cli/agent.h"
#include "cli/locate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TIMEOUT_US = 4 * 1000 * 1000 };

#define DEFAULT_URL "http://127.0.0.1:8080/berth/readyz"

struct options {
	const char *url;
};

static const struct key options[] = {
	{ SCOPE_OWN, KIND_TEXT, "url", .offset = offsetof(struct options, url), .arg = "URL",
		.doc = "what to ask; without it BERTH_HEALTH_URL, else " DEFAULT_URL },
};

static const struct options defaults;

/* An image's health check is the same wherever its container listens. */
static const char *url_of(const struct options *own)
{
	const char *set = getenv("BERTH_HEALTH_URL");
	if (own->url)
		return own->url;
	return set && *set ? set : DEFAULT_URL;
}

static int health(const struct command *cmd, const char *url)
{
	struct target target;
	char error[RUNTIME_ERROR], why[AGENT_WHY], *body;
	size_t len;
	if (!locate_url(url, &target, error)) {
		cli_complain(cmd, "%s", error);
		return EXIT_SETUP;
	}
	int status = agent_get(&target.addr, target.path, TIMEOUT_US, &body, &len, why);
	if (!status) {
		cli_complain(cmd, "no answer from %s: %s", url, why);
		return EXIT_JOB;
	}
	printf("%d %.*s\n", status, (int)len, body);
	free(body);
	return status >= 200 && status < 300 ? EXIT_DONE : EXIT_JOB;
}

static int health_run(const struct command *cmd, int argc, char **argv)
{
	struct options own = defaults;
	struct arena arena;
	int operands, code;
	arena_init(&arena, 1024, 1 << 20);
	if (cli_parse(cmd, argc, argv, &own, NULL, &arena, 0, &operands, &code))
		code = health(cmd, url_of(&own));
	arena_finish(&arena);
	return code;
}

const struct command command_health = {
	.name = "health",
	.summary = "asks whether Berth is ready, for health checks",
	.synopsis = "[--url URL]",
	.description = "Asks once, waits at most 4 s, and prints the answer. An image of Berth has no other "
		       "client, so "
		       "its health check is this.",
	.exit_status = "0 the answer's status is 2xx; 1 it is another, or there is no answer; 2 wrong usage.",
	.examples = "  berth health\n  berth health --url http://127.0.0.1:9091/healthz",
	.own = options,
	.n_own = ARRAY_LEN(options),
	.defaults = &defaults,
	.run = health_run,
};
