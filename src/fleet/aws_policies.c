/* What is in and on the roles that go, whoever has put it there: IAM deletes no role that has any of it. */
#include "fleet/aws_cluster.h"

#include <string.h>

enum { PAGES_MAX = 100 };

/* One list of one role, page by page. */
struct listing {
	enum aws_role role;
	bool attached; /* managed policies; else those within the role */
	bool done;
	char marker[1024]; /* of the next page */
};

static void ask(struct aws_call *c, const char *name, const struct listing *l)
{
	aws_call_query(c, AWS_IAM, l->attached ? "ListAttachedRolePolicies" : "ListRolePolicies");
	aws_call_add(c, "RoleName", "%s", name);
	if (l->marker[0])
		aws_call_add(c, "Marker", "%s", l->marker);
	c->settled = "NoSuchEntity";
}

static bool add_names(struct aws_names *names, struct arena *arena, const struct xml *first, const char *what)
{
	size_t n = names->n;
	for (const struct xml *m = first; m; m = xml_next(m))
		n++;
	const char **all = arena_alloc(arena, n * sizeof *all);
	if (!all)
		return false;
	if (names->n)
		memcpy(all, names->names, names->n * sizeof *all);
	names->names = all;
	for (const struct xml *m = first; m; m = xml_next(m)) {
		struct str name = arena_printf(arena, "%s", what ? xml_text(m, what) : m->text);
		if (!name.ptr)
			return false;
		names->names[names->n++] = name.ptr;
	}
	return true;
}

static bool take(struct aws_found *f, struct listing *l, const struct aws_call *c)
{
	struct aws_iam *iam = &f->iam[l->role];
	const struct xml *result =
		xml_at(c->root, l->attached ? "ListAttachedRolePoliciesResult" : "ListRolePoliciesResult");
	bool more = !strcmp(xml_text(result, "IsTruncated"), "true");
	str_copy(l->marker, sizeof l->marker, str_of(more ? xml_text(result, "Marker") : ""));
	l->done = !l->marker[0];
	return l->attached
		? add_names(&iam->attached_policies, &f->arena, xml_at(result, "AttachedPolicies/member"),
			  "PolicyArn")
		: add_names(&iam->own_policies, &f->arena, xml_at(result, "PolicyNames/member"), NULL);
}

/* The next page of each list that has one. */
static int turn_page(struct aws *a, const char *cluster, struct aws_found *f, struct listing *lists, size_t n)
{
	struct aws_call calls[2 * AWS_ROLES], *all[2 * AWS_ROLES];
	struct listing *asked[2 * AWS_ROLES];
	char name[AWS_NAME];
	size_t open = 0;
	for (size_t i = 0; i < n; i++) {
		if (lists[i].done)
			continue;
		asked[open] = &lists[i];
		all[open] = &calls[open];
		ask(&calls[open++], aws_iam_name(cluster, a->credentials.region, lists[i].role, name),
			&lists[i]);
	}
	int r = open ? aws_run(a, all, open) : 0;
	for (size_t i = 0; i < open && r == 0; i++) {
		if (take(f, asked[i], &calls[i]))
			continue;
		snprintf(a->why, sizeof a->why, "out of memory");
		r = -1;
	}
	for (size_t i = 0; i < open; i++)
		aws_call_finish(&calls[i]);
	return r;
}

int aws_look_for_policies(
	struct aws *a, const char *cluster, const struct aws_found *kept, struct aws_found *f)
{
	struct listing lists[2 * AWS_ROLES];
	size_t n = 0;
	for (enum aws_role role = 0; role < AWS_ROLES; role++) {
		f->iam[role].own_policies = f->iam[role].attached_policies = (struct aws_names){ 0 };
		if (!f->iam[role].role || (kept && kept->iam[role].role))
			continue;
		lists[n++] = (struct listing){ .role = role };
		lists[n++] = (struct listing){ .role = role, .attached = true };
	}
	int r = 0;
	for (unsigned pages = 0; pages < PAGES_MAX && r == 0; pages++)
		r = turn_page(a, cluster, f, lists, n);
	return r;
}
