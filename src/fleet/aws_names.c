#include "fleet/aws_cluster.h"

#include "fleet/digest.h"

#include <string.h>

static const char *const role_names[] = { [AWS_WORKER] = "worker", [AWS_ORCHESTRATOR] = "orchestrator" };

const char *aws_bad_name(const char *name)
{
	size_t n = strlen(name);
	if (n > AWS_CLUSTER_MAX)
		return "a fleet's name on AWS has up to 30 characters";
	if (!n || strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != n || name[0] == '-' ||
		name[n - 1] == '-')
		return "a fleet's name on AWS is of the letters a-z, digits and '-', which is neither first "
		       "nor last";
	return NULL;
}

const char *aws_role_name(enum aws_role role)
{
	return role_names[role];
}

const char *aws_iam_name(const char *cluster, const char *region, enum aws_role role, char name[AWS_NAME])
{
	snprintf(name, AWS_NAME, "berth-%s-%s-%s", cluster, region, role_names[role]);
	return name;
}

const char *aws_group_name(const char *cluster, enum aws_role role, char name[AWS_NAME])
{
	snprintf(name, AWS_NAME, "berth-%s-%s", cluster, role_names[role]);
	return name;
}

/* Without a slash but the last: what lists objects by "prefix=" then needs no escapes. */
const char *aws_prefix(const char *cluster, char prefix[AWS_NAME])
{
	snprintf(prefix, AWS_NAME, "berth-%s/", cluster);
	return prefix;
}

const char *aws_bucket_name(const char *cluster, const char *region, const char *account, char name[AWS_NAME])
{
	char text[160], digest[65];
	int n = snprintf(text, sizeof text, "%.32s/%.40s/%.40s", account, region, cluster);
	digest_bytes((struct str){ text, (size_t)n }, digest);
	snprintf(name, AWS_NAME, "berth-%s-%.12s", cluster, digest);
	return name;
}

const char *aws_state_name(enum aws_state state)
{
	static const char *const names[] = { [AWS_PENDING] = "pending",
		[AWS_RUNNING] = "running",
		[AWS_ENDING] = "ending",
		[AWS_STOPPED] = "stopped",
		[AWS_TERMINATED] = "terminated" };
	return names[state];
}

const char *aws_instance_name(const struct aws_instance *i, char name[AWS_NAME])
{
	if (i->role == AWS_WORKER)
		snprintf(name, AWS_NAME, "worker %u", i->index);
	else
		snprintf(name, AWS_NAME, "orchestrator");
	return name;
}

const char *aws_object_name(enum aws_object_kind kind)
{
	static const char *const names[] = { [AWS_OBJECT_WORKER] = "worker image",
		[AWS_OBJECT_ORCHESTRATOR] = "orchestrator image",
		[AWS_OBJECT_MODEL] = "model" };
	return names[kind];
}
