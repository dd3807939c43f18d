/* berth status --on aws: the instances, and what the front says of their containers. */
#include "cli/aws_cli.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *or_dash(const char *text)
{
	return *text ? text : "-";
}

static const char *state_of(const struct aws_instance *i)
{
	return aws_is_live(i) && i->draining ? AWS_DRAINING : aws_state_name(i->state);
}

static int compare(const void *a, const void *b)
{
	const struct aws_instance *x = a, *y = b;
	int by_role = (int)y->role - (int)x->role; /* the orchestrator first */
	int by_index = x->index < y->index ? -1 : x->index > y->index;
	return by_role ? by_role : by_index ? by_index : strcmp(x->id, y->id);
}

static const struct aws_instance *find_front(const struct aws_found *f)
{
	for (size_t i = 0; i < f->n_instances; i++) {
		if (f->instances[i].role == AWS_ORCHESTRATOR && f->instances[i].state == AWS_RUNNING)
			return &f->instances[i];
	}
	return NULL;
}

static void ask_front(const struct aws_found *f, char host[AWS_IP + 2], struct aws_ready *ret)
{
	const struct aws_instance *front = find_front(f);
	*ret = (struct aws_ready){ 0 };
	host[0] = '\0';
	if (!front)
		return;
	aws_front_ask(aws_front_host(front->public_ip[0] ? front->public_ip : front->private_ip, host), ret);
}

static size_t count_left(const struct aws_found *f)
{
	size_t n = 0;
	for (size_t i = 0; i < f->n_instances; i++)
		n += f->instances[i].state != AWS_TERMINATED;
	return n;
}

/* "1 of 2 up", or "-" when nobody knows. */
static const char *containers_of(const struct aws_ready *ready, const struct aws_instance *i, char text[32])
{
	const struct aws_generation *g = ready ? aws_worker_counts(ready, i) : NULL;
	snprintf(text, 32, "-");
	if (g)
		snprintf(text, 32, "%u of %u up", g->up, g->containers);
	return text;
}

/* A start-up script that failed says so on its machine only. */
static void print_advice(const struct aws_deploy *d, const struct aws_ready *ready)
{
	char name[AWS_NAME];
	for (size_t i = 0; i < d->found.n_instances; i++) {
		const struct aws_instance *one = &d->found.instances[i];
		const struct aws_generation *g = aws_worker_counts(ready, one);
		if (!g || g->up || one->draining || one->state != AWS_RUNNING)
			continue;
		printf("%s (%s) has no container that is up (its /var/log/cloud-init-output.log says why): "
		       "berth up "
		       "replaces it when it has run for longer than --ready-timeout\n",
			aws_instance_name(one, name), one->id);
	}
}

static void print_table(const struct aws_deploy *d)
{
	const struct aws_found *f = &d->found;
	struct aws_ready *ready = calloc(1, sizeof *ready);
	char host[AWS_IP + 2] = "", name[AWS_NAME], up[32];
	if (ready)
		ask_front(f, host, ready);
	printf("%-14s %-20s %-12s %-12s %-12s %-16s %s\n", "INSTANCE", "ID", "STATE", "CONTAINERS", "TYPE",
		"PRIVATE", "PUBLIC");
	for (size_t i = 0; i < f->n_instances; i++) {
		const struct aws_instance *one = &f->instances[i];
		if (one->state == AWS_TERMINATED)
			continue;
		printf("%-14s %-20s %-12s %-12s %-12s %-16s %s\n", aws_instance_name(one, name), one->id,
			state_of(one), containers_of(ready, one, up), one->type, or_dash(one->private_ip),
			or_dash(one->public_ip));
	}
	if (!ready || !host[0])
		printf("no orchestrator is running\n");
	else if (ready->answered)
		printf("http://%s: %u containers, %u up, %u draining\n", host, ready->containers, ready->up,
			ready->draining);
	else
		printf("http://%s does not answer: %s\n", host, ready->why);
	if (ready)
		print_advice(d, ready);
	free(ready);
}

/* The containers of a worker of which the front says nothing are null. */
static json_t *instance_json(const struct aws_instance *i, const struct aws_ready *ready)
{
	const struct aws_generation *g = ready ? aws_worker_counts(ready, i) : NULL;
	json_t *containers = g ? json_integer(g->containers) : json_null();
	json_t *up = g ? json_integer(g->up) : json_null();
	return json_pack("{s:s, s:s, s:i, s:i, s:s, s:s, s:s, s:s, s:o, s:o}", "id", i->id, "role",
		aws_role_name(i->role), "index", (int)i->index, "generation", (int)i->generation, "state",
		state_of(i), "type", i->type, "private_ip", i->private_ip, "public_ip", i->public_ip,
		"containers", containers, "up", up);
}

static bool print_json(const struct aws_deploy *d)
{
	const struct aws_found *f = &d->found;
	struct aws_ready *ready = calloc(1, sizeof *ready);
	char host[AWS_IP + 2] = "";
	if (ready)
		ask_front(f, host, ready);
	json_t *instances = json_array();
	for (size_t i = 0; i < f->n_instances; i++) {
		if (f->instances[i].state != AWS_TERMINATED)
			(void)json_array_append_new(instances, instance_json(&f->instances[i], ready));
	}
	json_t *root = !ready
		? NULL
		: json_pack("{s:s, s:s, s:o, s:{s:s, s:b, s:i, s:i, s:i}}", "fleet", d->cluster, "region",
			  d->site.region, "instances", instances, "front", "host", host, "answered",
			  ready->answered, "containers", (int)ready->containers, "up", (int)ready->up,
			  "draining", (int)ready->draining);
	bool ok = root && json_dumpf(root, stdout, JSON_INDENT(2)) == 0;
	putchar('\n');
	json_decref(root);
	free(ready);
	return ok;
}

static int show(const struct command *cmd, struct aws_deploy *d, bool json)
{
	if (aws_look_for_instances(d->aws, d->cluster, &d->found)) {
		cli_complain(cmd, "%s", d->aws->why);
		return EXIT_JOB;
	}
	if (!count_left(&d->found)) {
		cli_complain(
			cmd, "there is no fleet \"%s\" in %s (--name, --region)", d->cluster, d->site.region);
		return EXIT_JOB;
	}
	qsort(d->found.instances, d->found.n_instances, sizeof *d->found.instances, compare);
	if (!json)
		print_table(d);
	return !json || print_json(d) ? EXIT_DONE : EXIT_JOB;
}

int aws_cli_status(const struct command *cmd, struct config *config, const struct deployment_options *options)
{
	struct aws aws;
	struct aws_deploy d;
	if (!aws_cli_open(cmd, config, &aws, &d))
		return EXIT_SETUP;
	int code = show(cmd, &d, options->json);
	aws_cli_close(&aws, &d);
	return code;
}
