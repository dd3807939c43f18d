/* gateway: one reactor's front: listeners, clients, exchanges, upstream connections, the admin listener and
 * the status file, around the core.
 *
 * Owns:   everything that hangs off struct reactor. Nothing is global, so a process may hold several.
 * Never:  blocks; touches the world but through struct io.
 */
#pragma once
#include "gateway/settings.h"
#include "io/io.h"

struct reactor;

/* Binds and makes ready; nothing is answered before the loop runs. settings are borrowed for the reactor's
 * life. On failure NULL, and `error` (of error_size bytes) holds one line that says what, where and what to
 * do. */
MUST_USE struct reactor *reactor_create(
	struct io *io, const struct settings *settings, char *error, size_t error_size);

/* Takes over a new configuration: pools and containers come and go, limits and times change, the queues stay.
 * Where it listens, the admin listener, the status file and the access log stay as they are. On success
 * `settings` is borrowed from now on; older ones may go as soon as reactor_uses says no. On failure nothing
 * has changed, and `error` holds one line. */
MUST_USE bool reactor_reload(
	struct reactor *r, const struct settings *settings, char *error, size_t error_size);

/* All the containers that a source of a pool knows now; what it knew before and is not among them leaves.
 * source: as in the pool's settings. Pools and sources that are not in the settings any more are passed over.
 * list is borrowed. */
void reactor_discover(struct reactor *r, const char *pool, const char *source,
	const struct source_container *list, size_t n);

/* The source cannot reach its authority; what is known of it stays. why: one phrase. */
void reactor_lose_sight(struct reactor *r, const char *pool, const char *source, const char *why);

/* True while something still refers to these settings: the newest, those of a pool that was dropped since, or
 * those by whose idle probe a container is asked whether a request that was given up is over. */
bool reactor_uses(const struct reactor *r, const struct settings *settings);

/* "7 of 8 containers are up, 1 drains; 7 requests run, 12 wait", cut at size. */
void reactor_summary(const struct reactor *r, char *text, size_t size);

/* Stops accepting; what runs and what is queued is finished within drain_timeout; then io_stop. A second call
 * stops at once. */
void reactor_drain(struct reactor *r);

/* Closes everything at once. The loop must not be in a turn. NULL is allowed. */
void reactor_destroy(struct reactor *r);

/* Reopens the access log (SIGUSR1). */
void reactor_reopen_log(struct reactor *r);

/* Where the front's listener `index` and the admin listener ended up, port 0 resolved. False when there is
 * none. */
bool reactor_front_addr(const struct reactor *r, size_t index, struct io_addr *ret_addr);
bool reactor_admin_addr(const struct reactor *r, struct io_addr *ret_addr);
