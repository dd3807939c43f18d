#include "cli/config_write.h"

#include "cli/schema.h"

#include <jansson.h>
#include <stdlib.h>

enum { VALUE_BYTES = 128 };

/* The mapping that the last part of a path stands in; it is made where there is none. */
static json_t *descend(json_t *root, struct str *path)
{
	char name[SCHEMA_FLAG];
	while (path->len && memchr(path->ptr, '.', path->len)) {
		str_copy(name, sizeof name, str_cut(path, '.'));
		json_t *below = json_object_get(root, name);
		if (!below && json_object_set_new(root, name, below = json_object()))
			return NULL;
		root = below;
	}
	return root;
}

static json_t *texts(const struct key *key, const void *base)
{
	const char *const *list;
	size_t n;
	memcpy(&list, (const char *)base + key->offset, sizeof list);
	memcpy(&n, (const char *)base + key->count_offset, sizeof n);
	json_t *array = json_array();
	for (size_t i = 0; i < n; i++)
		(void)json_array_append_new(array, json_string(list[i]));
	return array;
}

static json_t *addrs(const struct key *key, const void *base)
{
	const struct io_addr *list;
	char text[IO_ADDR_TEXT];
	size_t n;
	memcpy(&list, (const char *)base + key->offset, sizeof list);
	memcpy(&n, (const char *)base + key->count_offset, sizeof n);
	json_t *array = json_array();
	for (size_t i = 0; i < n; i++)
		(void)json_array_append_new(array, json_string(io_addr_print(&list[i], true, text)));
	return array;
}

static json_t *containers(const struct pool_settings *p)
{
	char text[IO_ADDR_TEXT];
	json_t *array = json_array();
	for (size_t i = 0; i < p->n_containers; i++)
		(void)json_array_append_new(
			array, json_string(io_addr_print(&p->containers[i].addr, true, text)));
	for (size_t i = 0; i < p->n_sources; i++)
		(void)json_array_append_new(array, json_string(p->sources[i]));
	return array;
}

static json_t *value(const struct key *key, const void *base)
{
	char text[VALUE_BYTES];
	const char *string;
	switch (key->kind) {
	case KIND_TEXTS:
	case KIND_NETWORKS:
		return texts(key, base);
	case KIND_ADDRS:
		return addrs(key, base);
	case KIND_CONTAINERS:
		return containers(base);
	case KIND_TEXT:
	case KIND_TEXT_OFF: /* of any length */
		memcpy(&string, (const char *)base + key->offset, sizeof string);
		return json_string(string ? string : key->kind == KIND_TEXT_OFF ? "off" : "");
	case KIND_NUMBER:
	case KIND_SIZE:
	case KIND_DURATION:
	case KIND_CHOICE:
	case KIND_ADDR_OFF:
		return json_string(schema_print(key, base, text, sizeof text));
	case KIND_SWITCH: /* a flag only */
		break;
	}
	return NULL;
}

/* All keys of one scope. */
static json_t *section(enum scope scope, const void *base)
{
	char name[SCHEMA_FLAG];
	size_t n;
	const struct key *keys = schema_keys(&n);
	json_t *root = json_object();
	for (size_t i = 0; root && i < n; i++) {
		struct str path = str_of(keys[i].path);
		if (keys[i].scope != scope)
			continue;
		json_t *at = descend(root, &path);
		if (json_object_set_new(at, str_copy(name, sizeof name, path), value(&keys[i], base))) {
			json_decref(root);
			root = NULL;
		}
	}
	return root;
}

char *config_write(const struct settings *s)
{
	json_t *root = section(SCOPE_TOP, s), *pools = json_array();
	char *text = NULL;
	for (size_t i = 0; i < s->n_pools; i++)
		(void)json_array_append_new(pools, section(SCOPE_POOL, &s->pools[i]));
	if (root && json_array_size(pools) == s->n_pools && json_object_set(root, "pools", pools) == 0)
		text = json_dumps(root, JSON_INDENT(1) | JSON_SORT_KEYS);
	json_decref(pools);
	json_decref(root);
	return text;
}
