/* aws_deploy: makes, repairs, resizes and removes a cluster: looks, plans, and takes the steps.
 *
 *	aws_up:    look ─▶ plan ─▶ make ─▶ instances run ─▶ all are ready ─▶ drain ─▶ terminate ─▶ done
 *	                             └ failure, Ctrl-C ─▶ look ─▶ remove what was not there before
 *	aws_down:  look ─▶ terminate ─▶ wait ─▶ rules ─▶ groups ─▶ profiles, objects ─▶ roles ─▶ look: nothing
 *
 * A failure of aws_up from `terminate` on leaves what is there: what is new replaces what has ended.
 *
 * Never:  prints; `tell` does.
 */
#pragma once
#include "fleet/aws_front.h"
#include "fleet/aws_journal.h"
#include "fleet/aws_step.h"

enum aws_news {
	AWS_NEWS_DONE, /* a step was taken: "made security group of the worker" */
	AWS_NEWS_WAIT, /* what is waited for, again and again: "6 of 8 containers are up" */
	AWS_NEWS_NOTE, /* what else there is to know */
};

struct aws_deploy {
	struct aws *aws; /* borrowed */
	const char *cluster;
	const char *bucket; /* of the settings, or NULL */
	bool dry_run, keep, no_wait;
	bool (*interrupted)(void *user);  /* the same as the aws's; once it is true the run is undone */
	void (*listen_again)(void *user); /* forgets an interruption, for undoing may be interrupted, too */
	void (*tell)(void *user, enum aws_news news, const char *text);
	void *user;

	struct aws_found found; /* as it is now */
	struct aws_journal journal;
	struct aws_site site;
	char front[AWS_IP + 2]; /* the orchestrator's host, for URLs; "" */
	bool front_is_private;
	bool past_return;  /* what served before is being ended: the run is not undone any more */
	char why[AWS_WHY]; /* one line after a failure */
};

enum aws_outcome {
	AWS_DONE,
	AWS_NOTHING_TO_DO, /* all was right; nothing was left */
	AWS_REFUSED,       /* before anything was changed: wrong settings or set-up */
	AWS_UNDONE,        /* it failed, and what it made is gone again */
	AWS_LEFT, /* it failed, and what it made is still there (--keep, that failed, too, past_return) */
};

void aws_deploy_init(struct aws_deploy *d, struct aws *aws, const char *cluster, const char *bucket);
void aws_deploy_finish(struct aws_deploy *d);

MUST_USE enum aws_outcome aws_up(struct aws_deploy *d, const struct aws_wanted *w);

/* Looks and fills ret_plan with what aws_down would do; to be finished by the caller. 0 or -1 with d->why. */
MUST_USE int aws_plan_of_down(struct aws_deploy *d, struct aws_plan *ret_plan);
MUST_USE enum aws_outcome aws_down(struct aws_deploy *d);

/* ---- aws_take.c: the steps ---- */

/* Takes the plan's steps of the stages from..to. 0 or -1 with d->why: then steps may be `unsure`. */
MUST_USE int aws_take_steps(
	struct aws_deploy *d, struct aws_plan *plan, enum aws_stage from, enum aws_stage to);

/* Takes all steps of a plan that removes, and waits for what takes its time. */
MUST_USE int aws_take_away(struct aws_deploy *d, struct aws_plan *plan);

void aws_tell(struct aws_deploy *d, enum aws_news news, const char *fmt, ...) PRINTF(3, 4);

/* ---- aws_wait.c ---- */

/* Until the instances that the plan has started run. */
MUST_USE int aws_wait_running(struct aws_deploy *d, struct aws_plan *plan);

/* Until none of the instances that the plan terminates is left. */
MUST_USE int aws_wait_terminated(struct aws_deploy *d, const struct aws_plan *plan);

/* Until the front says that all containers of the instances that stay are up; exactly: and nothing else is
 * there or drains. */
MUST_USE int aws_wait_ready(
	struct aws_deploy *d, const struct aws_wanted *w, const struct aws_plan *plan, bool exactly);

/* The instances that stay: live, not to be terminated by the plan. */
bool aws_stays(const struct aws_plan *plan, const struct aws_instance *i);

/* ---- aws_broken.c ---- */

/* Asks the front, if it answers, for workers that run for longer than a start may take and of which no
 * container is up, and marks them `broken`. -1 with d->why when it was interrupted. */
MUST_USE int aws_find_broken(struct aws_deploy *d, const struct aws_wanted *w);

/* ---- aws_site.c ---- */

/* Chooses the image and the subnet of new instances and groups. */
MUST_USE int aws_choose_site(struct aws_deploy *d, const struct aws_wanted *w);
