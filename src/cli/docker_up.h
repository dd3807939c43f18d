/* docker_up: berth up --on docker: what one run of it knows.
 *
 *   images ─▶ network ─▶ plan ─▶ make what is missing ─▶ orchestrator ─▶ wait until all are ready
 *     ─▶ what is too many leaves ─▶ what differs is replaced, worker by worker
 *
 * What leaves is taken from the orchestrator's list first, and removed when nothing is in flight there. A
 * first run that fails, or is interrupted, removes what it has made.
 */
#pragma once
#include "cli/deployment.h"
#include "fleet/docker.h"
#include "fleet/image.h"

enum { DOCKER_FRONTS_MAX = 16, DOCKER_WORDS_MAX = 12, DOCKER_LINE = DOCKER_ERROR + 300 };

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
	bool existed;         /* some of this fleet was there before this run */
	struct io_addr front; /* where the orchestrator is reached from here */
};

/* Tells docker.error; false. */
bool docker_up_complain(const struct docker_up *u);

/* A line that is written over on a terminal, and left out elsewhere. */
void docker_up_tell(const struct docker_up *u, const char *fmt, ...) PRINTF(2, 3);

/* Takes that line away. */
void docker_up_clear(const struct docker_up *u);

/* ---- docker_images.c: both false after a complaint ---- */

/* The image of the containers, and of the orchestrator where it is a container: made, loaded or pulled as
 * needed. Fills in the recipe. */
MUST_USE bool docker_up_images(struct docker_up *u);

/* ---- docker_front.c ---- */

/* The orchestrator as a container, with its files, running and as it shall be. */
MUST_USE bool docker_up_orchestrator(struct docker_up *u);

/* Tells the orchestrator which containers there are: those that run and that `wanted` is true for. */
MUST_USE bool docker_up_list(struct docker_up *u,
	bool (*wanted)(const struct docker_container *c, uint32_t worker), uint32_t worker);

/* Waits until it has those that were told last and no others, and, with `all_up`, until all of them are up.
 * Within fleet.ready_timeout. */
MUST_USE bool docker_up_wait(struct docker_up *u, bool all_up);
