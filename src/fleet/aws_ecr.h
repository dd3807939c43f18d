/* aws_ecr: Amazon's private registries, as the names of images tell them:
 * ACCOUNT.dkr.ecr.REGION.amazonaws.com[.cn]/REPOSITORY[:TAG|@DIGEST].
 */
#pragma once
#include "base/check.h"
#include "base/str.h"

/* All within the name. */
struct aws_ecr {
	struct str registry; /* "123456789012.dkr.ecr.eu-west-1.amazonaws.com" */
	struct str account, region;
	struct str repository; /* "team/model" */
};

/* False when an image of this name is in no such registry. */
MUST_USE bool aws_ecr_parse(const char *image, struct aws_ecr *ret);
