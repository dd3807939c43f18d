/* runtime: the file by which `berth status`, `berth down` and `berth load` find a fleet that runs in the
 * foreground elsewhere.
 *
 * It is $XDG_RUNTIME_DIR/berth/NAME.json, else /run/user/UID/berth/NAME.json, else /tmp/berth-UID/NAME.json,
 * in a directory that nobody else may enter. It names the process by its id and start time, so that an id
 * that was given away anew is not taken for it.
 */
#pragma once
#include "base/check.h"
#include "io/io.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct runtime_info {
	pid_t pid;
	uint64_t start_time; /* field 22 of /proc/PID/stat */
	uint64_t containers;
	bool on_docker;           /* its containers are on a Docker Engine, and outlive it */
	char front[IO_ADDR_TEXT]; /* "127.0.0.1:8080"; "" while it starts */
	char admin[IO_ADDR_TEXT]; /* likewise */
};

enum { RUNTIME_ERROR = 800 };

enum { RUNTIME_PATH = 512 };

/* The path of the directory; it is there once a name was claimed. Returns path. */
const char *runtime_dir(char path[RUNTIME_PATH]);

/* Who runs under this name: 1 and *ret, 0 when nobody does, -1 with one line in error. */
MUST_USE int runtime_find(const char *name, struct runtime_info *ret, char error[RUNTIME_ERROR]);

/* This process runs under this name from now on, with about->containers and about->on_docker. 0; -1 with one
 * line in error, also when the name is taken. */
MUST_USE int runtime_claim(const char *name, const struct runtime_info *about, char error[RUNTIME_ERROR]);

/* Tells where the fleet answers. 0, or -1 with one line in error. */
MUST_USE int runtime_publish(const char *name, const struct runtime_info *info, char error[RUNTIME_ERROR]);

/* This process no longer runs under this name. */
void runtime_release(const char *name);

/* One process of this machine at a time changes the fleet of this name: a descriptor that holds the lock; -1 with one
 * line in error. runtime_unlock takes -1, too. */
MUST_USE int runtime_lock(const char *name, char error[RUNTIME_ERROR]);
void runtime_unlock(const char *name, int lock);

/* Asks the process that info speaks of to end, and waits until it is gone, as it may be already. 0, or
 * -errno. */
MUST_USE int runtime_end(const struct runtime_info *info);
