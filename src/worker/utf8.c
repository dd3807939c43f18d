#include "worker/utf8.h"

/* Bytes of the sequence at p, n ≥ 1 of which are there; 0 when it is none. */
static size_t sequence(const unsigned char *p, size_t n)
{
	unsigned char first = p[0];
	size_t len = first < 0x80 ? 1
		: first < 0xc2    ? 0
		: first < 0xe0    ? 2
		: first < 0xf0    ? 3
		: first < 0xf5    ? 4
				  : 0;
	if (len > n)
		return 0;
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	}
	bool bad = (first == 0xe0 && p[1] < 0xa0) || (first == 0xed && p[1] > 0x9f) ||
		(first == 0xf0 && p[1] < 0x90) ||
		(first == 0xf4 && p[1] > 0x8f); /* overlong, surrogates, past U+10FFFF */
	return bad ? 0 : len;
}

size_t utf8_check(struct str s)
{
	const unsigned char *p = (const unsigned char *)s.ptr;
	size_t i = 0;
	while (i < s.len) {
		size_t len = p[i] < 0x80 ? 1 : sequence(p + i, s.len - i);
		if (len == 0)
			break;
		i += len;
	}
	return i;
}
