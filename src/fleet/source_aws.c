/* aws:cluster=NAME,ports=FROM-TO[,region=REGION][,profile=NAME][,seed=FILE]: the containers of a fleet on
 * EC2, asked for every five seconds by tag (aws_cluster.h): each worker that lives, its private address, each
 * of the ports. One that is tagged berth:state=draining is left out, so what it runs is finished and it is
 * gone then.
 *
 * seed: a file of the workers that are known before the first answer, "INDEX GENERATION ADDRESS" a line.
 */
#include "fleet/aws_front.h"
#include "fleet/source_kinds.h"
#include "fleet/source_thread.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { INTERVAL_US = 5 * 1000 * 1000, ATTEMPTS = 3, LINE_BYTES = 256 };

struct options {
	char cluster[SOURCE_TEXT], region[SOURCE_TEXT], profile[SOURCE_TEXT], seed[SOURCE_TEXT];
	uint32_t from_port, to_port;
};

struct asking {
	struct options options;
	size_t containers_max;
	struct aws aws;
	bool is_open;
	struct aws_found found;
	struct source_container *list; /* owned */
	size_t n;
};

/* ---- the text ---- */

static bool parse_port(struct str text, uint32_t *ret)
{
	uint64_t n;
	if (!str_to_u64(text, &n) || n < 1 || n > 65535)
		return false;
	*ret = (uint32_t)n;
	return true;
}

static bool parse_ports(struct str value, struct options *o)
{
	struct str rest = value;
	struct str from = str_cut(&rest, '-');
	return parse_port(from, &o->from_port) && parse_port(rest.ptr ? rest : from, &o->to_port) &&
		o->from_port <= o->to_port;
}

static bool read_options(const char *text, struct options *o, char error[SOURCE_ERROR])
{
	struct str rest = str_of(text), key, value;
	*o = (struct options){ 0 };
	while (source_option(&rest, &key, &value)) {
		char *to = str_eq(key, STR("cluster")) ? o->cluster
			: str_eq(key, STR("region"))   ? o->region
			: str_eq(key, STR("profile"))  ? o->profile
			: str_eq(key, STR("seed"))     ? o->seed
						       : NULL;
		if (to && value.len) {
			str_copy(to, SOURCE_TEXT, value);
		} else if (!str_eq(key, STR("ports")) || !parse_ports(value, o)) {
			snprintf(error, SOURCE_ERROR,
				"expected cluster=NAME, ports=5000-5001, region=, profile= or seed=FILE, "
				"found \"%.*s\"",
				(int)key.len, key.ptr);
			return false;
		}
	}
	const char *bad = aws_bad_name(o->cluster);
	if (!o->cluster[0] || !o->from_port)
		snprintf(error, SOURCE_ERROR, "%s is missing",
			o->cluster[0] ? "ports=5000-5001" : "cluster=NAME");
	else if (bad)
		snprintf(error, SOURCE_ERROR, "cluster=%.60s: %s", o->cluster, bad);
	else
		return true;
	return false;
}

static bool check(const char *rest, char error[SOURCE_ERROR])
{
	struct options o;
	return read_options(rest, &o, error);
}

/* ---- the list ---- */

/* The containers of a worker. An address that is none, or a list that is full, adds nothing. */
static void add_worker(struct asking *a, uint32_t index, const char *generation, const char *ip)
{
	uint32_t each = a->options.to_port - a->options.from_port + 1;
	for (uint32_t k = 0; k < each && a->n <= a->containers_max; k++) {
		struct source_container *c = &a->list[a->n];
		char host[AWS_IP + 2], address[AWS_IP + 16], worker[AWS_GENERATION];
		snprintf(
			address, sizeof address, "%s:%u", aws_front_host(ip, host), a->options.from_port + k);
		*c = (struct source_container){ 0 };
		if (!io_addr_parse(&c->addr, address))
			return;
		if (index) {
			snprintf(c->name, sizeof c->name, "container%llu",
				(unsigned long long)(index - 1) * each + k + 1);
			str_copy(c->worker, sizeof c->worker, str_of(aws_worker_name(index, worker)));
		}
		str_copy(c->generation, sizeof c->generation, str_of(generation));
		a->n++;
	}
}

static void tell_list(struct source_thread *t, struct asking *a)
{
	char why[SOURCE_ERROR];
	if (a->n <= a->containers_max) {
		source_tell(t, a->list, a->n);
		return;
	}
	snprintf(why, sizeof why, "more than %zu containers (discovery.max_containers)", a->containers_max);
	source_tell_unreachable(t, why);
}

/* A file that is not there, or that makes no sense, is no seed: the first answer comes soon. */
static void tell_seed(struct source_thread *t, struct asking *a)
{
	char line[LINE_BYTES], generation[AWS_GENERATION], ip[AWS_IP];
	uint32_t index;
	FILE *f = a->options.seed[0] ? fopen(a->options.seed, "re") : NULL;
	if (!f)
		return;
	a->n = 0;
	while (fgets(line, sizeof line, f)) {
		if (sscanf(line, "%u %31s %47s", &index, generation, ip) == 3)
			add_worker(a, index, generation, ip);
	}
	fclose(f);
	if (a->n)
		tell_list(t, a);
}

static void tell_found(struct source_thread *t, struct asking *a)
{
	char generation[AWS_GENERATION];
	a->n = 0;
	for (size_t i = 0; i < a->found.n_instances; i++) {
		const struct aws_instance *one = &a->found.instances[i];
		if (one->role != AWS_WORKER || !aws_is_live(one) || one->draining || !one->private_ip[0])
			continue;
		aws_generation_name(one->spec, one->generation, generation);
		add_worker(a, one->index, generation, one->private_ip);
	}
	tell_list(t, a);
}

/* ---- the thread ---- */

static bool is_over(void *user)
{
	return source_is_over(user);
}

static bool open_aws(struct source_thread *t, struct asking *a)
{
	const struct options *o = &a->options;
	if (a->is_open)
		return true;
	if (!aws_open(&a->aws, o->profile[0] ? o->profile : NULL, o->region[0] ? o->region : NULL))
		return false;
	a->aws.attempts = ATTEMPTS;
	a->aws.interrupted = is_over;
	a->aws.impatient = true;
	a->aws.user = t;
	a->is_open = true;
	return true;
}

static void run(struct source_thread *t, void *state)
{
	struct asking *a = state;
	tell_seed(t, a);
	do {
		aws_found_finish(&a->found);
		aws_found_init(&a->found);
		if (open_aws(t, a) && aws_look_for_instances(&a->aws, a->options.cluster, &a->found) == 0)
			tell_found(t, a);
		else if (!source_is_over(t))
			source_tell_unreachable(t, a->aws.why);
	} while (source_pause(t, INTERVAL_US));
}

static void free_state(void *state)
{
	struct asking *a = state;
	if (a->is_open)
		aws_close(&a->aws);
	aws_found_finish(&a->found);
	free(a->list);
	free(a);
}

static struct source *create(const struct source *base)
{
	static const struct source_thread_ops ops = { .run = run, .free_state = free_state };
	char error[SOURCE_ERROR];
	struct asking *a = calloc(1, sizeof *a);
	if (!a)
		return NULL;
	aws_found_init(&a->found);
	a->containers_max = base->settings.containers_max;
	a->list = calloc(a->containers_max + 1, sizeof *a->list); /* one more tells that there are too many */
	if (!a->list || !read_options(base->rest, &a->options, error)) {
		free_state(a);
		errno = ENOMEM;
		return NULL;
	}
	return source_thread_create(base, &ops, a);
}

const struct source_kind source_aws = {
	.name = "aws",
	.check = check,
	.create = create,
	.destroy = source_thread_destroy,
};
