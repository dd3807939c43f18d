/* config: berth.yaml, the flags and the defaults, made into settings.
 *
 * Order:   config_create (defaults), config_flag for each flag, config_read, config_finish.
 * Errors:  are collected, each with its place: "berth.yaml:12:7: queue.max: expected a number, found "many"",
 *          or "--queue-max: …" for a flag.
 * Owns:    all strings and arrays that settings and fleet point to.
 */
#pragma once
#include "base/arena.h"
#include "base/check.h"
#include "cli/schema.h"
#include "fleet/fleet.h"
#include "gateway/settings.h"

#include <stdbool.h>
#include <stddef.h>

enum { CONFIG_ERRORS_MAX = 16, CONFIG_FLAGS_MAX = 64, CONFIG_LINE = 400, CONFIG_PATH = 96 };

/* What the configuration is meant for. */
enum config_use {
	CONFIG_SERVE, /* every pool names its containers, or who knows them */
	CONFIG_UP,    /* one pool gets the fleet's */
	CONFIG_CHECK, /* as its fleet section says */
	CONFIG_FIND,  /* only that section counts: it tells where the fleet is */
};

struct config_source;

struct config_flag {
	const struct key *key; /* borrowed, static */
	struct str value;      /* as given; borrowed from the arguments */
};

struct config {
	struct config *older; /* owned: those before it that something still refers to */
	struct settings settings;
	struct fleet_settings fleet;
	struct io_addr default_listen[1];
	bool has_fleet;        /* the file has a fleet section, or a fleet is what this is for */
	bool store_is_default; /* store: auto has become a database of the fleet's */
	size_t fleet_pool;     /* index of the pool that gets the fleet's containers; n_pools: none */
	struct arena arena;    /* owned */
	struct config_source
		*source; /* owned: the file as read, for the places of errors; NULL without a file */
	struct config_flag flags[CONFIG_FLAGS_MAX];
	size_t n_flags;
	char errors[CONFIG_ERRORS_MAX][CONFIG_LINE];
	size_t n_errors; /* all of them, also those that found no room */
};

/* NULL without memory. */
MUST_USE struct config *config_create(void);
void config_destroy(struct config *c);

/* Notes a flag's value, which overrides the file. A list's flag may come again and adds to the list; its
 * values are separated by commas. */
void config_flag(struct config *c, const struct key *key, const char *value);
bool config_has_flag(const struct config *c, const struct key *key);

/* Reads a file; NULL: ./berth.yaml where there is one. False after an error. */
bool config_read(struct config *c, const char *path);

/* Likewise, from text; name stands in errors. */
bool config_read_text(struct config *c, const char *name, const char *text, size_t len);

/* Applies the flags, fills what is left in, and checks how the values fit together. listen_fds[0..n): sockets
 * that were handed over, borrowed; with them, the default listener is left out. False after an error. */
bool config_finish(struct config *c, enum config_use use, const int *listen_fds, size_t n_listen_fds);

/* Gives the fleet's containers to their pool. False without memory. */
MUST_USE bool config_take_fleet(struct config *c, const struct fleet *fleet);

/* Notes an error of the setting at this path ("pools[0].queue.max"), whether a flag or the file has set it.
 */
void config_error(struct config *c, const char *path, const char *fmt, ...) PRINTF(3, 4);

/* Notes an error whose place is in `fmt` already. */
void config_error_line(struct config *c, const char *fmt, ...) PRINTF(2, 3);

/* ---- config_yaml.c, config_check.c: the parts of the above ---- */

struct config_place {
	size_t line, column; /* counted from 1 */
};

void config_source_destroy(struct config_source *source);
const char *config_source_name(const struct config_source *source);

/* Where the value at this path is, or else the nearest thing above it. */
struct config_place config_source_place(const struct config_source *source, const char *path);

/* How the values fit together. */
void config_check(struct config *c, enum config_use use);
