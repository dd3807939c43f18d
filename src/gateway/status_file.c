#include "gateway/status_file.h"

#include "base/log.h"
#include "gateway/backend.h"
#include "gateway/reactor.h"
#include "gateway/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LEAST_PAUSE_US = 100 * 1000, AGAIN_US = 1000 * 1000 };

static const char *status_name(const struct container *c)
{
	if (c->draining)
		return "draining";
	if (c->state != CONTAINER_UP)
		return "down";
	return c->slots[SLOT_FREE].len ? "free" : "busy";
}

static void key_u64(struct json *j, const char *key, uint64_t v)
{
	json_key(j, key);
	json_u64(j, v);
}

static void key_str(struct json *j, const char *key, const char *v)
{
	json_key(j, key);
	json_string(j, str_of(v));
}

void status_write_container(const struct route *route, const struct container *c, struct json *j)
{
	const struct container_settings *cs = &backend_of(c)->settings;
	char ip[IO_ADDR_TEXT], whole[IO_ADDR_TEXT];
	io_addr_print(&cs->addr, false, ip);
	io_addr_print(&cs->addr, true, whole);
	const char *colon = strrchr(whole, ':');
	bool is_unix = cs->addr.sa.sa_family == AF_UNIX;
	key_str(j, "ip", ip);
	key_str(j, "port", is_unix || !colon ? "" : colon + 1); /* a string, as the scripts have it */
	key_str(j, "status", status_name(c));
	key_str(j, "worker", cs->worker);
	key_str(j, "pool", route->settings->name);
	key_u64(j, "slots", c->n_slots);
	key_u64(j, "in_flight", container_in_flight(c));
	key_u64(j, "requests", c->requests);
	key_u64(j, "failures", c->failures);
}

void status_write(struct reactor *r, struct json *j)
{
	json_open(j, '{');
	for (uint32_t i = 0; i < r->n_routes; i++) {
		const struct route *route = r->routes[i];
		for (uint32_t k = 0; k < route->pool.n_containers; k++) {
			json_key(j, backend_of(route->pool.containers[k])->settings.name);
			json_open(j, '{');
			status_write_container(route, route->pool.containers[k], j);
			json_close(j, '}');
		}
	}
	json_close(j, '}');
	json_bytes(j, STR("\n"));
}

static int write_file(const char *path, struct str text)
{
	char temporary[4096];
	if ((size_t)snprintf(temporary, sizeof temporary, "%s.new", path) >= sizeof temporary)
		return -ENAMETOOLONG;
	int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644), r = 0;
	if (fd < 0)
		return -errno;
	ssize_t n = write(fd, text.ptr, text.len);
	if (n != (ssize_t)text.len)
		r = n < 0 ? -errno : -ENOSPC;
	close(fd);
	if (r == 0 && rename(temporary, path))
		r = -errno;
	if (r < 0)
		unlink(temporary);
	return r;
}

static void work(struct io_task *t)
{
	struct status_file *f = CONTAINER_OF(t, struct status_file, task);
	f->err = json_failed(&f->text) ? -ENOMEM : write_file(f->path, json_str(&f->text));
	atomic_store(&f->worked, true);
}

/* What was composed is written, or is to be composed anew. */
static void report(struct status_file *f)
{
	if (f->err < 0 && !f->failing)
		log_warning("cannot write the status file %s: %s", f->path, strerror(-f->err));
	f->failing = f->err < 0;
	f->dirty |= f->failing;
	if (f->dirty)
		io_timer_set(f->reactor->io, &f->timer,
			f->reactor->io->now_us + (f->failing ? AGAIN_US : LEAST_PAUSE_US));
}

static void done(struct io_task *t)
{
	struct status_file *f = CONTAINER_OF(t, struct status_file, task);
	f->busy = false;
	report(f);
}

static void compose(struct status_file *f)
{
	f->dirty = false;
	json_reset(&f->text);
	status_write(f->reactor, &f->text);
}

static void on_timer(struct io_timer *t)
{
	struct status_file *f = CONTAINER_OF(t, struct status_file, timer);
	if (f->busy || !f->dirty)
		return;
	compose(f);
	atomic_store(&f->worked, false);
	int r = io_offload(f->reactor->io, &f->task);
	f->busy = r == 0;
	if (r == 0)
		return;
	f->err = r;
	report(f);
}

struct status_file *status_file_create(struct reactor *r, const char *path)
{
	struct status_file *f = calloc(1, sizeof *f);
	char *own_path = strdup(path);
	if (!f || !own_path) {
		free(own_path);
		free(f);
		return NULL;
	}
	f->reactor = r;
	f->path = own_path;
	f->timer.on_timer = on_timer;
	f->task = (struct io_task){ .work = work, .done = done };
	json_init(&f->text);
	status_file_touch(f);
	return f;
}

void status_file_touch(struct status_file *f)
{
	f->dirty = true;
	if (!f->busy && !f->timer.due_us)
		io_timer_set(f->reactor->io, &f->timer, f->reactor->io->now_us + LEAST_PAUSE_US);
}

void status_file_destroy(struct status_file *f)
{
	if (!f)
		return;
	io_timer_stop(f->reactor->io, &f->timer);
	while (f->busy && !atomic_load(&f->worked))
		sched_yield();
	compose(f);
	work(&f->task);
	json_finish(&f->text);
	free(f->path);
	free(f);
}
