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

/* False with why. */
static bool take_variable(char *to, size_t size, const char *name, char why[AWS_WHY])
{
	struct str value = str_of(variable(name));
	if (value.len >= size)
		snprintf(why, AWS_WHY, "%s has %zu bytes, and %zu are the most", name, value.len, size - 1);
	else
		str_copy(to, size, value);
	return value.len < size;
}

/* 1; 0 when there are none; -1 with why. */
static int of_environment(struct aws_credentials *c, char why[AWS_WHY])
{
	if (!*variable("AWS_ACCESS_KEY_ID") || !*variable("AWS_SECRET_ACCESS_KEY"))
		return 0;
	snprintf(c->origin, sizeof c->origin, "the environment (AWS_ACCESS_KEY_ID)");
	bool ok = take_variable(c->access_key, sizeof c->access_key, "AWS_ACCESS_KEY_ID", why) &&
		take_variable(c->secret, sizeof c->secret, "AWS_SECRET_ACCESS_KEY", why) &&
		take_variable(c->token, sizeof c->token, "AWS_SESSION_TOKEN", why);
	return ok ? 1 : -1;
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
	int r = profile ? 0 : of_environment(c, why);
	if (r)
		return r;
	r = aws_profile_read(c, profile_name(profile), why);
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
	return n > 0 && n < AWS_REGION && !text[n];
}

static bool find_region(struct aws_credentials *c, const char *profile, const char *asked, char why[AWS_WHY])
{
	struct aws_credentials other = { 0 };
	const char *region = asked ? asked : variable("AWS_REGION");
	if (!*region)
		region = variable("AWS_DEFAULT_REGION");
	/* Also that of a profile whose keys come in a way that is not supported: they were exported. */
	if (!*region && (aws_profile_read(&other, profile_name(profile), why) >= 0 || other.region[0]))
		region = other.region;
	if (!*region && aws_imds_region(other.region))
		region = other.region;
	bool ok = is_region(region);
	if (ok)
		str_copy(c->region, sizeof c->region, str_of(region));
	else if (*region)
		snprintf(why, AWS_WHY,
			"\"%.100s\" is no AWS region: expected one such as eu-central-1 (--region)", region);
	else
		snprintf(why, AWS_WHY,
			"no AWS region: --region, AWS_REGION, or region in ~/.aws/config (eu-central-1, "
			"us-east-1, …)");
	aws_credentials_finish(&other);
	return ok;
}

bool aws_credentials_find(
	struct aws_credentials *c, const char *profile, const char *region, char why[AWS_WHY])
{
	*c = (struct aws_credentials){ 0 };
	if (find_keys(c, profile, why) < 0)
		return false;
	return find_region(c, profile, region, why); /* the profile's comes after the environment's */
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
