/* local: a fleet of child processes on this machine.
 *
 *            listening                ends
 *  STARTING ──────────▶ UP ─────────────────▶ WAITING ──backoff──▶ STARTING
 *     │ ends: of no use to try again ─▶ on_failed    ▲
 *     └─ ends otherwise ─────────────────────────────┘
 *  fleet_stop: STARTING, UP ─▶ STOPPING ──ends──▶ GONE;  WAITING ─▶ GONE
 */
#include "base/log.h"
#include "base/str.h"
#include "fleet/child.h"
#include "fleet/fleet.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum state { STARTING, UP, WAITING, STOPPING, GONE };

/* How a worker ends that has no use for another try: wrong usage or set-up (2), not to be run at all (126,
 * 127). */
enum { EXIT_SETUP = 2, EXIT_NO_PROGRAM = 126 };

enum { SAID = 256 };

struct container {
	struct fleet *fleet; /* borrowed */
	struct fleet_container face;
	enum state state;
	struct child child;
	struct io_timer restart;
	uint64_t up_since_us, backoff_us;
	bool was_up;           /* once at least */
	struct io_addr socket; /* that it shall listen on, too; len 0: none */
	char said[SAID];       /* its last line */
};

struct fleet {
	struct io *io;                         /* borrowed */
	const struct fleet_settings *settings; /* borrowed */
	const struct fleet_events *events;     /* borrowed */
	void *user;                            /* borrowed */
	bool stopping, failed;
	struct io_timer stop_timer; /* SIGKILL; and on_stopped when there was nothing to stop */
	size_t n;
	struct container containers[];
};

void fleet_settings_default(struct fleet_settings *s)
{
	*s = (struct fleet_settings){
		.on = FLEET_LOCAL,
		.name = "default",
		.model = "models/spam",
		.workers = 4,
		.containers = 2,
		.slots = 1,
		.base_port = 5000,
		.sockets = true,
		.aws = { .instance_type = "t3.small" },
		.memory_bytes = (uint64_t)1 << 30,
		.cpu_percent = 100,
		.pids = 256,
		.ready_timeout_us = (uint64_t)300 * 1000 * 1000,
		.log = "stderr",
		.backoff_min_us = 100 * 1000,
		.backoff_max_us = 5 * 1000 * 1000,
		.healthy_us = 10 * 1000 * 1000,
		.stop_timeout_us = 5 * 1000 * 1000,
	};
}

size_t fleet_size(const struct fleet *f)
{
	return f->n;
}

const struct fleet_container *fleet_container(const struct fleet *f, size_t index)
{
	return &f->containers[index].face;
}

static size_t count(const struct fleet *f, enum state state)
{
	size_t n = 0;
	for (size_t i = 0; i < f->n; i++)
		n += f->containers[i].state == state;
	return n;
}

size_t fleet_up(const struct fleet *f)
{
	return count(f, UP);
}

/* ---- start ---- */

static const struct child_ops child_ops;

static int start(struct container *c)
{
	const struct fleet_settings *s = c->fleet->settings;
	char listen[IO_ADDR_TEXT], socket[IO_ADDR_TEXT], slots[16], delay[16];
	io_addr_print(&c->face.addr, true, listen);
	io_addr_print(&c->socket, true, socket);
	snprintf(slots, sizeof slots, "%u", s->slots);
	snprintf(delay, sizeof delay, "%u", s->delay_ms);
	const char *argv[12] = { s->program, "--model", s->model, "--listen", listen, "--slots", slots };
	int n = 7;
	if (c->socket.len) {
		argv[n++] = "--listen";
		argv[n++] = socket;
	}
	if (s->delay_ms) {
		argv[n++] = "--delay-ms";
		argv[n++] = delay;
	}
	c->said[0] = '\0';
	c->state = STARTING;
	return child_start(&c->child, c->fleet->io, &child_ops, argv);
}

static void wait_to_restart(struct container *c, const char *why)
{
	struct fleet *f = c->fleet;
	uint64_t pause_us = c->backoff_us;
	c->state = WAITING;
	c->backoff_us =
		2 * pause_us < f->settings->backoff_max_us ? 2 * pause_us : f->settings->backoff_max_us;
	io_timer_set(f->io, &c->restart, f->io->now_us + pause_us);
	if (f->events->on_down)
		f->events->on_down(f->user, &c->face, why, pause_us);
}

static void on_restart(struct io_timer *t)
{
	struct container *c = CONTAINER_OF(t, struct container, restart);
	int r = start(c);
	if (r < 0)
		wait_to_restart(c, strerror(-r));
}

/* Without a socket where its path would be too long for one. */
static void name_socket(struct container *c)
{
	const struct fleet_settings *s = c->fleet->settings;
	char text[IO_ADDR_TEXT];
	if (!s->sockets || !s->socket_path)
		return;
	int n = snprintf(text, sizeof text, "unix:%s/%s.%s.sock", s->socket_path, s->name, c->face.name);
	if (n < 0 || (size_t)n >= sizeof text || !io_addr_parse(&c->socket, text))
		c->socket.len = 0;
}

static void init_container(struct fleet *f, uint32_t worker, uint32_t of_worker)
{
	uint32_t i = worker * f->settings->containers + of_worker;
	struct container *c = &f->containers[i];
	*c = (struct container){
		.fleet = f,
		.state = GONE,
		.face.number = i + 1,
		.restart.on_timer = on_restart,
		.backoff_us = f->settings->backoff_min_us,
	};
	snprintf(c->face.name, sizeof c->face.name, "container%u", i + 1);
	snprintf(c->face.worker, sizeof c->face.worker, "worker%u", worker + 1);
	c->face.addr.in = (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_port =
			htons((uint16_t)(f->settings->base_port ? f->settings->base_port + of_worker : 0)),
		.sin_addr.s_addr = htonl(0x7f000100 + worker + 1), /* 127.0.1.k */
	};
	c->face.addr.len = sizeof c->face.addr.in;
	name_socket(c);
}

static void on_stop_timer(struct io_timer *t);

struct fleet *fleet_local_create(
	struct io *io, const struct fleet_settings *settings, const struct fleet_events *events, void *user)
{
	size_t n = (size_t)settings->workers * settings->containers;
	CHECK(settings->workers <= FLEET_WORKERS_MAX && n <= FLEET_CONTAINERS_MAX);
	struct fleet *f = calloc(1, sizeof *f + n * sizeof f->containers[0]);
	if (!f)
		return NULL;
	f->io = io;
	f->settings = settings;
	f->events = events;
	f->user = user;
	f->n = n;
	f->stop_timer.on_timer = on_stop_timer;
	for (uint32_t worker = 0; worker < settings->workers; worker++) {
		for (uint32_t k = 0; k < settings->containers; k++)
			init_container(f, worker, k);
	}
	for (size_t i = 0; i < n; i++) {
		int r = start(&f->containers[i]);
		if (r < 0) {
			fleet_destroy(f);
			errno = -r;
			return NULL;
		}
	}
	return f;
}

/* ---- life ---- */

static bool parse_addr(struct str s, struct io_addr *ret)
{
	char text[IO_ADDR_TEXT];
	return io_addr_parse(ret, str_copy(text, sizeof text, s));
}

/* "berth-worker: listening on 127.0.1.1:5000 and unix:/run/x, model spam (text), slots 1": the address, which
 * says the port where the kernel chose it, and perhaps the socket. */
static bool parse_listening(const char *line, struct io_addr *ret_addr, struct io_addr *ret_near)
{
	static const char start_of_line[] = "berth-worker: listening on ";
	struct str rest = str_of(line);
	if (!str_starts(rest, STR(start_of_line)))
		return false;
	rest = str_skip(rest, STR(start_of_line).len);
	struct str both = str_cut(&rest, ','), first = str_cut(&both, ' '), word = str_cut(&both, ' ');
	if (!parse_addr(first, ret_addr))
		return false;
	if (!str_eq(word, STR("and")) || !parse_addr(both, ret_near))
		ret_near->len = 0;
	return true;
}

static void on_line(struct child *child, const char *line)
{
	struct container *c = CONTAINER_OF(child, struct container, child);
	struct fleet *f = c->fleet;
	str_copy(c->said, sizeof c->said, str_of(line));
	if (f->events->on_line)
		f->events->on_line(f->user, &c->face, line);
	if (c->state != STARTING || !parse_listening(line, &c->face.addr, &c->face.near))
		return;
	c->state = UP;
	c->was_up = true;
	c->up_since_us = f->io->now_us;
	if (f->events->on_up)
		f->events->on_up(f->user, &c->face);
}

static void failed(struct container *c, const char *why)
{
	struct fleet *f = c->fleet;
	c->state = GONE;
	if (f->failed)
		return;
	f->failed = true;
	if (f->events->on_failed)
		f->events->on_failed(f->user, &c->face, c->said[0] ? c->said : why);
}

static void ended(struct container *c, const char *why, bool useless)
{
	const struct fleet *f = c->fleet;
	if (f->stopping) {
		c->state = GONE;
		if (count(f, GONE) == f->n)
			f->events->on_stopped(f->user);
		return;
	}
	if (!c->was_up && useless) {
		failed(c, why);
		return;
	}
	if (c->state == UP && f->io->now_us - c->up_since_us >= f->settings->healthy_us)
		c->backoff_us = f->settings->backoff_min_us;
	wait_to_restart(c, why);
}

static void on_exit_of_child(struct child *child, int code, int status)
{
	struct container *c = CONTAINER_OF(child, struct container, child);
	char how[64], why[SAID + 80];
	if (code == CLD_EXITED)
		snprintf(how, sizeof how, "exit code %d", status);
	else
		snprintf(how, sizeof how, "signal %d (%s)", status, strsignal(status));
	bool said_why = c->state == STARTING && c->said[0];
	snprintf(why, sizeof why, "%s%s%s", how, said_why ? ": " : "", said_why ? c->said : "");
	ended(c, why, code == CLD_EXITED && (status == EXIT_SETUP || status >= EXIT_NO_PROGRAM));
}

static const struct child_ops child_ops = { .on_line = on_line, .on_exit = on_exit_of_child };

/* ---- end ---- */

static void kill_all(struct fleet *f)
{
	for (size_t i = 0; i < f->n; i++)
		child_signal(&f->containers[i].child, SIGKILL);
}

static void on_stop_timer(struct io_timer *t)
{
	struct fleet *f = CONTAINER_OF(t, struct fleet, stop_timer);
	if (count(f, GONE) == f->n) {
		f->events->on_stopped(f->user);
		return;
	}
	log_warning("containers that did not end in time and are killed: %zu", f->n - count(f, GONE));
	kill_all(f);
}

void fleet_stop(struct fleet *f)
{
	if (f->stopping) {
		kill_all(f);
		return;
	}
	f->stopping = true;
	for (size_t i = 0; i < f->n; i++) {
		struct container *c = &f->containers[i];
		io_timer_stop(f->io, &c->restart);
		child_signal(&c->child, SIGTERM);
		c->state = child_is_running(&c->child) ? STOPPING : GONE;
	}
	bool nothing_left = count(f, GONE) == f->n;
	io_timer_set(
		f->io, &f->stop_timer, f->io->now_us + (nothing_left ? 1 : f->settings->stop_timeout_us));
}

void fleet_destroy(struct fleet *f)
{
	if (!f)
		return;
	for (size_t i = 0; i < f->n; i++) {
		io_timer_stop(f->io, &f->containers[i].restart);
		child_finish(&f->containers[i].child);
	}
	io_timer_stop(f->io, &f->stop_timer);
	free(f);
}
