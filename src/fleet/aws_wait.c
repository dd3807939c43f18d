#include "fleet/aws_deploy.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define S 1000000ull

enum { LOOK_S = 2, RUNNING_MAX_S = 600, TERMINATED_MAX_S = 900 };
enum { LATE_TEXT = 280, LATE_ONE = 88 }; /* of those that are not up; the longest of one, and the end */

static uint64_t clock_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * S + (uint64_t)now.tv_nsec / 1000;
}

static int fail_interrupted(struct aws_deploy *d)
{
	snprintf(d->why, sizeof d->why, "interrupted");
	return -1;
}

static int look(struct aws_deploy *d)
{
	if (aws_look_for_instances(d->aws, d->cluster, &d->found) == 0)
		return 0;
	str_copy(d->why, sizeof d->why, str_of(d->aws->why));
	return -1;
}

static const struct aws_instance *find(const struct aws_found *f, const char *id)
{
	for (size_t i = 0; i < f->n_instances; i++) {
		if (!strcmp(f->instances[i].id, id))
			return &f->instances[i];
	}
	return NULL;
}

static bool is_start(const struct aws_step *s)
{
	return (s->kind == AWS_START_WORKER || s->kind == AWS_START_ORCHESTRATOR) && s->done;
}

/* ---- instances ---- */

/* How many of those that were started run; -1 with d->why when one has ended. A new one may not be seen yet.
 */
static int count_running(struct aws_deploy *d, const struct aws_plan *plan, int *ret_all)
{
	int running = 0;
	char name[AWS_NAME];
	*ret_all = 0;
	for (size_t i = 0; i < plan->n; i++) {
		const struct aws_step *s = &plan->steps[i];
		if (!is_start(s))
			continue;
		++*ret_all;
		const struct aws_instance *now = find(&d->found, s->instance.id);
		if (now && !aws_is_live(now)) {
			snprintf(d->why, sizeof d->why, "%s (%s) ended as soon as it had started: %s",
				aws_instance_name(&s->instance, name), s->instance.id,
				now->reason[0] ? now->reason : "EC2 does not say why");
			return -1;
		}
		running += now && now->state == AWS_RUNNING && now->private_ip[0];
	}
	return running;
}

int aws_wait_running(struct aws_deploy *d, struct aws_plan *plan)
{
	uint64_t end = clock_us() + RUNNING_MAX_S * S;
	for (;;) {
		int all, running;
		if (look(d) || (running = count_running(d, plan, &all)) < 0)
			return -1;
		if (running == all)
			return 0;
		aws_tell(d, AWS_NEWS_WAIT, "%d of %d new instances run", running, all);
		if (clock_us() > end) {
			snprintf(d->why, sizeof d->why, "only %d of %d new instances run after %d minutes",
				running, all, RUNNING_MAX_S / 60);
			return -1;
		}
		if (!aws_pause(d->aws, LOOK_S * S))
			return fail_interrupted(d);
	}
}

static int count_left(const struct aws_deploy *d, const struct aws_plan *plan)
{
	int left = 0;
	for (size_t i = 0; i < plan->n; i++) {
		const struct aws_step *s = &plan->steps[i];
		const struct aws_instance *now;
		if (s->kind != AWS_TERMINATE)
			continue;
		now = find(&d->found, s->instance.id);
		left += now && now->state != AWS_TERMINATED;
	}
	return left;
}

/* Also those that somebody else has ended just now: their groups are in use until they are gone. */
static int count_ending(const struct aws_deploy *d)
{
	int ending = 0;
	for (size_t i = 0; i < d->found.n_instances; i++)
		ending += d->found.instances[i].state == AWS_ENDING;
	return ending;
}

static bool removes_groups(const struct aws_plan *plan)
{
	for (size_t i = 0; i < plan->n; i++) {
		if (plan->steps[i].kind == AWS_REMOVE_GROUP)
			return true;
	}
	return false;
}

int aws_wait_terminated(struct aws_deploy *d, const struct aws_plan *plan)
{
	uint64_t end = clock_us() + TERMINATED_MAX_S * S;
	int left = count_left(d, plan) + (removes_groups(plan) ? count_ending(d) : 0);
	while (left) {
		if (look(d))
			return -1;
		left = count_left(d, plan);
		if (removes_groups(plan) && !left)
			left = count_ending(d);
		if (!left)
			break;
		aws_tell(d, AWS_NEWS_WAIT, "%d instance%s to end", left, left == 1 ? "" : "s");
		if (clock_us() > end) {
			snprintf(d->why, sizeof d->why, "%d instances have not ended after %d minutes", left,
				TERMINATED_MAX_S / 60);
			return -1;
		}
		if (!aws_pause(d->aws, LOOK_S * S))
			return fail_interrupted(d);
	}
	return 0;
}

/* ---- the front ---- */

bool aws_stays(const struct aws_plan *plan, const struct aws_instance *i)
{
	for (size_t k = 0; k < plan->n; k++) {
		if (plan->steps[k].kind == AWS_TERMINATE && !strcmp(plan->steps[k].instance.id, i->id))
			return false;
	}
	return aws_is_live(i);
}

static void expect_all(const struct aws_deploy *d, const struct aws_wanted *w, const struct aws_plan *plan,
	struct aws_expected *e)
{
	*e = (struct aws_expected){ 0 };
	for (size_t i = 0; i < d->found.n_instances; i++) {
		const struct aws_instance *one = &d->found.instances[i];
		if (one->role == AWS_WORKER && aws_stays(plan, one))
			aws_expect(e, one, w->containers);
	}
}

static void tell_readiness(struct aws_deploy *d, const struct aws_ready *r, const struct aws_expected *e)
{
	if (!r->answered)
		aws_tell(d, AWS_NEWS_WAIT, "the front at http://%s does not answer yet (%s)", d->front,
			r->why);
	else if (r->draining)
		aws_tell(d, AWS_NEWS_WAIT, "%u of %u containers are up, %u drain", aws_count_up(r, e),
			e->containers, r->draining);
	else
		aws_tell(d, AWS_NEWS_WAIT, "%u of %u containers are up", aws_count_up(r, e), e->containers);
}

/* "worker 3 (i-…) has 0 of 2, …": those that stay and are not up, as far as they fit. */
static const char *name_late(const struct aws_deploy *d, const struct aws_wanted *w,
	const struct aws_plan *plan, const struct aws_ready *r, char text[LATE_TEXT])
{
	char name[AWS_NAME];
	size_t at = 0;
	text[0] = '\0';
	for (size_t i = 0; i < d->found.n_instances && r->tells_workers; i++) {
		const struct aws_instance *one = &d->found.instances[i];
		const struct aws_generation *g = aws_worker_counts(r, one);
		uint32_t up = g ? g->up : 0;
		if (one->role != AWS_WORKER || !aws_stays(plan, one) || up >= w->containers)
			continue;
		if (at + LATE_ONE > LATE_TEXT) {
			snprintf(text + at, LATE_TEXT - at, ", …");
			break;
		}
		at += (size_t)snprintf(text + at, LATE_TEXT - at, "%s%.20s (%.24s) has %u of %u",
			at ? ", " : ": ", aws_instance_name(one, name), one->id, up, w->containers);
	}
	return text;
}

static int fail_late(struct aws_deploy *d, const struct aws_wanted *w, const struct aws_plan *plan,
	const struct aws_ready *r, const struct aws_expected *e)
{
	unsigned long long seconds = w->ready_us / S;
	char late[LATE_TEXT];
	if (!r->answered)
		snprintf(d->why, sizeof d->why,
			"the front at http://%s has not answered within %llu s (%.100s): may this "
			"machine reach it "
			"(--admin-cidr)? --no-wait does not ask, --ready-timeout waits longer",
			d->front, seconds, r->why);
	else
		snprintf(d->why, sizeof d->why,
			"%u of %u containers are up after %llu s (%u in all, %u drain)%s; berth status tells "
			"more, --ready-timeout waits longer",
			aws_count_up(r, e), e->containers, seconds, r->containers, r->draining,
			name_late(d, w, plan, r, late));
	return -1;
}

int aws_wait_ready(
	struct aws_deploy *d, const struct aws_wanted *w, const struct aws_plan *plan, bool exactly)
{
	uint64_t end = clock_us() + w->ready_us;
	struct aws_expected *e = malloc(sizeof *e);
	struct aws_ready *r = malloc(sizeof *r);
	int result = -1;
	snprintf(d->why, sizeof d->why, "out of memory");
	if (e && r)
		expect_all(d, w, plan, e);
	while (e && r) {
		aws_front_ask(d->front, r);
		if (exactly ? aws_is_complete(r, e) : r->answered && aws_count_up(r, e) == e->containers) {
			result = 0;
			break;
		}
		tell_readiness(d, r, e);
		if (clock_us() > end) {
			result = fail_late(d, w, plan, r, e);
			break;
		}
		if (!aws_pause(d->aws, S / 2)) {
			result = fail_interrupted(d);
			break;
		}
	}
	free(e);
	free(r);
	return result;
}
