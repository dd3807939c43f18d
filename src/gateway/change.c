#include "gateway/change.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

/* A string member into its place; false when it is another type, or too long. */
static bool take_text(char *dst, json_t *value)
{
	const char *text = json_string_value(value);
	size_t n = json_string_length(value);
	if (!text || n >= CHANGE_TEXT_MAX || strlen(text) != n)
		return false;
	memcpy(dst, text, n + 1);
	return true;
}

static bool take_member(struct change *ch, const char *key, json_t *value)
{
	if (!strcmp(key, "draining")) {
		ch->has_draining = json_is_boolean(value);
		ch->draining = json_is_true(value);
		return ch->has_draining;
	}
	if (!strcmp(key, "address"))
		return take_text(ch->address, value);
	if (!strcmp(key, "pool"))
		return take_text(ch->pool, value);
	if (!strcmp(key, "worker"))
		return take_text(ch->worker, value);
	return false;
}

bool change_parse(struct change *ret, const char *body, size_t n, char *error, size_t error_size)
{
	json_error_t where;
	json_t *object = json_loadb(body, n, JSON_REJECT_DUPLICATES, &where), *value;
	const char *key;
	struct change ch = { 0 };
	bool ok = json_is_object(object);
	if (!object)
		snprintf(error, error_size, "the body is no JSON: %s", where.text);
	else if (!ok)
		snprintf(error, error_size, "the body is no JSON object");
	if (ok) {
		json_object_foreach(object, key, value)
		{
			if (take_member(&ch, key, value))
				continue;
			snprintf(error, error_size,
				"\"%.40s\" is no member of a change, or has a wrong value: there are "
				"draining (true or false), address, pool and worker",
				key);
			ok = false;
			break;
		}
	}
	json_decref(object);
	if (ok)
		*ret = ch;
	return ok;
}
