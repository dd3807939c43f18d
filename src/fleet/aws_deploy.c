#include "fleet/aws_deploy.h"

#include <stdlib.h>
#include <string.h>

enum { SETTLE_US = 2 * 1000 * 1000, SETTLES = 3, ROUNDS_MAX = 4, LOOKS_MAX = 30 };

void aws_deploy_init(struct aws_deploy *d, struct aws *aws, const char *cluster, const char *bucket)
{
	*d = (struct aws_deploy){ .aws = aws, .cluster = cluster, .bucket = bucket, .journal.fd = -1 };
	d->site = (struct aws_site){ .cluster = cluster, .region = aws->credentials.region, .seed = "" };
	aws_found_init(&d->found);
	d->site.found = &d->found;
}

void aws_deploy_finish(struct aws_deploy *d)
{
	aws_found_finish(&d->found);
}

static int look(struct aws_deploy *d)
{
	if (aws_look(d->aws, d->cluster, d->bucket, &d->found) == 0)
		return 0;
	str_copy(d->why, sizeof d->why, str_of(d->aws->why));
	return -1;
}

/* What is within what goes. */
static int look_within(struct aws_deploy *d, const struct aws_found *kept)
{
	if (aws_look_for_policies(d->aws, d->cluster, kept, &d->found) == 0)
		return 0;
	str_copy(d->why, sizeof d->why, str_of(d->aws->why));
	return -1;
}

/* ---- up: before anything is changed ---- */

static bool has_front_rule(const struct aws_found *f)
{
	for (size_t i = 0; i < f->n_rules; i++) {
		if (f->rules[i].to == AWS_ORCHESTRATOR)
			return true;
	}
	return false;
}

/* What was found may not fit to what is asked for. */
static bool fits(struct aws_deploy *d, const struct aws_wanted *w)
{
	char name[AWS_NAME];
	const struct aws_found *f = &d->found;
	for (enum aws_role role = 0; role < AWS_ROLES; role++) {
		if (!f->iam[role].foreign)
			continue;
		snprintf(d->why, sizeof d->why,
			"a role or instance profile %s is there already and does not carry the "
			"tag " AWS_TAG_CLUSTER "=%s: remove it, or choose another --name",
			aws_iam_name(d->cluster, d->site.region, role, name), d->cluster);
		return false;
	}
	if (w->settings->bucket && strcmp(w->settings->bucket, f->bucket) != 0) {
		snprintf(d->why, sizeof d->why,
			"this fleet's bucket is %s, and --bucket names another one: take the fleet down "
			"first, or leave "
			"it as it is",
			f->bucket);
		return false;
	}
	if (w->settings->bucket && !f->bucket_there) {
		snprintf(d->why, sizeof d->why,
			"--bucket: there is no bucket %s; without --bucket one is made", f->bucket);
		return false;
	}
	if (!w->settings->n_admin_cidrs && !has_front_rule(f)) {
		snprintf(d->why, sizeof d->why,
			"who may reach the front? --admin-cidr names an address or a network, 203.0.113.7/32 "
			"(several: "
			"with commas)");
		return false;
	}
	return true;
}

static bool needs_site(const struct aws_plan *plan)
{
	for (size_t i = 0; i < plan->n; i++) {
		enum aws_step_kind kind = plan->steps[i].kind;
		if (kind == AWS_MAKE_GROUP || kind == AWS_START_WORKER || kind == AWS_START_ORCHESTRATOR)
			return true;
	}
	return false;
}

static int compare_stages(const void *a, const void *b)
{
	const struct aws_step *x = a, *y = b;
	int by_stage = (int)aws_step_stage(x) - (int)aws_step_stage(y);
	return by_stage ? by_stage : (int)x->instance.index - (int)y->instance.index;
}

static void tell_plan(struct aws_deploy *d, struct aws_plan *plan)
{
	char text[AWS_STEP_TEXT];
	qsort(plan->steps, plan->n, sizeof *plan->steps, compare_stages);
	for (size_t i = 0; i < plan->n; i++)
		aws_tell(d, AWS_NEWS_DONE, "would %s %s", aws_step_verb(&plan->steps[i]),
			aws_step_text(&plan->steps[i], &d->found, text));
}

/* ---- up: the work ---- */

/* The workers that stay, for the orchestrator to begin with. */
static char *make_seed(const struct aws_deploy *d, const struct aws_plan *plan)
{
	char *seed = NULL, name[AWS_GENERATION];
	size_t n;
	FILE *to = open_memstream(&seed, &n);
	for (size_t i = 0; to && i < d->found.n_instances; i++) {
		const struct aws_instance *one = &d->found.instances[i];
		if (one->role == AWS_WORKER && one->private_ip[0] && aws_stays(plan, one))
			fprintf(to, "%u %s %s\n", one->index,
				aws_generation_name(one->spec, one->generation, name), one->private_ip);
	}
	for (size_t i = 0; to && i < plan->n; i++) {
		const struct aws_step *s = &plan->steps[i];
		if (s->kind == AWS_START_WORKER && s->done && s->instance.private_ip[0])
			fprintf(to, "%u %s %s\n", s->instance.index,
				aws_generation_name(s->instance.spec, s->instance.generation, name),
				s->instance.private_ip);
	}
	if (to)
		fclose(to);
	return seed;
}

static void find_front(struct aws_deploy *d, const struct aws_plan *plan)
{
	for (size_t i = 0; i < d->found.n_instances; i++) {
		const struct aws_instance *one = &d->found.instances[i];
		if (one->role != AWS_ORCHESTRATOR || !aws_stays(plan, one))
			continue;
		d->front_is_private = !one->public_ip[0];
		aws_front_host(one->public_ip[0] ? one->public_ip : one->private_ip, d->front);
	}
}

static bool ends_something(const struct aws_plan *plan)
{
	for (size_t i = 0; i < plan->n; i++) {
		if (plan->steps[i].kind == AWS_TERMINATE)
			return true;
	}
	return false;
}

static int make_everything(struct aws_deploy *d, struct aws_plan *plan)
{
	if (aws_take_steps(d, plan, AWS_STAGE_FIRST, AWS_STAGE_WORKERS))
		return -1;
	char *seed = make_seed(d, plan);
	if (!seed) {
		snprintf(d->why, sizeof d->why, "out of memory");
		return -1;
	}
	d->site.seed = seed;
	int r = aws_take_steps(d, plan, AWS_STAGE_ORCHESTRATOR, AWS_STAGE_ORCHESTRATOR);
	d->site.seed = "";
	free(seed);
	return r ? r : aws_wait_running(d, plan);
}

/* What is too much or not as it shall be goes when its successors are ready and it is at rest. From then on
 * there is no way back: undoing would take the successors of what is gone. */
static int end_the_rest(struct aws_deploy *d, const struct aws_wanted *w, struct aws_plan *plan)
{
	if (aws_take_steps(d, plan, AWS_STAGE_DRAIN, AWS_STAGE_DRAIN))
		return -1;
	if (ends_something(plan) && !d->no_wait && aws_wait_ready(d, w, plan, true))
		return -1;
	d->past_return = true;
	return aws_take_steps(d, plan, AWS_STAGE_TERMINATE, AWS_STAGE_RULES);
}

static int work(struct aws_deploy *d, const struct aws_wanted *w, struct aws_plan *plan)
{
	if (make_everything(d, plan))
		return -1;
	find_front(d, plan);
	if (!d->no_wait && aws_wait_ready(d, w, plan, !ends_something(plan)))
		return -1;
	return end_the_rest(d, w, plan);
}

/* ---- up: undoing ---- */

static bool is_unsure(const struct aws_plan *plan)
{
	for (size_t i = 0; i < plan->n; i++) {
		if (plan->steps[i].unsure)
			return true;
	}
	return false;
}

static int fail_interrupted(struct aws_deploy *d)
{
	snprintf(d->why, sizeof d->why, "interrupted");
	return -1;
}

static size_t count_unseen(const struct aws_deploy *d, const struct aws_plan *made)
{
	size_t unseen = 0;
	for (size_t i = 0; i < made->n; i++)
		unseen += !aws_step_is_seen(&made->steps[i], &d->found);
	return unseen;
}

/* Looks until all that was made is seen, but for a minute at the most: it may be somebody else who took it.
 */
static int look_for(struct aws_deploy *d, const struct aws_plan *made)
{
	for (unsigned looks = 1; look(d) == 0; looks++) {
		size_t unseen = count_unseen(d, made);
		if (!unseen || looks == LOOKS_MAX)
			return 0;
		aws_tell(d, AWS_NEWS_WAIT, "%zu of the things that were made are not seen yet", unseen);
		if (!aws_pause(d->aws, SETTLE_US))
			return fail_interrupted(d);
	}
	return -1;
}

/* Removes what is there and is not among `kept`, over and over until nothing is. What `made` (NULL: nothing)
 * has made goes even if it is not seen at first; what it is unsure of may yet come up, and what is gone may
 * be shown for some seconds. */
static int remove_but(struct aws_deploy *d, const struct aws_found *kept, const struct aws_plan *made)
{
	bool unsure = made && is_unsure(made);
	unsigned quiet = 0;
	for (unsigned round = 0; round < ROUNDS_MAX + SETTLES; round++) {
		bool first = made && round == 0;
		struct aws_plan plan;
		if ((first ? look_for(d, made) : look(d)) || look_within(d, kept))
			return -1;
		aws_plan_init(&plan);
		aws_plan_down(&plan, &d->found, kept);
		if (first)
			aws_plan_end_unseen(&plan, &d->found, made);
		size_t n = plan.n;
		int r = plan.failed ? -1 : aws_take_away(d, &plan);
		aws_plan_finish(&plan);
		if (r)
			return -1;
		quiet = n ? 0 : quiet + 1;
		if (quiet > (unsure ? SETTLES : 0))
			return 0;
		if (unsure && !n)
			aws_tell(d, AWS_NEWS_WAIT, "looking whether something comes up yet");
		if ((unsure || round) && !aws_pause(d->aws, SETTLE_US))
			return fail_interrupted(d);
	}
	snprintf(d->why, sizeof d->why, "something is still there");
	return -1;
}

static enum aws_outcome undo(
	struct aws_deploy *d, const struct aws_found *before, const struct aws_plan *made)
{
	char first[AWS_WHY], second[AWS_WHY];
	str_copy(first, sizeof first, str_of(d->why));
	if (d->keep) {
		snprintf(d->why, sizeof d->why,
			"%.380s; what was made is kept (--keep): berth down --on aws removes it", first);
		return AWS_LEFT;
	}
	if (d->listen_again)
		d->listen_again(d->user);
	aws_tell(d, AWS_NEWS_NOTE, "%s; undoing what this run has made", first);
	if (remove_but(d, before, made) == 0) {
		str_copy(d->why, sizeof d->why, str_of(first));
		return AWS_UNDONE;
	}
	str_copy(second, sizeof second, str_of(d->why));
	snprintf(d->why, sizeof d->why,
		"%.220s; undoing it failed, too: %.180s; berth down --on aws removes the rest", first,
		second);
	return AWS_LEFT;
}

/* ---- up ---- */

static enum aws_outcome leave(struct aws_deploy *d)
{
	char why[AWS_WHY];
	str_copy(why, sizeof why, str_of(d->why));
	snprintf(d->why, sizeof d->why,
		"%.400s; what is new stays, for what it replaces may have ended: berth up goes on", why);
	return AWS_LEFT;
}

static enum aws_outcome carry_out(struct aws_deploy *d, const struct aws_wanted *w, struct aws_plan *plan)
{
	struct aws_found before = d->found;
	enum aws_outcome outcome;
	if (!aws_journal_open(&d->journal, d->cluster, d->site.region, "up", d->why))
		return AWS_REFUSED;
	if (d->journal.cut_off[0])
		aws_tell(d, AWS_NEWS_NOTE, "the run before was cut off at: %s", d->journal.cut_off);
	if (work(d, w, plan) == 0) {
		outcome = AWS_DONE;
	} else if (d->past_return) {
		outcome = leave(d);
	} else {
		before.arena = d->found.arena; /* it holds what both point to; undoing looks anew */
		aws_found_init(&d->found);
		outcome = undo(d, &before, plan);
		aws_found_finish(&before);
	}
	aws_journal_close(&d->journal, outcome == AWS_DONE ? "up" : d->why, outcome == AWS_UNDONE);
	return outcome;
}

static enum aws_outcome up_with(struct aws_deploy *d, const struct aws_wanted *w, struct aws_plan *plan)
{
	aws_plan_up(plan, &d->found, w, d->site.recipe);
	if (plan->failed) {
		snprintf(d->why, sizeof d->why, "out of memory");
		return AWS_REFUSED;
	}
	if (needs_site(plan) && aws_choose_site(d, w))
		return AWS_REFUSED;
	if (d->dry_run) {
		tell_plan(d, plan);
		return plan->n ? AWS_DONE : AWS_NOTHING_TO_DO;
	}
	if (plan->n)
		return carry_out(d, w, plan);
	find_front(d, plan);
	if (!d->no_wait && aws_wait_ready(d, w, plan, true))
		return AWS_LEFT;
	return AWS_NOTHING_TO_DO;
}

enum aws_outcome aws_up(struct aws_deploy *d, const struct aws_wanted *w)
{
	struct aws_recipe recipe;
	struct aws_plan plan;
	enum aws_outcome outcome = AWS_REFUSED;
	if (look(d) || !fits(d, w) || (!d->no_wait && aws_find_broken(d, w)))
		return AWS_REFUSED;
	aws_plan_init(&plan);
	d->site.wanted = w;
	d->site.recipe = &recipe;
	if (aws_recipe_make(&recipe, w, d->found.bucket, d->site.region, d->why))
		outcome = up_with(d, w, &plan);
	aws_recipe_finish(&recipe);
	aws_plan_finish(&plan);
	return outcome;
}

/* ---- down ---- */

int aws_plan_of_down(struct aws_deploy *d, struct aws_plan *ret_plan)
{
	aws_plan_init(ret_plan);
	if (look(d) || look_within(d, NULL))
		return -1;
	aws_plan_down(ret_plan, &d->found, NULL);
	if (!ret_plan->failed)
		return 0;
	snprintf(d->why, sizeof d->why, "out of memory");
	return -1;
}

enum aws_outcome aws_down(struct aws_deploy *d)
{
	if (!aws_journal_open(&d->journal, d->cluster, d->site.region, "down", d->why))
		return AWS_REFUSED;
	enum aws_outcome outcome = remove_but(d, NULL, NULL) == 0 ? AWS_DONE : AWS_LEFT;
	aws_journal_close(&d->journal, d->why, outcome == AWS_DONE);
	return outcome;
}
