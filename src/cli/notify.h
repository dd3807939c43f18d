/* notify: tells the service manager how the server is (sd_notify(3)): a datagram of lines to the socket that
 * $NOTIFY_SOCKET names. Without one, nothing is done.
 */
#pragma once
#include "base/check.h"
#include "io/io.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct reactor;

struct notify {
	struct io_addr to;             /* len 0: nobody wants to know */
	int fd;                        /* owned, if somebody does */
	struct io *io;                 /* borrowed */
	const struct reactor *reactor; /* borrowed; what the status is of */
	struct io_timer timer;         /* the next look at the status, and the next sign of life */
	uint64_t watchdog_us;          /* after so long without a sign of life we are killed; 0: not so */
	char status[128];              /* as it was told */
};

/* Reads and removes $NOTIFY_SOCKET, $WATCHDOG_USEC and $WATCHDOG_PID, so that no child speaks for us. False,
 * with one line, when that socket cannot be. */
MUST_USE bool notify_init(struct notify *n, char *error, size_t error_size);

/* Also of one that is all zeroes. */
void notify_finish(struct notify *n);

/* It serves; from now on its counts are told when they change, and signs of life are sent. */
void notify_ready(struct notify *n, struct io *io, const struct reactor *reactor);

/* The configuration is read again; notify_reloaded, when that is over. */
void notify_reloading(const struct notify *n);
void notify_reloaded(const struct notify *n);

/* It ends, and may take so long. */
void notify_stopping(const struct notify *n, uint64_t patience_us);

/* The reactor goes. */
void notify_forget(struct notify *n);
