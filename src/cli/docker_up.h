/* docker_up: berth up --on docker: what one run of it knows.
 *
 *   images ─▶ network ─▶ plan ─▶ make what is missing ─▶ orchestrator ─▶ wait until all are ready
 *     ─▶ what is too many leaves ─▶ what differs is replaced, worker by worker
 *
 * With --dry-run it goes as far as the plan, and tells it.
 *
 * With --orchestrator host this process is the orchestrator, in the end: it serves. Where one runs already,
 * it is told what has changed, as a container would be.
 *
 * What leaves is taken from the orchestrator's list first, and removed when nothing is in flight there. What
 * does not run is not listed and not waited for. A first run that fails, or is interrupted, removes what it
 * has made.
 */
#pragma once
#include "cli/deployment.h"
#include "cli/runtime.h"
#include "fleet/docker.h"
#include "fleet/image.h"

enum {
	DOCKER_FRONTS_MAX = 16,
	DOCKER_GENERATION = 13,
	DOCKER_WORDS_MAX = 12,
	DOCKER_LINE = DOCKER_ERROR + 300
};

struct docker_up {
	struct server *server;                    /* borrowed */
	const struct deployment_options *options; /* borrowed */
	const struct fleet_settings *fleet;       /* borrowed */
	struct docker docker;
	struct docker_recipe recipe;
	const char *command[DOCKER_WORDS_MAX], *health[DOCKER_WORDS_MAX]; /* of Berth's own image */
	char words[3][32];                                                /* that are in them */
	char tag[IMAGE_TAG], orchestrator_tag[IMAGE_TAG];                 /* of Berth's own images */
	char orchestrator_id[DOCKER_ID];
	char sockets[DOCKER_NAME];   /* the volume, or on this machine the directory, of the recipe */
	int lock;                    /* owned: no other run changes the fleet; -1: not held */
	bool looked;                 /* this run knows what was there before it */
	bool existed;                /* some of this fleet was */
	bool claimed;                /* this process has the fleet's name: it will be the orchestrator */
	bool runs_here;              /* another process of this machine is the orchestrator */
	char why[DOCKER_LINE + 500]; /* it has failed; "": not, or that was told */
	size_t n_would;              /* --dry-run: things that would be done */
	struct io_addr front;        /* where the orchestrator is reached from here */
};

/* Keep why the run fails, docker.error or what is said here, for one line at its end; false. */
bool docker_up_complain(struct docker_up *u);
bool docker_up_fail(struct docker_up *u, const char *fmt, ...) PRINTF(2, 3);

/* A line that is written over on a terminal, and left out elsewhere. */
void docker_up_tell(const struct docker_up *u, const char *fmt, ...) PRINTF(2, 3);

/* --dry-run: a line that tells what would be done. */
void docker_up_would(struct docker_up *u, const char *fmt, ...) PRINTF(2, 3);

/* Takes that line away. */
void docker_up_clear(const struct docker_up *u);

/* ---- docker_images.c: both false after a complaint ---- */

/* The image of the containers, and of the orchestrator where it is a container: made, loaded or pulled as
 * needed. Fills in the recipe. */
MUST_USE bool docker_up_images(struct docker_up *u);

/* ---- docker_front.c ---- */

/* The orchestrator as a container, with its files, running and as it shall be. Where it cannot be made, one that ran
 * before runs again. */
MUST_USE bool docker_up_orchestrator(struct docker_up *u);

/* What would become of it. False after a complaint. */
MUST_USE bool docker_up_orchestrator_fate(struct docker_up *u, enum docker_fate *ret);

/* Tells the orchestrator which containers there are: those that `wanted` is true for. */
MUST_USE bool docker_up_list(struct docker_up *u,
	bool (*wanted)(const struct docker_container *c, uint32_t batch), uint32_t batch);

/* ---- docker_wait.c ---- */

/* What the orchestrator knows containers of this spec by. Returns ret. */
const char *docker_up_generation(const char *spec, char ret[DOCKER_GENERATION]);

/* Waits until it has those that were told last and no others, and, with `all_up`, until all of them that stay
 * are up. Within fleet.ready_timeout. */
MUST_USE bool docker_up_wait(struct docker_up *u, bool all_up);

/* ---- docker_dry.c ---- */

/* Tells what the plan would do. */
MUST_USE bool docker_up_tell_plan(struct docker_up *u);

/* ---- docker_host.c: the orchestrator as a process of this machine ---- */

/* Is there one, and may this run be? False after a complaint. */
MUST_USE bool docker_host_find(struct docker_up *u);

/* Undoes docker_host_find. */
void docker_host_forget(const struct docker_up *u);

/* Makes the directory of u->sockets; "" where there can be none. False after a complaint. */
MUST_USE bool docker_host_sockets(struct docker_up *u);
void docker_host_remove_sockets(const char *fleet);

/* As docker_put_file of the list. False after a complaint. */
MUST_USE bool docker_host_list(struct docker_up *u, const char *text);

/* Serves until a signal; an exit code. */
int docker_host_serve(struct docker_up *u);

/* Ends one that runs, and waits until it is gone; *ret_pid: 0 when there was none. False with one line. */
MUST_USE bool docker_host_end(const char *fleet, pid_t *ret_pid, char error[RUNTIME_ERROR]);
