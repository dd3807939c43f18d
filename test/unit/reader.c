#include "reader.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>

/* The caller gives it back. */
static json_t *load(struct str json)
{
	return json_loadb(
		json.ptr, json.len, JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, NULL);
}

bool reader_accepts(struct str json)
{
	json_t *value = load(json);
	json_decref(value);
	return value;
}

double reader_number(struct str json)
{
	json_t *value = load(json);
	double number = json_is_number(value) ? json_number_value(value) : (double)NAN;
	json_decref(value);
	return number;
}

size_t reader_size(struct str json)
{
	json_t *value = load(json);
	size_t size = json_is_array(value) ? json_array_size(value) : json_object_size(value);
	json_decref(value);
	return size;
}

static bool is_string(const json_t *value, struct str expected)
{
	return json_is_string(value) &&
		str_eq((struct str){ json_string_value(value), json_string_length(value) }, expected);
}

bool reader_is_string(struct str json, struct str expected)
{
	json_t *value = load(json);
	bool is = is_string(value, expected);
	json_decref(value);
	return is;
}

bool reader_member_is(struct str json, const char *key, const char *expected)
{
	char number[32];
	json_t *object = load(json), *value = json_object_get(object, key);
	snprintf(number, sizeof number, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
	bool is = json_is_integer(value) ? str_eq(str_of(number), str_of(expected))
					 : is_string(value, str_of(expected));
	json_decref(object);
	return is;
}
