/* Workers that run and serve nothing: their start-up script failed, or their containers are gone. EC2 knows
 * nothing of that; the front does. */
#include "fleet/aws_deploy.h"

#include <stdlib.h>
#include <time.h>

#define S 1000000ull

enum { LOOKS = 3, PAUSE_S = 1 }; /* containers that are started anew may all be down for a moment */

static bool is_old(const struct aws_instance *i, uint64_t than_us)
{
	int64_t age_s = (int64_t)time(NULL) - i->launched_s;
	return i->state == AWS_RUNNING && i->launched_s && age_s > (int64_t)(than_us / S);
}

/* The orchestrator that runs so long that it knows of every worker. */
static const struct aws_instance *find_front(const struct aws_found *f, uint64_t ready_us)
{
	for (size_t i = 0; i < f->n_instances; i++) {
		if (f->instances[i].role == AWS_ORCHESTRATOR && is_old(&f->instances[i], ready_us))
			return &f->instances[i];
	}
	return NULL;
}

static size_t mark(struct aws_found *f, const struct aws_ready *r, uint64_t ready_us, bool first)
{
	size_t n = 0;
	for (size_t i = 0; i < f->n_instances; i++) {
		struct aws_instance *one = &f->instances[i];
		const struct aws_generation *g = aws_worker_counts(r, one);
		one->broken = (first || one->broken) && g && g->containers && !g->up && !one->draining &&
			is_old(one, ready_us);
		n += one->broken;
	}
	return n;
}

int aws_find_broken(struct aws_deploy *d, const struct aws_wanted *w)
{
	const struct aws_instance *front = find_front(&d->found, w->ready_us);
	struct aws_ready *r = front ? malloc(sizeof *r) : NULL;
	char host[AWS_IP + 2], name[AWS_NAME];
	int result = 0;
	if (!r)
		return 0;
	aws_front_host(front->public_ip[0] ? front->public_ip : front->private_ip, host);
	for (unsigned looks = 0; looks < LOOKS; looks++) {
		if (looks && !aws_pause(d->aws, PAUSE_S * S)) {
			snprintf(d->why, sizeof d->why, "interrupted");
			result = -1;
			break;
		}
		aws_front_ask(host, r);
		if (!mark(&d->found, r, w->ready_us, looks == 0))
			break;
	}
	for (size_t i = 0; i < d->found.n_instances && result == 0; i++) {
		const struct aws_instance *one = &d->found.instances[i];
		if (one->broken)
			aws_tell(d, AWS_NEWS_NOTE,
				"%s (%s) runs, and none of its containers is up: it is replaced",
				aws_instance_name(one, name), one->id);
	}
	free(r);
	return result;
}
