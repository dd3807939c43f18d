/* aws_xml: an answer of AWS as a small tree. Attributes, comments and name spaces are dropped.
 *
 * Owns:   nothing; the tree lives in the arena that it was read into.
 */
#pragma once
#include "base/arena.h"
#include "base/check.h"
#include "base/str.h"

enum { XML_DEPTH_MAX = 32 };

struct xml {
	const char *name;
	const char *text;   /* "" where there is none; without the text of elements within */
	struct xml *first;  /* child */
	struct xml *last;   /* child */
	struct xml *next;   /* sibling */
	struct xml *parent; /* NULL at the root */
};

/* NULL when it is not well-formed, too deep or beyond the arena's limit. */
MUST_USE struct xml *xml_parse(struct str text, struct arena *arena);

/* The first element at a path of names below node, "reservationSet/item"; NULL when there is none, or node is
 * NULL. */
const struct xml *xml_at(const struct xml *node, const char *path);

/* The next sibling of the same name, or NULL: for (n = xml_at(…); n; n = xml_next(n)). */
const struct xml *xml_next(const struct xml *node);

/* The text at the path, "" when there is none. */
const char *xml_text(const struct xml *node, const char *path);
