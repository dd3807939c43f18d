/* The steps of a plan, stage by stage. Each is in the journal before it is taken. */
#include "fleet/aws_deploy.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { TOKENS_MAX = 20 }; /* of instances of one name that have ended */

void aws_tell(struct aws_deploy *d, enum aws_news news, const char *fmt, ...)
{
	char text[AWS_WHY];
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	if (d->tell)
		d->tell(d->user, news, text);
}

struct batch {
	struct aws_step **steps; /* owned */
	struct aws_call *calls;  /* owned, each to be finished */
	struct aws_call **all;   /* owned */
	size_t n;
};

static void batch_finish(struct batch *b)
{
	for (size_t i = 0; b->calls && i < b->n; i++)
		aws_call_finish(&b->calls[i]);
	free(b->steps);
	free(b->calls);
	free(b->all);
}

static bool make_call(struct aws_deploy *d, const struct aws_step *s, struct aws_call *c)
{
	char text[AWS_STEP_TEXT];
	if (!aws_step_call(&d->site, s, c))
		return false;
	aws_step_text(s, &d->found, text);
	if (asprintf(&c->about, "%s %s", aws_step_verb(s), text) < 0)
		c->about = NULL;
	return true;
}

static bool batch_make(struct batch *b, struct aws_deploy *d, struct aws_plan *plan, enum aws_stage stage)
{
	*b = (struct batch){ .steps = calloc(plan->n + 1, sizeof(void *)),
		.calls = calloc(plan->n + 1, sizeof *b->calls),
		.all = calloc(plan->n + 1, sizeof(void *)) };
	if (!b->steps || !b->calls || !b->all)
		return false;
	for (size_t i = 0; i < plan->n; i++) {
		struct aws_step *s = &plan->steps[i];
		if (s->done || aws_step_stage(s) != stage)
			continue;
		b->steps[b->n] = s;
		b->all[b->n] = &b->calls[b->n];
		b->n++;
		if (!make_call(d, s, &b->calls[b->n - 1]))
			return false;
	}
	return true;
}

static bool note_begin(struct aws_deploy *d, const struct batch *b)
{
	char text[AWS_STEP_TEXT], line[AWS_STEP_TEXT + 32];
	for (size_t i = 0; i < b->n; i++) {
		snprintf(line, sizeof line, "%s %s", aws_step_verb(b->steps[i]),
			aws_step_text(b->steps[i], &d->found, text));
		if (!aws_journal_write(&d->journal, "step", line, d->why))
			return false;
	}
	return aws_journal_sync(&d->journal, d->why);
}

/* What has come of each. False when some have to be taken again. */
static bool take_answers(struct aws_deploy *d, const struct batch *b)
{
	char text[AWS_STEP_TEXT], line[AWS_STEP_TEXT + 32], ignored[AWS_WHY];
	bool all = true;
	for (size_t i = 0; i < b->n; i++) {
		struct aws_step *s = b->steps[i];
		s->unsure = b->calls[i].unsure && !b->calls[i].ok;
		if (b->calls[i].ok)
			s->done = aws_step_take(&d->site, s, &b->calls[i]);
		s->made = s->done && !b->calls[i].code[0];
		if (b->calls[i].ok && !s->done) {
			all = false;
			continue;
		}
		aws_step_text(s, &d->found, text);
		snprintf(line, sizeof line, "%s %s", s->done ? aws_step_done(s) : aws_step_verb(s), text);
		(void)!aws_journal_write(&d->journal, s->done ? "done" : "failed", line, ignored);
		if (s->done)
			aws_tell(d, AWS_NEWS_DONE, "%s", line);
	}
	return all;
}

/* A group whose making was answered with "is there": the answer with its id was lost. */
static int learn_groups(struct aws_deploy *d, const struct aws_plan *plan)
{
	for (size_t i = 0; i < plan->n; i++) {
		const struct aws_step *s = &plan->steps[i];
		if (s->kind != AWS_MAKE_GROUP || !s->done || d->found.groups[s->role].id[0])
			continue;
		if (aws_look_for_groups(d->aws, d->cluster, &d->found)) {
			str_copy(d->why, sizeof d->why, str_of(d->aws->why));
			return -1;
		}
		if (!d->found.groups[s->role].id[0]) {
			char name[AWS_NAME];
			snprintf(d->why, sizeof d->why,
				"a security group %s is there already and does not carry the "
				"tag " AWS_TAG_CLUSTER "=%s: remove it, or choose another --name",
				aws_group_name(d->cluster, s->role, name), d->cluster);
			return -1;
		}
	}
	return 0;
}

static int take_stage(struct aws_deploy *d, struct aws_plan *plan, enum aws_stage stage)
{
	for (unsigned tries = 0; tries < TOKENS_MAX; tries++) {
		struct batch b;
		int r = -1;
		bool all = true;
		if (!batch_make(&b, d, plan, stage)) {
			snprintf(d->why, sizeof d->why, "out of memory");
		} else if (b.n == 0) {
			r = 0;
		} else if (note_begin(d, &b)) {
			r = aws_run(d->aws, b.all, b.n);
			if (r)
				str_copy(d->why, sizeof d->why, str_of(d->aws->why));
			all = take_answers(d, &b);
		}
		batch_finish(&b);
		if (r || all)
			return r;
	}
	snprintf(d->why, sizeof d->why, "EC2 answers with instances that have ended, over and over");
	return -1;
}

int aws_take_steps(struct aws_deploy *d, struct aws_plan *plan, enum aws_stage from, enum aws_stage to)
{
	for (enum aws_stage stage = from; stage <= to; stage++) {
		if (take_stage(d, plan, stage))
			return -1;
		if (stage == AWS_STAGE_FIRST && learn_groups(d, plan))
			return -1;
	}
	return 0;
}

int aws_take_away(struct aws_deploy *d, struct aws_plan *plan)
{
	if (aws_take_steps(d, plan, AWS_STAGE_DRAIN, AWS_STAGE_TERMINATE) || aws_wait_terminated(d, plan))
		return -1;
	return aws_take_steps(d, plan, AWS_STAGE_RULES, AWS_STAGE_LAST);
}
