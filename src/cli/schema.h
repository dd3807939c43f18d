/* schema: every key that the configuration has, in one table: it reads berth.yaml, names the flags, writes
 * the help.
 *
 * A row's path is the way to it in berth.yaml, dots between: "queue.max" of a pool. The flag of a key is its
 * path with dashes: --queue-max.
 */
#pragma once
#include "base/arena.h"
#include "base/check.h"
#include "base/str.h"
#include "fleet/fleet.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Which struct a key's offset counts from. */
enum scope {
	SCOPE_TOP,   /* struct settings */
	SCOPE_POOL,  /* struct pool_settings; in berth.yaml under pools[] */
	SCOPE_FLEET, /* struct fleet_settings; in berth.yaml under fleet */
	SCOPE_OWN,   /* a command's struct of options: flags only, in no file */
};

/* Of a fleet: the places where a key means something. */
enum {
	ON_LOCAL = 1 << FLEET_LOCAL,
	ON_DOCKER = 1 << FLEET_DOCKER,
	ON_AWS = 1 << FLEET_AWS,
};

enum kind {
	KIND_TEXT,       /* const char * */
	KIND_TEXT_OFF,   /* likewise; "off" is NULL */
	KIND_NUMBER,     /* an unsigned integer of `bytes` bytes */
	KIND_SIZE,       /* likewise, in bytes with a unit */
	KIND_DURATION,   /* uint64_t, microseconds */
	KIND_CHOICE,     /* an enum or bool of `bytes` bytes: an index into `choices` */
	KIND_ADDR_OFF,   /* struct io_addr; "off" has len 0 */
	KIND_ADDRS,      /* struct io_addr *, and a size_t at count_offset */
	KIND_TEXTS,      /* const char **, likewise */
	KIND_NETWORKS,   /* const char **, likewise: addresses or networks */
	KIND_CONTAINERS, /* of struct pool_settings: addresses go to its containers, the rest to its sources
			  */
	KIND_SWITCH,     /* bool; a flag without a value */
};

struct key {
	enum scope scope;
	enum kind kind;
	const char *path;
	size_t offset, bytes, count_offset;
	uint64_t least, most;       /* of numbers, sizes and durations */
	const char *const *choices; /* NULL-terminated */
	const char *fallback;       /* the value of a flag that is given without one; NULL: it needs one */
	const char *arg;            /* how the help calls the value */
	const char *doc;            /* one sentence, no full stop */
	unsigned only;              /* of a fleet: where it means something; 0: everywhere */
	bool locates;               /* of a fleet: says where it is, so that status and down need it too */
};

enum { SCHEMA_FLAG = 48, SCHEMA_COMPLAINT = 200 };

const struct key *schema_keys(size_t *ret_n);

/* The row with this path, or NULL. */
const struct key *schema_key(enum scope scope, struct str path);

/* True when rows lie below this path: it is a mapping. */
bool schema_is_mapping(enum scope scope, struct str path);

/* "queue-max"; returns flag. */
const char *schema_flag(const struct key *key, char flag[SCHEMA_FLAG]);

bool schema_is_list(const struct key *key);

/* Sets the key in the struct at `base` from texts[0..n): n is 1 unless the key is a list. Strings are copied
 * to the arena. On failure false, with one phrase in `complaint` and in *ret_bad the index of the text that
 * is bad. */
MUST_USE bool schema_set(const struct key *key, void *base, const struct str *texts, size_t n,
	struct arena *arena, char complaint[SCHEMA_COMPLAINT], size_t *ret_bad);

/* The value in the struct at `base` as it would be written, "" for an empty list; returns text. */
const char *schema_print(const struct key *key, const void *base, char *text, size_t size);

/* "1 to 10000" of a number, size or duration, "" of others; returns text. */
const char *schema_range(const struct key *key, char *text, size_t size);

/* False where a flag of this key would mean nothing to a fleet there, with "only with --on aws" in
 * complaint. */
MUST_USE bool schema_means_something(
	const struct key *key, enum fleet_place on, char complaint[SCHEMA_COMPLAINT]);

/* "pools[].queue.max", "fleet.model"; returns name. */
const char *schema_name(const struct key *key, char name[SCHEMA_FLAG]);
