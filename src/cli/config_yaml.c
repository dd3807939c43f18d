/* The reader of berth.yaml: libyaml makes a document whose nodes know their places, the schema says what may
 * stand in it. */
#include "cli/config.h"
#include "cli/suggest.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <yaml.h>

enum { FILE_BYTES_MAX = 1 << 20, POOLS_MAX = 1000, KEY_NAME = 40, SIBLINGS_MAX = 64, LIST_MAX = 10000 };

struct config_source {
	char name[256];
	yaml_document_t doc; /* owned */
};

/* A struct that is being filled from a mapping. */
struct target {
	struct config *config;
	yaml_document_t *doc;
	enum scope scope;
	void *base;
};

static struct str scalar_text(const yaml_node_t *node)
{
	return (struct str){ (const char *)node->data.scalar.value, node->data.scalar.length };
}

/* Errors name the file, the place of `node`, and the setting. */
static void complain(const struct target *t, const yaml_node_t *node, const char *path, const char *what)
{
	const char *section = *path && t->scope == SCOPE_FLEET ? "fleet." : "";
	config_error_line(t->config, "%s:%zu:%zu: %s%s%s%s", t->config->source->name,
		node->start_mark.line + 1, node->start_mark.column + 1, section, path, *path ? ": " : "",
		what);
}

static void complain_type(
	const struct target *t, const yaml_node_t *node, const char *path, const char *expected)
{
	char what[SCHEMA_COMPLAINT];
	if (node->type == YAML_SCALAR_NODE && node->data.scalar.length)
		snprintf(
			what, sizeof what, "expected %s, found \"%.60s\"", expected, node->data.scalar.value);
	else
		snprintf(what, sizeof what, "expected %s, found %s", expected,
			node->type == YAML_SEQUENCE_NODE          ? "a list"
				: node->type == YAML_MAPPING_NODE ? "a mapping"
								  : "nothing");
	complain(t, node, path, what);
}

/* ---- unknown keys ---- */

/* The names that may stand beside each other below `prefix`; returns their number. */
static size_t siblings(enum scope scope, struct str prefix, char names[][KEY_NAME], const char **ptrs)
{
	size_t n_keys, n = 0;
	const struct key *keys = schema_keys(&n_keys);
	for (size_t i = 0; i < n_keys && n < SIBLINGS_MAX - 2; i++) {
		struct str rest = str_of(keys[i].path);
		if (keys[i].scope != scope || !str_starts(rest, prefix))
			continue;
		rest = str_skip(rest, prefix.len);
		str_copy(names[n], KEY_NAME, str_cut(&rest, '.'));
		n++;
	}
	if (scope == SCOPE_TOP && prefix.len == 0) {
		str_copy(names[n++], KEY_NAME, STR("pools"));
		str_copy(names[n++], KEY_NAME, STR("fleet"));
	}
	for (size_t i = 0; i < n; i++)
		ptrs[i] = names[i];
	return n;
}

static void unknown_key(const struct target *t, const yaml_node_t *node, struct str prefix)
{
	char names[SIBLINGS_MAX][KEY_NAME], what[SCHEMA_COMPLAINT], hint[KEY_NAME + 32] = "";
	const char *ptrs[SIBLINGS_MAX];
	struct str key = scalar_text(node);
	const char *near = suggest(key, ptrs, siblings(t->scope, prefix, names, ptrs));
	if (near)
		snprintf(hint, sizeof hint, ": did you mean '%s'?", near);
	else if (t->scope == SCOPE_TOP && prefix.len == 0 &&
		(schema_key(SCOPE_POOL, key) || schema_is_mapping(SCOPE_POOL, key)))
		snprintf(hint, sizeof hint, ": it belongs to one of the pools");
	snprintf(what, sizeof what, "unknown key '%.60s'%s", key.ptr, hint);
	complain(t, node, "", what);
}

/* ---- values ---- */

/* The texts of a list, in the arena; NULL after a complaint. */
static struct str *list_texts(const struct target *t, const struct key *key, const yaml_node_t *node,
	const yaml_node_item_t *items, size_t n)
{
	struct str *texts = n <= LIST_MAX ? arena_alloc(&t->config->arena, (n + 1) * sizeof *texts) : NULL;
	if (!texts)
		complain(t, node, key->path, "the list is too long");
	for (size_t i = 0; texts && i < n; i++) {
		const yaml_node_t *item = yaml_document_get_node(t->doc, items[i]);
		if (item->type != YAML_SCALAR_NODE) {
			complain_type(t, item, key->path, "a text");
			return NULL;
		}
		texts[i] = scalar_text(item);
	}
	return texts;
}

static void read_list(const struct target *t, const struct key *key, const yaml_node_t *node)
{
	char complaint[SCHEMA_COMPLAINT];
	const yaml_node_item_t *items = node->data.sequence.items.start;
	size_t n = (size_t)(node->data.sequence.items.top - items), bad;
	struct str *texts = list_texts(t, key, node, items, n);
	if (texts && !schema_set(key, t->base, texts, n, &t->config->arena, complaint, &bad))
		complain(t, yaml_document_get_node(t->doc, items[bad]), key->path, complaint);
}

static void read_value(const struct target *t, const struct key *key, const yaml_node_t *node)
{
	char complaint[SCHEMA_COMPLAINT];
	size_t bad;
	if (node->type == YAML_SEQUENCE_NODE && schema_is_list(key)) {
		read_list(t, key, node);
	} else if (node->type != YAML_SCALAR_NODE) {
		complain_type(t, node, key->path, schema_is_list(key) ? "a list" : "a single value");
	} else {
		struct str text = scalar_text(node);
		if (!schema_set(key, t->base, &text, 1, &t->config->arena, complaint, &bad))
			complain(t, node, key->path, complaint);
	}
}

/* A scalar that may name a setting: not too long, and without a NUL. */
static bool is_name(const yaml_node_t *node)
{
	return node->type == YAML_SCALAR_NODE && node->data.scalar.length < KEY_NAME &&
		!memchr(node->data.scalar.value, 0, node->data.scalar.length);
}

static bool is_repeated(yaml_document_t *doc, const yaml_node_t *mapping, const yaml_node_pair_t *pair)
{
	struct str name = scalar_text(yaml_document_get_node(doc, pair->key));
	for (const yaml_node_pair_t *p = mapping->data.mapping.pairs.start; p < pair; p++) {
		const yaml_node_t *key = yaml_document_get_node(doc, p->key);
		if (key->type == YAML_SCALAR_NODE && str_eq(scalar_text(key), name))
			return true;
	}
	return false;
}

static void read_pools(const struct target *t, const yaml_node_t *node);
static void read_fleet(const struct target *t, const yaml_node_t *node);

/* prefix: path of the mapping itself, with the dot that follows; "" for the outermost. */
static void read_mapping(const struct target *t, const yaml_node_t *node, struct str prefix)
{
	char path[CONFIG_PATH];
	for (const yaml_node_pair_t *p = node->data.mapping.pairs.start; p < node->data.mapping.pairs.top;
		p++) {
		const yaml_node_t *name = yaml_document_get_node(t->doc, p->key);
		const yaml_node_t *value = yaml_document_get_node(t->doc, p->value);
		if (!is_name(name)) {
			complain_type(t, name, "", "the name of a setting");
			continue;
		}
		if (is_repeated(t->doc, node, p)) {
			complain(t, name, (const char *)name->data.scalar.value, "stands here a second time");
			continue;
		}
		snprintf(path, sizeof path, STR_FMT "%s", STR_ARG(prefix), name->data.scalar.value);
		const struct key *key = schema_key(t->scope, str_of(path));
		if (key) {
			read_value(t, key, value);
		} else if (t->scope == SCOPE_TOP && !strcmp(path, "pools")) {
			read_pools(t, value);
		} else if (t->scope == SCOPE_TOP && !strcmp(path, "fleet")) {
			read_fleet(t, value);
		} else if (!schema_is_mapping(t->scope, str_of(path))) {
			unknown_key(t, name, prefix);
		} else if (value->type != YAML_MAPPING_NODE) {
			complain_type(t, value, path, "a mapping");
		} else {
			size_t len = strlen(path);
			path[len] = '.';
			read_mapping(t, value, (struct str){ path, len + 1 });
		}
	}
}

static void read_pools(const struct target *t, const yaml_node_t *node)
{
	struct settings *s = &t->config->settings;
	if (node->type != YAML_SEQUENCE_NODE) {
		complain_type(t, node, "pools", "a list");
		return;
	}
	size_t n = (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
	s->pools = arena_alloc(&t->config->arena, n ? n * sizeof *s->pools : 1);
	if (!s->pools || n > POOLS_MAX) {
		complain(t, node, "pools", "the list is too long");
		return;
	}
	for (size_t i = 0; i < n; i++) {
		const yaml_node_t *item = yaml_document_get_node(t->doc, node->data.sequence.items.start[i]);
		struct target pool = { t->config, t->doc, SCOPE_POOL, &s->pools[i] };
		pool_settings_default(&s->pools[i]);
		s->n_pools++;
		if (item->type == YAML_MAPPING_NODE)
			read_mapping(&pool, item, STR(""));
		else
			complain_type(t, item, "pools", "a mapping");
	}
}

static void read_fleet(const struct target *t, const yaml_node_t *node)
{
	struct target fleet = { t->config, t->doc, SCOPE_FLEET, &t->config->fleet };
	t->config->has_fleet = true;
	if (node->type == YAML_MAPPING_NODE)
		read_mapping(&fleet, node, STR(""));
	else
		complain_type(t, node, "fleet", "a mapping");
}

/* ---- the document ---- */

static struct config_place place_of_offset(const char *text, size_t len, size_t offset)
{
	struct config_place p = { 1, 1 };
	for (size_t i = 0; i < offset && i < len; i++) {
		p.column++;
		if (text[i] == '\n')
			p = (struct config_place){ p.line + 1, 1 };
	}
	return p;
}

/* What libyaml found wrong. */
static void syntax_error(struct config *c, const yaml_parser_t *parser, const char *text, size_t len)
{
	struct config_place p = { parser->problem_mark.line + 1, parser->problem_mark.column + 1 };
	if (parser->error == YAML_READER_ERROR)
		p = place_of_offset(text, len, parser->problem_offset);
	const char *context = parser->context ? parser->context : "";
	config_error_line(c, "%s:%zu:%zu: not YAML: %s%s%s", c->source->name, p.line, p.column,
		parser->problem ? parser->problem : "out of memory", *context ? " " : "", context);
}

static bool parse_document(const struct target *t, const char *text, size_t len)
{
	struct config *c = t->config;
	yaml_parser_t parser;
	yaml_document_t second;
	if (!yaml_parser_initialize(&parser)) {
		config_error_line(c, "%s: out of memory", c->source->name);
		return false;
	}
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
	if (!yaml_parser_load(&parser, &c->source->doc) || !yaml_parser_load(&parser, &second)) {
		syntax_error(c, &parser, text, len);
		yaml_parser_delete(&parser);
		return false;
	}
	const yaml_node_t *root = yaml_document_get_root_node(&second);
	if (root)
		complain(t, root, "", "a second document: there can be only one");
	yaml_document_delete(&second);
	yaml_parser_delete(&parser);
	return !root;
}

bool config_read_text(struct config *c, const char *name, const char *text, size_t len)
{
	size_t errors_before = c->n_errors;
	struct target top = { c, NULL, SCOPE_TOP, &c->settings };
	CHECK(!c->source);
	c->source = calloc(1, sizeof *c->source);
	if (!c->source) {
		config_error_line(c, "%s: out of memory", name);
		return false;
	}
	str_copy(c->source->name, sizeof c->source->name, str_of(name));
	top.doc = &c->source->doc;
	if (!parse_document(&top, text, len))
		return false;
	const yaml_node_t *root = yaml_document_get_root_node(top.doc);
	if (root && root->type != YAML_MAPPING_NODE)
		complain_type(&top, root, "", "a mapping (listen: …)");
	else if (root)
		read_mapping(&top, root, STR(""));
	return c->n_errors == errors_before;
}

/* path NULL: the default, which need not be there. */
bool config_read(struct config *c, const char *path)
{
	const char *name = path ? path : "berth.yaml";
	FILE *f = fopen(name, "re");
	if (!f) {
		if (!path && errno == ENOENT)
			return true;
		config_error_line(c, "%s: cannot read it: %s", name, strerror(errno));
		return false;
	}
	bool ok = false;
	char *text = malloc(FILE_BYTES_MAX + 1);
	size_t n = text ? fread(text, 1, FILE_BYTES_MAX + 1, f) : 0;
	if (!text || ferror(f))
		config_error_line(c, "%s: cannot read it: %s", name, strerror(errno));
	else if (n > FILE_BYTES_MAX)
		config_error_line(c, "%s: longer than 1 MiB: is this the configuration?", name);
	else
		ok = config_read_text(c, name, text, n);
	free(text);
	fclose(f);
	return ok;
}

/* ---- places ---- */

void config_source_destroy(struct config_source *source)
{
	if (!source)
		return;
	yaml_document_delete(&source->doc);
	free(source);
}

const char *config_source_name(const struct config_source *source)
{
	return source->name;
}

static const yaml_node_t *child_named(yaml_document_t *doc, const yaml_node_t *node, struct str name)
{
	if (node->type != YAML_MAPPING_NODE)
		return NULL;
	for (const yaml_node_pair_t *p = node->data.mapping.pairs.start; p < node->data.mapping.pairs.top;
		p++) {
		const yaml_node_t *key = yaml_document_get_node(doc, p->key);
		if (key->type == YAML_SCALAR_NODE && str_eq(scalar_text(key), name))
			return yaml_document_get_node(doc, p->value);
	}
	return NULL;
}

static const yaml_node_t *child_numbered(yaml_document_t *doc, const yaml_node_t *node, struct str index)
{
	uint64_t i;
	if (node->type != YAML_SEQUENCE_NODE || !str_to_u64(index, &i) ||
		i >= (uint64_t)(node->data.sequence.items.top - node->data.sequence.items.start))
		return NULL;
	return yaml_document_get_node(doc, node->data.sequence.items.start[i]);
}

struct config_place config_source_place(const struct config_source *source, const char *path)
{
	yaml_document_t *doc =
		(yaml_document_t *)(uintptr_t)&source->doc; /* libyaml's readers take no const */
	const yaml_node_t *at = yaml_document_get_root_node(doc), *next = at;
	struct str rest = str_of(path);
	while (next && rest.len) {
		struct str index = str_cut(&rest, '.');
		next = child_named(doc, at, str_cut(&index, '['));
		at = next ? next : at;
		if (next && index.ptr) {
			next = child_numbered(doc, at, str_cut(&index, ']'));
			at = next ? next : at;
		}
	}
	if (!at)
		return (struct config_place){ 1, 1 };
	return (struct config_place){ at->start_mark.line + 1, at->start_mark.column + 1 };
}
