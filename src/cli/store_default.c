#include "cli/store_default.h"

#include "base/str.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

const char *store_default(const char *fleet_name, struct arena *arena)
{
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	bool has_state = state && state[0] == '/'; /* others are to be ignored, says the XDG specification */
	if (!has_state && (!home || home[0] != '/'))
		return "memory";
	char *where = arena_alloc(arena, PATH_MAX);
	if (!where)
		return NULL;
	int n = snprintf(where, PATH_MAX, "sqlite:%s%s/berth/%s.db", has_state ? state : home,
		has_state ? "" : "/.local/state", fleet_name);
	return n < PATH_MAX ? where : "memory";
}

void store_default_make_directory(const char *store)
{
	char path[PATH_MAX];
	struct str text = str_of(store);
	if (!str_starts(text, STR("sqlite:/")))
		return;
	str_copy(path, sizeof path, str_skip(text, sizeof "sqlite:" - 1));
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		(void)mkdir(path, 0700);
		*slash = '/';
	}
}
