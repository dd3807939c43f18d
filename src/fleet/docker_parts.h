/* docker_parts: what docker_make.c and docker_orchestrator.c share. */
#pragma once
#include "fleet/docker.h"

#include <jansson.h>

/* The fleet's addresses: 1 is the engine's own, 2 the orchestrator's. */
enum { DOCKER_FIRST_CONTAINER = 3 };

/* Sets d->error; false. */
bool docker_fail(struct docker *d, const char *fmt, ...) PRINTF(2, 3);

/* POST of a body, which is released; ret_id: the answer's Id, or NULL. what: begins the line of an error. */
MUST_USE bool docker_post(
	struct docker *d, const char *what, const char *path, json_t *body, char ret_id[DOCKER_ID]);

/* Fills in d->network_id and d->subnet. */
MUST_USE bool docker_look_at_network(struct docker *d);

/* The nth address of the network. */
MUST_USE bool docker_address(struct docker *d, uint32_t n, char ret[DOCKER_IP]);
void docker_set_address(json_t *body, const struct docker *d, const char *ip);

/* A volume, or where the source begins with '/', a directory of the host. */
json_t *docker_mount(const char *source, const char *target, bool read_only);

/* A HostConfig of what no container of Berth's may do. */
json_t *docker_confined(const struct docker *d, bool writable);
