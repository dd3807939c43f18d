/* process: what a server owes to its surroundings: signals as events, handed-over sockets, the limit of open
 * files. */
#pragma once
#include "base/check.h"
#include "io/io.h"

#include <stddef.h>

enum { LISTEN_FDS_MAX = 64 };

/* SIGTERM, SIGINT, SIGUSR1 and SIGHUP as events of the loop. */
struct signals {
	struct io_watch watch;
	struct io *io; /* borrowed */
	void (*on_signal)(struct signals *s, int signal);
};

/* Holds the signals back from their default action, and ignores SIGPIPE and SIGXFSZ. Before any thread is
 * started. */
void signals_block(void);

/* 0 or -errno. */
MUST_USE int signals_watch(
	struct signals *s, struct io *io, void (*on_signal)(struct signals *s, int signal));
void signals_unwatch(struct signals *s);

/* Sockets that the service manager handed over (sd_listen_fds(3): LISTEN_PID, LISTEN_FDS, numbers from 3 on),
 * so marked that no child gets them. Returns how many, or -1 with one line in error when one of them does not
 * listen. */
MUST_USE int process_listen_fds(int fds[LISTEN_FDS_MAX], char *error, size_t error_size);

/* Raises the limit of open files as far as it goes without privileges. */
void process_raise_file_limit(void);
