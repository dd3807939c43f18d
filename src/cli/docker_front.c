/* The orchestrator of a fleet on Docker, as a container: what it is told, and until when it is waited for.
 *
 * It is told its containers by a file in its volume, which it watches: so it needs neither the engine's
 * socket, which is as good as root on the host, nor an admin listener that others can reach. What has come of
 * it, its front says (GET /berth/readyz), by the generation that each line of the file carries.
 */
#include "cli/agent.h"
#include "cli/config_write.h"
#include "cli/docker_up.h"
#include "cli/interrupt.h"
#include "cli/locate.h"
#include "cli/value.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	GENERATION = 13,
	ASK_US = 2 * 1000 * 1000,
	PAUSE_MS = 50,
	LOOK_EACH = 20,
	WORDS = 300,
	STOP_MORE_S = 5
};

#define LIST_FILE "containers"

static bool fail_memory(struct docker_up *u)
{
	return docker_up_fail(u, "out of memory");
}

/* ---- its configuration ---- */

/* The settings as they shall be in the container; what they point to is borrowed or in the configuration's
 * arena. */
static bool settings_inside(struct docker_up *u, struct settings *ret)
{
	struct config *c = u->server->config;
	struct settings *s = ret;
	static const char *sources[] = { "file:" IMAGE_STATE_DIR "/" LIST_FILE };
	char text[32];
	*s = c->settings;
	s->listen = arena_alloc(&c->arena, s->n_listen * sizeof *s->listen);
	s->pools = arena_alloc(&c->arena, s->n_pools * sizeof *s->pools);
	if (!s->listen || !s->pools)
		return fail_memory(u);
	for (size_t i = 0; i < s->n_listen; i++) {
		snprintf(text, sizeof text, ":%zu", DOCKER_FRONT_PORT + i);
		CHECK(io_addr_parse(&s->listen[i], text));
	}
	CHECK(io_addr_parse(&s->admin, "127.0.0.1:9091"));
	memcpy(s->pools, c->settings.pools, s->n_pools * sizeof *s->pools);
	s->pools[c->fleet_pool].sources = sources;
	s->pools[c->fleet_pool].n_sources = ARRAY_LEN(sources);
	if (s->status_file)
		s->status_file = "status.json";
	if (s->access_log)
		s->access_log = "stderr";
	if (strcmp(s->store, "memory") != 0)
		s->store = "sqlite:berth.db";
	return true;
}

static void fill_fronts(const struct settings *s, struct docker_front *fronts)
{
	for (size_t i = 0; i < s->n_listen; i++) {
		const struct io_addr *a = &s->listen[i];
		bool v6 = a->sa.sa_family == AF_INET6;
		bool every =
			v6 ? IN6_IS_ADDR_UNSPECIFIED(&a->in6.sin6_addr) : a->in.sin_addr.s_addr == INADDR_ANY;
		char ip[IO_ADDR_TEXT];
		io_addr_print(a, false, ip);
		str_copy(fronts[i].ip, sizeof fronts[i].ip, str_of(every ? "" : ip));
		fronts[i].port = ntohs(v6 ? a->in6.sin6_port : a->in.sin_port);
	}
}

/* What it is made from, hashed: its image, where it listens, how it is configured. */
static bool spec_of(struct docker_up *u, const char *config, const struct settings *s, char ret[DIGEST_TEXT])
{
	json_t *root = json_pack(
		"{s:s, s:s, s:s}", "image", u->orchestrator_id, "config", config, "sockets", u->sockets);
	json_t *listen = json_array();
	char text[IO_ADDR_TEXT];
	for (size_t i = 0; i < s->n_listen; i++)
		(void)json_array_append_new(listen, json_string(io_addr_print(&s->listen[i], true, text)));
	char *whole = root && json_object_set_new(root, "listen", listen) == 0
		? json_dumps(root, JSON_COMPACT | JSON_SORT_KEYS)
		: NULL;
	if (whole)
		digest_bytes(str_of(whole), ret);
	bool ok = whole != NULL;
	free(whole);
	json_decref(root);
	return ok || fail_memory(u);
}

/* ---- its containers ---- */

static const char *generation_of(const char *spec, char ret[GENERATION])
{
	return str_copy(ret, GENERATION, str_of(spec));
}

static void write_line(const struct docker_up *u, const struct docker_container *c, FILE *f)
{
	const char *directory =
		u->fleet->orchestrator == FLEET_ON_HOST ? u->recipe.sockets : DOCKER_SOCKET_DIR;
	char generation[GENERATION], path[DOCKER_SOCKET];
	fprintf(f, "%s:%u worker=worker%u name=container%u generation=%s", c->ip, u->recipe.port, c->worker,
		c->number, generation_of(c->spec, generation));
	if (u->recipe.sockets)
		fprintf(f, " near=unix:%s", docker_socket(directory, c->number, path));
	fputc('\n', f);
}

bool docker_up_list(
	struct docker_up *u, bool (*wanted)(const struct docker_container *c, uint32_t batch), uint32_t batch)
{
	struct docker *d = &u->docker;
	char *text = NULL;
	size_t bytes;
	FILE *f = open_memstream(&text, &bytes);
	if (!f)
		return fail_memory(u);
	for (size_t i = 0; i < d->n; i++) {
		struct docker_container *c = &d->list[i];
		c->listed = !c->orchestrator && wanted(c, batch);
		if (c->listed)
			write_line(u, c, f);
	}
	bool written = !ferror(f);
	if (fclose(f) || !written) {
		free(text);
		return fail_memory(u);
	}
	bool here = u->fleet->orchestrator == FLEET_ON_HOST;
	bool ok = here ? docker_host_list(u, text) : docker_put_file(d, LIST_FILE, text);
	free(text);
	return ok || (!here && docker_up_complain(u));
}

/* ---- making it ---- */

static bool is_orchestrator(const struct docker_container *c)
{
	return c->orchestrator;
}

static bool is_running(const struct docker_container *c, uint32_t batch)
{
	return c->fate == DOCKER_KEEP || c->fate == DOCKER_REPLACE || c->fate == DOCKER_SURPLUS;
}

static bool create(struct docker_up *u, const struct settings *s, const char *config, const char *spec)
{
	struct docker *d = &u->docker;
	struct docker_front fronts[DOCKER_FRONTS_MAX];
	struct docker_orchestrator o = { .image = u->orchestrator_tag,
		.spec = spec,
		.fronts = fronts,
		.n_fronts = s->n_listen,
		.stop_s = s->drain_timeout_us / 1000000 + STOP_MORE_S,
		.sockets = u->recipe.sockets };
	fill_fronts(s, fronts);
	docker_up_tell(u, "making the orchestrator");
	if (docker_orchestrator(d) && !docker_remove(d, is_orchestrator))
		return docker_up_complain(u);
	if (!docker_make_volume(d) || !docker_create_orchestrator(d, &o) ||
		!docker_put_file(d, "berth.yaml", config))
		return docker_up_complain(u);
	/* Those that leave soon are in the list as well: it is what the one before knew. */
	return docker_up_list(u, is_running, 0);
}

/* The first front's port, where the engine has chosen it. */
static bool find_front(struct docker_up *u)
{
	struct docker probe = { .engine = u->docker.engine, .settings = u->fleet };
	str_copy(probe.prefix, sizeof probe.prefix, str_of(u->docker.prefix));
	bool ok = docker_look(&probe);
	const struct docker_container *o = ok ? docker_orchestrator(&probe) : NULL;
	uint16_t port = o ? o->front : 0;
	str_copy(u->docker.error, sizeof u->docker.error,
		str_of(ok ? "the orchestrator's container has no published port" : probe.error));
	docker_close(&probe);
	if (!port)
		return docker_up_complain(u);
	if (u->front.sa.sa_family == AF_INET6)
		u->front.in6.sin6_port = htons(port);
	else
		u->front.in.sin_port = htons(port);
	return true;
}

/* Where the first front is reached from here: a published port is on the engine's machine. */
static bool locate(struct docker_up *u)
{
	const struct engine *e = &u->docker.engine;
	struct target engine;
	char url[ENGINE_WHERE + 16], error[RUNTIME_ERROR];
	u->front = u->server->config->settings.listen[0];
	locate_reachable(&u->front);
	if (u->front.sa.sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&u->front.in6.sin6_addr) &&
		IN6_IS_ADDR_UNSPECIFIED(&u->server->config->settings.listen[0].in6.sin6_addr))
		CHECK(io_addr_parse(&u->front, "127.0.0.1:1")); /* an engine publishes on IPv4 in any case */
	if (e->socket[0])
		return find_front(u);
	snprintf(url, sizeof url, "http://%s/", e->where);
	if (!locate_url(url, &engine, error))
		return docker_up_fail(u, "DOCKER_HOST: %s", error);
	bool loopback = u->front.sa.sa_family == AF_INET && ntohl(u->front.in.sin_addr.s_addr) >> 24 == 127;
	if (loopback)
		u->front = engine.addr;
	return find_front(u);
}

static bool complain_of_port(struct docker_up *u)
{
	char *error = u->docker.error;
	bool taken = strstr(error, "already allocated") || strstr(error, "already in use");
	size_t n = strlen(error);
	if (taken)
		snprintf(error + n, sizeof u->docker.error - n, ": listen names another address");
	return docker_up_complain(u);
}

/* What it shall be made from, and what becomes of the one that is there. ret_config: to be freed in any case.
 */
static bool plan_orchestrator(
	struct docker_up *u, char **ret_config, char spec[DIGEST_TEXT], enum docker_fate *ret_fate)
{
	struct settings inside;
	const struct docker_container *there = docker_orchestrator(&u->docker);
	*ret_config = NULL;
	if (!settings_inside(u, &inside))
		return false;
	*ret_config = config_write(&inside);
	if (!*ret_config)
		return fail_memory(u);
	if (!spec_of(u, *ret_config, &u->server->config->settings, spec))
		return false;
	if (!there)
		*ret_fate = DOCKER_CREATE;
	else if (strcmp(there->spec, spec) != 0 ||
		!strcmp(there->state, "created")) /* perhaps without its files */
		*ret_fate = DOCKER_REPLACE;
	else
		*ret_fate = strcmp(there->state, "running") ? DOCKER_START : DOCKER_KEEP;
	return true;
}

bool docker_up_orchestrator_fate(struct docker_up *u, enum docker_fate *ret)
{
	char *config, spec[DIGEST_TEXT];
	bool ok = plan_orchestrator(u, &config, spec, ret);
	free(config);
	return ok;
}

bool docker_up_orchestrator(struct docker_up *u)
{
	char *config, spec[DIGEST_TEXT];
	enum docker_fate fate = DOCKER_KEEP;
	bool ok = plan_orchestrator(u, &config, spec, &fate);
	if (ok && (fate == DOCKER_CREATE || fate == DOCKER_REPLACE))
		ok = create(u, &u->server->config->settings, config, spec);
	free(config);
	if (ok && fate != DOCKER_KEEP)
		ok = docker_start_orchestrator(&u->docker) || complain_of_port(u);
	return ok && locate(u);
}

/* ---- waiting ---- */

static void pause_ms(long ms)
{
	struct timespec t = { .tv_nsec = ms * 1000000 };
	(void)nanosleep(&t, NULL);
}

static uint64_t now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

struct counts {
	size_t containers, up;
};

/* What the front says of a generation. */
static struct counts counted(const json_t *report, const char *generation)
{
	const json_t *g = json_object_get(json_object_get(report, "generations"), generation);
	return (struct counts){ (size_t)json_integer_value(json_object_get(g, "containers")),
		(size_t)json_integer_value(json_object_get(g, "up")) };
}

/* Has it, of each generation that this run has seen, those that are listed and no others? What is to be
 * replaced may be so because it does not come up. */
static bool is_as_listed(const struct docker *d, const json_t *report, bool all_up, size_t *ret_up)
{
	char generation[GENERATION], other[GENERATION];
	bool ok = true;
	*ret_up = 0;
	for (size_t i = 0; i < d->n; i++) {
		size_t listed = 0, before = 0;
		if (d->list[i].orchestrator)
			continue;
		generation_of(d->list[i].spec, generation);
		for (size_t k = 0; k < d->n; k++) {
			bool same = !d->list[k].orchestrator &&
				!strcmp(generation, generation_of(d->list[k].spec, other));
			listed += same && d->list[k].listed;
			before += same && k < i;
		}
		if (before)
			continue;
		struct counts c = counted(report, generation);
		bool stays = !strcmp(d->list[i].spec, d->spec);
		ok = ok && c.containers == listed && (!all_up || !stays || c.up == listed);
		*ret_up += c.up;
	}
	return ok;
}

static size_t count_listed(const struct docker *d)
{
	size_t n = 0;
	for (size_t i = 0; i < d->n; i++)
		n += d->list[i].listed;
	return n;
}

/* Is one that does not run any more waited for? */
static bool is_waited_for(const struct docker *d, const struct docker_container *ended)
{
	for (size_t i = 0; i < d->n; i++) {
		const struct docker_container *c = &d->list[i];
		if (c->orchestrator == ended->orchestrator && c->number == ended->number)
			return c->orchestrator || (c->listed && c->fate == DOCKER_KEEP);
	}
	return false;
}

/* A container that does not run any more, with what it said last. False when all run. */
static bool has_ended(struct docker_up *u, char line[DOCKER_LINE])
{
	struct docker probe = { .engine = u->docker.engine, .settings = u->fleet };
	char words[WORDS];
	str_copy(probe.prefix, sizeof probe.prefix, str_of(u->docker.prefix));
	const struct docker_container *ended = NULL;
	if (docker_look(&probe)) {
		for (size_t i = 0; i < probe.n && !ended; i++) {
			const char *state = probe.list[i].state;
			bool runs = strcmp(state, "restarting") && strcmp(state, "exited") &&
				strcmp(state, "dead");
			if (!runs && is_waited_for(&u->docker, &probe.list[i]))
				ended = &probe.list[i];
		}
	}
	if (ended) {
		docker_last_words(&probe, ended, words, sizeof words);
		snprintf(line, DOCKER_LINE, "%s does not stay up (%s): %s", ended->name, ended->status,
			words[0] ? words : "it has said nothing");
	}
	docker_close(&probe);
	return ended;
}

/* One look. True when it is as it shall be. */
static bool ask(struct docker_up *u, bool all_up, size_t *ret_up, char why[AGENT_WHY])
{
	char *body;
	size_t len;
	int status = agent_get(&u->front, "/berth/readyz", ASK_US, &body, &len, why);
	if (!status)
		return false;
	json_t *report = json_loadb(body, len, 0, NULL);
	bool ok = is_as_listed(&u->docker, report, all_up, ret_up);
	if (!json_object_get(report, "generations"))
		str_copy(why, AGENT_WHY, STR("what answers there is not this orchestrator"));
	else
		why[0] = '\0';
	json_decref(report);
	free(body);
	return ok;
}

bool docker_up_wait(struct docker_up *u, bool all_up)
{
	const struct fleet_settings *f = u->fleet;
	uint64_t end_us = now_us() + f->ready_timeout_us;
	size_t all = count_listed(&u->docker), up = 0;
	char line[DOCKER_LINE], why[AGENT_WHY] = "", where[IO_ADDR_TEXT], limit[VALUE_TEXT];
	for (size_t looks = 1; !ask(u, all_up, &up, why); looks++) {
		if (interrupt_came())
			return docker_up_fail(u, "interrupted");
		if (looks % LOOK_EACH == 0 && all_up && has_ended(u, line))
			return docker_up_fail(u, "%s", line);
		if (now_us() > end_us)
			return docker_up_fail(u,
				"%zu of %zu containers are ready within fleet.ready_timeout (%s)%s%s%s%s", up,
				all, value_duration_print(f->ready_timeout_us, limit), why[0] ? "; " : "",
				why[0] ? io_addr_print(&u->front, true, where) : "", why[0] ? ": " : "", why);
		docker_up_tell(u,
			all_up ? "%zu/%zu containers ready" : "what leaves is finished: %zu of %zu stay", up,
			all);
		pause_ms(PAUSE_MS);
	}
	return true;
}
