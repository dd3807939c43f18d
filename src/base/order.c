#include "base/order.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_CAP = 64 };

void order_init(struct order *o)
{
	*o = (struct order){ .next = 1 };
	list_init(&o->entries);
}

void order_finish(struct order *o)
{
	CHECK(list_empty(&o->entries));
	free(o->tree);
	order_init(o);
}

static void add(struct order *o, uint32_t place, uint32_t delta)
{
	for (uint32_t i = place; i <= o->cap; i += i & -i)
		o->tree[i] += delta;
}

static uint32_t sum(const struct order *o, uint32_t place)
{
	uint32_t s = 0;
	for (uint32_t i = place; i; i -= i & -i)
		s += o->tree[i];
	return s;
}

/* Gives the entries the places first_place, first_place + 1, … and builds the tree in O(cap). */
static void renumber(struct order *o, uint32_t first_place)
{
	uint32_t place = first_place;
	memset(o->tree, 0, ((size_t)o->cap + 1) * sizeof *o->tree);
	list_for_each (n, &o->entries) {
		CONTAINER_OF(n, struct order_entry, node)->place = place;
		o->tree[place++] = 1;
	}
	o->next = place;
	for (uint32_t i = 1; i <= o->cap; i++) {
		uint32_t parent = i + (i & -i);
		if (parent <= o->cap)
			o->tree[parent] += o->tree[i];
	}
}

/* At least half the places are free afterwards; the caller numbers them anew. */
static int grow_if_full(struct order *o)
{
	if (o->cap && o->entries.len <= o->cap / 2)
		return 0;
	if (o->cap > UINT32_MAX / 4)
		return -ENOMEM;
	uint32_t cap = o->cap ? o->cap * 2 : FIRST_CAP;
	uint32_t *tree = realloc(o->tree, ((size_t)cap + 1) * sizeof *tree);
	if (!tree)
		return -ENOMEM;
	o->tree = tree;
	o->cap = cap;
	return 0;
}

int order_push(struct order *o, struct order_entry *e)
{
	if (o->entries.len == 0 && o->cap)
		o->next = 1; /* the tree is all zeroes: start again at the front */
	if (o->next > o->cap) {
		int r = grow_if_full(o);
		if (r < 0)
			return r;
		renumber(o, 1);
	}
	e->place = o->next++;
	list_push_back(&o->entries, &e->node);
	add(o, e->place, 1);
	return 0;
}

int order_insert(struct order *o, struct order_entry *e, struct order_entry *before)
{
	if (!before)
		return order_push(o, e);
	struct order_entry *first = order_first(o);
	CHECK(first);
	if (first->place == 1) {
		int r = grow_if_full(o);
		if (r < 0)
			return r;
		renumber(o, 1 + (o->cap - o->entries.len) / 2);
	}
	/* The place in front of the first is the one that comes into use; those ahead of e each move up by
	 * one. */
	uint32_t place = first->place - 1;
	add(o, place, 1);
	for (struct order_entry *at = first; at != before; at = order_next(o, at)) {
		uint32_t own = at->place;
		at->place = place;
		place = own;
	}
	e->place = place;
	list_insert_before(&o->entries, &before->node, &e->node);
	return 0;
}

int order_insert_late(struct order *o, struct order_entry *e, struct order_entry *before)
{
	int r = order_push(o, e);
	if (r < 0 || !before)
		return r;
	/* The new last place comes into use; those from `before` on each move down by one. */
	uint32_t place = before->place;
	for (struct order_entry *at = before; at != e;) {
		struct order_entry *next = order_next(o, at);
		CHECK(next);
		at->place = next->place;
		at = next;
	}
	list_remove(&o->entries, &e->node);
	list_insert_before(&o->entries, &before->node, &e->node);
	e->place = place;
	return 0;
}

void order_remove(struct order *o, struct order_entry *e)
{
	list_remove(&o->entries, &e->node);
	add(o, e->place, (uint32_t)-1);
}

uint32_t order_rank(const struct order *o, const struct order_entry *e)
{
	return sum(o, e->place);
}
