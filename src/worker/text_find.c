#include "worker/text_find.h"

#include "worker/json_in.h"
#include "worker/utf8.h"

#include <jansson.h>
#include <string.h>

static struct str skip_space(struct str s)
{
	while (s.len && memchr(" \t\r\n", s.ptr[0], 4))
		s = str_skip(s, 1);
	return s;
}

static bool find_in_json(struct str body, struct str *ret_text, json_t **ret_root, struct why *why)
{
	json_error_t error;
	if (body.len > JSON_IN_MAX_BYTES)
		return why_set(why, "a JSON body may have %d bytes; a longer text can be sent as text/plain",
			JSON_IN_MAX_BYTES);
	json_t *root = json_loadb(
		body.ptr, body.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY, &error);
	if (!root)
		return why_set(why,
			"the body is not JSON: %s, at byte %d (a plain text that starts with '{' needs "
			"Content-Type: text/plain)",
			error.text, error.position);
	const json_t *text = json_object_get(root, "text");
	bool object = json_is_object(root) || json_is_null(root), none = !text || json_is_null(text);
	if (!object || (!none && !json_is_string(text))) {
		json_decref(root);
		return object ? why_set(why, "\"text\" must be a string")
			      : why_set(why, "the body must be a JSON object: {\"text\": \"…\"}");
	}
	*ret_text = none ? (struct str){ NULL, 0 }
			 : (struct str){ json_string_value(text), json_string_length(text) };
	*ret_root = root;
	return true;
}

bool text_find(
	struct str body, enum body_type type, struct str *ret_text, struct json_t **ret_root, struct why *why)
{
	struct str start = skip_space(body);
	*ret_root = NULL;
	if (start.len == 0) {
		*ret_text = (struct str){ NULL, 0 };
		return true;
	}
	if (type == BODY_JSON || (type == BODY_UNSAID && start.ptr[0] == '{'))
		return find_in_json(body, ret_text, ret_root, why);
	size_t bad = utf8_check(body);
	if (bad < body.len)
		return why_set(
			why, "the text is not UTF-8: byte %zu is 0x%02x", bad, (unsigned char)body.ptr[bad]);
	*ret_text = body;
	return true;
}

void text_found_free(struct json_t *root)
{
	json_decref(root);
}
