/* status_file: status.json, for what reads the file that the scripts kept: a report, never the truth.
 *
 * Replaced atomically after every change, at most every 100 ms, by the loop's other thread. A file that
 * cannot be written is reported once and tried again every second.
 */
#pragma once
#include "base/json.h"
#include "io/io.h"

#include <stdatomic.h>
#include <stdbool.h>

struct reactor;

struct status_file {
	struct reactor *reactor; /* borrowed: the owner */
	char *path;              /* owned */
	struct io_timer timer;
	struct io_task task;
	struct json text; /* the task's while it is under way */
	bool dirty, busy, failing;
	atomic_bool worked; /* the other thread is through with `text` */
	int err;            /* of the last try */
};

struct status_file *status_file_create(struct reactor *r, const char *path);

/* Writes the last state before it goes. */
void status_file_destroy(struct status_file *f);

/* Something has changed. */
void status_file_touch(struct status_file *f);

/* {"container1": {"ip": …, "port": …, "status": …, …}, …} */
void status_write(struct reactor *r, struct json *j);

/* One container's members, within an open object. */
struct route;
struct container;
void status_write_container(const struct route *route, const struct container *c, struct json *j);
