/* position: what it costs to tell a waiting request its place.
 *
 *   position [N]        (1,000,000 by default)
 *
 * Fills base/order.h so that N entries are left when one in ten has gone from the middle, and prints, as one
 * JSON object, the mean cost in nanoseconds of a rank asked for at random, of one in order, and of a removal
 * with a push at the end.
 */
#include "base/order.h"
#include "clock.h"

enum { ASKED = 1000000 };

struct waiting {
	struct order_entry entry;
	char request[96]; /* what else a queued exchange keeps near its entry */
};

static uint64_t random_state = 88172645463325252u;

static double ranks_ns(const struct order *o, struct waiting *all, const uint32_t *which)
{
	uint64_t sum = 0, t = now_ns();
	for (uint32_t i = 0; i < ASKED; i++)
		sum += order_rank(o, &all[which[i]].entry);
	t = now_ns() - t;
	CHECK(sum > 0); /* and so the ranks are computed */
	return (double)t / ASKED;
}

static double moves_ns(struct order *o, struct waiting *all, const uint32_t *which)
{
	uint64_t t = now_ns();
	for (uint32_t i = 0; i < ASKED; i++) {
		struct order_entry *e = &all[which[i]].entry;
		order_remove(o, e);
		if (order_push(o, e) < 0)
			die("order_push");
	}
	return (double)(now_ns() - t) / ASKED;
}

int main(int argc, char **argv)
{
	uint32_t n = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 1000000;
	uint32_t total = n + (n + 8) / 9;
	struct waiting *all = calloc(total, sizeof *all);
	uint32_t *chance = calloc(ASKED, sizeof *chance), *in_order = calloc(ASKED, sizeof *in_order);
	struct order o;
	if (n < 10 || !all || !chance || !in_order)
		die("position");
	order_init(&o);
	for (uint32_t i = 0; i < total; i++) {
		if (order_push(&o, &all[i].entry) < 0)
			die("order_push");
	}
	for (uint32_t i = 0; i < total; i += 10)
		order_remove(&o, &all[i].entry);
	for (uint32_t i = 0; i < ASKED; i++) {
		chance[i] = (uint32_t)(next_random(&random_state) % (total / 10)) * 10 + 1 + i % 9;
		in_order[i] = i % (total / 10) * 10 + 1 + i % 9;
	}
	printf("{\"entries\": %u, \"rank_ns\": %.1f, \"rank_in_order_ns\": %.1f", order_len(&o),
		ranks_ns(&o, all, chance), ranks_ns(&o, all, in_order));
	printf(", \"remove_and_push_ns\": %.1f}\n", moves_ns(&o, all, chance));
	return 0;
}
