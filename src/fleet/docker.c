#include "fleet/docker_parts.h"

#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>

bool docker_open(
	struct docker *d, const struct fleet_settings *settings, bool (*is_over)(void *user), void *user)
{
	*d = (struct docker){ .settings = settings };
	snprintf(d->prefix, sizeof d->prefix, "berth-%s", settings->name);
	return engine_open(&d->engine, NULL, is_over, user, d->error);
}

void docker_close(struct docker *d)
{
	free(d->list);
	d->list = NULL;
	d->n = d->cap = 0;
}

struct docker_container *docker_orchestrator(struct docker *d)
{
	for (size_t i = 0; i < d->n; i++) {
		if (d->list[i].orchestrator && d->list[i].fate != DOCKER_GONE)
			return &d->list[i];
	}
	return NULL;
}

/* ---- asking ---- */

/* The answer of a GET as JSON, to be released. With status 404, NULL and an empty error. */
static json_t *get(struct docker *d, const char *path)
{
	struct engine_call call;
	engine_call_init(&call, "GET", "%s", path);
	bool ok = engine_run(&d->engine, &call, 1);
	json_t *root = ok && call.answer ? json_loads(call.answer, 0, NULL) : NULL;
	d->error[0] = '\0';
	if (!ok && call.status != 404)
		snprintf(d->error, sizeof d->error, "%s", call.why);
	else if (ok && !root)
		snprintf(d->error, sizeof d->error, "the Docker Engine's answer to GET %.100s is no JSON",
			path);
	engine_call_finish(&call);
	return root;
}

static const char *text(const json_t *object, const char *key)
{
	const char *value = json_string_value(json_object_get(object, key));
	return value ? value : "";
}

static uint32_t label_number(const json_t *labels, const char *key)
{
	uint64_t n = 0;
	(void)str_to_u64(str_of(text(labels, key)), &n);
	return (uint32_t)n;
}

/* The first of an object's members. */
static const json_t *first_of(json_t *object)
{
	return json_object_iter_value(json_object_iter(object));
}

/* The host's port that leads to the first front. */
static uint16_t front_port(const json_t *container)
{
	const json_t *ports = json_object_get(container, "Ports");
	for (size_t i = 0; i < json_array_size(ports); i++) {
		const json_t *port = json_array_get(ports, i);
		if (json_integer_value(json_object_get(port, "PrivatePort")) == DOCKER_FRONT_PORT)
			return (uint16_t)json_integer_value(json_object_get(port, "PublicPort"));
	}
	return 0;
}

static void read_container(const json_t *from, struct docker_container *to)
{
	const json_t *labels = json_object_get(from, "Labels");
	json_t *networks = json_object_get(json_object_get(from, "NetworkSettings"), "Networks");
	const json_t *network = first_of(networks);
	const char *name = json_string_value(json_array_get(json_object_get(from, "Names"), 0));
	const char *ip = text(json_object_get(network, "IPAMConfig"), "IPv4Address");
	*to = (struct docker_container){ .front = front_port(from) };
	to->orchestrator = !strcmp(text(labels, DOCKER_LABEL_ROLE), "orchestrator");
	to->number = label_number(labels, DOCKER_LABEL_NUMBER);
	to->worker = label_number(labels, DOCKER_LABEL_WORKER);
	str_copy(to->id, sizeof to->id, str_of(text(from, "Id")));
	str_copy(to->name, sizeof to->name, str_of(name ? name + (*name == '/') : ""));
	str_copy(to->ip, sizeof to->ip, str_of(*ip ? ip : text(network, "IPAddress")));
	str_copy(to->spec, sizeof to->spec, str_of(text(labels, DOCKER_LABEL_SPEC)));
	str_copy(to->state, sizeof to->state, str_of(text(from, "State")));
	str_copy(to->status, sizeof to->status, str_of(text(from, "Status")));
}

struct docker_container *docker_append(struct docker *d)
{
	if (d->n == d->cap) {
		size_t cap = d->cap ? 2 * d->cap : 64;
		struct docker_container *list = realloc(d->list, cap * sizeof *list);
		if (!list) {
			snprintf(d->error, sizeof d->error, "out of memory");
			return NULL;
		}
		d->list = list;
		d->cap = cap;
	}
	d->list[d->n] = (struct docker_container){ 0 };
	return &d->list[d->n++];
}

static int compare(const void *a, const void *b)
{
	const struct docker_container *x = a, *y = b;
	return x->number < y->number ? -1 : x->number > y->number;
}

static bool look_at_containers(struct docker *d)
{
	char path[400];
	/* {"label":["berth.fleet=NAME"]}; a name has nothing that would need escaping. */
	snprintf(path, sizeof path,
		"/containers/json?all=true&filters=%%7B%%22label%%22%%3A%%5B%%22" DOCKER_LABEL_FLEET
		"%%3D%s%%22%%5D%%7D",
		d->settings->name);
	json_t *root = get(d, path);
	bool ok = root;
	d->n = 0;
	for (size_t i = 0; ok && i < json_array_size(root); i++) {
		struct docker_container *c = docker_append(d);
		ok = c;
		if (ok)
			read_container(json_array_get(root, i), c);
	}
	json_decref(root);
	if (ok && d->n)
		qsort(d->list, d->n, sizeof *d->list, compare);
	return ok;
}

/* A thing of this name that somebody else has made is not touched. */
static bool is_ours(struct docker *d, const char *what, const char *name, const json_t *labels)
{
	if (!strcmp(text(labels, DOCKER_LABEL_FLEET), d->settings->name))
		return true;
	snprintf(d->error, sizeof d->error,
		"there is a %s called %s that is not this fleet's (it has no label " DOCKER_LABEL_FLEET
		"=%s): remove it, or take another --name",
		what, name, d->settings->name);
	return false;
}

/* The first of its name: an engine may have several. */
bool docker_look_at_network(struct docker *d)
{
	char path[200];
	snprintf(
		path, sizeof path, "/networks?filters=%%7B%%22name%%22%%3A%%5B%%22%s%%22%%5D%%7D", d->prefix);
	json_t *root = get(d, path);
	const json_t *found = NULL;
	d->network_id[0] = d->subnet[0] = '\0';
	for (size_t i = 0; !found && i < json_array_size(root); i++) {
		const json_t *network = json_array_get(root, i); /* of those that have the name in theirs */
		found = strcmp(text(network, "Name"), d->prefix) ? NULL : network;
	}
	bool ok = root && (!found || is_ours(d, "network", d->prefix, json_object_get(found, "Labels")));
	if (ok && found) {
		const json_t *ipam = json_object_get(found, "IPAM");
		const json_t *config = json_array_get(json_object_get(ipam, "Config"), 0);
		str_copy(d->network_id, sizeof d->network_id, str_of(text(found, "Id")));
		str_copy(d->subnet, sizeof d->subnet, str_of(text(config, "Subnet")));
	}
	json_decref(root);
	return ok;
}

static bool look_at_volume(struct docker *d, const char *name, bool *ret_has)
{
	char path[200];
	snprintf(path, sizeof path, "/volumes/%s", name);
	json_t *root = get(d, path);
	bool ok = !d->error[0] && (!root || is_ours(d, "volume", name, json_object_get(root, "Labels")));
	*ret_has = ok && root;
	json_decref(root);
	return ok;
}

bool docker_look(struct docker *d)
{
	char sockets[DOCKER_NAME];
	return look_at_containers(d) && docker_look_at_network(d) &&
		look_at_volume(d, d->prefix, &d->has_volume) &&
		look_at_volume(d, docker_sockets_name(d, sockets), &d->has_sockets);
}

/* ---- what shall become of each ---- */

static struct docker_container *find_number(struct docker *d, uint32_t number)
{
	for (size_t i = 0; i < d->n; i++) {
		if (!d->list[i].orchestrator && d->list[i].number == number)
			return &d->list[i];
	}
	return NULL;
}

static enum docker_fate fate_of(const struct docker *d, const struct docker_container *c)
{
	const struct fleet_settings *s = d->settings;
	if (c->number == 0 || c->number > s->workers * s->containers)
		return DOCKER_SURPLUS;
	if (strcmp(c->spec, d->spec) != 0 || c->worker != (c->number - 1) / s->containers + 1)
		return DOCKER_REPLACE;
	return strcmp(c->state, "running") ? DOCKER_START : DOCKER_KEEP;
}

bool docker_plan(struct docker *d)
{
	const struct fleet_settings *s = d->settings;
	for (size_t i = 0; i < d->n; i++) {
		if (!d->list[i].orchestrator)
			d->list[i].fate = fate_of(d, &d->list[i]);
	}
	for (uint32_t number = 1; number <= s->workers * s->containers; number++) {
		if (find_number(d, number))
			continue;
		struct docker_container *c = docker_append(d);
		if (!c)
			return false;
		c->fate = DOCKER_CREATE;
		c->number = number;
		c->worker = (number - 1) / s->containers + 1;
	}
	for (size_t i = 0; i < d->n; i++)
		d->list[i].batch = s->workers > 1 ? d->list[i].worker : d->list[i].number;
	qsort(d->list, d->n, sizeof *d->list, compare);
	return true;
}
