/* rand: a small seeded generator (xoshiro256**, Blackman and Vigna 2018). Not for secrets: those come from
 * getrandom. */
#pragma once
#include <stdint.h>

struct rand {
	uint64_t s[4];
};

void rand_seed(struct rand *r, uint64_t seed);

static inline uint64_t rand_rotl(uint64_t x, int k)
{
	return (x << k) | (x >> (64 - k));
}

static inline uint64_t rand_u64(struct rand *r)
{
	uint64_t *s = r->s, result = rand_rotl(s[1] * 5, 7) * 9, t = s[1] << 17;
	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rand_rotl(s[3], 45);
	return result;
}

/* Evenly from 0 to n - 1; n is at least 1. */
static inline uint64_t rand_below(struct rand *r, uint64_t n)
{
	return (uint64_t)(((unsigned __int128)rand_u64(r) * n) >> 64);
}

/* True with a chance of ppm in a million. */
static inline int rand_chance(struct rand *r, uint32_t ppm)
{
	return rand_below(r, 1000000) < ppm;
}
