/* aws_step: the call that a step is, and what its answer says. */
#pragma once
#include "fleet/aws_plan.h"

/* What steps need to know, and what they learn. */
struct aws_site {
	const char *cluster;
	const char *region;
	const struct aws_wanted *wanted;               /* NULL on the way down */
	const struct aws_recipe *recipe;               /* likewise */
	struct aws_found *found;                       /* groups that are made are noted here */
	char ami[AWS_ID], subnet[AWS_ID], vpc[AWS_ID]; /* filled before the steps that need them */
	const char *seed;                              /* of the orchestrator: aws_userdata.h */
};

/* Makes the call; false without memory or, with why, when something is too large. */
MUST_USE bool aws_step_call(const struct aws_site *site, const struct aws_step *s, struct aws_call *c);

/* Takes what the answer says: the id of a group or an instance. False when the call has to be made again, for
 * the token belongs to an instance that has ended: the step's generation is another one then. */
MUST_USE bool aws_step_take(const struct aws_site *site, struct aws_step *s, const struct aws_call *c);
