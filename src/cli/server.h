/* server: the orchestrator as a process runs it: configuration, loop, signals, reactor. `berth serve` is
 * nothing else; `berth up` has a fleet beside it.
 *
 * Order:  server_configure, server_open, server_start, io_epoll_run(s->io), server_finish. What fails has
 * complained.
 */
#pragma once
#include "cli/cli.h"
#include "cli/config.h"
#include "cli/notify.h"
#include "cli/process.h"
#include "cli/runtime.h"
#include "cli/sources.h"
#include "gateway/gateway.h"

enum { SERVER_ERROR = 512, SERVER_URL = IO_ADDR_TEXT + 8 };

struct server {
	const struct command *cmd; /* borrowed, static */
	struct config *config;     /* owned */
	struct io *io;             /* owned */
	struct reactor *reactor;   /* owned; NULL before server_start */
	struct sources sources;    /* that the configuration names */
	struct notify notify;      /* the service manager, if there is one */
	struct signals signals;
	bool watches_signals;
	int listen_fds[LISTEN_FDS_MAX];
	size_t n_listen_fds;
	char *file; /* owned: --config, or NULL */
	enum config_use use;
};

/* Finishes s->config, which has taken the flags (file: --config, or NULL). */
MUST_USE bool server_configure(
	struct server *s, const struct command *cmd, const char *file, enum config_use use);

/* Blocks the signals and makes the loop. */
MUST_USE bool server_open(struct server *s, void (*on_signal)(struct signals *s, int signal));

MUST_USE bool server_start(struct server *s);

/* Reads the file again, with the flags as they were given; fleet: whose containers go in, or NULL. A bad file
 * changes nothing, and the log says why. */
void server_reload(struct server *s, const struct fleet *fleet);

/* "berth: listening on http://127.0.0.1:8080, admin on 127.0.0.1:9091, 2 containers, 1 source", with the
 * ports that were chosen, on standard output; the service manager is told, too. */
void server_print_ready(struct server *s);

/* The runtime file tells where it answers, beside what is in `about`; a name was claimed (runtime.h). */
void server_publish(const struct server *s, const struct runtime_info *about);

/* reactor_drain, and the service manager is told. */
void server_drain(struct server *s);

/* "http://127.0.0.1:8080", or "unix:/path". Returns url. */
const char *server_url(const struct io_addr *addr, char url[SERVER_URL]);

/* Ends the reactor, and what tells it of containers; the loop stays. */
void server_stop(struct server *s);

/* Also of one that was not prepared to the end. */
void server_finish(struct server *s);
