/* str: a slice of bytes that somebody else owns. Never NUL-terminated by contract. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct str {
	const char *ptr; /* borrowed */
	size_t len;
};

#define STR(literal) ((struct str){ (literal), sizeof(literal) - 1 })
#define STR_FMT      "%.*s"
#define STR_ARG(s)   (int)(s).len, (s).ptr

static inline struct str str_of(const char *cstr)
{
	return (struct str){ cstr, cstr ? strlen(cstr) : 0 };
}

static inline bool str_eq(struct str a, struct str b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline bool str_starts(struct str s, struct str prefix)
{
	return s.len >= prefix.len && (prefix.len == 0 || memcmp(s.ptr, prefix.ptr, prefix.len) == 0);
}

static inline struct str str_skip(struct str s, size_t n)
{
	size_t gone = n < s.len ? n : s.len;
	return (struct str){ gone ? s.ptr + gone : s.ptr, s.len - gone };
}

static inline char ascii_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* ASCII case is ignored; the locale plays no part. */
bool str_eq_nocase(struct str a, struct str b);

/* Without leading and trailing spaces and tabs. */
struct str str_trim(struct str s);

/* Cuts s at the first `sep`: returns what stands before it, and leaves the rest in *s (empty, with ptr NULL,
 * when there was no sep). */
struct str str_cut(struct str *s, char sep);

/* Decimal digits only, no sign, no space. False when empty, not a number or over UINT64_MAX; *ret is then
 * untouched. */
bool str_to_u64(struct str s, uint64_t *ret);

/* 1 to 63 letters, digits, '-', '_' and '.', with no '.' in front: a name that may stand as it is in metrics,
 * reports and paths. */
bool str_is_name(struct str s);

/* Copies at most size - 1 bytes and a NUL; returns dst. size: at least 1. */
char *str_copy(char *dst, size_t size, struct str s);
