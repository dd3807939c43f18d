/* berth status and berth down --on docker. */
#include "cli/deployment.h"
#include "cli/docker.h"
#include "cli/docker_up.h"
#include "cli/interrupt.h"
#include "fleet/docker.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_over(void *user)
{
	return interrupt_came();
}

/* False after a complaint, with the exit code. */
static bool open_and_look(
	const struct command *cmd, const struct config *config, struct docker *d, int *ret_code)
{
	interrupt_watch();
	*ret_code = EXIT_SETUP;
	if (docker_open(d, &config->fleet, is_over, NULL)) {
		*ret_code = EXIT_JOB;
		if (docker_look(d)) {
			*ret_code = EXIT_DONE;
			return true;
		}
	}
	cli_complain(cmd, "%s", d->error);
	docker_close(d);
	return false;
}

/* ---- status ---- */

static void print_table(const struct docker *d)
{
	char worker[16];
	printf("%-24s %-10s %-22s %s\n", "CONTAINER", "WORKER", "ADDRESS", "STATE");
	for (size_t i = 0; i < d->n; i++) {
		const struct docker_container *c = &d->list[i];
		char address[DOCKER_IP + 16];
		snprintf(worker, sizeof worker, c->orchestrator ? "-" : "worker%u", c->worker);
		if (c->orchestrator && c->front)
			snprintf(address, sizeof address, "%s, port %u", c->ip, c->front);
		else
			snprintf(address, sizeof address, "%s", c->ip);
		const char *name =
			!strncmp(c->name, d->prefix, strlen(d->prefix)) && c->name[strlen(d->prefix)] == '-'
			? c->name + strlen(d->prefix) + 1
			: c->name;
		printf("%-24s %-10s %-22s %s\n", name, worker, address, c->status);
	}
}

static bool print_json(const struct docker *d)
{
	json_t *list = json_array();
	for (size_t i = 0; i < d->n; i++) {
		const struct docker_container *c = &d->list[i];
		(void)json_array_append_new(list,
			json_pack("{s:s, s:s, s:s, s:i, s:i, s:s, s:s, s:s, s:i}", "id", c->id, "name",
				c->name, "role", c->orchestrator ? "orchestrator" : "container", "number",
				c->number, "worker", c->worker, "ip", c->ip, "state", c->state, "status",
				c->status, "front_port", c->front));
	}
	json_t *root = json_pack("{s:s, s:s, s:s, s:o}", "fleet", d->settings->name, "network", d->prefix,
		"subnet", d->subnet, "containers", list);
	char *text = root ? json_dumps(root, JSON_INDENT(2)) : NULL;
	if (text)
		printf("%s\n", text);
	json_decref(root);
	free(text);
	return text;
}

int docker_deployment_status(
	const struct command *cmd, struct config *config, const struct deployment_options *options)
{
	struct docker d;
	int code;
	if (!open_and_look(cmd, config, &d, &code))
		return code;
	if (d.n == 0) {
		cli_complain(cmd, "no fleet \"%s\" on the Docker Engine at %s", config->fleet.name,
			d.engine.where);
		code = EXIT_JOB;
	} else if (options->json) {
		code = print_json(&d) ? EXIT_DONE : EXIT_JOB;
	} else {
		printf("fleet %s on the Docker Engine at %s, network %s\n", config->fleet.name,
			d.engine.where, d.subnet);
		print_table(&d);
	}
	docker_close(&d);
	return code;
}

/* ---- down ---- */

static bool is_orchestrator(const struct docker_container *c)
{
	return c->orchestrator;
}

static bool is_any(const struct docker_container *c)
{
	return true;
}

/* The orchestrator first: it finishes what it has, for which it needs the containers. */
static bool take_down(struct docker *d)
{
	return docker_remove(d, is_orchestrator) && docker_remove(d, is_any) && docker_remove_network(d) &&
		docker_remove_volumes(d);
}

static int go_down(const struct command *cmd, const char *fleet, struct docker *d)
{
	char error[RUNTIME_ERROR];
	pid_t queue;
	size_t n = d->n, orchestrators = docker_orchestrator(d) != NULL;
	bool network = d->network_id[0], volume = d->has_volume || d->has_sockets;
	if (!docker_host_end(fleet, &queue, error)) {
		cli_complain(cmd, "%s", error);
		return EXIT_JOB;
	}
	if (!n && !network && !volume) {
		printf("berth: nothing is left of the fleet \"%s\" on the Docker Engine at %s\n", fleet,
			d->engine.where);
		return EXIT_DONE;
	}
	if (!take_down(d)) {
		cli_complain(cmd, "%s; what is left is removed by another berth down", d->error);
		return EXIT_JOB;
	}
	docker_host_remove_sockets(fleet);
	printf("berth: the fleet \"%s\" is down: removed %zu container%s%s%s%s\n", fleet, n - orchestrators,
		n - orchestrators == 1 ? "" : "s", orchestrators || queue ? ", the orchestrator" : "",
		network ? ", the network" : "", volume ? ", the volumes" : "");
	return EXIT_DONE;
}

int docker_deployment_down(
	const struct command *cmd, struct config *config, const struct deployment_options *options)
{
	struct docker d;
	int code;
	char error[RUNTIME_ERROR];
	const char *fleet = config->fleet.name;
	if (!open_and_look(cmd, config, &d, &code))
		return code;
	int lock = runtime_lock(fleet, error);
	if (lock < 0) {
		cli_complain(cmd, "%s", error);
		code = EXIT_SETUP;
	} else if (!docker_look(&d)) { /* another run may have changed it meanwhile */
		cli_complain(cmd, "%s", d.error);
		code = EXIT_JOB;
	} else {
		code = go_down(cmd, fleet, &d);
	}
	runtime_unlock(fleet, lock);
	docker_close(&d);
	return code;
}
