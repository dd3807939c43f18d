#include "http/write.h"

#include <endian.h>

enum { U64_DIGITS = 20 };

static const char pairs[] = "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
			    "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
			    "8081828384858687888990919293949596979899";

/* The digits of v, right-aligned before `end`; returns where they begin. */
static inline char *put_u64(char *end, uint64_t v)
{
	for (; v >= 100; v /= 100)
		memcpy(end -= 2, pairs + v % 100 * 2, 2);
	if (v < 10)
		*--end = (char)('0' + v);
	else
		memcpy(end -= 2, pairs + v * 2, 2);
	return end;
}

void write_u64(struct writer *w, uint64_t v)
{
	char text[U64_DIGITS], *end = text + sizeof text, *p = put_u64(end, v);
	write_bytes(w, p, (size_t)(end - p));
}

/* The eight digits of v, the highest in the lowest byte: every four bits get a byte of their own, and become
 * letters or digits all at once. */
static inline uint64_t hex_digits(uint32_t v)
{
	uint64_t x = v;
	x = (x & 0xffff) << 32 | x >> 16;
	x = (x & 0x000000ff000000ff) << 16 | (x & 0x0000ff000000ff00) >> 8;
	x = (x & 0x000f000f000f000f) << 8 | (x & 0x00f000f000f000f0) >> 4;
	uint64_t letters = (x + 0x0606060606060606) >> 4 & 0x0101010101010101;
	return htole64(x + 0x3030303030303030 + letters * ('a' - '0' - 10));
}

void hex_u64(char into[HEX_U64], uint64_t v)
{
	uint64_t halves[2] = { hex_digits((uint32_t)(v >> 32)), hex_digits((uint32_t)v) };
	memcpy(into, halves, sizeof halves);
}

void write_hex(struct writer *w, uint64_t v, int digits)
{
	char text[HEX_U64];
	hex_u64(text, v);
	int needed = v ? (67 - __builtin_clzll(v)) / 4 : 1;
	int n = digits ? digits : needed;
	write_bytes(w, text + HEX_U64 - n, (size_t)n);
}

void write_ms(struct writer *w, uint64_t us)
{
	char text[U64_DIGITS + 1], *end = text + sizeof text, *p = end - 4;
	unsigned part = (unsigned)(us % 1000);
	p[0] = '.';
	p[1] = (char)('0' + part / 100);
	memcpy(p + 2, pairs + part % 100 * 2, 2);
	p = put_u64(p, us / 1000);
	write_bytes(w, p, (size_t)(end - p));
}
