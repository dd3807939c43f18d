/* Steps in words, and the stage of each. */
#include "fleet/aws_plan.h"

#include <string.h>

static const struct words {
	enum aws_stage stage;
	const char *verb, *done;
} words[] = {
	[AWS_MAKE_BUCKET] = { AWS_STAGE_FIRST, "make", "made" },
	[AWS_MAKE_ROLE] = { AWS_STAGE_FIRST, "make", "made" },
	[AWS_MAKE_GROUP] = { AWS_STAGE_FIRST, "make", "made" },
	[AWS_TAG_THE_BUCKET] = { AWS_STAGE_WITHIN, "tag", "tagged" },
	[AWS_SET_POLICY] = { AWS_STAGE_WITHIN, "set", "set" },
	[AWS_MAKE_PROFILE] = { AWS_STAGE_WITHIN, "make", "made" },
	[AWS_MAKE_RULE] = { AWS_STAGE_WITHIN, "make", "made" },
	[AWS_UPLOAD] = { AWS_STAGE_READY, "upload", "uploaded" },
	[AWS_ATTACH_ROLE] = { AWS_STAGE_READY, "add", "added" },
	[AWS_START_WORKER] = { AWS_STAGE_WORKERS, "start", "started" },
	[AWS_START_ORCHESTRATOR] = { AWS_STAGE_ORCHESTRATOR, "start", "started" },
	[AWS_DRAIN] = { AWS_STAGE_DRAIN, "drain", "drained" },
	[AWS_UNDRAIN] = { AWS_STAGE_DRAIN, "return to work", "returned to work" },
	[AWS_RESTORE_POLICY] = { AWS_STAGE_DRAIN, "restore", "restored" },
	[AWS_TERMINATE] = { AWS_STAGE_TERMINATE, "terminate", "terminated" },
	[AWS_REVOKE_RULE] = { AWS_STAGE_RULES, "remove", "removed" },
	[AWS_REMOVE_GROUP] = { AWS_STAGE_GROUPS, "remove", "removed" },
	[AWS_DETACH_ROLE] = { AWS_STAGE_GROUPS, "take out", "took out" },
	[AWS_REMOVE_PROFILE] = { AWS_STAGE_DETACH, "remove", "removed" },
	[AWS_REMOVE_OBJECT] = { AWS_STAGE_DETACH, "remove", "removed" },
	[AWS_REMOVE_BUCKET] = { AWS_STAGE_OBJECTS, "remove", "removed" },
	[AWS_REMOVE_POLICY] = { AWS_STAGE_OBJECTS, "remove", "removed" },
	[AWS_DETACH_POLICY] = { AWS_STAGE_OBJECTS, "detach", "detached" },
	[AWS_REMOVE_ROLE] = { AWS_STAGE_LAST, "remove", "removed" },
};

enum aws_stage aws_step_stage(const struct aws_step *s)
{
	return words[s->kind].stage;
}

const char *aws_step_verb(const struct aws_step *s)
{
	return words[s->kind].verb;
}

const char *aws_step_done(const struct aws_step *s)
{
	return words[s->kind].done;
}

static const char *rule_text(const struct aws_rule *rule, char text[AWS_STEP_TEXT])
{
	bool group = !rule->source[0] || str_starts(str_of(rule->source), STR("sg-"));
	char ports[32];
	if (rule->from_port == rule->to_port)
		snprintf(ports, sizeof ports, "%u", rule->from_port);
	else
		snprintf(ports, sizeof ports, "%u-%u", rule->from_port, rule->to_port);
	snprintf(text, AWS_STEP_TEXT, "rule: %s's port %s from %s", aws_role_name(rule->to), ports,
		group ? "the orchestrator" : rule->source);
	return text;
}

static const char *instance_text(const struct aws_instance *i, char text[AWS_STEP_TEXT])
{
	char name[AWS_NAME];
	aws_instance_name(i, name);
	if (i->id[0])
		snprintf(text, AWS_STEP_TEXT, "%s (%s)", name, i->id);
	else
		snprintf(text, AWS_STEP_TEXT, "%s (%s)", name, i->type);
	return text;
}

const char *aws_step_text(const struct aws_step *s, const struct aws_found *f, char text[AWS_STEP_TEXT])
{
	const char *role = aws_role_name(s->role);
	switch (s->kind) {
	case AWS_MAKE_BUCKET:
	case AWS_TAG_THE_BUCKET:
	case AWS_REMOVE_BUCKET:
		snprintf(text, AWS_STEP_TEXT, "bucket %s", f->bucket);
		break;
	case AWS_MAKE_ROLE:
	case AWS_REMOVE_ROLE:
		snprintf(text, AWS_STEP_TEXT, "role of the %s", role);
		break;
	case AWS_SET_POLICY:
	case AWS_RESTORE_POLICY:
		snprintf(text, AWS_STEP_TEXT, "policy of the %s's role", role);
		break;
	case AWS_REMOVE_POLICY:
	case AWS_DETACH_POLICY:
		snprintf(text, AWS_STEP_TEXT, "policy %.200s of the %s's role", s->key, role);
		break;
	case AWS_MAKE_PROFILE:
	case AWS_REMOVE_PROFILE:
		snprintf(text, AWS_STEP_TEXT, "instance profile of the %s", role);
		break;
	case AWS_ATTACH_ROLE:
	case AWS_DETACH_ROLE:
		snprintf(text, AWS_STEP_TEXT, "role in the %s's instance profile", role);
		break;
	case AWS_MAKE_GROUP:
	case AWS_REMOVE_GROUP:
		snprintf(text, AWS_STEP_TEXT, "security group of the %s", role);
		break;
	case AWS_MAKE_RULE:
	case AWS_REVOKE_RULE:
		return rule_text(&s->rule, text);
	case AWS_UPLOAD:
		snprintf(text, AWS_STEP_TEXT, "%s (%.1f MiB) to s3://%s/%s", aws_object_name(s->object->kind),
			(double)s->object->bytes / (1 << 20), f->bucket, s->object->key);
		break;
	case AWS_REMOVE_OBJECT:
		snprintf(text, AWS_STEP_TEXT, "s3://%s/%s", f->bucket, s->key);
		break;
	case AWS_START_WORKER:
	case AWS_START_ORCHESTRATOR:
	case AWS_DRAIN:
	case AWS_UNDRAIN:
	case AWS_TERMINATE:
		return instance_text(&s->instance, text);
	}
	return text;
}
