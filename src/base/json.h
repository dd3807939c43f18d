/* json: writes JSON into a buffer that grows. Reading is jansson's job.
 *
 * Strings that are not UTF-8 come out with U+FFFD in the place of each bad byte, so that the output always
 * parses. Without memory the writer goes quiet, and json_failed says so at the end: no call needs checking.
 */
#pragma once
#include "base/check.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

struct json {
	char *buf; /* owned */
	size_t len, cap;
	bool comma; /* the next value needs one first */
	bool failed;
};

void json_init(struct json *j);
void json_finish(struct json *j);
void json_reset(struct json *j); /* keeps the memory */
static inline bool json_failed(const struct json *j)
{
	return j->failed;
}
static inline struct str json_str(const struct json *j)
{
	return (struct str){ j->buf, j->len };
}

void json_open(struct json *j, char bracket);  /* '{' or '[' */
void json_close(struct json *j, char bracket); /* '}' or ']' */
void json_key(struct json *j, const char *key);
void json_write_string(struct json *j, struct str s);
void json_u64(struct json *j, uint64_t v);
void json_i64(struct json *j, int64_t v);
void json_thousandths(struct json *j, uint64_t v); /* 1500: 1.5 */
/* Text that reads back the same, the shortest but for subnormals; null when it is not finite. */
void json_double(struct json *j, double v);
void json_float(struct json *j, float v);
void json_bool(struct json *j, bool v);
void json_raw(struct json *j, struct str value);   /* a value that is JSON already */
void json_bytes(struct json *j, struct str bytes); /* appended as they are, no comma */

/* libjansson exports functions of these two names. Inline they have no symbol, so that its own calls never
 * end up here; but one file cannot include both headers. */
static inline void json_string(struct json *j, struct str s)
{
	json_write_string(j, s);
}
static inline void json_null(struct json *j)
{
	json_raw(j, STR("null"));
}
