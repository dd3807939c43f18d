#include "base/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

void json_init(struct json *j)
{
	*j = (struct json){ 0 };
}

void json_finish(struct json *j)
{
	free(j->buf);
	*j = (struct json){ 0 };
}

void json_reset(struct json *j)
{
	j->len = 0;
	j->comma = false;
	j->failed = false;
}

static bool reserve(struct json *j, size_t more)
{
	if (j->failed)
		return false;
	if (j->cap - j->len >= more)
		return true;
	size_t cap = j->cap ? j->cap : 256;
	while (cap - j->len < more)
		cap *= 2;
	char *buf = realloc(j->buf, cap);
	if (!buf) {
		j->failed = true;
		return false;
	}
	j->buf = buf;
	j->cap = cap;
	return true;
}

static void put(struct json *j, const char *p, size_t n)
{
	if (n == 0 || !reserve(j, n))
		return;
	memcpy(j->buf + j->len, p, n);
	j->len += n;
}

static void before_value(struct json *j)
{
	if (j->comma)
		put(j, ",", 1);
	j->comma = true;
}

void json_open(struct json *j, char bracket)
{
	before_value(j);
	put(j, &bracket, 1);
	j->comma = false;
}

void json_close(struct json *j, char bracket)
{
	put(j, &bracket, 1);
	j->comma = true;
}

/* Bytes of the UTF-8 sequence at p, 0 when it is none (RFC 3629 §4). */
static size_t utf8_len(const unsigned char *p, size_t n)
{
	unsigned char c = p[0];
	if (c < 0x80)
		return 1;
	if (c < 0xc2 || c > 0xf4)
		return 0;
	size_t len = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
	if (n < len)
		return 0;
	unsigned char lo = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
	unsigned char hi = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
	if (p[1] < lo || p[1] > hi)
		return 0;
	for (size_t i = 2; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	}
	return len;
}

static void put_escaped(struct json *j, unsigned char c)
{
	static const char shorts[] = "\b\t\n\f\r\"\\", letters[] = "btnfr\"\\";
	const char *at = c ? strchr(shorts, c) : NULL;
	char text[8];
	if (at)
		snprintf(text, sizeof text, "\\%c", letters[at - shorts]);
	else
		snprintf(text, sizeof text, "\\u%04x", c);
	put(j, text, strlen(text));
}

/* Eight bytes that all stand as they are; false also for a few that do. A byte's top bit is set by what is
 * subtracted where that is more than the byte. */
static bool are_plain(const unsigned char *p)
{
	const uint64_t ones = UINT64_C(0x0101010101010101), tops = ones << 7;
	uint64_t x;
	memcpy(&x, p, sizeof x);
	return !((x | (x - ones * 0x20) | ((x ^ ones * '"') - ones) | ((x ^ ones * '\\') - ones)) & tops);
}

/* How many bytes at least stand as they are: by eights, of which the last two may overlap. */
static size_t plain_len(const unsigned char *p, size_t n)
{
	size_t i = 0;
	while (n - i >= 8 && are_plain(p + i))
		i += 8;
	return n >= 8 && n - i < 8 && are_plain(p + n - 8) ? n : i;
}

static void put_quoted(struct json *j, struct str s)
{
	const unsigned char *p = (const unsigned char *)s.ptr;
	size_t from = 0, i = 0;
	put(j, "\"", 1);
	while ((i += plain_len(p + i, s.len - i)) < s.len) {
		size_t len = utf8_len(p + i, s.len - i);
		if (len > 1 || (len == 1 && p[i] >= 0x20 && p[i] != '"' && p[i] != '\\')) {
			i += len;
			continue;
		}
		put(j, s.ptr + from, i - from);
		if (len)
			put_escaped(j, p[i]);
		else
			put(j, "\xef\xbf\xbd", 3);
		from = ++i;
	}
	if (s.len > from)
		put(j, s.ptr + from, s.len - from);
	put(j, "\"", 1);
}

void json_key(struct json *j, const char *key)
{
	before_value(j);
	put_quoted(j, str_of(key));
	put(j, ":", 1);
	j->comma = false;
}

void json_write_string(struct json *j, struct str s)
{
	before_value(j);
	put_quoted(j, s);
}

static void put_u64(struct json *j, uint64_t v)
{
	char text[24], *at = text + sizeof text;
	do
		*--at = (char)('0' + v % 10);
	while (v /= 10);
	put(j, at, (size_t)(text + sizeof text - at));
}

void json_u64(struct json *j, uint64_t v)
{
	before_value(j);
	put_u64(j, v);
}

void json_i64(struct json *j, int64_t v)
{
	before_value(j);
	if (v < 0)
		put(j, "-", 1);
	put_u64(j, v < 0 ? -(uint64_t)v : (uint64_t)v);
}

void json_thousandths(struct json *j, uint64_t v)
{
	unsigned rest = (unsigned)(v % 1000);
	char text[4] = { '.', (char)('0' + rest / 100), (char)('0' + rest / 10 % 10),
		(char)('0' + rest % 10) };
	size_t n = rest % 10 ? 4 : rest % 100 ? 3 : rest ? 2 : 0;
	before_value(j);
	put_u64(j, v / 1000);
	put(j, text, n);
}

void json_double(struct json *j, double v)
{
	char text[32];
	if (!isfinite(v)) {
		json_null(j);
		return;
	}
	before_value(j);
	for (int digits = 15; digits <= 17; digits++) {
		snprintf(text, sizeof text, "%.*g", digits, v);
		if (strtod(text, NULL) == v)
			break;
	}
	put(j, text, strlen(text));
}

void json_float(struct json *j, float v)
{
	char text[32];
	if (!isfinite(v)) {
		json_null(j);
		return;
	}
	before_value(j);
	for (int digits = 6; digits <= 9; digits++) {
		snprintf(text, sizeof text, "%.*g", digits, (double)v);
		if (strtof(text, NULL) == v)
			break;
	}
	put(j, text, strlen(text));
}

void json_bool(struct json *j, bool v)
{
	before_value(j);
	put(j, v ? "true" : "false", v ? 4 : 5);
}

void json_raw(struct json *j, struct str value)
{
	before_value(j);
	put(j, value.ptr, value.len);
}

void json_bytes(struct json *j, struct str bytes)
{
	put(j, bytes.ptr, bytes.len);
}
