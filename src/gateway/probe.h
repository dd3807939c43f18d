/* probe: the watch over containers: tries those that are down, probes those that are idle.
 *
 * A probe takes a slot like a request, and only of a container with nothing in flight: a model server that
 * infers on its only thread is busy then, not dead, and its requests' time-outs watch it.
 */
#pragma once
#include "base/str.h"
#include "core/pool.h"
#include "gateway/settings.h"
#include "io/io.h"

struct route;

/* The timer that tries or probes one container. */
struct watcher {
	struct io_timer timer;
	struct route *route;         /* borrowed: the owner */
	struct container *container; /* borrowed */
	bool warned;                 /* of a probe that is answered 404, 405 or 501 */
	bool check;                  /* a kept-alive connection has ended: is it still there? */
};

void watcher_start(struct watcher *w, struct route *route, struct container *c);

/* The container's state was `before`. */
void watcher_state_changed(struct watcher *w, enum container_state before);

/* After a failure: while the container is DOWN it is tried again at its retry_at_us. */
void watcher_retry_later(struct watcher *w);

/* A probe was answered, alive. */
void watcher_probed(struct watcher *w, int status);

/* An idle connection has ended: connects again to see whether the container is there. */
void watcher_check_soon(struct watcher *w);

const struct container_settings *watcher_container(const struct watcher *w);

/* The probe's request, into buf. */
struct str watcher_probe_text(const struct watcher *w, char *buf, size_t size);
