#include "http/write.h"

void write_u64(struct writer *w, uint64_t v)
{
	char text[20], *p = text + sizeof text;
	do {
		*--p = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	write_bytes(w, p, (size_t)(text + sizeof text - p));
}

void write_hex(struct writer *w, uint64_t v, int digits)
{
	char text[16], *p = text + sizeof text;
	do {
		*--p = "0123456789abcdef"[v & 15];
		v >>= 4;
	} while (p > text && (digits ? text + sizeof text - p < digits : v != 0));
	write_bytes(w, p, (size_t)(text + sizeof text - p));
}

void write_ms(struct writer *w, uint64_t us)
{
	unsigned part = (unsigned)(us % 1000);
	write_u64(w, us / 1000);
	char text[4] = { '.', (char)('0' + part / 100), (char)('0' + part / 10 % 10),
		(char)('0' + part % 10) };
	write_bytes(w, text, sizeof text);
}
