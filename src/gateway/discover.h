/* discover: what a pool's sources know of its containers.
 *
 * Owns:   a discovery for each source of the pool's settings, with the last list that it has told.
 */
#pragma once
#include "fleet/source.h"

struct route;

enum discovery_state {
	DISCOVERY_UNHEARD,     /* has not told anything yet */
	DISCOVERY_HEARD,       /* `members` are all that there are */
	DISCOVERY_UNREACHABLE, /* its authority is out of reach: members as they were last known */
	DISCOVERY_STATES,
};

struct member {
	struct source_container told;
	bool clashes; /* another pool has a container at this address: it was said that this one is left out
		       */
};

struct discovery {
	char source[SOURCE_TEXT];
	struct member *members; /* owned; by address, each once */
	size_t n;
	enum discovery_state state;
	bool known;             /* it has been heard at some time */
	char why[SOURCE_ERROR]; /* while UNREACHABLE */
};

/* Makes the route's discoveries those of its settings: those of a source that is still named stay. False
 * without memory, and all is as it was. */
MUST_USE bool discoveries_follow(struct route *route);

void discoveries_finish(struct route *route);

/* The container that a source of the route knows at this address, or NULL. */
struct member *discoveries_find(const struct route *route, const struct io_addr *addr);

/* A source of the route has never been heard: what it would say of the containers that are there is not
 * known. */
bool discoveries_are_incomplete(const struct route *route);

const char *discovery_state_name(enum discovery_state state);
