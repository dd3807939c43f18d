/* aws_plan: the steps from what there is to what there shall be, in their order.
 *
 * A plan is made from what was found and what is wanted, without a call; its steps are the calls that change
 * something. Steps of one stage are made side by side. What is there already is no step: a plan without steps
 * means that all is right. Making comes before ending, so that a plan that fails halfway can be undone.
 */
#pragma once
#include "fleet/aws_cluster.h"

enum aws_step_kind {
	/* making */
	AWS_MAKE_BUCKET,
	AWS_MAKE_ROLE,
	AWS_MAKE_GROUP,
	AWS_TAG_THE_BUCKET,
	AWS_SET_POLICY,
	AWS_MAKE_PROFILE,
	AWS_MAKE_RULE,
	AWS_UPLOAD,
	AWS_ATTACH_ROLE,
	AWS_START_WORKER,
	AWS_START_ORCHESTRATOR,
	/* taking out */
	AWS_DRAIN,
	AWS_UNDRAIN,
	AWS_RESTORE_POLICY,
	/* removing */
	AWS_TERMINATE,
	AWS_REVOKE_RULE,
	AWS_REMOVE_GROUP,
	AWS_DETACH_ROLE,
	AWS_REMOVE_PROFILE,
	AWS_REMOVE_OBJECT,
	AWS_REMOVE_BUCKET,
	AWS_REMOVE_POLICY,
	AWS_DETACH_POLICY,
	AWS_REMOVE_ROLE,
};

enum aws_stage {
	AWS_STAGE_FIRST,  /* buckets, roles, groups */
	AWS_STAGE_WITHIN, /* what belongs to those */
	AWS_STAGE_READY,  /* what workers need */
	AWS_STAGE_WORKERS,
	AWS_STAGE_ORCHESTRATOR, /* which knows the workers' addresses */
	AWS_STAGE_DRAIN,        /* when all that is new is ready */
	AWS_STAGE_TERMINATE,    /* when what drains is at rest */
	AWS_STAGE_RULES,
	AWS_STAGE_GROUPS, /* when the instances are gone */
	AWS_STAGE_DETACH,
	AWS_STAGE_OBJECTS,
	AWS_STAGE_LAST, /* the roles: their tags say which bucket it was */
	AWS_STAGES,
};

struct aws_step {
	enum aws_step_kind kind;
	enum aws_role role;           /* of groups, roles, profiles, instances */
	struct aws_instance instance; /* to be started (index, generation, spec), or that is */
	struct aws_rule rule;
	const struct aws_object *object; /* to be uploaded; borrowed from the wanted */
	const char *key;    /* of an object to be removed; a policy's name or ARN; borrowed from the found */
	const char *policy; /* to be set; borrowed from the recipe, or from what was found before */
	bool done;
	bool made;   /* … and its answer said so: it was not there already */
	bool unsure; /* it failed, but may have taken effect */
};

struct aws_plan {
	struct aws_step *steps; /* owned */
	size_t n, cap;
	bool failed; /* no memory */
};

void aws_plan_init(struct aws_plan *p);
void aws_plan_finish(struct aws_plan *p);

/* The user data of both roles, and the digests of what instances are made from, for plans and steps. */
struct aws_recipe {
	char *user_data[AWS_ROLES]; /* owned; the orchestrator's without a seed */
	char spec[AWS_ROLES][AWS_SPEC];
	char *policy[AWS_ROLES]; /* owned */
};

/* bucket: f->bucket. False with why when a script would be longer than EC2 takes, or without memory. */
MUST_USE bool aws_recipe_make(struct aws_recipe *r, const struct aws_wanted *w, const char *bucket,
	const char *region, char why[AWS_WHY]);
void aws_recipe_finish(struct aws_recipe *r);

/* Adds what makes the cluster as it shall be. */
void aws_plan_up(struct aws_plan *p, const struct aws_found *f, const struct aws_wanted *w,
	const struct aws_recipe *r);

/* Adds what removes all that was found but is not among `kept` (NULL: nothing is). draining: workers that
 * were not draining then go back to work. */
void aws_plan_down(struct aws_plan *p, const struct aws_found *f, const struct aws_found *kept);

/* Adds the end of the instances that `made` has started and that were not found: a new one may not be seen.
 */
void aws_plan_end_unseen(struct aws_plan *p, const struct aws_found *f, const struct aws_plan *made);

/* False of a step that has made something that was not found. */
bool aws_step_is_seen(const struct aws_step *s, const struct aws_found *f);

/* ---- aws_words.c ---- */

enum aws_stage aws_step_stage(const struct aws_step *s);

/* "security group of the workers", "worker 3 (t3.small)"; returns text. */
enum { AWS_STEP_TEXT = 320 };
const char *aws_step_text(const struct aws_step *s, const struct aws_found *f, char text[AWS_STEP_TEXT]);

/* "make", "upload", "start", … */
const char *aws_step_verb(const struct aws_step *s);

/* "made", "uploaded", … */
const char *aws_step_done(const struct aws_step *s);
