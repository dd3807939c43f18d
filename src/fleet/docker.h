/* docker: what a fleet is on a Docker Engine, and the calls that make it so.
 *
 * A fleet called NAME is all that carries the label berth.fleet=NAME: a network called berth-NAME, the
 * containers berth-NAME-container1 … and, where it is not the host's, the orchestrator
 * berth-NAME-orchestrator with the volumes berth-NAME, of its files, and berth-NAME-sockets, which it shares
 * with the containers. What a container was made from is hashed into its label berth.spec, so that one
 * that differs from what is wanted is known.
 *
 * Addresses are fixed: container N is at the network's address + 2 + N, so that one that was stopped or
 * killed comes back where the orchestrator knows it.
 *
 * Errors: false with one line in d->error.
 */
#pragma once
#include "base/check.h"
#include "fleet/digest.h"
#include "fleet/engine.h"
#include "fleet/fleet.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	DOCKER_FRONT_PORT = 8080,
	DOCKER_NAME = 96,
	DOCKER_ID = 80,
	DOCKER_IP = 48,
	DOCKER_ERROR = ENGINE_WHY + 200
};

/* Where containers, and an orchestrator in one, have the directory of the sockets. */
#define DOCKER_SOCKET_DIR "/run/berth"

#define DOCKER_LABEL_FLEET  "berth.fleet"
#define DOCKER_LABEL_ROLE   "berth.role" /* container | orchestrator */
#define DOCKER_LABEL_WORKER "berth.worker"
#define DOCKER_LABEL_NUMBER "berth.number"
#define DOCKER_LABEL_PORT   "berth.port"
#define DOCKER_LABEL_SPEC   "berth.spec"

/* What is to be made of a container. */
enum docker_fate {
	DOCKER_KEEP,    /* it runs, and is as it shall be */
	DOCKER_START,   /* it only has to be started */
	DOCKER_REPLACE, /* it is another than it shall be */
	DOCKER_SURPLUS, /* there shall be none */
	DOCKER_CREATE,  /* it is not there yet: id is "" */
	DOCKER_GONE,    /* it was removed */
};

struct docker_container {
	enum docker_fate fate;
	bool orchestrator;
	bool listed; /* the orchestrator has been told of it */
	uint32_t number, worker;
	uint32_t
		batch; /* those of one are replaced together: a worker's, or of the only worker each by itself */
	char id[DOCKER_ID];
	char name[DOCKER_NAME + 32];
	char ip[DOCKER_IP];
	char spec[DIGEST_TEXT];
	char state[24];  /* the engine's word: "running", "exited", … */
	char status[64]; /* and its sentence: "Up 3 minutes (healthy)" */
	uint16_t front;  /* an orchestrator's published port; 0: none */
};

struct docker {
	struct engine engine;
	const struct fleet_settings *settings; /* borrowed */
	char prefix[DOCKER_NAME];              /* "berth-NAME": the network's and a volume's name too */
	char network_id[DOCKER_ID];            /* "": there is none */
	char subnet[DOCKER_IP];                /* "172.18.0.0/16" */
	bool has_volume, has_sockets;          /* the two volumes */
	char image_id[DOCKER_ID];              /* of the containers */
	char spec[DIGEST_TEXT];                /* what each container shall be made from */
	struct docker_container *list;         /* owned */
	size_t n, cap;
	/* Told when a container has been made, started or removed. NULL: nobody. */
	void (*on_progress)(struct docker *d);
	char error[DOCKER_ERROR];
};

/* Connects to the engine. is_over: gives up what runs. */
MUST_USE bool docker_open(
	struct docker *d, const struct fleet_settings *settings, bool (*is_over)(void *user), void *user);
void docker_close(struct docker *d);

/* Fills in what there is of the fleet. */
MUST_USE bool docker_look(struct docker *d);

/* ---- docker_image.c ---- */

/* *ret_id: "" when the engine has no such image. */
MUST_USE bool docker_find_image(struct docker *d, const char *name, char ret_id[DOCKER_ID]);

/* A tarball, read from its start. */
MUST_USE bool docker_load_image(struct docker *d, const char *name, int file, uint64_t bytes);

/* on_layers: told how many of the layers that are known so far are there. */
typedef void docker_layers_fn(struct docker *d, const char *name, size_t done, size_t all);
MUST_USE bool docker_pull_image(struct docker *d, const char *name, docker_layers_fn *on_layers);

/* ---- docker_make.c ---- */

MUST_USE bool docker_make_network(struct docker *d);
MUST_USE bool docker_make_volume(struct docker *d);

/* "berth-NAME-sockets" */
const char *docker_sockets_name(const struct docker *d, char ret[DOCKER_NAME]);

/* A volume in memory, gone when nobody uses it: sockets whose container was killed do not pile up. */
MUST_USE bool docker_make_sockets(struct docker *d, char ret_name[DOCKER_NAME]);

/* What the containers shall be made from: `image` with image_id. command: NULL-terminated, NULL: the image's
 * own. Computes d->spec. */
struct docker_recipe {
	const char *image;
	const char *const *command;
	const char *const *health; /* the command of its health check, likewise */
	uint16_t port;
	/* What is mounted at DOCKER_SOCKET_DIR: a volume's name, or the path of a directory of the host; each
	 * container is told to listen there, too. NULL: nothing. */
	const char *sockets;
};
MUST_USE bool docker_set_recipe(struct docker *d, const struct docker_recipe *recipe);

/* Decides each container's fate, and adds those that are to be created. */
MUST_USE bool docker_plan(struct docker *d);

/* Creates those that are to be created, starts them and those that are to be started, side by side. They are
 * DOCKER_KEEP then. */
MUST_USE bool docker_make(struct docker *d, const struct docker_recipe *recipe);

struct docker_front {
	char ip[DOCKER_IP]; /* of the host; "": all */
	uint16_t port;      /* of the host; 0: the engine chooses */
};

struct docker_orchestrator {
	const char *image;
	const char *spec;                  /* what it is made from, hashed */
	const struct docker_front *fronts; /* led to its ports 8080, 8081, … */
	size_t n_fronts;
	uint64_t stop_s;     /* from SIGTERM to SIGKILL */
	const char *sockets; /* as in the recipe */
};

/* It is created, and started when its files are there. */
MUST_USE bool docker_create_orchestrator(struct docker *d, const struct docker_orchestrator *o);
MUST_USE bool docker_start_orchestrator(struct docker *d);

/* One that has made place for another, under another name, until that one runs. */
struct docker_aside {
	bool ran;           /* false: there was none that ran */
	char id[DOCKER_ID]; /* "": there is none */
	char *files;        /* owned: a tarball of its configuration */
	size_t files_bytes;
};

/* The orchestrator finishes what it has, and stops; one that does not run is removed. */
MUST_USE bool docker_step_aside(struct docker *d, struct docker_aside *ret);

/* The new one is removed, and the old one has its name and its files again, and runs. */
MUST_USE bool docker_bring_back(struct docker *d, struct docker_aside *aside);
MUST_USE bool docker_forget_aside(struct docker *d, const struct docker_aside *aside);

/* A file in the orchestrator's state directory, replaced. */
MUST_USE bool docker_put_file(struct docker *d, const char *name, const char *text);

/* The last lines that a container has said, as one line; "" when it said nothing. */
void docker_last_words(struct docker *d, const struct docker_container *c, char *text, size_t size);

/* Removes those for which `wanted` is true, side by side, whether they run or not; they get SIGTERM first and
 * ten seconds. */
MUST_USE bool docker_remove(struct docker *d, bool (*wanted)(const struct docker_container *c));
MUST_USE bool docker_remove_network(struct docker *d);
MUST_USE bool docker_remove_volumes(struct docker *d);

/* "/run/berth/container3.sock", in front of which `directory` may be another. */
enum { DOCKER_SOCKET = 200 };
const char *docker_socket(const char *directory, uint32_t number, char ret[DOCKER_SOCKET]);

/* ---- the list ---- */

/* An empty one at its end; NULL without memory. */
struct docker_container *docker_append(struct docker *d);

/* NULL: there is none. */
struct docker_container *docker_orchestrator(struct docker *d);
