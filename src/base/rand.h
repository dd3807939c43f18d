/* rand: a small seeded generator (xoshiro256**, Blackman and Vigna 2018). Not for secrets: those come from
 * getrandom. */
#pragma once
#include <stdint.h>

struct rand {
	uint64_t s[4];
};

void rand_seed(struct rand *r, uint64_t seed);
uint64_t rand_u64(struct rand *r);

/* Evenly from 0 to n - 1; n is at least 1. */
uint64_t rand_below(struct rand *r, uint64_t n);

/* True with a chance of ppm in a million. */
static inline int rand_chance(struct rand *r, uint32_t ppm)
{
	return rand_below(r, 1000000) < ppm;
}
