/* peers: how many connections each client address has open, for the limit of its own. An IPv6 address counts
 * by its /64, which is what one customer is given.
 *
 * Owns:   the table; entries come with an address's first connection and go with its last, also while the
 * limit is off: a reload may bring it.
 */
#pragma once
#include "base/list.h"
#include "base/objpool.h"

#include <stdbool.h>
#include <stdint.h>

struct peers {
	uint32_t max;         /* connections for each address; 0: no limit */
	struct list *buckets; /* owned; a power of two of them */
	uint32_t n_buckets;
	uint64_t seed; /* so that nobody can choose addresses that collide */
	struct objpool entries;
};

/* Without limits: peers_set_limits comes next. 0 or -ENOMEM. */
MUST_USE int peers_init(struct peers *p, uint64_t seed);
void peers_finish(struct peers *p);

/* max: connections for each address; 0: no limit. max_addresses: the most that can be connected at once. */
void peers_set_limits(struct peers *p, uint32_t max, uint32_t max_addresses);

/* One more connection. 0; -EDQUOT when the address has as many as it may; -ENOMEM. */
MUST_USE int peers_add(struct peers *p, const uint8_t ip[16]);
void peers_remove(struct peers *p, const uint8_t ip[16]);
