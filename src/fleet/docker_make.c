/* What makes network, volume and containers, and removes them. */
#include "fleet/docker_parts.h"

#include "base/str.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { STOP_S = 10 };

bool docker_fail(struct docker *d, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(d->error, sizeof d->error, fmt, ap);
	va_end(ap);
	return false;
}

/* ---- one call ---- */

bool docker_post(struct docker *d, const char *what, const char *path, json_t *body, char ret_id[DOCKER_ID])
{
	struct engine_call call;
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	json_decref(body);
	if (!text)
		return docker_fail(d, "out of memory");
	engine_call_init(&call, "POST", "%s", path);
	call.type = "application/json";
	call.body = text;
	call.body_bytes = strlen(text);
	bool ok = engine_run(&d->engine, &call, 1);
	if (!ok)
		docker_fail(d, "%s: %s", what, call.why);
	json_t *answer = ok && call.answer ? json_loads(call.answer, 0, NULL) : NULL;
	const char *id = json_string_value(json_object_get(answer, "Id"));
	if (ret_id)
		snprintf(ret_id, DOCKER_ID, "%s", id ? id : "");
	json_decref(answer);
	engine_call_finish(&call);
	free(text);
	return ok;
}

/* DELETE; what is gone already is no error. */
static bool delete (struct docker *d, const char *what, const char *path)
{
	struct engine_call call;
	engine_call_init(&call, "DELETE", "%s", path);
	bool ok = engine_run(&d->engine, &call, 1) || call.status == 404;
	if (!ok)
		docker_fail(d, "%s cannot be removed: %s", what, call.why);
	engine_call_finish(&call);
	return ok;
}

/* ---- network and volume ---- */

static bool create_network(struct docker *d, const char *subnet)
{
	json_t *body = json_pack("{s:s, s:s, s:b, s:{s:s}}", "Name", d->prefix, "Driver", "bridge",
		"CheckDuplicate", 1, "Labels", DOCKER_LABEL_FLEET, d->settings->name);
	if (body && *subnet)
		(void)json_object_set_new(body, "IPAM", json_pack("{s:[{s:s}]}", "Config", "Subnet", subnet));
	return docker_post(d, "the network cannot be made", "/networks/create", body, d->network_id);
}

/* Containers can have fixed addresses only where the subnet was named. Which one is free, the engine knows
 * best: it chooses one for a network that is given up again at once. */
bool docker_make_network(struct docker *d)
{
	char subnet[DOCKER_IP];
	if (d->network_id[0])
		return true;
	if (!create_network(d, "") || !docker_look(d))
		return false;
	str_copy(subnet, sizeof subnet, str_of(d->subnet));
	return docker_remove_network(d) && create_network(d, subnet) && docker_look(d);
}

bool docker_remove_network(struct docker *d)
{
	char path[DOCKER_ID + 16];
	while (d->network_id[0]) {
		snprintf(path, sizeof path, "/networks/%s", d->network_id);
		if (!delete (d, "the network", path) || !docker_look_at_network(d))
			return false;
	}
	return true;
}

/* options: of the engine's driver, released; NULL: none. */
static bool make_volume(struct docker *d, const char *name, json_t *options, bool *has)
{
	if (*has) {
		json_decref(options);
		return true;
	}
	*has = docker_post(d, "the volume cannot be made", "/volumes/create",
		json_pack("{s:s, s:{s:s}, s:o*}", "Name", name, "Labels", DOCKER_LABEL_FLEET,
			d->settings->name, "DriverOpts", options),
		NULL);
	return *has;
}

bool docker_make_volume(struct docker *d)
{
	return make_volume(d, d->prefix, NULL, &d->has_volume);
}

const char *docker_sockets_name(const struct docker *d, char ret[DOCKER_NAME])
{
	snprintf(ret, DOCKER_NAME, "%.80s-sockets", d->prefix);
	return ret;
}

bool docker_make_sockets(struct docker *d, char ret_name[DOCKER_NAME])
{
	json_t *options = json_pack("{s:s, s:s, s:s}", "type", "tmpfs", "device", "tmpfs", "o",
		"mode=1777,size=1m,nr_inodes=4k,nosuid,nodev,noexec");
	return make_volume(d, docker_sockets_name(d, ret_name), options, &d->has_sockets);
}

static bool remove_volume(struct docker *d, const char *name, bool *has)
{
	char path[DOCKER_NAME + 16];
	snprintf(path, sizeof path, "/volumes/%s", name);
	if (*has && !delete (d, "the volume", path))
		return false;
	*has = false;
	return true;
}

bool docker_remove_volumes(struct docker *d)
{
	char sockets[DOCKER_NAME];
	return remove_volume(d, d->prefix, &d->has_volume) &&
		remove_volume(d, docker_sockets_name(d, sockets), &d->has_sockets);
}

bool docker_address(struct docker *d, uint32_t n, char ret[DOCKER_IP])
{
	struct in_addr base;
	unsigned bits = 0;
	char text[DOCKER_IP];
	str_copy(text, sizeof text, str_of(d->subnet));
	char *slash = strchr(text, '/');
	if (slash) {
		*slash = '\0';
		bits = (unsigned)strtoul(slash + 1, NULL, 10);
	}
	if (!slash || bits < 1 || bits > 30 || inet_pton(AF_INET, text, &base) != 1)
		return docker_fail(d, "the network %s has the subnet \"%s\", and an IPv4 one is needed",
			d->prefix, d->subnet);
	uint32_t size = (uint32_t)1 << (32 - bits);
	if (n >= size - 1)
		return docker_fail(d, "the network's subnet %s has room for %u containers", d->subnet,
			size - 1 - DOCKER_FIRST_CONTAINER);
	base.s_addr = htonl(ntohl(base.s_addr) + n);
	inet_ntop(AF_INET, &base, ret, DOCKER_IP);
	return true;
}

/* ---- what a container is made from ---- */

const char *docker_socket(const char *directory, uint32_t number, char ret[DOCKER_SOCKET])
{
	snprintf(ret, DOCKER_SOCKET, "%.160s/container%u.sock", directory, number);
	return ret;
}

json_t *docker_mount(const char *source, const char *target, bool read_only)
{
	return json_pack("{s:s, s:s, s:s, s:b}", "Type", *source == '/' ? "bind" : "volume", "Source", source,
		"Target", target, "ReadOnly", read_only);
}

static json_t *words_json(const char *const *words)
{
	json_t *list = json_array();
	for (size_t i = 0; words[i]; i++)
		(void)json_array_append_new(list, json_string(words[i]));
	return list;
}

json_t *docker_confined(const struct docker *d, bool writable)
{
	return json_pack("{s:b, s:[s], s:[s], s:{s:s}, s:s, s:{s:s, s:{s:s, s:s}}}", "ReadonlyRootfs",
		!writable, "CapDrop", "ALL", "SecurityOpt", "no-new-privileges", "RestartPolicy", "Name",
		"unless-stopped", "NetworkMode", d->prefix, "LogConfig", "Type", "json-file", "Config",
		"max-size", "10m", "max-file", "3");
}

/* All that is the same for each container of the fleet. */
static json_t *container_body(const struct docker *d, const struct docker_recipe *recipe)
{
	const struct fleet_settings *s = d->settings;
	json_t *host = docker_confined(d, s->writable_root);
	json_t *body = json_pack(
		"{s:s, s:i, s:o}", "Image", recipe->image, "StopTimeout", STOP_S, "HostConfig", host);
	if (!body)
		return NULL;
	json_object_set_new(host, "Memory", json_integer((json_int_t)s->memory_bytes));
	json_object_set_new(host, "MemorySwap", json_integer((json_int_t)s->memory_bytes));
	json_object_set_new(host, "NanoCpus", json_integer((json_int_t)s->cpu_percent * 10000000));
	json_object_set_new(host, "PidsLimit", json_integer(s->pids));
	json_object_set_new(host, "Tmpfs", json_pack("{s:s}", "/tmp", "rw,noexec,nosuid,nodev,size=64m"));
	if (recipe->sockets)
		json_object_set_new(host, "Mounts",
			json_pack("[o]", docker_mount(recipe->sockets, DOCKER_SOCKET_DIR, false)));
	if (recipe->command)
		json_object_set_new(body, "Cmd", words_json(recipe->command));
	if (recipe->health)
		json_object_set_new(body, "Healthcheck",
			json_pack("{s:o, s:I, s:I, s:i}", "Test", words_json(recipe->health), "Interval",
				(json_int_t)30000000000, "Timeout", (json_int_t)5000000000, "Retries", 3));
	return body;
}

bool docker_set_recipe(struct docker *d, const struct docker_recipe *recipe)
{
	json_t *body = container_body(d, recipe);
	json_t *whole =
		json_pack("{s:o, s:s, s:i}", "body", body, "image", d->image_id, "port", recipe->port);
	char *text = whole ? json_dumps(whole, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
	if (text)
		digest_bytes(str_of(text), d->spec);
	bool ok = text != NULL;
	json_decref(whole);
	free(text);
	return ok || docker_fail(d, "out of memory");
}

void docker_set_address(json_t *body, const struct docker *d, const char *ip)
{
	json_object_set_new(body, "NetworkingConfig",
		json_pack(
			"{s:{s:{s:{s:s}}}}", "EndpointsConfig", d->prefix, "IPAMConfig", "IPv4Address", ip));
}

static void add_socket(json_t *body, uint32_t number)
{
	char path[DOCKER_SOCKET], listen[DOCKER_SOCKET + 8];
	json_t *command = json_object_get(body, "Cmd");
	snprintf(listen, sizeof listen, "unix:%s", docker_socket(DOCKER_SOCKET_DIR, number, path));
	(void)json_array_append_new(command, json_string("--listen"));
	(void)json_array_append_new(command, json_string(listen));
}

/* The body for this one, as text; NULL after a complaint. */
static char *container_text(struct docker *d, const struct docker_recipe *recipe, struct docker_container *c)
{
	char number[16], worker[16], port[16];
	snprintf(c->name, sizeof c->name, "%s-container%u", d->prefix, c->number);
	snprintf(number, sizeof number, "%u", c->number);
	snprintf(worker, sizeof worker, "%u", c->worker);
	snprintf(port, sizeof port, "%u", recipe->port);
	str_copy(c->spec, sizeof c->spec, str_of(d->spec));
	if (!docker_address(d, DOCKER_FIRST_CONTAINER + c->number - 1, c->ip))
		return NULL;
	json_t *body = container_body(d, recipe);
	json_t *labels = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", DOCKER_LABEL_FLEET, d->settings->name,
		DOCKER_LABEL_ROLE, "container", DOCKER_LABEL_WORKER, worker, DOCKER_LABEL_NUMBER, number,
		DOCKER_LABEL_PORT, port, DOCKER_LABEL_SPEC, c->spec);
	if (body) {
		json_object_set_new(body, "Labels", labels);
		docker_set_address(body, d, c->ip);
		if (recipe->sockets)
			add_socket(body, c->number);
	}
	char *text = body && labels ? json_dumps(body, JSON_COMPACT) : NULL;
	json_decref(body);
	if (!text)
		docker_fail(d, "out of memory");
	return text;
}

/* ---- many at once ---- */

/* A call for each of some containers. */
struct batch {
	struct docker *d;
	struct engine_call *calls;       /* owned */
	struct docker_container **whose; /* owned */
	size_t n;
	const char *doing;
};

static bool batch_init(struct batch *b, struct docker *d, const char *doing)
{
	*b = (struct batch){ .d = d, .doing = doing };
	b->calls = calloc(d->n + 1, sizeof *b->calls);
	b->whose = calloc(d->n + 1, sizeof *b->whose);
	return (b->calls && b->whose) || docker_fail(d, "out of memory");
}

static struct engine_call *batch_add(struct batch *b, struct docker_container *c)
{
	b->whose[b->n] = c;
	return &b->calls[b->n++];
}

/* Runs them all. Those with status `also` are no failure; the first that has failed is what is told. */
static bool batch_run(struct batch *b, int also)
{
	bool ok = true;
	(void)engine_run(&b->d->engine, b->calls, b->n);
	for (size_t i = 0; i < b->n; i++) {
		struct engine_call *call = &b->calls[i];
		if (!call->why[0] || (call->status && call->status == also))
			continue;
		if (ok)
			docker_fail(b->d, "%s cannot be %s: %s", b->whose[i]->name, b->doing, call->why);
		ok = false;
	}
	return ok;
}

static void batch_finish(struct batch *b)
{
	for (size_t i = 0; b->calls && i < b->n; i++) {
		engine_call_finish(&b->calls[i]);
		free((void *)(uintptr_t)b->calls[i].body);
	}
	free(b->calls);
	free(b->whose);
}

static void take_ids(struct batch *b)
{
	for (size_t i = 0; i < b->n; i++) {
		json_t *answer = b->calls[i].status == 201 ? json_loads(b->calls[i].answer, 0, NULL) : NULL;
		const char *id = json_string_value(json_object_get(answer, "Id"));
		if (id)
			str_copy(b->whose[i]->id, sizeof b->whose[i]->id, str_of(id));
		json_decref(answer);
	}
}

static bool create_all(struct docker *d, const struct docker_recipe *recipe)
{
	struct batch b;
	bool ok = batch_init(&b, d, "made");
	for (size_t i = 0; ok && i < d->n; i++) {
		struct docker_container *c = &d->list[i];
		if (c->fate != DOCKER_CREATE)
			continue;
		char *text = container_text(d, recipe, c);
		if (!text) {
			ok = false;
			break;
		}
		struct engine_call *call = batch_add(&b, c);
		engine_call_init(call, "POST", "/containers/create?name=%s", c->name);
		call->type = "application/json";
		call->body = text;
		call->body_bytes = strlen(text);
	}
	if (ok) {
		ok = batch_run(&b, 0);
		take_ids(&b);
	}
	batch_finish(&b);
	return ok;
}

static void on_started(struct engine_call *call)
{
	struct batch *b = call->user;
	struct docker_container *c = b->whose[call - b->calls];
	if (call->why[0])
		return;
	c->fate = DOCKER_KEEP;
	str_copy(c->state, sizeof c->state, STR("running"));
	if (b->d->on_progress)
		b->d->on_progress(b->d);
}

bool docker_make(struct docker *d, const struct docker_recipe *recipe)
{
	struct batch b;
	if (!create_all(d, recipe))
		return false;
	bool ok = batch_init(&b, d, "started");
	for (size_t i = 0; ok && i < d->n; i++) {
		struct docker_container *c = &d->list[i];
		if (c->fate != DOCKER_CREATE && c->fate != DOCKER_START)
			continue;
		struct engine_call *call = batch_add(&b, c);
		engine_call_init(call, "POST", "/containers/%s/start", c->id);
		call->on_done = on_started;
		call->user = &b;
	}
	ok = ok && batch_run(&b, 0);
	batch_finish(&b);
	return ok;
}

/* ---- removing ---- */

static bool run_for(struct docker *d, bool (*wanted)(const struct docker_container *c), const char *method,
	const char *suffix, const char *doing, bool endless)
{
	struct batch b;
	bool ok = batch_init(&b, d, doing);
	for (size_t i = 0; ok && i < d->n; i++) {
		struct docker_container *c = &d->list[i];
		if (!c->id[0] || c->fate == DOCKER_GONE || !wanted(c))
			continue;
		struct engine_call *call = batch_add(&b, c);
		engine_call_init(call, method, "/containers/%s%s", c->id, suffix);
		call->endless = endless;
	}
	ok = ok && batch_run(&b, 404);
	batch_finish(&b);
	return ok;
}

bool docker_remove(struct docker *d, bool (*wanted)(const struct docker_container *c))
{
	/* The engine says nothing while a container ends: an orchestrator for up to its drain_timeout. */
	if (!run_for(d, wanted, "POST", "/stop", "stopped", true) ||
		!run_for(d, wanted, "DELETE", "?force=true&v=true", "removed", false))
		return false;
	for (size_t i = 0; i < d->n; i++) {
		if (d->list[i].id[0] && wanted(&d->list[i]))
			d->list[i].fate = DOCKER_GONE;
	}
	return true;
}
