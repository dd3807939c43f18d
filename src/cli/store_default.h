/* store_default: where background requests are kept when nothing says where (store: auto).
 *
 * A fleet on this machine has a name, and so a database of its own: $XDG_STATE_HOME/berth/NAME.db, else
 * ~/.local/state/berth/NAME.db. berth serve has none, and keeps them in memory: two in one directory would
 * not share a file.
 */
#pragma once
#include "base/arena.h"
#include "base/check.h"

#include <stdbool.h>

#define STORE_AUTO "auto"

/* "sqlite:…" in the arena; "memory" where there is no home directory; NULL without memory. */
MUST_USE const char *store_default(const char *fleet_name, struct arena *arena);

/* Makes the directories that the path of such a store needs, for the owner alone. What fails shows when it is
 * opened. */
void store_default_make_directory(const char *store);
