#include "worker/card.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* NULL and *why unless the file holds JSON of this type. */
static json_t *load(const char *path, json_type type, struct why *why)
{
	json_error_t error;
	json_t *root = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
	if (!root) {
		why_set(why, "%s:%d:%d: %s", path, error.line, error.column, error.text);
	} else if (json_typeof(root) != type) {
		why_set(why, "%s: must be a JSON %s", path, type == JSON_ARRAY ? "array" : "object");
		json_decref(root);
		root = NULL;
	}
	return root;
}

static bool all_strings(const json_t *array)
{
	size_t i;
	json_t *item;
	json_array_foreach(array, i, item)
	{
		if (!json_is_string(item))
			return false;
	}
	return true;
}

static bool check(const struct card *c, const char *path, struct why *why)
{
	static const char *const texts[] = { "name", "version", "samples", "description" };
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		const json_t *value = json_object_get(c->root, texts[i]);
		if (value && !json_is_string(value))
			return why_set(why, "%s: \"%s\" must be a string", path, texts[i]);
	}
	const json_t *labels = json_object_get(c->root, "labels");
	if (labels && !(json_is_array(labels) && all_strings(labels)))
		return why_set(why, "%s: \"labels\" must be an array of strings, one a class", path);
	return true;
}

static bool read_samples(struct card *c, const char *dir, struct why *why)
{
	char path[PATH_MAX];
	const char *file = card_text(c, "samples", NULL);
	if (!file)
		return true;
	if (snprintf(path, sizeof path, "%s/%s", dir, file) >= (int)sizeof path)
		return why_set(why, "%s: the samples' name is too long", dir);
	c->samples = load(path, JSON_ARRAY, why);
	if (!c->samples)
		return false;
	if (!all_strings(c->samples) || json_array_size(c->samples) > UINT32_MAX)
		return why_set(why, "%s: must be an array of strings", path);
	return true;
}

bool card_read(struct card *c, const char *dir, struct why *why)
{
	char path[PATH_MAX];
	*c = (struct card){ 0 };
	if (snprintf(path, sizeof path, "%s/model.json", dir) >= (int)sizeof path)
		return why_set(why, "%s: the path is too long", dir);
	if (access(path, F_OK) && errno == ENOENT)
		return true;
	c->root = load(path, JSON_OBJECT, why);
	if (c->root && check(c, path, why) && read_samples(c, dir, why))
		return true;
	card_finish(c);
	return false;
}

void card_finish(struct card *c)
{
	json_decref(c->root);
	json_decref(c->samples);
	*c = (struct card){ 0 };
}

const char *card_text(const struct card *c, const char *key, const char *otherwise)
{
	const char *text = json_string_value(json_object_get(c->root, key));
	return text ? text : otherwise;
}

static struct str at(const json_t *array, size_t i)
{
	const json_t *item = json_array_get(array, i);
	return (struct str){ json_string_value(item), json_string_length(item) };
}

struct str card_label(const struct card *c, int64_t class)
{
	return at(json_object_get(c->root, "labels"), (size_t) class);
}

uint32_t card_n_samples(const struct card *c)
{
	return (uint32_t)json_array_size(c->samples);
}

struct str card_sample(const struct card *c, uint32_t i)
{
	return at(c->samples, i);
}
