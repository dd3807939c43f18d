#include "fleet/aws_step.h"

#include "fleet/aws_userdata.h"
#include "fleet/digest.h"

#include <nettle/base64.h>
#include <stdlib.h>
#include <string.h>

/* ---- tags ---- */

static void add_tag(struct aws_call *c, const char *before, unsigned at, const char *key, const char *value)
{
	char name[64];
	snprintf(name, sizeof name, "%sTag.%u.Key", before, at);
	aws_call_add(c, name, "%s", key);
	snprintf(name, sizeof name, "%sTag.%u.Value", before, at);
	aws_call_add(c, name, "%s", value);
}

/* The tags of what EC2 makes, in the call that makes it. */
static void tag_resource(struct aws_call *c, const struct aws_site *site, unsigned at, const char *type,
	const struct aws_step *s)
{
	char before[48], name[48], value[AWS_NAME], label[AWS_NAME + 48];
	snprintf(name, sizeof name, "TagSpecification.%u.ResourceType", at);
	aws_call_add(c, name, "%s", type);
	snprintf(before, sizeof before, "TagSpecification.%u.", at);
	add_tag(c, before, 1, AWS_TAG_CLUSTER, site->cluster);
	add_tag(c, before, 2, AWS_TAG_ROLE, aws_role_name(s->role));
	snprintf(label, sizeof label, "berth %s %s", site->cluster, aws_role_name(s->role));
	if (s->kind == AWS_START_WORKER || s->kind == AWS_START_ORCHESTRATOR) {
		snprintf(label, sizeof label, "berth %s %s", site->cluster,
			aws_instance_name(&s->instance, value));
		snprintf(value, sizeof value, "%u", s->instance.index);
		add_tag(c, before, 4, AWS_TAG_INDEX, value);
		snprintf(value, sizeof value, "%u", s->instance.generation);
		add_tag(c, before, 5, AWS_TAG_GENERATION, value);
		add_tag(c, before, 6, AWS_TAG_SPEC, s->instance.spec);
	}
	add_tag(c, before, 3, "Name", label);
}

static void tag_iam(struct aws_call *c, const struct aws_site *site, const struct aws_step *s)
{
	const char *tags[][2] = { { AWS_TAG_CLUSTER, site->cluster },
		{ AWS_TAG_ROLE, aws_role_name(s->role) }, { AWS_TAG_BUCKET, site->found->bucket } };
	for (unsigned i = 0; i < ARRAY_LEN(tags); i++) {
		char name[48];
		snprintf(name, sizeof name, "Tags.member.%u.Key", i + 1);
		aws_call_add(c, name, "%s", tags[i][0]);
		snprintf(name, sizeof name, "Tags.member.%u.Value", i + 1);
		aws_call_add(c, name, "%s", tags[i][1]);
	}
}

/* ---- IAM ---- */

#define TRUST                                                                                             \
	"{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"sts:AssumeRole\"," \
	"\"Principal\":{\"Service\":\"ec2.amazonaws.com\"}}]}"

static void call_iam(struct aws_call *c, const struct aws_site *site, const struct aws_step *s,
	const char *action, const char *settled)
{
	char name[AWS_NAME];
	aws_iam_name(site->cluster, site->region, s->role, name);
	aws_call_query(c, AWS_IAM, action);
	c->settled = settled;
	bool profile = strstr(action, "InstanceProfile"), role = !profile || strstr(action, "Role");
	if (profile)
		aws_call_add(c, "InstanceProfileName", "%s", name);
	if (role)
		aws_call_add(c, "RoleName", "%s", name);
}

static bool call_iam_step(struct aws_call *c, const struct aws_site *site, const struct aws_step *s)
{
	switch (s->kind) {
	case AWS_MAKE_ROLE:
		call_iam(c, site, s, "CreateRole", "EntityAlreadyExists");
		aws_call_add(c, "AssumeRolePolicyDocument", TRUST);
		aws_call_add(
			c, "Description", "Berth: %s of the fleet %s", aws_role_name(s->role), site->cluster);
		tag_iam(c, site, s);
		return true;
	case AWS_SET_POLICY:
	case AWS_RESTORE_POLICY:
		call_iam(c, site, s, "PutRolePolicy", NULL);
		aws_call_add(c, "PolicyName", AWS_POLICY);
		aws_call_add(c, "PolicyDocument", "%s", s->policy);
		c->passing = "NoSuchEntity"; /* the role was made a moment ago */
		return true;
	case AWS_MAKE_PROFILE:
		call_iam(c, site, s, "CreateInstanceProfile", "EntityAlreadyExists");
		tag_iam(c, site, s);
		return true;
	case AWS_ATTACH_ROLE: /* a profile holds one role: this one, then */
		call_iam(c, site, s, "AddRoleToInstanceProfile", "EntityAlreadyExists LimitExceeded");
		c->passing = "NoSuchEntity";
		return true;
	case AWS_DETACH_ROLE:
		call_iam(c, site, s, "RemoveRoleFromInstanceProfile", "NoSuchEntity");
		return true;
	case AWS_REMOVE_PROFILE:
		call_iam(c, site, s, "DeleteInstanceProfile", "NoSuchEntity");
		c->passing = "DeleteConflict";
		return true;
	case AWS_REMOVE_POLICY:
		call_iam(c, site, s, "DeleteRolePolicy", "NoSuchEntity");
		aws_call_add(c, "PolicyName", "%s", s->key);
		return true;
	case AWS_DETACH_POLICY:
		call_iam(c, site, s, "DetachRolePolicy", "NoSuchEntity");
		aws_call_add(c, "PolicyArn", "%s", s->key);
		return true;
	case AWS_REMOVE_ROLE:
		call_iam(c, site, s, "DeleteRole", "NoSuchEntity");
		c->passing = "DeleteConflict";
		return true;
	default:
		return false;
	}
}

/* ---- S3 ---- */

static void call_object(struct aws_call *c, const struct aws_site *site, const char *what, const char *method,
	const char *key)
{
	char path[AWS_NAME + AWS_KEY_PATH * 3], *encoded = NULL;
	size_t n;
	FILE *to = open_memstream(&encoded, &n);
	if (to) {
		aws_encode(to, key, true);
		fclose(to);
	}
	snprintf(path, sizeof path, "/%s/%s", site->found->bucket, encoded ? encoded : "");
	free(encoded);
	aws_call_s3(c, what, method, path, NULL);
}

static void call_make_bucket(struct aws_call *c, const struct aws_site *site, const char *path)
{
	char body[256];
	bool first = !strcmp(site->region, "us-east-1"); /* which must not be named */
	snprintf(body, sizeof body,
		"<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
		"<LocationConstraint>%s</LocationConstraint></CreateBucketConfiguration>",
		site->region);
	aws_call_s3(c, "CreateBucket", "PUT", path, first ? "" : body);
	c->settled = "BucketAlreadyOwnedByYou";
}

static void call_tag_bucket(struct aws_call *c, const struct aws_site *site, const char *path)
{
	char body[512];
	snprintf(body, sizeof body,
		"<Tagging xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><TagSet>"
		"<Tag><Key>" AWS_TAG_CLUSTER "</Key><Value>%s</Value></Tag></TagSet></Tagging>",
		site->cluster);
	aws_call_s3(c, "PutBucketTagging", "PUT", path, body);
	c->checksum = true;
	c->passing = "NoSuchBucket";
}

static bool call_s3_step(struct aws_call *c, const struct aws_site *site, const struct aws_step *s)
{
	char path[AWS_NAME + 16];
	switch (s->kind) {
	case AWS_MAKE_BUCKET:
		snprintf(path, sizeof path, "/%s", site->found->bucket);
		call_make_bucket(c, site, path);
		return true;
	case AWS_TAG_THE_BUCKET:
		snprintf(path, sizeof path, "/%s?tagging=", site->found->bucket);
		call_tag_bucket(c, site, path);
		return true;
	case AWS_UPLOAD:
		call_object(c, site, "PutObject", "PUT", s->object->key);
		aws_call_file(c, s->object->fd, s->object->bytes, s->object->sha256);
		if (asprintf(&c->tagging, "berth%%3Acluster=%s", site->cluster) < 0)
			c->tagging = NULL;
		c->passing = "NoSuchBucket";
		return true;
	case AWS_REMOVE_OBJECT:
		call_object(c, site, "DeleteObject", "DELETE", s->key);
		c->settled = "NoSuchKey NoSuchBucket";
		return true;
	case AWS_REMOVE_BUCKET:
		snprintf(path, sizeof path, "/%s", site->found->bucket);
		aws_call_s3(c, "DeleteBucket", "DELETE", path, NULL);
		c->settled = "NoSuchBucket";
		c->passing = "BucketNotEmpty"; /* deletions spread */
		return true;
	default:
		return false;
	}
}

/* ---- EC2: groups and rules ---- */

/* How EC2 says that there is no such group (yet, any more): each of its calls has words of its own. */
#define NO_GROUP                                                                 \
	"InvalidGroup.NotFound InvalidGroupId.NotFound InvalidGroupID.NotFound " \
	"InvalidSecurityGroupID.NotFound InvalidSecurityGroupId.NotFound"

static void call_make_group(struct aws_call *c, const struct aws_site *site, const struct aws_step *s)
{
	char name[AWS_NAME];
	aws_call_query(c, AWS_EC2, "CreateSecurityGroup");
	aws_call_add(c, "GroupName", "%s", aws_group_name(site->cluster, s->role, name));
	aws_call_add(
		c, "GroupDescription", "Berth: %s of the fleet %s", aws_role_name(s->role), site->cluster);
	aws_call_add(c, "VpcId", "%s", site->vpc);
	tag_resource(c, site, 1, "security-group", s);
	c->settled = "InvalidGroup.Duplicate";
}

static void call_make_rule(struct aws_call *c, const struct aws_site *site, const struct aws_step *s)
{
	const struct aws_rule *rule = &s->rule;
	aws_call_query(c, AWS_EC2, "AuthorizeSecurityGroupIngress");
	aws_call_add(c, "GroupId", "%s", site->found->groups[rule->to].id);
	aws_call_add(c, "IpPermissions.1.IpProtocol", "tcp");
	aws_call_add(c, "IpPermissions.1.FromPort", "%u", rule->from_port);
	aws_call_add(c, "IpPermissions.1.ToPort", "%u", rule->to_port);
	if (rule->to == AWS_WORKER)
		aws_call_add(c, "IpPermissions.1.Groups.1.GroupId", "%s",
			site->found->groups[AWS_ORCHESTRATOR].id);
	else if (strchr(rule->source, ':'))
		aws_call_add(c, "IpPermissions.1.Ipv6Ranges.1.CidrIpv6", "%s", rule->source);
	else
		aws_call_add(c, "IpPermissions.1.IpRanges.1.CidrIp", "%s", rule->source);
	tag_resource(c, site, 1, "security-group-rule", s);
	c->settled = "InvalidPermission.Duplicate";
	c->passing = NO_GROUP;
}

static void call_revoke(struct aws_call *c, const struct aws_site *site, const struct aws_step *s)
{
	aws_call_query(c, AWS_EC2, "RevokeSecurityGroupIngress");
	aws_call_add(c, "GroupId", "%s", site->found->groups[s->rule.to].id);
	aws_call_add(c, "SecurityGroupRuleId.1", "%s", s->rule.id);
	c->settled = "InvalidSecurityGroupRuleId.NotFound InvalidPermission.NotFound " NO_GROUP;
}

static void call_remove_group(struct aws_call *c, const struct aws_site *site, const struct aws_step *s)
{
	aws_call_query(c, AWS_EC2, "DeleteSecurityGroup");
	aws_call_add(c, "GroupId", "%s", site->found->groups[s->role].id);
	c->settled = NO_GROUP;
	c->passing = "DependencyViolation InvalidGroup.InUse"; /* until the last instance has let go of it */
}

/* ---- EC2: instances ---- */

/* The same for the same instance, however often it is asked for and whoever asks; the group's id makes it
 * another one after `down`, and the seed, which is in the orchestrator's script, with other workers: EC2
 * refuses a token that it knows from another request, and knows it longer than it shows what has ended. */
static void client_token(const struct aws_site *site, const struct aws_step *s, char token[65])
{
	const struct aws_instance *i = &s->instance;
	char text[512], seed[65];
	digest_bytes(str_of(site->seed), seed);
	int n = snprintf(text, sizeof text, "%s/%s/%s/%u/%u/%s/%s/%s/%s/%s", site->region, site->cluster,
		aws_role_name(s->role), i->index, i->generation, i->spec, site->found->groups[s->role].id,
		site->ami, site->subnet, seed);
	CHECK(n < (int)sizeof text);
	digest_bytes((struct str){ text, (size_t)n }, token);
}

static char *base64(const char *text)
{
	size_t n = strlen(text);
	size_t encoded_bytes = BASE64_ENCODE_RAW_LENGTH(n);
	char *encoded = malloc(encoded_bytes + 1);
	if (!encoded)
		return NULL;
	base64_encode_raw(encoded, n, (const uint8_t *)text);
	encoded[encoded_bytes] = '\0';
	return encoded;
}

static bool add_user_data(struct aws_call *c, const struct aws_site *site, const struct aws_step *s)
{
	const char *text = site->recipe->user_data[s->role];
	char *own = NULL;
	if (s->role == AWS_ORCHESTRATOR)
		text = own = aws_userdata_orchestrator(
			site->wanted, site->found->bucket, site->region, site->seed);
	char *encoded = text ? base64(text) : NULL;
	bool ok = encoded && *text;
	if (ok)
		aws_call_add(c, "UserData", "%s", encoded);
	free(encoded);
	free(own);
	return ok;
}

static bool call_start(struct aws_call *c, const struct aws_site *site, const struct aws_step *s)
{
	const struct aws_settings *settings = site->wanted->settings;
	char token[65], profile[AWS_NAME];
	client_token(site, s, token);
	aws_call_query(c, AWS_EC2, "RunInstances");
	aws_call_add(c, "ImageId", "%s", site->ami);
	aws_call_add(c, "InstanceType", "%s", s->instance.type);
	aws_call_add(c, "MinCount", "1");
	aws_call_add(c, "MaxCount", "1");
	aws_call_add(c, "ClientToken", "%s", token);
	aws_call_add(c, "SubnetId", "%s", site->subnet);
	aws_call_add(c, "SecurityGroupId.1", "%s", site->found->groups[s->role].id);
	aws_call_add(c, "IamInstanceProfile.Name", "%s",
		aws_iam_name(site->cluster, site->region, s->role, profile));
	aws_call_add(c, "MetadataOptions.HttpEndpoint", "enabled");
	aws_call_add(c, "MetadataOptions.HttpTokens", "required");
	aws_call_add(c, "MetadataOptions.HttpPutResponseHopLimit", "1");
	if (settings->key)
		aws_call_add(c, "KeyName", "%s", settings->key);
	tag_resource(c, site, 1, "instance", s);
	tag_resource(c, site, 2, "volume", s);
	c->settled = "IdempotentInstanceTerminated";
	c->passing = "InvalidIamInstanceProfileName.NotFound " NO_GROUP;
	return add_user_data(c, site, s);
}

static void call_tags(struct aws_call *c, const struct aws_step *s, const char *action)
{
	aws_call_query(c, AWS_EC2, action);
	aws_call_add(c, "ResourceId.1", "%s", s->instance.id);
	add_tag(c, "", 1, AWS_TAG_STATE, AWS_DRAINING);
	c->passing = "InvalidInstanceID.NotFound";
}

static bool call_ec2_step(struct aws_call *c, const struct aws_site *site, const struct aws_step *s)
{
	switch (s->kind) {
	case AWS_MAKE_GROUP:
		call_make_group(c, site, s);
		return true;
	case AWS_MAKE_RULE:
		call_make_rule(c, site, s);
		return true;
	case AWS_REVOKE_RULE:
		call_revoke(c, site, s);
		return true;
	case AWS_REMOVE_GROUP:
		call_remove_group(c, site, s);
		return true;
	case AWS_START_WORKER:
	case AWS_START_ORCHESTRATOR:
		return call_start(c, site, s);
	case AWS_DRAIN:
		call_tags(c, s, "CreateTags");
		return true;
	case AWS_UNDRAIN:
		call_tags(c, s, "DeleteTags");
		return true;
	case AWS_TERMINATE:
		aws_call_query(c, AWS_EC2, "TerminateInstances");
		aws_call_add(c, "InstanceId.1", "%s", s->instance.id);
		c->passing = "InvalidInstanceID.NotFound";
		return true;
	default:
		return false;
	}
}

/* ---- any step ---- */

bool aws_step_call(const struct aws_site *site, const struct aws_step *s, struct aws_call *c)
{
	*c = (struct aws_call){ .file = -1 };
	return call_iam_step(c, site, s) || call_s3_step(c, site, s) || call_ec2_step(c, site, s);
}

bool aws_step_take(const struct aws_site *site, struct aws_step *s, const struct aws_call *c)
{
	if (s->kind == AWS_MAKE_GROUP && !c->code[0])
		str_copy(site->found->groups[s->role].id, AWS_ID, str_of(xml_text(c->root, "groupId")));
	if (s->kind != AWS_START_WORKER && s->kind != AWS_START_ORCHESTRATOR)
		return true;
	struct aws_instance made = { .state = AWS_TERMINATED };
	if (!c->code[0])
		aws_read_instance(xml_at(c->root, "instancesSet/item"), &made);
	if (!made.id[0] || made.state == AWS_TERMINATED || made.state == AWS_ENDING) {
		s->instance.generation++;
		return false;
	}
	str_copy(s->instance.id, sizeof s->instance.id, str_of(made.id));
	str_copy(s->instance.private_ip, sizeof s->instance.private_ip, str_of(made.private_ip));
	return true;
}
