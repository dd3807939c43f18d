/* berth up --on docker. */
#include "cli/docker_up.h"

#include "cli/docker.h"
#include "cli/interrupt.h"
#include "cli/up.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- what is told ---- */

void docker_up_tell(const struct docker_up *u, const char *fmt, ...)
{
	va_list ap;
	if (u->options->quiet || !isatty(STDOUT_FILENO))
		return;
	va_start(ap, fmt);
	printf("\r\033[K");
	vprintf(fmt, ap);
	va_end(ap);
	fflush(stdout);
}

void docker_up_clear(const struct docker_up *u)
{
	docker_up_tell(u, "%s", "");
}

bool docker_up_fail(struct docker_up *u, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(u->why, sizeof u->why, fmt, ap);
	va_end(ap);
	return false;
}

bool docker_up_complain(struct docker_up *u)
{
	return docker_up_fail(u, "%s", u->docker.error);
}

static void on_progress(struct docker *d)
{
	const struct docker_up *u = CONTAINER_OF(d, struct docker_up, docker);
	size_t running = 0, all = 0;
	for (size_t i = 0; i < d->n; i++) {
		running += !d->list[i].orchestrator && d->list[i].fate == DOCKER_KEEP;
		all += !d->list[i].orchestrator && d->list[i].fate <= DOCKER_CREATE;
	}
	docker_up_tell(u, "%zu/%zu containers started", running, all);
}

static void print_start(const struct docker_up *u)
{
	const struct fleet_settings *f = u->fleet;
	uint32_t n = f->workers * f->containers;
	if (u->options->quiet)
		return;
	printf("berth: %u container%s on %u worker%s with %s on the Docker Engine at %s\n", n,
		n == 1 ? "" : "s", f->workers, f->workers == 1 ? "" : "s", f->image ? f->image : f->model,
		u->docker.engine.where);
	fflush(stdout);
}

/* ---- which containers ---- */

static bool is_surplus(const struct docker_container *c)
{
	return c->fate == DOCKER_SURPLUS;
}

static bool is_replaced(const struct docker_container *c)
{
	return c->fate == DOCKER_REPLACE;
}

static bool leaves(const struct docker_container *c)
{
	return is_surplus(c) || is_replaced(c);
}

static bool is_orchestrator(const struct docker_container *c)
{
	return c->orchestrator;
}

static bool is_any(const struct docker_container *c)
{
	return true;
}

static bool runs(const struct docker_container *c)
{
	return !strcmp(c->state, "running");
}

/* Those that stay, and those that are still to be replaced, but for this batch, which is away. 0: none is. */
static bool is_listed(const struct docker_container *c, uint32_t batch)
{
	return c->fate == DOCKER_KEEP || (is_replaced(c) && c->batch != batch && runs(c));
}

/* ---- the steps ---- */

static bool make(struct docker_up *u)
{
	return docker_make(&u->docker, &u->recipe) || docker_up_complain(u);
}

/* Anew, for the list has changed. */
static bool plan(struct docker_up *u)
{
	return (docker_look(&u->docker) && docker_set_recipe(&u->docker, &u->recipe) &&
		       docker_plan(&u->docker)) ||
		docker_up_complain(u);
}

static bool remove_those(struct docker_up *u, bool (*which)(const struct docker_container *c))
{
	return docker_remove(&u->docker, which) || docker_up_complain(u);
}

static bool any(const struct docker *d, bool (*which)(const struct docker_container *c))
{
	for (size_t i = 0; i < d->n; i++) {
		if (which(&d->list[i]))
			return true;
	}
	return false;
}

/* One batch of containers that differ: they leave, and others take their places. */
static bool replace_batch(struct docker_up *u, uint32_t batch)
{
	struct docker *d = &u->docker;
	if (!docker_up_list(u, is_listed, batch) || !docker_up_wait(u, false))
		return false;
	/* The others of their kind are left for later. */
	for (size_t i = 0; i < d->n; i++) {
		if (is_replaced(&d->list[i]) && d->list[i].batch == batch)
			d->list[i].fate = DOCKER_SURPLUS;
	}
	return remove_those(u, is_surplus) && plan(u) && make(u) && docker_up_list(u, is_listed, 0) &&
		docker_up_wait(u, true);
}

/* The next that is to be replaced, rather one that nobody can use; NULL: none. */
static const struct docker_container *next_replaced(const struct docker *d)
{
	const struct docker_container *next = NULL;
	for (size_t i = 0; i < d->n; i++) {
		const struct docker_container *c = &d->list[i];
		if (is_replaced(c) && (!next || (runs(next) && !runs(c))))
			next = c;
	}
	return next;
}

static bool replace_all(struct docker_up *u)
{
	const struct docker_container *c;
	while ((c = next_replaced(&u->docker))) {
		if (!replace_batch(u, c->batch))
			return false;
	}
	return true;
}

/* In front of what runs already: nothing that is in flight is lost. */
static bool with_orchestrator(struct docker_up *u)
{
	bool surplus = any(&u->docker, is_surplus);
	return make(u) && (u->runs_here || docker_up_orchestrator(u)) && docker_up_list(u, is_listed, 0) &&
		docker_up_wait(u, true) && (!surplus || remove_those(u, is_surplus)) && replace_all(u);
}

/* Nobody is in front of them, once a container that was has finished what it had. */
static bool without_orchestrator(struct docker_up *u)
{
	if (any(&u->docker, is_orchestrator) && !remove_those(u, is_orchestrator))
		return false;
	if (any(&u->docker, leaves) && !remove_those(u, leaves))
		return false;
	return plan(u) && make(u) && docker_up_list(u, is_listed, 0);
}

/* What the containers listen on beside their port: Berth's own can. */
static bool make_sockets(struct docker_up *u)
{
	if (!u->fleet->sockets || u->fleet->image)
		return true;
	bool ok = true;
	if (u->fleet->orchestrator == FLEET_ON_HOST)
		ok = docker_host_sockets(u);
	else if (u->options->dry_run)
		(void)docker_sockets_name(&u->docker, u->sockets);
	else
		ok = docker_make_sockets(&u->docker, u->sockets) || docker_up_complain(u);
	u->recipe.sockets = u->sockets[0] ? u->sockets : NULL;
	return ok;
}

static bool start(struct docker_up *u)
{
	struct docker *d = &u->docker;
	if (!docker_look(d))
		return docker_up_fail(u, "what there is cannot be seen: %s; nothing was changed", d->error);
	u->existed = d->n || d->network_id[0] || d->has_volume || d->has_sockets;
	u->looked = true;
	print_start(u);
	if (!docker_up_images(u))
		return false;
	if (!u->options->dry_run && !docker_make_network(d))
		return docker_up_complain(u);
	if (!make_sockets(u) || !plan(u))
		return false;
	if (u->options->dry_run)
		return docker_up_tell_plan(u);
	d->on_progress = on_progress;
	return u->claimed ? without_orchestrator(u) : with_orchestrator(u);
}

/* A fleet that was there before stays as it is: another berth up goes on. */
static void undo(struct docker_up *u)
{
	struct docker *d = &u->docker;
	size_t n = strlen(u->why);
	if (!u->looked || u->existed || u->options->dry_run)
		return;
	d->engine.is_over = NULL;
	docker_up_tell(u, "removing what was made");
	if (!docker_look(d) || !docker_remove(d, is_any) || !docker_remove_network(d) ||
		!docker_remove_volumes(d))
		snprintf(u->why + n, sizeof u->why - n,
			"%snot all that this run made is removed again (%.300s): berth down --on docker "
			"--name %s goes on",
			n ? "; " : "", d->error, u->fleet->name);
	docker_host_remove_sockets(u->fleet->name);
}

static void tell_why(const struct docker_up *u)
{
	docker_up_clear(u);
	if (u->why[0])
		cli_complain(u->server->cmd, "%s", u->why);
}

/* ---- the whole ---- */

static bool is_over(void *user)
{
	return interrupt_came();
}

static void print_end(const struct docker_up *u)
{
	uint32_t n = u->fleet->workers * u->fleet->containers;
	const struct config *c = u->server->config;
	char url[SERVER_URL];
	docker_up_clear(u);
	if (!u->options->quiet)
		printf("%u/%u containers ready\n", n, n);
	printf("berth: listening on %s, %u container%s\n", server_url(&u->front, url), n, n == 1 ? "" : "s");
	if (!u->options->quiet)
		up_print_try(url, &c->settings.pools[c->fleet_pool]);
	fflush(stdout);
}

/* Runs alone, and finds the engine and who is the orchestrator. False after a complaint. */
static bool prepare(struct docker_up *u)
{
	char error[RUNTIME_ERROR];
	if (!docker_open(&u->docker, u->fleet, is_over, NULL))
		return docker_up_complain(u);
	bool ok = u->options->dry_run || (u->lock = runtime_lock(u->fleet->name, error)) >= 0 ||
		docker_up_fail(u, "%s", error);
	if (ok && docker_host_find(u))
		return true;
	docker_close(&u->docker);
	return false;
}

static void unlock(struct docker_up *u)
{
	runtime_unlock(u->fleet->name, u->lock);
	u->lock = -1;
}

static int up(struct docker_up *u)
{
	int code = EXIT_JOB;
	interrupt_watch();
	if (!prepare(u)) {
		tell_why(u);
		unlock(u);
		return EXIT_SETUP;
	}
	bool ok = start(u);
	if (ok && u->claimed) {
		unlock(u); /* from now on another berth up may change what this one serves */
		code = docker_host_serve(u);
		ok = code != EXIT_SETUP;
	} else if (ok) {
		if (!u->options->dry_run)
			print_end(u);
		code = EXIT_DONE;
	}
	if (!ok)
		undo(u);
	tell_why(u);
	docker_host_forget(u);
	docker_close(&u->docker);
	unlock(u);
	return code;
}

/* What means nothing on Docker. False after a complaint. */
static bool check(const struct server *server)
{
	const struct fleet_settings *f = &server->config->fleet;
	const struct settings *s = &server->config->settings;
	if (!f->base_port) {
		cli_complain(server->cmd,
			"fleet.base_port: on Docker, the kernel cannot choose it: each container has an "
			"address of its "
			"own");
		return false;
	}
	if (f->orchestrator == FLEET_ON_HOST)
		return true;
	for (size_t i = 0; i < s->n_listen; i++) {
		if (i < DOCKER_FRONTS_MAX && s->listen[i].sa.sa_family != AF_UNIX)
			continue;
		cli_complain(server->cmd,
			"listen: the orchestrator's container has up to %d addresses with a port each: "
			"--orchestrator host "
			"listens on others, too",
			DOCKER_FRONTS_MAX);
		return false;
	}
	return true;
}

int docker_deployment_up(struct server *server, const struct deployment_options *options)
{
	static struct docker_up u;
	if (!check(server))
		return EXIT_SETUP;
	u = (struct docker_up){
		.server = server, .options = options, .fleet = &server->config->fleet, .lock = -1
	};
	return up(&u);
}
