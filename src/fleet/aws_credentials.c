#include "fleet/aws_credentials.h"

#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { RENEW_BEFORE_S = 300 };

static const char *variable(const char *name)
{
	const char *set = getenv(name);
	return set ? set : "";
}

static bool of_environment(struct aws_credentials *c)
{
	const char *key = variable("AWS_ACCESS_KEY_ID"), *secret = variable("AWS_SECRET_ACCESS_KEY");
	if (!*key || !*secret)
		return false;
	str_copy(c->access_key, sizeof c->access_key, str_of(key));
	str_copy(c->secret, sizeof c->secret, str_of(secret));
	str_copy(c->token, sizeof c->token, str_of(variable("AWS_SESSION_TOKEN")));
	snprintf(c->origin, sizeof c->origin, "the environment (AWS_ACCESS_KEY_ID)");
	return true;
}

static const char *profile_name(const char *asked)
{
	if (asked)
		return asked;
	if (*variable("AWS_PROFILE"))
		return variable("AWS_PROFILE");
	return *variable("AWS_DEFAULT_PROFILE") ? variable("AWS_DEFAULT_PROFILE") : "default";
}

/* As aws_profile_read. */
static int find_keys(struct aws_credentials *c, const char *profile, char why[AWS_WHY])
{
	char phrase[AWS_WHY];
	if (!profile && of_environment(c))
		return 1;
	int r = aws_profile_read(c, profile_name(profile), why);
	if (r)
		return r;
	if (profile) {
		snprintf(why, AWS_WHY,
			"no keys of the profile \"%.60s\" in ~/.aws/credentials or ~/.aws/config (--profile)",
			profile);
		return -1;
	}
	if (aws_imds_credentials(c, phrase))
		return 1;
	snprintf(why, AWS_WHY,
		"no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile of "
		"~/.aws/credentials (--profile; looked for \"%.60s\"); this is no EC2 instance with a role, "
		"either (%.100s)",
		profile_name(NULL), phrase);
	return -1;
}

static bool is_region(const char *text)
{
	size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-");
	return n > 0 && !text[n];
}

static bool find_region(struct aws_credentials *c, const char *profile, char why[AWS_WHY])
{
	struct aws_credentials other = { 0 };
	if (!c->region[0])
		str_copy(c->region, sizeof c->region, str_of(variable("AWS_REGION")));
	if (!c->region[0])
		str_copy(c->region, sizeof c->region, str_of(variable("AWS_DEFAULT_REGION")));
	if (!c->region[0] && aws_profile_read(&other, profile_name(profile), why) >= 0)
		str_copy(c->region, sizeof c->region, str_of(other.region));
	aws_credentials_finish(&other);
	if (!c->region[0] && !aws_imds_region(c->region)) {
		snprintf(why, AWS_WHY,
			"no AWS region: --region, AWS_REGION, or region in ~/.aws/config (eu-central-1, "
			"us-east-1, …)");
		return false;
	}
	if (!is_region(c->region)) {
		snprintf(why, AWS_WHY,
			"\"%.39s\" is no AWS region: expected one such as eu-central-1 (--region)",
			c->region);
		return false;
	}
	return true;
}

bool aws_credentials_find(
	struct aws_credentials *c, const char *profile, const char *region, char why[AWS_WHY])
{
	*c = (struct aws_credentials){ 0 };
	if (find_keys(c, profile, why) < 0)
		return false;
	c->region[0] = '\0'; /* the profile's comes after the environment's */
	if (region)
		str_copy(c->region, sizeof c->region, str_of(region));
	return find_region(c, profile, why);
}

bool aws_credentials_refresh(struct aws_credentials *c, char why[AWS_WHY])
{
	uint64_t now_s = (uint64_t)time(NULL);
	if (!c->of_instance || c->expires_s > now_s + RENEW_BEFORE_S)
		return true;
	if (aws_imds_credentials(c, why))
		return true;
	return c->expires_s > now_s;
}

void aws_credentials_finish(struct aws_credentials *c)
{
	explicit_bzero(c, sizeof *c);
}
