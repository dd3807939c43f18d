/* What the instances of a cluster are made from. */
#include "fleet/aws_ecr.h"
#include "fleet/aws_plan.h"
#include "fleet/aws_userdata.h"
#include "fleet/digest.h"

#include <stdlib.h>
#include <string.h>

/* To pull this image, where it is in a private registry of Amazon's: further statements of a policy. NULL
 * without memory. */
static char *policy_of_image(const char *image)
{
	struct aws_ecr e;
	char region[64], *text;
	if (!image || !aws_ecr_parse(image, &e))
		return strdup("");
	int n = asprintf(&text,
		",{\"Effect\":\"Allow\",\"Action\":\"ecr:GetAuthorizationToken\",\"Resource\":\"*\"},"
		"{\"Effect\":\"Allow\",\"Action\":[\"ecr:BatchGetImage\",\"ecr:GetDownloadUrlForLayer\"],"
		"\"Resource\":\"arn:%s:ecr:" STR_FMT ":" STR_FMT ":repository/" STR_FMT "\"}",
		aws_partition(str_copy(region, sizeof region, e.region)), STR_ARG(e.region),
		STR_ARG(e.account), STR_ARG(e.repository));
	return n < 0 ? NULL : text;
}

/* The worker may read what is in the cluster's prefix, and pull its image; the orchestrator the former, and
 * which instances there are (which IAM cannot narrow to some of them). */
static char *policy_of(const struct aws_wanted *w, enum aws_role role, const char *bucket, const char *region)
{
	char *text, prefix[AWS_NAME];
	char *pull = policy_of_image(role == AWS_WORKER ? w->image : NULL);
	if (!pull)
		return NULL;
	aws_prefix(w->name, prefix);
	int n = asprintf(&text,
		"{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"s3:"
		"GetObject\","
		"\"Resource\":\"arn:%s:s3:::%s/%s*\"}%s]}",
		aws_partition(region), bucket, prefix,
		role == AWS_ORCHESTRATOR
			? ",{\"Effect\":\"Allow\",\"Action\":\"ec2:DescribeInstances\",\"Resource\":\"*\"}"
			: pull);
	free(pull);
	return n < 0 ? NULL : text;
}

static const char *or_none(const char *text)
{
	return text ? text : "";
}

/* The image that is the newest of Debian's is not part of it: a fleet does not change because Debian does. */
static bool make_spec(char spec[AWS_SPEC], const struct aws_settings *s, const char *user_data)
{
	char *text, digest[65];
	int n = asprintf(&text, "%s\n%s\n%s\n%s\n%s", or_none(s->ami), s->instance_type, or_none(s->subnet),
		or_none(s->key), user_data);
	if (n < 0)
		return false;
	digest_bytes((struct str){ text, (size_t)n }, digest);
	free(text);
	snprintf(spec, AWS_SPEC, "%.16s", digest);
	return true;
}

static bool is_short_enough(enum aws_role role, const char *text, char why[AWS_WHY])
{
	size_t n = strlen(text);
	if (n <= AWS_USER_DATA_MAX)
		return true;
	snprintf(why, AWS_WHY,
		"the %s's start-up script has %zu bytes, and EC2 takes %d (user data): a shorter "
		"configuration, or "
		"fewer workers, may fit",
		aws_role_name(role), n, AWS_USER_DATA_MAX);
	return false;
}

/* The longest that a seed can become. */
static char *longest_seed(uint32_t workers)
{
	char *seed = NULL;
	size_t n;
	FILE *to = open_memstream(&seed, &n);
	for (uint32_t i = 0; to && i < workers; i++)
		fprintf(to, "%u 0123456789abcdef-999 255.255.255.255\n", i);
	if (to)
		fclose(to);
	return seed;
}

static bool check_lengths(const struct aws_recipe *r, const struct aws_wanted *w, const char *bucket,
	const char *region, char why[AWS_WHY])
{
	char *seed = longest_seed(w->workers);
	char *longest = seed ? aws_userdata_orchestrator(w, bucket, region, seed) : NULL;
	bool ok = longest && is_short_enough(AWS_WORKER, r->user_data[AWS_WORKER], why) &&
		is_short_enough(AWS_ORCHESTRATOR, longest, why);
	free(longest);
	free(seed);
	return ok;
}

bool aws_recipe_make(struct aws_recipe *r, const struct aws_wanted *w, const char *bucket, const char *region,
	char why[AWS_WHY])
{
	*r = (struct aws_recipe){ 0 };
	r->user_data[AWS_WORKER] = aws_userdata_worker(w, bucket, region);
	r->user_data[AWS_ORCHESTRATOR] = aws_userdata_orchestrator(w, bucket, region, "");
	snprintf(why, AWS_WHY, "out of memory");
	for (enum aws_role role = 0; role < AWS_ROLES; role++) {
		const char *text = r->user_data[role];
		r->policy[role] = policy_of(w, role, bucket, region);
		if (!text || !*text || !r->policy[role] || !make_spec(r->spec[role], w->settings, text))
			return false;
	}
	return check_lengths(r, w, bucket, region, why);
}

void aws_recipe_finish(struct aws_recipe *r)
{
	for (enum aws_role role = 0; role < AWS_ROLES; role++) {
		free(r->user_data[role]);
		free(r->policy[role]);
	}
	*r = (struct aws_recipe){ 0 };
}
