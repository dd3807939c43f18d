/* berth status: what runs where, and how long the queue is. */
#include "cli/again.h"
#include "cli/agent.h"
#include "cli/deployment.h"
#include "cli/locate.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TIMEOUT_US = 5 * 1000 * 1000 };

struct options {
	const char *admin, *config, *watch;
	struct deployment_options more;
};

#define OWN(kind, path, member)                                                   \
	SCOPE_OWN, KIND_##kind, path, .offset = offsetof(struct options, member), \
				      .bytes = sizeof(((struct options *)NULL)->member)

static const struct key options[] = {
	{ OWN(TEXT, "admin", admin), .arg = "ADDR", .doc = "the admin listener to ask" },
	{ OWN(TEXT, "config", config), .arg = "FILE",
		.doc = "the configuration that names the admin listener, and the fleet" },
	{ OWN(SWITCH, "json", more.json), .doc = "prints JSON: what the admin listener answers, as it is" },
	{ OWN(TEXT, "watch", watch), .fallback = "2s", .arg = "TIME",
		.doc = "prints it anew after so long, until Ctrl-C; 2s where no time is given" },
};

static const struct options defaults;

/* ---- the table ---- */

static json_int_t number(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

/* The printable text of a member; a number is printed as one, what is not there as "-". */
static const char *text(const json_t *object, const char *key, char buf[32])
{
	const json_t *value = json_object_get(object, key);
	if (json_is_string(value))
		return json_string_value(value);
	if (json_is_number(value))
		snprintf(buf, 32, "%.0f", json_number_value(value));
	else
		snprintf(buf, 32, "-");
	return buf;
}

static void print_container(const json_t *c)
{
	char address[IO_ADDR_TEXT + 16], flight[32], bufs[5][32];
	const char *ip = text(c, "ip", bufs[0]), *port = text(c, "port", bufs[1]);
	bool v6 = strchr(ip, ':') && strncmp(ip, "unix:", 5) != 0;
	if (*port && strcmp(port, "-") != 0)
		snprintf(address, sizeof address, v6 ? "[%s]:%s" : "%s:%s", ip, port);
	else
		snprintf(address, sizeof address, "%s", ip);
	snprintf(flight, sizeof flight, "%lld/%lld", (long long)number(c, "in_flight"),
		(long long)number(c, "slots"));
	printf("%-14s %-10s %-24s %-9s %-10s %s\n", text(c, "name", bufs[2]), text(c, "worker", bufs[3]),
		address, text(c, "status", bufs[4]), flight, text(c, "requests", (char[32]){ 0 }));
}

static void print_pool(const json_t *pool)
{
	const json_t *queue = json_object_get(pool, "queue"), *slots = json_object_get(pool, "slots");
	const json_t *eta = json_object_get(queue, "eta_ms"),
		     *containers = json_object_get(pool, "containers");
	char name[32], done[32];
	printf("pool %s: %lld of at most %lld in the queue", text(pool, "name", name),
		(long long)number(queue, "length"), (long long)number(queue, "max"));
	if (json_is_number(eta))
		printf(", a newcomer would wait %.0f ms", json_number_value(eta));
	printf("; slots: %lld free, %lld busy, %lld down; requests done: %s\n",
		(long long)number(slots, "free"),
		(long long)(number(slots, "busy") + number(slots, "connecting") + number(slots, "zombie")),
		(long long)number(slots, "down"), text(json_object_get(pool, "requests"), "done", done));
	printf("%-14s %-10s %-24s %-9s %-10s %s\n", "CONTAINER", "WORKER", "ADDRESS", "STATE", "IN FLIGHT",
		"REQUESTS");
	for (size_t i = 0; i < json_array_size(containers); i++)
		print_container(json_array_get(containers, i));
}

static bool print_table(const char *body, size_t len)
{
	json_t *root = json_loadb(body, len, 0, NULL);
	const json_t *pools = json_object_get(root, "pools");
	bool ok = json_is_array(pools);
	for (size_t i = 0; i < json_array_size(pools); i++) {
		if (i)
			putchar('\n');
		print_pool(json_array_get(pools, i));
	}
	json_decref(root);
	return ok;
}

/* ---- asking ---- */

static int show_admin(const struct command *cmd, const struct io_addr *admin, bool json)
{
	char why[AGENT_WHY], address[IO_ADDR_TEXT], *body;
	size_t len;
	int status = agent_get(admin, "/status", TIMEOUT_US, &body, &len, why);
	io_addr_print(admin, true, address);
	if (!status) {
		cli_complain(cmd,
			"no answer from the admin listener at %s: %s; is Berth running? (--admin names "
			"another address)",
			address, why);
		return EXIT_JOB;
	}
	bool ok = status == 200;
	if (ok && json)
		printf("%.*s%s", (int)len, body, len && body[len - 1] == '\n' ? "" : "\n");
	else if (ok)
		ok = print_table(body, len);
	if (!ok)
		cli_complain(cmd, "%s answers with status %d and something that is no report of Berth's",
			address, status);
	free(body);
	return ok ? EXIT_DONE : EXIT_JOB;
}

static int show(const struct command *cmd, struct config *config, const struct options *own)
{
	struct io_addr admin;
	char error[RUNTIME_ERROR];
	const struct deployment *elsewhere = own->admin ? NULL : deployment_of(config->fleet.on);
	if (elsewhere)
		return elsewhere->status(cmd, config, &own->more);
	const struct key *name = schema_key(SCOPE_FLEET, STR("name"));
	struct located fleet = { config->fleet.name, config_has_flag(config, name) };
	if (locate_admin(own->admin, fleet, own->config, &admin, error))
		return show_admin(cmd, &admin, own->more.json);
	cli_complain(cmd, "%s", error);
	return EXIT_SETUP;
}

struct showing {
	const struct command *cmd;
	struct config *config;
	const struct options *own;
};

static int show_once(void *owner, bool *ret_last)
{
	const struct showing *s = owner;
	(void)ret_last;
	return show(s->cmd, s->config, s->own);
}

static int status(const struct command *cmd, struct config *config, const struct options *own)
{
	if (config->n_errors || (!own->admin && !config_read(config, own->config)) ||
		!config_finish(config, CONFIG_FIND, NULL, 0)) {
		cli_complain_config(cmd, config);
		return EXIT_SETUP;
	}
	struct showing s = { cmd, config, own };
	return again(cmd, own->watch, show_once, &s);
}

static int status_run(const struct command *cmd, int argc, char **argv)
{
	struct options own = defaults;
	struct config *config = config_create();
	int operands, code = EXIT_SETUP;
	if (!config) {
		cli_complain(cmd, "out of memory");
	} else if (cli_parse(cmd, argc, argv, &own, config, &config->arena, 1, &operands, &code)) {
		code = EXIT_SETUP;
		if (operands < argc && own.watch)
			own.watch = argv[operands]; /* --watch 5 */
		if (operands < argc && !own.watch)
			cli_complain(cmd, "unexpected argument '%s' (berth status --help)", argv[operands]);
		else
			code = status(cmd, config, &own);
	}
	config_destroy(config);
	return code;
}

const struct command command_status = {
	.name = "status",
	.summary = "shows the containers and the queue",
	.synopsis = "[--json] [--watch[=TIME]] [--admin ADDR | --name NAME [--on PLACE] | --config FILE]",
	.description = "Asks the admin listener and prints a table: each container with its worker, its "
		       "address, its state, the requests that it "
		       "has in flight, its slots, and the requests that it was given; above it the queue's "
		       "length and what a newcomer would wait.\n"
		       "\n"
		       "The admin listener is --admin; else that of the configuration named by --config; "
		       "else that of the fleet that runs under "
		       "this name; else that of berth.yaml, or 127.0.0.1:9091.\n"
		       "\n"
		       "With --on docker or --on aws it asks there what exists of the fleet.",
	.exit_status = "0 shown; 1 no answer, or no such fleet; 2 wrong usage, or nobody to ask.",
	.examples = "  berth status\n  berth status --watch 5\n  berth status --json --admin 127.0.0.1:9091",
	.own = options,
	.n_own = ARRAY_LEN(options),
	.defaults = &defaults,
	.locates = true,
	.run = status_run,
};
