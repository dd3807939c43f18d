#include "fleet/aws_xml.h"

#include <expat.h>
#include <stdlib.h>

struct reading {
	XML_Parser parser;
	struct arena *arena; /* borrowed */
	struct xml *root, *at;
	unsigned depth;
	bool failed;
	char *text; /* owned; of the element that was opened last */
	size_t len, cap;
};

static void fail(struct reading *r)
{
	r->failed = true;
	(void)XML_StopParser(r->parser, XML_FALSE);
}

static const char *without_prefix(const char *name)
{
	const char *colon = strrchr(name, ':');
	return colon ? colon + 1 : name;
}

static void on_start(void *user, const XML_Char *name, const XML_Char **attributes)
{
	struct reading *r = user;
	struct str copy = arena_printf(r->arena, "%s", without_prefix(name));
	struct xml *node = arena_alloc(r->arena, sizeof *node);
	if (!node || !copy.ptr || ++r->depth > XML_DEPTH_MAX) {
		fail(r);
		return;
	}
	*node = (struct xml){ .name = copy.ptr, .text = "", .parent = r->at };
	if (!r->at)
		r->root = node;
	else if (r->at->last)
		r->at->last->next = node;
	else
		r->at->first = node;
	if (r->at)
		r->at->last = node;
	r->at = node;
	r->len = 0;
}

static void on_text(void *user, const XML_Char *text, int n)
{
	struct reading *r = user;
	size_t len = (size_t)n;
	if (r->len + len > r->cap) {
		size_t cap = 2 * (r->len + len);
		char *bigger = realloc(r->text, cap);
		if (!bigger) {
			fail(r);
			return;
		}
		r->text = bigger;
		r->cap = cap;
	}
	memcpy(r->text + r->len, text, len);
	r->len += len;
}

static void on_end(void *user, const XML_Char *name)
{
	struct reading *r = user;
	if (!r->at->first && r->len) { /* what stands between elements is white space */
		struct str copy = arena_printf(r->arena, "%.*s", (int)r->len, r->text);
		if (!copy.ptr) {
			fail(r);
			return;
		}
		r->at->text = copy.ptr;
	}
	r->len = 0;
	r->at = r->at->parent;
	r->depth--;
}

/* Entities of the document's own are what makes a small text expand without end; AWS sends none. */
static void on_doctype(
	void *user, const XML_Char *name, const XML_Char *system, const XML_Char *public, int internal)
{
	fail(user);
}

struct xml *xml_parse(struct str text, struct arena *arena)
{
	struct reading r = { .arena = arena, .parser = XML_ParserCreate(NULL) };
	if (!r.parser)
		return NULL;
	XML_SetUserData(r.parser, &r);
	XML_SetElementHandler(r.parser, on_start, on_end);
	XML_SetCharacterDataHandler(r.parser, on_text);
	XML_SetStartDoctypeDeclHandler(r.parser, on_doctype);
	bool ok = text.len < INT32_MAX &&
		XML_Parse(r.parser, text.ptr, (int)text.len, XML_TRUE) == XML_STATUS_OK && !r.failed;
	XML_ParserFree(r.parser);
	free(r.text);
	return ok ? r.root : NULL;
}

static const struct xml *named(const struct xml *node, struct str name)
{
	while (node && !str_eq(str_of(node->name), name))
		node = node->next;
	return node;
}

const struct xml *xml_at(const struct xml *node, const char *path)
{
	struct str rest = str_of(path);
	while (node && rest.ptr)
		node = named(node->first, str_cut(&rest, '/'));
	return node;
}

const struct xml *xml_next(const struct xml *node)
{
	return named(node->next, str_of(node->name));
}

const char *xml_text(const struct xml *node, const char *path)
{
	const struct xml *at = xml_at(node, path);
	return at ? at->text : "";
}
