/* engine: the Docker Engine API (https://docs.docker.com/engine/api/), by libcurl over a unix socket or TCP.
 *
 * Calls block, and run side by side. What an engine answers as an error becomes one line in call->why, also
 * where it says so only in the body of a 200, as /images/load and /images/create do.
 */
#pragma once
#include "base/check.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	ENGINE_WHERE = 300,
	ENGINE_WHY = 700,
	ENGINE_PATH = 1600,
	ENGINE_AT_ONCE = 16,
	ENGINE_ANSWER_MAX = 64 << 20
};

struct engine {
	char where[ENGINE_WHERE];  /* for people: "/var/run/docker.sock", "10.0.0.7:2375" */
	char socket[ENGINE_WHERE]; /* "": TCP */
	char base[ENGINE_WHERE];   /* "http://localhost/v1.41" */
	long silence_s;            /* 5 min: a call that nothing comes of for so long has failed */
	/* Looked at every 100 ms while a call runs: true gives up streams and what is endless, and no other
	 * call begins. NULL: never. */
	bool (*is_over)(void *user);
	void *user;
};

struct engine_call {
	const char *method;
	char path[ENGINE_PATH]; /* from '/' on, without the version */
	const char *type;       /* of the body; NULL: none */
	const char *body;       /* borrowed */
	size_t body_bytes;
	int file; /* the body instead, from its start; only with file_bytes */
	uint64_t file_bytes;
	/* The answer is a stream of lines: each is given here as it comes, and not kept. NULL: it is kept. */
	void (*on_line)(struct engine_call *call, const char *line);
	/* The call has ended, the fields below say how. NULL: nobody is told. */
	void (*on_done)(struct engine_call *call);
	void *user;
	bool endless; /* there may be long silences */

	int status;   /* 0: there was no answer */
	char *answer; /* owned, NUL-terminated; NULL: empty. engine_call_finish */
	size_t answer_bytes;
	char why[ENGINE_WHY]; /* "": it went well (2xx and 304) */
};

/* host: NULL means DOCKER_HOST, and without that unix:///var/run/docker.sock. Asks the engine which version
 * of its API it speaks. False with one line in why. */
MUST_USE bool engine_open(
	struct engine *e, const char *host, bool (*is_over)(void *user), void *user, char why[ENGINE_WHY]);

/* A call without a body; the path is formatted. */
void engine_call_init(struct engine_call *c, const char *method, const char *path, ...) PRINTF(3, 4);
void engine_call_finish(struct engine_call *c);

/* Runs them, at most ENGINE_AT_ONCE side by side, to the end of the last one. True when all went well. */
bool engine_run(struct engine *e, struct engine_call *calls, size_t n);
