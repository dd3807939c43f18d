#include "cli/up.h"

#include "base/log.h"
#include "cli/runtime.h"
#include "cli/value.h"

#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <string.h>

enum { ASK_AGAIN_US = 20 * 1000, ASK_TIMEOUT_US = 2 * 1000 * 1000 };

/* The phase that the loop is in comes to its end with this exit code. */
static void begin_end(struct up *u, int exit_code)
{
	u->phase = UP_ENDING;
	u->exit_code = exit_code;
	io_stop(u->server.io);
}

/* ---- signals ---- */

static void on_end_signal(struct up *u)
{
	switch (u->phase) {
	case UP_STARTING:
	case UP_CHECKING:
		up_clear_progress(u);
		begin_end(u, EXIT_DONE);
		return;
	case UP_RUNNING:
		u->phase = UP_ENDING;
		log_info("ending: what runs and waits is finished first; once more stops at once");
		server_drain(&u->server);
		return;
	case UP_ENDING:
		if (u->server.reactor)
			server_drain(&u->server);
		return;
	case UP_STOPPING:
		fleet_stop(u->fleet);
		return;
	case UP_OVER:
		return;
	}
}

void up_on_signal(struct signals *signals, int signal)
{
	struct up *u = CONTAINER_OF(CONTAINER_OF(signals, struct server, signals), struct up, server);
	if (signal == SIGHUP) {
		if (u->phase == UP_RUNNING)
			server_reload(&u->server, u->fleet);
	} else if (signal == SIGUSR1) {
		output_reopen(&u->output);
		if (u->server.reactor)
			reactor_reopen_log(u->server.reactor);
	} else {
		on_end_signal(u);
	}
}

/* ---- the containers ---- */

static void on_up(void *user, const struct fleet_container *c)
{
	struct up *u = user;
	size_t n = fleet_up(u->fleet);
	if (u->phase != UP_STARTING) {
		log_info("%s is up again", c->name);
		return;
	}
	up_print_progress(u, n, false);
	if (n == fleet_size(u->fleet))
		io_stop(u->server.io);
}

static void on_down(void *user, const struct fleet_container *c, const char *why, uint64_t restart_us)
{
	char pause[VALUE_TEXT];
	up_clear_progress(user);
	log_warning("%s has ended (%s) and starts again in %s", c->name, why,
		value_duration_print(restart_us, pause));
}

/* While they start, the terminal is kept for the progress: on_down and on_failed say what one that ends has
 * said. */
static void on_line(void *user, const struct fleet_container *c, const char *line)
{
	struct up *u = user;
	if (u->output.path || (u->phase != UP_STARTING && u->exit_code == EXIT_DONE))
		output_write(&u->output, c->name, line);
}

static void on_failed(void *user, const struct fleet_container *c, const char *why)
{
	struct up *u = user;
	up_clear_progress(u);
	cli_complain(u->server.cmd, "%s cannot start: %s", c->name, why);
	begin_end(u, EXIT_SETUP);
}

static void on_stopped(void *user)
{
	struct up *u = user;
	u->phase = UP_OVER;
	io_stop(u->server.io);
}

static const struct fleet_events events = {
	.on_up = on_up,
	.on_down = on_down,
	.on_line = on_line,
	.on_failed = on_failed,
	.on_stopped = on_stopped,
};

/* ---- until all are ready ---- */

static bool text_is(const json_t *value, const char *text)
{
	return json_is_string(value) && !strcmp(json_string_value(value), text);
}

/* Containers of this pool that the gateway may use, as its report says. */
static size_t count_ready(struct str report, const char *pool_name)
{
	json_t *root = json_loadb(report.ptr, report.len, 0, NULL);
	const json_t *pools = json_object_get(root, "pools");
	size_t n = 0;
	for (size_t i = 0; i < json_array_size(pools); i++) {
		const json_t *pool = json_array_get(pools, i),
			     *containers = json_object_get(pool, "containers");
		if (!text_is(json_object_get(pool, "name"), pool_name))
			continue;
		for (size_t k = 0; k < json_array_size(containers); k++)
			n += !text_is(json_object_get(json_array_get(containers, k), "status"), "down");
	}
	json_decref(root);
	return n;
}

static void on_report(struct agent *self, const struct agent_answer *answer)
{
	struct up *u = CONTAINER_OF(self, struct up, self);
	const struct config *c = u->server.config;
	size_t ready = 0;
	if (answer->status == 200)
		ready = count_ready(answer->body, c->settings.pools[c->fleet_pool].name);
	if (u->phase != UP_CHECKING)
		return;
	if (ready < fleet_size(u->fleet)) {
		up_print_progress(u, ready, false);
		io_timer_set(u->server.io, &u->ask_again, u->server.io->now_us + ASK_AGAIN_US);
		return;
	}
	u->phase = UP_RUNNING;
	server_publish(&u->server, &(struct runtime_info){ .containers = fleet_size(u->fleet) });
	up_print_progress(u, ready, true);
	server_print_ready(&u->server);
	up_print_examples(u);
}

static void ask(struct io_timer *t)
{
	struct up *u = CONTAINER_OF(t, struct up, ask_again);
	agent_request(&u->self, "GET", "/status", NULL, STR(""), ASK_TIMEOUT_US);
}

/* The gateway, before containers that all listen. */
static bool begin_serving(struct up *u)
{
	struct io_addr admin;
	if (!config_take_fleet(u->server.config, u->fleet)) {
		cli_complain(u->server.cmd, "out of memory");
		return false;
	}
	if (!server_start(&u->server))
		return false;
	bool ok = reactor_admin_addr(u->server.reactor, &admin);
	CHECK(ok);
	u->phase = UP_CHECKING;
	agent_init(&u->self, u->server.io, &admin, "localhost", on_report);
	u->ask_again.on_timer = ask;
	ask(&u->ask_again);
	return true;
}

/* ---- the whole ---- */

static void run_loop(struct up *u)
{
	int r = io_epoll_run(u->server.io);
	if (r == 0)
		return;
	cli_complain(u->server.cmd, "the event loop has failed: %s", strerror(-r));
	u->phase = UP_OVER;
	u->exit_code = EXIT_JOB;
}

static void serve(struct up *u)
{
	if (!begin_serving(u)) {
		u->exit_code = EXIT_SETUP;
		return;
	}
	run_loop(u);
	io_timer_stop(u->server.io, &u->ask_again);
	agent_finish(&u->self);
	server_stop(&u->server);
}

static void run_fleet(struct up *u)
{
	u->fleet = fleet_local_create(u->server.io, &u->server.config->fleet, &events, u);
	if (!u->fleet) {
		cli_complain(u->server.cmd, "cannot start the containers: %s", strerror(errno));
		u->exit_code = EXIT_SETUP;
		return;
	}
	up_print_start(u);
	run_loop(u);
	if (u->phase == UP_STARTING)
		serve(u);
	if (u->phase != UP_OVER) {
		u->phase = UP_STOPPING;
		fleet_stop(u->fleet);
		run_loop(u);
	}
	fleet_destroy(u->fleet);
}

int up_run(struct up *u)
{
	struct fleet_settings *f = &u->server.config->fleet;
	char error[RUNTIME_ERROR], sockets[RUNTIME_PATH];
	const struct runtime_info about = { .containers = (uint64_t)f->workers * f->containers };
	if (runtime_claim(f->name, &about, error) < 0) {
		cli_complain(u->server.cmd, "%s", error);
		return EXIT_SETUP;
	}
	f->socket_path = runtime_dir(sockets);
	run_fleet(u);
	runtime_release(f->name);
	return u->exit_code;
}
