#include "own.h"

#include <jansson.h>
#include <string.h>

static bool read_text(const json_t *object, const char *key, char *ret, size_t size)
{
	const json_t *v = json_object_get(object, key);
	*ret = 0;
	if (!v)
		return true;
	if (!json_is_string(v) || json_string_length(v) >= size)
		return false;
	memcpy(ret, json_string_value(v), json_string_length(v) + 1);
	return true;
}

static bool read_number(const json_t *object, const char *key, int64_t *ret)
{
	const json_t *v = json_object_get(object, key);
	*ret = v ? json_integer_value(v) : -1;
	return !v || json_is_integer(v);
}

static bool read_members(const json_t *object, struct own_answer *a)
{
	const json_t *eta = json_object_get(object, "eta_ms");
	int64_t status;
	if (!json_is_object(object) || !read_number(object, "status", &status) ||
		!read_number(object, "position", &a->position))
		return false;
	a->status = (int)status;
	a->has_eta = json_is_integer(eta) || json_is_null(eta);
	return read_text(object, "type", a->type, sizeof a->type) &&
		read_text(object, "message", a->message, sizeof a->message) &&
		read_text(object, "id", a->id, sizeof a->id) &&
		read_text(object, "state", a->state, sizeof a->state) &&
		read_text(object, "status_url", a->status_url, sizeof a->status_url) &&
		read_text(object, "result_url", a->result_url, sizeof a->result_url);
}

bool own_read(const char *text, size_t n, struct own_answer *ret)
{
	json_t *object = json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL);
	*ret = (struct own_answer){ .status = -1, .position = -1 };
	bool ok = object && read_members(object, ret);
	json_decref(object);
	return ok;
}
