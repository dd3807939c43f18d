/* The orchestrator of a fleet on Docker, as a process of this machine: berth up --on docker --orchestrator
 * host.
 *
 * It runs in the foreground under the fleet's name (runtime.h). In the same directory are the file that tells
 * it its containers, NAME.containers, and the directory of their sockets, NAME.docker, which is mounted into
 * them. Another berth up finds it by its name, makes what shall be, and writes the file anew.
 */
#include "cli/docker_up.h"
#include "cli/runtime.h"

#include "base/log.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH = RUNTIME_PATH + 96 };

static const char *path_of(const char *fleet, const char *suffix, char path[PATH])
{
	char directory[RUNTIME_PATH];
	snprintf(path, PATH, "%s/%s.%s", runtime_dir(directory), fleet, suffix);
	return path;
}

static bool fail_at(struct docker_up *u, const char *path)
{
	return docker_up_fail(u, "%s: %s", path, strerror(errno));
}

/* ---- who serves ---- */

static bool take_running(struct docker_up *u, const struct runtime_info *info)
{
	const char *cmd_line = "berth down --name";
	if (u->fleet->orchestrator != FLEET_ON_HOST)
		return docker_up_fail(u,
			"the queue of the fleet \"%s\" runs here as process %d: --orchestrator host changes "
			"it, %s %s ends it",
			u->fleet->name, (int)info->pid, cmd_line, u->fleet->name);
	if (!io_addr_parse(&u->front, info->front))
		return docker_up_fail(
			u, "the fleet \"%s\" (pid %d) is still starting", u->fleet->name, (int)info->pid);
	u->runs_here = true;
	return true;
}

bool docker_host_find(struct docker_up *u)
{
	const struct fleet_settings *f = u->fleet;
	const struct runtime_info about = { .containers = (uint64_t)f->workers * f->containers,
		.on_docker = true };
	struct runtime_info info;
	char error[RUNTIME_ERROR];
	if (runtime_find(f->name, &info, error) == 1 && info.on_docker)
		return take_running(u, &info);
	if (f->orchestrator != FLEET_ON_HOST || u->options->dry_run)
		return true;
	u->claimed = runtime_claim(f->name, &about, error) == 0;
	return u->claimed || docker_up_fail(u, "%s", error);
}

void docker_host_forget(const struct docker_up *u)
{
	char path[PATH];
	if (!u->claimed)
		return;
	(void)unlink(path_of(u->fleet->name, "containers", path));
	runtime_release(u->fleet->name);
}

bool docker_host_end(const char *fleet, pid_t *ret_pid, char error[RUNTIME_ERROR])
{
	struct runtime_info info;
	*ret_pid = 0;
	if (runtime_find(fleet, &info, error) != 1 || !info.on_docker)
		return true;
	int r = runtime_end(&info);
	if (r < 0) {
		snprintf(error, RUNTIME_ERROR, "cannot end the queue, process %d: %s", (int)info.pid,
			strerror(-r));
		return false;
	}
	*ret_pid = info.pid;
	return true;
}

/* ---- its containers ---- */

/* Can sockets be in this directory, and stand in a line of the list? */
static bool fits(const char *directory)
{
	char path[DOCKER_SOCKET], text[DOCKER_SOCKET + 8];
	struct io_addr addr;
	snprintf(text, sizeof text, "unix:%s", docker_socket(directory, FLEET_CONTAINERS_MAX, path));
	return !strpbrk(directory, " \t#") && io_addr_parse(&addr, text);
}

/* Its parent lets in nobody else, so that only the containers have it, whatever their users are. */
bool docker_host_sockets(struct docker_up *u)
{
	char path[PATH];
	path_of(u->fleet->name, "docker", path);
	if (!u->docker.engine.socket[0] || !fits(path))
		return true; /* the engine may be on another machine */
	if (!u->options->dry_run && ((mkdir(path, 0700) && errno != EEXIST) || chmod(path, 01777)))
		return fail_at(u, path);
	str_copy(u->sockets, sizeof u->sockets, str_of(path));
	return true;
}

void docker_host_remove_sockets(const char *fleet)
{
	char path[PATH];
	DIR *directory = opendir(path_of(fleet, "docker", path));
	const struct dirent *entry;
	while (directory && (entry = readdir(directory)))
		(void)unlinkat(dirfd(directory), entry->d_name, 0);
	if (directory)
		closedir(directory);
	(void)rmdir(path);
}

bool docker_host_list(struct docker_up *u, const char *text)
{
	char path[PATH], temporary[PATH + 8];
	path_of(u->fleet->name, "containers", path);
	snprintf(temporary, sizeof temporary, "%s.new", path);
	FILE *f = fopen(temporary, "we");
	if (!f)
		return fail_at(u, temporary);
	bool ok = fputs(text, f) >= 0;
	ok = fclose(f) == 0 && ok && rename(temporary, path) == 0;
	return ok || fail_at(u, path);
}

/* ---- serving ---- */

static void on_signal(struct signals *signals, int signal)
{
	struct server *s = CONTAINER_OF(signals, struct server, signals);
	switch (signal) {
	case SIGUSR1:
		reactor_reopen_log(s->reactor);
		return;
	case SIGHUP:
		log_warning("berth up --on docker reads its configuration at its start only");
		return;
	default:
		log_info("ending: what runs and waits is finished first; the containers stay: berth down "
			 "--on docker removes them");
		server_drain(s);
		return;
	}
}

static bool take_source(struct docker_up *u)
{
	struct server *s = u->server;
	struct pool_settings *p = &s->config->settings.pools[s->config->fleet_pool];
	static const char *sources[1];
	char path[PATH], why[SOURCE_ERROR];
	struct str text =
		arena_printf(&s->config->arena, "file:%s", path_of(u->fleet->name, "containers", path));
	if (!text.ptr || !source_check(text, why))
		return docker_up_fail(u, "%s: %s", path, text.ptr ? why : "out of memory");
	sources[0] = text.ptr;
	p->sources = sources;
	p->n_sources = 1;
	return true;
}

int docker_host_serve(struct docker_up *u)
{
	struct server *s = u->server;
	const struct fleet_settings *f = u->fleet;
	if (!take_source(u) || !server_open(s, on_signal) || !server_start(s))
		return EXIT_SETUP;
	docker_up_clear(u);
	server_publish(s,
		&(struct runtime_info){
			.containers = (uint64_t)f->workers * f->containers, .on_docker = true });
	server_print_ready(s);
	int r = io_epoll_run(s->io);
	if (r < 0)
		cli_complain(s->cmd, "the event loop has failed: %s", strerror(-r));
	return r < 0 ? EXIT_JOB : EXIT_DONE;
}
