/* sources: the sources of containers that a configuration names, at work for a reactor.
 *
 * Owns:   each source, with the pool that it is for.
 */
#pragma once
#include "base/check.h"
#include "gateway/gateway.h"

#include <stdbool.h>
#include <stddef.h>

struct live_source;

struct sources {
	struct io *io;             /* borrowed */
	struct reactor *reactor;   /* borrowed */
	struct live_source **list; /* owned, each as well */
	size_t n;
};

/* Those that the settings name begin to work, those that they do not name any more end; those that are in
 * both go on, unless what sources are told has changed. False with one line in `error`: those that are
 * missing then begin with the next call. */
MUST_USE bool sources_follow(
	struct sources *s, const struct settings *settings, char *error, size_t error_size);

/* Ends them all, before the reactor goes. */
void sources_finish(struct sources *s);
