/* aws_credentials: who signs the calls, and which region they go to.
 *
 * Where they come from, first to last: the profile that was asked for (--profile); AWS_ACCESS_KEY_ID,
 * AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN; the profile AWS_PROFILE or "default" in ~/.aws/credentials and
 * ~/.aws/config (AWS_SHARED_CREDENTIALS_FILE, AWS_CONFIG_FILE); the role of the EC2 instance that this runs
 * on (IMDSv2, AWS_EC2_METADATA_SERVICE_ENDPOINT, unless AWS_EC2_METADATA_DISABLED is true). The region:
 * --region; AWS_REGION, AWS_DEFAULT_REGION; the profile's; the instance's.
 *
 * Never:  prints or logs a secret; keeps one after aws_credentials_finish.
 */
#pragma once
#include "base/check.h"

#include <stdbool.h>
#include <stdint.h>

enum { AWS_REGION = 40, AWS_WHY = 512, AWS_TOKEN = 8192, AWS_KEY = 256 };

struct aws_credentials {
	char access_key[AWS_KEY], secret[AWS_KEY];
	char token[AWS_TOKEN]; /* "" where there is none */
	char region[AWS_REGION];
	char origin[160];   /* "the environment", "profile blue of /home/me/.aws/credentials" */
	uint64_t expires_s; /* since 1970; 0: not known to */
	bool of_instance;   /* they can be asked for again */
};

/* profile and region: what was asked for, or NULL. False with one line in why: what is missing and where it
 * was looked for. */
MUST_USE bool aws_credentials_find(
	struct aws_credentials *c, const char *profile, const char *region, char why[AWS_WHY]);

/* An instance's are asked for anew when they end within five minutes. False, with why, when that fails and
 * they have ended. */
MUST_USE bool aws_credentials_refresh(struct aws_credentials *c, char why[AWS_WHY]);

/* Overwrites the secrets. */
void aws_credentials_finish(struct aws_credentials *c);

/* ---- aws_profile.c ---- */

/* Fills what the profile has in ~/.aws/credentials and ~/.aws/config: the keys and the token, and the region
 * where it is empty as yet. 1; 0 when there is no such profile, or none with keys; -1 with why when a file
 * cannot be read, or the profile gets its keys in a way that is not supported here. */
MUST_USE int aws_profile_read(struct aws_credentials *c, const char *profile, char why[AWS_WHY]);

/* ---- aws_imds.c ---- */

/* Asks the metadata service (IMDSv2) for the instance's role. Within a second it is there or it is not. False
 * with one phrase in why. */
MUST_USE bool aws_imds_credentials(struct aws_credentials *c, char why[AWS_WHY]);
MUST_USE bool aws_imds_region(char region[AWS_REGION]);
