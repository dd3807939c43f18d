/* backend: what the shell keeps of a container, and the watch over it: tries it while it is down, probes it
 * while it is idle.
 *
 * A probe takes a slot like a request, and only of a container with nothing in flight: a model server that
 * infers on its only thread is busy then, not dead, and its requests' time-outs watch it.
 * Owns:  the upstreams, one for each slot.
 */
#pragma once
#include "base/str.h"
#include "core/pool.h"
#include "fleet/source.h"
#include "gateway/settings.h"
#include "gateway/upstream.h"
#include "io/io.h"

struct route;

struct backend {
	struct container_settings settings;
	char host[IO_ADDR_TEXT];      /* of its probes: what their Host says */
	struct route *route;          /* borrowed: the owner */
	struct container *container;  /* borrowed */
	struct io_timer timer;        /* the next try or probe */
	bool warned;                  /* of a probe that is answered 404, 405 or 501 */
	bool check;                   /* a kept-alive connection has ended: is it still there? */
	bool waiting;                 /* for its address, where one that leaves is still at work */
	bool leaving;                 /* draining, and removed once it is at rest */
	bool held;                    /* draining by an operator's word */
	bool retiring;                /* draining by its source's word */
	bool by_hand;                 /* added over the admin listener: it stays whatever else is told */
	char generation[SOURCE_NAME]; /* that its source has told; "": none */
	struct upstream upstreams[];  /* by slot: container->n_slots */
};

bool backend_is_at(const struct backend *b, const struct io_addr *addr);

/* A container joins the pool; it is tried in the next turn. NULL without memory. */
struct backend *backend_add(struct route *route, const struct container_settings *settings);

/* Another backend with its address has yet to leave: it is not tried before backend_begin, for else the
 * container would run more requests than it has slots. */
void backend_wait(struct backend *b);
void backend_begin(struct backend *b);

/* It gets nothing new, and is removed at the end of the turn in which it comes to rest. */
void backend_leave(struct backend *b);

/* It is wanted again, before it has left. */
void backend_stay(struct backend *b);

/* An operator, or its source, wants it to get nothing new, or takes that back. */
void backend_hold(struct backend *b, bool held);
void backend_retire(struct backend *b, bool retiring);

/* At rest: forgets it and its container. */
void backend_remove(struct backend *b);

/* The same at once, for the end: exchanges that are with it are buried, its container is left to pool_finish.
 */
void backend_destroy(struct backend *b);

static inline struct backend *backend_of(const struct container *c)
{
	return c->shell;
}

static inline struct upstream *upstream_of(const struct slot *s)
{
	return s->shell;
}

/* The container's state was `before`, or its slots may have changed: connections that are of no use are
 * closed, the next try is set, the status file is due. */
void backend_note(struct backend *b, enum container_state before);

/* After a failure: while the container is not UP it is tried again at its retry_at_us. */
void backend_retry_later(struct backend *b);

/* The route has other settings: what is timed by the old ones comes no later than by these. */
void backend_follow(struct backend *b);

/* A probe of this path was answered, alive. */
void backend_probed(struct backend *b, const char *path, int status);

/* An idle connection has ended: connects again to see whether the container is there. */
void backend_check_soon(struct backend *b);
