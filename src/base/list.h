/* list: an intrusive doubly linked list that knows its length.
 *
 * The length is kept by the list itself, so that a count never is a second truth beside it.
 * A node that is on no list has next == NULL.
 */
#pragma once
#include "base/check.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct list_node {
	struct list_node *next; /* borrowed; NULL while on no list */
	struct list_node *prev; /* borrowed */
};

struct list {
	struct list_node head; /* sentinel */
	uint32_t len;
};

static inline void list_init(struct list *l)
{
	l->head.next = &l->head;
	l->head.prev = &l->head;
	l->len = 0;
}

static inline bool list_empty(const struct list *l)
{
	return l->len == 0;
}

static inline bool list_linked(const struct list_node *n)
{
	return n->next != NULL;
}

/* Puts n in front of `pos`, which is on l (or is l's sentinel: then n becomes the last). */
static inline void list_insert_before(struct list *l, struct list_node *pos, struct list_node *n)
{
	CHECK(!list_linked(n));
	n->next = pos;
	n->prev = pos->prev;
	pos->prev->next = n;
	pos->prev = n;
	l->len++;
}

static inline void list_push_back(struct list *l, struct list_node *n)
{
	list_insert_before(l, &l->head, n);
}

static inline void list_push_front(struct list *l, struct list_node *n)
{
	list_insert_before(l, l->head.next, n);
}

static inline void list_remove(struct list *l, struct list_node *n)
{
	CHECK(list_linked(n) && l->len > 0);
	n->prev->next = n->next;
	n->next->prev = n->prev;
	n->next = NULL;
	n->prev = NULL;
	l->len--;
}

/* First node, or NULL. */
static inline struct list_node *list_first(const struct list *l)
{
	return l->len ? l->head.next : NULL;
}

/* Last node, or NULL. */
static inline struct list_node *list_last(const struct list *l)
{
	return l->len ? l->head.prev : NULL;
}

static inline struct list_node *list_pop_front(struct list *l)
{
	struct list_node *n = list_first(l);
	if (n)
		list_remove(l, n);
	return n;
}

/* The node after n, or NULL at the end. */
static inline struct list_node *list_next(const struct list *l, const struct list_node *n)
{
	return n->next == &l->head ? NULL : n->next;
}

#define list_for_each(n, l) for (struct list_node *n = list_first(l); n; n = list_next(l, n))
/* The body may remove n. */
#define list_for_each_safe(n, l)                                                             \
	for (struct list_node *n = list_first(l), *n##_next = n ? list_next(l, n) : NULL; n; \
		n = n##_next, n##_next = n ? list_next(l, n) : NULL)
