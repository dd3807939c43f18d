/* fleet: starts the containers of a pool, keeps them running, and takes them down.
 *
 * Words:  worker k is the machine with the k-th address; its containers are numbered on, so with two
 *         containers a worker, container3 is the first of worker2. All counting starts at 1.
 * Never:  blocks; calls back but from the loop.
 */
#pragma once
#include "base/check.h"
#include "fleet/aws_settings.h"
#include "io/io.h"

#include <stddef.h>
#include <stdint.h>

struct fleet;

/* Where the orchestrator of a fleet on Docker runs. */
enum fleet_orchestrator { FLEET_IN_CONTAINER, FLEET_ON_HOST };

enum fleet_place { FLEET_LOCAL, FLEET_DOCKER, FLEET_AWS };

struct fleet_settings {
	enum fleet_place
		on;       /* local: child processes on this machine; else a deployment (cli/deployment.h) */
	const char *name; /* of this fleet, unique among a user's; "default" */
	const char *program;     /* path of berth-worker */
	const char *model;       /* directory or .onnx file */
	uint32_t workers;        /* 4, at most FLEET_WORKERS_MAX */
	uint32_t containers;     /* 2 each worker */
	uint32_t slots;          /* 1 each container */
	uint32_t base_port;      /* 5000: first container's port on each worker; 0: the kernel chooses */
	bool sockets;            /* true: each also listens on a unix socket, for an orchestrator beside it */
	const char *socket_path; /* the directory that the sockets are in; NULL: there can be none */
	uint32_t delay_ms;       /* 0: each run is slowed by so much, for demonstrations */
	const char *image;       /* NULL: Berth's own; else a user's, with an HTTP server on base_port */
	enum fleet_orchestrator orchestrator;
	uint64_t memory_bytes; /* 1 GiB each container, swap included */
	uint32_t cpu_percent;  /* 100 each container: of one core; 0: no limit */
	uint32_t pids;         /* 256 processes and threads each container */
	bool writable_root;    /* false: a container writes to /tmp only */
	struct aws_settings aws;
	uint64_t ready_timeout_us; /* 5 m: until all are ready, else up has failed */
	const char *log;           /* where its owner puts the containers' lines: "stderr" or a file */
	uint64_t backoff_min_us;   /* 100 ms: pause before the first restart; doubles … */
	uint64_t backoff_max_us;   /* 5 s */
	uint64_t healthy_us;       /* 10 s: a container that was up so long starts again from backoff_min */
	uint64_t stop_timeout_us;  /* 5 s from SIGTERM to SIGKILL */
};

enum { FLEET_WORKERS_MAX = 250, FLEET_CONTAINERS_MAX = 1000 };

struct fleet_container {
	uint32_t number;     /* 1 … */
	char name[32];       /* "container3" */
	char worker[32];     /* "worker2" */
	struct io_addr addr; /* with base_port 0 the port is 0 until the container is up for the first time */
	struct io_addr near; /* its unix socket; len 0: it listens on none */
};

/* All but on_stopped may be NULL. The containers named are borrowed from the fleet. */
struct fleet_events {
	/* It answers at c->addr, for the first time or again. */
	void (*on_up)(void *user, const struct fleet_container *c);
	/* It has ended and starts again in restart_us. why: "exit code 1", "signal 9 (Killed)", and what it
	 * said last where it was not up. */
	void (*on_down)(void *user, const struct fleet_container *c, const char *why, uint64_t restart_us);
	/* A line that it printed, without its end, cut at 1023 bytes. */
	void (*on_line)(void *user, const struct fleet_container *c, const char *line);
	/* It cannot be started at all; why: what it said last, or what is wrong. Comes at most once; the
	 * owner calls fleet_stop. */
	void (*on_failed)(void *user, const struct fleet_container *c, const char *why);
	/* After fleet_stop, in a later turn: none is left. The owner destroys the fleet when the callback has
	 * returned. */
	void (*on_stopped)(void *user);
};

/* All defaults but `program` and `model`. */
void fleet_settings_default(struct fleet_settings *s);

/* Starts all containers as child processes of this one (local.c): worker k listens on 127.0.1.k. A child is
 * killed when the thread that made this call ends. settings and events are borrowed for the fleet's life.
 * NULL without memory or descriptors; errno says why. */
MUST_USE struct fleet *fleet_local_create(
	struct io *io, const struct fleet_settings *settings, const struct fleet_events *events, void *user);

size_t fleet_size(const struct fleet *f);
const struct fleet_container *fleet_container(const struct fleet *f, size_t index);

/* Containers that are up now. */
size_t fleet_up(const struct fleet *f);

/* Asks every container to end; those that do not within stop_timeout are killed. Ends in on_stopped. A second
 * call kills at once. */
void fleet_stop(struct fleet *f);

/* Kills what is left, and waits for it. NULL is allowed. */
void fleet_destroy(struct fleet *f);
