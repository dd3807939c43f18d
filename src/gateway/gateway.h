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
