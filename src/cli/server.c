#include "cli/server.h"

#include "cli/store_default.h"

#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool server_configure(struct server *s, const struct command *cmd, const char *file, enum config_use use)
{
	char error[SERVER_ERROR];
	s->cmd = cmd;
	int n = process_listen_fds(s->listen_fds, error, sizeof error);
	if (n < 0) {
		cli_complain(s->cmd, "%s", error);
		return false;
	}
	s->n_listen_fds = (size_t)n;
	s->file = file ? strdup(file) : NULL;
	s->use = use;
	if (s->config->n_errors == 0 && config_read(s->config, file) &&
		config_finish(s->config, use, s->listen_fds, (size_t)n))
		return true;
	cli_complain_config(s->cmd, s->config);
	return false;
}

/* As the configuration has it. NULL after an error. */
static struct io *create_loop(const struct command *cmd, enum io_choice choice)
{
	struct io *io = choice == IO_EPOLL ? NULL : io_uring_create();
	const char *why = strerror(errno);
	if (io) {
		log_info("io: io_uring receives");
		return io;
	}
	if (choice == IO_URING) {
		cli_complain(cmd,
			"io: uring: kernel or container do not allow io_uring (%s); io: auto takes epoll "
			"then",
			why);
		return NULL;
	}
	if (choice == IO_AUTO)
		log_info("io: epoll, for kernel or container do not allow io_uring (%s)", why);
	io = io_epoll_create();
	if (!io)
		cli_complain(cmd, "cannot make an event loop: %s", strerror(errno));
	return io;
}

bool server_open(struct server *s, void (*on_signal)(struct signals *s, int signal))
{
	char error[SERVER_ERROR];
	if (!notify_init(&s->notify, error, sizeof error)) {
		cli_complain(s->cmd, "%s", error);
		return false;
	}
	process_raise_file_limit();
	signals_block();
	log_never_wait();
	s->io = create_loop(s->cmd, s->config->settings.io);
	if (!s->io)
		return false;
	int r = signals_watch(&s->signals, s->io, on_signal);
	if (r < 0)
		cli_complain(s->cmd, "cannot watch for signals: %s", strerror(-r));
	s->watches_signals = r == 0;
	return r == 0;
}

bool server_start(struct server *s)
{
	char error[SERVER_ERROR];
	if (s->config->store_is_default)
		store_default_make_directory(s->config->settings.store);
	s->reactor = reactor_create(s->io, &s->config->settings, error, sizeof error);
	if (s->reactor) {
		s->sources = (struct sources){ .io = s->io, .reactor = s->reactor };
		if (sources_follow(&s->sources, &s->config->settings, error, sizeof error))
			return true;
	}
	cli_complain(s->cmd, "%s", error);
	return false;
}

/* The file as it is now, with the flags of the command line; NULL after an error, which the log has. */
static struct config *read_again(const struct server *s, const struct fleet *fleet)
{
	struct config *c = config_create();
	if (!c)
		return NULL;
	memcpy(c->flags, s->config->flags, sizeof c->flags);
	c->n_flags = s->config->n_flags;
	if (config_read(c, s->file) && config_finish(c, s->use, s->listen_fds, s->n_listen_fds) &&
		(!fleet || config_take_fleet(c, fleet)))
		return c;
	for (size_t i = 0; i < c->n_errors && i < CONFIG_ERRORS_MAX; i++)
		log_error("reload: %s", c->errors[i]);
	config_destroy(c);
	return NULL;
}

/* Configurations that nothing refers to any more go. A fleet refers to the one that it was started with, the
 * oldest. */
static void drop_unused(struct server *s, const struct fleet *fleet)
{
	struct config **at = &s->config->older;
	while (*at) {
		struct config *c = *at;
		if (reactor_uses(s->reactor, &c->settings) || (fleet && !c->older)) {
			at = &c->older;
			continue;
		}
		*at = c->older;
		config_destroy(c);
	}
}

static void take_over(struct server *s, const struct fleet *fleet)
{
	char error[SERVER_ERROR];
	struct config *c = read_again(s, fleet);
	if (!c) {
		log_error("reload: nothing has changed");
		return;
	}
	if (!reactor_reload(s->reactor, &c->settings, error, sizeof error)) {
		log_error("reload: %s; nothing has changed", error);
		config_destroy(c);
		return;
	}
	c->older = s->config;
	s->config = c;
	drop_unused(s, fleet);
	if (!sources_follow(&s->sources, &c->settings, error, sizeof error))
		log_error("reload: %s; it is tried again with the next reload", error);
	log_info("reload: the configuration is taken over; where Berth listens, io, its log, status file and "
		 "store stay as they were");
}

void server_reload(struct server *s, const struct fleet *fleet)
{
	notify_reloading(&s->notify);
	take_over(s, fleet);
	notify_reloaded(&s->notify);
}

const char *server_url(const struct io_addr *addr, char url[SERVER_URL])
{
	char text[IO_ADDR_TEXT];
	io_addr_print(addr, true, text);
	snprintf(url, SERVER_URL, "%s%s", addr->sa.sa_family == AF_UNIX ? "" : "http://", text);
	return url;
}

void server_print_ready(struct server *s)
{
	const struct settings *settings = &s->config->settings;
	char text[SERVER_URL];
	struct io_addr addr;
	size_t n = 0, n_sources = 0;
	printf("berth: listening on ");
	for (size_t i = 0; reactor_front_addr(s->reactor, i, &addr); i++)
		printf("%s%s", i ? " and " : "", server_url(&addr, text));
	if (reactor_admin_addr(s->reactor, &addr))
		printf(", admin on %s", io_addr_print(&addr, true, text));
	for (size_t i = 0; i < settings->n_pools; i++) {
		n += settings->pools[i].n_containers;
		n_sources += settings->pools[i].n_sources;
	}
	printf(", %zu container%s", n, n == 1 ? "" : "s");
	if (n_sources)
		printf(", %zu source%s", n_sources, n_sources == 1 ? "" : "s");
	printf("\n");
	fflush(stdout);
	notify_ready(&s->notify, s->io, s->reactor);
}

void server_publish(const struct server *s, const struct runtime_info *about)
{
	struct runtime_info info = *about;
	char error[RUNTIME_ERROR];
	struct io_addr addr;
	if (reactor_front_addr(s->reactor, 0, &addr))
		io_addr_print(&addr, true, info.front);
	if (reactor_admin_addr(s->reactor, &addr))
		io_addr_print(&addr, true, info.admin);
	if (runtime_publish(s->config->fleet.name, &info, error) < 0)
		log_warning("%s; berth status and berth down will not find this fleet", error);
}

void server_drain(struct server *s)
{
	notify_stopping(&s->notify, s->config->settings.drain_timeout_us);
	reactor_drain(s->reactor);
}

void server_stop(struct server *s)
{
	notify_forget(&s->notify);
	sources_finish(&s->sources);
	reactor_destroy(s->reactor);
	s->reactor = NULL;
}

void server_finish(struct server *s)
{
	server_stop(s);
	notify_finish(&s->notify);
	if (s->watches_signals)
		signals_unwatch(&s->signals);
	io_epoll_destroy(s->io);
	free(s->file);
	while (s->config) {
		struct config *c = s->config;
		s->config = c->older;
		config_destroy(c);
	}
}
