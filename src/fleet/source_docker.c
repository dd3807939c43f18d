/* docker:fleet=NAME | docker:label=KEY=VALUE [,port=PORT] [,network=NAME]
 * [,host=unix:///PATH|tcp://HOST:PORT]
 *
 * The containers that run on a Docker Engine and carry a label: listed at first, and again with each event
 * that the engine tells of them, so that one that stops is out at once, and one that returns is back.
 * fleet=NAME means those that berth up --on docker makes. The port is the option's, else that of the label
 * berth.port, else the lowest that the image exposes. While the engine is away, what is known stays.
 */
#include "fleet/docker.h"
#include "fleet/source_kinds.h"
#include "fleet/source_thread.h"

#include <arpa/inet.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Events of the last minute are told again at the start, for the engine's clock may differ from this one's.
 */
enum { AGAIN_US = 1000 * 1000, CLOCKS_APART_S = 60, ESCAPED = 3 * SOURCE_TEXT, GENERATION = 13 };

struct options {
	char label[SOURCE_TEXT]; /* "berth.fleet=blue" */
	char host[SOURCE_TEXT];  /* "": DOCKER_HOST */
	char network[SOURCE_TEXT];
	uint16_t port; /* 0: as the container says */
};

struct docker_watch {
	struct options options;
	struct source_thread *thread; /* borrowed, while it runs */
	struct engine engine;
	struct source_container *list; /* owned */
	size_t n, max;
	size_t looks;      /* that an event is still followed by, of look_after_us */
	uint64_t looks_us; /* when that event came */
};

/* The engine tells an event a moment before its own list of containers says the same. */
static const uint64_t look_after_us[] = { 1000 * 1000, 200 * 1000 };

/* ---- the text ---- */

static bool take_option(struct options *o, struct str key, struct str value)
{
	uint64_t port;
	if (!value.ptr || !value.len)
		return false;
	if (str_eq(key, STR("fleet")))
		return snprintf(o->label, sizeof o->label, DOCKER_LABEL_FLEET "=" STR_FMT, STR_ARG(value)) <
			(int)sizeof o->label;
	if (str_eq(key, STR("label"))) {
		str_copy(o->label, sizeof o->label, value);
		return true;
	}
	if (str_eq(key, STR("network"))) {
		str_copy(o->network, sizeof o->network, value);
		return true;
	}
	if (str_eq(key, STR("host"))) {
		str_copy(o->host, sizeof o->host, value);
		return str_starts(value, STR("unix:///")) || str_starts(value, STR("tcp://"));
	}
	if (!str_eq(key, STR("port")) || !str_to_u64(value, &port) || port < 1 || port > 65535)
		return false;
	o->port = (uint16_t)port;
	return true;
}

static bool parse(const char *text, struct options *o, char error[SOURCE_ERROR])
{
	struct str rest = str_of(text), key, value;
	*o = (struct options){ 0 };
	while (source_option(&rest, &key, &value)) {
		if (take_option(o, key, value))
			continue;
		snprintf(error, SOURCE_ERROR,
			"\"%.60s\": expected fleet=NAME or label=KEY=VALUE, port=1 to 65535, network=NAME, "
			"host=unix:///PATH or tcp://HOST:PORT",
			text);
		return false;
	}
	if (o->label[0])
		return true;
	snprintf(error, SOURCE_ERROR, "expected docker:fleet=NAME or docker:label=KEY=VALUE");
	return false;
}

/* ---- the list ---- */

static const char *text_of(const json_t *object, const char *key)
{
	const char *value = json_string_value(json_object_get(object, key));
	return value ? value : "";
}

static const char *ip_of(const struct options *o, const json_t *container)
{
	json_t *networks = json_object_get(json_object_get(container, "NetworkSettings"), "Networks");
	const char *name;
	json_t *network;
	json_object_foreach(networks, name, network)
	{
		const char *ip = text_of(network, "IPAddress");
		if (*ip && (!o->network[0] || !strcmp(name, o->network)))
			return ip;
	}
	return "";
}

static uint16_t port_of(const struct options *o, const json_t *container)
{
	const json_t *ports = json_object_get(container, "Ports");
	uint64_t port = o->port;
	if (!port)
		(void)str_to_u64(
			str_of(text_of(json_object_get(container, "Labels"), DOCKER_LABEL_PORT)), &port);
	if (port)
		return port <= 65535 ? (uint16_t)port : 0;
	for (size_t i = 0; i < json_array_size(ports); i++) {
		uint64_t exposed = (uint64_t)json_integer_value(
			json_object_get(json_array_get(ports, i), "PrivatePort"));
		port = port && port < exposed ? port : exposed;
	}
	return (uint16_t)port;
}

/* False when there is nothing to send requests to. */
static bool read_container(const struct options *o, const json_t *from, struct source_container *ret)
{
	const json_t *labels = json_object_get(from, "Labels");
	const char *number = text_of(labels, DOCKER_LABEL_NUMBER),
		   *worker = text_of(labels, DOCKER_LABEL_WORKER);
	const char *name = json_string_value(json_array_get(json_object_get(from, "Names"), 0));
	char addr[IO_ADDR_TEXT];
	struct source_container c = { 0 };
	snprintf(addr, sizeof addr, "%.40s:%u", ip_of(o, from), port_of(o, from));
	if (!strcmp(text_of(labels, DOCKER_LABEL_ROLE), "orchestrator") || !io_addr_parse(&c.addr, addr) ||
		addr[0] == ':')
		return false;
	if (*number)
		snprintf(c.name, sizeof c.name, "container%.20s", number);
	else
		str_copy(c.name, sizeof c.name, str_of(name ? name + (*name == '/') : ""));
	if (*worker)
		snprintf(c.worker, sizeof c.worker, "worker%.20s", worker);
	str_copy(c.generation, GENERATION, str_of(text_of(labels, DOCKER_LABEL_SPEC)));
	*ret = c;
	return true;
}

/* What stands in a query's value; letters and digits stay. */
static void escape(const char *text, char ret[ESCAPED])
{
	size_t n = 0;
	for (; *text && n + 4 < ESCAPED; text++) {
		unsigned char c = (unsigned char)*text;
		bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
		n += (size_t)snprintf(ret + n, ESCAPED - n, plain ? "%c" : "%%%02X", c);
	}
	ret[n] = '\0';
}

static void take_list(struct docker_watch *w, const char *answer)
{
	json_t *root = json_loads(answer, 0, NULL);
	w->n = 0;
	for (size_t i = 0; i < json_array_size(root) && w->n < w->max; i++)
		w->n += read_container(&w->options, json_array_get(root, i), &w->list[w->n]);
	if (json_is_array(root))
		source_tell(w->thread, w->list, w->n);
	else
		source_tell_unreachable(w->thread, "the Docker Engine's list of containers is no JSON");
	json_decref(root);
}

/* False when it could not be had, which has been told. */
static bool list(struct docker_watch *w)
{
	struct engine_call call;
	char label[ESCAPED];
	escape(w->options.label, label);
	engine_call_init(&call, "GET",
		"/containers/"
		"json?filters=%%7B%%22label%%22%%3A%%5B%%22%s%%22%%5D%%2C%%22status%%22%%3A%%5B%%22running%%"
		"22"
		"%%5D%%7D",
		label);
	bool ok = engine_run(&w->engine, &call, 1);
	if (ok)
		take_list(w, call.answer ? call.answer : "");
	else if (!source_is_over(w->thread))
		source_tell_unreachable(w->thread, call.why);
	engine_call_finish(&call);
	return ok;
}

/* ---- the events ---- */

static uint64_t now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void on_event(struct engine_call *call, const char *line)
{
	struct docker_watch *w = call->user;
	w->looks = ARRAY_LEN(look_after_us);
	w->looks_us = now_us();
	(void)list(w);
}

/* Called again and again while a call runs. */
static bool is_over(void *user)
{
	struct docker_watch *w = user;
	if (w->looks && now_us() - w->looks_us >= look_after_us[w->looks - 1]) {
		w->looks--;
		(void)list(w);
	}
	return source_is_over(w->thread);
}

/* Until the stream ends. */
static void follow(struct docker_watch *w)
{
	struct engine_call call;
	char label[ESCAPED];
	escape(w->options.label, label);
	engine_call_init(&call, "GET",
		"/events?since=%lld&filters=%%7B%%22type%%22%%3A%%5B%%22container%%22%%5D%%2C%%22label%%22%%"
		"3A%%5B%%22%s"
		"%%22%%5D%%2C%%22event%%22%%3A%%5B%%22start%%22%%2C%%22die%%22%%2C%%22pause%%22%%2C%%"
		"22unpause%%22%%5D%%7D",
		(long long)time(NULL) - CLOCKS_APART_S, label);
	call.on_line = on_event;
	call.user = w;
	call.endless = true;
	(void)engine_run(&w->engine, &call, 1);
	if (!source_is_over(w->thread))
		source_tell_unreachable(w->thread,
			call.why[0] ? call.why : "the Docker Engine has ended its stream of events");
	engine_call_finish(&call);
}

static void run(struct source_thread *t, void *state)
{
	struct docker_watch *w = state;
	char why[ENGINE_WHY];
	w->thread = t;
	do {
		const char *host = w->options.host[0] ? w->options.host : NULL;
		if (!engine_open(&w->engine, host, is_over, w, why))
			source_tell_unreachable(t, why);
		else if (list(w))
			follow(w);
	} while (source_pause(t, AGAIN_US));
}

/* ---- the kind ---- */

static bool check(const char *rest, char error[SOURCE_ERROR])
{
	struct options o;
	return parse(rest, &o, error);
}

static void free_state(void *state)
{
	struct docker_watch *w = state;
	free(w->list);
	free(w);
}

static const struct source_thread_ops thread_ops = { .run = run, .free_state = free_state };

static struct source *create(const struct source *base)
{
	char error[SOURCE_ERROR];
	struct docker_watch *w = calloc(1, sizeof *w);
	if (!w)
		return NULL;
	bool ok = parse(base->rest, &w->options, error);
	CHECK(ok);                                  /* source_check has taken it */
	w->max = base->settings.containers_max + 1; /* one more, so that too many are seen as such */
	w->list = calloc(w->max, sizeof *w->list);
	if (!w->list) {
		free(w);
		return NULL;
	}
	return source_thread_create(base, &thread_ops, w);
}

const struct source_kind source_docker = {
	.name = "docker",
	.check = check,
	.create = create,
	.destroy = source_thread_destroy,
};
