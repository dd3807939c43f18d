/* reader: reads with libjansson what our writer wrote. On its own, for both have a json_string. */
#pragma once
#include "base/str.h"

/* `json` is one JSON value and nothing else. */
bool reader_accepts(struct str json);

/* As a number; NaN when it is none. */
double reader_number(struct str json);

/* Elements of an array, members of an object; 0 for everything else. */
size_t reader_size(struct str json);

/* It is a string and has these bytes. */
bool reader_is_string(struct str json, struct str expected);

/* The object's member is a string with these bytes, or an integer that reads so. */
bool reader_member_is(struct str json, const char *key, const char *expected);
