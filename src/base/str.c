#include "base/str.h"

enum { NAME_BYTES_MAX = 63 };

bool str_eq_nocase(struct str a, struct str b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++) {
		if (a.ptr[i] != b.ptr[i] && ascii_lower(a.ptr[i]) != ascii_lower(b.ptr[i]))
			return false;
	}
	return true;
}

struct str str_trim(struct str s)
{
	while (s.len && (s.ptr[0] == ' ' || s.ptr[0] == '\t'))
		s = (struct str){ s.ptr + 1, s.len - 1 };
	while (s.len && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t'))
		s.len--;
	return s;
}

struct str str_cut(struct str *s, char sep)
{
	const char *at = s->len ? memchr(s->ptr, sep, s->len) : NULL;
	struct str head = *s;
	if (!at) {
		*s = (struct str){ NULL, 0 };
		return head;
	}
	head.len = (size_t)(at - s->ptr);
	*s = str_skip(*s, head.len + 1);
	return head;
}

bool str_to_u64(struct str s, uint64_t *ret)
{
	enum { NEVER_OVER = 19 }; /* digits: 10^19 - 1 fits */
	uint64_t v = 0;
	if (s.len == 0)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		unsigned digit = (unsigned)(unsigned char)s.ptr[i] - '0';
		if (digit > 9)
			return false;
		if (i < NEVER_OVER)
			v = v * 10 + digit;
		else if (__builtin_mul_overflow(v, 10u, &v) || __builtin_add_overflow(v, digit, &v))
			return false;
	}
	*ret = v;
	return true;
}

bool str_is_name(struct str s)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.";
	for (size_t i = 0; i < s.len; i++) {
		if (!memchr(allowed, s.ptr[i], sizeof allowed - 1))
			return false;
	}
	return s.len > 0 && s.len <= NAME_BYTES_MAX && s.ptr[0] != '.';
}

char *str_copy(char *dst, size_t size, struct str s)
{
	size_t n = s.len < size - 1 ? s.len : size - 1;
	if (n)
		memcpy(dst, s.ptr, n);
	dst[n] = '\0';
	return dst;
}
