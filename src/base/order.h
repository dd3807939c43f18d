/* order: a FIFO from whose middle anything may leave, and that tells each entry's rank in O(log n).
 *
 * A Fenwick tree (P. Fenwick, "A New Data Structure for Cumulative Frequency Tables", 1994) counts the live
 * places of a row; an entry gets the next place when it enters. When the places are used up, the entries are
 * numbered anew, which the places gained pay for, or the row doubles.
 *
 * Owns:       the tree. The entries belong to the caller.
 * Invariant:  the list, from first to last, has rising places; the tree's sum is the list's length.
 */
#pragma once
#include "base/check.h"
#include "base/list.h"

#include <stdint.h>

struct order_entry {
	struct list_node node;
	uint32_t place; /* 1-based index into the tree, void while on no list */
};

struct order {
	struct list entries; /* first: next to leave */
	uint32_t *tree;      /* owned; tree[1..cap] */
	uint32_t cap;        /* places; a power of two, or 0 */
	uint32_t next;       /* next place to give, 1..cap + 1 */
};

void order_init(struct order *o);
void order_finish(struct order *o); /* must be empty */

/* At the end. -ENOMEM when the tree cannot grow; nothing has changed then. */
MUST_USE int order_push(struct order *o, struct order_entry *e);

/* In front of `before`, which is in o; NULL: at the end. O(k) with k entries ahead of it: for the few that
 * come back. */
MUST_USE int order_insert(struct order *o, struct order_entry *e, struct order_entry *before);

/* In front of `before`; NULL: at the end. O(k) with k entries from `before` on: for the few that come late.
 */
MUST_USE int order_insert_late(struct order *o, struct order_entry *e, struct order_entry *before);

void order_remove(struct order *o, struct order_entry *e);

/* 1 for the first entry. */
uint32_t order_rank(const struct order *o, const struct order_entry *e);

static inline uint32_t order_len(const struct order *o)
{
	return o->entries.len;
}

static inline struct order_entry *order_first(const struct order *o)
{
	struct list_node *n = list_first(&o->entries);
	return n ? CONTAINER_OF(n, struct order_entry, node) : NULL;
}

static inline struct order_entry *order_next(const struct order *o, const struct order_entry *e)
{
	struct list_node *n = list_next(&o->entries, &e->node);
	return n ? CONTAINER_OF(n, struct order_entry, node) : NULL;
}

static inline struct order_entry *order_last(const struct order *o)
{
	struct list_node *n = list_last(&o->entries);
	return n ? CONTAINER_OF(n, struct order_entry, node) : NULL;
}

static inline struct order_entry *order_prev(const struct order *o, const struct order_entry *e)
{
	return e->node.prev == &o->entries.head ? NULL : CONTAINER_OF(e->node.prev, struct order_entry, node);
}
