/* hist: a log-linear histogram of nanoseconds: exact below 64, then 64 steps an octave (error below 1.6 %).
 */
#pragma once
#include <stdint.h>

enum { HIST_STEPS = 64, HIST_SLOTS = HIST_STEPS * 40 };

struct hist {
	uint64_t n, sum, max;
	uint32_t slot[HIST_SLOTS];
};

static inline unsigned hist_index(uint64_t ns)
{
	if (ns < HIST_STEPS)
		return (unsigned)ns;
	unsigned octave = 63u - (unsigned)__builtin_clzll(ns); /* >= 6 */
	unsigned step = (unsigned)(ns >> (octave - 6)) & (HIST_STEPS - 1);
	unsigned i = (octave - 5) * HIST_STEPS + step;
	return i < HIST_SLOTS ? i : HIST_SLOTS - 1;
}

/* The smallest value of slot i. */
static inline uint64_t hist_value(unsigned i)
{
	if (i < HIST_STEPS)
		return i;
	unsigned octave = i / HIST_STEPS + 5;
	return (1ull << octave) | ((uint64_t)(i % HIST_STEPS) << (octave - 6));
}

static inline void hist_add(struct hist *h, uint64_t ns)
{
	h->slot[hist_index(ns)]++;
	h->n++;
	h->sum += ns;
	if (ns > h->max)
		h->max = ns;
}

static inline void hist_merge(struct hist *to, const struct hist *from)
{
	for (unsigned i = 0; i < HIST_SLOTS; i++)
		to->slot[i] += from->slot[i];
	to->n += from->n;
	to->sum += from->sum;
	if (from->max > to->max)
		to->max = from->max;
}

/* In microseconds; 0 while it is empty. */
static inline double hist_percentile_us(const struct hist *h, double percent)
{
	double want = (double)h->n * percent / 100.0;
	uint64_t seen = 0;
	for (unsigned i = 0; i < HIST_SLOTS && h->n; i++) {
		seen += h->slot[i];
		if (seen && (double)seen >= want)
			return (double)hist_value(i) / 1e3;
	}
	return (double)h->max / 1e3;
}

static inline double hist_mean_us(const struct hist *h)
{
	return h->n ? (double)h->sum / (double)h->n / 1e3 : 0.0;
}
