/* reactor: what one loop's gateway consists of. Everything hangs off it.
 *
 * Owns:   routes, listeners, clients, exchanges, upstreams, jobs, and scratch memory that is good within one
 * callback.
 */
#pragma once
#include "base/json.h"
#include "base/list.h"
#include "base/objpool.h"
#include "base/rand.h"
#include "core/pool.h"
#include "core/retry.h"
#include "core/spin.h"
#include "gateway/buffer.h"
#include "gateway/discover.h"
#include "gateway/gateway.h"
#include "gateway/job.h"
#include "gateway/metrics.h"
#include "gateway/peers.h"
#include "gateway/trust.h"
#include "http/parse.h"
#include "io/io.h"

struct access_log;
struct status_file;

/* A request's head, which its Host may double, and what is added to it. */
enum { SCRATCH_BYTES = 2 * HEAD_BYTES_MAX + 4096 };

/* A pool with what the shell keeps beside the core. */
struct route {
	struct reactor *reactor;              /* borrowed: the owner */
	const struct pool_settings *settings; /* borrowed */
	struct pool pool;
	struct route_metrics metrics;
	struct retry_budget retry_budget;
	struct discovery *discoveries; /* owned: one for each of its sources */
	size_t n_discoveries;
	struct io_addr *dismissed; /* owned: containers that operators took out, though they are named */
	uint32_t n_dismissed;
	struct list aside; /* tickets' nodes, by number: of jobs whose start cannot be stored at the moment */
	bool gone;         /* not in the configuration any more: serves its queue, takes nothing new */
};

struct front {
	struct io_listener listener;
	struct reactor *reactor; /* borrowed: the owner */
	bool admin;
};

struct reactor {
	struct io *io;                   /* borrowed */
	const struct settings *settings; /* borrowed */
	struct front *fronts;            /* owned; the admin listener is the last if there is one */
	uint32_t n_fronts;
	struct route **routes; /* owned, each as well; longest prefix first, those that are gone last */
	uint32_t n_routes;
	uint32_t n_leaving; /* backends that go once they are at rest */
	struct objpool client_pool, exchange_pool, job_pool;
	struct list clients;      /* all that are connected to a front */
	struct list operators;    /* all that are connected to the admin listener */
	struct list dead_clients; /* graveyard, emptied at the end of the turn */
	struct list dead_exchanges;
	struct watch *dead_watches; /* likewise; linked by next */
	struct networks trusted;    /* owned */
	struct peers peers;
	struct budget budget;
	struct jobs jobs;
	struct metrics metrics;
	struct access_log *access_log;   /* owned; NULL: off */
	struct status_file *status_file; /* owned; NULL: none */
	struct rand rand;                /* for request ids and jitter */
	struct spin spin;
	struct io_polled polled; /* what the spin knows of */
	bool draining;
	struct io_timer drain_timer, log_timer;
	uint64_t started_us;
	uint64_t lack_told_us; /* when it was last said that containers cannot be connected; 0: never */
	/* scratch */
	struct http_head request_head, answer_head;
	struct json json;
	char scratch[SCRATCH_BYTES];
};

/* The state of a slot or a container has changed: the status file is due. */
void reactor_changed(struct reactor *r);

/* Gone, and nothing is left of it. */
static inline bool route_is_over(const struct route *route)
{
	return route->gone && route->pool.n_containers == 0;
}

/* The route of a request; NULL when no pool fits. host: with or without port. */
struct route *reactor_route(struct reactor *r, struct str host, struct str path);

/* A pool joins, without containers: the caller sorts the routes and applies their members afterwards.
 * -ENOMEM. */
MUST_USE int reactor_add_route(struct reactor *r, const struct pool_settings *ps);
void reactor_sort_routes(struct reactor *r);

/* The pool's limits, from its settings. */
struct pool_limits route_limits(const struct pool_settings *ps);

enum {
	REFUSED_CLIENTS = 64, /* connections past the limit that are told so at once */
	ADMIN_CLIENTS = 64,   /* further ones of the admin listener */
};

/* How many clients may be connected: limits.connections, or fewer where the process may not open as many
 * files: slots, operators, refusals, spool files and the process itself need theirs. */
uint32_t reactor_client_limit(const struct reactor *r);

/* A client has come or gone: the spool files may have what is left of the descriptors, and some in any case.
 */
void reactor_share_files(struct reactor *r);

/* How many connections past that are told so; how many operators there may be. Places of their own: neither a
 * full house of clients nor one of operators locks the others out. Fewer than usual where few files may be
 * open. */
uint32_t reactor_refused_places(const struct reactor *r);
uint32_t reactor_operator_places(const struct reactor *r);

/* All limits that are kept elsewhere than in the settings, at the start and at a reload. */
void reactor_set_limits(struct reactor *r, const struct settings *s);
