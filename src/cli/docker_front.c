/* The orchestrator of a fleet on Docker, as a container: how it is made, and what it is told.
 *
 * It is told its containers by a file in its volume, which it watches: so it needs neither the engine's
 * socket, which is as good as root on the host, nor an admin listener that others can reach. What has come of
 * it, its front says (docker_wait.c), by the generation that each line of the file carries.
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

enum { STOP_MORE_S = 5 };

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

static void write_line(const struct docker_up *u, const struct docker_container *c, FILE *f)
{
	const char *directory =
		u->fleet->orchestrator == FLEET_ON_HOST ? u->recipe.sockets : DOCKER_SOCKET_DIR;
	char generation[DOCKER_GENERATION], path[DOCKER_SOCKET];
	fprintf(f, "%s:%u worker=worker%u name=container%u generation=%s", c->ip, u->recipe.port, c->worker,
		c->number, docker_up_generation(c->spec, generation));
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

static bool is_running(const struct docker_container *c, uint32_t batch)
{
	return c->fate == DOCKER_KEEP || c->fate == DOCKER_REPLACE || c->fate == DOCKER_SURPLUS;
}

static bool create(struct docker_up *u, const char *config, const char *spec, struct docker_aside *aside)
{
	struct docker *d = &u->docker;
	const struct settings *s = &u->server->config->settings;
	struct docker_front fronts[DOCKER_FRONTS_MAX];
	struct docker_orchestrator o = { .image = u->orchestrator_tag,
		.spec = spec,
		.fronts = fronts,
		.n_fronts = s->n_listen,
		.stop_s = s->drain_timeout_us / 1000000 + STOP_MORE_S,
		.sockets = u->recipe.sockets };
	fill_fronts(s, fronts);
	docker_up_tell(u, "making the orchestrator");
	if (!docker_step_aside(d, aside))
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

/* The one before serves again, also after an interrupt. */
static void bring_back(struct docker_up *u, struct docker_aside *aside)
{
	struct docker *d = &u->docker;
	size_t n = strlen(u->why);
	d->engine.is_over = NULL;
	docker_up_tell(u, "starting the orchestrator that was there");
	if (docker_bring_back(d, aside))
		snprintf(
			u->why + n, sizeof u->why - n, "; the orchestrator that was there runs on as it was");
	else
		snprintf(u->why + n, sizeof u->why - n,
			"; nor does the orchestrator that was there run again (%.300s): another berth up "
			"makes it",
			d->error);
}

bool docker_up_orchestrator(struct docker_up *u)
{
	char *config, spec[DIGEST_TEXT];
	enum docker_fate fate = DOCKER_KEEP;
	struct docker_aside aside = { .ran = false };
	bool ok = plan_orchestrator(u, &config, spec, &fate);
	if (ok && (fate == DOCKER_CREATE || fate == DOCKER_REPLACE))
		ok = create(u, config, spec, &aside);
	free(config);
	if (ok && fate != DOCKER_KEEP)
		ok = docker_start_orchestrator(&u->docker) || complain_of_port(u);
	if (ok)
		ok = docker_forget_aside(&u->docker, &aside) || docker_up_complain(u);
	else if (aside.ran)
		bring_back(u, &aside);
	free(aside.files);
	return ok && locate(u);
}
