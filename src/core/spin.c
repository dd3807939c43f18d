#include "core/spin.h"

enum {
	SAVED_US = 100 * 1000, /* the share of so much time can be saved up */
	BEGIN_US = 20 * 1000,  /* and polling begins when the share of so much is there */
	WINDOW_US = 1000,      /* until it is asked again */
	WAKE_US = 25,          /* what falling asleep and waking up costs, measured on a virtual machine */
	DEVIATIONS = 2,        /* around the mean: where most service times lie */
	LOOK_AT = 8,           /* slots whose request has taken longer than that */
};

uint64_t spin_due_us(const struct pool *p, uint64_t now_us)
{
	uint64_t mean_us = p->service_mean_x16 / 16, spread_us = DEVIATIONS * p->service_deviation_x16 / 16;
	struct list_node *n = list_first(&p->serving);
	if (!p->service_mean_x16 || order_len(&p->queue) == 0)
		return UINT64_MAX;
	for (int i = 0; n && i < LOOK_AT; i++, n = list_next(&p->serving, n)) {
		const struct ticket *t = CONTAINER_OF(n, struct slot, pool_node)->ticket;
		if (!t || now_us > t->dispatched_us + mean_us + spread_us)
			continue;
		uint64_t earliest_us =
			t->dispatched_us + mean_us - (spread_us < mean_us ? spread_us : mean_us);
		return earliest_us > now_us ? earliest_us : now_us;
	}
	return UINT64_MAX;
}

void spin_spend(struct spin *s, uint64_t polled_us, uint64_t hits)
{
	uint64_t saved_us = hits * WAKE_US;
	uint64_t spent = polled_us > saved_us ? (polled_us - saved_us) * 100 : 0;
	s->credit -= spent < s->credit ? spent : s->credit;
}

struct spin_window spin_next(struct spin *s, uint64_t due_us, uint32_t share_percent, uint64_t now_us)
{
	uint64_t most = (uint64_t)SAVED_US * share_percent;
	s->credit += (now_us - s->at_us) * share_percent;
	s->at_us = now_us;
	if (s->credit > most)
		s->credit = most;
	s->awake = s->credit >= (s->awake ? 100u : (uint64_t)BEGIN_US * share_percent);
	if (!s->awake || due_us == UINT64_MAX)
		return (struct spin_window){ 0, 0 };
	uint64_t may_us = s->credit / 100;
	return (struct spin_window){ due_us, due_us + (may_us < WINDOW_US ? may_us : WINDOW_US) };
}
