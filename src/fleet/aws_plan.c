#include "fleet/aws_plan.h"

#include <stdlib.h>
#include <string.h>

void aws_plan_init(struct aws_plan *p)
{
	*p = (struct aws_plan){ 0 };
}

void aws_plan_finish(struct aws_plan *p)
{
	free(p->steps);
	*p = (struct aws_plan){ 0 };
}

static void add(struct aws_plan *p, const struct aws_step *step)
{
	if (p->n == p->cap) {
		size_t cap = p->cap ? 2 * p->cap : 64;
		struct aws_step *bigger = realloc(p->steps, cap * sizeof *bigger);
		if (!bigger) {
			p->failed = true;
			return;
		}
		p->steps = bigger;
		p->cap = cap;
	}
	p->steps[p->n++] = *step;
}

static void add_of(struct aws_plan *p, enum aws_step_kind kind, enum aws_role role)
{
	add(p, &(struct aws_step){ .kind = kind, .role = role });
}

static void add_instance(struct aws_plan *p, enum aws_step_kind kind, const struct aws_instance *i)
{
	add(p, &(struct aws_step){ .kind = kind, .role = i->role, .instance = *i });
}

static void add_rule(struct aws_plan *p, enum aws_step_kind kind, const struct aws_rule *rule)
{
	add(p, &(struct aws_step){ .kind = kind, .role = rule->to, .rule = *rule });
}

/* ---- up: what instances need ---- */

static bool has_object(const struct aws_found *f, const char *key)
{
	for (size_t i = 0; i < f->n_objects; i++) {
		if (!strcmp(f->objects[i], key))
			return true;
	}
	return false;
}

static void plan_bucket(struct aws_plan *p, const struct aws_found *f, const struct aws_wanted *w)
{
	if (!f->bucket_there)
		add(p, &(struct aws_step){ .kind = AWS_MAKE_BUCKET });
	if ((f->bucket_ours || !f->bucket_there) && !f->bucket_tagged && !w->settings->bucket)
		add(p, &(struct aws_step){ .kind = AWS_TAG_THE_BUCKET });
	for (size_t i = 0; i < w->n_objects; i++) {
		if (!has_object(f, w->objects[i].key))
			add(p, &(struct aws_step){ .kind = AWS_UPLOAD, .object = &w->objects[i] });
	}
}

static void set_policy(struct aws_plan *p, enum aws_step_kind kind, enum aws_role role, const char *policy)
{
	add(p, &(struct aws_step){ .kind = kind, .role = role, .policy = policy });
}

static void plan_iam(struct aws_plan *p, const struct aws_found *f, const struct aws_recipe *r)
{
	for (enum aws_role role = 0; role < AWS_ROLES; role++) {
		const struct aws_iam *iam = &f->iam[role];
		if (!iam->role)
			add_of(p, AWS_MAKE_ROLE, role);
		if (!iam->role || strcmp(iam->policy, r->policy[role]))
			set_policy(p, AWS_SET_POLICY, role, r->policy[role]);
		if (!iam->profile)
			add_of(p, AWS_MAKE_PROFILE, role);
		if (!iam->attached)
			add_of(p, AWS_ATTACH_ROLE, role);
	}
}

static bool is_same_rule(const struct aws_rule *a, const struct aws_rule *b)
{
	return a->to == b->to && a->from_port == b->from_port && a->to_port == b->to_port &&
		!strcmp(a->source, b->source);
}

static bool has_rule(const struct aws_rule *rules, size_t n, const struct aws_rule *rule)
{
	for (size_t i = 0; i < n; i++) {
		if (is_same_rule(&rules[i], rule))
			return true;
	}
	return false;
}

/* The rules of a cluster: the front's port from each network, the containers' ports from the orchestrator. A
 * group that is yet to be made has the id "". */
static size_t wanted_rules(const struct aws_found *f, const struct aws_wanted *w, struct aws_rule *rules)
{
	size_t n = 0;
	rules[n] = (struct aws_rule){
		.to = AWS_WORKER, .from_port = w->base_port, .to_port = w->base_port + w->containers - 1
	};
	str_copy(rules[n++].source, AWS_IP, str_of(f->groups[AWS_ORCHESTRATOR].id));
	for (size_t i = 0; i < w->settings->n_admin_cidrs; i++) {
		rules[n] = (struct aws_rule){
			.to = AWS_ORCHESTRATOR, .from_port = AWS_FRONT_PORT, .to_port = AWS_FRONT_PORT
		};
		str_copy(rules[n++].source, AWS_IP, str_of(w->settings->admin_cidrs[i]));
	}
	return n;
}

/* Without --admin-cidr who may reach the front stays as it is. */
static void plan_groups(struct aws_plan *p, const struct aws_found *f, const struct aws_wanted *w)
{
	struct aws_rule *rules = calloc(1 + w->settings->n_admin_cidrs, sizeof *rules);
	if (!rules) {
		p->failed = true;
		return;
	}
	size_t n = wanted_rules(f, w, rules);
	for (enum aws_role role = 0; role < AWS_ROLES; role++) {
		if (!f->groups[role].id[0])
			add_of(p, AWS_MAKE_GROUP, role);
	}
	for (size_t i = 0; i < n; i++) {
		if (!has_rule(f->rules, f->n_rules, &rules[i]))
			add_rule(p, AWS_MAKE_RULE, &rules[i]);
	}
	for (size_t i = 0; i < f->n_rules; i++) {
		bool kept = f->rules[i].to == AWS_ORCHESTRATOR && !w->settings->n_admin_cidrs;
		if (!kept && !has_rule(rules, n, &f->rules[i]))
			add_rule(p, AWS_REVOKE_RULE, &f->rules[i]);
	}
	free(rules);
}

/* ---- up: the instances ---- */

static bool is_right(const struct aws_instance *i, const struct aws_recipe *r)
{
	return aws_is_live(i) && !i->draining && !i->broken && !strcmp(i->spec, r->spec[i->role]);
}

static bool is_index_taken(const struct aws_found *f, uint32_t index)
{
	for (size_t i = 0; i < f->n_instances; i++) {
		if (f->instances[i].role == AWS_WORKER && f->instances[i].index == index &&
			aws_is_live(&f->instances[i]))
			return true;
	}
	return false;
}

static uint32_t next_generation(const struct aws_found *f)
{
	uint32_t most = 0;
	for (size_t i = 0; i < f->n_instances; i++) {
		if (f->instances[i].generation > most)
			most = f->instances[i].generation;
	}
	return most + 1;
}

static void start(struct aws_plan *p, const struct aws_found *f, const struct aws_wanted *w,
	const struct aws_recipe *r, enum aws_role role, uint32_t index)
{
	struct aws_instance i = { .role = role, .index = index, .generation = next_generation(f) };
	str_copy(i.spec, sizeof i.spec, str_of(r->spec[role]));
	str_copy(i.type, sizeof i.type, str_of(w->settings->instance_type));
	add_instance(p, role == AWS_WORKER ? AWS_START_WORKER : AWS_START_ORCHESTRATOR, &i);
}

/* Of those that are right, the ones with the lowest numbers stay. */
static bool is_surplus(const struct aws_found *f, const struct aws_recipe *r, size_t at, uint32_t wanted)
{
	const struct aws_instance *self = &f->instances[at];
	uint32_t before = 0;
	for (size_t i = 0; i < f->n_instances; i++) {
		const struct aws_instance *other = &f->instances[i];
		bool first = other->index < self->index || (other->index == self->index && i < at);
		before += i != at && other->role == self->role && is_right(other, r) && first;
	}
	return before >= wanted;
}

static void end_instance(struct aws_plan *p, const struct aws_instance *i)
{
	if (aws_is_live(i) && i->role == AWS_WORKER && !i->draining)
		add_instance(p, AWS_DRAIN, i);
	if (aws_is_live(i) || i->state == AWS_STOPPED)
		add_instance(p, AWS_TERMINATE, i);
}

static void plan_instances(
	struct aws_plan *p, const struct aws_found *f, const struct aws_wanted *w, const struct aws_recipe *r)
{
	const uint32_t wanted[AWS_ROLES] = { [AWS_WORKER] = w->workers, [AWS_ORCHESTRATOR] = 1 };
	uint32_t right[AWS_ROLES] = { 0 }, index = 1;
	for (size_t i = 0; i < f->n_instances; i++) {
		const struct aws_instance *one = &f->instances[i];
		if (is_right(one, r) && !is_surplus(f, r, i, wanted[one->role]))
			right[one->role]++;
		else
			end_instance(p, one);
	}
	for (; right[AWS_WORKER] < w->workers; index++) {
		if (is_index_taken(f, index))
			continue;
		start(p, f, w, r, AWS_WORKER, index);
		right[AWS_WORKER]++;
	}
	if (!right[AWS_ORCHESTRATOR])
		start(p, f, w, r, AWS_ORCHESTRATOR, 0);
}

void aws_plan_up(
	struct aws_plan *p, const struct aws_found *f, const struct aws_wanted *w, const struct aws_recipe *r)
{
	plan_bucket(p, f, w);
	plan_iam(p, f, r);
	plan_groups(p, f, w);
	plan_instances(p, f, w, r);
}

/* ---- down ---- */

static const struct aws_instance *same_instance(const struct aws_found *f, const char *id)
{
	for (size_t i = 0; f && i < f->n_instances; i++) {
		if (!strcmp(f->instances[i].id, id))
			return &f->instances[i];
	}
	return NULL;
}

static void unplan_instances(struct aws_plan *p, const struct aws_found *f, const struct aws_found *kept)
{
	for (size_t i = 0; i < f->n_instances; i++) {
		const struct aws_instance *now = &f->instances[i], *then = same_instance(kept, now->id);
		if (now->state == AWS_TERMINATED || now->state == AWS_ENDING)
			continue;
		if (!then)
			add_instance(p, AWS_TERMINATE, now);
		else if (now->draining && !then->draining)
			add_instance(p, AWS_UNDRAIN, now);
	}
}

static bool same_rule_id(const struct aws_found *f, const char *id)
{
	for (size_t i = 0; f && i < f->n_rules; i++) {
		if (!strcmp(f->rules[i].id, id))
			return true;
	}
	return false;
}

static void add_policy(struct aws_plan *p, enum aws_step_kind kind, enum aws_role role, const char *key)
{
	add(p, &(struct aws_step){ .kind = kind, .role = role, .key = key });
}

/* All that is in it and on it, whoever has put it there: a role goes empty, or not at all. */
static void empty_role(struct aws_plan *p, enum aws_role role, const struct aws_iam *iam)
{
	bool listed = false;
	for (size_t i = 0; i < iam->own_policies.n; i++) {
		add_policy(p, AWS_REMOVE_POLICY, role, iam->own_policies.names[i]);
		listed |= !strcmp(iam->own_policies.names[i], AWS_POLICY);
	}
	if (*iam->policy && !listed)
		add_policy(p, AWS_REMOVE_POLICY, role, AWS_POLICY);
	for (size_t i = 0; i < iam->attached_policies.n; i++)
		add_policy(p, AWS_DETACH_POLICY, role, iam->attached_policies.names[i]);
}

/* One that stays may do what it might before. */
static void unplan_policy(
	struct aws_plan *p, enum aws_role role, const struct aws_iam *now, const struct aws_iam *then)
{
	if (!strcmp(now->policy, then->policy))
		return;
	if (*then->policy)
		set_policy(p, AWS_RESTORE_POLICY, role, then->policy);
	else
		add_policy(p, AWS_REMOVE_POLICY, role, AWS_POLICY);
}

static void unplan_iam(struct aws_plan *p, const struct aws_found *f, const struct aws_found *kept)
{
	static const struct aws_iam none;
	for (enum aws_role role = 0; role < AWS_ROLES; role++) {
		const struct aws_iam *now = &f->iam[role], *then = kept ? &kept->iam[role] : &none;
		if (now->attached && !then->attached)
			add_of(p, AWS_DETACH_ROLE, role);
		if (now->profile && !then->profile)
			add_of(p, AWS_REMOVE_PROFILE, role);
		if (now->role && then->role)
			unplan_policy(p, role, now, then);
		if (now->role && !then->role) {
			empty_role(p, role, now);
			add_of(p, AWS_REMOVE_ROLE, role);
		}
	}
}

void aws_plan_down(struct aws_plan *p, const struct aws_found *f, const struct aws_found *kept)
{
	unplan_instances(p, f, kept);
	for (size_t i = 0; i < f->n_rules; i++) {
		if (!same_rule_id(kept, f->rules[i].id))
			add_rule(p, AWS_REVOKE_RULE, &f->rules[i]);
	}
	for (enum aws_role role = 0; role < AWS_ROLES; role++) {
		if (f->groups[role].id[0] && (!kept || !kept->groups[role].id[0]))
			add_of(p, AWS_REMOVE_GROUP, role);
	}
	for (size_t i = 0; i < f->n_objects; i++) {
		if (!kept || !has_object(kept, f->objects[i]))
			add(p, &(struct aws_step){ .kind = AWS_REMOVE_OBJECT, .key = f->objects[i] });
	}
	if (f->bucket_ours && (!kept || !kept->bucket_there))
		add(p, &(struct aws_step){ .kind = AWS_REMOVE_BUCKET });
	unplan_iam(p, f, kept);
}

/* ---- what was made, and is it seen? ---- */

/* A group that was yet to be made had no id: the rule from it is known by its ports. */
static bool is_rule_seen(const struct aws_rule *made, const struct aws_found *f)
{
	for (size_t i = 0; i < f->n_rules; i++) {
		struct aws_rule rule = f->rules[i];
		if (!made->source[0])
			rule.source[0] = '\0';
		if (is_same_rule(&rule, made))
			return true;
	}
	return false;
}

bool aws_step_is_seen(const struct aws_step *s, const struct aws_found *f)
{
	if (!s->made)
		return true;
	switch (s->kind) {
	case AWS_MAKE_BUCKET:
		return f->bucket_there;
	case AWS_MAKE_ROLE:
		return f->iam[s->role].role;
	case AWS_MAKE_GROUP:
		return f->groups[s->role].id[0];
	case AWS_SET_POLICY:
		return !strcmp(f->iam[s->role].policy, s->policy);
	case AWS_MAKE_PROFILE:
		return f->iam[s->role].profile;
	case AWS_MAKE_RULE:
		return is_rule_seen(&s->rule, f);
	case AWS_UPLOAD:
		return has_object(f, s->object->key);
	case AWS_ATTACH_ROLE:
		return f->iam[s->role].attached;
	case AWS_START_WORKER:
	case AWS_START_ORCHESTRATOR:
		return same_instance(f, s->instance.id);
	default:
		return true;
	}
}

void aws_plan_end_unseen(struct aws_plan *p, const struct aws_found *f, const struct aws_plan *made)
{
	for (size_t i = 0; i < made->n; i++) {
		const struct aws_step *s = &made->steps[i];
		bool start = s->kind == AWS_START_WORKER || s->kind == AWS_START_ORCHESTRATOR;
		if (start && !aws_step_is_seen(s, f))
			add_instance(p, AWS_TERMINATE, &s->instance);
	}
}
