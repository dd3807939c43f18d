/* scan: finds the first byte of a class, sixteen bytes at a step where SSE2 is there (every x86-64).
 *
 * Never:  reads outside [at, end): the last bytes, fewer than sixteen, are looked at one by one.
 */
#pragma once
#include "http/chars.h"

#ifdef __SSE2__
#include <emmintrin.h>

/* One bit a byte of x, set where the scan stops. The same classes as in chars.c. */
static inline unsigned scan_hits(__m128i x, enum char_class stop)
{
	__m128i del = _mm_cmpeq_epi8(x, _mm_set1_epi8(0x7f)), hit;
	if (stop == STOP_NAME) {
		/* A range moved to end at 127 is what is over its lower bound; no byte wraps into it. */
		__m128i lower = _mm_or_si128(x, _mm_set1_epi8(0x20));
		__m128i letter = _mm_cmpgt_epi8(
			_mm_add_epi8(lower, _mm_set1_epi8(127 - 'z')), _mm_set1_epi8(127 - 26));
		__m128i digit =
			_mm_cmpgt_epi8(_mm_add_epi8(x, _mm_set1_epi8(127 - '9')), _mm_set1_epi8(127 - 10));
		__m128i dash = _mm_cmpeq_epi8(x, _mm_set1_epi8('-'));
		return (unsigned)_mm_movemask_epi8(_mm_or_si128(_mm_or_si128(letter, digit), dash)) ^ 0xffff;
	}
	if (stop == STOP_VALUE) {
		__m128i control = _mm_cmpeq_epi8(_mm_min_epu8(x, _mm_set1_epi8(0x1f)), x);
		__m128i tab = _mm_cmpeq_epi8(x, _mm_set1_epi8('\t'));
		hit = _mm_or_si128(_mm_andnot_si128(tab, control), del);
	} else {
		/* Signed: what is over 0x7f is below zero. */
		hit = _mm_or_si128(_mm_cmplt_epi8(x, _mm_set1_epi8('!')), del);
		hit = _mm_or_si128(hit, _mm_cmpeq_epi8(x, _mm_set1_epi8('#')));
	}
	if (stop == STOP_PATH) {
		hit = _mm_or_si128(hit, _mm_cmpeq_epi8(x, _mm_set1_epi8('?')));
		hit = _mm_or_si128(hit, _mm_cmpeq_epi8(x, _mm_set1_epi8('\\')));
	}
	return (unsigned)_mm_movemask_epi8(hit);
}
#endif

/* The first byte in [at, end) of class `stop`, a constant of the STOP_ kind; `end` when there is none. */
static inline const char *scan_to(const char *at, const char *end, enum char_class stop)
{
#ifdef __SSE2__
	for (; end - at >= 16; at += 16) {
		unsigned hits = scan_hits(_mm_loadu_si128((const __m128i *)(const void *)at), stop);
		if (hits)
			return at + (unsigned)__builtin_ctz(hits);
	}
#endif
	while (at < end && !char_is(*at, stop))
		at++;
	return at;
}
