/* What there is of a cluster, in two rounds of calls: what is found by tag or by a name that is known before,
 * then what is within it. */
#include "base/str.h"
#include "fleet/aws_cluster.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { FOUND_MAX = 256 << 20, PAGES_MAX = 100 };

void aws_found_init(struct aws_found *f)
{
	*f = (struct aws_found){ 0 };
	arena_init(&f->arena, 64 << 10, FOUND_MAX);
}

void aws_found_finish(struct aws_found *f)
{
	arena_finish(&f->arena);
}

static int no_memory(struct aws *a)
{
	snprintf(a->why, sizeof a->why, "out of memory, or more answers than a cluster can have");
	return -1;
}

static const char *tag_of(const struct xml *tags, const char *key)
{
	for (const struct xml *t = xml_at(tags, "item"); t; t = xml_next(t)) {
		if (!strcmp(xml_text(t, "key"), key))
			return xml_text(t, "value");
	}
	return "";
}

static uint32_t number(const char *text)
{
	uint64_t n;
	return str_to_u64(str_of(text), &n) && n <= UINT32_MAX ? (uint32_t)n : 0;
}

static void copy(char *to, size_t size, const char *text)
{
	str_copy(to, size, str_of(text));
}

/* ---- instances ---- */

static enum aws_state state_of(const char *name)
{
	static const struct {
		const char *name;
		enum aws_state state;
	} states[] = { { "pending", AWS_PENDING }, { "running", AWS_RUNNING }, { "stopping", AWS_STOPPED },
		{ "stopped", AWS_STOPPED }, { "shutting-down", AWS_ENDING },
		{ "terminated", AWS_TERMINATED } };
	for (size_t i = 0; i < ARRAY_LEN(states); i++) {
		if (!strcmp(states[i].name, name))
			return states[i].state;
	}
	return AWS_PENDING;
}

static int64_t time_of(const char *text)
{
	struct tm tm = { 0 };
	return strptime(text, "%Y-%m-%dT%H:%M:%S", &tm) ? (int64_t)timegm(&tm) : 0;
}

void aws_read_instance(const struct xml *item, struct aws_instance *ret)
{
	const struct xml *tags = xml_at(item, "tagSet");
	bool front = !strcmp(tag_of(tags, AWS_TAG_ROLE), aws_role_name(AWS_ORCHESTRATOR));
	*ret = (struct aws_instance){
		.role = front ? AWS_ORCHESTRATOR : AWS_WORKER,
		.index = number(tag_of(tags, AWS_TAG_INDEX)),
		.generation = number(tag_of(tags, AWS_TAG_GENERATION)),
		.state = state_of(xml_text(item, "instanceState/name")),
		.launched_s = time_of(xml_text(item, "launchTime")),
		.draining = !strcmp(tag_of(tags, AWS_TAG_STATE), AWS_DRAINING),
	};
	copy(ret->id, sizeof ret->id, xml_text(item, "instanceId"));
	copy(ret->spec, sizeof ret->spec, tag_of(tags, AWS_TAG_SPEC));
	copy(ret->type, sizeof ret->type, xml_text(item, "instanceType"));
	copy(ret->private_ip, sizeof ret->private_ip, xml_text(item, "privateIpAddress"));
	copy(ret->public_ip, sizeof ret->public_ip, xml_text(item, "ipAddress"));
	copy(ret->reason, sizeof ret->reason, xml_text(item, "stateReason/message"));
}

static size_t count_items(const struct xml *root)
{
	size_t n = 0;
	for (const struct xml *r = xml_at(root, "reservationSet/item"); r; r = xml_next(r)) {
		for (const struct xml *i = xml_at(r, "instancesSet/item"); i; i = xml_next(i))
			n++;
	}
	return n;
}

static bool add_instances(struct aws_found *f, const struct xml *root)
{
	size_t n = f->n_instances + count_items(root);
	struct aws_instance *all = arena_alloc(&f->arena, n * sizeof *all);
	if (!all)
		return false;
	if (f->n_instances)
		memcpy(all, f->instances, f->n_instances * sizeof *all);
	f->instances = all;
	for (const struct xml *r = xml_at(root, "reservationSet/item"); r; r = xml_next(r)) {
		for (const struct xml *i = xml_at(r, "instancesSet/item"); i; i = xml_next(i))
			aws_read_instance(i, &f->instances[f->n_instances++]);
	}
	return true;
}

static void filter_by_cluster(struct aws_call *c, const char *cluster)
{
	aws_call_add(c, "Filter.1.Name", "tag:" AWS_TAG_CLUSTER);
	aws_call_add(c, "Filter.1.Value.1", "%s", cluster);
}

static void ask_for_instances(struct aws_call *c, const char *cluster, const char *page)
{
	aws_call_query(c, AWS_EC2, "DescribeInstances");
	filter_by_cluster(c, cluster);
	if (*page)
		aws_call_add(c, "NextToken", "%s", page);
}

/* The pages behind the one that c has brought. */
static int take_instances(struct aws *a, const char *cluster, struct aws_found *f, const struct aws_call *c)
{
	struct aws_call next = { .file = -1 };
	const struct xml *root = c->root;
	int r = 0;
	f->instances = NULL;
	f->n_instances = 0;
	for (unsigned pages = 0; r == 0; pages++) {
		char page[1024];
		if (!add_instances(f, root) || pages == PAGES_MAX) {
			r = no_memory(a);
			break;
		}
		copy(page, sizeof page, xml_text(root, "nextToken"));
		aws_call_finish(&next);
		if (!*page)
			break;
		ask_for_instances(&next, cluster, page);
		r = aws_run(a, (struct aws_call *[]){ &next }, 1);
		root = next.root;
	}
	aws_call_finish(&next);
	return r;
}

int aws_look_for_instances(struct aws *a, const char *cluster, struct aws_found *f)
{
	struct aws_call c;
	ask_for_instances(&c, cluster, "");
	int r = aws_run(a, (struct aws_call *[]){ &c }, 1);
	if (r == 0)
		r = take_instances(a, cluster, f, &c);
	aws_call_finish(&c);
	return r;
}

/* ---- groups and rules ---- */

static void take_groups(const char *cluster, struct aws_found *f, const struct xml *root)
{
	char name[AWS_NAME];
	for (const struct xml *g = xml_at(root, "securityGroupInfo/item"); g; g = xml_next(g)) {
		for (enum aws_role role = 0; role < AWS_ROLES; role++) {
			if (strcmp(xml_text(g, "groupName"), aws_group_name(cluster, role, name)))
				continue;
			copy(f->groups[role].id, AWS_ID, xml_text(g, "groupId"));
			copy(f->groups[role].vpc, AWS_ID, xml_text(g, "vpcId"));
		}
	}
}

static void ask_for_groups(struct aws_call *c, const char *cluster)
{
	aws_call_query(c, AWS_EC2, "DescribeSecurityGroups");
	filter_by_cluster(c, cluster);
}

int aws_look_for_groups(struct aws *a, const char *cluster, struct aws_found *f)
{
	struct aws_call c;
	ask_for_groups(&c, cluster);
	int r = aws_run(a, (struct aws_call *[]){ &c }, 1);
	if (r == 0)
		take_groups(cluster, f, c.root);
	aws_call_finish(&c);
	return r;
}

/* Rules that somebody else has added stay as they are. */
static bool take_rules(const char *cluster, struct aws_found *f, const struct xml *root)
{
	size_t n = 0;
	const struct xml *first = xml_at(root, "securityGroupRuleSet/item");
	for (const struct xml *i = first; i; i = xml_next(i))
		n++;
	f->rules = arena_alloc(&f->arena, n * sizeof *f->rules);
	f->n_rules = 0;
	if (!f->rules)
		return false;
	for (const struct xml *i = first; i; i = xml_next(i)) {
		const char *group = xml_text(i, "groupId");
		bool front = !strcmp(group, f->groups[AWS_ORCHESTRATOR].id);
		bool tcp = !strcmp(xml_text(i, "ipProtocol"), "tcp");
		if (strcmp(tag_of(xml_at(i, "tagSet"), AWS_TAG_CLUSTER), cluster) ||
			(!front && strcmp(group, f->groups[AWS_WORKER].id)))
			continue;
		struct aws_rule *rule = &f->rules[f->n_rules++];
		*rule = (struct aws_rule){ .to = front ? AWS_ORCHESTRATOR : AWS_WORKER,
			.from_port = number(xml_text(i, "fromPort")),
			.to_port = number(xml_text(i, "toPort")) };
		copy(rule->id, sizeof rule->id, xml_text(i, "securityGroupRuleId"));
		const char *sources[] = { xml_text(i, "cidrIpv4"), xml_text(i, "cidrIpv6"),
			xml_text(i, "referencedGroupInfo/groupId") };
		for (size_t k = 0; k < ARRAY_LEN(sources) && tcp; k++) {
			if (*sources[k])
				copy(rule->source, sizeof rule->source, sources[k]);
		}
	}
	return true;
}

/* ---- roles and profiles ---- */

static const char *member_tag(const struct xml *tags, const char *key)
{
	for (const struct xml *t = xml_at(tags, "member"); t; t = xml_next(t)) {
		if (!strcmp(xml_text(t, "Key"), key))
			return xml_text(t, "Value");
	}
	return "";
}

static void take_role(const char *cluster, struct aws_found *f, enum aws_role role, const struct aws_call *c)
{
	const struct xml *tags = xml_at(c->root, "GetRoleResult/Role/Tags");
	bool there = !c->code[0], ours = !strcmp(member_tag(tags, AWS_TAG_CLUSTER), cluster);
	f->iam[role].role = there && ours;
	f->iam[role].foreign |= there && !ours;
	if (there && ours && *member_tag(tags, AWS_TAG_BUCKET))
		copy(f->bucket, sizeof f->bucket, member_tag(tags, AWS_TAG_BUCKET));
}

static void take_profile(
	const char *cluster, struct aws_found *f, enum aws_role role, const struct aws_call *c)
{
	const struct xml *profile = xml_at(c->root, "GetInstanceProfileResult/InstanceProfile");
	bool there = !c->code[0];
	bool ours = !strcmp(member_tag(xml_at(profile, "Tags"), AWS_TAG_CLUSTER), cluster);
	f->iam[role].profile = there && ours;
	f->iam[role].foreign |= there && !ours;
	f->iam[role].attached = there && ours && xml_at(profile, "Roles/member");
}

/* IAM gives a document with its bytes as %XX. */
static const char *decode(struct arena *arena, const char *text)
{
	size_t n = strlen(text), at = 0;
	char *plain = arena_alloc(arena, n + 1);
	if (!plain)
		return "";
	for (size_t i = 0; i < n; i++) {
		char hex[3] = { text[i] == '%' && i + 2 < n ? text[i + 1] : '\0', text[i + 2 < n ? i + 2 : i],
			'\0' };
		if (hex[0]) {
			plain[at++] = (char)strtoul(hex, NULL, 16);
			i += 2;
		} else {
			plain[at++] = text[i];
		}
	}
	plain[at] = '\0';
	return plain;
}

/* ---- the two rounds ---- */

enum {
	ASK_INSTANCES,
	ASK_GROUPS,
	ASK_ACCOUNT,
	ASK_ROLE,
	ASK_PROFILE = ASK_ROLE + AWS_ROLES,
	ASKED = ASK_PROFILE + AWS_ROLES
};

static void make_first_round(struct aws_call calls[ASKED], const char *cluster, const char *region)
{
	char name[AWS_NAME];
	ask_for_instances(&calls[ASK_INSTANCES], cluster, "");
	ask_for_groups(&calls[ASK_GROUPS], cluster);
	aws_call_query(&calls[ASK_ACCOUNT], AWS_STS, "GetCallerIdentity");
	for (enum aws_role role = 0; role < AWS_ROLES; role++) {
		struct aws_call *get_role = &calls[ASK_ROLE + role],
				*get_profile = &calls[ASK_PROFILE + role];
		aws_iam_name(cluster, region, role, name);
		aws_call_query(get_role, AWS_IAM, "GetRole");
		aws_call_add(get_role, "RoleName", "%s", name);
		aws_call_query(get_profile, AWS_IAM, "GetInstanceProfile");
		aws_call_add(get_profile, "InstanceProfileName", "%s", name);
		get_role->settled = get_profile->settled = "NoSuchEntity";
	}
}

static int first_round(struct aws *a, const char *cluster, const char *bucket, struct aws_found *f)
{
	struct aws_call calls[ASKED], *all[ASKED];
	make_first_round(calls, cluster, a->credentials.region);
	for (size_t i = 0; i < ASKED; i++)
		all[i] = &calls[i];
	int r = aws_run(a, all, ASKED);
	if (r == 0)
		r = take_instances(a, cluster, f, &calls[ASK_INSTANCES]);
	if (r == 0) {
		take_groups(cluster, f, calls[ASK_GROUPS].root);
		copy(f->account, sizeof f->account,
			xml_text(calls[ASK_ACCOUNT].root, "GetCallerIdentityResult/Account"));
		if (bucket)
			copy(f->bucket, sizeof f->bucket, bucket);
		else
			aws_bucket_name(cluster, a->credentials.region, f->account, f->bucket);
		for (enum aws_role role = 0; role < AWS_ROLES; role++) {
			take_role(cluster, f, role, &calls[ASK_ROLE + role]);
			take_profile(cluster, f, role, &calls[ASK_PROFILE + role]);
		}
	}
	for (size_t i = 0; i < ASKED; i++)
		aws_call_finish(&calls[i]);
	return r;
}

static void ask_for_objects(struct aws_call *c, const char *cluster, const char *bucket, const char *after)
{
	char path[AWS_NAME * 2 + 1200], prefix[AWS_NAME], *token = NULL;
	size_t n;
	FILE *encoded = open_memstream(&token, &n);
	if (encoded) {
		aws_encode(encoded, after, false);
		fclose(encoded);
	}
	aws_prefix(cluster, prefix);
	prefix[strlen(prefix) - 1] = '\0';
	if (*after)
		snprintf(path, sizeof path, "/%s?continuation-token=%.1000s&list-type=2&prefix=%s", bucket,
			token ? token : "", prefix);
	else
		snprintf(path, sizeof path, "/%s?list-type=2&prefix=%s", bucket, prefix);
	free(token);
	aws_call_s3(c, "ListObjectsV2", "GET", path, NULL);
	str_copy(c->answered_by, sizeof c->answered_by, STR("ListBucketResult"));
	c->settled = "NoSuchBucket NotFound";
}

static bool add_objects(const char *cluster, struct aws_found *f, const struct xml *root)
{
	char prefix[AWS_NAME];
	size_t n = f->n_objects;
	aws_prefix(cluster, prefix);
	for (const struct xml *o = xml_at(root, "Contents"); o; o = xml_next(o))
		n++;
	const char **all = arena_alloc(&f->arena, n * sizeof *all);
	if (!all)
		return false;
	if (f->n_objects)
		memcpy(all, f->objects, f->n_objects * sizeof *all);
	f->objects = all;
	for (const struct xml *o = xml_at(root, "Contents"); o; o = xml_next(o)) {
		if (!str_starts(str_of(xml_text(o, "Key")), str_of(prefix)))
			continue;
		struct str key = arena_printf(&f->arena, "%s", xml_text(o, "Key"));
		if (!key.ptr)
			return false;
		f->objects[f->n_objects++] = key.ptr;
	}
	return true;
}

static int take_objects(struct aws *a, const char *cluster, struct aws_found *f, const struct aws_call *c)
{
	struct aws_call next = { .file = -1 };
	const struct xml *root = c->root;
	int r = 0;
	f->objects = NULL;
	f->n_objects = 0;
	f->bucket_there = !c->code[0];
	for (unsigned pages = 0; f->bucket_there && r == 0; pages++) {
		char token[1000];
		if (!add_objects(cluster, f, root) || pages == PAGES_MAX) {
			r = no_memory(a);
			break;
		}
		copy(token, sizeof token, xml_text(root, "NextContinuationToken"));
		aws_call_finish(&next);
		if (!*token)
			break;
		ask_for_objects(&next, cluster, f->bucket, token);
		r = aws_run(a, (struct aws_call *[]){ &next }, 1);
		root = next.root;
	}
	aws_call_finish(&next);
	return r;
}

/* One that bears the name that is made, and no tag yet, is the cluster's, too: a run was cut off between the
 * two calls. */
static void take_bucket(
	const struct aws *a, const char *cluster, struct aws_found *f, const struct aws_call *c)
{
	char name[AWS_NAME];
	aws_bucket_name(cluster, a->credentials.region, f->account, name);
	for (const struct xml *t = xml_at(c->root, "TagSet/Tag"); t; t = xml_next(t)) {
		if (!strcmp(xml_text(t, "Key"), AWS_TAG_CLUSTER) && !strcmp(xml_text(t, "Value"), cluster))
			f->bucket_tagged = f->bucket_there;
	}
	bool fresh = !strcmp(c->code, "NoSuchTagSet");
	f->bucket_ours = f->bucket_there && !strcmp(name, f->bucket) && (f->bucket_tagged || fresh);
}

enum { MORE_RULES, MORE_OBJECTS, MORE_BUCKET, MORE_POLICY, MORE = MORE_POLICY + AWS_ROLES };

static size_t make_second_round(const struct aws *a, const char *cluster, const struct aws_found *f,
	struct aws_call calls[MORE], struct aws_call *all[MORE])
{
	char path[AWS_NAME + 16], name[AWS_NAME];
	unsigned groups = 0;
	size_t n = 0;
	if (f->groups[AWS_WORKER].id[0] || f->groups[AWS_ORCHESTRATOR].id[0]) {
		all[n++] = &calls[MORE_RULES];
		aws_call_query(&calls[MORE_RULES], AWS_EC2, "DescribeSecurityGroupRules");
		aws_call_add(&calls[MORE_RULES], "Filter.1.Name", "group-id");
		for (enum aws_role role = 0; role < AWS_ROLES; role++) {
			char key[32];
			if (!f->groups[role].id[0])
				continue;
			snprintf(key, sizeof key, "Filter.1.Value.%u", ++groups);
			aws_call_add(&calls[MORE_RULES], key, "%s", f->groups[role].id);
		}
	}
	all[n++] = &calls[MORE_OBJECTS];
	ask_for_objects(&calls[MORE_OBJECTS], cluster, f->bucket, "");
	all[n++] = &calls[MORE_BUCKET];
	snprintf(path, sizeof path, "/%s?tagging=", f->bucket);
	aws_call_s3(&calls[MORE_BUCKET], "GetBucketTagging", "GET", path, NULL);
	str_copy(calls[MORE_BUCKET].answered_by, sizeof calls[MORE_BUCKET].answered_by, STR("Tagging"));
	calls[MORE_BUCKET].settled = "NoSuchBucket NoSuchTagSet AccessDenied NotFound";
	for (enum aws_role role = 0; role < AWS_ROLES; role++) {
		struct aws_call *get = &calls[MORE_POLICY + role];
		if (!f->iam[role].role)
			continue;
		all[n++] = get;
		aws_iam_name(cluster, a->credentials.region, role, name);
		aws_call_query(get, AWS_IAM, "GetRolePolicy");
		aws_call_add(get, "RoleName", "%s", name);
		aws_call_add(get, "PolicyName", AWS_POLICY);
		get->settled = "NoSuchEntity";
	}
	return n;
}

static int second_round(struct aws *a, const char *cluster, struct aws_found *f)
{
	struct aws_call calls[MORE] = { 0 }, *all[MORE];
	size_t n = make_second_round(a, cluster, f, calls, all);
	int r = aws_run(a, all, n);
	if (r == 0)
		r = take_objects(a, cluster, f, &calls[MORE_OBJECTS]);
	if (r == 0) {
		take_bucket(a, cluster, f, &calls[MORE_BUCKET]);
		for (enum aws_role role = 0; role < AWS_ROLES; role++)
			f->iam[role].policy = decode(&f->arena,
				xml_text(calls[MORE_POLICY + role].root,
					"GetRolePolicyResult/PolicyDocument"));
		if (!take_rules(cluster, f, calls[MORE_RULES].root))
			r = no_memory(a);
	}
	for (size_t i = 0; i < n; i++)
		aws_call_finish(all[i]);
	return r;
}

int aws_look(struct aws *a, const char *cluster, const char *bucket, struct aws_found *f)
{
	aws_found_finish(f);
	aws_found_init(f);
	int r = first_round(a, cluster, bucket, f);
	return r ? r : second_round(a, cluster, f);
}
