/* child: a process that this one started and looks after: its output line by line, its end.
 *
 * The process dies with the thread that started it, has a process group of its own (a terminal's Ctrl-C does
 * not reach it), and reads from /dev/null. Its standard output and standard error are one stream of lines.
 * Never:  blocks, but in child_finish.
 */
#pragma once
#include "base/check.h"
#include "io/io.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { CHILD_LINE = 1024 };

struct child;

struct child_ops {
	/* A line without its end; what is longer than CHILD_LINE - 1 bytes is cut. */
	void (*on_line)(struct child *c, const char *line);
	/* It has ended and is reaped; nothing comes after this, and c may be started again. code, status: as
	 * in siginfo_t (CLD_EXITED, …). */
	void (*on_exit)(struct child *c, int code, int status);
};

struct child {
	const struct child_ops *ops; /* borrowed, static */
	struct io *io;               /* borrowed */
	pid_t pid;                   /* 0: none */
	struct io_watch end;         /* pidfd */
	struct io_watch output;      /* read end of the pipe, or -1 */
	size_t line_len;
	bool line_cut; /* the rest of this line is dropped */
	char line[CHILD_LINE];
};

/* c must not be running. argv: NULL-terminated, argv[0] is a path. A program that cannot be run shows as a
 * line and exit code 127. 0 or -errno. */
MUST_USE int child_start(
	struct child *c, struct io *io, const struct child_ops *ops, const char *const argv[]);

static inline bool child_is_running(const struct child *c)
{
	return c->pid != 0;
}

void child_signal(struct child *c, int signal);

/* Kills it, if it runs, and waits for its end; on_exit does not come. */
void child_finish(struct child *c);
