/* settings: everything that the gateway can be told, as plain values. The command line and berth.yaml fill
 * it; settings_default holds the defaults, which the documentation quotes.
 *
 * Strings are borrowed from whoever filled the struct and stay good as long as the gateway runs.
 * Units are in the names. A limit of 0 means 'none' only where it says so.
 */
#pragma once
#include "base/str.h"
#include "core/pool.h"
#include "core/retry.h"
#include "fleet/source.h"
#include "io/io.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HEAD_BYTES_MAX = 64 * 1024 }; /* of limits.head, and of an answer's head */

enum leave_policy { LEAVE_FINISH, LEAVE_CLOSE };
enum job_retry { JOB_RETRY_ALWAYS, JOB_RETRY_NEVER };

struct container_settings {
	char name[64];   /* "container1"; the key in the status file and the label in metrics */
	char worker[64]; /* "worker1", or "" */
	struct io_addr addr;
	struct io_addr near; /* a shorter way to it, on this machine, taken while it is open; len 0: none */
	uint32_t place;      /* in the configuration's list, for errors */
};

struct health_settings {
	const char *path;        /* NULL: no probes; connects and the requests themselves tell */
	uint64_t interval_us;    /* 2 s; ±10 % jitter */
	uint64_t timeout_us;     /* 1 s */
	uint32_t fall;           /* 3 failures in a row take a container out (a refused connection at once) */
	uint32_t rise;           /* 1 success brings it back */
	uint64_t backoff_min_us; /* 100 ms: first pause before a lost container is tried again; doubles … */
	uint64_t backoff_max_us; /* 5 s */
};

/* How a container tells that it has nothing in flight, for on_leave: close and for the start. */
struct idle_probe_settings {
	const char *path;   /* NULL: none */
	const char *expect; /* what the body must contain; NULL: any 2xx */
};

struct timeout_settings {
	uint64_t connect_us;    /* 1 s */
	uint64_t first_byte_us; /* 60 s, from the dispatch */
	uint64_t idle_us;       /* 60 s between two pieces of an answer */
	uint64_t total_us;      /* 10 min, from the dispatch */
	uint64_t tunnel_us;     /* 1 h in which nothing passes after a switch of protocols */
};

struct pool_settings {
	const char *name;           /* "default" */
	const char *host;           /* "*", "example.org", "*.example.org" */
	const char *path_prefix;    /* "/"; the longest that fits wins */
	const char *submit_path;    /* "/new_request"; NULL: none */
	const char *submit_forward; /* "/run_model" */
	struct container_settings *containers;
	size_t n_containers;
	const char **sources; /* further containers are those that they know: texts that source_check takes */
	size_t n_sources;
	uint32_t slots;             /* 1 each container */
	uint32_t queue_max;         /* 10000 exchanges */
	uint64_t queue_max_bytes;   /* 256 MiB of waiting requests */
	uint64_t queue_max_wait_us; /* 60 s */
	enum retry_rule retry;      /* safe */
	enum leave_policy on_leave; /* finish */
	enum job_retry job_retry;   /* always: a job runs at least once; never: at most once */
	uint32_t job_attempts;      /* 3 */
	uint64_t job_ttl_us;        /* 0: a job may wait for ever */
	struct idle_probe_settings idle_probe;
	uint64_t zombie_timeout_us; /* 60 s: a given-up request that is not over by then takes its container
				       out */
	uint32_t retry_percent;     /* 20: retries allowed in the last 10 s, as a share of the requests … */
	uint32_t retry_min;         /* 10: … or at least so many */
	uint32_t retry_buffer_bytes; /* 64 KiB of an answer are held back so that it can be tried again
					(retry: always) */
	const char *busy_header;     /* NULL, or "Berth-Busy": an answer of busy_status with this field means
					'busy' */
	int busy_status;             /* 0: none */
	struct health_settings health;
	struct timeout_settings timeouts;
};

static inline bool pool_names_containers(const struct pool_settings *p)
{
	return p->n_containers || p->n_sources;
}

enum io_choice {
	IO_AUTO, /* io_uring where it may be used, else epoll */
	IO_EPOLL,
	IO_URING, /* or it is an error */
};

struct settings {
	struct io_addr *listen; /* at least one, unless sockets were handed over */
	size_t n_listen;
	const int *listen_fds; /* sockets handed over by systemd, already listening */
	size_t n_listen_fds;
	struct io_addr admin;     /* len 0: no admin listener */
	const char **admin_hosts; /* further names that the admin listener's Host may have */
	size_t n_admin_hosts;
	const char *status_file; /* NULL: none */
	const char *access_log;  /* NULL: off; "stderr"; or a path, reopened on SIGUSR1 */
	const char *
		*trusted_proxies; /* addresses or networks ("10.0.0.0/8") whose X-Forwarded-For is believed */
	size_t n_trusted_proxies;
	uint32_t max_connections;             /* 50000 clients */
	uint32_t max_connections_per_address; /* 0: no limit of its own; IPv6: a /64 */
	uint32_t max_head_bytes;              /* 16 KiB */
	uint64_t max_body_bytes;              /* 64 MiB */
	uint32_t body_memory_bytes;           /* 1 MiB: what is longer goes to a spool file */
	uint64_t memory_limit_bytes;          /* 1 GiB of request and answer bytes in all */
	uint64_t spool_max_bytes;             /* 4 GiB in spool files in all */
	uint64_t client_head_us;              /* 10 s for a request's head, from its first byte */
	uint64_t client_body_us;              /* 30 s between two pieces of a request's body */
	uint64_t client_idle_us;              /* 75 s between two requests */
	uint64_t client_send_us;              /* 60 s in which a client takes nothing of its answer */
	uint32_t client_body_rate;            /* 500 bytes a second of a body, over client_body_us; 0: any */
	uint32_t client_send_rate;  /* 500 bytes a second of an answer, over client_send_us; 0: any */
	const char *store;          /* "memory", "sqlite:PATH" */
	const char **store_headers; /* of Authorization and Cookie, those that may be written to the store */
	size_t n_store_headers;
	uint32_t jobs_max;              /* 10000 jobs that are not over */
	uint64_t jobs_max_records;      /* 100000 kept in all */
	uint64_t jobs_max_bytes;        /* 1 GiB of their requests and results */
	uint64_t jobs_max_result_bytes; /* 64 MiB of one result */
	uint64_t jobs_max_age_us;       /* 1 h: a result is kept so long after the end */
	uint64_t jobs_record_age_us;    /* 1 d: the record too */
	uint64_t jobs_key_age_us;       /* 1 d: an Idempotency-Key holds so long after the end */
	uint64_t drain_timeout_us;      /* 30 s */
	struct source_settings sources;
	enum io_choice io;     /* epoll */
	bool spin;             /* false: sleeps whenever there is nothing to do */
	uint32_t spin_share;   /* 10: % of a core that may be polled away */
	bool half_close_waits; /* false: a client's FIN after its request means that it has left */
	struct pool_settings *pools;
	size_t n_pools;
};

/* All defaults, no listener, no pool. */
void settings_default(struct settings *s);

/* A pool's defaults: everything but name and containers. */
void pool_settings_default(struct pool_settings *p);

/* False for port 0, link-local addresses and those at which clouds keep their metadata: requests must not be
 * led there. */
bool container_addr_is_allowed(const struct io_addr *addr);

/* May this field be written to the store? Only Authorization and Cookie need to be named for it. */
bool settings_store_header(const struct settings *s, struct str name);
